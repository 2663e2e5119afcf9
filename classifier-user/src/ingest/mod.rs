//! x
pub(crate) mod cidr;
