//! Frames over the lab's link, and what `classifier links` says of them.

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    demo::{
        frame::{Addresses, Frame},
        generator::Count,
        lab,
    },
    sys::{Namespace, PacketSocket},
};

/// Bytes of each, with its Ethernet header.
const LENGTH: usize = 100;

/// What so many frames are.
pub(super) const fn count(frames: u64) -> Count {
    Count { packets: frames, bytes: frames * LENGTH as u64 }
}

/// Sends so many from an interface of a namespace, and says how many that were.
pub(super) fn send(from: &Namespace, interface: &str, frames: u64) -> Result<u64> {
    let socket = lab::in_namespace(from, || Ok(PacketSocket::open(interface)?))?;
    let frame = frame()?;
    let mut sent = 0;
    while sent < frames {
        let batch = usize::try_from(frames - sent).unwrap_or(PacketSocket::BATCH);
        sent += socket.send(std::iter::repeat_n(frame.as_slice(), batch))? as u64;
    }
    Ok(sent)
}

/// IPv4 that came in, and that went out, over the first link of `classifier links --json`.
pub(super) fn counted(links: &[u8]) -> Result<[Count; 2]> {
    let links: Value = serde_json::from_slice(links)?;
    let of = |direction: &str| -> Result<Count> {
        let count = links.pointer(&format!("/links/0/directions/{direction}/outcomes/ipv4"));
        let count = count.with_context(|| format!("no counter in {links}"))?;
        Ok(serde_json::from_value(count.clone())?)
    };
    Ok([of("in")?, of("out")?])
}

/// From Netflix.
fn frame() -> Result<Vec<u8>> {
    let addresses = Addresses::new("45.57.0.1".parse()?, "192.0.2.1".parse()?).context("one family")?;
    let mut bytes = Vec::new();
    Frame { vlan: None, addresses, length: LENGTH }.write(&mut bytes);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{Count, counted};
    use crate::process;

    #[test]
    fn counters_of_both_directions() {
        // What the product's own tests say that an agent answers.
        let file = process::root().join("classifier-user/tests/answers/links.json");
        let both = counted(&std::fs::read(file).expect("read")).expect("counters");
        assert_eq!(both, [Count { packets: 800_000, bytes: 1_000_000_000 }; 2]);
        assert!(counted(b"{}").is_err());
    }
}
