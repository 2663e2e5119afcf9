//! MaxMind DB: MaxMind's GeoLite2-ASN (`autonomous_system_number`, `autonomous_system_organization`), IPinfo's
//! (`asn` as "AS15169", `name` or `as_name`), and what others write with the same keys.

use std::{borrow::Cow, collections::HashMap, io::Read};

use jiff::Timestamp;
use maxminddb::{Reader, WithinOptions};
use serde::Deserialize;

use super::{
    Format, LoadOptions, SourceTable, cidr,
    error::{IngestError, LineProblem},
    input::Input,
    report::{LoadReport, Notice},
    text,
};
use crate::{
    model::{Asn, Family, Prefix},
    table::{names::Names, origins::Origins},
};

/// Begins the metadata, in the last 128 KiB of the file.
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
const MARKER_WITHIN: usize = 128 * 1024 + MARKER.len();

/// What is read of a record.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    autonomous_system_number: Option<AsNumber<'a>>,
    #[serde(borrow)]
    autonomous_system_organization: Option<Cow<'a, str>>,
    #[serde(borrow)]
    asn: Option<AsNumber<'a>>,
    #[serde(borrow)]
    as_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
}

/// Unsigned of any width: the reader does not take one for another.
#[derive(Deserialize)]
#[serde(untagged)]
enum AsNumber<'a> {
    Number(u64),
    #[serde(borrow)]
    Text(Cow<'a, str>),
}

impl Record<'_> {
    /// The AS, where the record has one.
    fn asn(&self) -> Result<Option<Asn>, LineProblem> {
        match self.autonomous_system_number.as_ref().or(self.asn.as_ref()) {
            Some(AsNumber::Number(number)) => {
                Asn::try_from(*number).map(Some).map_err(|_| LineProblem::AsnTooLarge(number.to_string()))
            }
            Some(AsNumber::Text(text)) if !text.trim().is_empty() => text::asn(text).map(Some),
            _ => Ok(None),
        }
    }

    fn name(&self) -> Option<&str> {
        [&self.autonomous_system_organization, &self.as_name, &self.name]
            .into_iter()
            .flatten()
            .map(AsRef::as_ref)
            .find(|name| !name.is_empty())
    }
}

/// Whether content can be an mmdb database: no text has zero bytes, and the search tree always has.
pub(super) fn may_be(head: &[u8]) -> bool {
    head.contains(&0)
}

pub(super) fn load(input: Input<'_>, options: &LoadOptions) -> Result<SourceTable, IngestError> {
    let file = input.file.clone();
    let modified = input.modified;
    let unrecognised = input.unrecognised();
    let (mut stream, errors) = input.into_stream();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map_err(|error| errors.explain(error))?;
    let tail = bytes.get(bytes.len().saturating_sub(MARKER_WITHIN)..).unwrap_or_default();
    if !tail.windows(MARKER.len()).any(|window| window == MARKER) {
        return Err(unrecognised);
    }

    let bad = |source| IngestError::Mmdb { file: file.clone(), source };
    let reader = Reader::from_source(bytes).map_err(bad)?;
    let mut report = LoadReport::default();
    let mut names = Names::default();
    let mut routes: Vec<(Prefix, Origins)> = Vec::new();
    let mut first_bad = None;
    // Many networks point to one record.
    let mut known: HashMap<usize, Option<Asn>> = HashMap::new();
    for network in reader.networks(WithinOptions::default()).map_err(bad)? {
        let found = network.map_err(bad)?;
        let network = found.network().map_err(bad)?;
        let address = network.network();
        let family = if address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 };
        let Some(prefix) = cidr::prefix(family, cidr::number(address), network.prefix()) else { continue };
        report.lines += 1;
        let asn = match found.offset().and_then(|offset| known.get(&offset)) {
            Some(asn) => *asn,
            None => {
                let record: Option<Record<'_>> = found.decode().map_err(bad)?;
                let asn = match record.as_ref().map_or(Ok(None), Record::asn) {
                    Ok(asn) => asn,
                    Err(problem) => {
                        let error = IngestError::MmdbRecord { file: file.clone(), prefix, problem };
                        if !options.skip_bad_lines {
                            return Err(error);
                        }
                        report.bad_lines += 1;
                        first_bad.get_or_insert_with(|| error.to_string());
                        continue;
                    }
                };
                if let (Some(asn), Some(name)) = (asn, record.as_ref().and_then(Record::name))
                    && asn != 0
                {
                    names.insert_new(asn, name);
                }
                if let Some(offset) = found.offset() {
                    known.insert(offset, asn);
                }
                asn
            }
        };
        if let Some(asn) = asn {
            routes.push((prefix, asn.into()));
        }
    }
    if routes.is_empty() && first_bad.is_none() {
        let database = reader.metadata().database_type.clone();
        return Err(IngestError::MmdbWithoutAs { file, database });
    }
    if let Some(first) = first_bad {
        report.notices.push(Notice::BadLines { count: report.bad_lines, first });
    }
    routes.sort_by_key(|(prefix, _)| *prefix);
    let built = reader.metadata().build_time().ok().and_then(|time| Timestamp::try_from(time).ok());
    let mut table = SourceTable {
        name: file.display().to_string(),
        kind: Format::Mmdb,
        date: built.or(modified),
        routes,
        names,
        report,
    };
    table.describe();
    Ok(table)
}

#[cfg(test)]
#[path = "mmdb_tests.rs"]
mod tests;
