//! Whom to ask for a session: networks whose traffic comes over paid transit, and how much of it a session would free.
//!
//! - **Over transit** is what was counted on links of the kind `transit`. That is exact, whatever paths say.
//! - **A network** is an AS by what it is the origin of. **A cone** is an AS by that and by what it carries for others:
//!   what a session would bring if it announced there all that goes through it today, which is the most.
//! - **Transits**, which are no candidates, are the neighbours named in `transit_ases`. Where none is named, those by way of
//!   which at least a twentieth of what goes *out* over a transit link goes: out, because there the path says the link.

use std::collections::{HashMap, HashSet};

use super::super::{
    When,
    answer::{PeeringAnswer, PeeringCandidate, PeeringLink, PeeringPart, PeeringTransit},
    past::{Board, Chosen, Past, counter_of, of, only},
};
use crate::{
    history::{
        Kind, LinkNo, Links, Part, Period, Point, REST, SLOT_SECONDS, Sample, Step, StoredLink, Subject,
        bits_per_second, percentile_95,
    },
    model::{Asn, Direction, LinkKind, Locality, Role},
    totals::{
        By, Clock, QueryError,
        answer::Granularity,
        query::{self, Pair, Window},
        top::{Scale, ratio},
    },
};

/// The most candidates of each sort.
const MOST: usize = 50;
/// Of what goes out over a transit link a twentieth goes by way of a transit.
const TRANSIT_SHARE: u64 = 20;
/// The longest period that has a 95th percentile.
const P95_DAYS: i64 = 100;
const MONTH: std::time::Duration = std::time::Duration::from_secs(30 * 86_400);

/// A question for a peering report.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeeringQuery {
    /// Which period.
    pub when: When,
    /// The direction that is looked at.
    pub direction: Direction,
    /// Only these links, by name; empty: all of the kind `transit`.
    pub links: Vec<String>,
    /// How many candidates of each sort, 1 to 50.
    pub n: usize,
}

impl Default for PeeringQuery {
    fn default() -> Self {
        Self { when: When::Last(MONTH), direction: Direction::In, links: Vec::new(), n: 10 }
    }
}

impl PeeringQuery {
    /// Reads a URL's query.
    ///
    /// # Errors
    /// [`QueryError::BadParameter`], [`QueryError::UnknownParameter`], [`QueryError::BadPeriod`].
    pub fn from_pairs(pairs: &[Pair], clock: &Clock) -> Result<Self, QueryError> {
        const KNOWN: &str = "direction, link, last, from, to, n";
        let default = Self::default();
        let mut window = Window::default();
        let mut n = default.n;
        for (name, value) in pairs {
            match name.as_str() {
                "n" => n = query::number("n", value, MOST)?,
                "side" | "compare" => return Err(query::unknown(name, KNOWN)),
                _ if window.take(name, value)? => {}
                _ => return Err(query::unknown(name, KNOWN)),
            }
        }
        let when = window.when(clock, default.when)?;
        let Window { direction, links, .. } = window;
        Ok(Self { when, direction: direction.unwrap_or(default.direction), links, n })
    }
}

/// A link's slots: seconds counted, and bytes of the direction.
type Course = Vec<(u32, u64)>;

/// What was read once.
struct Reading<'a> {
    past: &'a Past,
    direction: Direction,
    period: Period,
    /// Bytes over transit.
    bytes: u64,
    covered: u64,
    transit: Vec<StoredLink>,
    /// Of all frames, by link.
    courses: Vec<Course>,
    /// Whether slots of the whole period are kept, and it is not too long for a percentile.
    fine: bool,
    /// The neighbours of the period, on whatever link.
    neighbors: HashSet<Asn>,
}

impl Past {
    pub(in super::super) fn peering(
        &self,
        query: &PeeringQuery,
        own: &[Asn],
        configured: &[Asn],
    ) -> Result<PeeringAnswer, QueryError> {
        if !self.context.count.counts(Locality::Remote) {
            let side = Locality::Remote;
            return Err(QueryError::SideNotCounted { side, count: self.context.count.name() });
        }
        let direction = query.direction;
        let whole = self.choose(&query.links)?;
        let transit = self.transit_links(&whole);
        if transit.is_empty() {
            return Err(QueryError::NoTransit);
        }
        let over = Chosen {
            links: Links::Only(transit.iter().map(|link| link.number).collect()),
            stored: transit.clone(),
        };
        let ases = self.board(Some(By::As), self.period(query.when), &over)?;
        let all = self.board(None, ases.period, &whole)?;
        let by_path = self.context.granularity == Granularity::Prefix;
        let neighbors = self.sums(Kind::Neighbor, ases.period, &whole.links)?;
        let mut reading = Reading {
            past: self,
            direction,
            period: ases.period,
            bytes: counter_of(&ases.total, direction).bytes,
            covered: ases.covered,
            transit,
            courses: Vec::new(),
            fine: ases.period.seconds() <= P95_DAYS * 86_400,
            neighbors: neighbors.rows.iter().map(|row| row.subject).collect(),
        };
        reading.read_courses()?;
        let transits = self.transits(&ases, &over, configured)?;
        let excluded: HashSet<Asn> =
            own.iter().copied().chain(transits.iter().map(|transit| transit.asn)).collect();
        let through = match by_path {
            true => self.sums(Kind::Transit, ases.period, &over.links)?.rows.clone(),
            false => Vec::new(),
        };
        let networks: Vec<(Asn, u64, u64)> =
            ases.rows.iter().map(|(asn, samples)| (*asn, of(samples, direction).both().bytes, 0)).collect();
        let origin: HashMap<Asn, u64> = networks.iter().map(|&(asn, bytes, _)| (asn, bytes)).collect();
        let cones = through.iter().map(|row| {
            let carried = of(&row.samples, direction).both().bytes;
            (row.subject, origin.get(&row.subject).copied().unwrap_or(0), carried)
        });
        let largest = |mut list: Vec<(Asn, u64, u64)>| {
            list.retain(|(asn, own, carried)| own + carried > 0 && *asn != REST && !excluded.contains(asn));
            list.sort_unstable_by_key(|&(asn, own, carried)| (std::cmp::Reverse(own + carried), asn));
            list.truncate(query.n);
            list
        };
        let candidates = largest(networks);
        let cones = largest(cones.filter(|&(_, _, carried)| carried > 0).collect());
        let total = counter_of(&all.total, direction);
        let scale = Scale { seconds: reading.covered as f64, bytes: total.bytes };
        Ok(PeeringAnswer {
            router: self.context.router.clone(),
            from: reading.period.from,
            to: reading.period.to,
            zone: self.zone(),
            since: self.extent.since,
            covered: ases.coverage(),
            direction,
            total: scale.total(total),
            transit: PeeringPart {
                bytes: reading.bytes,
                share: scale.share(reading.bytes),
                bits_per_second: scale.bits_per_second(reading.bytes),
                p95_bits_per_second: reading.p95(&reading.together()),
            },
            links: reading.links(),
            transits,
            networks: reading.candidates(&candidates, false)?,
            cones: reading.candidates(&cones, true)?,
        })
    }

    fn transit_links(&self, chosen: &Chosen) -> Vec<StoredLink> {
        let is = |link: &&StoredLink| link.kind == Some(LinkKind::Transit) && link.role == Role::Upstream;
        chosen.stored.iter().filter(is).cloned().collect()
    }

    /// The neighbours that transit is bought from, largest first.
    fn transits(
        &self,
        ases: &Board,
        over: &Chosen,
        configured: &[Asn],
    ) -> Result<Vec<PeeringTransit>, QueryError> {
        let neighbors = self.sums(Kind::Neighbor, ases.period, &over.links)?;
        let out = |samples: &[Sample; 2]| of(samples, Direction::Out).both().bytes;
        let mut found: Vec<(Asn, u64)> = Vec::new();
        if configured.is_empty() {
            for link in &over.stored {
                let here = self.sums(Kind::Neighbor, ases.period, &only(link.number))?;
                let all: u64 = here.rows.iter().map(|row| out(&row.samples)).sum();
                for row in &here.rows {
                    let bytes = out(&row.samples);
                    if bytes > 0 && bytes >= all / TRANSIT_SHARE {
                        found.push((row.subject, 0));
                    }
                }
            }
        } else {
            found.extend(configured.iter().map(|&asn| (asn, 0)));
        }
        found.sort_unstable();
        found.dedup();
        for (asn, bytes) in &mut found {
            let row = neighbors.rows.iter().find(|row| row.subject == *asn);
            *bytes = row.map_or(0, |row| out(&row.samples));
        }
        found.sort_unstable_by_key(|&(asn, bytes)| (std::cmp::Reverse(bytes), asn));
        let named = |(asn, bytes_out): (Asn, u64)| PeeringTransit {
            asn,
            name: self.as_name(asn).name,
            bytes_out,
            configured: !configured.is_empty(),
        };
        Ok(found.into_iter().map(named).collect())
    }
}

impl Reading<'_> {
    /// The course of subjects on a link; an empty one where slots of it are not kept.
    fn course(&self, parts: &[(Kind, Subject)], link: LinkNo) -> Result<Option<Course>, QueryError> {
        let mut course: Option<Course> = None;
        for &(kind, subject) in parts {
            let links = only(link);
            let points = self.past.history.series(kind, &[subject], self.period, &links, Step::Slot)?;
            if points.iter().any(|point| point.period.seconds() != SLOT_SECONDS) {
                return Ok(None);
            }
            let bytes = |point: &Point| of(&point.samples, self.direction).both().bytes;
            match &mut course {
                None => course = Some(points.iter().map(|point| (point.covered, bytes(point))).collect()),
                Some(course) if course.len() == points.len() => {
                    for ((_, sum), point) in course.iter_mut().zip(&points) {
                        *sum = sum.saturating_add(bytes(point));
                    }
                }
                // One of them is not kept as finely.
                Some(_) => return Ok(None),
            }
        }
        Ok(course)
    }

    fn read_courses(&mut self) -> Result<(), QueryError> {
        let parts = [Part::Ip, Part::Other].map(|part| (Kind::Link, part as Subject));
        for link in self.transit.clone() {
            match self.course(&parts, link.number)? {
                Some(course) => self.courses.push(course),
                None => self.fine = false,
            }
        }
        self.fine &= self.courses.len() == self.transit.len();
        Ok(())
    }

    /// The 95th percentile of a course; `None` where it is not known.
    fn p95(&self, course: &Course) -> Option<u64> {
        if !self.fine {
            return None;
        }
        let counted = course.iter().filter(|(seconds, _)| *seconds > 0);
        let mut rates: Vec<u64> =
            counted.map(|&(seconds, bytes)| bits_per_second(bytes, u64::from(seconds))).collect();
        percentile_95(&mut rates)
    }

    /// All transit links as one.
    fn together(&self) -> Course {
        sum(&self.courses)
    }

    fn links(&self) -> Vec<PeeringLink> {
        let link = |(link, course): (&StoredLink, &Course)| {
            let bytes = course.iter().map(|(_, bytes)| bytes).sum();
            PeeringLink {
                link: link.name.clone(),
                bytes,
                bits_per_second: bits_per_second(bytes, self.covered),
                p95_bits_per_second: self.p95(course),
                p95_without: None,
                freed_bits_per_second: None,
            }
        };
        self.transit.iter().zip(&self.courses).map(link).collect()
    }

    fn candidates(&self, list: &[(Asn, u64, u64)], cone: bool) -> Result<Vec<PeeringCandidate>, QueryError> {
        let mut candidates = Vec::new();
        for (rank, &(asn, own, carried)) in (1..).zip(list) {
            candidates.push(self.candidate(rank, asn, own, carried, cone)?);
        }
        Ok(candidates)
    }

    fn candidate(
        &self,
        rank: u32,
        asn: Asn,
        own: u64,
        carried: u64,
        cone: bool,
    ) -> Result<PeeringCandidate, QueryError> {
        let mut parts = vec![(Kind::As, asn)];
        if cone {
            parts.push((Kind::Transit, asn));
        }
        let bytes = own + carried;
        let mut courses = Vec::new();
        let mut links = Vec::new();
        if self.fine {
            for (link, all) in self.transit.iter().zip(&self.courses) {
                let Some(course) = self.course(&parts, link.number)?.filter(|its| its.len() == all.len())
                else {
                    continue;
                };
                let bytes: u64 = course.iter().map(|(_, bytes)| bytes).sum();
                let rest = all.iter().zip(&course).map(|(&(seconds, all), &(_, its))| {
                    // What was counted while a sweep read the counters may be in the next slot of the other.
                    (seconds, all.saturating_sub(its))
                });
                let (with, without) = (self.p95(all), self.p95(&rest.collect()));
                if bytes > 0 {
                    links.push(PeeringLink {
                        link: link.name.clone(),
                        bytes,
                        bits_per_second: bits_per_second(bytes, self.covered),
                        p95_bits_per_second: with,
                        p95_without: without,
                        freed_bits_per_second: with
                            .zip(without)
                            .map(|(with, without)| with.saturating_sub(without)),
                    });
                }
                courses.push(course);
            }
        }
        let whole = courses.len() == self.transit.len();
        Ok(PeeringCandidate {
            rank,
            asn,
            name: self.past.as_name(asn).name,
            bytes,
            own_bytes: own,
            share: if self.bytes > 0 { ratio(bytes as f64 / self.bytes as f64) } else { 0.0 },
            bits_per_second: bits_per_second(bytes, self.covered),
            p95_bits_per_second: if whole { self.p95(&sum(&courses)) } else { None },
            neighbor: self.neighbors.contains(&asn),
            links,
        })
    }
}

/// Several courses as one.
fn sum(courses: &[Course]) -> Course {
    let mut courses = courses.iter();
    let mut sum = courses.next().cloned().unwrap_or_default();
    for course in courses {
        for ((seconds, bytes), (other_seconds, other)) in sum.iter_mut().zip(course) {
            *seconds = (*seconds).max(*other_seconds);
            *bytes = bytes.saturating_add(*other);
        }
    }
    sum
}
