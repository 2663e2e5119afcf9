//! `classifier datapath`: the half of the agent that counts.

use std::path::PathBuf;

use super::{CliError, args::KeepArgs, wiring};
use crate::{
    config::{BankMemory, ConfigError},
    datapath::remote::SocketPlan,
};

/// Count for an agent that has no privileges itself
///
/// Loads the kernel's programs, puts them on interfaces and reads the counters, for one agent at a time, which comes to a
/// socket (`classifier run --datapath SOCKET`) and may be of any user that the socket lets in. Without such a service,
/// `classifier run` starts this for itself.
///
/// It keeps the capabilities BPF, NET_ADMIN and PERFMON, the last one in effect only while programs are loaded. It takes no
/// path and no program from an agent; the least that an agent could do with it is to count wrongly, the most is to put this
/// program on other Ethernet interfaces, where it passes every packet on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sudo classifier datapath --socket /run/classifier/datapath.sock --group classifier
  classifier run --datapath /run/classifier/datapath.sock -i eth0")]
pub(super) struct Args {
    /// Where agents come to: a socket, which is made with mode 0660. One that a service manager passed is taken instead
    #[arg(long, value_name = "PATH", required_unless_present = "stdin")]
    socket: Option<PathBuf>,
    /// Whose agents may come: those of this group, by name or number [default: the group of this process]
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// How much kernel memory counters may take, whatever the agent asks for: 512M, 2G, or a share of the memory
    #[arg(long, value_name = "SIZE", default_value_t)]
    bank_memory: BankMemory,
    #[command(flatten)]
    keep: KeepArgs,
    /// Serve the agent at the other end of the standard input
    #[arg(long, hide = true, conflicts_with_all = ["socket", "group"])]
    stdin: bool,
}

pub(super) fn execute(args: Args) -> Result<(), CliError> {
    let Args { socket, group, bank_memory, keep, stdin: _ } = args;
    let mut keep = keep.settings();
    // A service, whoever started it: what agents have begun goes on without them.
    keep.counting.get_or_insert(true);
    let keep = keep.plan().map_err(ConfigError::from)?;
    let socket = socket.map(|path| SocketPlan { path, group });
    wiring::serve(&keep, bank_memory, socket.as_ref())
}
