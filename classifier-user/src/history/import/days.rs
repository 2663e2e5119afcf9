//! What AS-Stats had into the store: days before everything that was counted; and where nothing was counted yet, the
//! newest days as slots.

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan as _, tz::TimeZone};

use super::{
    AsStats, ImportError, PLACES,
    packed::Cursor,
    pieces::{Piece, Stretch},
};
use crate::{
    history::{
        ClosedSlot, Kind, LinkNo, Part, Peak, Period, Read as _, Row, SLOT_SECONDS, Sample, Subject,
        bits_per_second,
        store::{DayRow, Store},
    },
    model::{Counter, Direction, Role},
    table::groups::Groups,
};

/// What was taken over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// ASes with traffic.
    pub ases: u64,
    /// Days.
    pub days: u64,
    /// Slots of five minutes after them.
    pub slots: u64,
    /// From the first day to the last slot; `None`: nothing.
    pub period: Option<Period>,
    /// Bytes by [`Direction`].
    pub bytes: [u64; 2],
    /// When the history that was counted begins, where that cut something off.
    pub cut_off: Option<Timestamp>,
}

/// By link, then by [`Direction`].
type Samples = Vec<[Sample; 2]>;

/// Writes it to a store; `progress` is told how many of how many days are written.
///
/// Nothing that is there is changed: days that are not over before the first slot that was counted are left out. What is
/// of rows that are longer than a day's part is spread evenly.
///
/// # Errors
/// [`ImportError::Store`]; what was written by then is whole days, and another import begins after none of them.
pub fn write(
    stats: &AsStats,
    store: &mut Store,
    groups: &Groups,
    now: Timestamp,
    mut progress: impl FnMut(u64, u64),
) -> Result<Imported, ImportError> {
    let zone = store.zone().clone();
    let since = store.reader().extent().ok().and_then(|extent| extent.since);
    let end = (stats.first + stats.known.len() as i64) * SLOT_SECONDS;
    // From here on there are slots, or there is what was counted, or nothing is over yet.
    let (limit, with_slots) = match since {
        Some(since) => (since.as_second(), false),
        None => match day_after(stats.fine_from, &zone) {
            Some(fine) if fine < end => (fine, true),
            _ => (day_of(now.as_second(), &zone).map_or(end, |today| today.0), false),
        },
    };
    let days = days(stats.first * SLOT_SECONDS, end.min(limit), &zone);
    let mut writer = Writer::new(stats, store, groups)?;
    let all = days.len() as u64;
    for (done, day) in (1..).zip(days) {
        if day.1 <= limit {
            writer.day(day, store)?;
        }
        progress(done, all);
    }
    if with_slots {
        for number in limit.div_euclid(SLOT_SECONDS)..end.div_euclid(SLOT_SECONDS) {
            writer.slot(number, store)?;
        }
    }
    let mut imported = writer.imported;
    imported.ases = writer.active.iter().filter(|&&active| active).count() as u64;
    imported.cut_off = since.filter(|since| since.as_second() < end);
    if let Some(period) = imported.period {
        store.set_note("imported.until", &period.to.to_string())?;
    }
    Ok(imported)
}

struct Writer<'a> {
    stats: &'a AsStats,
    links: Vec<LinkNo>,
    cursors: Vec<Cursor>,
    /// Of each AS: whether anything of it was taken over.
    active: Vec<bool>,
    groups: &'a Groups,
    /// Given out to those that had traffic.
    group_numbers: BTreeMap<usize, Subject>,
    imported: Imported,
}

/// Sums and highest slots of what is summed up.
#[derive(Clone)]
struct Sums {
    /// Of the whole.
    samples: Samples,
    /// By slot, where slots are known.
    slots: Vec<Samples>,
}

impl Sums {
    fn new(links: usize, slots: usize) -> Self {
        Self { samples: vec![Default::default(); links], slots: vec![vec![Default::default(); links]; slots] }
    }

    fn add(&mut self, slot: usize, samples: &Samples) {
        let add = |into: &mut Samples| {
            for (sum, sample) in into.iter_mut().flatten().zip(samples.iter().flatten()) {
                *sum += *sample;
            }
        };
        add(&mut self.samples);
        if let Some(slot) = self.slots.get_mut(slot) {
            add(slot);
        }
    }

    /// The highest slot of a link and direction, where slots are known.
    fn peak(&self, link: usize, direction: usize, begins: i64) -> Option<Peak> {
        let mut highest: Option<Peak> = None;
        for (later, slot) in (0..).zip(&self.slots) {
            let bytes = slot.get(link)?.get(direction)?.both().bytes;
            let rate = bits_per_second(bytes, SLOT_SECONDS.unsigned_abs());
            if rate > 0 && highest.is_none_or(|highest| rate > highest.bits_per_second) {
                let at = Timestamp::from_second(begins + later * SLOT_SECONDS).ok()?;
                highest = Some(Peak { bits_per_second: rate, at });
            }
        }
        highest
    }
}

impl<'a> Writer<'a> {
    fn new(stats: &'a AsStats, store: &mut Store, groups: &'a Groups) -> Result<Self, ImportError> {
        let mut links = Vec::new();
        for link in &stats.links {
            let known =
                store.links().iter().find(|known| known.name == link.name && known.role == Role::Upstream);
            links.push(match known.map(|known| known.number) {
                Some(number) => number,
                None => store.link(&link.name, Role::Upstream, None)?,
            });
        }
        let count = stats.ases.len();
        Ok(Self {
            stats,
            links,
            cursors: vec![Cursor::default(); count],
            active: vec![false; count],
            groups,
            group_numbers: BTreeMap::new(),
            imported: Imported::default(),
        })
    }

    /// How many seconds of a stretch AS-Stats knows of.
    fn covered(&self, (from, to): Stretch) -> u64 {
        let place =
            |time: i64| usize::try_from(time.div_euclid(SLOT_SECONDS) - self.stats.first).unwrap_or(0);
        let slots = self.stats.known.get(place(from)..place(to).min(self.stats.known.len()));
        let count = slots.unwrap_or_default().iter().filter(|&&known| known).count();
        count as u64 * SLOT_SECONDS.unsigned_abs()
    }

    /// What an AS has in a stretch; `None` if nothing.
    fn samples(&mut self, place: usize, stretch: Stretch) -> Option<Samples> {
        let mut samples: Option<Samples> = None;
        let links = self.links.len();
        let add = |piece: &Piece, bytes: u64| {
            let samples = samples.get_or_insert_with(|| vec![Default::default(); links]);
            let (link, rest) = (piece.column / PLACES, piece.column % PLACES);
            let sample =
                samples.get_mut(usize::from(link)).and_then(|link| link.get_mut(usize::from(rest / 2)));
            if let Some(sample) = sample {
                // Packets are not known.
                let bytes = Counter { packets: 0, bytes };
                if rest % 2 == 0 { sample.ipv4 += bytes } else { sample.ipv6 += bytes }
            }
        };
        self.cursors.get_mut(place)?.within(&self.stats.ases.get(place)?.1, stretch, add);
        samples
    }

    fn group(&mut self, group: usize, store: &mut Store) -> Result<Option<Subject>, ImportError> {
        if let Some(&number) = self.group_numbers.get(&group) {
            return Ok(Some(number));
        }
        let Some(key) = self.groups.all().get(group).map(|group| group.key.as_str()) else { return Ok(None) };
        let number = store.group(key)?;
        self.group_numbers.insert(group, number);
        Ok(Some(number))
    }

    /// Everything of a stretch, by slot where all of it is known by slot.
    fn sums(
        &mut self,
        stretch: Stretch,
        store: &mut Store,
    ) -> Result<Vec<(Kind, Subject, Sums)>, ImportError> {
        let by_slot = stretch.0 >= self.stats.fine_from;
        let slots =
            if by_slot { usize::try_from((stretch.1 - stretch.0) / SLOT_SECONDS).unwrap_or(0) } else { 0 };
        let parts: Vec<Stretch> = match slots {
            0 => vec![stretch],
            _ => (0..slots as i64)
                .map(|slot| (stretch.0 + slot * SLOT_SECONDS, stretch.0 + (slot + 1) * SLOT_SECONDS))
                .collect(),
        };
        let links = self.links.len();
        let mut all = Vec::new();
        let mut total: Option<Sums> = None;
        let mut groups: BTreeMap<usize, Sums> = BTreeMap::new();
        for place in 0..self.stats.ases.len() {
            let mut sums: Option<Sums> = None;
            let asn = self.stats.ases.get(place).map_or(0, |known| known.0);
            let group = self.groups.of(asn);
            for (slot, &part) in parts.iter().enumerate() {
                let Some(samples) = self.samples(place, part) else { continue };
                sums.get_or_insert_with(|| Sums::new(links, slots)).add(slot, &samples);
                total.get_or_insert_with(|| Sums::new(links, slots)).add(slot, &samples);
                if let Some(group) = group {
                    groups.entry(group).or_insert_with(|| Sums::new(links, slots)).add(slot, &samples);
                }
            }
            if let Some(sums) = sums {
                if let Some(active) = self.active.get_mut(place) {
                    *active = true;
                }
                all.push((Kind::As, asn, sums));
            }
        }
        all.extend(total.map(|total| (Kind::Link, Part::Ip as Subject, total)));
        for (group, sums) in groups {
            all.extend(self.group(group, store)?.map(|number| (Kind::Group, number, sums)));
        }
        Ok(all)
    }

    fn day(&mut self, day: Stretch, store: &mut Store) -> Result<(), ImportError> {
        let covered = self.covered(day);
        let sums = self.sums(day, store)?;
        if covered == 0 && sums.is_empty() {
            return Ok(());
        }
        let mut rows = Vec::new();
        for (kind, subject, sums) in &sums {
            for (place, &link) in self.links.iter().enumerate() {
                for direction in Direction::ALL {
                    let index = direction as usize;
                    let sample = sums.samples.get(place).map_or_else(Sample::default, |link| link[index]);
                    if sample != Sample::default() {
                        let peak = sums.peak(place, index, day.0);
                        rows.push(DayRow { kind: *kind, subject: *subject, link, direction, sample, peak });
                        if *kind == Kind::Link {
                            self.imported.bytes[index] += sample.both().bytes;
                        }
                    }
                }
            }
        }
        rows.sort_unstable_by_key(DayRow::key);
        let Some(period) = period(day) else { return Ok(()) };
        store.import_day(period, covered, &rows)?;
        self.imported.days += 1;
        self.extend(period);
        Ok(())
    }

    fn slot(&mut self, number: i64, store: &mut Store) -> Result<(), ImportError> {
        let stretch = (number * SLOT_SECONDS, (number + 1) * SLOT_SECONDS);
        let covered = self.covered(stretch);
        let sums = self.sums(stretch, store)?;
        if covered == 0 && sums.is_empty() {
            return Ok(());
        }
        let mut rows = Vec::new();
        for (kind, subject, sums) in &sums {
            for (&link, samples) in self.links.iter().zip(&sums.samples) {
                for (direction, &sample) in Direction::ALL.into_iter().zip(samples) {
                    if sample != Sample::default() {
                        rows.push(Row { kind: *kind, subject: *subject, link, direction, sample });
                        if *kind == Kind::Link {
                            self.imported.bytes[direction as usize] += sample.both().bytes;
                        }
                    }
                }
            }
        }
        rows.sort_unstable_by_key(Row::key);
        store.append(&ClosedSlot { number, covered: covered as u32, rows })?;
        self.imported.slots += 1;
        if let Some(period) = period(stretch) {
            self.extend(period);
        }
        Ok(())
    }

    fn extend(&mut self, period: Period) {
        let from = self.imported.period.map_or(period.from, |before| before.from);
        self.imported.period = Some(Period { from, to: period.to });
    }
}

fn period((from, to): Stretch) -> Option<Period> {
    Some(Period { from: Timestamp::from_second(from).ok()?, to: Timestamp::from_second(to).ok()? })
}

/// The day of a zone that a time is in.
fn day_of(time: i64, zone: &TimeZone) -> Option<Stretch> {
    let start = Timestamp::from_second(time).ok()?.to_zoned(zone.clone()).start_of_day().ok()?;
    let end = start.checked_add(1.day()).ok()?.start_of_day().ok()?;
    Some((start.timestamp().as_second(), end.timestamp().as_second()))
}

/// When the first day begins that does so at or after a time.
fn day_after(time: i64, zone: &TimeZone) -> Option<i64> {
    let day = day_of(time, zone)?;
    Some(if day.0 == time { day.0 } else { day.1 })
}

/// The days that a stretch touches.
fn days(from: i64, to: i64, zone: &TimeZone) -> Vec<Stretch> {
    let mut days = Vec::new();
    let mut at = from;
    while at < to {
        let Some(day) = day_of(at, zone).filter(|day| day.1 > at) else { break };
        days.push(day);
        at = day.1;
    }
    days
}
