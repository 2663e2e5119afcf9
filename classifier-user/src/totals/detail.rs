//! How `as`, `prefix` and `group` are made.

use std::{cmp::Reverse, net::IpAddr};

use super::{
    Stretch,
    answer::{AsAnswer, Detail, Directions, Granularity, GroupAnswer, LinkPart, PrefixAnswer, Row, Standing},
    directory::{AsIndex, Brief, NO_AS},
    memory::REACH,
    query::{By, DetailQuery, QueryError},
    top::{FIVE_MINUTES, NOW, Reader, Scale, sum},
    view::timestamp,
};
use crate::model::{Asn, Counter, Direction, Family, Owner, OwnerId, Prefix};

/// How many things that may have been meant are named.
const NEAR: usize = 5;
/// How many candidates for a name are listed.
const CANDIDATES: usize = 20;

/// What is asked about.
pub(super) enum Subject {
    /// An AS; `None` if it was not seen.
    As(Option<AsIndex>, Asn),
    /// Routes, ascending.
    Routes(Vec<OwnerId>),
    /// A group's place.
    Group(usize),
}

impl Subject {
    const fn by(&self) -> By {
        match self {
            Self::As(..) => By::As,
            Self::Routes(_) => By::Prefix,
            Self::Group(_) => By::Group,
        }
    }
}

impl Reader<'_> {
    pub(super) fn asn(&self, text: &str, query: &DetailQuery) -> Result<AsAnswer, QueryError> {
        self.check_counted(By::As, query.side)?;
        self.as_of(self.find_as(text)?, query)
    }

    pub(super) fn as_of(&self, asn: Asn, query: &DetailQuery) -> Result<AsAnswer, QueryError> {
        let subject = Subject::As(self.totals.directory.index(asn), asn);
        let stretch = self.totals.stretch_of(query.when);
        let group = self.groups.of(asn).and_then(|place| self.groups.all().get(place));
        Ok(AsAnswer {
            router: self.status.router.clone(),
            from: timestamp(stretch.from),
            to: timestamp(stretch.to),
            asn,
            name: self.name(asn),
            group: group.map(|group| group.key.clone()),
            side: query.side,
            directions: self.details(&subject, query, &stretch)?,
        })
    }

    pub(super) fn group(&self, text: &str, query: &DetailQuery) -> Result<GroupAnswer, QueryError> {
        self.check_counted(By::Group, query.side)?;
        let group = self.groups.find(text).ok_or_else(|| QueryError::NotFound {
            what: "group",
            given: text.to_owned(),
            near: near(text, self.groups.all().iter().map(|group| (&*group.key, &*group.key))),
        })?;
        let place = self.groups.all().iter().position(|known| known.key == group.key).unwrap_or(usize::MAX);
        let stretch = self.totals.stretch_of(query.when);
        Ok(GroupAnswer {
            router: self.status.router.clone(),
            from: timestamp(stretch.from),
            to: timestamp(stretch.to),
            group: group.key.clone(),
            name: group.name.clone(),
            kind: group.kind.clone(),
            asns: group.asns.clone(),
            side: query.side,
            directions: self.details(&Subject::Group(place), query, &stretch)?,
        })
    }

    pub(super) fn prefix(&self, text: &str, query: &DetailQuery) -> Result<PrefixAnswer, QueryError> {
        self.check_counted(By::Prefix, query.side)?;
        // A bare address is the prefix of it alone.
        let address = text.parse::<IpAddr>().map(Prefix::from);
        let prefix = address.or_else(|_| text.parse()).map_err(|_| QueryError::BadParameter {
            name: "prefix",
            value: text.to_owned(),
            expected: "a prefix without host bits, such as 192.0.2.0/24 or 2001:db8::/32".to_owned(),
        })?;
        let mut routes = Vec::new();
        let mut asns = Vec::new();
        let mut covering: Option<Prefix> = None;
        for id in (0..self.owners.owner_count() as u32).map(OwnerId) {
            let Owner::Route { prefix: route, asn } = self.owners.owner(id) else { continue };
            if covers(prefix, route) {
                routes.push(id);
                asns.push(asn);
            } else if covers(route, prefix) && covering.is_none_or(|so_far| covers(so_far, route)) {
                covering = Some(route);
            }
        }
        if routes.is_empty() {
            return Err(QueryError::NotFound {
                what: "route equal to or inside",
                given: text.to_owned(),
                near: covering.iter().map(ToString::to_string).collect(),
            });
        }
        asns.sort_unstable();
        asns.dedup();
        let asn = if let [asn] = *asns
            && asn != 0
        {
            Some(asn)
        } else {
            None
        };
        let stretch = self.totals.stretch_of(query.when);
        Ok(PrefixAnswer {
            router: self.status.router.clone(),
            from: timestamp(stretch.from),
            to: timestamp(stretch.to),
            prefix: prefix.to_string(),
            asn,
            name: asn.and_then(|asn| self.name(asn)),
            routes: routes.len() as u64,
            side: query.side,
            directions: self.details(&Subject::Routes(routes), query, &stretch)?,
        })
    }

    fn details(
        &self,
        subject: &Subject,
        query: &DetailQuery,
        stretch: &Stretch,
    ) -> Result<Directions<Detail>, QueryError> {
        let links = self.choose_links(&query.links)?;
        Directions::try_of(query.direction, |direction| {
            Ok(self.detail(subject, query, &links, direction, stretch))
        })
    }

    fn detail(
        &self,
        subject: &Subject,
        query: &DetailQuery,
        links: &[usize],
        direction: Direction,
        stretch: &Stretch,
    ) -> Detail {
        let totals = self.totals;
        let banks = totals.bank_places(links, direction, query.side);
        let start = totals.since_start();
        let standing = |stretch| self.standing(subject, &stretch, links, &banks, direction);

        let mut families = [Counter::ZERO; 2];
        for &bank in &banks {
            totals.each(&start, bank, |id, counter| {
                if let Some(brief) = totals.directory.get(id).filter(|&brief| self.is(subject, id, brief)) {
                    families[usize::from(brief.family == Family::Ipv6)] += counter;
                }
            });
        }

        let now = totals.stretch(NOW);
        let now_scale = Scale { seconds: now.seconds(), bytes: 0 };
        let link_part = |&link: &usize| {
            let banks = totals.bank_places(&[link], direction, query.side);
            let (all, rate) = (self.amount(subject, &start, &banks), self.amount(subject, &now, &banks));
            let link = totals.links.get(link)?;
            let part = LinkPart {
                link: link.name.clone(),
                role: link.role,
                kind: link.kind,
                packets: all.packets,
                bytes: all.bytes,
                bits_per_second: now_scale.bits_per_second(rate.bytes),
            };
            Some(part)
        };

        let list = |by| -> Vec<Row> {
            let tally = self.tally(stretch, &banks, by, |id, brief| self.is(subject, id, brief));
            let bytes = sum(&self.outcomes(stretch, links, direction)).bytes;
            self.rows(tally.rows, by, query.n, Scale { seconds: stretch.seconds(), bytes })
        };
        let is_group = matches!(subject, Subject::Group(_));
        Detail {
            since_start: standing(start.clone()),
            last_1h: standing(totals.stretch(REACH)),
            last_5m: standing(totals.stretch(FIVE_MINUTES)),
            now: now_scale.rate(self.amount(subject, &now, &banks)),
            ipv4: families[0].into(),
            ipv6: families[1].into(),
            links: links.iter().filter_map(link_part).collect(),
            prefixes: (!is_group && self.status.granularity == Granularity::Prefix).then(|| list(By::Prefix)),
            ases: is_group.then(|| list(By::As)),
            neighbors: self.neighbors_of(subject, query, links, direction, stretch),
            carried: self.carried_by(subject, query, links, direction, stretch),
            behind: self.behind(subject, query, links, direction, stretch),
        }
    }

    /// Whether an owner is (part of) what is asked about. Routes of AS 0 are asked about by prefix alone.
    pub(super) fn is(&self, subject: &Subject, id: OwnerId, brief: Brief) -> bool {
        match subject {
            Subject::As(index, _) => Some(brief.as_index) == *index,
            Subject::Routes(routes) => routes.binary_search(&id).is_ok(),
            Subject::Group(place) => {
                brief.as_index != NO_AS
                    && self.groups.of(self.totals.directory.asn(brief.as_index)) == Some(*place)
            }
        }
    }

    pub(super) fn amount(&self, subject: &Subject, stretch: &Stretch, banks: &[usize]) -> Counter {
        let tally = self.tally(stretch, banks, By::As, |id, brief| self.is(subject, id, brief));
        tally.matched + tally.unmatched
    }

    /// What the subject was among all of its sort.
    fn standing(
        &self,
        subject: &Subject,
        stretch: &Stretch,
        links: &[usize],
        banks: &[usize],
        direction: Direction,
    ) -> Standing {
        let amount = self.amount(subject, stretch, banks);
        let key = match subject {
            Subject::As(_, asn) => Some(*asn),
            Subject::Group(place) => Some(*place as u32),
            Subject::Routes(routes) => match **routes {
                [OwnerId(one)] => Some(one),
                _ => None,
            },
        };
        let rank = key.and_then(|key| {
            let all = self.tally(stretch, banks, subject.by(), |_, _| true).rows;
            let order = |key, counter: Counter| (Reverse(counter.bytes), Reverse(counter.packets), key);
            let own =
                all.iter().find(|(other, _)| *other == key).map(|&(key, counter)| order(key, counter))?;
            Some(1 + all.iter().filter(|&&(key, counter)| order(key, counter) < own).count() as u32)
        });
        let bytes = sum(&self.outcomes(stretch, links, direction)).bytes;
        let scale = Scale { seconds: stretch.seconds(), bytes };
        Standing {
            from: timestamp(stretch.from),
            to: timestamp(stretch.to),
            packets: amount.packets,
            bytes: amount.bytes,
            bits_per_second: scale.bits_per_second(amount.bytes),
            share: scale.share(amount.bytes),
            rank,
        }
    }

    /// The AS of this number or name.
    pub(super) fn find_as(&self, text: &str) -> Result<Asn, QueryError> {
        let not_found = |near| QueryError::NotFound { what: "AS", given: text.to_owned(), near };
        let digits = text.strip_prefix("AS").or_else(|| text.strip_prefix("as")).unwrap_or(text);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            let asn = digits.parse().ok().filter(|&asn: &Asn| asn != 0);
            let asn = asn.ok_or_else(|| QueryError::BadParameter {
                name: "as",
                value: text.to_owned(),
                expected: "an AS number from 1 to 4294967295 (traffic of AS 0 is unmatched), or a name"
                    .to_owned(),
            })?;
            return if self.knows(asn) { Ok(asn) } else { Err(not_found(self.near_numbers(digits))) };
        }
        let lower = text.trim().to_lowercase();
        if lower.is_empty() {
            return Err(QueryError::BadParameter {
                name: "as",
                value: text.to_owned(),
                expected: "an AS number or a name".to_owned(),
            });
        }
        let mut found: Vec<(Asn, bool)> = Vec::new();
        for (asn, name) in self.names.iter() {
            let name = name.to_lowercase();
            if name.contains(&lower) {
                found.push((asn, name == lower));
            }
        }
        let whole: Vec<Asn> = found.iter().filter(|(_, whole)| *whole).map(|&(asn, _)| asn).collect();
        match (whole.as_slice(), found.as_slice()) {
            (&[asn], _) | ([], &[(asn, _)]) => Ok(asn),
            ([], []) => Err(not_found(self.near_names(&lower))),
            _ => {
                let mut asns: Vec<Asn> =
                    if whole.is_empty() { found.iter().map(|&(asn, _)| asn).collect() } else { whole };
                asns.sort_unstable();
                asns.sort_by_cached_key(|&asn| Reverse(self.bytes_of(asn)));
                Err(QueryError::Ambiguous {
                    given: text.to_owned(),
                    count: asns.len(),
                    candidates: asns.iter().take(CANDIDATES).map(|&asn| self.label(asn)).collect(),
                    group: self.groups.find(text.trim()).map(|group| group.key.clone()),
                })
            }
        }
    }

    /// The ASes with this number first, then those whose name contains `text`, by traffic and by likeness.
    pub(super) fn search(&self, text: &str, most: usize) -> Vec<(Asn, Option<String>)> {
        let digits = text.get(..2).filter(|start| start.eq_ignore_ascii_case("as")).and(text.get(2..));
        let number = digits.unwrap_or(text).parse().ok().filter(|&asn| asn != 0 && self.knows(asn));
        let mut found: Vec<Asn> = self.names.search(text).into_iter().map(|(asn, _)| asn).collect();
        found.retain(|&asn| Some(asn) != number);
        found.sort_by_cached_key(|&asn| Reverse(self.bytes_of(asn)));
        number.into_iter().chain(found).take(most).map(|asn| (asn, self.name(asn))).collect()
    }

    /// Whether there ever was a route of this AS, or it has a name.
    fn knows(&self, asn: Asn) -> bool {
        self.names.get(asn).is_some()
            || self.totals.directory.index(asn).is_some()
            || (0..self.owners.owner_count() as u32)
                .any(|id| self.owners.owner(OwnerId(id)).asn() == Some(asn))
    }

    /// An AS's bytes since the start, on every link and side.
    fn bytes_of(&self, asn: Asn) -> u64 {
        let index = self.totals.directory.index(asn);
        index.map_or(0, |index| self.totals.banks.iter().map(|bank| bank.ases.get(index).bytes).sum())
    }

    fn label(&self, asn: Asn) -> String {
        match self.names.get(asn) {
            Some(name) => format!("AS{asn} {name}"),
            None => format!("AS{asn}"),
        }
    }

    fn near_names(&self, lower: &str) -> Vec<String> {
        let names: Vec<(String, Asn)> = self
            .names
            .iter()
            // A long name is near where one of its words is.
            .flat_map(|(asn, name)| {
                let name = name.to_lowercase();
                let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 2);
                words.map(|word| (word.to_owned(), asn)).chain([(name.clone(), asn)]).collect::<Vec<_>>()
            })
            .collect();
        nearest(lower, names.iter().map(|(name, asn)| (name.as_str(), *asn)))
            .into_iter()
            .map(|asn| self.label(asn))
            .collect()
    }

    fn near_numbers(&self, digits: &str) -> Vec<String> {
        let numbers: Vec<(String, Asn)> = self.names.iter().map(|(asn, _)| (asn.to_string(), asn)).collect();
        nearest(digits, numbers.iter().map(|(number, asn)| (number.as_str(), *asn)))
            .into_iter()
            .map(|asn| self.label(asn))
            .collect()
    }
}

/// Whether every address of `inner` is in `outer`.
fn covers(outer: Prefix, inner: Prefix) -> bool {
    match (outer, inner) {
        (Prefix::V4(outer), Prefix::V4(inner)) => {
            outer.netmask() <= inner.netmask() && outer.contains(inner.network_address())
        }
        (Prefix::V6(outer), Prefix::V6(inner)) => {
            outer.netmask() <= inner.netmask() && outer.contains(inner.network_address())
        }
        _ => false,
    }
}

fn near<'a>(text: &str, names: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    nearest(&text.to_lowercase(), names).into_iter().map(str::to_owned).collect()
}

/// The few whose name is most like `text`, most alike first; none that is not alike.
fn nearest<'a, T: Ord + Copy>(text: &str, names: impl Iterator<Item = (&'a str, T)>) -> Vec<T> {
    let length = text.chars().count();
    let most = (length / 3).max(1);
    let mut found: Vec<(usize, T)> = names
        .filter(|(name, _)| name.chars().count().abs_diff(length) <= most)
        .map(|(name, value)| (strsim::osa_distance(text, name), value))
        .filter(|(distance, _)| *distance <= most)
        .collect();
    found.sort_unstable();
    let mut values = Vec::new();
    for (_, value) in found {
        if values.len() < NEAR && !values.contains(&value) {
            values.push(value);
        }
    }
    values
}
