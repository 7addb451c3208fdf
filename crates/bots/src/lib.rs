//! Indicators, fingerprints, baselines, campaigns and scores with their reasons.
