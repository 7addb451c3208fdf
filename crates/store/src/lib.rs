//! Embedded store: inventory, findings, campaigns, verdicts, actions, audit, evidence.
