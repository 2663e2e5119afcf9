//! What the verifier says of the programs, for tests that hold a budget: aya throws its log away when a load succeeds.

use std::{
    collections::{HashMap, HashSet},
    io,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::maps::MapInfo;
use aya_obj::Object;
use classifier_common::abi::programs;

use super::{
    Kernel,
    harness::HarnessError,
    object::{self, OBJECT},
    sys,
};

/// A map's name in the kernel is as long as this at most.
const NAME: usize = 15;

/// What the verifier did with a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Its name.
    pub program: &'static str,
    /// Instructions that it walked, over all paths; the kernel's limit is a million.
    pub instructions: u32,
    /// Bytes of stack of the program and of each function of it; the kernel's limit is 512 for a chain of calls.
    pub stack: Vec<u32>,
}

impl Kernel {
    /// Has this object's programs verified once more, with the maps that they are loaded with.
    ///
    /// # Errors
    /// [`HarnessError`]; reading maps by number needs CAP_SYS_ADMIN.
    pub fn verified(&mut self) -> Result<Vec<Verified>, HarnessError> {
        let mut found = Vec::new();
        for program in [programs::XDP_RX, programs::TC_RX, programs::TC_TX] {
            let ids = match program {
                programs::XDP_RX => {
                    object::xdp(&mut self.ebpf, program).map_err(io::Error::other)?.info()?.map_ids()?
                }
                _ => object::classifier(&mut self.ebpf, program)
                    .map_err(io::Error::other)?
                    .info()?
                    .map_ids()?,
            };
            let mut maps = HashMap::new();
            for id in ids.unwrap_or_default() {
                let info = MapInfo::from_id(id)?;
                maps.insert(info.name_as_str().unwrap_or_default().to_owned(), info.fd()?);
            }
            let mut object = Object::parse(OBJECT).map_err(io::Error::other)?;
            let text: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
            let named = std::mem::take(&mut object.maps);
            // Those that this program does not use have no number, and need none.
            let all: Vec<_> = named
                .iter()
                .map(|(name, map)| {
                    let fd = maps.get(name.get(..NAME).unwrap_or(name));
                    (name.as_str(), fd.map_or(0, |fd| fd.as_fd().as_raw_fd()), map)
                })
                .collect();
            object.relocate_maps(all.into_iter(), &text).map_err(io::Error::other)?;
            object.relocate_calls(&text).map_err(io::Error::other)?;
            let parsed =
                object.programs.get(program).ok_or_else(|| HarnessError::Missing(program.to_owned()))?;
            let function = object
                .functions
                .get(&parsed.function_key())
                .ok_or_else(|| HarnessError::Missing(program.to_owned()))?;
            let log = sys::verify(program == programs::XDP_RX, &parsed.license, &function.instructions)?;
            found.push(
                read(program, &log).ok_or_else(|| io::Error::other(format!("the verifier's log: {log}")))?,
            );
        }
        Ok(found)
    }

    /// Instructions that the verifier walked when the three programs were loaded (kernel 5.16).
    #[must_use]
    pub fn loaded_instructions(&mut self) -> [Option<u32>; 3] {
        let xdp = object::xdp(&mut self.ebpf, programs::XDP_RX).ok().and_then(|program| program.info().ok());
        let [rx, tx] = [programs::TC_RX, programs::TC_TX].map(|name| {
            object::classifier(&mut self.ebpf, name).ok().and_then(|program| program.info().ok())
        });
        [xdp, rx, tx].map(|info| info?.verified_instruction_count())
    }
}

/// `stack depth 48+0+16` and `processed 812 insns (limit 1000000) …` (`print_verification_stats`, kernel 5.2).
fn read(program: &'static str, log: &str) -> Option<Verified> {
    let after = |what: &str| log.lines().find_map(|line| line.strip_prefix(what));
    let stack =
        after("stack depth ")?.split('+').map(|depth| depth.trim().parse().ok()).collect::<Option<_>>()?;
    let instructions = after("processed ")?.split(' ').next()?.parse().ok()?;
    Some(Verified { program, instructions, stack })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_read() {
        let log = "verification time 123 usec\nstack depth 48+0+16\nprocessed 812 insns (limit 1000000) max_states_per_insn 4 \
                   total_states 40 peak_states 40 mark_read 3\n";
        let verified = Verified { program: "p", instructions: 812, stack: vec![48, 0, 16] };
        assert_eq!(read("p", log), Some(verified));
        assert_eq!(read("p", "processed 812 insns"), None);
    }
}
