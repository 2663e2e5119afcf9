//! How the figures of one subject are made: volume, share, rank, peak, 95th percentile, per link, by month.

use std::collections::HashSet;

use super::{
    About, PastQuery, Questions,
    answer::{Figures, LinkFigures, MonthAnswer, Name, PastAnswer, PeakAnswer},
    past::{Board, Chosen, Past, Selected, both, counter_of, of, only},
    top::{before, change},
};
use crate::{
    history::{
        Kind, Links, Part, Period, Point, SLOT_SECONDS, Sample, Step, StoredLink, bits_per_second,
        percentile_95,
    },
    model::{Counter, Direction, Link, Locality},
    totals::{
        By, QueryError, TopQuery,
        answer::{Directions, Row},
        query::MAX_ROWS,
        top::{Scale, ratio},
    },
};

/// The longest period that has a 95th percentile: three months and a little.
const P95_DAYS: i64 = 100;

/// The course of a subject in short.
#[derive(Clone)]
struct Course {
    samples: [Sample; 2],
    peaks: [Option<PeakAnswer>; 2],
    p95: [Option<u64>; 2],
}

impl Course {
    fn of(points: &[Point], period: Period) -> Self {
        let fine = points.iter().all(|point| point.period.seconds() == SLOT_SECONDS);
        let mut samples = [Sample::default(); 2];
        for point in points {
            for (sum, sample) in samples.iter_mut().zip(point.samples) {
                *sum += sample;
            }
        }
        let peak = |direction| {
            let peaks = points.iter().filter_map(|point| match (point.peaks, direction) {
                ([peak, _], Direction::In) | ([_, peak], Direction::Out) => peak,
            });
            // Of equal ones the first.
            peaks.reduce(|best, peak| if peak.bits_per_second > best.bits_per_second { peak } else { best })
        };
        let p95 = |direction| {
            if !fine || period.seconds() > P95_DAYS * 86_400 {
                return None;
            }
            let counted = points.iter().filter(|point| point.covered > 0);
            let rate = |point: &Point| {
                bits_per_second(of(&point.samples, direction).both().bytes, u64::from(point.covered))
            };
            percentile_95(&mut counted.map(rate).collect::<Vec<_>>())
        };
        Self {
            samples,
            peaks: both(|direction| {
                peak(direction).map(|peak| PeakAnswer { bits_per_second: peak.bits_per_second, at: peak.at })
            }),
            p95: both(p95),
        }
    }

    /// What is billed: the larger direction's 95th percentile.
    fn billed(&self) -> Option<u64> {
        let [inward, outward] = self.p95;
        Some(inward?.max(outward?))
    }
}

fn pick<T: Copy>(values: &[T; 2], direction: Direction) -> T {
    let [inward, outward] = *values;
    match direction {
        Direction::In => inward,
        Direction::Out => outward,
    }
}

pub(super) fn ipv6_share(sample: Sample) -> Option<f64> {
    let all = sample.both().bytes;
    (all > 0).then(|| ratio(sample.ipv6.bytes as f64 / all as f64))
}

/// Courses of a subject.
struct Courses {
    whole: Course,
    /// By the link's name.
    by_link: Vec<(String, Course)>,
}

impl Past {
    pub(super) fn figures(&self, about: &About, query: &PastQuery) -> Result<PastAnswer, QueryError> {
        let selected = self.select(about)?;
        if matches!(selected.by, Some(By::As | By::Group | By::Kind | By::Neighbor))
            && !self.context.count.counts(Locality::Remote)
        {
            let side = Locality::Remote;
            return Err(QueryError::SideNotCounted { side, count: self.context.count.name() });
        }
        let chosen = match about {
            About::Link(name) => self.choose(std::slice::from_ref(name))?,
            _ => self.choose(&query.links)?,
        };
        // A link is ranked among the links of its role.
        let among = match (about, chosen.stored.first()) {
            (About::Link(_), Some(link)) => Chosen {
                links: Links::Isp,
                stored: self.stored.iter().filter(|other| other.role == link.role).cloned().collect(),
            },
            _ => Chosen { links: chosen.links.clone(), stored: chosen.stored.clone() },
        };
        let asked = self.period(query.when);
        let board = match selected.by {
            Some(By::Link) => self.board_of_links(asked, &among)?,
            by => self.board(by, asked, &chosen)?,
        };
        let key = match (about, chosen.stored.first()) {
            (About::Link(_), Some(link)) => u32::from(link.number.0),
            _ => selected.key,
        };
        let earlier = match (query.compare, selected.by) {
            (false, _) => None,
            (true, Some(By::Link)) => Some(self.board_of_links(before(board.period), &among)?),
            (true, by) => Some(self.board(by, before(board.period), &chosen)?),
        };
        let Courses { whole: course, by_link } = self.courses(&selected, board.period, &chosen)?;
        let parts = by_link.into_iter().map(|(link, course)| {
            let figures = |direction| of_link(&selected, &board, &course, direction);
            let directions =
                Directions::try_of(query.direction, |direction| Ok::<_, QueryError>(figures(direction)))?;
            Ok(LinkFigures { link, directions })
        });
        let parts = parts.collect::<Result<_, QueryError>>()?;
        let figures =
            |direction| self.figure(&selected, key, &board, earlier.as_ref(), &course, &chosen, direction);
        Ok(PastAnswer {
            router: self.context.router.clone(),
            from: board.period.from,
            to: board.period.to,
            zone: self.zone(),
            since: self.extent.since,
            covered: board.coverage(),
            compare: earlier.as_ref().map(Board::compare),
            by: selected.by,
            subject: selected.name.clone(),
            directions: Directions::try_of(query.direction, figures)?,
            p95_bits_per_second: course.billed(),
            links: parts,
            ases: self.parts(&selected, &board, &chosen, query)?,
            months: if query.links.is_empty() { self.months(about, &selected)? } else { Vec::new() },
        })
    }

    /// Links among each other: every frame of each.
    fn board_of_links(&self, period: Period, among: &Chosen) -> Result<Board, QueryError> {
        self.board(Some(By::Link), period, among)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one answer, each made once for both directions"
    )]
    fn figure(
        &self,
        selected: &Selected,
        key: u32,
        board: &Board,
        earlier: Option<&Board>,
        course: &Course,
        chosen: &Chosen,
        direction: Direction,
    ) -> Result<Figures, QueryError> {
        let amount = |board: &Board| match selected.by {
            None => counter_of(&board.total, direction),
            Some(_) => of(&board.row(key), direction).both(),
        };
        let ip = match selected.by {
            None => of(&board.ip, direction),
            // A link's own IP: what is not IP has no version.
            Some(By::Link) => {
                let sums = self.sums(Kind::Link, board.period, &chosen.links)?;
                let ip = sums.rows.iter().find(|row| row.subject == Part::Ip as u32);
                ip.map(|row| of(&row.samples, direction)).unwrap_or_default()
            }
            Some(_) => of(&board.row(key), direction),
        };
        let Counter { packets, bytes } = amount(board);
        let scale = Scale { seconds: board.covered as f64, bytes: counter_of(&board.total, direction).bytes };
        let earlier = earlier.filter(|earlier| earlier.covered > 0);
        let previous = earlier.map(|earlier| (amount(earlier).bytes, earlier.covered));
        Ok(Figures {
            packets,
            bytes,
            share: scale.share(bytes),
            rank: selected.by.and_then(|_| board.rank(key, direction)),
            bits_per_second: scale.bits_per_second(bytes),
            peak: pick(&course.peaks, direction),
            p95_bits_per_second: pick(&course.p95, direction),
            ipv6_share: ipv6_share(ip),
            previous_bytes: previous.map(|(bytes, _)| bytes),
            change: previous.and_then(|previous| change((bytes, board.covered), previous)),
        })
    }

    /// The course on all links, and on each of them.
    fn courses(&self, selected: &Selected, period: Period, chosen: &Chosen) -> Result<Courses, QueryError> {
        let parts: &[StoredLink] = if selected.by == Some(By::Link) { &[] } else { &chosen.stored };
        // One link alone has it all.
        let alone = |number| self.stored.len() == 1 || chosen.links == only(number);
        let others = parts.iter().filter(|link| !alone(link.number));
        let sets: Vec<Links> =
            [chosen.links.clone()].into_iter().chain(others.map(|link| only(link.number))).collect();
        let courses = self.series_of_each(selected, period, &sets, Step::Slot)?;
        let mut courses = courses.iter().map(|points| Course::of(points, period));
        let whole = courses.next().unwrap_or_else(|| Course::of(&[], period));
        let by_link = parts.iter().map(|link| {
            let own = if alone(link.number) { None } else { courses.next() };
            (link.name.clone(), own.unwrap_or_else(|| whole.clone()))
        });
        Ok(Courses { by_link: by_link.collect(), whole: whole.clone() })
    }

    /// The largest ASes of a subject.
    fn parts(
        &self,
        selected: &Selected,
        board: &Board,
        chosen: &Chosen,
        query: &PastQuery,
    ) -> Result<Option<Directions<Vec<Row>>>, QueryError> {
        // Which ASes went by a neighbour is not kept.
        if matches!(selected.by, Some(By::As | By::Neighbor)) || !self.context.count.counts(Locality::Remote)
        {
            return Ok(None);
        }
        let mut ases = self.board(Some(By::As), board.period, chosen)?;
        if selected.kind == Kind::As {
            let members: HashSet<u32> = selected.subjects.iter().copied().collect();
            ases.rows.retain(|(asn, _)| members.contains(asn));
        }
        let rows = |direction| self.ranked(By::As, &ases, None, direction, query.n);
        Directions::try_of(query.direction, rows).map(Some)
    }

    /// The months of a subject that are over.
    fn months(&self, about: &About, selected: &Selected) -> Result<Vec<MonthAnswer>, QueryError> {
        let subject = match about {
            About::All => Some((Kind::Link, Part::Ip as u32)),
            About::As(asn) => Some((Kind::As, *asn)),
            About::Group(_) => selected.groups.first().map(|&group| (Kind::Group, group)),
            About::Neighbor(asn) => Some((Kind::Neighbor, *asn)),
            // What is frozen is of the ISP's links together, and of groups alone.
            About::Kind(_) | About::Link(_) => None,
        };
        let Some((kind, subject)) = subject else { return Ok(Vec::new()) };
        let months = self.history.months(kind, subject)?;
        Ok(months
            .into_iter()
            .map(|month| {
                let zone = jiff::tz::TimeZone::get(&month.zone).unwrap_or(jiff::tz::TimeZone::UTC);
                let [bytes_in, bytes_out] = month.bytes;
                let [p95_in, p95_out] = month.p95;
                let seconds = month.period.seconds().max(1) as f64;
                MonthAnswer {
                    month: month.period.from.to_zoned(zone).strftime("%Y-%m").to_string(),
                    from: month.period.from,
                    to: month.period.to,
                    zone: month.zone,
                    bytes_in,
                    bytes_out,
                    p95_in,
                    p95_out,
                    p95: p95_in.max(p95_out),
                    covered: ratio((month.covered as f64 / seconds).min(1.0)),
                }
            })
            .collect())
    }
}

/// What of a subject went over a link.
fn of_link(selected: &Selected, board: &Board, course: &Course, direction: Direction) -> Figures {
    let Counter { packets, bytes } = of(&course.samples, direction).both();
    let scale = Scale { seconds: board.covered as f64, bytes: counter_of(&board.total, direction).bytes };
    Figures {
        packets,
        bytes,
        share: scale.share(bytes),
        rank: None,
        bits_per_second: scale.bits_per_second(bytes),
        peak: pick(&course.peaks, direction),
        p95_bits_per_second: pick(&course.p95, direction),
        ipv6_share: match selected.kind {
            // Here the parts of a link are together, and what is not IP has no version.
            Kind::Link => None,
            _ => ipv6_share(of(&course.samples, direction)),
        },
        previous_bytes: None,
        change: None,
    }
}

impl Questions {
    /// The figures of a subject as far as memory knows them: no peak, no percentile, no months.
    pub(super) fn figures_of_memory(
        &self,
        about: &About,
        query: &PastQuery,
    ) -> Result<PastAnswer, QueryError> {
        let context = self.view().context();
        let mut links = query.links.clone();
        let (by, subject) = match about {
            About::All => (None, Name::default()),
            About::As(asn) => {
                let name = context.names.get(*asn).map(str::to_owned);
                (Some(By::As), Name { asn: Some(*asn), name, ..Name::default() })
            }
            About::Neighbor(asn) => {
                let name = context.names.get(*asn).map(str::to_owned);
                (Some(By::Neighbor), Name { asn: Some(*asn), name, ..Name::default() })
            }
            About::Group(text) => {
                (Some(By::Group), super::past::group_name(super::find_group(&context.groups, text)?))
            }
            About::Kind(kind) => {
                let kind = super::find_kind(&context.groups, kind)?;
                (Some(By::Kind), Name { kind: Some(kind.to_owned()), ..Name::default() })
            }
            About::Link(name) => {
                // Ranked among the links that face its way.
                let of = |link: &&Link| link.name == *name;
                let role = context.links.iter().find(of).map(|link| link.role);
                let among = context.links.iter().filter(|link| Some(link.role) == role);
                links = among.map(|link| link.name.clone()).collect();
                if links.is_empty() {
                    links = vec![name.clone()];
                }
                (Some(By::Link), Name { link: Some(name.clone()), ..Name::default() })
            }
        };
        let ask = |links: &[String]| {
            self.top_of_memory(&TopQuery {
                by: by.unwrap_or(By::Link),
                direction: query.direction,
                side: Locality::Remote,
                links: links.to_vec(),
                when: query.when,
                compare: query.compare,
                n: MAX_ROWS,
            })
        };
        let is = |row: &&Row| {
            (row.asn, &row.group, &row.kind, &row.link)
                == (subject.asn, &subject.group, &subject.kind, &subject.link)
        };
        let figures = |top: &crate::totals::answer::TopAnswer, direction| {
            let of = top.directions.get(direction);
            let row = of.and_then(|of| of.rows.iter().find(is));
            let (packets, bytes, rate, share) = match (by, of, row) {
                (None, Some(of), _) => (of.total.packets, of.total.bytes, of.total.bits_per_second, 1.0),
                (_, _, Some(row)) => (row.packets, row.bytes, row.bits_per_second, row.share),
                _ => (0, 0, 0, 0.0),
            };
            let (previous_bytes, change) = match (by, of) {
                (None, Some(of)) => (of.previous_bytes, of.change),
                _ => row.map_or((None, None), |row| (row.previous_bytes, row.change)),
            };
            Figures {
                packets,
                bytes,
                share: if bytes == 0 { 0.0 } else { share },
                rank: row.filter(|_| by.is_some()).map(|row| row.rank),
                bits_per_second: rate,
                peak: None,
                p95_bits_per_second: None,
                ipv6_share: None,
                previous_bytes,
                change,
            }
        };
        let directions = |top: &crate::totals::answer::TopAnswer| {
            Directions::try_of(query.direction, |direction| Ok::<_, QueryError>(figures(top, direction)))
        };
        let top = ask(&links)?;
        let mut parts = Vec::new();
        if by != Some(By::Link) {
            let chosen = if links.is_empty() { context.isp_links() } else { links.clone() };
            for link in chosen {
                let directions = directions(&ask(std::slice::from_ref(&link))?)?;
                parts.push(LinkFigures { link, directions });
            }
        }
        Ok(PastAnswer {
            router: top.router.clone(),
            from: top.from,
            to: top.to,
            zone: self.zone_name(),
            since: top.since,
            covered: 1.0,
            compare: top.compare,
            by,
            directions: directions(&top)?,
            subject,
            p95_bits_per_second: None,
            links: parts,
            ases: None,
            months: Vec::new(),
        })
    }
}
