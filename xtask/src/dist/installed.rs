//! What a package does to a machine: it is installed, runs as its units say, is upgraded under traffic, cannot start for a
//! while, is removed, installed again, purged. And what docs/install.md does to one where there are no packages.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{machine::Machine, statically::PACKAGING, traffic};
use crate::{
    demo::lab::{INTERNET_INTERFACE, Lab, ROUTER_INTERFACE},
    process,
};

/// Kernel names of the capabilities that the counting half may have: NET_ADMIN, PERFMON, BPF.
const PRIVILEGED: u64 = 1 << 12 | 1 << 38 | 1 << 39;

const CONFIG: &str = "/etc/classifier/classifier.toml";
/// Of the process that counts, and what is in there.
const OPTIONS: (&str, &str) = ("/etc/default/classifier-datapath", "OPTIONS=\"--bank-memory 20%\"\n");
/// Restarts of what cannot start, a second each: the agent, two seconds after its end, has tried then, too.
const TRIES: u64 = 5;

const UNITS: [&str; 3] = ["classifier.service", "classifier-datapath.service", "classifier-datapath.socket"];

fn unit_file(name: &str) -> String {
    format!("/usr/lib/systemd/system/{name}")
}

/// Tries both versions, and the binary without a package.
pub(super) fn run(old: &Path, new: &Path, binary: &Path) -> Result<()> {
    let lab = Lab::new()?;
    let machine = Machine::boot(&lab.router)?;
    let tried = Trial { machine: &machine, lab: &lab }.all(old, new, binary);
    if tried.is_err() {
        let journal = machine
            .run("journalctl --no-pager --output=short-precise --unit=classifier* -n 200")
            .unwrap_or_default();
        eprintln!("--- the machine's journal\n{journal}");
    }
    tried
}

struct Trial<'a> {
    machine: &'a Machine,
    lab: &'a Lab,
}

impl Trial<'_> {
    fn all(&self, old: &Path, new: &Path, binary: &Path) -> Result<()> {
        let say = |what: &str| eprintln!("dist: {what}");
        self.installs(old)?;
        say("installed: files, user, units, manual pages, completions");
        self.counts()?;
        say("counting, with the capabilities that the units say");
        self.upgrades(new)?;
        say("upgraded and restarted under traffic: no packet lost, none twice");
        self.is_mended()?;
        say("options that there are not, and then right ones: both run again by themselves, no packet lost");
        self.is_removed()?;
        say("removed: no program is left");
        self.is_installed_again(new)?;
        say("installed again: counting as before; once stopped by hand, an upgrade leaves it so");
        self.is_purged()?;
        say("purged: nothing is left");
        self.is_installed_by_hand(binary)?;
        say("installed as docs/install.md has it for other distributions: counting");
        Ok(())
    }

    /// dpkg, with what it says when it fails.
    fn dpkg(&self, arguments: &str) -> Result<String> {
        self.machine.run(&format!("dpkg {arguments}"))
    }

    fn install(&self, package: &Path) -> Result<String> {
        self.machine.copy(package, "/tmp/classifier.deb")?;
        self.dpkg("--force-confdef --install /tmp/classifier.deb")
    }

    fn installs(&self, package: &Path) -> Result<()> {
        let machine = self.machine;
        let said = self.install(package)?;
        ensure!(said.contains("systemctl enable --now classifier"), "nobody says how to begin: {said}");
        for file in [
            "/usr/bin/classifier",
            "/usr/share/man/man1/classifier.1.gz",
            "/usr/share/man/man1/classifier-history-export.1.gz",
            "/usr/share/bash-completion/completions/classifier",
            "/usr/share/zsh/vendor-completions/_classifier",
            "/usr/share/fish/vendor_completions.d/classifier.fish",
            "/usr/share/doc/classifier/copyright",
            "/usr/share/doc/classifier/NOTICE",
            "/usr/share/doc/classifier/LICENSE-APACHE",
            "/usr/share/doc/classifier/install.md",
        ] {
            machine.run(&format!("test -s {file}")).with_context(|| format!("{file} is missing"))?;
        }
        let modes = machine.run("stat --format=%a:%U:%G /etc/classifier /etc/classifier/classifier.toml")?;
        ensure!(modes == "750:root:classifier\n640:root:classifier\n", "modes of the configuration: {modes}");
        let listed = self.dpkg("--status classifier")?;
        ensure!(listed.contains("/etc/classifier/classifier.toml"), "no conffile: {listed}");
        let verified =
            machine.output(&format!("systemd-analyze verify {}", UNITS.map(unit_file).join(" ")))?;
        let complaints = String::from_utf8_lossy(&verified.stderr).into_owned();
        let ours: Vec<_> = complaints.lines().filter(|line| line.contains("classifier")).collect();
        ensure!(verified.status.success() && ours.is_empty(), "systemd-analyze verify: {complaints}");
        // Without a link there is nothing to count; and the configuration is right but for that.
        let check = machine.output("classifier run --config /etc/classifier/classifier.toml")?;
        let said = String::from_utf8_lossy(&check.stderr).into_owned();
        ensure!(check.status.code() == Some(2) && said.contains("no link to account"), "{said}");
        ensure!(!self.is_active("classifier")?, "it runs without being told");
        Ok(())
    }

    fn is_active(&self, unit: &str) -> Result<bool> {
        Ok(self.machine.output(&format!("systemctl is-active --quiet {unit}"))?.status.success())
    }

    fn counts(&self) -> Result<()> {
        let machine = self.machine;
        self.configure()?;
        machine.write(OPTIONS.0, OPTIONS.1)?;
        // As Type=notify has it, this returns when counting has begun.
        machine.run("systemctl enable --now classifier")?;
        let sent = self.send(100)?;
        self.arrived(sent)?;
        self.capabilities("classifier-datapath", PRIVILEGED)?;
        self.capabilities("classifier", 0)?;
        // As systemd has read it: a machine like this one may not be let to lower a score.
        for (unit, score) in [("classifier-datapath", "-500\n"), ("classifier", "500\n")] {
            let adjusted =
                machine.run(&format!("systemctl show --property=OOMScoreAdjust --value {unit}"))?;
            ensure!(adjusted == score, "{unit}: OOMScoreAdjust is {adjusted}");
        }
        let owner = machine.run("stat --format=%U:%a /var/lib/classifier")?;
        ensure!(owner == "classifier:750\n", "the state's directory: {owner}");
        let status = machine.run("systemctl show --property=StatusText --value classifier")?;
        ensure!(status.starts_with("1 link, "), "the status: {status}");
        self.low_port()?;
        machine.run("systemctl reload classifier")?;
        ensure!(self.is_active("classifier")?, "a reload ended it");
        self.is_checked_while_kept()
    }

    /// The lab's link.
    fn configure(&self) -> Result<()> {
        let config = self.machine.run(&format!("cat {CONFIG}"))?;
        let link = format!("[[link]]\ninterface = \"{ROUTER_INTERFACE}\"\nname = \"transit\"\n");
        self.machine.write(CONFIG, &format!("interval = \"200ms\"\n{config}\n{link}"))
    }

    /// What docs/install.md says to type, while nobody but the kernel counts.
    fn is_checked_while_kept(&self) -> Result<()> {
        let machine = self.machine;
        machine.run("systemctl stop classifier")?;
        let said = machine.run("classifier check --config /etc/classifier/classifier.toml")?;
        ensure!(said.contains("is kept as `default`") && said.contains("`run` goes on with it"), "{said}");
        machine.run("systemctl start classifier")?;
        Ok(())
    }

    /// A port below 1024, with the drop-in that docs/install.md has for it.
    fn low_port(&self) -> Result<()> {
        let machine = self.machine;
        let page = std::fs::read_to_string(process::root().join("docs/install.md"))?;
        let (_, drop_in) = page.split_once("  ```\n").context("a drop-in in docs/install.md")?;
        let (drop_in, _) = drop_in.split_once("  ```\n").context("its end")?;
        machine.run("mkdir /etc/systemd/system/classifier.service.d")?;
        machine
            .write("/etc/systemd/system/classifier.service.d/port.conf", &drop_in.replace("\n  ", "\n"))?;
        let config = machine.run("cat /etc/classifier/classifier.toml")?;
        let public = format!("{config}\n[public]\nlisten = \"127.0.0.1:80\"\n");
        machine.write("/etc/classifier/classifier.toml", &public)?;
        machine.run("systemctl daemon-reload")?;
        machine.run("systemctl restart classifier")?;
        machine.run("curl --silent --fail --output /dev/null http://127.0.0.1:80/about")?;
        let status = machine.run(&format!("cat /proc/{}/status", self.pid("classifier")?))?;
        for set in ["CapPrm", "CapEff", "CapAmb"] {
            ensure!(status.contains(&format!("{set}:\t0000000000000000")), "with a low port it keeps {set}");
        }
        machine.write("/etc/classifier/classifier.toml", &config)?;
        machine.run("rm -r /etc/systemd/system/classifier.service.d")?;
        machine.run("systemctl daemon-reload")?;
        machine.run("systemctl restart classifier")?;
        Ok(())
    }

    /// What a unit's main process may do, in `/proc/PID/status`.
    fn capabilities(&self, unit: &str, allowed: u64) -> Result<()> {
        let pid = self.pid(unit)?;
        let status = self.machine.run(&format!("cat /proc/{pid}/status"))?;
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            let line = status.lines().find_map(|line| line.strip_prefix(&format!("{set}:")));
            let line = line.with_context(|| format!("no {set} of {unit}"))?;
            let has = u64::from_str_radix(line.trim(), 16)?;
            ensure!(has & !allowed == 0, "{unit}: {set} is {has:x}");
        }
        ensure!(status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"), "{unit}: {status}");
        Ok(())
    }

    fn pid(&self, unit: &str) -> Result<u32> {
        let pid = self.machine.run(&format!("systemctl show --property=MainPID --value {unit}"))?;
        Ok(pid.trim().parse()?)
    }

    /// Sends so many frames, and says how many that were.
    fn send(&self, frames: u64) -> Result<u64> {
        traffic::send(&self.lab.internet, INTERNET_INTERFACE, frames)
    }

    /// IPv4 frames that were received, as the agent says it.
    fn received(&self) -> Result<u64> {
        let links = self.machine.run("classifier links --json")?;
        let [received, _] = traffic::counted(links.as_bytes())?;
        Ok(received.packets)
    }

    /// Waits until so many have come in, and sees that no more do.
    fn arrived(&self, frames: u64) -> Result<()> {
        let enough = |_: &Machine| self.received().ok().filter(|&received| received >= frames);
        let received = self.machine.until("all frames are counted", enough);
        let received = received.with_context(|| match self.received() {
            Ok(received) => format!("{frames} frames were sent, {received} were counted"),
            Err(error) => error.to_string(),
        })?;
        ensure!(received == frames, "{frames} frames were sent, {received} were counted");
        Ok(())
    }

    /// Installs the next version while frames come in, restarts each half, and kills each.
    fn upgrades(&self, package: &Path) -> Result<()> {
        let before = self.received()?;
        let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            let sender = scope.spawn(|| -> Result<()> {
                while !stop.load(Ordering::Relaxed) {
                    sent.fetch_add(self.send(20)?, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(1));
                }
                Ok(())
            });
            let tried = self.restarts(package);
            stop.store(true, Ordering::Relaxed);
            match sender.join() {
                Ok(sender) => sender.and(tried),
                Err(_) => bail!("the sender panicked"),
            }
        })?;
        self.arrived(before + sent.into_inner())
    }

    fn restarts(&self, package: &Path) -> Result<()> {
        let machine = self.machine;
        let processes =
            || Ok::<_, anyhow::Error>((self.pid("classifier-datapath")?, self.pid("classifier")?));
        let (datapath, agent) = processes()?;
        self.install(package)?;
        let upgraded = processes()?;
        ensure!(upgraded.0 != datapath && upgraded.1 != agent, "an old version runs on");
        let config = machine.run("cat /etc/classifier/classifier.toml")?;
        ensure!(config.contains(ROUTER_INTERFACE), "the upgrade took the configuration away");
        machine.run("systemctl restart classifier")?;
        let restarted = processes()?;
        ensure!(restarted.0 == upgraded.0 && restarted.1 != upgraded.1, "not the agent alone was restarted");
        for unit in ["classifier", "classifier-datapath"] {
            // The agent ends with the other one.
            let before = [self.pid(unit)?, self.pid("classifier")?];
            machine.run(&format!("kill -KILL {}", before[0]))?;
            machine.until("systemd starts what was killed", |_| {
                let now = [self.pid(unit).ok()?, self.pid("classifier").ok()?];
                let are_new = now.iter().all(|pid| *pid != 0 && !before.contains(pid));
                (are_new && self.is_active("classifier").unwrap_or(false)).then_some(())
            })?;
        }
        machine.until("the agent answers again", |_| self.received().ok())?;
        Ok(())
    }

    /// What counts cannot be started for a while; when that is mended, nobody does anything else.
    fn is_mended(&self) -> Result<()> {
        let machine = self.machine;
        let before = self.received()?;
        machine.write(OPTIONS.0, "OPTIONS=\"--bank-memroy 20%\"\n")?;
        let restart = machine.output("systemctl restart classifier-datapath")?;
        ensure!(!restart.status.success(), "it starts with an option that there is not");
        let tries = || -> Result<u64> {
            let tries = machine.run("systemctl show --property=NRestarts --value classifier-datapath")?;
            Ok(tries.trim().parse()?)
        };
        let enough = tries()? + TRIES;
        machine.until("it is tried again and again", |_| tries().ok().filter(|&tries| tries >= enough))?;
        for unit in ["classifier-datapath", "classifier"] {
            ensure!(!self.is_active(unit)?, "{unit} runs with an option that there is not");
        }
        let sent = self.send(100)?;
        machine.write(OPTIONS.0, OPTIONS.1)?;
        machine.until("both run again", |_| {
            let mut units = ["classifier-datapath", "classifier"].into_iter();
            units.all(|unit| self.is_active(unit).unwrap_or(false)).then_some(())
        })?;
        self.arrived(before + sent)
    }

    fn is_removed(&self) -> Result<()> {
        let machine = self.machine;
        self.dpkg("--remove classifier")?;
        self.nothing_counts()?;
        machine.run("test -e /var/lib/classifier/history.sqlite3").context("its history went with it")?;
        machine.run(&format!("test -e {CONFIG}")).context("its configuration went with it")?;
        Ok(())
    }

    fn nothing_counts(&self) -> Result<()> {
        let machine = self.machine;
        for unit in ["classifier", "classifier-datapath"] {
            ensure!(!self.is_active(unit)?, "{unit} runs on");
        }
        let link = machine.run(&format!("ip link show {ROUTER_INTERFACE}"))?;
        ensure!(!link.contains("xdp"), "there is still a program: {link}");
        let programs = machine.run("bpftool net show")?;
        ensure!(!programs.contains("classifier"), "there is still a program: {programs}");
        Ok(())
    }

    /// Removed, and not purged: what was enabled counts again. And an upgrade leaves stopped what somebody has stopped.
    fn is_installed_again(&self, package: &Path) -> Result<()> {
        let said = self.install(package)?;
        ensure!(self.is_active("classifier")?, "it is enabled, and does not run: {said}");
        let before = self.received()?;
        let sent = self.send(100)?;
        self.arrived(before + sent)?;
        self.machine.run("systemctl stop classifier")?;
        self.install(package)?;
        ensure!(!self.is_active("classifier")?, "an upgrade starts what was stopped by hand");
        ensure!(self.is_active("classifier-datapath")?, "an upgrade stops what counts");
        Ok(())
    }

    fn is_purged(&self) -> Result<()> {
        let machine = self.machine;
        self.dpkg("--purge classifier")?;
        self.nothing_counts()?;
        for path in [
            "/var/lib/classifier",
            "/etc/classifier",
            OPTIONS.0,
            "/run/classifier",
            "/run/classifier-installed-again",
            "/sys/fs/bpf/classifier",
        ] {
            machine.run(&format!("test ! -e {path}")).with_context(|| format!("{path} is left"))?;
        }
        let left = machine.run("find /etc/systemd /usr/lib/systemd /usr/share/doc -name *classifier*")?;
        let left: Vec<_> = left.lines().filter(|path| !path.contains("classifier-dist")).collect();
        ensure!(left.is_empty(), "left are {left:?}");
        Ok(())
    }

    /// docs/install.md's lines for other distributions, over what is in the archive, where there is no more than systemd's own.
    fn is_installed_by_hand(&self, binary: &Path) -> Result<()> {
        let machine = self.machine;
        // The package's, and what this machine may have beyond a bare one.
        machine.run("userdel classifier")?;
        machine.run("rm -rf /etc/sysusers.d")?;
        machine.run("mkdir -p /tmp/archive/packaging")?;
        machine.copy(binary, "/tmp/archive/classifier")?;
        for file in PACKAGING {
            let path = process::root().join("packaging").join(file);
            machine.copy(&path, &format!("/tmp/archive/packaging/{file}"))?;
        }
        let page = std::fs::read_to_string(process::root().join("docs/install.md"))?;
        let (_, page) = page.split_once("## Any other Linux\n").context("a section in docs/install.md")?;
        let lines = page.split("```\n").nth(1).context("its lines to type")?;
        machine.write("/tmp/install.sh", &format!("cd /tmp/archive\n{}", lines.replace("sudo ", "")))?;
        machine.run("sh -e /tmp/install.sh")?;
        // Without systemd: who opens the socket makes its directory.
        let socket = "/run/classifier/datapath.sock";
        let alone =
            machine.output(&format!("timeout 2 classifier datapath --socket {socket} --group classifier"))?;
        let said = String::from_utf8_lossy(&alone.stderr).into_owned();
        ensure!(said.contains(&format!("agents may come to {socket}")), "{said}");
        let mode = machine.run("stat --format=%a:%U /run/classifier")?;
        ensure!(mode == "755:root\n", "the socket's directory: {mode}");
        self.configure()?;
        machine.run("systemctl enable --now classifier")?;
        let sent = self.send(100)?;
        self.arrived(sent)
    }
}
