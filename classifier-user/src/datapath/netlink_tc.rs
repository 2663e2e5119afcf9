//! What the kernel says of an interface's clsact qdisc and its filters, where there is no TCX.

use std::io;

use classifier_common::abi::Hook;

use super::netlink::{self, Attributes};

/// Messages and attributes: linux/rtnetlink.h, linux/pkt_cls.h.
const RTM_NEWQDISC: u16 = 36;
const RTM_DELQDISC: u16 = 37;
const RTM_GETQDISC: u16 = 38;
const RTM_NEWTFILTER: u16 = 44;
const RTM_GETTFILTER: u16 = 46;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_CHAIN: u16 = 11;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_ID: u16 = 11;
/// `TC_H_CLSACT`, its handle, and its two sides.
const CLSACT: u32 = 0xffff_fff1;
const HANDLE: u32 = 0xffff_0000;
const SIDES: [u32; 2] = [0xffff_fff2, 0xffff_fff3];
/// `struct tcmsg`.
const TCMSG: usize = 20;

/// A filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Its place among the others: a lower one is asked first.
    pub(crate) priority: u16,
    pub(crate) handle: u32,
    /// `bpf`, `flower`, `matchall`, …
    pub(crate) kind: String,
    /// Those of chain 0 are asked; the others where one of these says so.
    pub(crate) chain: u32,
    /// A BPF filter's name, and its program's number.
    pub(crate) program: Option<(String, u32)>,
}

impl Filter {
    /// The number of its program.
    pub(crate) fn program_id(&self) -> Option<u32> {
        self.program.as_ref().map(|(_, id)| *id)
    }
}

fn message(ifindex: u32, handle: u32, parent: u32) -> Vec<u8> {
    let mut message = vec![0; 4];
    for number in [ifindex, handle, parent, 0] {
        message.extend(number.to_ne_bytes());
    }
    message
}

fn word(message: &[u8], at: usize) -> u32 {
    message.get(at..at + 4).and_then(netlink::read_u32).unwrap_or_default()
}

fn text(bytes: &[u8]) -> String {
    let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// The qdisc in the place that clsact wants, if it is another one: `ingress`, which was there before clsact was, has no side of
/// transmit.
pub(crate) fn in_place_of_clsact(ifindex: u32) -> io::Result<Option<String>> {
    let found = netlink::dump(RTM_GETQDISC, RTM_NEWQDISC, &message(ifindex, 0, 0))?;
    // The kernel gives those of all interfaces.
    let here = found.iter().find(|message| (word(message, 4), word(message, 8)) == (ifindex, HANDLE));
    let kind = here.and_then(|message| Attributes(message.get(TCMSG..)?).find(TCA_KIND)).map(text);
    Ok(kind.filter(|kind| kind != "clsact"))
}

/// The filters of a hook; none where there is no clsact qdisc.
pub(crate) fn filters(ifindex: u32, hook: Hook) -> io::Result<Vec<Filter>> {
    let request = message(ifindex, 0, SIDES[hook as usize]);
    let found = match netlink::dump(RTM_GETTFILTER, RTM_NEWTFILTER, &request) {
        // No qdisc.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOENT)) => {
            return Ok(Vec::new());
        }
        found => found?,
    };
    // The qdisc `ingress` gives those of receive, whatever side is asked for.
    if hook == Hook::Tx && !found.is_empty() && in_place_of_clsact(ifindex)?.is_some() {
        return Ok(Vec::new());
    }
    Ok(found.iter().filter_map(|message| filter(message)).collect())
}

/// `None` for the entry that only says that there are filters of a kind.
fn filter(message: &[u8]) -> Option<Filter> {
    let handle = word(message, 8);
    let attributes = Attributes(message.get(TCMSG..)?);
    let mut program = None;
    let (mut kind, mut options, mut chain) = (String::new(), None, 0);
    for (attribute, value) in attributes {
        match attribute {
            TCA_KIND => kind = text(value),
            TCA_OPTIONS => options = Some(value),
            TCA_CHAIN => chain = netlink::read_u32(value).unwrap_or_default(),
            _ => {}
        }
    }
    options?;
    if kind == "bpf" {
        let options = options.unwrap_or_default();
        let name = Attributes(options).find(TCA_BPF_NAME).map(text).unwrap_or_default();
        let id = Attributes(options).find(TCA_BPF_ID).and_then(netlink::read_u32);
        program = id.map(|id| (name, id));
    }
    Some(Filter { priority: (word(message, 16) >> 16) as u16, handle, kind, chain, program })
}

/// The priority for a filter of this agent on a hook.
pub(crate) fn free_priority(ifindex: u32, hook: Hook) -> u16 {
    let filters = filters(ifindex, hook).unwrap_or_default();
    let taken: Vec<_> =
        filters.iter().filter(|filter| filter.chain == 0).map(|filter| filter.priority).collect();
    early_priority(&taken)
}

/// The priority that a filter of this agent takes beside those: before all of them, since behind one that accepts nothing
/// is seen any more; where somebody has the very first, the first that is free. The lowest are left to those who have to be
/// first; what the kernel gives by itself is from 32,768 on, and comes later.
pub(crate) fn early_priority(taken: &[u16]) -> u16 {
    const EARLY: u16 = 7;
    match taken.iter().min() {
        Some(..=1) => (2..u16::MAX).find(|priority| !taken.contains(priority)).unwrap_or_default(),
        Some(lowest) => EARLY.min(lowest - 1),
        None => EARLY,
    }
}

/// Takes an interface's clsact qdisc away if it has no filters. Whether it was.
pub(crate) fn remove_idle_clsact(ifindex: u32) -> io::Result<bool> {
    for hook in Hook::ALL {
        if !filters(ifindex, hook)?.is_empty() {
            return Ok(false);
        }
    }
    let mut request = message(ifindex, HANDLE, CLSACT);
    netlink::push_attribute(&mut request, TCA_KIND, b"clsact\0");
    netlink::tell(RTM_DELQDISC, &request).map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_of_a_program_and_others() {
        let head = |handle: u32, priority: u32| {
            let mut message = message(7, handle, SIDES[1]);
            message[16..20].copy_from_slice(&(priority << 16 | 0x300).to_ne_bytes());
            message
        };
        let mut bpf = head(1, 49_152);
        netlink::push_attribute(&mut bpf, TCA_KIND, b"bpf\0");
        let mut options = Vec::new();
        netlink::push_attribute(&mut options, TCA_BPF_NAME, b"classifier_tx\0");
        netlink::push_attribute(&mut options, TCA_BPF_ID, &77u32.to_ne_bytes());
        netlink::push_attribute(&mut bpf, TCA_OPTIONS, &options);
        let program = Some(("classifier_tx".to_owned(), 77));
        let kind = "bpf".to_owned();
        assert_eq!(filter(&bpf), Some(Filter { priority: 49_152, handle: 1, kind, chain: 0, program }));
        let mut chain = head(0, 49_152);
        netlink::push_attribute(&mut chain, TCA_KIND, b"bpf\0");
        assert_eq!(filter(&chain), None);
        let mut other = head(5, 3);
        netlink::push_attribute(&mut other, TCA_KIND, b"flower\0");
        netlink::push_attribute(&mut other, TCA_OPTIONS, &[]);
        netlink::push_attribute(&mut other, TCA_CHAIN, &9u32.to_ne_bytes());
        let kind = "flower".to_owned();
        assert_eq!(filter(&other), Some(Filter { priority: 3, handle: 5, kind, chain: 9, program: None }));
        for end in 0..bpf.len() {
            filter(&bpf[..end]);
        }
    }

    #[test]
    fn a_filter_of_ours_is_the_first_where_it_can_be() {
        for (there, ours) in
            [(&[][..], 7), (&[49_152], 7), (&[10, 3], 2), (&[2], 1), (&[1], 2), (&[1, 2, 4], 3)]
        {
            assert_eq!(early_priority(there), ours, "{there:?}");
        }
    }

    #[test]
    fn the_loopback_has_no_clsact() {
        assert_eq!(filters(1, Hook::Tx).unwrap(), []);
    }
}
