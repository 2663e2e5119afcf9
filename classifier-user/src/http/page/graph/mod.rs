//! Graphs: what is drawn ([`Chart`]), where axes have marks ([`ticks`]), how it becomes SVG ([`svg`]) and PNG ([`png`]),
//! and the small lines of tables ([`spark`]).

use jiff::{Timestamp, tz::TimeZone};

pub(super) mod palette;
pub(super) mod png;
pub(super) mod spark;
pub(super) mod svg;
mod ticks;

use self::palette::Colour;
use crate::{
    model::Direction,
    questions::answer::{Course, SeriesAnswer, StepAnswer},
};

/// More columns than this are not told apart on a screen.
const MOST_COLUMNS: usize = 370;
/// How many steps may become one column: parts and multiples of an hour, and of a day of hours.
const MERGES: [usize; 11] = [1, 2, 3, 4, 6, 12, 24, 36, 72, 144, 288];

/// A mirrored stack: towards the ISP above, towards the Internet below.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) zone: TimeZone,
    pub(super) columns: Vec<Column>,
    /// Stretches that were not counted, in seconds since 1970.
    pub(super) gaps: Vec<(i64, i64)>,
    /// From the axis outwards.
    pub(super) layers: Vec<ChartLayer>,
    /// By direction: a rate to draw as a line, such as the 95th percentile.
    pub(super) marks: [Option<u64>; 2],
}

/// A stretch of time that is drawn with one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// Seconds since 1970.
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) counted: bool,
}

/// One layer of the stack.
#[derive(Clone, Debug)]
pub(super) struct ChartLayer {
    pub(super) label: String,
    pub(super) colour: Colour,
    /// By direction, a column each: bits a second; 0 where nothing was counted.
    pub(super) rates: [Vec<u64>; 2],
}

impl ChartLayer {
    fn is_empty(&self) -> bool {
        self.rates.iter().flatten().all(|&rate| rate == 0)
    }
}

impl Chart {
    /// The chart of an answer: its layers with these labels and colours, or its total where it has none.
    pub(super) fn of(series: &SeriesAnswer, names: &[(String, Colour)], zone: TimeZone) -> Self {
        let groups = columns(&series.steps, MOST_COLUMNS);
        let columns = groups.iter().map(|&(column, _, _)| column).collect();
        let course = |course: Option<&Course>| -> Vec<u64> {
            groups.iter().map(|&(_, first, end)| mean(&series.steps, course, first, end)).collect()
        };
        let layer =
            |directions: &crate::totals::answer::Directions<Course>, label: &str, colour| ChartLayer {
                label: label.to_owned(),
                colour,
                rates: Direction::ALL.map(|direction| course(directions.get(direction))),
            };
        let layers: Vec<ChartLayer> = if series.layers.is_empty() {
            let (label, colour) = names.first().cloned().unwrap_or((String::new(), Colour::of_rank(0)));
            vec![layer(&series.total, &label, colour)]
        } else {
            series
                .layers
                .iter()
                .zip(names)
                .map(|(part, (label, colour))| layer(&part.directions, label, *colour))
                .filter(|layer| !layer.is_empty())
                .collect()
        };
        Self {
            from: series.from,
            to: series.to,
            zone,
            columns,
            gaps: gaps(&series.steps),
            layers,
            marks: [None; 2],
        }
    }

    /// The highest sum of all layers in a direction.
    pub(super) fn highest(&self, direction: Direction) -> u64 {
        (0..self.columns.len()).map(|column| self.sum(direction, column)).max().unwrap_or(0)
    }

    fn sum(&self, direction: Direction, column: usize) -> u64 {
        let rates = self.layers.iter().filter_map(|layer| layer.rates.get(direction as usize)?.get(column));
        rates.fold(0, |sum: u64, &rate| sum.saturating_add(rate))
    }
}

/// Columns with the places of their steps, first in and end out.
fn columns(steps: &[StepAnswer], most: usize) -> Vec<(Column, usize, usize)> {
    let merge = MERGES.into_iter().find(|merge| steps.len() <= merge * most).unwrap_or(steps.len().max(1));
    let length = steps.first().map_or(1, |step| (step.to.as_second() - step.from.as_second()).max(1));
    // Columns begin at multiples of their length, but for days, which are not merged in any period that is drawn.
    let number = |step: &StepAnswer| step.from.as_second().div_euclid(length * merge as i64);
    let mut columns: Vec<(Column, usize, usize)> = Vec::new();
    let mut last = None;
    for (place, step) in steps.iter().enumerate() {
        let this = Some(number(step));
        let counted = step.covered_seconds > 0;
        match columns.last_mut() {
            Some((column, _, end)) if merge > 1 && last == this => {
                column.to = step.to.as_second();
                column.counted |= counted;
                *end = place + 1;
            }
            _ => {
                let column = Column { from: step.from.as_second(), to: step.to.as_second(), counted };
                columns.push((column, place, place + 1));
            }
        }
        last = this;
    }
    columns
}

/// The average rate over the counted seconds of these steps.
fn mean(steps: &[StepAnswer], course: Option<&Course>, first: usize, end: usize) -> u64 {
    let Some(course) = course else { return 0 };
    let (mut bits, mut seconds) = (0_u128, 0_u128);
    for (step, rate) in steps.iter().zip(&course.bits_per_second).take(end).skip(first) {
        let covered = u128::from(step.covered_seconds);
        bits += u128::from(rate.unwrap_or(0)) * covered;
        seconds += covered;
    }
    bits.checked_div(seconds).and_then(|rate| u64::try_from(rate).ok()).unwrap_or(0)
}

/// The course of a series in at most about `most` lines: each a stretch of time and by direction the averages of the total and
/// of each layer, bits a second.
pub(super) fn lines(series: &SeriesAnswer, most: usize) -> Vec<(Column, [Vec<u64>; 2])> {
    let line = |&(column, first, end): &(Column, usize, usize)| {
        let rates = Direction::ALL.map(|direction| {
            let courses = series.layers.iter().map(|layer| layer.directions.get(direction));
            let courses = std::iter::once(series.total.get(direction)).chain(courses);
            courses.map(|course| mean(&series.steps, course, first, end)).collect()
        });
        (column, rates)
    };
    columns(&series.steps, most).iter().map(line).collect()
}

fn gaps(steps: &[StepAnswer]) -> Vec<(i64, i64)> {
    let mut gaps: Vec<(i64, i64)> = Vec::new();
    for step in steps.iter().filter(|step| step.covered_seconds == 0) {
        let (from, to) = (step.from.as_second(), step.to.as_second());
        match gaps.last_mut() {
            Some(gap) if gap.1 == from => gap.1 = to,
            _ => gaps.push((from, to)),
        }
    }
    gaps
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        questions::answer::{Layer, Name},
        totals::{By, answer::Directions},
    };

    pub(crate) fn course(rates: &[Option<u64>]) -> Course {
        Course {
            bytes: rates.iter().flatten().map(|rate| rate * 300 / 8).sum(),
            bits_per_second: rates.to_vec(),
        }
    }

    /// Five-minute steps from 2026-10-05T12:00:00Z, of which these are gaps.
    pub(crate) fn steps(count: usize, gaps: &[usize]) -> Vec<StepAnswer> {
        let at = |step: usize| Timestamp::from_second(1_791_201_600 + 300 * step as i64).unwrap();
        (0..count)
            .map(|step| StepAnswer {
                from: at(step),
                to: at(step + 1),
                covered_seconds: if gaps.contains(&step) { 0 } else { 300 },
            })
            .collect()
    }

    /// A series of two layers: 3 and 1 parts of 1000 bit/s in a step's number, a tenth of it out.
    pub(crate) fn series(count: usize, gaps: &[usize]) -> SeriesAnswer {
        let steps = steps(count, gaps);
        let of = |factor: u64| {
            let rates = |by: u64| -> Vec<Option<u64>> {
                let rate = |step: usize| (!gaps.contains(&step)).then_some((step as u64 + 1) * factor * by);
                (0..count).map(rate).collect()
            };
            Directions { inward: Some(course(&rates(1000))), outward: Some(course(&rates(100))) }
        };
        let layer = |asn, name: &str, factor| Layer {
            subject: Name { asn: Some(asn), name: Some(name.to_owned()), ..Name::default() },
            directions: of(factor),
        };
        SeriesAnswer {
            router: "border1".to_owned(),
            from: steps.first().unwrap().from,
            to: steps.last().unwrap().to,
            zone: "Europe/Paris".to_owned(),
            since: Some(steps.first().unwrap().from),
            subject: Name::default(),
            by: Some(By::As),
            steps,
            layers: vec![layer(2906, "Netflix <Streaming>", 3), layer(15169, "Google", 1)],
            total: of(4),
        }
    }

    pub(crate) fn names() -> Vec<(String, Colour)> {
        vec![
            ("Netflix <Streaming>".to_owned(), Colour::of_rank(0)),
            ("Google".to_owned(), Colour::of_rank(1)),
        ]
    }

    #[test]
    fn a_chart_has_the_series_values() {
        let chart = Chart::of(&series(12, &[3, 4]), &names(), TimeZone::UTC);
        assert_eq!(chart.columns.len(), 12);
        assert_eq!(chart.layers[0].rates[0][..5], [3000, 6000, 9000, 0, 0]);
        assert_eq!(chart.layers[1].rates[1][11], 1200);
        assert_eq!(chart.highest(Direction::In), 48_000);
        assert_eq!(chart.gaps, [(1_791_202_500, 1_791_203_100)]);
        assert!(!chart.columns[3].counted && chart.columns[5].counted);
    }

    #[test]
    fn many_steps_become_averages_over_what_was_counted() {
        // 740 steps are drawn by two, 2016 of a week by the hour.
        let chart = Chart::of(&series(740, &[1]), &names(), TimeZone::UTC);
        assert_eq!(chart.columns.len(), 370);
        assert_eq!(chart.layers[1].rates[0][..2], [1000, 3500]);
        assert!(chart.columns[0].counted);
        assert_eq!(chart.gaps.len(), 1);
        let chart = Chart::of(&series(2016, &[]), &names(), TimeZone::UTC);
        assert_eq!(chart.columns.len(), 336);
        assert_eq!(chart.columns[0].to - chart.columns[0].from, 1800);
    }

    #[test]
    fn one_subject_is_its_total() {
        let one = SeriesAnswer { layers: vec![], by: None, ..series(3, &[]) };
        let chart = Chart::of(&one, &names()[..1], TimeZone::UTC);
        assert_eq!(chart.layers.len(), 1);
        assert_eq!(chart.layers[0].rates[0], [4000, 8000, 12_000]);
    }
}
