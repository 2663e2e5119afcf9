//! The Internet's router: a BIRD that has the built-in table, gives it to the agent over a session, and changes it under
//! traffic in ways that leave every address with its AS.

use std::{
    collections::HashSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use tempfile::TempDir;

use super::{
    lab::{INTERNET_ADDRESS, ROUTER_ADDRESS},
    random::Random,
    routes::{Family, Route},
};
use crate::{process::find_program, sys::Namespace};

/// The ISP's AS and the Internet's router's: numbers for documentation (RFC 5398).
pub(crate) const ISP_AS: u32 = 64_500;
pub(crate) const INTERNET_AS: u32 = 64_496;
/// The ASes between the router and an origin.
const TRANSITS: [u32; 6] = [3356, 1299, 174, 6939, 2914, 6461];
/// Sets of routes that come and go, of each sort.
const SETS: usize = 8;
/// Prefixes of a set.
const PREFIXES: usize = 2_500;
/// The session is reset at this second, and again after as many.
const RESET_EVERY: u64 = 30;
const FIRST_RESET: u64 = 5;
/// How long BIRD may take for the whole table.
const START: Duration = Duration::from_secs(120);

/// What was changed under traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Changes {
    /// Routes announced, replaced or withdrawn, without those of whole tables.
    pub(crate) routes: u64,
    /// Sessions that were reset, and began again with the whole table.
    pub(crate) resets: u64,
}

/// The running BIRD; it is ended when this goes.
pub(crate) struct Internet {
    child: Child,
    directory: TempDir,
    sets: Vec<Set>,
    changes: Changes,
    /// Prefixes that it announces at its start.
    pub(crate) prefixes: u64,
}

/// Routes that come and go together.
struct Set {
    name: String,
    routes: u64,
    there: bool,
}

impl Internet {
    /// Starts it, and waits until it has read the table.
    pub(crate) fn start(lab: &Namespace, table: &[Route]) -> Result<Self> {
        let directory = TempDir::with_prefix("classifier-demo-").context("could not make a directory")?;
        let (configuration, sets, prefixes) = configuration(table);
        let file = directory.path().join("bird.conf");
        fs::write(&file, configuration).with_context(|| format!("could not write {}", file.display()))?;
        let Some(program) = find_program("bird") else {
            bail!("there is no bird: `cargo xtask setup` installs it (Debian: bird2)");
        };
        let mut command = Command::new(program);
        command.arg("-f").arg("-c").arg(&file).arg("-s").arg(socket(directory.path()));
        command.arg("-P").arg(directory.path().join("bird.pid"));
        let log = fs::File::create(directory.path().join("bird.log")).context("could not make a log")?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = lab.host(&mut command).spawn().context("could not start bird")?;
        let mut internet = Self { child, directory, sets, changes: Changes::default(), prefixes };
        let since = Instant::now();
        while internet.ask("show status").is_err() {
            if internet.child.try_wait()?.is_some() || since.elapsed() > START {
                let log = fs::read_to_string(internet.directory.path().join("bird.log")).unwrap_or_default();
                bail!("bird does not start: {}", log.trim());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(internet)
    }

    /// What is done at this second.
    pub(crate) fn change(&mut self, second: u64) -> Result<()> {
        self.toggle(second)?;
        if second % RESET_EVERY == FIRST_RESET {
            self.reset()?;
        }
        Ok(())
    }

    /// A set of routes comes or goes.
    pub(crate) fn toggle(&mut self, number: u64) -> Result<()> {
        let number = number as usize % self.sets.len();
        if let Some(Set { name, routes, there }) = self.sets.get_mut(number) {
            let command = format!("{} {name}", if *there { "disable" } else { "enable" });
            *there = !*there;
            self.changes.routes += *routes;
            self.ask(&command)?;
        }
        Ok(())
    }

    /// The session ends, and begins again.
    pub(crate) fn reset(&mut self) -> Result<()> {
        self.changes.resets += 1;
        self.ask("restart classifier")
    }

    pub(crate) const fn changes(&self) -> Changes {
        self.changes
    }

    fn ask(&self, command: &str) -> Result<()> {
        let mut birdc = Command::new(find_program("birdc").context("there is no birdc")?);
        birdc.arg("-s").arg(socket(self.directory.path())).args(command.split(' '));
        let output = birdc.stdin(Stdio::null()).output().context("could not run birdc")?;
        if !output.status.success() {
            bail!("birdc {command}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn socket(directory: &Path) -> PathBuf {
    directory.join("bird.ctl")
}

/// BIRD's configuration, the sets of routes in it that come and go, and how many prefixes there are without them.
fn configuration(table: &[Route]) -> (String, Vec<Set>, u64) {
    let announced: Vec<&Route> = table.iter().filter(|route| route.asn != 0).collect();
    let mut text = format!(
        "log stderr all;
         router id {INTERNET_ADDRESS};
         protocol device {{}}
         protocol bgp classifier {{
           local {INTERNET_ADDRESS} as {INTERNET_AS};
           neighbor {ROUTER_ADDRESS} as {ISP_AS};
           passive on;
           rs client;
           ipv4 {{ import none; export all; }};
           ipv6 {{ import none; export all; next hop address 2001:db8:ffff::1; }};
         }}\n"
    );
    append(&mut text, "table", None, &announced, 0);

    let mut random = Random(3);
    let mut drawn = HashSet::new();
    let mut draw = |from: &[&'_ Route]| -> Vec<Route> {
        let mut set = Vec::new();
        for _ in 0..PREFIXES.min(from.len()) {
            let route = *from[random.below(from.len() as u64) as usize];
            if drawn.insert((route.family, route.first, route.last)) {
                set.push(route);
            }
        }
        set
    };
    let leaves = leaves(table);
    let mut sets = Vec::new();
    for number in 1..=SETS {
        // More specific ones of the same origin.
        let halves: Vec<Route> = draw(&leaves).iter().flat_map(Route::halves).collect();
        // Another way to the same origin, which is preferred.
        let detours = draw(&announced);
        for (name, preference, version, routes) in [("halves", 200, 0, halves), ("detours", 250, 1, detours)]
        {
            let routes: Vec<&Route> = routes.iter().collect();
            sets.extend(append(&mut text, &format!("{name}{number}"), Some(preference), &routes, version));
        }
    }
    (text, sets, announced.len() as u64)
}

/// A route with its way, of which there are several.
fn line(route: &Route, version: u32) -> String {
    let asn = route.asn;
    let hash = asn.wrapping_mul(0x9e37_79b1) >> 16;
    let transit = |number: u32| TRANSITS[(hash + number) as usize % TRANSITS.len()];
    let (far, near) = (transit(2 * version + 1), transit(2 * version));
    format!(
        "route {} blackhole {{ bgp_path.prepend({asn}); bgp_path.prepend({far}); bgp_path.prepend({near}); }};\n",
        route.prefix()
    )
}

/// Appends a static protocol for each family, and gives back their sets. Those with a preference (200 is usual) are not
/// there at the start.
fn append(
    text: &mut String,
    name: &str,
    preference: Option<u16>,
    routes: &[&Route],
    version: u32,
) -> Vec<Set> {
    let preferred = preference.map(|preference| format!("preference {preference};")).unwrap_or_default();
    let disabled = if preference.is_some() { "disabled;" } else { "" };
    let families = [(Family::V4, "ipv4"), (Family::V6, "ipv6")];
    families
        .into_iter()
        .map(|(family, channel)| {
            let name = format!("{name}_{channel}");
            _ = writeln!(text, "protocol static {name} {{ {disabled} {channel} {{ {preferred} }};");
            let lines = routes.iter().filter(|route| route.family == family);
            let lines: Vec<String> = lines.map(|route| line(route, version)).collect();
            lines.iter().for_each(|line| text.push_str(line));
            text.push_str("}\n");
            Set { name, routes: lines.len() as u64, there: false }
        })
        .collect()
}

/// Routes that no other lies in, not of host length.
fn leaves(table: &[Route]) -> Vec<&Route> {
    let mut sorted: Vec<&Route> = table.iter().collect();
    sorted.sort_by_key(|route| (route.family, route.first, u128::MAX - route.last));
    let is_leaf = |pair: &[&Route]| {
        let [route, next] = pair else { return false };
        let holds_next = next.family == route.family && next.first <= route.last;
        route.asn != 0 && route.first < route.last && !holds_next
    };
    // The last one of all is left out: it does not matter.
    sorted.windows(2).filter(|pair| is_leaf(pair)).map(|pair| pair[0]).collect()
}

#[cfg(test)]
mod tests {
    use super::{configuration, leaves};
    use crate::demo::routes;

    const TABLE: &str = "\
        2.0.0.0/12,3215,Orange\n2.1.0.0/16,64500,Inside Orange\n2.2.0.0/24,0,\n8.8.8.8/32,15169,Google\n\
        45.57.0.0/17,2906,Netflix\n2a00:86c0::/32,2906,Netflix\n2a01:c000::/19,3215,Orange\n";

    #[test]
    fn what_comes_and_goes_has_its_origin_and_nothing_in_it() {
        let table = routes::parse(TABLE.as_bytes()).unwrap().routes;
        let leaves: Vec<String> = leaves(&table).iter().map(|route| route.prefix()).collect();
        assert_eq!(leaves, ["2.1.0.0/16", "45.57.0.0/17", "2a00:86c0::/32"]);
        let (text, sets, prefixes) = configuration(&table);
        assert_eq!(prefixes, 6);
        assert!(!text.contains("2.2.0.0/24"), "AS 0 is not routed: {text}");
        // Whatever is announced for an address has the origin that the table has for it.
        for line in text.lines().filter(|line| line.starts_with("route ")) {
            let prefix = line.split(' ').nth(1).unwrap();
            let origin: u32 = line
                .split("prepend(")
                .nth(1)
                .and_then(|rest| rest.split(')').next())
                .unwrap()
                .parse()
                .unwrap();
            let asn = |text: &str| routes::parse(format!("{text},1\n").as_bytes()).unwrap().routes[0];
            let route = asn(prefix);
            let longest = table
                .iter()
                .filter(|other| {
                    other.family == route.family && other.first <= route.first && route.last <= other.last
                })
                .min_by_key(|other| other.last - other.first);
            assert_eq!(longest.unwrap().asn, origin, "{line}");
        }
        // What is drawn is in one set only; here there is not enough for more than a few.
        let routes: u64 = sets.iter().map(|set| set.routes).sum();
        assert!((1..=9).contains(&routes), "{routes}");
    }
}
