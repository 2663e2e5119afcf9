//! The messages, and the words of the datapath in them.

use std::time::{Duration, SystemTime};

use classifier_common::abi::Hook;
use serde::{Deserialize, Serialize};

use super::{
    Start,
    wire::{PART, WireError},
};
use crate::{
    datapath::{
        Batch, Beside, DatapathError, Memory, Sizes,
        adopted::{Adopted, AdoptedHook, AdoptedLink, CountId, LinkLabel, Missed},
        interface::Interface,
        kernel::{Setup, XdpChoice},
    },
    model::{
        Asn, Class, Counter, Family, FibDelta, Ipv4Network, Ipv6Network, LinkId, LinkKind, Mode, Owner,
        Prefix, Role,
    },
};

/// What the agent asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Request {
    /// Load programs and maps. [`Answer::Ready`].
    Start(WireStart),
    /// Whether something is kept on the interface of this number. [`Answer::Kept`].
    HasKept(u32),
    /// Attach. [`Answer::Placed`].
    Attach(Where),
    /// All are attached. [`Answer::Owners`] and [`Answer::Adopted`].
    Settle,
    /// As it was before. [`Answer::Done`].
    Abandon,
    /// Some of a batch that is longer than a message. No answer.
    More(Part),
    /// A batch, or its end. [`Answer::Applied`].
    Apply(Part),
    /// Other maps. [`Answer::Ready`].
    Resize(WireSizes),
    /// Free what was retired. [`Answer::Ready`].
    Reclaim,
    /// Read. [`Answer::Counts`], [`Answer::Released`] and [`Answer::Swept`].
    Sweep,
    /// Move links. [`Answer::Placed`].
    Place(Vec<u16>, Option<Where>),
    /// How they are attached. [`Answer::Attachments`].
    Attachments,
    /// Who else is on the hooks. [`Answer::Beside`].
    Beside,
    /// Take everything off. [`Answer::Done`].
    Detach,
    /// Whether all these can be attached to. [`Answer::Done`].
    Preflight(Vec<Where>),
}

/// What it is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Answer {
    Failed(Failure),
    Ready(WireSizes, [u64; 2]),
    Kept(bool),
    Placed(Option<String>),
    /// What owners of a link had counted on a hook and side; before [`Answer::Adopted`].
    Owners(Region, Vec<(Whose, [u64; 2])>),
    Adopted(Option<WireAdopted>),
    Applied(u64),
    /// What classes of a link counted on a hook and side; before [`Answer::Swept`].
    Counts(Region, Vec<(Class, u64, u64)>),
    Released(Vec<Class>),
    Swept(WireSweep),
    Attachments(Vec<(u16, [Option<Mode>; 2])>),
    /// Indices of interfaces, and what is said of them: no more than fits a frame.
    Beside(Vec<(u32, String)>),
    Done,
}

/// Place of a link in its answer, hook, side.
pub(super) type Region = (u16, u8, u8);
/// Packets and bytes.
type Count = [u64; 2];

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Failure {
    FibFull(u8, u32),
    ClassOutOfRange(Class, u32),
    Other(String),
}

/// What is said of others on the hooks, at most.
const OTHERS: usize = 256;

/// [`Beside`], as far as it goes.
pub(super) fn beside(found: Vec<Beside>) -> Answer {
    let short = |what: String| what.chars().take(OTHERS).collect();
    Answer::Beside(found.into_iter().take(OTHERS).map(|other| (other.ifindex, short(other.what))).collect())
}

/// What of the FIB can be full.
const FULL: [&str; 3] = ["IPv4 rows", "IPv6 rows", "IPv6 search nodes"];
/// Bytes of a message to people, at most: a verifier's log has no end.
const TEXT: usize = 64 << 10;

impl Failure {
    /// Of anything that says why.
    pub(super) fn of(error: &dyn std::error::Error) -> Self {
        let mut text = error.to_string();
        if text.len() > TEXT {
            text.truncate(text.floor_char_boundary(TEXT));
            text.push_str(" […]");
        }
        Self::Other(text)
    }
}

impl From<DatapathError> for Failure {
    fn from(error: DatapathError) -> Self {
        match error {
            DatapathError::FibFull { what, capacity } => match FULL.iter().position(|full| *full == what) {
                Some(number) => Self::FibFull(number as u8, capacity),
                None => Self::of(&error),
            },
            DatapathError::ClassOutOfRange { class, classes } => Self::ClassOutOfRange(class, classes),
            error => Self::of(&error),
        }
    }
}

impl From<Failure> for DatapathError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::FibFull(number, capacity) => {
                let what = FULL.get(usize::from(number)).copied().unwrap_or("words");
                Self::FibFull { what, capacity }
            }
            Failure::ClassOutOfRange(class, classes) => Self::ClassOutOfRange { class, classes },
            Failure::Other(why) => Self::Refused { why },
        }
    }
}

/// Classes, IPv4 rows, IPv6 rows, IPv6 nodes.
pub(super) type WireSizes = [u32; 4];

pub(super) const fn sizes(sizes: &Sizes) -> WireSizes {
    [sizes.classes, sizes.v4_rows, sizes.v6_rows, sizes.v6_nodes]
}

pub(super) const fn sizes_of([classes, v4_rows, v6_rows, v6_nodes]: WireSizes) -> Sizes {
    Sizes { classes, v4_rows, v6_rows, v6_nodes }
}

pub(super) const fn memory_of([fib_bytes, bank_bytes]: [u64; 2]) -> Memory {
    Memory { fib_bytes, bank_bytes }
}

/// An interface: its name and its index.
pub(super) type Where = (String, u32);

pub(super) fn interface((name, ifindex): Where) -> Interface {
    Interface { name, ifindex }
}

/// [`Start`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct WireStart {
    pub(super) sizes: WireSizes,
    pub(super) links: Vec<WireLink>,
    pub(super) recorder: Option<[u8; 16]>,
    /// [`XDP`].
    pub(super) xdp: u8,
    pub(super) clsact: bool,
}

/// [`LinkLabel`] and [`Setup`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct WireLink {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) kind: Option<LinkKind>,
    pub(super) ifindex: u32,
    pub(super) vlan: Option<u16>,
    pub(super) sides: [u32; 2],
    pub(super) extra_bytes: u16,
}

const XDP: [XdpChoice; 4] = [XdpChoice::Auto, XdpChoice::Native, XdpChoice::Generic, XdpChoice::Tc];

impl WireStart {
    pub(super) fn new(start: &Start) -> Self {
        let link = |(label, setup): (&LinkLabel, &Setup)| WireLink {
            name: label.name.clone(),
            role: label.role,
            kind: label.kind,
            ifindex: setup.ifindex,
            vlan: setup.vlan,
            sides: setup.sides,
            extra_bytes: setup.extra_bytes,
        };
        Self {
            sizes: sizes(&start.sizes),
            links: start.labels.iter().zip(&start.setups).map(link).collect(),
            recorder: start.recorder,
            xdp: XDP.iter().position(|choice| *choice == start.xdp).unwrap_or_default() as u8,
            clsact: start.clsact,
        }
    }

    /// Links are numbered as they come.
    pub(super) fn lower(self) -> Result<Start, WireError> {
        let xdp = XDP.get(usize::from(self.xdp)).copied();
        let (labels, setups) = (0..)
            .zip(self.links)
            .map(|(number, link)| {
                let WireLink { name, role, kind, ifindex, vlan, sides, extra_bytes } = link;
                let setup = Setup { link: LinkId(number), ifindex, vlan, sides, extra_bytes };
                (LinkLabel { name, role, kind }, setup)
            })
            .unzip();
        Ok(Start {
            sizes: sizes_of(self.sizes),
            setups,
            labels,
            recorder: self.recorder,
            xdp: xdp.ok_or(WireError::Malformed("no such way to attach"))?,
            clsact: self.clsact,
        })
    }
}

/// A prefix.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Network {
    V4(u32, u8),
    V6(u64, u64, u8),
}

impl From<Prefix> for Network {
    fn from(prefix: Prefix) -> Self {
        match prefix {
            Prefix::V4(prefix) => Self::V4(prefix.network_address().to_bits(), prefix.netmask()),
            Prefix::V6(prefix) => {
                let bits = prefix.network_address().to_bits();
                Self::V6((bits >> 64) as u64, bits as u64, prefix.netmask())
            }
        }
    }
}

impl TryFrom<Network> for Prefix {
    type Error = WireError;

    fn try_from(network: Network) -> Result<Self, WireError> {
        let prefix = match network {
            Network::V4(bits, len) => Ipv4Network::new(bits.into(), len).map(Self::V4),
            Network::V6(high, low, len) => {
                Ipv6Network::new((u128::from(high) << 64 | u128::from(low)).into(), len).map(Self::V6)
            }
        };
        prefix.map_err(|_| WireError::Malformed("a prefix that is none"))
    }
}

/// [`Owner`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Whose {
    Unmatched(Family),
    Route(Network, Asn),
    As(Family, Asn),
}

impl From<Owner> for Whose {
    fn from(owner: Owner) -> Self {
        match owner {
            Owner::Unmatched(family) => Self::Unmatched(family),
            Owner::Route { prefix, asn } => Self::Route(prefix.into(), asn),
            Owner::As { family, asn } => Self::As(family, asn),
        }
    }
}

impl TryFrom<Whose> for Owner {
    type Error = WireError;

    fn try_from(whose: Whose) -> Result<Self, WireError> {
        Ok(match whose {
            Whose::Unmatched(family) => Self::Unmatched(family),
            Whose::Route(network, asn) => Self::Route { prefix: network.try_into()?, asn },
            Whose::As(family, asn) => Self::As { family, asn },
        })
    }
}

/// Some of a [`Batch`], in all at most [`PART`] items.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) deltas: Vec<(Network, Option<Class>)>,
    pub(super) retired: Vec<Class>,
    pub(super) bound: Vec<(Class, Whose)>,
}

impl Part {
    /// Entries in it.
    pub(super) fn len(&self) -> usize {
        self.deltas.len() + self.retired.len() + self.bound.len()
    }

    /// Adds it to what came before.
    pub(super) fn append_to(self, batch: &mut Batch) -> Result<(), WireError> {
        for (network, class) in self.deltas {
            batch.deltas.push(FibDelta { prefix: network.try_into()?, class });
        }
        batch.retired.extend(self.retired);
        for (class, whose) in self.bound {
            batch.bound.push((class, whose.try_into()?));
        }
        Ok(())
    }
}

/// The parts of a batch, one after the other; the last one is the request to apply all of it.
pub(super) fn parts(batch: &Batch) -> impl Iterator<Item = Request> {
    let (mut deltas, mut retired, mut bound) =
        (batch.deltas.iter(), batch.retired.iter(), batch.bound.iter());
    let mut whole = false;
    std::iter::from_fn(move || {
        if whole {
            return None;
        }
        let mut part = Part::default();
        let delta = |delta: &FibDelta| (delta.prefix.into(), delta.class);
        part.deltas.extend(deltas.by_ref().take(PART).map(delta));
        part.retired.extend(retired.by_ref().take(PART - part.len()));
        let owner = |(class, owner): &(Class, Owner)| (*class, (*owner).into());
        part.bound.extend(bound.by_ref().take(PART - part.len()).map(owner));
        whole = deltas.len() + retired.len() + bound.len() == 0;
        Some(if whole { Request::Apply(part) } else { Request::More(part) })
    })
}

/// [`crate::datapath::Sweep`] without its lists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct WireSweep {
    /// Since 1970.
    pub(super) at: Duration,
    pub(super) took: Duration,
    /// The link, and for each hook its outcomes, and whether a side is counted.
    pub(super) links: Vec<(u16, [Option<WireHook>; 2])>,
}

/// A hook's part of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct WireHook {
    pub(super) outcomes: [Count; 5],
    pub(super) sides: [bool; 2],
}

pub(super) fn since_1970(at: SystemTime) -> Duration {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

pub(super) fn time_of(since: Duration) -> Result<SystemTime, WireError> {
    SystemTime::UNIX_EPOCH.checked_add(since).ok_or(WireError::Malformed("a time that is none"))
}

pub(super) const fn count(counter: Counter) -> Count {
    [counter.packets, counter.bytes]
}

pub(super) const fn counter([packets, bytes]: Count) -> Counter {
    Counter { packets, bytes }
}

/// [`Adopted`] without its owners.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct WireAdopted {
    pub(super) count: [u8; 16],
    /// Since 1970.
    pub(super) since: Duration,
    pub(super) recorded_here: bool,
    pub(super) links: Vec<WireAdoptedLink>,
    /// Links, hooks, and since when (1970).
    pub(super) missed: Vec<(u16, u8, Option<Duration>)>,
}

/// A link's label, and its outcomes by hook.
pub(super) type WireAdoptedLink = (String, Role, Option<LinkKind>, [[Count; 5]; 2]);

impl WireAdopted {
    pub(super) fn new(adopted: &Adopted) -> Self {
        let link = |link: &AdoptedLink| {
            let LinkLabel { name, role, kind } = &link.label;
            let outcomes = link.hooks.each_ref().map(|hook| hook.outcomes.map(count));
            (name.clone(), *role, *kind, outcomes)
        };
        Self {
            count: adopted.count.0,
            since: since_1970(adopted.since),
            recorded_here: adopted.recorded_here,
            links: adopted.links.iter().map(link).collect(),
            missed: adopted
                .missed
                .iter()
                .map(|missed| (missed.link.0, missed.hook as u8, missed.since.map(since_1970)))
                .collect(),
        }
    }

    /// With what owners had, by region.
    pub(super) fn lower(self, owners: Vec<(Region, Vec<(Owner, Counter)>)>) -> Result<Adopted, WireError> {
        let link =
            |(name, role, kind, outcomes): (String, Role, Option<LinkKind>, [[Count; 5]; 2])| AdoptedLink {
                label: LinkLabel { name, role, kind },
                hooks: outcomes
                    .map(|outcomes| AdoptedHook { outcomes: outcomes.map(counter), ..<_>::default() }),
            };
        let mut links: Vec<AdoptedLink> = self.links.into_iter().map(link).collect();
        for ((place, hook, side), owners) in owners {
            let link = links.get_mut(usize::from(place));
            let hook = link.and_then(|link| link.hooks.get_mut(usize::from(hook)));
            let side = hook.and_then(|hook| hook.sides.get_mut(usize::from(side)));
            side.ok_or(WireError::Malformed("a link that there is not"))?.extend(owners);
        }
        let missed = |(link, hook, since): (u16, u8, Option<Duration>)| {
            let hook = Hook::ALL.get(usize::from(hook)).copied();
            let hook = hook.ok_or(WireError::Malformed("no such hook"))?;
            Ok(Missed { link: LinkId(link), hook, since: since.map(time_of).transpose()? })
        };
        Ok(Adopted {
            count: CountId(self.count),
            since: time_of(self.since)?,
            recorded_here: self.recorded_here,
            links,
            missed: self.missed.into_iter().map(missed).collect::<Result<_, WireError>>()?,
        })
    }
}

/// All lists of one link after the other, in parts.
pub(super) fn regions<'a, T: 'a>(
    link: u16,
    sides: impl Iterator<Item = (Hook, usize, &'a [T])>,
) -> impl Iterator<Item = (Region, &'a [T])> {
    sides.flat_map(move |(hook, side, list)| {
        list.chunks(PART).map(move |part| ((link, hook as u8, side as u8), part))
    })
}
