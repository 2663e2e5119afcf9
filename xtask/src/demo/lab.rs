//! Two network namespaces and a link between them: an ISP's router and the Internet.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    process::Command,
    thread,
};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::{process, sys::Namespace};

/// The router's end of the link.
pub(crate) const ROUTER_INTERFACE: &str = "transit0";
/// The Internet's end.
pub(crate) const INTERNET_INTERFACE: &str = "isp0";

/// The ends of the link that a BGP session is on, and their addresses (RFC 2544). Nothing is counted there.
const ROUTER_SESSION: &str = "session0";
const INTERNET_SESSION: &str = "session1";
pub(crate) const ROUTER_ADDRESS: &str = "198.18.0.2";
pub(crate) const INTERNET_ADDRESS: &str = "198.18.0.1";

/// The namespaces. They go, with the link, when this and the processes in them are gone: also if we are killed.
pub(crate) struct Lab {
    pub(crate) router: Namespace,
    pub(crate) internet: Namespace,
}

impl Lab {
    /// Makes them. The kernel sends nothing on the link by itself: no ARP, and no IPv6 on it.
    pub(crate) fn new() -> Result<Self> {
        let lab = Self { router: quiet_namespace()?, internet: quiet_namespace()? };
        in_namespace(&lab.router, || ip(&["link", "set", "lo", "up"]))?;
        quiet_link(&lab.router, ROUTER_INTERFACE, &lab.internet, INTERNET_INTERFACE)?;
        Ok(lab)
    }
}

/// Makes a link on which the kernel sends nothing by itself.
pub(crate) fn quiet_link(
    router: &Namespace,
    interface: &str,
    internet: &Namespace,
    other: &str,
) -> Result<()> {
    in_namespace(router, || {
        let peer = ["peer", "name", other, "netns", &internet.path()];
        ip(&[&["link", "add", interface, "type", "veth"], &peer[..]].concat())?;
        ip(&["link", "set", interface, "arp", "off", "up"])
    })?;
    in_namespace(internet, || ip(&["link", "set", other, "arp", "off", "up"]))
}

/// Takes a link away, both ends.
pub(crate) fn remove_link(namespace: &Namespace, interface: &str) -> Result<()> {
    in_namespace(namespace, || ip(&["link", "del", interface]))
}

/// Makes a second link, for a session.
pub(crate) fn session_link(lab: &Lab) -> Result<()> {
    let end = |interface: &str, address: &str| {
        ip(&["addr", "add", &format!("{address}/30"), "dev", interface])?;
        ip(&["link", "set", interface, "up"])
    };
    in_namespace(&lab.router, || {
        let peer = ["peer", "name", INTERNET_SESSION, "netns", &lab.internet.path()];
        ip(&[&["link", "add", ROUTER_SESSION, "type", "veth"], &peer[..]].concat())?;
        end(ROUTER_SESSION, ROUTER_ADDRESS)
    })?;
    in_namespace(&lab.internet, || end(INTERNET_SESSION, INTERNET_ADDRESS))
}

fn quiet_namespace() -> Result<Namespace> {
    on_a_thread(|| {
        let namespace = Namespace::new().context(
            "could not make a network namespace: the demo needs root, and a kernel (or container) that allows them",
        )?;
        for interface in ["all", "default"] {
            let file = format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6");
            match fs::write(&file, "1") {
                // A kernel without IPv6 is quiet enough.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                result => result.with_context(|| format!("could not write {file}"))?,
            }
        }
        Ok(namespace)
    })
}

/// Runs this on a thread that is in the namespace, where it may start processes too.
pub(crate) fn in_namespace<T: Send>(
    namespace: &Namespace,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    on_a_thread(|| {
        namespace.enter().context("could not enter a network namespace")?;
        work()
    })
}

fn on_a_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| scope.spawn(work).join()).map_err(|_| anyhow!("a thread panicked"))?
}

fn ip(arguments: &[&str]) -> Result<()> {
    process::run(Command::new("ip").args(arguments))
}

/// An interface's counters, as `ip -s link` shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) rx_bytes: u64,
    pub(crate) rx_packets: u64,
    pub(crate) rx_dropped: u64,
    pub(crate) tx_bytes: u64,
    pub(crate) tx_packets: u64,
    pub(crate) tx_dropped: u64,
}

/// Reads them: opened in a namespace, read from anywhere.
pub(crate) struct CountersFile {
    file: File,
    interface: &'static str,
}

impl CountersFile {
    pub(crate) fn open(namespace: &Namespace, interface: &'static str) -> Result<Self> {
        let file = in_namespace(namespace, || {
            File::open("/proc/thread-self/net/dev").context("/proc/thread-self/net/dev")
        })?;
        Ok(Self { file, interface })
    }

    pub(crate) fn read(&self) -> Result<Counters> {
        // Three interfaces and two lines of header are less than 1 KiB, which one read gives whole.
        let mut bytes = [0; 4096];
        let length = self.file.read_at(&mut bytes, 0).context("could not read the interface's counters")?;
        let text = String::from_utf8_lossy(bytes.get(..length).unwrap_or_default());
        parse(&text, self.interface)
    }
}

/// Reads `/proc/net/dev`: eight columns of receiving, eight of sending.
fn parse(text: &str, interface: &str) -> Result<Counters> {
    let numbers =
        text.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| name.trim() == interface).map(
            |(_, numbers)| numbers.split_whitespace().map(str::parse::<u64>).collect::<Result<Vec<_>, _>>(),
        );
    let Some(Ok(numbers)) = numbers else {
        bail!("the interface {interface} is gone");
    };
    match numbers[..] {
        [
            rx_bytes,
            rx_packets,
            rx_errors,
            rx_drop,
            _,
            _,
            _,
            _,
            tx_bytes,
            tx_packets,
            tx_errors,
            tx_drop,
            ..,
        ] => Ok(Counters {
            rx_bytes,
            rx_packets,
            rx_dropped: rx_errors + rx_drop,
            tx_bytes,
            tx_packets,
            tx_dropped: tx_errors + tx_drop,
        }),
        _ => bail!("the interface {interface} has too few counters"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Counters, parse};

    #[test]
    fn counters_of_one_interface() {
        let text = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  isp0: 15600 100 1 2 0 0 0 0 31200 200 3 4 0 0 0 0
";
        let expected = Counters {
            rx_bytes: 15600,
            rx_packets: 100,
            rx_dropped: 3,
            tx_bytes: 31200,
            tx_packets: 200,
            tx_dropped: 7,
        };
        assert_eq!(parse(text, "isp0").unwrap(), expected);
        assert!(parse(text, "sp0").is_err());
    }
}
