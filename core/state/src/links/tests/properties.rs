//! No write is lost that was acknowledged.
