//! A disk that is full where a slot ends.

use std::{fs, os::unix::fs::symlink};

use super::*;

/// The disk is full for a moment where a slot ends: what was recorded is known again before the agent is killed.
#[test]
fn what_could_not_be_written_at_the_end_of_a_slot_is_written_with_a_later_sweep() {
    let mut world = World::new();
    world.start();
    let file = world.taken().with_extension("new");
    fs::create_dir(&file).expect("in the way");
    while world.store.slots().is_empty() {
        world.sweep(&SOME);
    }
    let trouble = world.trouble().expect("it is said");
    assert!(trouble.contains("what is recorded of the kernel's counters cannot be written"), "{trouble}");
    world.sweep(&SOME);
    assert!(world.trouble().is_some());
    fs::remove_dir(&file).expect("removed");
    world.sweep(&SOME);
    assert_eq!(world.trouble(), None);
    world.kill();
    world.passes(&SOME);
    world.start();
    world.assert_exact();
}

/// Nor is anything recorded twice where it is not written before that.
#[test]
fn killed_before_what_was_recorded_could_be_written_nothing_is_there_twice() {
    let mut world = World::new();
    world.start();
    fs::create_dir(world.taken().with_extension("new")).expect("in the way");
    while world.store.slots().is_empty() {
        world.sweep(&SOME);
    }
    world.kill();
    let (before, _) = world.expected();
    world.passes(&SOME);
    world.start();
    assert_eq!(world.recorded().0, before);
}

/// What neither journals nor the store took while slots ended is in journals with the first sweep that finds room, before the
/// store has it.
#[test]
fn what_no_journal_took_where_a_slot_ended_is_in_one_once_there_is_room() {
    let mut world = World::new();
    world.start();
    let in_the_way = [SLOT + 1, SLOT + 2].map(|slot| journal::path(world.directory.path(), slot));
    for path in &in_the_way {
        symlink("/dev/full", path).expect("a link");
    }
    world.waiting = Some(Vec::new());
    while world.now < 640.0 {
        world.sweep(&SOME);
    }
    assert_eq!(world.waiting.as_ref().map(Vec::len), Some(2));
    assert!(world.trouble().is_some());
    for path in &in_the_way {
        fs::remove_file(path).expect("removed");
    }
    world.sweep(&SOME);
    assert_eq!(world.trouble(), None);
    assert_eq!(journals(world.directory.path()), [SLOT, SLOT + 1, SLOT + 2]);
    world.kill();
    assert!(world.store.slots().is_empty());
    world.passes(&SOME);
    world.start();
    world.assert_exact();
}

/// Nor is a slot written again that the store took before there was room, and what was recorded is known all the same.
#[test]
fn what_the_store_took_before_its_journal_could_is_there_once() {
    let mut world = World::new();
    world.start();
    let in_the_way = journal::path(world.directory.path(), SLOT + 1);
    symlink("/dev/full", &in_the_way).expect("a link");
    while world.now < 600.0 {
        world.sweep(&SOME);
    }
    // The store's thread removes the journal, as far as there is one.
    assert!(world.store.slots().contains_key(&(SLOT + 1)) && !in_the_way.exists());
    let Some(agent) = &mut world.agent else { panic!("it runs") };
    agent.forget(Some(SLOT + 1));
    world.sweep(&SOME);
    assert_eq!(world.trouble(), None);
    assert_eq!(journals(world.directory.path()), [SLOT + 2]);
    world.kill();
    world.passes(&SOME);
    world.start();
    world.assert_exact();
}
