//! Interfaces that go away and come back, under the same links.

use super::{Kernel, attach::AttachError, object::LoadError};
use crate::{
    datapath::{DatapathError, interface::Interface, netlink_tc},
    model::LinkId,
};

/// Links that are not to be moved are on the interface.
#[derive(Debug, thiserror::Error)]
#[error("{interface} is counted as another link already")]
struct Taken {
    interface: String,
}

impl Kernel {
    /// [`super::super::Datapath::place`].
    pub(super) fn put(
        &mut self,
        links: &[LinkId],
        at: Option<&Interface>,
    ) -> Result<Option<String>, DatapathError> {
        let ours = |link: LinkId| links.contains(&link);
        let has = |at: &Interface| {
            self.links.iter().any(|link| !ours(link.setup.link) && link.setup.ifindex == at.ifindex)
        };
        // What is attached there is those links': it would be taken off with these, and count for one of both only.
        let taken = at.filter(|at| has(at));
        let at = at.filter(|_| taken.is_none());
        let before =
            self.links.iter().find(|link| ours(link.setup.link)).map_or(0, |link| link.setup.ifindex);
        if before != 0 {
            self.take_off(before);
        }
        for link in self.links.iter_mut().filter(|link| ours(link.setup.link)) {
            link.setup.ifindex = at.map_or(0, |interface| interface.ifindex);
            link.setup.extra_bytes = at.map_or(0, Interface::tag_bytes);
        }
        // First nothing is counted of the old number, then something of the new one.
        let setups: Vec<_> = self.links.iter().map(|link| link.setup).collect();
        self.ports.write(&setups).map_err(failed)?;
        self.keep_places(&setups)?;
        if let Some(Interface { name, .. }) = taken {
            return Err(DatapathError::Interface { source: Box::new(Taken { interface: name.clone() }) });
        }
        let Some(interface) = at else { return Ok(None) };
        let attached = self.attach(&interface.name, interface.ifindex, self.choice);
        if attached.is_err() {
            // Also what was kept there, and was gone on with: the next try finds all of it free.
            self.take_off(interface.ifindex);
            for link in self.links.iter_mut().filter(|link| ours(link.setup.link)) {
                link.setup.ifindex = 0;
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
        for link in self.links.iter_mut().filter(|link| link.setup.ifindex == ifindex) {
            link.modes = [None; 2];
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datapath::{
        Datapath as _, Sizes,
        kernel::{Setup, XdpChoice, held::Held},
    };

    /// As of places of the plan whose interfaces have exchanged their names.
    #[test]
    fn kernel_an_interface_is_never_that_of_two_places() {
        std::thread::spawn(|| {
            // SAFETY: concerns this thread only.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "kernel tests need root");
            let sizes = Sizes { classes: 64, v4_rows: 1, v6_rows: 1, v6_nodes: 1 };
            let setup = |number, ifindex| Setup {
                link: LinkId(number),
                ifindex,
                vlan: None,
                sides: [3; 2],
                extra_bytes: 0,
            };
            let mut kernel = Kernel::load(&sizes, &[setup(0, 1), setup(1, 0)]).expect("loaded");
            kernel.attach("lo", 1, XdpChoice::Auto).expect("attached");
            let (lo, before) = (Interface { name: "lo".to_owned(), ifindex: 1 }, kernel.attachments());
            let refused = kernel.put(&[LinkId(1)], Some(&lo)).expect_err("it is the first link's");
            assert_eq!(refused.to_string(), "lo is counted as another link already");
            assert_eq!(kernel.attachments(), before);
            assert!(kernel.attached.len() == 2 && !kernel.attached.iter().any(Held::is_gone));
            // Its own may be put there anew, and another one's once it is not there any more.
            kernel.put(&[LinkId(0)], Some(&lo)).expect("attached anew");
            assert_eq!(kernel.attachments(), before);
            kernel.put(&[LinkId(0)], None).expect("taken off");
            kernel.put(&[LinkId(1)], Some(&lo)).expect("it is free");
            let after = kernel.attachments();
            assert_eq!((after[0].modes, after[1].modes), ([None; 2], before[0].modes));
        })
        .join()
        .expect("it is so");
    }
}
