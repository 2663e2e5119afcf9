//! Routes in userspace: [`rib`] (all routes of all sources, one chosen a prefix), [`live`] (what peers announce now), [`names`] (what ASes are
//! called), [`groups`] (ASes that people see as one).

pub mod groups;
pub mod live;
pub mod names;
pub mod origins;
pub mod rib;
