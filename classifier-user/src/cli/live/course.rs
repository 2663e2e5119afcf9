//! What was polled before, a row's rates in the order of the polls, and its drawing in one line of text.

use std::collections::VecDeque;

/// The rate of a row by direction, at a poll; `None`: not known.
pub(super) type Rates = [Option<u64>; 2];

/// Polls that are remembered: more than the columns of a line.
const REMEMBERED: usize = 120;
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The rates of a row, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Course(VecDeque<Rates>);

impl Course {
    /// Adds the newest poll.
    pub(super) fn push(&mut self, rates: Rates) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(rates);
    }

    /// Whether no poll that is remembered had traffic.
    pub(super) fn is_idle(&self) -> bool {
        self.0.iter().flatten().all(|rate| rate.unwrap_or(0) == 0)
    }

    /// The last `width` polls as a line of that many characters, the newest at its right; the highest of them is full
    /// height, and what is not known is blank.
    pub(super) fn line(&self, width: usize, rate: impl Fn(&Rates) -> Option<u64>) -> String {
        let shown = self.0.len().min(width);
        let rates: Vec<Option<u64>> = self.0.iter().skip(self.0.len() - shown).map(rate).collect();
        let highest = rates.iter().flatten().copied().max().unwrap_or(0).max(1);
        let level = |rate: u64| {
            let eighths = (u128::from(rate) * LEVELS.len() as u128).div_ceil(u128::from(highest));
            LEVELS.get((eighths as usize).saturating_sub(1)).copied().unwrap_or('█')
        };
        std::iter::repeat_n(' ', width - shown)
            .chain(rates.into_iter().map(|rate| rate.map_or(' ', level)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(rates: &[Option<u64>]) -> Course {
        let mut course = Course::default();
        rates.iter().for_each(|&rate| course.push([rate, None]));
        course
    }

    #[test]
    fn eight_levels_of_the_highest_shown() {
        let all = course(&[0, 1, 2, 3, 4, 5, 6, 7, 8].map(Some));
        assert_eq!(all.line(9, |rates| rates[0]), "▁▁▂▃▄▅▆▇█");
        assert_eq!(all.line(11, |rates| rates[0]), "  ▁▁▂▃▄▅▆▇█");
        assert_eq!(all.line(2, |rates| rates[0]), "▇█");
        assert_eq!(all.line(0, |rates| rates[0]), "");
        assert_eq!(course(&[Some(u64::MAX), None, Some(u64::MAX / 2)]).line(3, |rates| rates[0]), "█ ▄");
        assert_eq!(course(&[Some(0), Some(0)]).line(2, |rates| rates[0]), "▁▁");
    }

    #[test]
    fn the_oldest_polls_are_forgotten() {
        let mut course = course(&[Some(9)]);
        assert!(!course.is_idle());
        (0..REMEMBERED).for_each(|_| course.push([Some(0), None]));
        assert!(course.is_idle());
        assert_eq!(course.line(REMEMBERED + 1, |rates| rates[0]).trim_start(), "▁".repeat(REMEMBERED));
    }
}
