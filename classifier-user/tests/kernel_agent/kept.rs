//! What an agent leaves behind that leaves the kernel counting: pins, filters, qdiscs, and whether they are there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    agent::{eventually, stdout},
    lab::run,
    world::{Files, Traffic, send},
};

/// A BPF file system of the calling thread's own, which goes with its namespace.
pub(crate) fn bpffs(files: &Files) -> PathBuf {
    let path = files.path("bpf");
    fs::create_dir_all(&path).expect("made");
    run(&format!("mount -t bpf bpf {}", path.display()));
    path
}

/// Arguments of an agent that leaves the kernel counting.
pub(crate) fn keeping(files: &Files, bpffs: &Path) -> String {
    format!("-i r0=transit {} --keep --bpffs {}", files.arguments(), bpffs.display())
}

/// Everything that is pinned, by path.
pub(crate) fn pins(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(pins(&path));
        }
        found.push(path.display().to_string());
    }
    found.sort();
    found
}

/// How many generations are pinned, and whole.
pub(crate) fn metas(directory: &Path) -> usize {
    pins(directory).iter().filter(|path| path.ends_with("/META")).count()
}

/// What `bpftool`, `tc` and the file system show of this machine: all that could be left behind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Traces {
    pub(crate) pins: Vec<String>,
    net: String,
    pub(crate) qdiscs: String,
    filters: String,
    links: String,
}

impl Traces {
    pub(crate) fn of(bpffs: &Path) -> Self {
        let filters = ["ingress", "egress"].map(|side| {
            let output = Command::new("tc").args(["filter", "show", "dev", "r0", side]).output();
            stdout(&output.expect("tc"))
        });
        // Numbers of interfaces and programs of others do not change; ours must not be there.
        Self {
            pins: pins(bpffs),
            net: run("bpftool net"),
            qdiscs: run("tc qdisc show"),
            filters: filters.concat(),
            links: run("ip -d link show r0"),
        }
    }
}

/// What is pinned, as `bpftool` asks for it: `map id 7`.
pub(crate) fn objects(directory: &Path) -> Vec<String> {
    let of = |path: &String| {
        ["map", "prog", "link"].into_iter().find_map(|kind| {
            let output =
                Command::new("bpftool").args([kind, "show", "pinned", path]).output().expect("bpftool");
            let text = stdout(&output);
            let number = text.split(':').next()?.parse::<u32>().ok().filter(|_| output.status.success())?;
            Some(format!("{kind} id {number}"))
        })
    };
    // Those that a BPF file system has of its own are left out.
    let files =
        pins(directory).into_iter().filter(|path| Path::new(path).is_file() && !path.ends_with(".debug"));
    files.map(|path| of(&path).unwrap_or_else(|| panic!("{path} is no map, program or link"))).collect()
}

/// Waits until the kernel has none of these any more.
pub(crate) fn assert_gone(objects: &[String]) {
    for object in objects {
        let (kind, id) = object.split_once(' ').expect("a kind");
        eventually(&format!("{object} goes"), || {
            let output =
                Command::new("bpftool").args([kind, "show"]).args(id.split(' ')).output().expect("bpftool");
            (!output.status.success()).then_some(())
        });
    }
}

/// Whether this program is on the interface.
pub(crate) fn counts(interface: &str) -> bool {
    run("bpftool net").contains(&format!("{interface}("))
}

/// Sends again and again on an interface of the calling thread's namespace, from a thread of its own. Gives how often, once
/// it is told to end.
pub(crate) fn sending(interface: &'static str, traffic: &Traffic) -> impl FnOnce() -> u64 + use<> {
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let traffic = traffic.clone();
    let thread = std::thread::spawn(move || {
        let mut bursts = 0_u64;
        while stopped.try_recv().is_err() {
            send(interface, &traffic);
            bursts += 1;
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        bursts
    });
    move || {
        stop.send(()).expect("it sends");
        thread.join().expect("sent")
    }
}
