//! What a machine boots: an initial file system with the tests' programs where cargo has them, what they call, the modules
//! of links and filters, and a script that runs them.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{
    kernels::{self, Kernel},
    machine::{BEGIN, END},
    skipped::{self, Skipped},
    with_few_capabilities,
};
use crate::{
    process,
    test::{CAPABILITIES, FEW, MINIMAL, NAMESPACE, takes_minimal},
};

/// What tests call, and the script.
const TOOLS: [&str; 18] = [
    "busybox",
    "bash",
    "ip",
    "tc",
    "bpftool",
    "ethtool",
    "tcpdump",
    "tcpreplay",
    "setpriv",
    "capsh",
    "promtool",
    "openssl",
    "mount",
    "umount",
    "touch",
    "unshare",
    "script",
    "timeout",
];
/// Directories of modules that have links, filters and what they need.
const MODULES: [&str; 7] =
    ["net/sched", "net/8021q", "net/bridge", "net/802", "net/llc", "net/tls", "drivers/net"];
/// Those that are loaded at once: in a namespace without the right to, nothing loads them.
const LOADED: &str = "veth dummy tun bridge bonding 8021q sch_ingress cls_bpf act_bpf cls_matchall act_gact";
/// Who there is: an agent may become somebody else.
const USERS: [(&str, &str); 2] = [
    ("passwd", "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/nonexistent:/bin/false\n"),
    ("group", "root:x:0:\nnogroup:x:65534:\n"),
];
/// Seconds that a test has which is expected to fail.
const TRIAL: u32 = 300;
/// What tests read in the repository.
const FILES: [&str; 2] = ["classifier-user/tests", "data"];

/// Makes it; the file's path.
pub(super) fn build(
    kernel: &Kernel,
    programs: &[(String, PathBuf)],
    filter: Option<&str>,
) -> Result<PathBuf> {
    let root = kernels::directory().join(format!("root-{}", kernel.version));
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    for directory in ["proc", "sys", "dev", "tmp", "run", "var/tmp", "root", "etc", "bin"] {
        fs::create_dir_all(root.join(directory))?;
    }
    let mut files = BTreeSet::new();
    for tool in TOOLS {
        let path = process::find_program(tool)
            .with_context(|| format!("{tool} is missing (`cargo xtask setup` installs it)"))?;
        add(&root, &path, &mut files)?;
    }
    let classifier = process::root().join("target/debug/classifier");
    for program in programs.iter().map(|(_, path)| path).chain([&classifier]) {
        add(&root, program, &mut files)?;
        // Most of them is what debuggers want to know.
        process::run(Command::new("strip").arg(inside(&root, program)))?;
    }
    for name in FILES {
        copy(&process::root().join(name), &inside(&root, &process::root().join(name)))?;
    }
    let modules = root.join("lib/modules").join(&kernel.release);
    for name in MODULES {
        copy(&kernel.modules().join("kernel").join(name), &modules.join("kernel").join(name))?;
    }
    for (name, text) in USERS {
        fs::write(root.join("etc").join(name), text)?;
    }
    for entry in fs::read_dir(kernel.modules())?.flatten() {
        if entry.path().is_file() {
            fs::copy(entry.path(), modules.join(entry.file_name()))?;
        }
    }
    // Debian 13's are compressed, and busybox loads them as they are.
    let unpack = ["-name", "*.ko.xz", "-exec", "xz", "--decompress", "{}", "+"];
    process::run(Command::new("find").arg(&modules).args(unpack))?;
    process::run(Command::new("/sbin/depmod").arg("-b").arg(&root).arg(&kernel.release))?;
    let init = root.join("init");
    fs::write(&init, script(kernel, programs, filter))?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    let image = kernels::directory().join(format!("root-{}.cpio", kernel.version));
    process::run(
        Command::new("sh")
            .args(["-c", "find . | cpio --quiet --create --format=newc > \"$1\"", "sh"])
            .arg(&image)
            .current_dir(&root),
    )?;
    Ok(image)
}

fn script(kernel: &Kernel, programs: &[(String, PathBuf)], filter: Option<&str>) -> String {
    // One that the repository is below would hide it; all files are in memory anyway.
    let temporary =
        ["/tmp", "/run", "/var/tmp"].into_iter().filter(|path| !process::root().starts_with(path));
    let temporary: String = temporary.map(|path| format!("mount -t tmpfs tmp {path}; ")).collect();
    let mut script = format!(
        "#!{busybox} sh\n\
         {busybox} mkdir -p /busybox && {busybox} --install -s /busybox\n\
         export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/busybox HOME=/root RUST_BACKTRACE=0 CLASSIFIER_TEST_LACKING=nothing\n\
         mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev\n\
         mkdir -p /dev/pts; mount -t devpts pts /dev/pts\n\
         {temporary}mount -t bpf bpf /sys/fs/bpf\n\
         modprobe -a {LOADED}\n\
         ip link set lo up\n\
         cd {package}\n",
        busybox = process::find_program("busybox").unwrap_or_default().display(),
        package = process::root().join("classifier-user").display(),
    );
    for (name, program) in programs {
        let program = program.display();
        let skips: String =
            skipped::of(&kernel.version, name).map(|test| format!(" --skip {}", test.test)).collect();
        // Whole names are given with a filter's substring, else `--skip` would take more than what is listed.
        let which = match filter {
            Some(filter) => format!("{filter}{skips}"),
            None => format!("--exact{skips}"),
        };
        script.push_str(&format!(
            "echo '{BEGIN}{name}'\n{program} {which} --test-threads=1 --nocapture 2>&1\n"
        ));
        if name == "kernel_datapath" {
            script.push_str(&format!(
                "{program} the_verifier_has_little_work --nocapture 2>&1 | grep 'at most'\n"
            ));
        }
        if takes_minimal(filter) {
            let few = with_few_capabilities(name);
            // By their paths: busybox has its own of these names, and they can less.
            let [unshare, setpriv] =
                ["unshare", "setpriv"].map(|tool| process::find_program(tool).unwrap_or_default());
            let (unshare, setpriv) = (unshare.display(), setpriv.display());
            script.push_str(&format!(
                "echo '{BEGIN}{few}'\n{FEW}=minimal {unshare} --net --mount -- sh -c '{NAMESPACE}' sh {setpriv} \
                 --bounding-set={CAPABILITIES} --inh-caps={CAPABILITIES} -- {program} {MINIMAL}{skips} --test-threads=1 2>&1\n"
            ));
        }
        if filter.is_some() {
            continue;
        }
        // What is said not to pass is tried.
        for Skipped { test, .. } in skipped::tried(&kernel.version, name) {
            script.push_str(&format!(
                "echo '{BEGIN}{name} {test}'\ntimeout {TRIAL} {program} --exact {test} 2>&1 | tail -n 3\n"
            ));
        }
    }
    script.push_str(&format!("echo '{END}'\npoweroff -f\n"));
    script
}

/// Where a path is below `root`.
fn inside(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// A program and the libraries that it is linked with, under their own names.
fn add(root: &Path, program: &Path, files: &mut BTreeSet<PathBuf>) -> Result<()> {
    let mut wanted = vec![program.to_owned()];
    let linked = Command::new("ldd").arg(program).output().context("could not run ldd")?;
    let text = String::from_utf8_lossy(&linked.stdout).into_owned();
    wanted.extend(text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from));
    for path in wanted {
        if files.insert(path.clone()) {
            let to = inside(root, &path);
            fs::create_dir_all(to.parent().unwrap_or(root))?;
            fs::copy(&path, &to).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

/// A directory with all that is in it; nothing where there is none.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &to)?;
        } else {
            fs::copy(&path, &to).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}
