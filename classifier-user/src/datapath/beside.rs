//! Who else is on a hook, before this program or behind it, and what that does to what is counted.

use super::{kernel::OnHook, netlink_tc::early_priority};
use crate::model::{Hook, Mode};

/// Whether what is at `place` of a hook sees frames before this agent's program does, which is there or would be attached
/// in this mode. `on`: all that is on the hook, in order; `ours` knows this agent's.
pub(crate) fn precedes(on: &[OnHook], place: usize, mode: Mode, ours: impl Fn(&OnHook) -> bool) -> bool {
    if let Some(own) = on.iter().position(ours) {
        return place < own;
    }
    let Some(other) = on.get(place) else { return false };
    match mode {
        Mode::Native | Mode::Generic => false,
        Mode::Tcx => other.kind == "xdp",
        // As it would be attached: behind filters only where one has the very first place.
        Mode::Tc => match other.priority {
            None => true,
            Some(priority) => {
                let taken: Vec<_> = on.iter().filter_map(|on| on.priority).collect();
                priority < early_priority(&taken)
            }
        },
    }
}

/// Whether somebody behind this program makes what is counted another thing than what is on the wire. What was received was
/// on it, whatever becomes of it.
pub(crate) const fn matters_behind(hook: Hook) -> bool {
    matches!(hook, Hook::Tx)
}

/// `tcx program (id 7, shaper)`, `clsact filter (prio 1, flower)`.
pub(crate) fn called(other: &OnHook) -> String {
    let OnHook { kind, id, name, priority, .. } = other;
    let parts = [
        priority.map(|priority| format!("prio {priority}")),
        (*id != 0).then(|| format!("id {id}")),
        name.clone(),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    let what = if priority.is_some() { "filter" } else { "program" };
    format!("{kind} {what} ({})", parts.join(", "))
}

/// What comes of its place.
pub(crate) fn effect(other: &OnHook, before: bool) -> &'static str {
    match (before, other.hook) {
        (true, _) if other.kind == "xdp" => {
            "it sees frames first, and what it drops, answers or redirects is not counted"
        }
        (true, _) => "it sees frames first, and what it accepts, drops or redirects itself is not counted",
        (false, Hook::Rx) => "frames are counted before it sees them",
        (false, Hook::Tx) => {
            "frames are counted before it sees them, and what it drops or redirects is counted all the same"
        }
    }
}

/// All of it: `on transmit there is a tcx program (id 7, shaper): …`.
pub(crate) fn said(other: &OnHook, before: bool) -> String {
    format!("on {} there is a {}: {}", side(other.hook), called(other), effect(other, before))
}

/// The name of a hook for people.
pub(crate) const fn side(hook: Hook) -> &'static str {
    match hook {
        Hook::Rx => "receive",
        Hook::Tx => "transmit",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_first() {
        let on = |kind, id, priority| OnHook { hook: Hook::Tx, kind, id, name: None, priority };
        let all = [
            on("xdp", 1, None),
            on("tcx", 2, None),
            on("clsact", 0, Some(1)),
            on("clsact", 3, Some(2)),
            on("clsact", 4, Some(9)),
        ];
        let before = |mode, ours: u32| {
            let precedes = |place| precedes(&all, place, mode, |on| on.id == ours);
            (0..all.len()).map(precedes).collect::<Vec<_>>()
        };
        // Not there yet.
        assert_eq!(before(Mode::Native, 99), [false; 5]);
        assert_eq!(before(Mode::Tcx, 99), [true, false, false, false, false]);
        assert_eq!(before(Mode::Tc, 99), [true, true, true, true, false]);
        // There.
        assert_eq!(before(Mode::Tcx, 2), [true, false, false, false, false]);
        assert_eq!(before(Mode::Tc, 4), [true, true, true, true, false]);
    }

    #[test]
    fn what_is_said_of_others() {
        let shaper =
            OnHook { hook: Hook::Tx, kind: "tcx", id: 7, name: Some("shaper".into()), priority: None };
        assert!(
            said(&shaper, false).starts_with("on transmit there is a tcx program (id 7, shaper): frames are")
        );
        let flower =
            OnHook { hook: Hook::Rx, kind: "clsact", id: 0, name: Some("flower".into()), priority: Some(1) };
        assert_eq!(called(&flower), "clsact filter (prio 1, flower)");
        assert!(effect(&flower, true).contains("accepts, drops or redirects itself is not counted"));
    }
}
