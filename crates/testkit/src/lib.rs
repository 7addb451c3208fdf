//! Packet and capture builder, dialogues, fault injector, traffic synthesizer.
