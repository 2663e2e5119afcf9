//! The table as the demo sees it: which addresses belong to which AS. Found by another way than the product's: all
//! prefixes are cut into pieces that no longer prefix covers, so that any address of a piece is its AS's for sure.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use anyhow::{Context as _, Result, anyhow, bail};

/// IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Family {
    V4,
    V6,
}

/// Addresses next to each other whose longest prefix has the same origin AS; both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) first: u128,
    pub(crate) last: u128,
    pub(crate) asn: u32,
}

/// A prefix and its origin AS; both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) family: Family,
    pub(crate) first: u128,
    pub(crate) last: u128,
    pub(crate) asn: u32,
}

impl Route {
    /// As it is written.
    pub(crate) fn prefix(&self) -> String {
        let host_bits = u128::BITS - (self.last - self.first).leading_zeros();
        let bits = if self.family == Family::V4 { 32 } else { 128 };
        format!("{}/{}", address(self.family, self.first), bits - host_bits)
    }

    /// The two that it is made of; none of a single address.
    pub(crate) fn halves(&self) -> Vec<Self> {
        let half = (self.last - self.first) / 2;
        if self.first == self.last {
            return Vec::new();
        }
        vec![Self { last: self.first + half, ..*self }, Self { first: self.first + half + 1, ..*self }]
    }
}

/// An AS and its pieces.
#[derive(Clone, Debug, Default)]
pub(crate) struct As {
    pub(crate) asn: u32,
    pub(crate) name: String,
    pub(crate) v4: Vec<Piece>,
    pub(crate) v6: Vec<Piece>,
}

impl As {
    /// How many IPv4 addresses it has.
    pub(crate) fn v4_addresses(&self) -> u128 {
        self.v4.iter().map(|piece| piece.last - piece.first + 1).sum()
    }
}

/// A table.
pub(crate) struct Table {
    pub(crate) routes: Vec<Route>,
    names: HashMap<u32, String>,
}

/// Reads a table in CSV: `prefix,asn,name`, with or without a header line. AS 0 stands for addresses that are not routed.
pub(crate) fn parse(csv: &[u8]) -> Result<Table> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(csv);
    let mut routes = Vec::new();
    let mut names: HashMap<u32, String> = HashMap::new();
    for (index, record) in reader.records().enumerate() {
        let record = record.context("the exported table is not CSV")?;
        let (prefix, asn) = (record.get(0).unwrap_or_default(), record.get(1).unwrap_or_default());
        if index == 0 && prefix == "prefix" {
            continue;
        }
        let route =
            route(prefix, asn).with_context(|| format!("line {} of the exported table", index + 1))?;
        if let Some(name) = record.get(2).filter(|name| !name.is_empty()) {
            names.entry(route.asn).or_insert_with(|| name.to_owned());
        }
        routes.push(route);
    }
    Ok(Table { routes, names })
}

impl Table {
    /// All ASes that have an address. AS 0 is left out, but the prefixes that it has are not others'.
    pub(crate) fn ases(&self) -> Result<Vec<As>> {
        let mut ases: HashMap<u32, As> = HashMap::new();
        for family in [Family::V4, Family::V6] {
            let routes = self.routes.iter().filter(|route| route.family == family).copied().collect();
            for piece in pieces(routes).into_iter().filter(|piece| piece.asn != 0) {
                let entry = ases.entry(piece.asn).or_default();
                match family {
                    Family::V4 => entry.v4.push(piece),
                    Family::V6 => entry.v6.push(piece),
                }
            }
        }
        if ases.is_empty() {
            bail!("the exported table has no route");
        }
        let mut ases: Vec<_> = ases.into_iter().map(|(asn, entry)| As { asn, ..entry }).collect();
        for entry in &mut ases {
            entry.name = self.names.get(&entry.asn).cloned().unwrap_or_default();
        }
        ases.sort_unstable_by_key(|entry| entry.asn);
        Ok(ases)
    }
}

fn route(prefix: &str, asn: &str) -> Result<Route> {
    let wrong = || anyhow!("expected `prefix,asn,name`, found `{prefix},{asn}`");
    let (address, length) = prefix.split_once('/').ok_or_else(wrong)?;
    let address: IpAddr = address.parse().with_context(wrong)?;
    let length: u32 = length.parse().with_context(wrong)?;
    let (family, bits, first) = match address {
        IpAddr::V4(address) => (Family::V4, 32, u128::from(address.to_bits())),
        IpAddr::V6(address) => (Family::V6, 128, address.to_bits()),
    };
    let host_bits = bits - Some(length).filter(|&length| length <= bits).ok_or_else(wrong)?;
    let host = u128::MAX.checked_shr(128 - host_bits).unwrap_or(0);
    if first & host != 0 {
        return Err(wrong().context("host bits are set"));
    }
    // Several origins are listed as `1_2`, the one that is counted first.
    let asn = asn.split('_').next().unwrap_or_default().parse().with_context(wrong)?;
    Ok(Route { family, first, last: first | host, asn })
}

/// Cuts prefixes of one family into pieces. Prefixes lie apart or within one another, so those that are open at an
/// address form a stack whose top is the longest.
fn pieces(mut routes: Vec<Route>) -> Vec<Piece> {
    routes.sort_by(|a, b| a.first.cmp(&b.first).then(b.last.cmp(&a.last)));
    let mut open: Vec<Route> = Vec::new();
    let mut pieces = Vec::new();
    // The first address that no piece holds yet; `None` after the very last address.
    let mut next = Some(0);
    let mut close = |next: &mut Option<u128>, route: Route, last: u128| {
        if let Some(first) = next.filter(|&first| first <= last) {
            pieces.push(Piece { first, last, asn: route.asn });
            *next = last.checked_add(1);
        }
    };
    for route in routes {
        while let Some(top) = open.pop_if(|top| top.last < route.first) {
            close(&mut next, top, top.last);
        }
        if let (Some(&top), Some(before)) = (open.last(), route.first.checked_sub(1)) {
            close(&mut next, top, before);
        }
        next = next.map(|next| next.max(route.first));
        open.push(route);
    }
    while let Some(top) = open.pop() {
        close(&mut next, top, top.last);
    }
    pieces
}

/// The address of this number.
pub(crate) fn address(family: Family, bits: u128) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(bits as u32)),
        Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(bits)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Family, Piece, Route, address, parse, pieces, route};
    use crate::demo::random::Random;

    #[test]
    fn every_address_of_a_small_world_is_the_longest_prefixs() {
        let mut random = Random(7);
        for _ in 0..2000 {
            // A world of 256 addresses; prefixes of 0 to 8 bits.
            let mut routes: Vec<Route> = Vec::new();
            for asn in 1..=random.below(12) as u32 {
                let host = (1u128 << random.below(9)) - 1;
                let first = u128::from(random.below(256)) & !host;
                let route = Route { family: Family::V4, first, last: first | host, asn };
                if !routes.iter().any(|other| (other.first, other.last) == (route.first, route.last)) {
                    routes.push(route);
                }
            }
            let found = pieces(routes.clone());
            for address in 0..256 {
                let longest = routes
                    .iter()
                    .filter(|route| (route.first..=route.last).contains(&address))
                    .min_by_key(|route| route.last - route.first);
                let holding: Vec<_> =
                    found.iter().filter(|piece| (piece.first..=piece.last).contains(&address)).collect();
                assert!(holding.len() <= 1, "{address} is in {holding:?}");
                assert_eq!(
                    holding.first().map(|piece| piece.asn),
                    longest.map(|route| route.asn),
                    "{routes:?}"
                );
            }
        }
    }

    #[test]
    fn the_whole_of_ipv6_and_its_last_address() {
        let routes = vec![
            route("::/0", "1").unwrap(),
            route("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", "2").unwrap(),
        ];
        assert_eq!(
            pieces(routes),
            [
                Piece { first: 0, last: u128::MAX - 1, asn: 1 },
                Piece { first: u128::MAX, last: u128::MAX, asn: 2 }
            ]
        );
    }

    #[test]
    fn prefixes_and_their_halves() {
        for (prefix, halves) in [
            ("45.57.0.0/17", &["45.57.0.0/18", "45.57.64.0/18"][..]),
            ("::/0", &["::/1", "8000::/1"]),
            ("8.8.8.8/32", &[]),
        ] {
            let route = route(prefix, "1").unwrap();
            assert_eq!(route.prefix(), prefix);
            assert_eq!(route.halves().iter().map(Route::prefix).collect::<Vec<_>>(), halves);
        }
    }

    #[test]
    fn a_table_in_csv() {
        let csv = "prefix,asn,name\n10.0.0.0/8,1,One\n10.1.0.0/16,0,\n10.1.2.0/24,2_3,\"Two, Inc\"\n2001:db8::/32,1,One\n";
        let ases = parse(csv.as_bytes()).unwrap().ases().unwrap();
        assert_eq!(
            ases.iter().map(|entry| (entry.asn, entry.name.as_str())).collect::<Vec<_>>(),
            [(1, "One"), (2, "Two, Inc")]
        );
        assert_eq!(ases[0].v4_addresses(), (1 << 24) - (1 << 16));
        assert_eq!(ases[0].v6.len(), 1);
        assert_eq!(address(Family::V4, ases[1].v4[0].first).to_string(), "10.1.2.0");
        assert_eq!(
            address(Family::V6, ases[0].v6[0].last).to_string(),
            "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"
        );
        assert!(parse(b"").unwrap().ases().is_err());
        assert!(parse(b"10.0.0.1/8,1,x\n").is_err());
        assert!(parse(b"10.0.0.0/33,1,x\n").is_err());
        assert!(parse(b"10.0.0.0,1,x\n").is_err());
    }
}
