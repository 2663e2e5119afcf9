//! What this machine is: facts from /proc, /sys and netlink, nothing judged.

use std::{collections::BTreeMap, fs, io, path::Path};

use super::files::{self, Unreadable};
use crate::agent::{self, Refusal};
use crate::config::RunPlan;
use crate::datapath::{
    interface,
    kernel::{self, Kept, OnHook},
    netlink::{self, XdpFeatures, XdpProgram},
    netlink_tc,
    overlap::{self, Positions},
};
use crate::history::store::{Reader, StoreError};

/// The machine.
#[derive(Debug, Default)]
pub(super) struct Host {
    /// As `uname -r`.
    pub(super) kernel: String,
    /// Effective capabilities, a bit each.
    pub(super) capabilities: u64,
    /// Bytes.
    pub(super) memory: u64,
    /// CPUs that get counters of their own.
    pub(super) cpus: u32,
    /// Whether the kernel has TCX; `None` where we may not ask.
    pub(super) tcx: Option<bool>,
    /// Why the kernel does not take filters of clsact; `None` where that was not tried.
    pub(super) clsact: Option<Result<(), String>>,
    /// Why the kernel does not take the programs; `None` where that was not tried.
    pub(super) loads: Option<Result<(), String>>,
    /// Whether there is a BPF file system where one is wanted.
    pub(super) bpffs: Option<bool>,
    /// What agents have left counting, of whatever instance; `None` where we may not look.
    pub(super) kept: Option<Vec<Kept>>,
    /// Bytes of the FIB of the plan's tables, once they were loaded.
    pub(super) fib_bytes: Option<u64>,
    /// Whether BPF programs are compiled; `None` where the kernel does not say.
    pub(super) jit: Option<bool>,
    /// Parts of the kernel that can carry traffic past the hooks: `nf_flow_table`, `openvswitch`.
    pub(super) bypasses: Vec<&'static str>,
    /// Every interface's name.
    pub(super) names: Vec<String>,
    /// Those of the plan that are there.
    pub(super) interfaces: BTreeMap<String, Interface>,
    /// Where all interfaces are.
    pub(super) positions: Positions,
    /// Files of the plan that cannot be read, and why.
    pub(super) unreadable: Unreadable,
    /// Those that the user cannot read whom the agent becomes or is started as; it is named.
    pub(super) unreadable_by: Option<(String, Unreadable)>,
    /// What else the agent would be refused.
    pub(super) refused: Vec<Refusal>,
    /// Why no history can be kept in the plan's state directory.
    pub(super) history: Option<String>,
}

/// An interface.
#[derive(Clone, Debug, Default)]
pub(super) struct Interface {
    pub(super) index: u32,
    /// `ARPHRD_*` (linux/if_arp.h); 1 is Ethernet.
    pub(super) hardware: u16,
    pub(super) mtu: u32,
    /// `up`, `down`, `unknown`, … (RFC 2863).
    pub(super) state: String,
    /// The driver of the hardware below, or the kind of a virtual device.
    pub(super) driver: Option<String>,
    /// `vlan`, `bridge`, `bond`, `veth`, …; nothing for hardware.
    pub(super) kind: Option<String>,
    /// What it is a port of: kind and name.
    pub(super) port_of: Option<(String, String)>,
    /// Below a VLAN device: the trunk and the VLAN.
    pub(super) trunk: Option<(String, u16)>,
    /// VLAN devices on it.
    pub(super) vlan_devices: Vec<String>,
    /// The program on it.
    pub(super) xdp: Option<XdpProgram>,
    /// Programs on its hooks, as far as we may see them.
    pub(super) programs: Vec<OnHook>,
    /// What the driver's XDP can, where the kernel says.
    pub(super) features: Option<XdpFeatures>,
    /// The qdisc in the place that clsact wants, if it is another one.
    pub(super) in_place_of_clsact: Option<String>,
    /// Whether it is a port of a switch chip that forwards by itself.
    pub(super) switchdev: bool,
}

impl Host {
    /// Looks at everything that `plan` needs.
    ///
    /// # Errors
    /// /proc or /sys is not there.
    pub(super) fn read(plan: &RunPlan) -> io::Result<Self> {
        let net = Path::new("/sys/class/net");
        let names = interface::names();
        let interfaces = plan
            .links
            .iter()
            .filter(|link| names.contains(&link.interface))
            .map(|link| (link.interface.clone(), Interface::read(&net.join(&link.interface))))
            .collect();
        let module = |name: &&str| Path::new("/sys/module").join(name).exists();
        Ok(Self {
            kernel: text(Path::new("/proc/sys/kernel/osrelease")).unwrap_or_default(),
            capabilities: effective_capabilities(&fs::read_to_string("/proc/self/status")?).unwrap_or(0),
            memory: total_memory(&fs::read_to_string("/proc/meminfo")?).unwrap_or(0),
            cpus: kernel::cpu_slices().unwrap_or(1),
            jit: text(Path::new("/proc/sys/net/core/bpf_jit_enable")).map(|value| value != "0"),
            bypasses: ["nf_flow_table", "openvswitch"].iter().filter(|name| module(name)).copied().collect(),
            names,
            interfaces,
            positions: overlap::positions(),
            unreadable: files::unreadable(plan),
            unreadable_by: files::unreadable_by(plan),
            refused: agent::refusals(plan),
            tcx: kernel::has_tcx(),
            clsact: None,
            loads: None,
            bpffs: Some(kernel::can_pin(&plan.keep.bpffs)),
            kept: kernel::kept(&plan.keep.bpffs).ok(),
            fib_bytes: None,
            history: plan.state_dir.as_deref().and_then(cannot_keep),
        })
    }
}

impl Interface {
    /// The name of the XDP program on it, where it is to be seen.
    pub(super) fn xdp_name(&self) -> Option<&str> {
        let id = self.xdp?.id;
        self.programs.iter().find(|program| program.kind == "xdp" && program.id == id)?.name.as_deref()
    }

    fn read(directory: &Path) -> Self {
        let number = |name: &str| text(&directory.join(name)).and_then(|value| value.parse::<u32>().ok());
        let index = number("ifindex").unwrap_or(0);
        let info = netlink::link_info(index).unwrap_or_else(|error| {
            tracing::debug!(%error, index, "the kernel does not describe the interface");
            netlink::LinkInfo::default()
        });
        let linked = |path: &str| {
            let target = fs::read_link(directory.join(path)).ok()?;
            Some(target.file_name()?.to_str()?.to_owned())
        };
        let beside = |prefix: &str| -> Vec<String> {
            let entries = fs::read_dir(directory).into_iter().flatten().flatten();
            let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
            names.filter_map(|name| name.strip_prefix(prefix).map(str::to_owned)).collect()
        };
        let is_vlan = |name: &String| {
            let uevent = directory.with_file_name(name).join("uevent");
            text(&uevent).is_some_and(|text| text.lines().any(|line| line == "DEVTYPE=vlan"))
        };
        let mut vlan_devices: Vec<String> = beside("upper_").into_iter().filter(is_vlan).collect();
        vlan_devices.sort();
        let master = linked("master");
        Self {
            index,
            hardware: number("type").and_then(|kind| u16::try_from(kind).ok()).unwrap_or(0),
            mtu: number("mtu").unwrap_or(0),
            state: text(&directory.join("operstate")).unwrap_or_default(),
            driver: linked("device/driver").or_else(|| info.kind.clone()),
            port_of: info.port_of.clone().zip(master),
            trunk: info.vlan.and_then(|vlan| Some((beside("lower_").into_iter().next()?, vlan))),
            vlan_devices,
            xdp: info.xdp,
            programs: kernel::programs_on(index),
            features: netlink::xdp_features(index),
            in_place_of_clsact: netlink_tc::in_place_of_clsact(index).unwrap_or_default(),
            // Reading it gives EOPNOTSUPP where there is no switch.
            switchdev: text(&directory.join("phys_switch_id")).is_some_and(|id| !id.is_empty()),
            kind: info.kind,
        }
    }
}

fn text(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

/// `CapEff` of /proc/PID/status (proc(5)).
fn effective_capabilities(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(value.trim(), 16).ok()
}

/// `MemTotal` of /proc/meminfo, in bytes.
fn total_memory(meminfo: &str) -> Option<u64> {
    let value = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    value.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What shows without a change: something in the directory's place, or a store that is not for this program.
fn cannot_keep(directory: &Path) -> Option<String> {
    let there = directory.ancestors().find(|path| path.exists())?;
    if !there.is_dir() {
        return Some(format!("{} is not a directory", there.display()));
    }
    match Reader::open(directory) {
        Ok(_) | Err(StoreError::Missing { .. }) => None,
        Err(error) => Some(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Settings, link::LinkSpec};

    #[test]
    fn proc_and_sys_texts() {
        assert_eq!(
            effective_capabilities("Name:\tx\nCapEff:\t000001c000001000\nCapBnd:\t0\n"),
            Some(0x1c0_0000_1000)
        );
        assert_eq!(effective_capabilities("Name:\tx\n"), None);
        assert_eq!(total_memory("MemTotal:        8147972 kB\nMemFree: 1 kB\n"), Some(8_147_972 * 1024));
    }

    #[test]
    fn this_machine_has_a_loopback() {
        let settings = Settings {
            links: vec![
                LinkSpec::parse("lo", crate::model::Role::Upstream).unwrap(),
                LinkSpec::parse("not-there", crate::model::Role::Upstream).unwrap(),
            ],
            listen: Some("127.0.0.1:0".parse().unwrap()),
            as_names: vec!["/no/such/file".into()],
            ..Settings::default()
        };
        let host = Host::read(&settings.plan().unwrap()).unwrap();
        assert!(host.names.contains(&"lo".to_owned()));
        assert_eq!(host.interfaces.keys().collect::<Vec<_>>(), ["lo"]);
        let lo = &host.interfaces["lo"];
        // ARPHRD_LOOPBACK.
        assert_eq!((lo.hardware, lo.mtu), (772, 65_536));
        assert!(host.cpus >= 1 && host.memory > 0);
        assert_eq!(host.unreadable.len(), 1);
        assert!(host.refused.is_empty(), "{:?}", host.refused);
    }

    #[test]
    fn what_is_in_the_way_of_a_history_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        assert_eq!(cannot_keep(&state.join("below")), None);
        assert!(!state.exists(), "nothing is changed");
        fs::write(&state, "").unwrap();
        let why = cannot_keep(&state.join("below")).unwrap();
        assert_eq!(why, format!("{} is not a directory", state.display()));
        fs::remove_file(&state).unwrap();
        fs::create_dir(&state).unwrap();
        assert_eq!(cannot_keep(&state), None);
        fs::write(state.join("history.sqlite3"), "somebody's text").unwrap();
        assert_eq!(cannot_keep(&state).unwrap(), "it is not a SQLite database");
    }
}
