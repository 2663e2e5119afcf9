//! The past out of the store, for other programs: a row a step, link, direction and subject.
//!
//! Reading order: here (what a row is), [`csv`], [`parquet`].

use std::{collections::HashMap, fmt, io};

use ::parquet::errors::ParquetError;
use jiff::Timestamp;

use super::{
    Kind, Part, Period, Read as _, ReadError, SLOT_SECONDS, Sample, Step, StoredLink, Subject,
    store::{Reader, StoreError},
};
use crate::{
    model::{Asn, Direction, Role},
    table::names::Names,
};

pub mod csv;
pub mod parquet;

/// What a row is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// An AS; 0 is IP without an origin, 4294967295 what was folded together.
    As,
    /// A group, by its key as it was then.
    Group,
    /// A link's IP traffic, and what is not IP.
    Link,
    /// A prefix and its origin; only the largest of each AS are kept.
    Prefix,
    /// A neighbour, by its AS.
    Neighbor,
    /// An AS by what it carried for others.
    Transit,
}

impl By {
    const fn kind(self) -> Kind {
        match self {
            Self::As => Kind::As,
            Self::Group => Kind::Group,
            Self::Link => Kind::Link,
            Self::Prefix => Kind::Prefix,
            Self::Neighbor => Kind::Neighbor,
            Self::Transit => Kind::Transit,
        }
    }

    /// The columns that say what a row is of.
    #[must_use]
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::As | Self::Neighbor | Self::Transit => &[Column::Asn],
            Self::Group => &[Column::Group],
            Self::Link => &[Column::Part],
            Self::Prefix => &[Column::Prefix, Column::Asn],
        }
    }
}

/// A column of what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// When the step begins.
    From,
    /// When it ends.
    To,
    /// How many of its seconds were counted.
    CoveredSeconds,
    /// The link's name.
    Link,
    /// Its role: a name may have been given to two.
    Role,
    /// `in` or `out`.
    Direction,
    /// An AS's number.
    Asn,
    /// A group's key.
    Group,
    /// `ip` or `other`.
    Part,
    /// A prefix.
    Prefix,
    /// The name of the AS; empty where it has none.
    Name,
    /// IPv4 packets.
    PacketsIpv4,
    /// IPv4 bytes.
    BytesIpv4,
    /// IPv6 packets.
    PacketsIpv6,
    /// IPv6 bytes.
    BytesIpv6,
}

impl Column {
    /// Its name in a file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::From => "from",
            Self::To => "to",
            Self::CoveredSeconds => "covered_seconds",
            Self::Link => "link",
            Self::Role => "role",
            Self::Direction => "direction",
            Self::Asn => "asn",
            Self::Group => "group",
            Self::Part => "part",
            Self::Prefix => "prefix",
            Self::Name => "name",
            Self::PacketsIpv4 => "packets_ipv4",
            Self::BytesIpv4 => "bytes_ipv4",
            Self::PacketsIpv6 => "packets_ipv6",
            Self::BytesIpv6 => "bytes_ipv6",
        }
    }
}

/// A value of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A time.
    Time(Timestamp),
    /// A number.
    Number(u64),
    /// Text.
    Text(&'a str),
    /// A name that there is not.
    None,
}

/// What is exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What a row is of.
    pub by: By,
    /// How long steps are. Where the detail is gone they are longer.
    pub step: Step,
    /// Which steps: those that it touches.
    pub period: Period,
}

/// A file that is written row by row.
pub trait Sink {
    /// Writes a row: a value for each of the columns.
    ///
    /// # Errors
    /// [`ExportError`].
    fn row(&mut self, row: &[Value<'_>]) -> Result<(), ExportError>;
}

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store, again.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file or the pipe.
    #[error("cannot write the export: {0}")]
    Write(#[from] io::Error),
    /// The Parquet writer.
    #[error("cannot write Parquet: {0}")]
    Parquet(#[from] ParquetError),
}

impl Request {
    /// The columns, in their order; with the names of ASes where these are wanted and there are any.
    #[must_use]
    pub fn columns(&self, with_names: bool) -> Vec<Column> {
        use Column as C;
        let mut columns = vec![C::From, C::To, C::CoveredSeconds, C::Link, C::Role, C::Direction];
        columns.extend(self.by.columns());
        columns.extend((with_names && self.by.columns().contains(&C::Asn)).then_some(C::Name));
        columns.extend([C::PacketsIpv4, C::BytesIpv4, C::PacketsIpv6, C::BytesIpv6]);
        columns
    }
}

/// Writes what is asked for; `progress` is told how many days of how many are done.
///
/// # Errors
/// [`ExportError`]; then what was written is not whole.
pub fn export(
    reader: &Reader,
    request: &Request,
    names: Option<&Names>,
    sink: &mut dyn Sink,
    mut progress: impl FnMut(u64, u64),
) -> Result<(), ExportError> {
    let columns = request.columns(names.is_some());
    let mut subjects = Subjects::new(reader, request.by)?;
    let links = reader.stored_links()?;
    let Some((mut at, to)) = span(reader, request.period)? else { return Ok(()) };
    let days = |slots: i64| (slots.max(0) as u64).div_ceil(288);
    let first = at;
    while at < to {
        let mut failed = None;
        // Prefixes are looked up in the store, which cannot be done while it is scanned by the same question.
        let mut rows = Vec::new();
        let mut write = |rows: &mut Vec<super::store::read::stream::Streamed>| {
            for row in rows.drain(..) {
                let subject = subjects.of(row.subject)?;
                let link = links.iter().find(|link| link.number == row.link);
                sink.row(&values(&columns, &row, link, &subject, names))?;
            }
            Ok::<(), ExportError>(())
        };
        let next = reader.stream_day(request.by.kind(), request.step, (at, to), |row| {
            if failed.is_some() {
                return;
            }
            rows.push(*row);
            if rows.len() == 4096 {
                failed = write(&mut rows).err();
            }
        })?;
        match failed {
            Some(error) => return Err(error),
            None => write(&mut rows)?,
        }
        at = next;
        progress(days(at - first), days(to - first));
    }
    Ok(())
}

/// The slots that are asked for, as far as there are any.
fn span(reader: &Reader, period: Period) -> Result<Option<(i64, i64)>, ExportError> {
    let extent = reader.extent()?;
    let Some(since) = extent.since else { return Ok(None) };
    let slot = |time: Timestamp| time.as_second().div_euclid(SLOT_SECONDS);
    let from = slot(period.from.max(since));
    let to = period.to.min(extent.until);
    let to = slot(to) + i64::from(to.as_second().rem_euclid(SLOT_SECONDS) > 0 || to.subsec_nanosecond() > 0);
    Ok((from < to).then_some((from, to)))
}

/// What subjects are called.
struct Subjects<'a> {
    reader: &'a Reader,
    by: By,
    groups: HashMap<Subject, String>,
    /// With their origins; looked up once.
    prefixes: HashMap<Subject, (String, Asn)>,
}

/// What a subject is called.
struct Called<'a> {
    text: &'a str,
    asn: Asn,
}

impl<'a> Subjects<'a> {
    fn new(reader: &'a Reader, by: By) -> Result<Self, ExportError> {
        let groups =
            if by == By::Group { reader.group_keys()?.into_iter().collect() } else { HashMap::new() };
        Ok(Self { reader, by, groups, prefixes: HashMap::new() })
    }

    fn of(&mut self, subject: Subject) -> Result<Called<'_>, ExportError> {
        Ok(match self.by {
            By::As | By::Neighbor | By::Transit => Called { text: "", asn: subject },
            By::Link => Called { text: if subject == Part::Ip as Subject { "ip" } else { "other" }, asn: 0 },
            By::Group => Called { text: self.groups.get(&subject).map_or("", String::as_str), asn: 0 },
            By::Prefix => {
                let (prefix, asn) =
                    match self.prefixes.entry(subject) {
                        std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
                        std::collections::hash_map::Entry::Vacant(place) => {
                            let stored = self.reader.prefix(subject)?;
                            place.insert(stored.map_or_else(Default::default, |stored| {
                                (stored.prefix.to_string(), stored.asn)
                            }))
                        }
                    };
                Called { text: prefix, asn: *asn }
            }
        })
    }
}

fn values<'a>(
    columns: &[Column],
    row: &super::store::read::stream::Streamed,
    link: Option<&'a StoredLink>,
    subject: &Called<'a>,
    names: Option<&'a Names>,
) -> Vec<Value<'a>> {
    let Sample { ipv4, ipv6 } = row.sample;
    let value = |column: &Column| match column {
        Column::From => Value::Time(row.period.from),
        Column::To => Value::Time(row.period.to),
        Column::CoveredSeconds => Value::Number(row.covered),
        Column::Link => Value::Text(link.map_or("", |link| &link.name)),
        Column::Role => Value::Text(link.map_or("", |link| Role::name(link.role))),
        Column::Direction => Value::Text(Direction::name(row.direction)),
        Column::Asn => Value::Number(subject.asn.into()),
        Column::Group | Column::Part | Column::Prefix => Value::Text(subject.text),
        Column::Name => names.and_then(|names| names.get(subject.asn)).map_or(Value::None, Value::Text),
        Column::PacketsIpv4 => Value::Number(ipv4.packets),
        Column::BytesIpv4 => Value::Number(ipv4.bytes),
        Column::PacketsIpv6 => Value::Number(ipv6.packets),
        Column::BytesIpv6 => Value::Number(ipv6.bytes),
    };
    columns.iter().map(value).collect()
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests;
