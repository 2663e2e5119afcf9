//! The built-in table, its classes and its FIB in the kernel.

use anyhow::{Context as _, Result};
use classifier_user::{
    datapath::{
        Batch, Datapath as _, Sizes,
        kernel::{Kernel, Setup},
    },
    fib::{
        classes::{Classes, Granularity},
        sizes::sizes_for,
    },
    ingest::{
        LoadOptions, TableSpec,
        set::{TableRequest, TableSet},
    },
    model::{Class, Ipv4Network, Ipv6Network, LinkId, Prefix},
};

/// Keys that the harness holds: IPv4 addresses, and IPv6 addresses.
pub(crate) const KEYS4: usize = 64 << 14;
pub(crate) const KEYS6: usize = 16 << 14;

/// The loopback interface, on which `BPF_PROG_TEST_RUN` has its frames come in.
pub(crate) const LOOPBACK: u32 = 1;

/// A request for these tables.
pub(crate) fn request(tables: Vec<TableSpec>) -> TableRequest {
    TableRequest { tables, overrides: None, as_names: Vec::new(), options: LoadOptions::default() }
}

/// A link on an interface that counts these sides at both hooks.
pub(crate) const fn link(ifindex: u32, sides: u32) -> Setup {
    Setup { link: LinkId(0), ifindex, vlan: None, sides: [sides, sides], extra_bytes: 0 }
}

/// The built-in table.
pub(crate) struct World {
    pub(crate) tables: TableSet,
    pub(crate) classes: Classes,
    pub(crate) sizes: Sizes,
    pub(crate) batch: Batch,
    pub(crate) v4: Vec<Ipv4Network>,
    pub(crate) v6: Vec<Ipv6Network>,
}

impl World {
    /// Loads it.
    pub(crate) fn builtin() -> Result<Self> {
        let tables = TableSet::load(&request(vec![TableSpec::Builtin]), |_, _| {})?;
        let sizes = sizes_for(tables.rib.iter().map(|route| route.prefix));
        let mut classes = Classes::new(Granularity::Prefix, sizes.classes);
        let batch = classes.apply(tables.rib.iter().map(|route| (route.prefix, Some(route.asn))))?;
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for delta in &batch.deltas {
            match delta.prefix {
                Prefix::V4(prefix) => v4.push(prefix),
                Prefix::V6(prefix) => v6.push(prefix),
            }
        }
        Ok(Self { tables, classes, sizes, batch, v4, v6 })
    }

    /// A kernel with these programs of the harness, and the table in its FIB.
    pub(crate) fn kernel(&self, setups: &[Setup], xdp: &[&'static str], banks: bool) -> Result<Kernel> {
        let mut kernel =
            Kernel::load_harness(&self.sizes, setups, xdp, banks).context("loading the harness")?;
        kernel.apply(&self.batch)?;
        Ok(kernel)
    }

    /// Puts the table's IPv4 routes into the harness' trie.
    pub(crate) fn fill_trie4(&self, kernel: &mut Kernel) -> Result<()> {
        kernel.harness_trie(
            "TRIE4",
            self.routes().filter_map(|(prefix, class)| match prefix {
                Prefix::V4(prefix) => Some((prefix.network_address().octets(), prefix.netmask(), class)),
                Prefix::V6(_) => None,
            }),
        )?;
        Ok(())
    }

    /// Puts the table's IPv6 routes into the harness' trie.
    pub(crate) fn fill_trie6(&self, kernel: &mut Kernel) -> Result<()> {
        kernel.harness_trie(
            "TRIE6",
            self.routes().filter_map(|(prefix, class)| match prefix {
                Prefix::V4(_) => None,
                Prefix::V6(prefix) => Some((prefix.network_address().octets(), prefix.netmask(), class)),
            }),
        )?;
        Ok(())
    }

    fn routes(&self) -> impl Iterator<Item = (Prefix, Class)> {
        self.batch.deltas.iter().filter_map(|delta| Some((delta.prefix, delta.class?)))
    }

    /// The table in a line.
    pub(crate) fn describe(&self) -> String {
        format!("{} IPv4 and {} IPv6 prefixes of the built-in table", self.v4.len(), self.v6.len())
    }
}
