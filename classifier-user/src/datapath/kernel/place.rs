//! A place among the filters of a clsact qdisc, where there is no TCX. It has no descriptor of its own: what is meant is what
//! is there, and that may be somebody else's filter by now.

use std::{io, mem};

use aya::{
    Ebpf,
    programs::{ProgramError, tc::SchedClassifierLink},
};
use classifier_common::abi::Hook;

use super::{
    attach::{self, AttachError, of_tc},
    object,
};
use crate::datapath::netlink_tc::{self, Filter};

/// This agent's filter; dropping it takes it off, if it is still where it was put.
pub struct FilterPlace {
    link: Option<SchedClassifierLink>,
    ifindex: u32,
    hook: Hook,
    /// As it was put.
    filter: Filter,
}

impl FilterPlace {
    /// That of the program of this number, which was just attached.
    pub(super) fn new(link: SchedClassifierLink, ifindex: u32, hook: Hook, id: u32) -> io::Result<Self> {
        let filters = netlink_tc::filters(ifindex, hook)?;
        let ours = |filter: &Filter| filter.program_id() == Some(id);
        let filter = filters.into_iter().find(ours).ok_or(io::ErrorKind::NotFound)?;
        Ok(Self { link: Some(link), ifindex, hook, filter })
    }

    /// That of a filter that was found on a hook.
    pub(super) fn found(interface: &str, ifindex: u32, hook: Hook, filter: &Filter) -> io::Result<Self> {
        let (_, side) = of_tc(hook);
        let link =
            SchedClassifierLink::attached(interface, side, filter.priority, filter.handle.into(), None)?;
        Ok(Self { link: Some(link), ifindex, hook, filter: filter.clone() })
    }

    /// Whether the filter is where it was put, and runs the program that it ran.
    fn is_there(&self) -> bool {
        let Self { filter, .. } = self;
        let same = |other: &Filter| {
            (other.priority, other.handle, other.program_id())
                == (filter.priority, filter.handle, filter.program_id())
        };
        netlink_tc::filters(self.ifindex, self.hook).is_ok_and(|filters| filters.iter().any(same))
    }

    /// Lets go of it: it stays.
    pub(super) fn let_go(mut self) {
        // Dropped, the library's link would take away whatever is there.
        mem::forget(self.link.take());
    }

    /// Puts this object's program in the place of the one that runs there.
    pub(super) fn hand_over(mut self, ebpf: &mut Ebpf) -> Result<Self, AttachError> {
        let gone = || {
            let why = io::Error::other("it is not where it was put");
            attach::not_handed_over(ProgramError::IOError(why))
        };
        // Before the link is taken: dropped, that would take away whatever is there.
        let program = object::classifier(ebpf, of_tc(self.hook).0)?;
        let id = program.info().map_err(attach::not_handed_over)?.id();
        if !self.is_there() {
            return Err(gone());
        }
        let link = attach::hand_over_tc(ebpf, self.link.take().ok_or_else(gone)?, self.hook)?;
        let mut filter = self.filter.clone();
        filter.program = filter.program.map(|(name, _)| (name, id));
        Ok(Self { link: Some(link), ifindex: self.ifindex, hook: self.hook, filter })
    }
}

impl Drop for FilterPlace {
    fn drop(&mut self) {
        if let Some(link) = self.link.take()
            && !self.is_there()
        {
            mem::forget(link);
        }
    }
}
