//! Interfaces that go away, come back, come later or get other names.

use std::{
    io,
    sync::{Weak, mpsc::Sender},
    thread,
    time::{Duration, Instant, SystemTime},
};

use tracing::{error, info, warn};

use super::core::{Core, Message};
use crate::{
    datapath::{
        interface::{Interface, InterfaceError, name_of},
        netlink,
    },
    model::{Link, LinkId},
};

/// An interface of the plan, and the links on it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) links: Vec<LinkId>,
    /// 0 while it is not there.
    pub(super) ifindex: u32,
    /// Why nothing is counted of it, and since when.
    pub(super) gap: Option<(SystemTime, String)>,
    /// What it is called now, if not as in the plan.
    pub(super) renamed: Option<String>,
    /// It is there, and could not be attached to.
    refused: Option<Refused>,
}

/// What to wait for before an interface is tried again: each time may reset its rings.
#[derive(Debug)]
struct Refused {
    ifindex: u32,
    until: Instant,
    pause: Duration,
}

/// The longest such pause.
const PAUSE: Duration = Duration::from_secs(60);

impl Refused {
    /// After another time that this interface refused; `first` is the shortest pause.
    fn again(before: Option<&Self>, ifindex: u32, first: Duration) -> Self {
        let before = before.filter(|before| before.ifindex == ifindex);
        let pause = before.map_or(first, |before| before.pause * 2).min(PAUSE.max(first));
        Self { ifindex, until: Instant::now() + pause, pause }
    }
}

impl Place {
    /// The places of these links, as they are attached at the start.
    pub(super) fn all(links: &[Link], interfaces: &[Interface]) -> Vec<Self> {
        let mut places: Vec<Self> = Vec::new();
        for ((number, link), interface) in (0..).map(LinkId).zip(links).zip(interfaces) {
            match places.iter_mut().find(|place| place.name == link.interface) {
                Some(place) => place.links.push(number),
                None => places.push(Self {
                    name: link.interface.clone(),
                    links: vec![number],
                    ifindex: interface.ifindex,
                    gap: None,
                    renamed: None,
                    refused: None,
                }),
            }
        }
        places
    }
}

/// Tells the core when interfaces change, from a thread of its own, until `alive` is gone. What cannot be heard is seen at
/// the sweeps.
///
/// # Errors
/// The thread cannot be started.
pub(super) fn listen(core: Sender<Message>, alive: Weak<()>) -> io::Result<()> {
    thread::Builder::new().name("interfaces".to_owned()).spawn(move || {
        if let Err(error) = hear(&core, &alive) {
            warn!("changes of interfaces are seen at the sweeps only: {error}");
        }
    })?;
    Ok(())
}

fn hear(core: &Sender<Message>, alive: &Weak<()>) -> io::Result<()> {
    let socket = netlink::link_events()?;
    while alive.strong_count() > 0 {
        let gone = match netlink::deleted_links(&socket) {
            Ok(gone) => gone,
            Err(error) => match (error.kind(), error.raw_os_error()) {
                (io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted, _) => continue,
                // Too many at once, such as when a thousand tunnels come up: something changed.
                (_, Some(libc::ENOBUFS)) => Vec::new(),
                _ => return Err(error),
            },
        };
        if core.send(Message::Interfaces(gone)).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

impl Core {
    /// Sees where the interfaces are now; `gone` are numbers of some that went away, and may be back already.
    pub(super) fn follow(&mut self, gone: &[u32]) {
        let mut places = std::mem::take(&mut self.places);
        let found: Vec<_> = places.iter().map(|place| Interface::find(&place.name)).collect();
        let now: Vec<u32> =
            found.iter().map(|found| found.as_ref().map_or(0, |interface| interface.ifindex)).collect();
        let mut changed = false;
        // All is lost that is to be before anything is gained: names may have been exchanged, and of two places on one
        // interface only one is counted.
        for (place, &its) in places.iter_mut().zip(&now).filter(|(place, _)| place.ifindex != 0) {
            let was_gone = gone.contains(&place.ifindex);
            let claimed = !was_gone && its != place.ifindex && now.contains(&place.ifindex);
            changed |= self.follow_one(place, its, was_gone, claimed);
        }
        for (number, found) in found.into_iter().enumerate() {
            let is_taken = |interface: &Interface| places.iter().any(|at| at.ifindex == interface.ifindex);
            let taken = found.as_ref().is_ok_and(is_taken);
            let Some(place) = places.get_mut(number).filter(|place| place.ifindex == 0) else { continue };
            changed |= match found {
                // Names change while this looks: the next look finds them where they stay.
                Ok(_) if taken => false,
                Ok(interface) => self.gain(place, &interface),
                Err(InterfaceError::Missing { .. }) => false,
                Err(error) => self.trouble(place, error.to_string()),
            };
        }
        self.places = places;
        if changed {
            // The history has a gap before anybody reads of it, or ends the agent.
            self.try_sweep();
            self.look_at_others_now();
            self.publish_status();
        }
    }

    /// Sees whether a place keeps its interface. `now` has its name, or none (0) has; where another place of the plan is
    /// called what that interface is called now, it is `claimed`. Whether something has changed.
    fn follow_one(&mut self, place: &mut Place, now: u32, was_gone: bool, claimed: bool) -> bool {
        if !was_gone {
            if now == place.ifindex {
                return place.renamed.take().is_some_and(|_| {
                    info!("{} has its name again", place.name);
                    true
                });
            }
            if now == 0
                && !claimed
                && let Some(name) = name_of(place.ifindex)
            {
                let renamed = place.renamed.as_deref() != Some(name.as_str());
                if renamed {
                    warn!(
                        "{} is called {name} now: it is counted on, and not found at the next start",
                        place.name
                    );
                    place.renamed = Some(name);
                }
                return renamed;
            }
        }
        self.lose(place, now, claimed);
        true
    }

    /// The interface is gone, or is another one now, or another place's.
    fn lose(&mut self, place: &mut Place, now: u32, claimed: bool) {
        let why = match (now, name_of(place.ifindex).filter(|name| *name != place.name)) {
            (0, Some(name)) if claimed => format!("is called {name} now, and that is another link's"),
            (0, _) => "is gone".to_owned(),
            (_, Some(name)) => format!("is another interface now, and the one before is {name}"),
            _ => "was gone".to_owned(),
        };
        place.ifindex = 0;
        place.renamed = None;
        let placed = self.datapath.place(&place.links, None);
        for link in self.names(&place.links) {
            error!("{link}: {} {why}: nothing is counted there until it is back", place.name);
        }
        if let Err(error) = placed {
            warn!("{}: what was on it could not be taken off: {error}", place.name);
        }
        place.gap.get_or_insert_with(|| (SystemTime::now(), format!("{} {why}", place.name)));
    }

    /// The interface is there, and its links are not on it yet.
    fn gain(&mut self, place: &mut Place, interface: &Interface) -> bool {
        let waits =
            |refused: &Refused| refused.ifindex == interface.ifindex && Instant::now() < refused.until;
        if place.refused.as_ref().is_some_and(waits) {
            return false;
        }
        // At the start it was not there to be held against the others.
        let overlaps = self.overlaps(Some(&place.name));
        if let Some(overlap) = overlaps.iter().find(|overlap| overlap.concerns(&place.name)) {
            return self.trouble(place, overlap.to_string());
        }
        match self.datapath.place(&place.links, Some(interface)) {
            Err(error) => {
                let refused = Refused::again(place.refused.as_ref(), interface.ifindex, self.interval);
                place.refused = Some(refused);
                self.trouble(place, error.to_string())
            }
            Ok(why) => {
                place.ifindex = interface.ifindex;
                place.refused = None;
                if let Some(why) = why {
                    warn!("{}: no native XDP ({why}); counting received frames at TC ingress", place.name);
                }
                if let Some((from, _)) = &place.gap {
                    let seconds = from.elapsed().unwrap_or_default().as_secs_f64();
                    for link in self.names(&place.links) {
                        info!("{link}: {} is counted again; nothing was for {seconds:.1} s", place.name);
                    }
                }
                self.end_gap(place);
                let now = self.datapath.attachments();
                for (number, (_, start)) in self.links.iter_mut().enumerate() {
                    if place.links.iter().any(|link| usize::from(link.0) == number)
                        && let Some(now) = now.get(number)
                    {
                        *start = *now;
                    }
                }
                true
            }
        }
    }

    /// Why an interface that is there is not counted.
    fn trouble(&mut self, place: &mut Place, why: String) -> bool {
        if place.gap.as_ref().is_some_and(|(_, known)| *known == why) {
            return false;
        }
        for link in self.names(&place.links) {
            error!("{link}: {why}");
        }
        let from = place.gap.as_ref().map_or_else(SystemTime::now, |(from, _)| *from);
        place.gap = Some((from, why));
        true
    }

    pub(super) fn names(&self, links: &[LinkId]) -> Vec<String> {
        let name = |link: &LinkId| self.links.get(usize::from(link.0)).map(|(link, _)| link.name.clone());
        links.iter().filter_map(name).collect()
    }

    /// Whether a link's interface is there.
    pub(super) fn is_there(&self, link: LinkId) -> bool {
        self.places.iter().all(|place| place.ifindex != 0 || !place.links.contains(&link))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_refuses_is_tried_again_later_and_later() {
        let first = Duration::from_secs(5);
        let pauses = |ifindexes: &[u32]| {
            let mut refused = None;
            let pauses = ifindexes.iter().map(|&ifindex| {
                let again = Refused::again(refused.as_ref(), ifindex, first);
                let pause = again.pause.as_secs();
                refused = Some(again);
                pause
            });
            pauses.collect::<Vec<_>>()
        };
        assert_eq!(pauses(&[3, 3, 3, 3, 3, 3]), [5, 10, 20, 40, 60, 60]);
        // Another one has refused nothing yet.
        assert_eq!(pauses(&[3, 3, 4, 3]), [5, 10, 5, 5]);
        assert_eq!(Refused::again(None, 1, 3 * PAUSE).pause, 3 * PAUSE);
    }
}
