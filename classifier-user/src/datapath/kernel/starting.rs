//! What an agent begins with.

use super::{AttachError, Foreign, Kernel};
use crate::datapath::{Refused, Starting, adopted::Adopted, interface::Interface, remote::patiently};

/// Whether it may be a program of an agent that is just ending; one that has another name is not.
fn may_end(error: &AttachError) -> bool {
    match error {
        AttachError::Twice { .. } => true,
        AttachError::Occupied { program, .. } => {
            program.as_ref().is_none_or(|Foreign { name, .. }| name.is_none())
        }
        _ => false,
    }
}

impl Starting for Kernel {
    fn has_kept(&self, ifindex: u32) -> bool {
        Self::has_kept(self, ifindex)
    }

    fn preflight(&mut self, interfaces: &[Interface]) -> Result<(), Refused> {
        let looked =
            |interface: &Interface| Self::preflight(self, &interface.name, interface.ifindex, self.choice);
        patiently(|| interfaces.iter().try_for_each(looked), may_end).map_err(|error| Refused::of(&error))
    }

    fn attach(&mut self, interface: &Interface) -> Result<Option<String>, Refused> {
        let choice = self.choice;
        patiently(|| Self::attach(self, &interface.name, interface.ifindex, choice), may_end)
            .map_err(|error| Refused::of(&error))
    }

    fn settle(&mut self) -> Result<Option<Adopted>, Refused> {
        Self::settle(self).map_err(|error| Refused::of(&error))
    }

    fn abandon(self: Box<Self>) {
        Self::abandon(*self);
    }
}
