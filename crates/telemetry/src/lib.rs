//! Counters, drop accounting and log set-up.
