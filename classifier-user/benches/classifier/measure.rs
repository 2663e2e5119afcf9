//! Clocks and rounds.
//!
//! Costs are CPU time, not time: others may use the machine. What is compared runs in turns, A B C A B C, and the
//! median of all turns stands for it.

use std::{io, mem::MaybeUninit, time::Duration};

use anyhow::Result;

/// Asks the scheduler to run this process before others: what they leave in the caches between two turns is noise.
pub(crate) fn go_first() {
    // SAFETY: no memory is passed. Without the permission all stays as it is.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) };
}

/// Does `work` on one CPU, so that it keeps its caches and its slice of the counters.
pub(crate) fn on_one_cpu<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    const SIZE: usize = size_of::<libc::cpu_set_t>();
    // SAFETY: an empty set is all zero; the kernel writes and reads as many bytes as it is told.
    let before = unsafe {
        let mut before: libc::cpu_set_t = std::mem::zeroed();
        let mut one: libc::cpu_set_t = std::mem::zeroed();
        anyhow::ensure!(
            libc::sched_getaffinity(0, SIZE, &raw mut before) == 0,
            "{}",
            io::Error::last_os_error()
        );
        libc::CPU_SET(libc::sched_getcpu().max(0) as usize, &mut one);
        libc::sched_setaffinity(0, SIZE, &raw const one);
        before
    };
    let result = work();
    // SAFETY: as above.
    unsafe { libc::sched_setaffinity(0, SIZE, &raw const before) };
    result
}

fn clock(id: libc::clockid_t) -> io::Result<Duration> {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the kernel writes the whole of it where it returns 0.
    let time = unsafe {
        if libc::clock_gettime(id, time.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        time.assume_init()
    };
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// CPU time that this thread has used.
pub(crate) fn thread_cpu() -> Duration {
    clock(libc::CLOCK_THREAD_CPUTIME_ID).unwrap_or_default()
}

/// CPU time that all threads of a process have used.
pub(crate) fn process_cpu(pid: u32) -> io::Result<Duration> {
    // `CPUCLOCK_SCHED` of a process, as clock_getcpuclockid(3) makes it.
    const CPUCLOCK_SCHED: i32 = 2;
    clock(!(pid as i32) << 3 | CPUCLOCK_SCHED)
}

/// The CPU time that `work` takes in this thread, in seconds, and what it gives.
pub(crate) fn seconds<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let began = thread_cpu();
    let result = work();
    ((thread_cpu() - began).as_secs_f64(), result)
}

/// The same of all threads of this process.
pub(crate) fn seconds_of_all<T>(work: impl FnOnce() -> T) -> io::Result<(f64, T)> {
    let began = process_cpu(std::process::id())?;
    let result = work();
    Ok(((process_cpu(std::process::id())? - began).as_secs_f64(), result))
}

/// The median.
pub(crate) fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    match samples.as_slice() {
        [] => f64::NAN,
        samples if samples.len().is_multiple_of(2) => {
            f64::midpoint(samples[samples.len() / 2 - 1], samples[samples.len() / 2])
        }
        samples => samples[samples.len() / 2],
    }
}

/// Something to be measured: each call gives a sample.
pub(crate) type Contender<'a> = Box<dyn FnMut() -> Result<f64> + 'a>;

/// Lets all have their turn `rounds` times, after one that does not count; gives the median of each.
pub(crate) fn in_turns<const N: usize>(rounds: usize, contenders: [Contender<'_>; N]) -> Result<[f64; N]> {
    let mut contenders = contenders;
    let mut samples: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
    for round in 0..=rounds {
        for (contender, samples) in contenders.iter_mut().zip(&mut samples) {
            let sample = contender()?;
            if round > 0 {
                samples.push(sample);
            }
        }
    }
    Ok(samples.map(median))
}
