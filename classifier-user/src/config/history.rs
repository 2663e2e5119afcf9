//! `[history]`: how the past is kept.

use jiff::tz::TimeZone;

use crate::history::Keep;

/// Prefixes of an AS that are kept in each slot unless told otherwise.
pub const DEFAULT_TOP_PREFIXES: usize = 10;

/// What the file says of the history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistorySettings {
    /// [`HistoryPlan::zone`].
    pub zone: Option<TimeZone>,
    /// [`Keep::slot_days`].
    pub slot_days: Option<u32>,
    /// [`Keep::hour_days`].
    pub hour_days: Option<u32>,
    /// [`Keep::day_days`].
    pub day_days: Option<u32>,
    /// [`Keep::max_bytes`].
    pub max_bytes: Option<u64>,
    /// [`HistoryPlan::top_prefixes`].
    pub top_prefixes: Option<usize>,
}

/// How the past is kept, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPlan {
    /// How long what is kept, and how much of the disk it may take.
    pub keep: Keep,
    /// The zone of days and months. It has an IANA name.
    pub zone: TimeZone,
    /// Prefixes of an AS that are kept in each slot: the largest.
    pub top_prefixes: usize,
}

/// What is kept longer must be kept at least as long as what is finer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the history's {longer} = {longer_days} is shorter than {finer} = {finer_days}: what is coarser is kept at least \
     as long"
)]
pub struct KeepError {
    longer: &'static str,
    longer_days: u32,
    finer: &'static str,
    finer_days: u32,
}

impl HistorySettings {
    /// These settings, and `below` where they say nothing.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            zone: self.zone.or(below.zone),
            slot_days: self.slot_days.or(below.slot_days),
            hour_days: self.hour_days.or(below.hour_days),
            day_days: self.day_days.or(below.day_days),
            max_bytes: self.max_bytes.or(below.max_bytes),
            top_prefixes: self.top_prefixes.or(below.top_prefixes),
        }
    }

    /// Checks all and fills in the defaults.
    ///
    /// # Errors
    /// [`KeepError`].
    pub fn plan(self) -> Result<HistoryPlan, KeepError> {
        let default = Keep::default();
        let slot_days = self.slot_days.unwrap_or(default.slot_days);
        let keep = Keep {
            slot_days,
            // Who wants finer detail for longer than the default of the coarser wants that for longer too.
            hour_days: self.hour_days.unwrap_or(default.hour_days.max(slot_days)),
            day_days: self.day_days.or(default.day_days),
            max_bytes: self.max_bytes.unwrap_or(default.max_bytes),
        };
        let check = |longer, longer_days, finer, finer_days| {
            let error = KeepError { longer, longer_days, finer, finer_days };
            if longer_days < finer_days { Err(error) } else { Ok(()) }
        };
        check("hour_days", keep.hour_days, "slot_days", keep.slot_days)?;
        check("day_days", keep.day_days.unwrap_or(u32::MAX), "hour_days", keep.hour_days)?;
        Ok(HistoryPlan {
            keep,
            zone: self.zone.unwrap_or_else(system_zone),
            top_prefixes: self.top_prefixes.unwrap_or(DEFAULT_TOP_PREFIXES),
        })
    }
}

/// The machine's zone, if it can be named; else UTC.
fn system_zone() -> TimeZone {
    TimeZone::try_system().ok().filter(|zone| zone.iana_name().is_some()).unwrap_or(TimeZone::UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_what_does_not_fit_together() {
        let plan = HistorySettings::default().plan().unwrap();
        assert_eq!((plan.keep, plan.top_prefixes), (Keep::default(), 10));
        assert!(plan.zone.iana_name().is_some());
        let days = |slot_days, hour_days, day_days| {
            let settings = HistorySettings { slot_days, hour_days, day_days, ..HistorySettings::default() };
            settings.plan().map(|plan| (plan.keep.slot_days, plan.keep.hour_days, plan.keep.day_days))
        };
        assert_eq!(days(Some(1000), None, None), Ok((1000, 1000, None)));
        assert_eq!(days(Some(7), Some(7), Some(7)), Ok((7, 7, Some(7))));
        assert_eq!(
            days(Some(40), Some(30), None).unwrap_err().to_string(),
            "the history's hour_days = 30 is shorter than slot_days = 40: what is coarser is kept at least as long"
        );
        assert_eq!(
            days(None, None, Some(365)).unwrap_err().to_string(),
            "the history's day_days = 365 is shorter than hour_days = 731: what is coarser is kept at least as long"
        );
    }
}
