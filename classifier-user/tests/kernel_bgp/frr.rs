//! FRR.
