//! The kernel's programs: loaded, and put on the interfaces.

use tracing::{info, warn};

use super::{AgentError, sizing};
use crate::{
    config::{KeepPlan, RunPlan, XdpChoice},
    datapath::{
        Datapath as _,
        adopted::recorder_id,
        interface::Interface,
        kernel::{self, Kernel, LoadError, Setup},
    },
    model::Mode,
};

/// Loads programs and maps.
pub(super) fn load(
    plan: &RunPlan,
    decision: &sizing::Decision,
    setups: &[Setup],
) -> Result<Kernel, LoadError> {
    let KeepPlan { counting, instance, bpffs, abi } = &plan.keep;
    if !counting {
        return Kernel::load(&decision.sizes, setups);
    }
    let mut place = kernel::Place::new(bpffs.clone(), instance.clone());
    if let Some(abi) = abi {
        place.abi = *abi;
    }
    info!("counting outlives the agent, as `{instance}`");
    let recorder = plan.state_dir.as_deref().map(recorder_id);
    Kernel::load_kept(&decision.sizes, setups, &plan.links, &place, recorder)
}

/// Attaches every interface once, whatever number of links is on it.
pub(super) fn attach(
    plan: &RunPlan,
    interfaces: &[Interface],
    datapath: &mut Kernel,
) -> Result<(), AgentError> {
    let choice = match plan.xdp_mode {
        XdpChoice::Auto => kernel::XdpChoice::Auto,
        XdpChoice::Native => kernel::XdpChoice::Native,
        XdpChoice::Generic => kernel::XdpChoice::Generic,
        XdpChoice::Tc => kernel::XdpChoice::Tc,
    };
    datapath.choose_xdp(choice);
    // What may come later is not attached now.
    let mut done = vec![0];
    // Those on which nothing is kept first: where one of them fails, nothing has changed on the others.
    let (kept, fresh): (Vec<_>, Vec<_>) =
        interfaces.iter().partition(|interface| datapath.has_kept(interface.ifindex));
    for interface in fresh.into_iter().chain(kept) {
        if done.contains(&interface.ifindex) {
            continue;
        }
        done.push(interface.ifindex);
        if let Some(why) = datapath.attach(&interface.name, interface.ifindex, choice)? {
            warn!("{}: no native XDP ({why}); counting received frames at TC ingress", interface.name);
        }
    }
    for (link, attachment) in plan.links.iter().zip(datapath.attachments()) {
        let mode = |mode: Option<Mode>| mode.map_or("off", Mode::name);
        let vlan = link.vlan.map_or_else(String::new, |vlan| format!(" VLAN {vlan}"));
        let [rx, tx] = attachment.modes;
        info!(
            "{} ({}, {}{vlan}): receive {}, transmit {}",
            link.name,
            link.role,
            link.interface,
            mode(rx),
            mode(tx)
        );
        if rx == Some(Mode::Generic) {
            warn!(
                "{}: generic XDP runs after GRO and sees super-frames as one packet: packet and byte counts are inexact",
                link.name
            );
        }
    }
    Ok(())
}
