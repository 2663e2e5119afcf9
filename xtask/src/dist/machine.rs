//! A Debian that is thrown away: this one's files under an overlay, with namespaces of its own and systemd as its first
//! process, so that units run as they would. Nothing of this machine is changed by what is done there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::{demo::lab, process, sys::Namespace};

/// For it to come up, and for anything in it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Becomes the first process of the machine: `$1` is an empty directory, `$2` the first unit.
const BOOT: &str = r#"
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t bpf -o mode=0700 bpf sys/fs/bpf
mount -t tmpfs -o mode=0755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount --rbind /dev dev
# What looks after hardware and the kernel's settings would do so for the machine that we are on.
units=etc/systemd/system
find "$units" -mindepth 1 -delete
for unit in systemd-sysctl systemd-modules-load systemd-udevd systemd-udev-trigger systemd-udev-settle systemd-random-seed \
    systemd-binfmt systemd-remount-fs systemd-hwdb-update systemd-tmpfiles-setup-dev systemd-timesyncd systemd-networkd \
    systemd-networkd-wait-online systemd-resolved systemd-firstboot systemd-machine-id-commit; do
    ln -s /dev/null "$units/$unit.service"
done
for unit in dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
    sys-fs-fuse-connections.mount sys-kernel-config.mount proc-sys-fs-binfmt_misc.automount systemd-udevd-kernel.socket \
    systemd-udevd-control.socket swap.target; do
    ln -s /dev/null "$units/$unit"
done
printf '[Unit]\nRequires=sysinit.target systemd-journald.service\nAfter=sysinit.target\n' > "$units/$2"
: > etc/fstab
# An installation of packages may start services here.
rm -f usr/sbin/policy-rc.d
mkdir -p mnt
pivot_root . mnt
umount --lazy /mnt
export container=classifier-dist
exec /lib/systemd/systemd --system "--unit=$2" --show-status=no < /dev/null > /dev/null 2>&1
"#;
const TARGET: &str = "classifier-dist.target";

/// A machine that runs. Gone when dropped.
pub(super) struct Machine {
    unshare: Child,
    /// systemd, as we number it.
    first: u32,
    cgroup: PathBuf,
    _directory: tempfile::TempDir,
}

impl Machine {
    /// Starts one whose network is that namespace.
    pub(super) fn boot(network: &Namespace) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let cgroup = unified()?.join(format!("classifier-dist-{}", std::process::id()));
        fs::create_dir(&cgroup).with_context(|| cgroup.display().to_string())?;
        let mut command = Command::new("sh");
        command.args(["-c", r#"echo $$ > "$1/cgroup.procs" && shift && exec "$@""#, "sh"]).arg(&cgroup);
        command.args(["unshare", "--mount", "--pid", "--cgroup", "--uts", "--ipc", "--fork", "--kill-child"]);
        command.args(["sh", "-c", BOOT, "sh"]).arg(directory.path()).arg(TARGET);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let unshare = lab::in_namespace(network, || Ok(command.spawn()?))?;
        let mut machine = Self { unshare, first: 0, cgroup, _directory: directory };
        machine.first = machine.until("the first process", |machine| {
            let id = machine.unshare.id();
            let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
            children.split_whitespace().next()?.parse().ok()
        })?;
        machine
            .until("systemd", |machine| machine.run(&format!("systemctl is-active --quiet {TARGET}")).ok())?;
        Ok(machine)
    }

    /// A command in it. Words are separated by blanks.
    pub(super) fn command(&self, line: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first.to_string()]);
        command.args(["--mount", "--pid", "--cgroup", "--uts", "--ipc", "--net", "--wd=/", "--"]);
        command.args(line.split_whitespace()).stdin(Stdio::null());
        for variable in ["NOTIFY_SOCKET", "INVOCATION_ID", "CLASSIFIER_AGENT", "RUST_LOG"] {
            command.env_remove(variable);
        }
        command.env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    pub(super) fn output(&self, line: &str) -> Result<Output> {
        self.command(line).output().with_context(|| line.to_owned())
    }

    /// What a command prints that does not fail.
    pub(super) fn run(&self, line: &str) -> Result<String> {
        let output = self.output(line)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!("`{line}` failed ({}): {said}{}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(said)
    }

    /// Writes a file in it.
    pub(super) fn write(&self, path: &str, text: &str) -> Result<()> {
        let mut command = self.command("tee");
        let mut child = command.arg(path).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            std::io::Write::write_all(&mut stdin, text.as_bytes())?;
        }
        if child.wait()?.success() { Ok(()) } else { Err(anyhow!("{path} could not be written")) }
    }

    /// Puts a file of ours into it.
    pub(super) fn copy(&self, from: &Path, to: &str) -> Result<()> {
        let file = fs::File::open(from).with_context(|| from.display().to_string())?;
        let mut command = self.command("dd");
        command.args(["bs=1M", "status=none"]).arg(format!("of={to}")).stdin(file);
        process::run(&mut command)
    }

    /// Asks again and again until there is an answer.
    pub(super) fn until<T>(&self, what: &str, probe: impl Fn(&Self) -> Option<T>) -> Result<T> {
        let since = Instant::now();
        loop {
            if let Some(answer) = probe(self) {
                return Ok(answer);
            }
            if since.elapsed() > PATIENCE {
                bail!("{what}: not in {} s", PATIENCE.as_secs());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Its first process goes with it, and with that all others.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
        let since = Instant::now();
        while !remove(&self.cgroup) && since.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Removes a cgroup and those in it; false while there are processes.
fn remove(cgroup: &Path) -> bool {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    fs::remove_dir(cgroup).is_ok() || !cgroup.exists()
}

/// Where cgroups of version 2 are.
fn unified() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mut mounts = mounts.lines().map(|line| line.split(' '));
    let path = mounts.find_map(|mut fields| {
        let path = fields.nth(1)?;
        (fields.next()? == "cgroup2").then(|| PathBuf::from(path))
    });
    path.ok_or_else(|| anyhow!("no cgroup2 file system is mounted here, which systemd needs"))
}
