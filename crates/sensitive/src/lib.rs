//! Sensitive-data classes: candidate scan, validator, masked sample.
