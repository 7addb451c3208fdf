//! Shards, bounded queues, epochs, merge: owns the threads of the data path.
