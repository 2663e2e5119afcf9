//! When people use what: the course of a day and of a week, as a factor of the average.

/// What sort of traffic a network's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Habit {
    /// Films and games: the evening, and weekend afternoons.
    Evening,
    /// Offices: working hours of working days.
    Office,
    /// Other people's networks, and what machines do: flatter.
    Always,
}

/// By local hour: what of the average of a working day.
const EVENING: [f64; 24] = [
    1.00, 0.56, 0.31, 0.20, 0.14, 0.13, 0.17, 0.28, 0.40, 0.50, 0.58, 0.67, 0.89, 0.94, 0.87, 0.89, 1.02,
    1.28, 1.67, 2.11, 2.56, 2.72, 2.39, 1.72,
];
const OFFICE: [f64; 24] = [
    0.25, 0.20, 0.18, 0.18, 0.20, 0.25, 0.40, 0.80, 1.50, 2.00, 2.10, 1.95, 1.45, 1.75, 2.00, 1.95, 1.75,
    1.30, 0.95, 0.80, 0.70, 0.60, 0.45, 0.32,
];
const ALWAYS: [f64; 24] = [
    0.75, 0.60, 0.50, 0.46, 0.45, 0.48, 0.56, 0.70, 0.86, 0.98, 1.04, 1.08, 1.12, 1.12, 1.10, 1.10, 1.14,
    1.20, 1.28, 1.38, 1.48, 1.48, 1.28, 1.00,
];

impl Habit {
    /// The factor at a local time of day, in hours, on a day of the weekend or not.
    pub(super) fn factor(self, hour: f64, weekend: bool) -> f64 {
        let curve = match self {
            Self::Evening => &EVENING,
            Self::Office => &OFFICE,
            Self::Always => &ALWAYS,
        };
        let at = |hour: usize| curve.get(hour % 24).copied().unwrap_or(1.0);
        let whole = hour.floor();
        let of_working_day =
            at(whole as usize) + (at(whole as usize + 1) - at(whole as usize)) * (hour - whole);
        match (self, weekend) {
            (_, false) => of_working_day,
            (Self::Evening, true) if (9.0..19.0).contains(&hour) => of_working_day * 1.45,
            (Self::Evening, true) => of_working_day * 1.05,
            (Self::Office, true) => of_working_day * 0.35,
            (Self::Always, true) => of_working_day * 1.02,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_working_days_average_is_one() {
        for habit in [Habit::Evening, Habit::Office, Habit::Always] {
            let sum: f64 = (0..288).map(|slot| habit.factor(f64::from(slot) / 12.0, false)).sum();
            assert!((0.95..1.05).contains(&(sum / 288.0)), "{habit:?}: {}", sum / 288.0);
        }
    }

    #[test]
    fn evenings_and_weekends_are_as_they_are() {
        assert!(Habit::Evening.factor(21.0, false) > 8.0 * Habit::Evening.factor(4.0, false));
        assert!(Habit::Evening.factor(15.0, true) > Habit::Evening.factor(15.0, false));
        assert!(Habit::Office.factor(10.0, true) < 0.5 * Habit::Office.factor(10.0, false));
        // From one hour's value to the next one's, without a step at midnight.
        assert!((Habit::Always.factor(23.999, false) - Habit::Always.factor(0.0, false)).abs() < 0.001);
    }
}
