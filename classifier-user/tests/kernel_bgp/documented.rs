//! Documented.
