//! A machine of qemu's that runs tests and ends.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::kernels::Kernel;
use crate::sys;

/// After this long without its end a machine is stopped.
const LONGEST: Duration = Duration::from_secs(150 * 60);
/// Its memory, which its files are in too.
const MEMORY: &str = "4096";
/// What [`super::image`] has it print before each program, and at the end.
pub(super) const BEGIN: &str = "==> ";
pub(super) const END: &str = "==| end";

/// What became of a program of tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) program: String,
    pub(super) passed: u64,
    pub(super) failed: u64,
    /// Filtered out.
    pub(super) left_out: u64,
}

/// A child that does not outlive us.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Boots, shows what the tests say, and waits for the end.
pub(super) fn run(kernel: &Kernel, image: &Path) -> Result<Vec<Outcome>> {
    let mut command = Command::new("qemu-system-x86_64");
    command.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", MEMORY]);
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot"]);
    command.arg("-kernel").arg(kernel.image()).arg("-initrd").arg(image);
    command.args(["-append", "console=ttyS0 quiet panic=-1 oops=panic"]);
    let child = sys::ends_with_us(&mut command).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut machine = Machine(child.context("could not run qemu-system-x86_64")?);
    let output = machine.0.stdout.take().context("no output of the machine")?;
    let (say, said) = mpsc::channel();
    let reader = thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if say.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                break;
            }
        }
    });
    let began = Instant::now();
    let mut lines = Vec::new();
    let mut ended = false;
    loop {
        match said.recv_timeout(LONGEST.saturating_sub(began.elapsed())) {
            Ok(line) => {
                ended |= line == END;
                eprintln!("{line}");
                lines.push(line);
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                bail!("the machine did not end within {} minutes", LONGEST.as_secs() / 60)
            }
        }
    }
    drop(machine);
    let _ = reader.join();
    if !ended {
        bail!("the machine ended before its tests did: the lines above say why");
    }
    Ok(outcomes(&lines))
}

/// What became of each program, by what they said.
pub(super) fn outcomes(lines: &[String]) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = Vec::new();
    let mut program = "";
    for line in lines {
        if let Some(name) = line.strip_prefix(BEGIN) {
            program = name;
        } else if let Some(result) = line.strip_prefix("test result: ") {
            let count = |what: &str| {
                let before = result.split(what).next().unwrap_or_default();
                before
                    .split([' ', ';', '.'])
                    .rfind(|word| !word.is_empty())
                    .and_then(|word| word.parse().ok())
            };
            outcomes.push(Outcome {
                program: program.to_owned(),
                passed: count(" passed").unwrap_or(0),
                failed: count(" failed").unwrap_or(1),
                left_out: count(" filtered out").unwrap_or(0),
            });
        }
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read_by_program() {
        let lines = [
            "==> kernel_datapath",
            "test single::a ... ok",
            "test result: ok. 20 passed; 0 failed; 0 ignored; 0 measured; 5 filtered out; finished in 12.23s",
            "==> kernel_agent",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s",
            "==| end",
        ]
        .map(str::to_owned);
        let outcome = |program: &str, passed, failed, left_out| Outcome {
            program: program.into(),
            passed,
            failed,
            left_out,
        };
        assert_eq!(
            outcomes(&lines),
            [outcome("kernel_datapath", 20, 0, 5), outcome("kernel_agent", 1, 2, 0)]
        );
    }
}
