//! What was sent against what the agent counted.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::{
    Direction,
    api::{Both, Client, Outcomes, Status, Top},
    generator::Count,
    mix,
    routes::As,
    view::{exact, grouped},
};

/// One direction's counts by AS; none is zero.
pub(crate) type ByAs = BTreeMap<u32, Count>;

/// What the agent says.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// By [`Direction`].
    pub(crate) ases: [ByAs; 2],
    /// What is under no AS, by [`Direction`].
    pub(crate) elsewhere: [Count; 2],
    /// What the links counted, by [`Direction`].
    pub(crate) link: [Outcomes; 2],
    /// The agent's own check: all it saw is under a class.
    pub(crate) closure_ok: bool,
}

impl Counted {
    /// Asks for everything of a period that begins with the agent or before it, and that its memory answers.
    pub(crate) fn read(client: &Client, period: &str) -> Result<Self> {
        Ok(Self::of(&client.top(mix::ASES, period)?, &client.status()?))
    }

    /// Asks for each AS that something was sent to or from: where memory does not reach back to the start.
    pub(crate) fn read_each(client: &Client, ases: &[As], tally: &[Vec<Count>; 2]) -> Result<Self> {
        let status = client.status()?;
        let mut counted = Self { link: status.counted(), closure_ok: status.closure_ok, ..Self::default() };
        for (place, entry) in ases.iter().enumerate() {
            let was_sent = tally.iter().any(|tally| tally.get(place).is_some_and(|count| count.packets > 0));
            if was_sent {
                let Both { inward, outward } = client.since_start(entry.asn)?;
                for (map, count) in counted.ases.iter_mut().zip([inward, outward]) {
                    if count != Count::default() {
                        map.insert(entry.asn, count);
                    }
                }
            }
        }
        Ok(counted)
    }

    fn of(top: &Top, status: &Status) -> Self {
        let mut counted = Self { link: status.counted(), closure_ok: status.closure_ok, ..Self::default() };
        for (index, direction) in [&top.directions.inward, &top.directions.outward].into_iter().enumerate() {
            for row in &direction.rows {
                *counted.ases[index].entry(row.asn).or_default() += row.rated.count;
            }
            counted.elsewhere[index] = direction.other + direction.unmatched + direction.non_ip;
        }
        counted
    }

    /// Everything that is under an AS, both directions.
    pub(crate) fn total(&self) -> Count {
        self.ases.iter().flat_map(BTreeMap::values).copied().sum()
    }
}

/// A tally that has an entry for each AS, by AS.
pub(crate) fn by_as(ases: &[As], tally: &[Count]) -> ByAs {
    let counts = ases.iter().zip(tally).filter(|(_, count)| count.packets > 0);
    counts.map(|(entry, count)| (entry.asn, *count)).collect()
}

/// The ASes that differ in one direction, a line each.
pub(crate) fn unequal(name: &str, sent: &ByAs, counted: &ByAs) -> Vec<String> {
    let ases: BTreeSet<_> = sent.keys().chain(counted.keys()).collect();
    let of = |map: &ByAs, asn| map.get(asn).copied().unwrap_or_default();
    ases.into_iter()
        .map(|asn| (asn, of(sent, asn), of(counted, asn)))
        .filter(|(_, sent, counted)| sent != counted)
        .map(|(asn, sent, counted)| {
            format!("AS{asn} {name}: sent {}; counted {}", exact(sent), exact(counted))
        })
        .collect()
}

/// Where the two differ, a line each; nothing where they are equal.
pub(crate) fn differences(sent: &[ByAs; 2], counted: &Counted) -> Vec<String> {
    let mut lines = Vec::new();
    for direction in Direction::ALL {
        let index = direction as usize;
        let name = direction.name();
        let sent = &sent[index];
        lines.extend(unequal(name, sent, &counted.ases[index]));
        if counted.elsewhere[index] != Count::default() {
            lines.push(format!("{name}: under no AS: {}", exact(counted.elsewhere[index])));
        }
        let outcomes = counted.link[index];
        let (total, ip) = (sent.values().copied().sum::<Count>(), outcomes.ipv4 + outcomes.ipv6);
        if ip != total {
            lines.push(format!("{name}: sent {}; the links counted {}", exact(total), exact(ip)));
        }
        if outcomes.unexpected() != Count::default() {
            lines.push(format!("{name}: not IP, or not read: {}", exact(outcomes.unexpected())));
        }
    }
    if !counted.closure_ok {
        lines.push("the agent says that its sums do not close".into());
    }
    lines
}

/// The demo's last line.
pub(crate) fn verdict(sent: Count, counted: Count, ases: usize, equal: bool) -> String {
    format!(
        "sent {} to and from {} ASes; counted {}: {}",
        exact(sent),
        grouped(ases as u64),
        exact(counted),
        if equal { "equal" } else { "DIFFERENT" }
    )
}

#[cfg(test)]
mod tests {
    use super::{ByAs, Count, Counted, Outcomes, differences, verdict};

    fn equal() -> ([ByAs; 2], Counted) {
        let count = |packets, bytes| Count { packets, bytes };
        let sent = [
            ByAs::from([(2906, count(2, 3000)), (15169, count(1, 60))]),
            ByAs::from([(2906, count(5, 400))]),
        ];
        let outcomes = |ipv4, ipv6| Outcomes { ipv4, ipv6, ..Outcomes::default() };
        let link = [outcomes(count(2, 1560), count(1, 1500)), outcomes(count(0, 0), count(5, 400))];
        let counted =
            Counted { ases: sent.clone(), elsewhere: [Count::default(); 2], link, closure_ok: true };
        (sent, counted)
    }

    #[test]
    fn equal_is_no_difference() {
        let (sent, counted) = equal();
        assert_eq!(differences(&sent, &counted), Vec::<String>::new());
        assert_eq!(counted.total(), Count { packets: 8, bytes: 3460 });
        assert_eq!(
            verdict(counted.total(), counted.total(), 2, true),
            "sent 8 packets, 3,460 bytes to and from 2 ASes; counted 8 packets, 3,460 bytes: equal"
        );
    }

    type Change = fn(&mut [ByAs; 2], &mut Counted, Count);

    #[test]
    fn every_sort_of_difference_is_one() {
        let one = Count { packets: 1, bytes: 60 };
        let changes: [(Change, &str); 6] = [
            (
                |sent, _, one| sent[1].extend([(15169, one)]),
                "AS15169 out: sent 1 packets, 60 bytes; counted 0 packets, 0 bytes",
            ),
            (
                |_, counted, one| counted.ases[0].extend([(1, one)]),
                "AS1 in: sent 0 packets, 0 bytes; counted 1 packets, 60 bytes",
            ),
            (|_, counted, one| counted.elsewhere[0] = one, "in: under no AS: 1 packets, 60 bytes"),
            (
                |_, counted, one| counted.link[1].ipv4 = one,
                "out: sent 5 packets, 400 bytes; the links counted 6 packets, 460 bytes",
            ),
            (
                |_, counted, one| counted.link[0].malformed = one,
                "in: not IP, or not read: 1 packets, 60 bytes",
            ),
            (|_, counted, _| counted.closure_ok = false, "the agent says that its sums do not close"),
        ];
        for (change, expected) in changes {
            let (mut sent, mut counted) = equal();
            change(&mut sent, &mut counted, one);
            assert_eq!(differences(&sent, &counted)[0], expected);
        }
    }
}
