//! Interfaces that go away and come back, under the same links.

use super::{Kernel, attach::AttachError, object::LoadError};
use crate::{
    datapath::{DatapathError, interface::Interface, netlink_tc},
    model::LinkId,
};

impl Kernel {
    /// [`super::super::Datapath::place`].
    pub(super) fn put(
        &mut self,
        links: &[LinkId],
        at: Option<&Interface>,
    ) -> Result<Option<String>, DatapathError> {
        let ours = |link: LinkId| links.contains(&link);
        let before =
            self.links.iter().find(|link| ours(link.setup.link)).map_or(0, |link| link.setup.ifindex);
        if before != 0 {
            self.take_off(before);
        }
        for link in self.links.iter_mut().filter(|link| ours(link.setup.link)) {
            link.modes = [None; 2];
            link.setup.ifindex = at.map_or(0, |interface| interface.ifindex);
            link.setup.extra_bytes = at.map_or(0, Interface::tag_bytes);
        }
        // First nothing is counted of the old number, then something of the new one.
        let setups: Vec<_> = self.links.iter().map(|link| link.setup).collect();
        self.ports.write(&setups).map_err(failed)?;
        self.keep_places(&setups)?;
        let Some(interface) = at else { return Ok(None) };
        let attached = self.attach(&interface.name, interface.ifindex, self.choice);
        if attached.is_err() {
            // Also what was kept there, and was gone on with: the next try finds all of it free.
            self.take_off(interface.ifindex);
            for link in self.links.iter_mut().filter(|link| ours(link.setup.link)) {
                link.setup.ifindex = 0;
                link.modes = [None; 2];
            }
            let setups: Vec<_> = self.links.iter().map(|link| link.setup).collect();
            self.ports.write(&setups).map_err(failed)?;
        }
        attached.map_err(refused)
    }

    /// Takes the programs off an interface, wherever that is now, and the qdisc that was made for them.
    fn take_off(&mut self, ifindex: u32) {
        self.attached.retain(|held| {
            let stays = held.ifindex != ifindex;
            if let Some(keeping) = self.keeping.as_ref().filter(|_| !stays) {
                keeping.take_off(held.ifindex, held.hook);
            }
            stays
        });
        // Of an agent before this one, the pins tell.
        let kept = self.keeping.as_ref().is_some_and(|keeping| keeping.made_qdisc(ifindex));
        if self.qdiscs.extract_if(.., |its| *its == ifindex).count() > 0 || kept {
            let _ = netlink_tc::remove_idle_clsact(ifindex);
        }
    }
}

fn failed(error: LoadError) -> DatapathError {
    DatapathError::Interface { source: Box::new(error) }
}

fn refused(error: AttachError) -> DatapathError {
    DatapathError::Interface { source: Box::new(error) }
}
