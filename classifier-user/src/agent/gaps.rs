//! Times in which links were not counted: what is known of them at the start, while they last, and when they are over.

use std::time::SystemTime;

use jiff::Timestamp;
use tracing::{debug, info};

use super::core::Core;
use crate::totals::answer::GapStatus;

/// Gaps that the status shows, at most: the latest.
const SHOWN: usize = 32;

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
        let away = open.iter().map(|gap| format!("{}: {}: nothing is counted there", gap.link, gap.why));
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

pub(super) fn timestamp(at: SystemTime) -> Timestamp {
    Timestamp::try_from(at).unwrap_or(Timestamp::UNIX_EPOCH)
}
