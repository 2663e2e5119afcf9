//! `[[bmp]]`: a router that reports.

use std::{net::IpAddr, ops::Range};

use super::{FileError, Problem, Reader, Section};
use crate::{
    config::{
        bgp,
        bmp::{self, BmpSpec},
    },
    ingest::bmp::settings::RibChoice,
};

/// What a `[[bmp]]` may say.
pub(super) const KEYS: &[&str] =
    &["router", "listen", "name", "rib", "max_prefixes", "max_memory", "max_message", "stale_time"];

pub(super) fn router(
    reader: &Reader<'_>,
    section: &Section<'_, '_>,
    span: Range<usize>,
) -> Result<BmpSpec, FileError> {
    let router: IpAddr = section.parsed("router", bgp::ADDRESS_EXPECTED)?.ok_or_else(|| {
        reader.error(span.clone(), Problem::MissingKey { section: "[[bmp]]", key: "router" })
    })?;
    let place = format!("{}:{}", reader.path.display(), reader.line(&span));
    Ok(BmpSpec {
        listen: section.text("listen", bmp::LISTEN_EXPECTED, bmp::listen)?,
        name: section.text("name", "a string", bgp::name)?,
        rib: section.parsed("rib", RibChoice::EXPECTED)?,
        max_prefixes: section.integer("max_prefixes", 1, bgp::MAX_PREFIXES_EXPECTED, u32::MAX.into())?,
        max_memory: section.disk_size("max_memory")?,
        max_message: section.text("max_message", bmp::MAX_MESSAGE_EXPECTED, bmp::max_message)?,
        stale_time: section.stale_time()?,
        ..BmpSpec::new(router, place)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        config::file::parse,
        ingest::bmp::{codec::Rib, settings::RouterSettings},
    };

    fn parsed(text: &str) -> Result<Vec<BmpSpec>, String> {
        parse(Path::new("/etc/c.toml"), text).map(|settings| settings.bmp).map_err(|error| error.to_string())
    }

    #[test]
    fn whole_routers() {
        let specs = parsed(
            r#"
[[bmp]]
router = "192.0.2.1"

[[bmp]]
router = "2001:db8::1"
listen = 5000
name = "border 2"
rib = "loc-rib"
max_prefixes = 3_000_000
max_memory = "2GB"
max_message = 200_000
stale_time = 600
"#,
        )
        .unwrap();
        assert_eq!(specs[1].place, "/etc/c.toml:5");
        assert_eq!(
            bmp::lower(specs).unwrap(),
            [
                RouterSettings::new("192.0.2.1".parse().unwrap()),
                RouterSettings {
                    name: "border 2".into(),
                    address: "2001:db8::1".parse().unwrap(),
                    listen: "[::]:5000".parse().unwrap(),
                    rib: RibChoice::Only(Rib::LocRib),
                    max_prefixes: 3_000_000,
                    max_memory: 2_000_000_000,
                    max_message: 200_000,
                    stale_seconds: 600,
                },
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let start = "[[bmp]]\nrouter = '192.0.2.1'\n";
        for (text, error) in [
            ("[[bmp]]\nname = 'a'", ":1: a [[bmp]] needs `router`"),
            ("bmp = 1\n", ":1: `bmp` is a number: expected tables, each under a [[bmp]] line"),
            (
                &format!("{start}peer = 1"),
                ":3: unknown key `peer` in [[bmp]]; the nearest valid key is `router`",
            ),
            (
                &format!("{start}rib = 'adj-rib-out'"),
                ":3: `rib` is `adj-rib-out`: expected auto, loc-rib, post-policy or pre-policy",
            ),
            (
                &format!("{start}listen = 0"),
                ":3: `listen` is `0`: expected a port such as 11019, or an address and port such as 127.0.0.1:11019",
            ),
            (
                &format!("{start}max_message = '4GB'"),
                ":3: `max_message` is `4GB`: expected a size from 128kB to 64MB, such as 1MB",
            ),
        ] {
            assert_eq!(parsed(text), Err(format!("/etc/c.toml{error}")), "{text}");
        }
    }
}
