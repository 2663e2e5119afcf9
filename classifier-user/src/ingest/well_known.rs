//! Networks whose AS everybody knows: a table that has them wrong is not taken for the built-in one.

use std::{fmt, net::IpAddr};

use crate::{
    model::Asn,
    table::{names::Names, rib::Rib},
};

/// A network whose AS is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WellKnown {
    /// An address of it.
    pub address: &'static str,
    /// Its AS, or one of a few.
    pub asns: &'static [Asn],
    /// What its name contains, whatever the case.
    pub name: &'static str,
}

const fn known(address: &'static str, asns: &'static [Asn], name: &'static str) -> WellKnown {
    WellKnown { address, asns, name }
}

/// The check list: content, public resolvers, root servers, telecoms.
pub const WELL_KNOWN: [WellKnown; 24] = [
    known("8.8.8.8", &[15169], "google"),
    known("2001:4860:4860::8888", &[15169], "google"),
    known("45.57.0.1", &[2906], "netflix"),
    // Netflix announces it from either AS.
    known("2a00:86c0::1", &[2906, 40027], "netflix"),
    known("1.1.1.1", &[13335], "cloudflare"),
    known("2606:4700:4700::1111", &[13335], "cloudflare"),
    known("9.9.9.9", &[19281], "quad9"),
    known("2620:fe::fe", &[19281], "quad9"),
    known("208.67.222.222", &[36692], "cisco"),
    known("17.253.144.10", &[714], "apple"),
    known("157.240.1.35", &[32934], "facebook"),
    known("2a03:2880:f12f:83:face:b00c:0:25de", &[32934], "facebook"),
    known("151.101.1.69", &[54113], "fastly"),
    known("2a04:4e42::1", &[54113], "fastly"),
    known("13.107.42.14", &[8068], "microsoft"),
    known("185.60.112.1", &[57976], "blizzard"),
    // k.root-servers.net, l.root-servers.net, f.root-servers.net
    known("193.0.14.129", &[25152], "ripe"),
    known("2001:7fd::1", &[25152], "ripe"),
    known("199.7.83.42", &[20144], "icann"),
    known("192.5.5.241", &[3557], "internet systems"),
    known("193.252.19.3", &[3215], "orange"),
    known("212.27.48.10", &[12322], "free"),
    known("2a01:e00::1", &[12322], "free"),
    known("213.186.33.5", &[16276], "ovh"),
];

/// A network that a table has wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// What is known.
    pub known: WellKnown,
    /// What the table says: the AS and its name.
    pub found: Option<(Asn, Option<String>)>,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WellKnown { address, asns, name } = self.known;
        let asns: Vec<String> = asns.iter().map(|asn| format!("AS{asn}")).collect();
        write!(f, "{address} is {} ({name}), the table says ", asns.join(" or "))?;
        match &self.found {
            None => f.write_str("nothing"),
            Some((asn, None)) => write!(f, "AS{asn} without a name"),
            Some((asn, Some(name))) => write!(f, "AS{asn} ({name})"),
        }
    }
}

/// The table fails the check list.
#[derive(Debug, thiserror::Error)]
#[error("{} of {} well-known networks are wrong: {}", .0.len(), WELL_KNOWN.len(), list(.0))]
pub struct WellKnownError(pub Vec<Wrong>);

fn list(wrong: &[Wrong]) -> String {
    wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Holds a table against the check list.
///
/// # Errors
/// All networks that it has wrong, or whose AS it has no name for.
pub fn check_well_known(rib: &Rib, names: &Names) -> Result<(), WellKnownError> {
    let mut wrong = Vec::new();
    for known in WELL_KNOWN {
        let found = known.address.parse::<IpAddr>().ok().and_then(|address| rib.lookup(address));
        let name = found.and_then(|found| names.get(found.asn));
        let right = found.is_some_and(|found| known.asns.contains(&found.asn))
            && name.is_some_and(|name| name.to_lowercase().contains(known.name));
        if !right {
            wrong.push(Wrong { known, found: found.map(|found| (found.asn, name.map(str::to_owned))) });
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(WellKnownError(wrong)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said() {
        let mut rib = Rib::new();
        let mut names = Names::default();
        for known in WELL_KNOWN {
            let address: IpAddr = known.address.parse().unwrap();
            let length = if address.is_ipv4() { 24 } else { 48 };
            let prefix = crate::model::Prefix::new_truncate(address, length).unwrap();
            rib.update(crate::table::rib::SourceId::BUILTIN, prefix, Some(known.asns[0].into()));
            names.insert(known.asns[0], &known.name.to_uppercase());
        }
        check_well_known(&rib, &names).unwrap();

        names.insert(2906, "Somebody");
        rib.update(crate::table::rib::SourceId::OVERRIDE, "1.1.1.0/24".parse().unwrap(), Some(64500.into()));
        rib.update(crate::table::rib::SourceId::BUILTIN, "9.9.9.0/24".parse().unwrap(), None);
        let error = check_well_known(&rib, &names).unwrap_err();
        assert_eq!(
            error.to_string(),
            "4 of 24 well-known networks are wrong: \
             45.57.0.1 is AS2906 (netflix), the table says AS2906 (Somebody); \
             2a00:86c0::1 is AS2906 or AS40027 (netflix), the table says AS2906 (Somebody); \
             1.1.1.1 is AS13335 (cloudflare), the table says AS64500 without a name; \
             9.9.9.9 is AS19281 (quad9), the table says nothing"
        );
    }
}
