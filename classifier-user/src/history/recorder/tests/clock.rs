//! A clock that jumps makes no slot negative, double or lost.

use super::*;

/// Sweeps of one packet of AS2906 each: the slots that are over with it.
struct Line {
    slots: Slots,
    owners: Vec<Owner>,
    groups: Arc<Groups>,
    store: Test,
    swept: u64,
    _directory: tempfile::TempDir,
}

impl Line {
    fn new(after: Option<i64>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let owners = owners();
        let slots = slots_in(directory.path(), &owners, 0, after);
        Self { slots, owners, groups: groups(), store: Test::new(), swept: 0, _directory: directory }
    }

    fn sweep(&mut self, at: f64, elapsed: f64) {
        let found = [(0, Hook::Rx, 2, Counter { packets: 1, bytes: 1000 })];
        let delta = delta(&self.owners, 2, &found, 0);
        self.swept += 1;
        for slot in take(&mut self.slots, counted(at, elapsed, delta, &self.groups)) {
            self.store.take(&slot);
        }
    }

    /// Every five seconds to this second.
    fn sweeps(&mut self, from: u64, to: u64) {
        (from..to).step_by(5).for_each(|second| self.sweep(second as f64 + 5.0, 5.0));
    }

    /// (slot, seconds covered, packets) of what is over.
    fn over(&self) -> Vec<(i64, u32, u64)> {
        let packets = |slot: &ClosedSlot| {
            let ases = slot.rows.iter().filter(|row| row.kind == Kind::As);
            ases.map(|row| row.sample.both().packets).sum()
        };
        self.store.slots().values().map(|slot| (slot.number - SLOT, slot.covered, packets(slot))).collect()
    }
}

#[test]
fn forward_closes_the_slot_with_what_it_had() {
    let mut line = Line::new(None);
    line.sweeps(0, 100);
    // An hour is gone from one sweep to the next.
    line.sweep(3705.0, 5.0);
    line.sweeps(3705, 3900);
    assert_eq!(line.over(), [(0, 100, 20), (12, 200, 40)]);
    assert_eq!(line.slots.clock(), None);
    // Within a slot nothing is lost but the seconds.
    line.sweeps(3900, 4000);
    line.sweep(4105.0, 5.0);
    line.sweeps(4105, 4200);
    assert_eq!(line.over()[2..], [(13, 200, 40)]);
}

#[test]
fn back_holds_the_slot_open_until_its_end_comes_again() {
    let mut line = Line::new(None);
    line.sweeps(0, 300);
    line.sweeps(300, 450);
    // Half an hour back.
    line.sweep(-1345.0, 5.0);
    let said = line.slots.clock().expect("it is said").to_owned();
    assert!(said.contains("the clock is behind the slot of 2026-01-02T00:05:00Z"), "{said}");
    (0..388).for_each(|i| line.sweep(-1340.0 + 5.0 * f64::from(i), 5.0));
    assert_eq!(line.over(), [(0, 300, 60)]);
    line.sweeps(595, 605);
    assert_eq!(line.slots.clock(), None);
    // What was counted meanwhile is in the slot: the rate is right.
    let covered = 150 + 5 + 388 * 5 + 5;
    assert_eq!(line.over()[1..], [(1, covered, u64::from(covered) / 5)]);
    line.sweeps(605, 900);
    assert_eq!(line.over()[2..], [(2, 300, 60)]);
    assert_eq!(line.over().iter().map(|(_, _, packets)| packets).sum::<u64>(), line.swept);
}

#[test]
fn back_over_what_is_in_the_store_doubles_nothing() {
    // The store has the slot already, from before the clock was set back and the agent restarted.
    let mut line = Line::new(Some(SLOT + 1));
    line.sweeps(0, 600);
    assert_eq!(line.over(), []);
    assert!(line.slots.clock().is_some());
    line.sweeps(600, 900);
    assert_eq!(line.over(), [(2, 900, 180)]);
    assert_eq!(line.slots.clock(), None);
}

#[test]
fn a_clock_that_is_not_set_is_waited_for() {
    let mut line = Line::new(None);
    let found = [(0, Hook::Rx, 2, Counter { packets: 7, bytes: 7000 })];
    // A second after 1970, and the year 3000.
    for second in [5_u64, 32_503_680_000] {
        let early = Counted {
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(second),
            elapsed: Duration::from_secs(5),
            delta: delta(&line.owners, 2, &found, 0),
            groups: line.groups.clone(),
            base: None,
            gaps: vec![],
            open: None,
        };
        assert_eq!(take(&mut line.slots, early), []);
        assert!(line.slots.clock().is_some_and(|said| said.contains("the clock is not set")));
        assert!(line.slots.open().is_none());
    }
    line.sweeps(100, 300);
    assert_eq!(line.slots.clock(), None);
    assert_eq!(line.over(), [(0, 210, 14 + 40)]);
}

#[test]
fn a_sweep_is_of_the_slot_of_its_middle() {
    let mut line = Line::new(None);
    line.sweep(250.0, 50.0);
    // 200 s of it before the boundary, 250 after.
    line.sweep(700.0, 450.0);
    assert_eq!(line.over(), [(0, 50, 1), (1, 450, 1)]);
    line.sweep(900.0, 200.0);
    assert_eq!(line.over()[2..], [(2, 200, 1)]);
}

#[test]
fn the_next_sweep_is_not_before_the_boundary() {
    for (seconds, wait) in
        [(0.0, 300.001), (299.5, 0.501), (299.9999, 0.0011), (300.0, 300.001), (-1.0, 1.001)]
    {
        let wait = Duration::from_secs_f64(wait);
        assert!(until_next_slot(at(seconds)).abs_diff(wait) < Duration::from_micros(2), "{seconds}");
    }
}

proptest! {
    #[test]
    fn whatever_the_clock_does_nothing_is_lost_or_doubled(
        steps in proptest::collection::vec((1_u64..60, prop_oneof![6 => Just(0_i64), 1 => -5000_i64..5000]), 1..200),
    ) {
        let mut line = Line::new(None);
        let (mut now, mut elapsed) = (10_000_i64, 0);
        for (seconds, jump) in steps {
            now += seconds as i64 + jump;
            elapsed += seconds;
            line.sweep(now as f64, seconds as f64);
        }
        now = now.max(400_000) + 300;
        elapsed += 300;
        line.sweep(now as f64, 300.0);
        line.sweep(now as f64 + 600.0, 600.0);
        elapsed += 600;
        // Only what the last sweep opened is not over.
        let open = line.slots.open().map_or((0, 0), |open| (open.covered.as_secs(), open.frames().packets));
        let over = line.over();
        prop_assert_eq!(over.iter().map(|slot| u64::from(slot.1)).sum::<u64>() + open.0, elapsed);
        prop_assert_eq!(over.iter().map(|slot| slot.2).sum::<u64>() + open.1, line.swept);
    }
}
