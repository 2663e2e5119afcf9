//! `[[bgp]]`: a peer.

use std::{net::IpAddr, ops::Range, str::FromStr};

use toml::{Spanned, de::DeValue};

use super::{FileError, Problem, Reader, Section};
use crate::config::{
    ValueError,
    bgp::{self, BgpSpec, Listen},
};
use crate::ingest::bgp::Password;

/// What a `[[bgp]]` may say.
pub(super) const KEYS: &[&str] = &[
    "peer",
    "as",
    "name",
    "local_as",
    "local_address",
    "router_id",
    "listen",
    "port",
    "passive",
    "password",
    "password_file",
    "ttl_security",
    "hold_time",
    "families",
    "add_path",
    "max_prefixes",
    "max_memory",
    "stale_time",
];

const ASN_MAX: i64 = u32::MAX as i64;

pub(super) fn peer(
    reader: &Reader<'_>,
    section: &Section<'_, '_>,
    span: Range<usize>,
) -> Result<BgpSpec, FileError> {
    let missing = |key| reader.error(span.clone(), Problem::MissingKey { section: "[[bgp]]", key });
    let peer: IpAddr = section.parsed("peer", bgp::ADDRESS_EXPECTED)?.ok_or_else(|| missing("peer"))?;
    let remote_as = section.integer("as", 1, bgp::AS_EXPECTED, ASN_MAX)?.ok_or_else(|| missing("as"))?;
    let place = format!("{}:{}", reader.path.display(), reader.line(&span));
    Ok(BgpSpec {
        local_as: section.integer("local_as", 1, bgp::AS_EXPECTED, ASN_MAX)?,
        local_address: section.parsed("local_address", bgp::ADDRESS_EXPECTED)?,
        router_id: section.text("router_id", bgp::ROUTER_ID_EXPECTED, bgp::router_id)?,
        listen: section.text("listen", bgp::LISTEN_EXPECTED, Listen::from_str)?,
        port: section.integer("port", 1, bgp::PORT_EXPECTED, u16::MAX.into())?,
        passive: section.boolean("passive")?.unwrap_or(false),
        password: section.text("password", "a string", |text| {
            Password::new(text).ok_or_else(|| ValueError::new("…", bgp::PASSWORD_EXPECTED))
        })?,
        password_file: section.path("password_file")?,
        hops: section.text("ttl_security", bgp::HOPS_EXPECTED, bgp::hops)?.flatten(),
        hold_time: hold_time(section)?,
        families: families(section)?,
        add_path: section.boolean("add_path")?.unwrap_or(false),
        max_prefixes: section.integer("max_prefixes", 1, bgp::MAX_PREFIXES_EXPECTED, u32::MAX.into())?,
        max_memory: section.disk_size("max_memory")?,
        stale_time: section.stale_time()?,
        name: section.text("name", "a string", bgp::name)?,
        ..BgpSpec::new(peer, remote_as, place)
    })
}

fn hold_time(section: &Section<'_, '_>) -> Result<Option<u16>, FileError> {
    const KEY: &str = "hold_time";
    let Some(time) = section.seconds(KEY, crate::config::Span::EXPECTED)? else { return Ok(None) };
    let given = format!("{}s", time.as_secs_f64());
    bgp::hold_time(time, &given).map(Some).map_err(|problem| section.problem(KEY, problem))
}

fn families(
    section: &Section<'_, '_>,
) -> Result<Option<crate::ingest::bgp::codec::Families<bool>>, FileError> {
    const KEY: &str = "families";
    if section.get(KEY).is_none() {
        return Ok(None);
    }
    let names = section.strings(KEY)?;
    bgp::families(names.iter().map(String::as_str), &names.join(", "))
        .map(Some)
        .map_err(|problem| section.problem(KEY, problem))
}

impl Section<'_, '_> {
    fn problem(&self, key: &'static str, problem: ValueError) -> FileError {
        let span = self.get(key).map_or(0..0, Spanned::span);
        self.reader.error(span, Problem::Value { key, problem })
    }

    pub(super) fn stale_time(&self) -> Result<Option<u32>, FileError> {
        self.text("stale_time", bgp::STALE_TIME_EXPECTED, |text| {
            // A plain number is seconds.
            match text.parse::<u64>() {
                Ok(seconds) => bgp::stale_time(&format!("{seconds}s")),
                Err(_) => bgp::stale_time(text),
            }
        })
    }

    /// A string, a number or a boolean, as it is written, that `read` reads.
    pub(super) fn text<T>(
        &self,
        key: &'static str,
        expected: &'static str,
        read: impl FnOnce(&str) -> Result<T, ValueError>,
    ) -> Result<Option<T>, FileError> {
        let text = self.typed(key, expected, |value| match value {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Integer(number) if expected != "a string" => Some(number.as_str().to_owned()),
            DeValue::Boolean(truth) if expected != "a string" => Some(truth.to_string()),
            _ => None,
        })?;
        text.map(|text| read(&text).map_err(|problem| self.problem(key, problem))).transpose()
    }
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, path::Path};

    use super::*;
    use crate::{
        config::file::parse,
        ingest::bgp::{PeerSettings, codec::Families},
    };

    fn parsed(text: &str) -> Result<Vec<BgpSpec>, String> {
        parse(Path::new("/etc/c.toml"), text).map(|settings| settings.bgp).map_err(|error| error.to_string())
    }

    #[test]
    fn whole_peers() {
        let specs = parsed(
            r#"
[[bgp]]
peer = "192.0.2.1"
as = 64500

[[bgp]]
peer = "2001:db8::1"
as = 4200000000
name = "border 2"
local_as = 64501
local_address = "2001:db8::2"
router_id = "192.0.2.9"
listen = 1179
port = 1790
passive = true
password = "a secret, with a comma"
ttl_security = 2
hold_time = 30
families = ["ipv4", "ipv6"]
add_path = true
max_prefixes = 3_000_000
max_memory = "2GB"
stale_time = "1h"
"#,
        )
        .unwrap();
        let peers = bgp::lower(specs).unwrap();
        assert_eq!(
            peers,
            [
                PeerSettings::new("192.0.2.1".parse().unwrap(), 64_500),
                PeerSettings {
                    name: "border 2".into(),
                    address: "2001:db8::1".parse().unwrap(),
                    remote_as: 4_200_000_000,
                    local_as: 64_501,
                    local_address: Some("2001:db8::2".parse().unwrap()),
                    router_id: Some("192.0.2.9".parse().unwrap()),
                    listen: Some("[2001:db8::2]:1179".parse::<SocketAddr>().unwrap()),
                    port: 1790,
                    passive: true,
                    password: Password::new("a secret, with a comma"),
                    hops: Some(2),
                    hold_time: 30,
                    families: Families::BOTH,
                    add_path: true,
                    max_prefixes: 3_000_000,
                    max_memory: 2_000_000_000,
                    stale_seconds: 3600,
                },
            ]
        );
    }

    #[test]
    fn values_in_their_other_forms() {
        let one =
            |more: &str| parsed(&format!("[[bgp]]\npeer = '192.0.2.1'\nas = 1\n{more}\n")).unwrap().remove(0);
        assert_eq!(one("ttl_security = true").hops, Some(1));
        assert_eq!(one("ttl_security = false").hops, None);
        assert_eq!(
            one("listen = '127.0.0.1:1179'").listen,
            Some(Listen::At("127.0.0.1:1179".parse().unwrap()))
        );
        assert_eq!(one("families = 'ipv6'").families, Some(Families { ipv4: false, ipv6: true }));
        assert_eq!(one("stale_time = 0").stale_time, Some(0));
        assert_eq!(one("stale_time = 600").stale_time, Some(600));
        assert_eq!(one("hold_time = '3m'").hold_time, Some(180));
        assert_eq!(one("password_file = 'key'").password_file, Some("/etc/key".into()));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let start = "[[bgp]]\npeer = '192.0.2.1'\nas = 64500\n";
        for (text, error) in [
            ("[[bgp]]\nas = 1", ":1: a [[bgp]] needs `peer`"),
            ("[[bgp]]\npeer = '192.0.2.1'", ":1: a [[bgp]] needs `as`"),
            ("[bgp]\n", ":1: `bgp` is a table: expected tables, each under a [[bgp]] line"),
            (
                "[[bgp]]\npeer = 'router1'",
                ":2: `peer` is `router1`: expected an address such as 192.0.2.1 or 2001:db8::1",
            ),
            (
                "[[bgp]]\npeer = '192.0.2.1'\nas = 0",
                ":3: `as` is `0`: expected an AS number from 1 to 4294967295",
            ),
            (
                "[[bgp]]\npeer = '192.0.2.1'\nas = 'AS1'",
                ":3: `as` is a string: expected an AS number from 1 to 4294967295",
            ),
            (&format!("{start}asn = 1"), ":4: unknown key `asn` in [[bgp]]; the nearest valid key is `as`"),
            (
                &format!("{start}neighbor = 1"),
                ":4: unknown key `neighbor` in [[bgp]]; the nearest valid key is `name`",
            ),
            (
                &format!("{start}hold_time = 2"),
                ":4: `hold_time` is `2s`: expected a duration from 3s to 65535s in whole seconds",
            ),
            (
                &format!("{start}ttl_security = 'on'"),
                ":4: `ttl_security` is `on`: expected true, false, or how many hops away the peer is, from 1 to 254",
            ),
            (
                &format!("{start}listen = 70000"),
                ":4: `listen` is `70000`: expected a port such as 1179, or an address and port such as 127.0.0.1:1179",
            ),
            (&format!("{start}families = []"), ":4: `families` is ``: expected ipv4, ipv6 or both"),
            (
                &format!("{start}families = ['ipv4', 'vpnv4']"),
                ":4: `families` is `ipv4, vpnv4`: expected ipv4, ipv6 or both",
            ),
            (
                &format!("{start}max_prefixes = 0"),
                ":4: `max_prefixes` is `0`: expected a number from 1 to 4294967295",
            ),
            (&format!("{start}password = ''"), ":4: `password` is `…`: expected 1 to 80 bytes"),
            (&format!("{start}password = 7"), ":4: `password` is a number: expected a string"),
            (
                &format!("{start}stale_time = '8d'"),
                ":4: `stale_time` is `8d`: expected a duration from 0 to 7d in whole seconds",
            ),
            (
                &format!("{start}name = 'a,b'"),
                ":4: `name` is `a,b`: expected 1 to 64 bytes without commas or control characters",
            ),
        ] {
            assert_eq!(parsed(text), Err(format!("/etc/c.toml{error}")), "{text}");
        }
    }
}
