//! The kernel's programs: loaded, and put on the interfaces.

use tracing::{info, warn};

use super::sizing;
use crate::{
    config::{RunPlan, XdpChoice},
    datapath::{
        Datapath as _,
        adopted::{LinkLabel, recorder_id},
        interface::Interface,
        kernel::{self, Setup},
        remote::{Remote, RemoteError, Start},
    },
    model::Mode,
};

/// Loads programs and maps.
pub(super) fn load(
    plan: &RunPlan,
    decision: &sizing::Decision,
    setups: Vec<Setup>,
    remote: &mut Remote,
) -> Result<(), RemoteError> {
    if let Some(instance) = &remote.welcome().keeps {
        info!("counting outlives the agent, as `{instance}`");
    }
    remote.start(&Start {
        sizes: decision.sizes,
        setups,
        labels: plan.links.iter().map(LinkLabel::of).collect(),
        recorder: plan.state_dir.as_deref().map(recorder_id),
        xdp: plan.xdp_mode.into(),
        clsact: plan.clsact,
    })
}

impl From<XdpChoice> for kernel::XdpChoice {
    fn from(choice: XdpChoice) -> Self {
        match choice {
            XdpChoice::Auto => Self::Auto,
            XdpChoice::Native => Self::Native,
            XdpChoice::Generic => Self::Generic,
            XdpChoice::Tc => Self::Tc,
        }
    }
}

/// Attaches every interface once, whatever number of links is on it.
pub(super) fn attach(
    plan: &RunPlan,
    interfaces: &[Interface],
    remote: &mut Remote,
) -> Result<(), RemoteError> {
    // What may come later is not attached now.
    let mut done = vec![0];
    // Those on which nothing is kept first: where one of them fails, nothing has changed on the others.
    let (mut fresh, mut kept) = (Vec::new(), Vec::new());
    for interface in interfaces {
        if remote.has_kept(interface.ifindex)? { kept.push(interface) } else { fresh.push(interface) }
    }
    let mut all: Vec<&Interface> = fresh.into_iter().chain(kept).collect();
    all.retain(|interface| {
        let first = !done.contains(&interface.ifindex);
        done.push(interface.ifindex);
        first
    });
    // What is wrong with one of them costs the others nothing: each XDP program that comes or goes may reset a card's rings.
    remote.preflight(&all)?;
    for interface in all {
        if let Some(why) = remote.attach(interface)? {
            warn!("{}: no native XDP ({why}); counting received frames at TC ingress", interface.name);
        }
    }
    for (link, attachment) in plan.links.iter().zip(remote.attachments()) {
        let mode = |mode: Option<Mode>| mode.map_or("off", Mode::name);
        let vlan = link.vlan.map_or_else(String::new, |vlan| format!(" VLAN {vlan}"));
        let [rx, tx] = attachment.modes;
        let there = interfaces.iter().any(|its| its.name == link.interface && its.ifindex != 0);
        if there && attachment.modes.contains(&None) {
            let why = format!(
                "{}: receive is {}, transmit is {} right after they were attached to {}: somebody takes them off",
                link.name,
                mode(rx),
                mode(tx),
                link.interface
            );
            return Err(RemoteError::Refused { why });
        }
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
