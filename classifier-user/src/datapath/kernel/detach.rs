//! Taking this program off a machine, whoever put it there.

use std::{collections::HashSet, error::Error, io, iter, os::fd::AsFd as _, path::Path};

use aya::programs::{SchedClassifier, TcAttachType, loaded_links, loaded_programs};
use classifier_common::abi::{Hook, programs};

use super::{
    attach,
    conflict::is_ours,
    keep,
    pins::{self, Place, generation::Generation},
    sys,
};
use crate::datapath::{DatapathError, interface, netlink_tc};

/// Detaches every program of this name from every interface of this network namespace, also those of an agent that
/// runs: it goes on, and counts nothing more. Takes away what is pinned in the BPF file system for it, with all it
/// counted, and the qdiscs that were made for it. Says what was detached, a line each.
///
/// With an instance's name, only what is pinned under it, in whatever namespace.
///
/// # Errors
/// Links of others are found by number only with CAP_SYS_ADMIN.
pub fn detach_all(bpffs: &Path, instance: Option<&str>) -> Result<Vec<String>, DatapathError> {
    let mut done = Vec::new();
    for place in pins::instances(bpffs) {
        if instance.is_none_or(|instance| instance == place.instance) {
            detach_kept(&place, instance.is_some(), &mut done);
        }
    }
    if instance.is_none() {
        done.append(&mut detach_named()?);
    }
    Ok(done)
}

/// Takes away what is kept there, if it is of this namespace or asked for by name.
fn detach_kept(place: &Place, named: bool, done: &mut Vec<String>) {
    let (instance, pins) = (&place.instance, pins::unlocked(place));
    let (mut generations, mut unread) = (Vec::new(), None);
    for (_, path) in pins.generations() {
        match Generation::open(&path) {
            Ok(generation) => generations.extend(generation),
            Err(error) => unread = Some(error),
        }
    }
    let links = pins.links();
    let elsewhere = pins::elsewhere(generations.last(), &links);
    if !named {
        // What cannot be read does not say where it is; its programs may.
        let here = || {
            let here = programs_here();
            links.iter().any(|(_, _, link)| link.info.ifindex != 0 && here.contains(&link.info.program))
        };
        match &unread {
            _ if elsewhere => return,
            Some(error) if !here() => {
                done.push(format!(
                    "left {instance} as it is, of which it cannot be told where it counts: {error}"
                ));
                return;
            }
            _ => {}
        }
    }
    for (_, hook, link) in &links {
        keep::unpin(link);
        let name = match (link.info.kind, hook) {
            (sys::XDP_LINK, _) => programs::XDP_RX,
            (_, Hook::Rx) => programs::TC_RX,
            (_, Hook::Tx) => programs::TC_TX,
        };
        let sys::LinkInfo { program, id, .. } = link.info;
        done.push(format!("detached {name} (program {program}, link {id}, kept as {instance})"));
    }
    let ours: Vec<u32> = generations.iter().flat_map(Generation::programs).collect();
    for (name, interface) in drop_filters(&|_, id| ours.contains(&id), &|_, _| false) {
        done.push(format!("detached {name} (filter of {interface}, kept as {instance})"));
    }
    // Elsewhere these numbers are other interfaces'.
    let of_here = generations.iter().filter(|generation| generation.is_of_here());
    for label in of_here.flat_map(|generation| &generation.labels).filter(|label| label.qdisc) {
        let _ = netlink_tc::remove_idle_clsact(label.ifindex);
    }
    let filters = |generation: &Generation| generation.has_filters(&links);
    if elsewhere && generations.last().is_some_and(filters) {
        done.push(format!(
            "filters of {instance} are in another network namespace, and stay: `classifier detach` there takes them off"
        ));
    }
    pins.remove_everything();
    if !generations.is_empty() || unread.is_some() {
        done.push(format!("removed what {instance} had counted"));
    }
}

/// Takes programs off that are ours by name.
fn detach_named() -> Result<Vec<String>, DatapathError> {
    let failed = |call| move |source: io::Error| DatapathError::System { call, source };
    let mut ours = Vec::new();
    for program in loaded_programs().filter_map(still_there) {
        let program = program.map_err(|error| failed("listing BPF programs")(io::Error::other(error)))?;
        if let Some(name) = program.name_as_str().filter(|name| is_ours(name)) {
            ours.push((program.id(), name.to_owned()));
        }
    }
    let mut done = Vec::new();
    let here = programs_here();
    for link in loaded_links().filter_map(still_there) {
        let link = link.map_err(|error| failed("listing BPF links")(io::Error::other(error)))?;
        let Some((id, name)) = ours.iter().find(|(id, _)| *id == link.program_id()) else { continue };
        if !here.contains(id) {
            continue;
        }
        let detached = sys::link_of(link.id()).and_then(|link| sys::detach(link.as_fd()));
        let Some(detached) = still_there(detached) else { continue };
        detached.map_err(failed("detaching a BPF link"))?;
        done.push(format!("detached {name} (program {id}, link {})", link.id()));
    }
    // Before TCX there are filters, and no links.
    for (program, interface) in drop_filters(&|name, _| is_ours(name), &|_, _| false) {
        done.push(format!("detached {program} (filter of {interface})"));
    }
    Ok(done)
}

/// What the kernel lists by number may be gone before it is opened (ENOENT), or not be made yet (EAGAIN, of links):
/// others' programs and links come and go all the time.
fn still_there<T, E: Error + 'static>(listed: Result<T, E>) -> Option<Result<T, E>> {
    let passing = |error: &E| {
        let mut chain = iter::successors(Some(error as &(dyn Error + 'static)), |error| (*error).source());
        let cause = chain.find_map(|error| error.downcast_ref::<io::Error>());
        cause.is_some_and(|cause| matches!(cause.raw_os_error(), Some(libc::ENOENT | libc::EAGAIN)))
    };
    match listed {
        Err(error) if passing(&error) => None,
        listed => Some(listed),
    }
}

/// Takes filters off all hooks, where their programs' name and number are `ours` and the hook is not held, and qdiscs
/// that are idle then and were made for them. Gives the names of programs and interfaces.
pub(super) fn drop_filters(
    ours: &dyn Fn(&str, u32) -> bool,
    held: &dyn Fn(u32, Hook) -> bool,
) -> Vec<(String, String)> {
    let mut dropped = Vec::new();
    for name in interface::names() {
        let Some(ifindex) = interface::index(&name) else { continue };
        let mut made = false;
        for hook in Hook::ALL.into_iter().filter(|&hook| !held(ifindex, hook)) {
            for (program, handle) in drop_filters_of(ifindex, hook, ours) {
                made |= handle == u32::from(attach::MADE_QDISC);
                dropped.push((program, name.clone()));
            }
        }
        if made {
            let _ = netlink_tc::remove_idle_clsact(ifindex);
        }
    }
    dropped
}

/// Takes filters off a hook, where their programs' name and number are `ours`. Gives their names and handles.
pub(super) fn drop_filters_of(
    ifindex: u32,
    hook: Hook,
    ours: &dyn Fn(&str, u32) -> bool,
) -> Vec<(String, u32)> {
    let Some(interface) = interface::name_of(ifindex) else { return Vec::new() };
    let mut dropped = Vec::new();
    for filter in netlink_tc::filters(ifindex, hook).unwrap_or_default() {
        if let Some((program, _)) = filter.program.as_ref().filter(|(name, id)| ours(name, *id)) {
            // Dropped, it takes the filter away.
            drop(attach::filter(&interface, ifindex, hook, &filter));
            dropped.push((program.clone(), filter.handle));
        }
    }
    dropped
}

/// Numbers of the programs on this network namespace's interfaces. The kernel lists links of all namespaces, and does
/// not say of which they are; but an agent's programs are on interfaces of one namespace only.
fn programs_here() -> HashSet<u32> {
    let mut here = HashSet::new();
    for name in interface::names() {
        here.extend(interface::xdp_program(&name));
        for hook in [TcAttachType::Ingress, TcAttachType::Egress] {
            // Before TCX there is nothing to ask.
            let Ok((_, attached)) = SchedClassifier::query_tcx(&name, hook) else { continue };
            here.extend(attached.iter().map(|program| program.id()));
        }
    }
    here
}

#[cfg(test)]
mod tests {
    use aya::{programs::links::LinkError, sys::SyscallError};

    use super::*;

    #[test]
    fn what_is_gone_is_passed_over_and_what_fails_is_said() {
        let failing = |errno| {
            let io_error = io::Error::from_raw_os_error(errno);
            Err::<(), _>(LinkError::from(SyscallError { call: "bpf_link_get_fd_by_id", io_error }))
        };
        assert!(still_there(failing(libc::ENOENT)).is_none());
        assert!(still_there(failing(libc::EAGAIN)).is_none());
        assert!(matches!(still_there(failing(libc::EPERM)), Some(Err(_))));
        assert!(still_there(Err::<(), _>(io::Error::from_raw_os_error(libc::ENOENT))).is_none());
        assert!(matches!(still_there(Ok::<_, LinkError>(1)), Some(Ok(1))));
    }
}
