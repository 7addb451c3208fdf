//! Read-only API and page over a store.
