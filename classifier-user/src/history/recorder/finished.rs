//! A slot that is over, before the store has given its links, groups and prefixes their numbers.

use super::archive::{Sink, SinkError};
use crate::{
    history::{ClosedSlot, Kind, LinkNo, Row, Sample, StoredPrefix, Subject},
    model::{Direction, LinkKind, Role},
};

/// What the store knows a link by, and what it is commercially.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LinkKey {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) kind: Option<LinkKind>,
}

impl LinkKey {
    /// Whether both are the same link to the store.
    pub(super) fn same(&self, other: &Self) -> bool {
        (&self.name, self.role) == (&other.name, other.role)
    }
}

/// A slot that is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Finished {
    /// [`ClosedSlot::number`].
    pub(super) number: i64,
    /// [`ClosedSlot::covered`].
    pub(super) covered: u32,
    pub(super) links: Vec<LinkKey>,
    /// Keys.
    pub(super) groups: Vec<String>,
    pub(super) prefixes: Vec<StoredPrefix>,
    pub(super) rows: Vec<LocalRow>,
}

/// A row whose group or prefix is a place in its slot's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LocalRow {
    pub(super) kind: Kind,
    pub(super) subject: u32,
    /// Twice the link's place, and the direction.
    pub(super) place: u32,
    pub(super) sample: Sample,
}

impl Finished {
    /// The slot with the store's numbers.
    pub(super) fn resolve(&self, sink: &mut dyn Sink) -> Result<ClosedSlot, SinkError> {
        let mut links = Vec::with_capacity(self.links.len());
        for link in &self.links {
            links.push(sink.link(&link.name, link.role, link.kind)?);
        }
        let mut groups = vec![None; self.groups.len()];
        let prefixes = sink.prefixes(&self.prefixes)?;
        let mut rows = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            let place = row.subject as usize;
            let subject: Option<Subject> = match row.kind {
                Kind::As | Kind::Link | Kind::Neighbor | Kind::Transit => Some(row.subject),
                Kind::Prefix => prefixes.get(place).copied(),
                // Only those with traffic get a number.
                Kind::Group => match (groups.get_mut(place), self.groups.get(place)) {
                    (Some(number), Some(key)) => {
                        if number.is_none() {
                            *number = Some(sink.group(key)?);
                        }
                        *number
                    }
                    _ => None,
                },
            };
            let link: Option<LinkNo> = links.get(row.place as usize / 2).copied();
            let direction = if row.place % 2 == 0 { Direction::In } else { Direction::Out };
            if let (Some(subject), Some(link)) = (subject, link) {
                rows.push(Row { kind: row.kind, subject, link, direction, sample: row.sample });
            }
        }
        rows.sort_unstable_by_key(Row::key);
        Ok(ClosedSlot { number: self.number, covered: self.covered, rows })
    }
}
