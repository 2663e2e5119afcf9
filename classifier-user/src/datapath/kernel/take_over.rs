//! Going on with what is kept on a hook.

use std::{fs, time::SystemTime};

use classifier_common::abi::Hook;

use super::{
    Kernel, LinkState, TcChoice, XdpChoice,
    attach::{self, AttachError, Attached},
    conflict,
    keep::{Keeping, unpin},
    probe, sys,
};
use crate::{
    datapath::{adopted::Missed, netlink, netlink_tc},
    model::Mode,
};

/// How the place that is pinned on a hook counts; `None` where it is none any more.
fn mode_of(ifindex: u32, link: &sys::LinkInfo) -> Option<Mode> {
    if link.ifindex != ifindex {
        return None;
    }
    match link.kind {
        sys::TCX_LINK => Some(Mode::Tcx),
        sys::XDP_LINK => match netlink::link_info(ifindex).ok()?.xdp?.mode {
            "generic" => Some(Mode::Generic),
            _ => Some(Mode::Native),
        },
        _ => None,
    }
}

/// Whether what is there will do where this is asked for.
fn will_do(hook: Hook, mode: Mode, choice: XdpChoice) -> bool {
    hook == Hook::Tx || choice.takes(mode)
}

impl Keeping {
    /// Notes that nothing is counted on a hook from now on, until it is attached.
    fn miss(&mut self, links: &[LinkState], ifindex: u32, hook: Hook) {
        let links = links.iter().filter(|link| link.setup.ifindex == ifindex);
        let since = Some(SystemTime::now());
        for link in links.map(|link| link.setup.link) {
            if !self.missed.iter().any(|missed| (missed.link, missed.hook) == (link, hook)) {
                self.missed.push(Missed { link, hook, since });
            }
        }
    }
}

impl Kernel {
    /// Whether something is pinned, or was left, on one of the interface's hooks. Others are attached first: where that
    /// fails nothing has changed.
    #[must_use]
    pub fn has_kept(&self, ifindex: u32) -> bool {
        Hook::ALL.into_iter().any(|hook| !self.kept_on(ifindex, hook).is_empty())
    }

    /// How what is kept on a hook counts, as far as that can be told, and the numbers of the programs.
    fn kept_on(&self, ifindex: u32, hook: Hook) -> Vec<(Option<Mode>, u32)> {
        let Some(keeping) = &self.keeping else { return Vec::new() };
        let places = keeping.pins.links().into_iter();
        let places = places
            .filter(|(index, its, link)| (*index, *its) == (ifindex, hook) && link.info.ifindex == ifindex);
        let pinned = places.map(|(_, _, link)| (mode_of(ifindex, &link.info), link.info.program));
        let filter = self.kept_filter(ifindex, hook).and_then(|filter| filter.program_id());
        pinned.chain(filter.map(|id| (Some(Mode::Tc), id))).collect()
    }

    /// Sees whether both hooks of an interface can be attached to, or be gone on with, as far as that can be told without
    /// changing anything: asked of all interfaces before the first one is touched, so that what is wrong with one of them
    /// costs the others nothing.
    ///
    /// # Errors
    /// As [`Kernel::attach`] would say.
    pub fn preflight(&self, interface: &str, ifindex: u32, choice: XdpChoice) -> Result<(), AttachError> {
        for hook in Hook::ALL {
            let kept = self.kept_on(ifindex, hook);
            if kept.iter().any(|(mode, _)| mode.is_some_and(|mode| will_do(hook, mode, choice))) {
                continue;
            }
            if hook == Hook::Tx && (self.tc == TcChoice::Clsact || probe::has_tcx() == Some(false)) {
                conflict::refuse_without_transmit(interface, ifindex)?;
            }
            let leaving: Vec<u32> = kept.into_iter().map(|(_, program)| program).collect();
            conflict::look(interface, ifindex, hook, choice, &leaving)?;
        }
        Ok(())
    }

    /// The filter of this instance that is on a hook.
    fn kept_filter(&self, ifindex: u32, hook: Hook) -> Option<netlink_tc::Filter> {
        let keeping = self.keeping.as_ref()?;
        let filters = netlink_tc::filters(ifindex, hook).ok().filter(|filters| !filters.is_empty())?;
        let ours = keeping.programs();
        filters.into_iter().find(|filter| filter.program_id().is_some_and(|id| ours.contains(&id)))
    }

    /// Goes on with what is kept on a hook, if there is something that will do; what will not do is taken off.
    pub(super) fn take_over(
        &mut self,
        interface: &str,
        ifindex: u32,
        hook: Hook,
        choice: XdpChoice,
    ) -> Result<Option<(Attached, Mode)>, AttachError> {
        let filter = self.kept_filter(ifindex, hook);
        let Some(keeping) = &mut self.keeping else { return Ok(None) };
        let mut taken = None;
        let places = keeping.pins.links().into_iter();
        let mut places: Vec<_> = places
            .filter(|(index, its, _)| (*index, *its) == (ifindex, hook))
            .map(|(_, _, link)| {
                (mode_of(ifindex, &link.info).filter(|&mode| will_do(hook, mode, choice)), link)
            })
            .collect();
        let chosen =
            places.iter().position(|(mode, _)| mode.is_some()).map(|chosen| places.swap_remove(chosen));
        for (_, link) in places {
            // Under two versions' names, as one that was killed between them has left it: it is the same place.
            if chosen.as_ref().is_some_and(|(_, chosen)| chosen.info.id == link.info.id) {
                let _ = fs::remove_file(&link.path);
                continue;
            }
            if link.info.ifindex == ifindex {
                tracing::warn!("{interface}: attached anew, the other way: nothing was counted meanwhile");
                keeping.miss(&self.links, ifindex, hook);
            }
            unpin(&link);
        }
        if let Some((Some(mode), link)) = chosen {
            let place = attach::pinned(&link.path, link.info.kind)?;
            match attach::hand_over(&mut self.ebpf, place, hook) {
                Ok(attached) => {
                    // From here on this generation counts there, whatever fails.
                    keeping.took_over = true;
                    keeping.pins.move_here(&link, ifindex, hook)?;
                    taken = Some((attached, mode));
                }
                Err(error) => {
                    tracing::warn!("{interface}: what is kept there cannot be gone on with: {error}");
                    keeping.miss(&self.links, ifindex, hook);
                    unpin(&link);
                }
            }
        }
        if let Some(filter) = filter.filter(|_| taken.is_none()) {
            let place = attach::filter(interface, ifindex, hook, &filter)?;
            if will_do(hook, Mode::Tc, choice) {
                match attach::hand_over(&mut self.ebpf, place, hook) {
                    Ok(attached) => taken = Some((attached, Mode::Tc)),
                    Err(error) => {
                        tracing::warn!("{interface}: what is kept there cannot be gone on with: {error}");
                        keeping.miss(&self.links, ifindex, hook);
                        drop(attach::filter(interface, ifindex, hook, &filter));
                    }
                }
            } else {
                tracing::warn!("{interface}: attached anew, the other way: nothing was counted meanwhile");
                keeping.miss(&self.links, ifindex, hook);
                drop(place);
            }
        }
        keeping.took_over |= taken.is_some();
        Ok(taken)
    }
}
