//! healthflow-sync.
