//! Whether an interface is the place to count.

use super::{
    host::Interface,
    judge::{Findings, Level},
};
use crate::{config::RunPlan, model::Link};

/// Whether this is the place to count.
pub(super) fn judge(link: &Link, plan: &RunPlan, interface: &Interface, findings: &mut Findings) {
    let mut add = |level, message: String| findings.add(level, &link.name, message);
    let name = &link.interface;
    if let Some((kind, master)) = &interface.port_of {
        let what = match kind.as_str() {
            "bond" | "team" => format!(
                "{name} is a member of {master}: only this member's frames are counted; give every member, or -i {master}"
            ),
            "bridge" => {
                format!(
                    "{name} is a port of the bridge {master}: all frames of this port are counted, bridged ones too"
                )
            }
            _ => format!("{name} belongs to {master} ({kind}): only {name}'s own frames are counted"),
        };
        add(Level::Note, what);
    }
    match interface.kind.as_deref() {
        Some("bridge") => add(
            Level::Warning,
            format!(
                "{name} is a bridge: only what this machine itself sends and receives passes it; give its ports"
            ),
        ),
        Some("vlan") => {
            if let Some((trunk, vlan)) = &interface.trunk {
                add(
                    Level::Note,
                    format!(
                        "{name} is VLAN {vlan} of {trunk}: -i {trunk}:vlan={vlan}={} counts the same frames on the \
                         trunk, with native XDP where that has it",
                        link.name
                    ),
                );
            }
        }
        _ => {}
    }
    if let Some(vlan) = link.vlan {
        let hardware = interface.kind.is_none();
        if hardware {
            add(
                Level::Warning,
                format!(
                    "if {name} takes VLAN tags off itself, XDP does not see VLAN {vlan}: `ethtool -K {name} rxvlan off`, \
                     or --xdp-mode tc"
                ),
            );
        }
    }
    let own: Vec<&str> = interface
        .vlan_devices
        .iter()
        .filter(|device| !plan.links.iter().any(|other| other.interface == **device))
        .map(String::as_str)
        .collect();
    if link.vlan.is_none() && !own.is_empty() {
        add(
            Level::Note,
            format!(
                "frames of {} pass {name} and are counted with it; -i {name}:vlan=ID makes a VLAN a link of its own",
                own.join(", ")
            ),
        );
    }
    if interface.switchdev {
        add(
            Level::Warning,
            format!("{name} is a port of a switch chip: what the chip forwards by itself is not seen"),
        );
    }
}
