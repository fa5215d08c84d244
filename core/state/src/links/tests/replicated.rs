//! A primary with replicas: when a write counts as kept.
