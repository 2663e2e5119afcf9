//! Times in which links were not counted: what is known of them at the start, while they last, and when they are over.

use std::time::SystemTime;

use jiff::Timestamp;
use tracing::{debug, info, warn};

use super::{core::Core, follow::Place};
use crate::{
    config::RunPlan,
    datapath::{
        adopted::{Adopted, Missed},
        beside,
    },
    history::recorder,
    model::LinkId,
    totals::answer::GapStatus,
};

/// Gaps that the status shows, at most: the latest.
const SHOWN: usize = 32;

/// What was not counted when this agent began, and since when, with `to` null: gaps that the one before left, and what
/// nobody was there to see.
pub(super) fn before(plan: &RunPlan, adopted: Option<&Adopted>) -> Vec<GapStatus> {
    let directory = plan.state_dir.as_deref();
    let mut gaps = directory.map(recorder::lasting_gaps).unwrap_or_default();
    let Some(adopted) = adopted.filter(|adopted| !adopted.missed.is_empty()) else { return gaps };
    let recorded = directory.and_then(|directory| recorder::last_recorded(directory, adopted.count));
    for (number, link) in (0..).map(LinkId).zip(&plan.links) {
        let missed: Vec<&Missed> = adopted.missed.iter().filter(|missed| missed.link == number).collect();
        if missed.is_empty() || gaps.iter().any(|gap| gap.link == link.name) {
            continue;
        }
        let hooks: Vec<_> = missed.iter().map(|missed| beside::side(missed.hook)).collect();
        let (hooks, interface) = (hooks.join(" and "), &link.interface);
        let seen = missed.iter().filter_map(|missed| missed.since).min();
        let (from, why) = if missed.iter().all(|missed| missed.since.is_some()) {
            (seen, format!("{hooks} of {interface} was attached anew"))
        } else {
            let why = format!("what counted {hooks} of {interface} was gone when the agent began");
            let last = recorded.map_or("an unknown time".to_owned(), |at| timestamp(at).to_string());
            warn!("{}: {why}: nothing was counted there from some time after {last} on", link.name);
            (recorded, if recorded.is_some() { why } else { format!("{why}; since when is not known") })
        };
        let from = timestamp(from.unwrap_or_else(SystemTime::now));
        gaps.push(GapStatus { link: link.name.clone(), from, to: None, why });
    }
    if let Some(directory) = directory {
        recorder::keep_lasting_gaps(directory, &gaps);
    }
    gaps
}

impl Core {
    /// Notes interfaces that are not there at the start, and goes on with gaps of `before` that last; those of links that
    /// are counted now are over, and so are those of links that this agent does not have.
    pub(super) fn begin_gaps(&mut self, before: Vec<GapStatus>) {
        let now = SystemTime::now();
        let mut places = std::mem::take(&mut self.places);
        let mut over = before;
        for place in places.iter_mut().filter(|place| place.ifindex == 0) {
            let names = self.names(&place.links);
            let its = over.extract_if(.., |gap| names.contains(&gap.link));
            let earliest = its.min_by_key(|gap| gap.from).map(|gap| (gap.from.into(), gap.why));
            place.gap = earliest.or_else(|| Some((now, format!("{} is not there yet", place.name))));
        }
        self.places = places;
        let known = !over.is_empty() || self.places.iter().any(|place| place.gap.is_some());
        for gap in over {
            let seconds = timestamp(now).duration_since(gap.from).as_secs_f64();
            info!("{}: {}; nothing was counted there for {seconds:.1} s", gap.link, gap.why);
            self.close_gap(GapStatus { to: Some(timestamp(now)), ..gap });
        }
        if known {
            // They are recorded from the first moment on.
            self.try_sweep();
        }
    }

    /// Sees on which interfaces programs were taken off: that is a gap from when they were there the last time.
    pub(super) fn miss_hooks(&mut self) {
        let mut places = std::mem::take(&mut self.places);
        let gone: Vec<_> = places.iter().map(|place| self.gone_of(place)).collect();
        for (place, gone) in places.iter_mut().zip(gone).filter(|(place, _)| place.ifindex != 0) {
            if let Some(why) = gone {
                let since = place.gap.as_ref().map_or(self.looked, |(since, _)| *since);
                place.gap = Some((since, why));
            } else {
                self.end_gap(place);
            }
        }
        self.places = places;
    }

    /// Why nothing is counted on a hook of an interface that is there.
    fn gone_of(&self, place: &Place) -> Option<String> {
        let now = &self.status.attachments;
        let now = place.links.iter().find_map(|link| now.iter().find(|now| now.link == *link))?;
        match self.gone_hooks(now).as_slice() {
            [] => None,
            [hook] => Some(format!("the program on {hook} of {} was taken off", place.name)),
            hooks => {
                Some(format!("the programs on {} of {} were taken off", hooks.join(" and "), place.name))
            }
        }
    }

    /// The agent ends. Where the kernel counts on, gaps that last are the next one's to end; else nothing is counted any
    /// more, and they are recorded as far as they go.
    pub(super) fn end_gaps(&mut self) {
        if self.keep {
            return;
        }
        for gap in self.open_gaps() {
            self.close_gap(GapStatus { to: Some(timestamp(SystemTime::now())), ..gap });
        }
        self.places.iter_mut().for_each(|place| place.gap = None);
    }

    /// A place is counted again: its gap, if it has one, is over.
    pub(super) fn end_gap(&mut self, place: &mut Place) {
        let Some((from, why)) = place.gap.take() else { return };
        let (from, to) = (timestamp(from), Some(timestamp(SystemTime::now())));
        for link in self.names(&place.links) {
            self.close_gap(GapStatus { link, from, to, why: why.clone() });
        }
    }

    /// Takes a gap that is over.
    pub(super) fn close_gap(&mut self, gap: GapStatus) {
        debug!("gap: {gap:?}");
        if let Some(history) = &mut self.history {
            history.note(gap.clone());
        }
        if let Some(number) = self.links.iter().position(|(link, _)| link.name == gap.link) {
            let sums = &mut self.status.link_gaps;
            sums.resize(sums.len().max(number + 1), <_>::default());
            if let (Some(sum), Some(to)) = (sums.get_mut(number), gap.to) {
                sum.0 += 1;
                sum.1 += to.duration_since(gap.from).unsigned_abs();
            }
        }
        self.gaps.push(gap);
        let over = self.gaps.len().saturating_sub(SHOWN);
        self.gaps.drain(..over);
    }

    /// Gaps that last.
    pub(super) fn open_gaps(&self) -> Vec<GapStatus> {
        let open = self.places.iter().filter_map(|place| Some((place, place.gap.as_ref()?)));
        open.flat_map(|(place, (from, why))| {
            self.names(&place.links).into_iter().map(|link| GapStatus {
                link,
                from: timestamp(*from),
                to: None,
                why: why.clone(),
            })
        })
        .collect()
    }

    /// All gaps that the status shows, and what is to be said of interfaces.
    pub(super) fn gaps_status(&self) -> (Vec<GapStatus>, Vec<String>) {
        let open = self.open_gaps();
        // Of programs that were taken off, more is said elsewhere.
        let away = self.places.iter().filter(|place| place.ifindex == 0).flat_map(|place| {
            let why = place.gap.iter().map(|(_, why)| why);
            let names = self.names(&place.links);
            why.flat_map(move |why| {
                names.clone().into_iter().map(move |link| format!("{link}: {why}: nothing is counted there"))
            })
        });
        let renamed = self.places.iter().filter_map(|place| {
            let name = place.renamed.as_ref()?;
            Some(format!(
                "{} is called {name} now: it is counted on, and not found at the next start",
                place.name
            ))
        });
        let warnings = away.chain(renamed).collect();
        (self.gaps.iter().cloned().chain(open).collect(), warnings)
    }
}

fn timestamp(at: SystemTime) -> Timestamp {
    Timestamp::try_from(at).unwrap_or(Timestamp::UNIX_EPOCH)
}
