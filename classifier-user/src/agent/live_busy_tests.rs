//! A core that has more to do than there is time or room for.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use super::*;

/// Longer than anything takes.
const SOON: Duration = Duration::from_secs(30);

/// Makes the core one that leaves the kernel counting: what was retired comes back only with another generation of maps.
/// Gives how many of them there were.
fn outlived(core: &mut Core, wire: &Wire) -> Arc<AtomicUsize> {
    let made = Arc::new(AtomicUsize::new(0));
    let (another, seen) = (Arc::clone(&made), Arc::clone(&made));
    let (mut known, mut retired) = (0, Vec::new());
    let sweep: Sweeping = Box::new(move |wire| {
        let mut sweep = wire.sweep()?;
        retired.append(&mut sweep.released);
        let now = seen.load(Ordering::Relaxed);
        if now != known {
            known = now;
            sweep.released = std::mem::take(&mut retired);
        }
        Ok(sweep)
    });
    let reclaim = Box::new(move || {
        another.fetch_add(1, Ordering::Relaxed);
    });
    core.keep = true;
    core.datapath = Box::new(Staged { wire: wire.clone(), sweep, reclaim });
    made
}

/// What is withdrawn makes room for what is announced, by one new generation of maps, and not by one for each.
#[test]
fn a_full_table_that_flaps_makes_one_generation_of_maps_in_a_while() {
    // As large as permitted, and full: two unmatched classes, that of 10.0.0.0/8, and these.
    let (mut core, wire) = core(SIZES, 0, &[("10.0.0.0/8", 1)]);
    let made = outlived(&mut core, &wire);
    let made = || made.load(Ordering::Relaxed);
    let prefixes = || wire.fake().writer().prefixes().0;
    let net = |number: u32| format!("10.{number}.0.0/16");
    let announced = |number| route(prefix(&net(number)), &[9]);
    let all = (0..61).map(|n| announced(2 * n)).collect();
    say(&mut core, vec![router(), Event::Up, Event::Routes(all)]);
    work(&mut core);
    assert_eq!((prefixes(), core.waiting.len(), made()), (62, 0, 0));

    // Neighbours in turn, a hundred times.
    let there = (0..50).flat_map(|n| [withdrawn(&net(2 * n)), announced(2 * n + 1)]).collect();
    say(&mut core, vec![Event::Routes(there)]);
    work(&mut core);
    assert_eq!((prefixes(), core.waiting.len(), made()), (62, 0, 1));

    // And back, too soon: what finds no room waits, however often it is tried.
    let back = (0..50).flat_map(|n| [announced(2 * n), withdrawn(&net(2 * n + 1))]).collect();
    say(&mut core, vec![Event::Routes(back)]);
    work(&mut core);
    for _ in 0..10 {
        core.sweep().unwrap();
        core.look_at_peers();
    }
    assert_eq!((prefixes(), core.waiting.len(), made()), (12, 50, 1));
    let warnings = core.view.status().warnings;
    assert!(warnings[0].starts_with("50 changed routes wait for room in the FIB"), "{warnings:?}");

    // A while later.
    core.reclaimed = None;
    core.look_at_peers();
    assert_eq!((prefixes(), core.waiting.len(), made()), (62, 0, 2));
    assert!(core.view.status().warnings.is_empty());
}

#[test]
fn a_prefix_that_changes_several_times_in_a_full_table_is_what_was_said_last() {
    let (mut core, wire) = core(SIZES, 0, &[("10.0.0.0/8", 1)]);
    let made = outlived(&mut core, &wire);
    let [first, second, new] = ["10.0.0.0/16", "10.1.0.0/16", "10.200.0.0/16"];
    let all = (0..61).map(|n| route(prefix(&format!("10.{n}.0.0/16")), &[9])).collect();
    say(&mut core, vec![router(), Event::Up, Event::Routes(all)]);
    work(&mut core);
    let origins =
        |core: &Core| [first, second, new].map(|net| core.classes.read().unwrap().origin_of(&prefix(net)));
    assert_eq!(origins(&core), [Some(9), Some(9), None]);

    let moved = |net: &str| route(prefix(net), &[8]);
    let said = vec![
        withdrawn(first),
        moved(first),
        withdrawn(second),
        moved(second),
        withdrawn(second),
        moved(new),
        withdrawn(new),
        moved(new),
    ];
    say(&mut core, vec![Event::Routes(said)]);
    work(&mut core);
    // There is the class of the second for one of the others, and that of the first, once it is free, for the last one.
    assert_eq!((origins(&core), core.waiting.len()), ([Some(8), None, None], 1));
    core.reclaimed = None;
    core.look_at_peers();
    assert_eq!((origins(&core), core.waiting.len()), ([Some(8), None, Some(8)], 0));
    assert_eq!(made.load(Ordering::Relaxed), 2);
}

#[test]
fn sweeps_longer_than_the_interval_leave_time_for_messages() {
    let (mut core, wire) = core(SIZES, u64::MAX, &[]);
    core.interval = Duration::from_millis(20);
    let long = 2 * core.interval;
    let (tell, swept) = mpsc::channel();
    let sweep: Sweeping = Box::new(move |wire| {
        thread::sleep(long);
        let _ = tell.send(());
        wire.sweep()
    });
    core.datapath = Box::new(Staged { wire: wire.clone(), sweep, reclaim: Box::new(|| {}) });
    let (messages, told) = mpsc::channel();
    let (end, ended) = mpsc::channel();
    thread::spawn(move || {
        let _ = end.send(core.run(&told));
    });
    // From the first round on the next one is due when it ends.
    for _ in 0..3 {
        swept.recv_timeout(SOON).unwrap();
    }
    let events = [router(), Event::Up, Event::Routes(vec![route(prefix("10.0.0.0/8"), &[7])])];
    let said: Vec<_> = events.into_iter().map(|event| Said { peer: PeerId(0), event }).collect();
    messages.send(Message::Live(said.into())).unwrap();
    let began = Instant::now();
    while wire.fake().writer().prefixes().0 == 0 {
        assert!(began.elapsed() < SOON, "no message is read");
        thread::sleep(Duration::from_millis(1));
    }
    messages.send(Message::Stop).unwrap();
    ended.recv_timeout(SOON).expect("it ends").unwrap();
}
