//! What agents have left counting, for those who only look: nothing is changed.

use std::{fs, io, os::fd::AsFd as _, path::Path};

use classifier_common::abi::programs;

use super::{
    super::sys, PinError, Place, elsewhere, entries, generation::Generation, instances, lock, records,
    unlocked, versions,
};

/// What one instance has in the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Its name.
    pub instance: String,
    /// Numbers of its programs, on whatever hook.
    pub programs: Vec<u32>,
    /// Bytes of the maps that are pinned: counters, and what belongs to them. FIBs are not.
    pub bytes: u64,
    /// Whether an agent has it now.
    pub running: bool,
    /// Whether its interfaces are another network namespace's.
    pub elsewhere: bool,
    /// Why a start would not go on with it.
    pub unreadable: Option<String>,
}

/// What is kept there, by instance.
///
/// # Errors
/// The directory cannot be read, as by everybody but root.
pub fn kept(bpffs: &Path) -> io::Result<Vec<Kept>> {
    match fs::read_dir(bpffs.join("classifier")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
        Ok(_) => Ok(instances(bpffs).iter().map(of).collect()),
    }
}

fn of(place: &Place) -> Kept {
    let pins = unlocked(place);
    let links = pins.links();
    let mut kept = Kept {
        instance: place.instance.clone(),
        programs: links.iter().map(|(_, _, link)| link.info.program).collect(),
        // Held for no longer than this takes: an agent that starts just now tries again.
        running: versions(place)
            .iter()
            .any(|directory| matches!(lock(directory, &place.instance), Err(PinError::Running { .. }))),
        ..Kept::default()
    };
    let mut generations = Vec::new();
    for (_, path) in pins.generations() {
        kept.bytes += map_bytes(&path);
        match Generation::open(&path) {
            Ok(Some(generation)) => {
                kept.programs.extend(generation.programs());
                generations.push(generation);
            }
            Ok(None) => {}
            Err(error) => kept.unreadable = Some(error.to_string()),
        }
    }
    kept.elsewhere = elsewhere(generations.last(), &links);
    kept.programs.sort_unstable();
    kept.programs.dedup();
    kept
}

/// Bytes of the maps of a generation.
fn map_bytes(generation: &Path) -> u64 {
    let is_program = |name: &str| [programs::XDP_RX, programs::TC_RX, programs::TC_TX].contains(&name);
    let maps = entries(generation).into_iter().filter(|(name, _)| !is_program(name));
    let infos = maps.filter_map(|(_, path)| sys::map_info(sys::pinned(&path).ok()?.as_fd()).ok());
    infos.map(|info| u64::from(info.value_size.next_multiple_of(8)) * u64::from(info.max_entries)).sum()
}

/// Bytes that a generation takes to say whose so many classes are.
#[must_use]
pub const fn class_bytes(classes: u32) -> u64 {
    classes as u64 * (records::OWNER_WORDS as u64 * 4)
}

/// The most bytes in which a generation carries over what older ones counted of so many owners on so many links.
#[must_use]
pub const fn carry_bytes(owners: u64, links: u64) -> u64 {
    /// Outcomes of a hook, and its sides.
    const OUTCOMES: u64 = 5;
    const SIDES: u64 = 2;
    links * 2 * (OUTCOMES + SIDES * owners) * (records::CARRY_WORDS as u64 * 4)
}
