//! How `top` by neighbour and by transit is made.
//!
//! What has no path known is no neighbour's. Of it only the origin is known, and by transit it is that one's: an AS has
//! there what it is the origin of, with or without a path, and what it carries for others.

use std::collections::HashMap;

use super::{
    Stretch, Totals,
    answer::TopDirection,
    directory::AsIndex,
    query::{By, TopQuery},
    scrape::not_ip,
    sparse::Sparse,
    top::{Reader, Scale, sum},
    ways::{Pair, of_key},
};
use crate::model::{Asn, Counter, Direction};

impl Totals {
    /// What each pair of an AS and a neighbour has in a bank over a period; one may come several times.
    pub(super) fn each_pair(&self, stretch: &Stretch, bank: usize, mut take: impl FnMut(Pair, Counter)) {
        let mut take = |(number, counter)| {
            if let Some(pair) = self.ways.pairs.get(number) {
                take(pair, counter);
            }
        };
        match &stretch.spans {
            Some(spans) => {
                let banks = self.memory.spans(spans.clone()).filter_map(|span| span.banks.get(bank));
                banks.flat_map(|bank| bank.pairs.iter()).for_each(&mut take);
            }
            None => {
                let counters = self.banks.get(bank).map(|bank| bank.ways.pairs.iter());
                counters.into_iter().flatten().for_each(&mut take);
            }
        }
    }

    /// What each AS has carried for others in a bank over a period; one may come several times.
    pub(super) fn each_carrier(
        &self,
        stretch: &Stretch,
        bank: usize,
        mut take: impl FnMut(AsIndex, Counter),
    ) {
        let mut take = |(key, counter)| take(of_key(key).0, counter);
        match &stretch.spans {
            Some(spans) => {
                let banks = self.memory.spans(spans.clone()).filter_map(|span| span.banks.get(bank));
                banks.flat_map(|bank| bank.through.iter()).for_each(&mut take);
            }
            None => {
                let counters = self.banks.get(bank).map(|bank| bank.ways.through.iter());
                counters.into_iter().flatten().for_each(&mut take);
            }
        }
    }
}

impl Reader<'_> {
    pub(super) fn top_ways(
        &self,
        query: &TopQuery,
        links: &[usize],
        direction: Direction,
        stretch: &Stretch,
    ) -> TopDirection {
        let banks = self.totals.bank_places(links, direction, query.side);
        let outcomes = self.outcomes(stretch, links, direction);
        let scale = Scale { seconds: stretch.seconds(), bytes: sum(&outcomes).bytes };
        let (mut matched, mut unmatched) = (Counter::ZERO, Counter::ZERO);
        for &bank in &banks {
            let (with, without) = self.totals.matched(stretch, bank);
            matched += with;
            unmatched += without;
        }
        let neighbors = self.by_neighbor(stretch, &banks);
        let no_path = matched - neighbors.iter().map(|(_, counter)| *counter).sum();
        let counters = match query.by {
            By::Transit => self.by_transit(stretch, &banks),
            _ => neighbors,
        };
        let rows = self.rows(counters, query.by, query.n, scale);
        let shown = rows.iter().map(|row| Counter { packets: row.packets, bytes: row.bytes }).sum();
        let other = if query.by == By::Neighbor { matched - no_path - shown } else { Counter::ZERO };
        TopDirection {
            total: scale.total(sum(&outcomes)),
            rows,
            other: scale.part(other),
            unmatched: scale.part(unmatched),
            non_ip: scale.part(not_ip(&outcomes)),
            no_path: Some(scale.part(no_path)),
            previous_bytes: None,
            change: None,
        }
    }

    /// By neighbour's number, in no order.
    pub(super) fn by_neighbor(&self, stretch: &Stretch, banks: &[usize]) -> Vec<(Asn, Counter)> {
        let mut sums = Sparse::default();
        for &bank in banks {
            self.totals.each_pair(stretch, bank, |pair, counter| sums.add(pair.neighbor, counter));
        }
        sums.iter().map(|(index, sum)| (self.totals.directory.asn(index), sum)).collect()
    }

    /// By the number of every AS on the way, in no order.
    fn by_transit(&self, stretch: &Stretch, banks: &[usize]) -> Vec<(Asn, Counter)> {
        let origins = self.tally(stretch, banks, By::As, |_, _| true).rows;
        let mut sums: HashMap<Asn, Counter> = origins.into_iter().collect();
        let mut carried = Sparse::default();
        for &bank in banks {
            self.totals.each_carrier(stretch, bank, |index, counter| carried.add(index, counter));
        }
        for (index, counter) in carried.iter() {
            *sums.entry(self.totals.directory.asn(index)).or_default() += counter;
        }
        sums.into_iter().collect()
    }
}
