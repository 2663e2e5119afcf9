//! Which interface and VLAN is which link, as the kernel is told.

use std::collections::BTreeMap;

use aya::{
    Ebpf,
    maps::{Array, MapData},
};
use classifier_common::abi::{self, LinkRef, Port, VlanTable, maps};

use super::object::{LoadError, Setup, map_error, take};
use crate::model::LinkId;

/// The maps that say it, and what they say.
pub(super) struct Ports {
    ports: Array<MapData, Port>,
    vlans: Array<MapData, [u16; abi::VLAN_IDS]>,
    /// By interface.
    written: BTreeMap<u32, Port>,
    /// By number of the trunk, the first link on it: a trunk keeps its number when its interface gets another one.
    trunks: Vec<LinkId>,
}

impl Ports {
    /// Tells where these links are.
    pub(super) fn new(ebpf: &mut Ebpf, setups: &[Setup]) -> Result<Self, LoadError> {
        let ports = Array::try_from(take(ebpf, maps::PORTS)?).map_err(map_error("the ports"))?;
        let vlans = Array::try_from(take(ebpf, maps::VLANS)?).map_err(map_error("the VLAN tables"))?;
        let mut this = Self { ports, vlans, written: BTreeMap::new(), trunks: Vec::new() };
        this.write(setups)?;
        Ok(this)
    }

    /// Tells where these links are now; those of no interface are nowhere.
    pub(super) fn write(&mut self, setups: &[Setup]) -> Result<(), LoadError> {
        let mut ports = BTreeMap::<u32, Port>::new();
        let mut tables = BTreeMap::<u32, (LinkId, Box<VlanTable>)>::new();
        for setup in setups.iter().filter(|setup| setup.ifindex != 0) {
            if setup.ifindex >= abi::MAX_IFINDEX {
                let (value, limit) = (setup.ifindex, abi::MAX_IFINDEX);
                return Err(LoadError::Limit { what: "an interface's index", value, limit });
            }
            let port = ports.entry(setup.ifindex).or_default();
            port.extra_bytes = setup.extra_bytes;
            let link = LinkRef::new(u32::from(setup.link.0));
            match setup.vlan {
                None => port.link = link,
                Some(vlan) => {
                    let (_, table) = tables
                        .entry(setup.ifindex)
                        .or_insert_with(|| (setup.link, Box::new([LinkRef::NONE; abi::VLAN_IDS])));
                    table[usize::from(vlan) % abi::VLAN_IDS] = link;
                }
            }
        }
        for (ifindex, (first, table)) in tables {
            let trunk = self.trunks.iter().position(|known| *known == first).unwrap_or_else(|| {
                self.trunks.push(first);
                self.trunks.len() - 1
            });
            if trunk >= abi::MAX_TRUNKS as usize {
                let (value, limit) = (trunk as u32 + 1, abi::MAX_TRUNKS);
                return Err(LoadError::Limit { what: "the number of trunks", value, limit });
            }
            let table = table.map(|link| link.0);
            self.vlans.set(trunk as u32, table, 0).map_err(map_error("writing a VLAN table"))?;
            if let Some(port) = ports.get_mut(&ifindex) {
                port.trunk = trunk as u16 + 1;
            }
        }
        // Nothing is counted of an interface that is none of ours any more, before its number is another one's.
        let gone: Vec<u32> =
            self.written.keys().filter(|ifindex| !ports.contains_key(ifindex)).copied().collect();
        for ifindex in gone {
            self.ports.set(ifindex, Port::default(), 0).map_err(map_error("writing a port"))?;
            self.written.remove(&ifindex);
        }
        for (ifindex, port) in ports {
            if self.written.get(&ifindex) != Some(&port) {
                self.ports.set(ifindex, port, 0).map_err(map_error("writing a port"))?;
                self.written.insert(ifindex, port);
            }
        }
        Ok(())
    }
}
