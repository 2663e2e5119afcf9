//! The calls to what does the work: the only place of the command line that knows it.

use std::{io::IsTerminal as _, path::Path};

use indicatif::{ProgressBar, ProgressStyle};

use super::{
    CliError,
    tables::{self, FileProgress},
};
use crate::{
    agent::{self, AgentError},
    config::{BankMemory, KeepPlan, RunPlan},
    datapath::{
        kernel,
        remote::{self, KernelHost, SocketPlan},
    },
    notify::Notifier,
    replay::{self, ReplayPlan, capture::CaptureError, report::Report},
};

/// Runs the agent until it is told to end.
pub(super) fn run(plan: &RunPlan, log: &str) -> Result<(), CliError> {
    let mut progress = FileProgress::default();
    let ran = agent::run(plan, log, |part, state| progress.show(part, state));
    ran.map_err(|error| match error {
        AgentError::User(error) => CliError::User(error),
        error => CliError::work(error),
    })
}

/// Counts for the agents that come to a socket, or for the one that started this process.
pub(super) fn serve(
    keep: &KeepPlan,
    bank_memory: BankMemory,
    socket: Option<&SocketPlan>,
) -> Result<(), CliError> {
    kernel::remember_names();
    let place = keep.counting.then(|| {
        let mut place = kernel::Place::new(keep.bpffs.clone(), keep.instance.clone());
        place.abi = keep.abi.unwrap_or(place.abi);
        place
    });
    let memory = agent::memory_total();
    let mut host = KernelHost::new(place, bank_memory.bytes(memory), memory).map_err(CliError::work)?;
    match socket {
        Some(socket) => {
            let manager = Notifier::from_environment().map_err(CliError::work)?;
            remote::serve_socket(socket, &mut host, &manager).map_err(CliError::work)
        }
        None => remote::serve_parent(&mut host).map_err(CliError::work),
    }
}

/// Runs a capture through the program. Damage further on in the capture comes beside what was read before it.
pub(super) fn replay(plan: &ReplayPlan) -> Result<(Report, Option<CaptureError>), CliError> {
    let tables = tables::load(&plan.tables)?;
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes}") {
        bar.set_style(style);
    }
    let replayed = replay::run(plan, &tables, |read, size| {
        bar.set_length(size);
        bar.set_position(read);
    });
    bar.finish_and_clear();
    let replay::Replayed { report, damage } = replayed.map_err(CliError::work)?;
    Ok((report, damage))
}

/// Takes everything off; says what was taken off, a line each.
pub(super) fn detach(bpffs: &Path, instance: Option<&str>) -> Result<Vec<String>, CliError> {
    kernel::detach_all(bpffs, instance).map_err(CliError::work)
}
