//! The history's store: what a slot costs to write, what a row takes on disk, how long questions take.

use std::{path::Path, sync::Arc, time::Instant};

use anyhow::{Context as _, Result};
use classifier_user::{
    history::{
        ClosedSlot, Kind, LinkNo, Links, Part, Period, Read as _, Row, SLOT_SECONDS, Sample, Step, Subject,
        store::{DayRow, Options, Store},
    },
    model::{Counter, Direction, LinkKind, Role},
};
use jiff::{Timestamp, ToSpan as _, Zoned, tz::TimeZone};

use crate::{
    keys::Random,
    measure::{median, seconds_of_all},
    page::{Pages, slot_ended},
    report::{Cell, Goal, Section, Table, Target},
};

/// Shares of the traffic of four upstream links.
const LINKS: [f64; 4] = [0.5, 0.25, 0.15, 0.1];
/// Bits a second in and out of the whole, on average.
const RATES: [f64; 2] = [20e9, 3e9];
/// ASes active in a slot: at worst, and usually.
const WORST: usize = 80_000;
const USUAL: usize = 5_000;
/// Of the usual ones those that always are; the others are drawn from as many as are active on a day.
const ALWAYS: usize = 3_000;
const DAY: usize = 20_000;
/// Days of slots, and slots of the day that is not over.
const DAYS: i64 = 30;
const TODAY: i64 = 88;
/// Slots of the worst case.
const WORST_SLOTS: i64 = 24;
/// Turns of a question.
const TURNS: usize = 5;
const ZONE: &str = "Europe/Paris";
const MIB: f64 = 1048576.0;

/// An AS: its share by Zipf's law, and habits that it has all the time.
struct Network {
    asn: Subject,
    /// Of all bytes while it is active.
    share: f64,
    /// Bytes of a packet by direction.
    sizes: [f64; 2],
    /// Of its bytes IPv6.
    ipv6: f64,
}

/// The traffic: the same in every run.
struct Traffic {
    networks: Vec<Network>,
    random: Random,
}

fn part(random: &mut Random) -> f64 {
    (random.next() >> 11) as f64 / (1u64 << 53) as f64
}

impl Traffic {
    /// Of so many ASes.
    fn new(count: usize) -> Self {
        let mut random = Random::new(11);
        let harmonic: f64 = (1..=count).map(|rank| 1.0 / rank as f64).sum();
        // Numbers without relation to size.
        let mut numbers = random.shuffled(400_000);
        numbers.retain(|&number| number > 0);
        let networks = numbers.into_iter().zip(1..=count).map(|(asn, rank)| Network {
            asn: asn as Subject,
            share: 1.0 / rank as f64 / harmonic,
            sizes: [700.0 + 700.0 * part(&mut random), 70.0 + 200.0 * part(&mut random)],
            ipv6: if random.below(10) < 4 { 0.6 * part(&mut random) } else { 0.0 },
        });
        Self { networks: networks.collect(), random }
    }

    /// What a network has on a link in a direction in so many seconds: a third more or less than usual, its packets a few
    /// bytes larger or smaller.
    fn sample(random: &mut Random, network: &Network, link: usize, direction: usize, seconds: f64) -> Sample {
        let usual = network.share * LINKS[link] * RATES[direction] / 8.0 * seconds;
        let mut counter = |share: f64| {
            let noise = random.next();
            let bytes = usual * share * (0.67 + 0.66 * (noise & 0xffff) as f64 / 65536.0);
            let size = network.sizes[direction] * (0.95 + 0.1 * (noise >> 16 & 0xffff) as f64 / 65536.0);
            let packets = (bytes / size).ceil().max(1.0);
            Counter { packets: packets as u64, bytes: (packets * size) as u64 }
        };
        let ipv4 = counter(1.0 - network.ipv6);
        Sample { ipv4, ipv6: if network.ipv6 > 0.0 { counter(network.ipv6) } else { Counter::ZERO } }
    }

    /// Which are active in a slot.
    fn active(&mut self, count: usize) -> Vec<usize> {
        if count == self.networks.len() {
            return (0..count).collect();
        }
        let mut active: Vec<usize> = (0..ALWAYS).collect();
        let mut seen = vec![false; self.networks.len()];
        while active.len() < count {
            let one = ALWAYS + self.random.below(self.networks.len() - ALWAYS);
            if !std::mem::replace(&mut seen[one], true) {
                active.push(one);
            }
        }
        active
    }

    /// A slot with so many ASes, on every link in both directions.
    fn slot(&mut self, number: i64, count: usize) -> ClosedSlot {
        let active = self.active(count);
        // The evening has four times the traffic of the early morning.
        let hour = (number % 288) as f64 / 12.0;
        let busy = 1.0 + 0.6 * ((hour - 20.0) / 24.0 * std::f64::consts::TAU).cos();
        let mut rows = Vec::with_capacity(active.len() * 8 + 8);
        let mut totals = [[Sample::default(); 2]; 4];
        for one in active {
            let network = &self.networks[one];
            for (link, totals) in totals.iter_mut().enumerate() {
                for direction in Direction::ALL {
                    let seconds = SLOT_SECONDS as f64 * busy;
                    let sample = Self::sample(&mut self.random, network, link, direction as usize, seconds);
                    totals[direction as usize] += sample;
                    let (subject, link) = (network.asn, LinkNo(link as u8));
                    rows.push(Row { kind: Kind::As, subject, link, direction, sample });
                }
            }
        }
        for (link, totals) in totals.into_iter().enumerate() {
            for (direction, sample) in Direction::ALL.into_iter().zip(totals) {
                let (subject, link) = (Part::Ip as u32, LinkNo(link as u8));
                rows.push(Row { kind: Kind::Link, subject, link, direction, sample });
            }
        }
        rows.sort_unstable_by_key(Row::key);
        ClosedSlot { number, covered: SLOT_SECONDS as u32, rows }
    }

    /// A day of all of them.
    fn day(&mut self, from: Timestamp) -> Vec<DayRow> {
        let mut rows = Vec::with_capacity(self.networks.len() * 8);
        for network in &self.networks {
            for link in 0..LINKS.len() {
                for direction in Direction::ALL {
                    let sample = Self::sample(&mut self.random, network, link, direction as usize, 86400.0);
                    let rate = sample.both().bytes / 8000 + self.random.below(1000) as u64;
                    let at = from.as_second() + self.random.below(288) as i64 * SLOT_SECONDS;
                    let peak = Timestamp::from_second(at)
                        .ok()
                        .map(|at| classifier_user::history::Peak { bits_per_second: rate, at });
                    let link = LinkNo(link as u8);
                    rows.push(DayRow { kind: Kind::As, subject: network.asn, link, direction, sample, peak });
                }
            }
        }
        rows.sort_unstable_by_key(DayRow::key);
        rows
    }

    /// The AS of the k-th rank.
    fn asn(&self, rank: usize) -> Subject {
        self.networks[rank].asn
    }
}

fn open(dir: &Path) -> Result<Store> {
    let mut store = Store::open(dir, Options::new(TimeZone::get(ZONE)?, "bench"))?.store;
    for (number, _) in LINKS.iter().enumerate() {
        store.link(&format!("transit{number}"), Role::Upstream, Some(LinkKind::Transit))?;
    }
    Ok(store)
}

/// What a store takes, and how many rows of slots it has.
fn size(store: &Store, step: Step) -> Result<(f64, f64)> {
    let usage = store.usage()?;
    let rows: u64 = store.sizes()?.iter().filter(|size| size.step == step).map(|size| size.rows).sum();
    Ok(((usage.file - usage.free) as f64, rows as f64))
}

/// What writing slots took.
#[derive(Default)]
struct Writing {
    slots: Vec<f64>,
    longest: f64,
    maintenance: f64,
    steps: f64,
    longest_step: f64,
}

impl Writing {
    fn append(&mut self, store: &mut Store, slot: &ClosedSlot) -> Result<()> {
        let began = Instant::now();
        store.append(slot)?;
        let took = began.elapsed().as_secs_f64();
        self.slots.push(took);
        self.longest = self.longest.max(took);
        loop {
            let began = Instant::now();
            let more = store.maintain()?;
            let took = began.elapsed().as_secs_f64();
            self.maintenance += took;
            self.steps += 1.0;
            self.longest_step = self.longest_step.max(took);
            if !more {
                return Ok(());
            }
        }
    }

    fn row(&self, table: &mut Table, name: &str, store: &Store) -> Result<f64> {
        let (bytes, rows) = size(store, Step::Slot)?;
        table.row([
            Cell::text(name),
            Cell::Whole(self.slots.len() as u64),
            Cell::Whole(rows as u64),
            Cell::Number(median(self.slots.clone()) * 1e3, 1),
            Cell::Number(self.longest * 1e3, 1),
            Cell::Number(self.maintenance / self.slots.len() as f64 * 1e3, 1),
            Cell::Number(self.longest_step * 1e3, 1),
            Cell::Number(bytes / MIB, 1),
            Cell::Number(bytes / rows, 2),
        ]);
        Ok(bytes / rows)
    }
}

/// What answering took: seconds, and CPU seconds of all threads.
#[derive(Default)]
struct Took {
    times: Vec<f64>,
    cpu: Vec<f64>,
}

impl Took {
    fn turn<T>(&mut self, question: impl FnOnce() -> Result<T>) -> Result<()> {
        let began = Instant::now();
        let (spent, answer) = seconds_of_all(question)?;
        std::hint::black_box(answer?);
        self.times.push(began.elapsed().as_secs_f64());
        self.cpu.push(spent);
        Ok(())
    }
}

struct Questions {
    table: Table,
}

impl Questions {
    fn ask<T>(&mut self, name: &str, mut question: impl FnMut() -> Result<T>) -> Result<f64> {
        let mut took = Took::default();
        for _ in 0..TURNS {
            took.turn(&mut question)?;
        }
        Ok(self.row(name, took))
    }

    /// The medians; milliseconds of CPU time.
    fn row(&mut self, name: &str, took: Took) -> f64 {
        let [time, cpu] = [took.times, took.cpu].map(|samples| median(samples) * 1e3);
        self.table.row([Cell::text(name), Cell::Number(time, 1), Cell::Number(cpu, 1)]);
        cpu
    }

    /// Pages; milliseconds of CPU time of the slowest that was looked at before, just after a slot.
    fn pages(
        &mut self,
        pages: &Pages,
        asns: [Subject; 1 + TURNS],
        mut next_slot: impl FnMut() -> Result<()>,
    ) -> Result<f64> {
        let [asn, others @ ..] = asns;
        let asked = [
            ("page, 24 hours", "/?last=24h".to_owned()),
            ("page, 30 days", "/?last=30d".to_owned()),
            ("page of an AS, 30 days", format!("/as/{asn}?last=30d")),
        ];
        for (name, path) in &asked {
            self.ask(&format!("{name}: nobody looked at any lately"), || pages.ask(&pages.agent(), path))?;
        }
        let agent = pages.agent();
        agent.make_ready()?;
        for (_, path) in &asked {
            pages.ask(&agent, path)?;
        }
        let [mut ready, mut other] = [Took::default(), Took::default()];
        let mut first = asked.each_ref().map(|_| Took::default());
        for asn in others {
            next_slot()?;
            ready.turn(|| agent.make_ready())?;
            for ((_, path), took) in asked.iter().zip(&mut first) {
                took.turn(|| pages.ask(&agent, path))?;
            }
            other.turn(|| pages.ask(&agent, &format!("/as/{asn}?last=30d")))?;
        }
        let mut slowest = 0.0_f64;
        for ((name, _), took) in asked.iter().zip(first) {
            slowest = slowest.max(self.row(&format!("{name}: just after a slot"), took));
        }
        self.row("page of another AS, 30 days: nobody looked at it lately", other);
        self.row("making these ready, behind the pages", ready);
        Ok(slowest)
    }
}

fn at(slot: i64) -> Result<Timestamp> {
    Ok(Timestamp::from_second(slot * SLOT_SECONDS)?)
}

/// The largest hundred by bytes in, and what all have.
fn largest(sums: &classifier_user::history::Sums) -> Vec<Subject> {
    let mut rows: Vec<_> = sums.rows.iter().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.samples[0].both().bytes));
    rows.iter().take(100).map(|row| row.subject).collect()
}

pub(crate) fn run() -> Result<Section> {
    let dir = tempfile::Builder::new().prefix("history").tempdir_in("/var/tmp")?;
    let mut writing = Table::new(
        "writing",
        "Writing slots (5 minutes); maintenance merges them to hours and days, and sums them up",
        &[
            ("density", "ASes a slot"),
            ("slots", "slots"),
            ("rows", "rows"),
            ("append_ms", "append, ms"),
            ("append_longest_ms", "longest"),
            ("maintenance_ms", "maintenance a slot, ms"),
            ("step_longest_ms", "longest step"),
            ("mib", "on disk, MiB"),
            ("row_bytes", "bytes a row"),
        ],
    );
    let columns = &[("question", "question"), ("ms", "ms"), ("cpu_ms", "CPU, ms")];
    let mut questions = Questions {
        table: Table::new(
            "questions",
            "Questions, the file in the page cache; targets are of CPU time, as everywhere here",
            columns,
        ),
    };

    // The worst case: 80,000 ASes on 4 links in both directions.
    let first: Zoned = "2026-10-01T00:00[Europe/Paris]".parse()?;
    let first_slot = first.timestamp().as_second() / SLOT_SECONDS;
    let mut traffic = Traffic::new(WORST);
    let mut store = open(&dir.path().join("worst"))?;
    let mut worst = Writing::default();
    for number in first_slot..first_slot + WORST_SLOTS {
        worst.append(&mut store, &traffic.slot(number, WORST))?;
    }
    let worst_row = worst.row(&mut writing, "80,000", &store)?;
    drop(store);

    // The usual one.
    let mut traffic = Traffic::new(DAY);
    let mut store = open(&dir.path().join("usual"))?;
    let mut usual = Writing::default();
    let last = first_slot + DAYS * 288 + 12 + TODAY;
    for number in first_slot..last {
        usual.append(&mut store, &traffic.slot(number, USUAL))?;
    }
    let usual_row = usual.row(&mut writing, "5,000", &store)?;
    let reader = store.reader();
    let month = Period { from: at(last - DAYS * 288)?, to: at(last)? };
    let one = questions.ask("one AS, 30 days at 5 minutes", || {
        Ok(reader.series(Kind::As, &[traffic.asn(9)], month, &Links::Isp, Step::Slot)?)
    })?;
    questions.ask("one AS, 30 days by the hour", || {
        Ok(reader.series(Kind::As, &[traffic.asn(9)], month, &Links::Isp, Step::Hour)?)
    })?;
    let top =
        questions.ask("top 100 of 30 days", || Ok(largest(&reader.sums(Kind::As, month, &Links::Isp)?)))?;
    questions.ask("top 100 of 30 days on one link", || {
        Ok(largest(&reader.sums(Kind::As, month, &Links::Only(vec![LinkNo(1)]))?))
    })?;
    let day = Period { from: at(last - 288)?, to: at(last)? };
    questions.ask("top 100 of 24 hours", || Ok(largest(&reader.sums(Kind::As, day, &Links::Isp)?)))?;
    let names: Vec<String> = (0..LINKS.len()).map(|number| format!("transit{number}")).collect();
    let pages = Pages::new(Arc::new(store.reader()), &names, at(last)?)?;
    let mut number = last;
    let page = questions.pages(&pages, std::array::from_fn(|rank| traffic.asn(9 + rank)), || {
        usual.append(&mut store, &traffic.slot(number, USUAL))?;
        number += 1;
        slot_ended(at(number)?);
        Ok(())
    })?;
    drop(store);
    std::fs::remove_dir_all(dir.path().join("usual"))?;

    // A year of days.
    let mut store = open(&dir.path().join("year"))?;
    let mut from: Zoned = "2025-10-01T00:00[Europe/Paris]".parse()?;
    let year_from = from.timestamp();
    for _ in 0..365 {
        let to = from.checked_add(1.day())?;
        let seconds = to.timestamp().as_second() - from.timestamp().as_second();
        let rows = traffic.day(from.timestamp());
        let period = Period { from: from.timestamp(), to: to.timestamp() };
        store.import_day(period, seconds.unsigned_abs(), &rows).context("a day")?;
        while store.maintain()? {}
        from = to;
    }
    let (bytes, rows) = size(&store, Step::Day)?;
    let reader = store.reader();
    let year = Period { from: year_from, to: from.timestamp() };
    let year_top =
        questions.ask("top 100 of a year", || Ok(largest(&reader.sums(Kind::As, year, &Links::Isp)?)))?;
    questions.ask("one AS, a year by the day", || {
        Ok(reader.series(Kind::As, &[traffic.asn(9)], year, &Links::Isp, Step::Day)?)
    })?;
    drop(store);

    Ok(Section {
        about: format!(
            "The history's store: 4 upstream links, every AS on each of them in both directions, bytes by Zipf's law,\n\
             40 % of ASes with IPv6. Worst case: {WORST_SLOTS} slots with {WORST} ASes. Usual: {DAYS} days and {} slots\n\
             with {USUAL} ASes, {DAY} different ones a day; a year of days with {DAY} ASes.",
            12 + TODAY
        ),
        tables: vec![writing, questions.table],
        targets: vec![
            Target {
                what: "writing a slot of 80,000 ASes",
                value: worst.longest,
                goal: Goal::AtMost(2.0),
                unit: "s",
            },
            Target {
                what: "a row on disk, 80,000 ASes a slot",
                value: worst_row,
                goal: Goal::AtMost(12.0),
                unit: "bytes",
            },
            Target {
                what: "a row on disk, 5,000 ASes a slot",
                value: usual_row,
                goal: Goal::AtMost(12.0),
                unit: "bytes",
            },
            Target {
                what: "one AS over 30 days at 5 minutes",
                value: one,
                goal: Goal::AtMost(150.0),
                unit: "ms",
            },
            Target { what: "top 100 of 30 days", value: top, goal: Goal::AtMost(500.0), unit: "ms" },
            Target {
                what: "a page of 30 days that is looked at",
                value: page,
                goal: Goal::AtMost(50.0),
                unit: "ms",
            },
            Target { what: "a year's daily top 100", value: year_top, goal: Goal::AtMost(500.0), unit: "ms" },
        ],
        notes: vec![format!(
            "Bytes a row are of the whole file, with roll-ups, over the rows of slots. The year's days take {:.0} MiB, \
             {:.1} bytes a row.",
            bytes / MIB,
            bytes / rows
        )],
    })
}
