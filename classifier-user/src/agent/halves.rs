//! Two processes: one that counts, with the capabilities that this needs, and this one without any.

use std::{ffi::OsString, io, os::fd::AsFd as _, sync::mpsc::Sender, thread};

use super::{AgentError, core::Message};
use crate::{
    config::{KeepPlan, RunPlan},
    datapath::{
        privileges::{self, User},
        remote::{self, ChildPlan, Remote},
    },
};

/// Finds or starts the process that counts, and gives up what this one has of privileges.
pub(super) fn part(plan: &RunPlan, log: &str) -> Result<Remote, AgentError> {
    let user = plan.user.as_deref().map(User::find).transpose()?;
    let remote = match &plan.datapath {
        Some(path) => Remote::connect(path)?,
        None => Remote::spawn(&ChildPlan { arguments: arguments(plan, log) })?,
    };
    privileges::drop_all(user.as_ref()).map_err(AgentError::Privileges)?;
    Ok(remote)
}

/// What the other process is to be, as its command line says it.
fn arguments(plan: &RunPlan, log: &str) -> Vec<OsString> {
    let KeepPlan { counting, instance, bpffs, abi } = &plan.keep;
    let mut arguments: Vec<OsString> =
        ["--log", log, "datapath", "--stdin", "--bank-memory"].map(Into::into).into();
    arguments.push(plan.bank_memory.to_string().into());
    if !counting {
        arguments.push("--no-keep".into());
        return arguments;
    }
    arguments.extend(["--keep".into(), "--instance".into(), instance.into(), "--bpffs".into(), bpffs.into()]);
    if let Some(abi) = abi {
        arguments.extend(["--pin-abi".into(), abi.to_string().into()]);
    }
    arguments
}

/// Tells the core when the other process is gone, from a thread of its own.
pub(super) fn watch(remote: &Remote, core: Sender<Message>) -> io::Result<()> {
    let stream = remote.watch()?;
    thread::Builder::new().name("datapath".to_owned()).spawn(move || {
        if remote::closed(stream.as_fd()).is_ok() {
            // A core that ended knows.
            let _ = core.send(Message::Lost);
        }
    })?;
    Ok(())
}
