//! Where pages get their answers from: the questions, and in public what the rules leave of the answers. Nothing that is
//! drawn or written has another source.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::tz::TimeZone;

use super::{
    ask::{Choices, Span},
    layers,
    rules::{Rules, Standing, is_row, put_into},
};
use crate::{
    model::Asn,
    questions::{
        About, Questions,
        answer::{Name, PastAnswer, SeriesAnswer},
        query::{MAX_LAYERS, PastQuery, SeriesQuery},
        words::Lang,
    },
    table::groups::{Group, Groups},
    totals::{
        By, QueryError, TopQuery, When,
        answer::{Row, StatusAnswer, TopAnswer},
    },
};

/// Rows of a ranking that are asked for: more than are shown, so that a row's other direction is found, and some can be
/// hidden. No more than the questions keep.
const RANKED: usize = 1000;
/// Layers that are asked for beyond those that are wanted: the largest in one direction are not the largest in all.
const SPARE_LAYERS: usize = 4;
/// What is shown as now.
const NOW: Duration = Duration::from_secs(300);

/// A site: the operator's, or a public one.
pub(crate) struct Site {
    questions: Questions,
    pub(super) choices: Choices,
    /// What a public one is called; the operator's is called as its router.
    title: Option<String>,
    /// An address for questions, of a public one.
    pub(super) contact: Option<String>,
    rules: Option<Rules>,
    /// Rankings that were published a while ago, so that search and checks cost nothing.
    rankings: Mutex<Vec<Kept>>,
    /// For how long they are kept.
    keep: Duration,
}

struct Kept {
    by: By,
    span: Span,
    made: Instant,
    top: Arc<TopAnswer>,
}

impl Site {
    /// The operator's.
    pub(crate) fn operators(questions: &Questions) -> Self {
        Self {
            questions: questions.of_pages(),
            choices: Choices { lang: Lang::En, spans: Span::ALL.to_vec(), by: vec![By::As, By::Group] },
            title: None,
            contact: None,
            rules: None,
            rankings: Mutex::default(),
            keep: Duration::ZERO,
        }
    }

    /// One for the public.
    pub(crate) fn public(
        questions: &Questions,
        title: String,
        contact: Option<String>,
        choices: Choices,
        rules: Rules,
        keep: Duration,
    ) -> Self {
        Self {
            questions: questions.of_pages(),
            choices,
            title: Some(title),
            contact,
            rules: Some(rules),
            rankings: Mutex::default(),
            keep,
        }
    }

    #[cfg(test)]
    pub(crate) fn questions(&self) -> &Questions {
        &self.questions
    }

    pub(super) const fn is_public(&self) -> bool {
        self.rules.is_some()
    }

    /// The site's name.
    pub(super) fn title(&self) -> String {
        self.title.clone().unwrap_or_else(|| self.questions.view().context().router)
    }

    pub(super) fn zone(&self) -> TimeZone {
        self.questions.clock().zone
    }

    /// How late figures are shown.
    pub(super) fn delay(&self) -> Duration {
        self.rules.as_ref().map_or(Duration::ZERO, |rules| rules.delay)
    }

    /// What the agent says of itself; no one else is told.
    pub(super) fn status(&self) -> StatusAnswer {
        self.questions.view().status()
    }

    pub(super) fn has_history(&self) -> bool {
        self.questions.history().is_some()
    }

    fn groups(&self) -> Arc<Groups> {
        self.questions.view().context().groups
    }

    fn when(&self, length: Duration) -> When {
        self.rules.as_ref().map_or(When::Last(length), |rules| rules.when(self.questions.end(), length))
    }

    fn published(&self, top: TopAnswer) -> TopAnswer {
        match &self.rules {
            None => top,
            Some(rules) => rules.top(top, &self.title(), &self.groups()),
        }
    }

    /// The whole ranking over a span.
    pub(super) fn top(&self, by: By, span: Span) -> Result<Arc<TopAnswer>, QueryError> {
        let mut kept = self.rankings.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|kept| kept.made.elapsed() < self.keep);
        if let Some(kept) = kept.iter().find(|kept| kept.by == by && kept.span == span) {
            return Ok(Arc::clone(&kept.top));
        }
        drop(kept);
        let top = Arc::new(self.published(self.ranking(by, span, Vec::new())?));
        if !self.keep.is_zero() {
            let kept = Kept { by, span, made: Instant::now(), top: Arc::clone(&top) };
            self.rankings.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
        }
        Ok(top)
    }

    /// The first rows of a ranking; the others are in `other`.
    pub(super) fn first_rows(&self, top: &TopAnswer, n: usize) -> TopAnswer {
        let mut top = top.clone();
        for part in [&mut top.directions.inward, &mut top.directions.outward].into_iter().flatten() {
            for row in part.rows.drain(n.min(part.rows.len())..) {
                put_into(&mut part.other, &row);
            }
            if let Some(rules) = &self.rules {
                part.other = rules.part(part.other);
            }
        }
        top
    }

    /// The ranking of ASes on one link.
    pub(super) fn top_of_link(&self, link: &str, by: By, span: Span) -> Result<TopAnswer, QueryError> {
        Ok(self.published(self.ranking(by, span, vec![link.to_owned()])?))
    }

    fn ranking(&self, by: By, span: Span, links: Vec<String>) -> Result<TopAnswer, QueryError> {
        let when = self.when(span.length());
        self.questions.top(&TopQuery { by, when, links, compare: true, n: RANKED, ..TopQuery::default() })
    }

    /// All traffic of the last five minutes that may be shown.
    pub(super) fn now(&self) -> Result<TopAnswer, QueryError> {
        let query = TopQuery { by: By::Link, when: self.when(NOW), n: 1, ..TopQuery::default() };
        Ok(self.published(self.questions.top(&query)?))
    }

    /// The course of a subject; of all traffic or a link's in layers, at least `n` of them where there are so many.
    pub(super) fn series(
        &self,
        about: &About,
        by: By,
        span: Span,
        n: usize,
    ) -> Result<SeriesAnswer, QueryError> {
        let (about, links) = match about {
            About::Link(link) => (About::All, vec![link.clone()]),
            about => (about.clone(), Vec::new()),
        };
        let by = (about == About::All).then_some(by);
        let when = self.when(span.length());
        let hidden = self.rules.as_ref().map_or(0, |rules| rules.hide_ases.len() + rules.hide_groups.len());
        let n = (n + SPARE_LAYERS + hidden).min(MAX_LAYERS);
        let query =
            SeriesQuery { about: about.clone(), by, n, when, links: links.clone(), ..SeriesQuery::default() };
        let mut series = self.questions.series(&query)?;
        let Some(rules) = &self.rules else { return Ok(series) };
        let top = match (by, links.first()) {
            (None, _) => None,
            (Some(by), None) => Some(self.top(by, span)?),
            (Some(by), Some(link)) => Some(Arc::new(self.top_of_link(link, by, span)?)),
        };
        if let Some(Standing([inward, outward])) = self.standing(&about, span)? {
            // A direction that is too small is not drawn.
            series.total.inward = series.total.inward.filter(|_| inward.is_some());
            series.total.outward = series.total.outward.filter(|_| outward.is_some());
        }
        Ok(rules.series(series, &self.title(), top.as_deref()))
    }

    /// The first layers of a series; the others are in `other`.
    pub(super) fn first_layers(&self, series: &SeriesAnswer, n: usize) -> SeriesAnswer {
        let mut series = series.clone();
        layers::first(&mut series, n);
        if let Some(rules) = &self.rules {
            for layer in &mut series.layers {
                layer.directions = rules.courses(layer.directions.clone());
            }
        }
        series
    }

    /// The figures of a subject, or of all.
    pub(super) fn past(&self, about: &About, span: Span) -> Result<PastAnswer, QueryError> {
        let query = PastQuery { when: self.when(span.length()), compare: true, ..PastQuery::default() };
        let past = self.questions.past(about, &query)?;
        match &self.rules {
            None => Ok(past),
            Some(rules) => Ok(rules.past(past, &self.title(), self.standing(about, span)?)),
        }
    }

    /// How a subject stands among what is published; `None` for what is not ranked: all traffic, and links.
    fn standing(&self, about: &About, span: Span) -> Result<Option<Standing>, QueryError> {
        let (by, name) = match about {
            About::All | About::Link(_) => return Ok(None),
            // Ranked among what is not published.
            About::Neighbor(asn) => (By::Neighbor, Name { asn: Some(*asn), ..Name::default() }),
            About::As(asn) => (By::As, Name { asn: Some(*asn), ..Name::default() }),
            About::Group(key) => (By::Group, Name { group: Some(key.clone()), ..Name::default() }),
            About::Kind(kind) => (By::Kind, Name { kind: Some(kind.clone()), ..Name::default() }),
        };
        Ok(Some(Standing::of(&*self.top(by, span)?, |row| is_row(row, by, &name))))
    }

    /// The subject of this name, as it is written; `None` if there is none, or none that is published in this span.
    pub(super) fn find(&self, about: &About, span: Span) -> Result<Option<About>, QueryError> {
        let groups = self.groups();
        let found = match about {
            About::All => Some(About::All),
            About::As(asn) => Some(About::As(*asn)),
            About::Neighbor(asn) => (!self.is_public()).then_some(About::Neighbor(*asn)),
            About::Group(key) => groups.find(key).map(|group| About::Group(group.key.clone())),
            About::Kind(kind) => {
                let group = groups.all().iter().find(|group| group.kind.eq_ignore_ascii_case(kind));
                group.map(|group| About::Kind(group.kind.clone()))
            }
            About::Link(name) => Some(About::Link(name.clone())),
        };
        let (Some(about), Some(rules)) = (&found, &self.rules) else { return Ok(found) };
        let by = match about {
            About::All => return Ok(found),
            About::Neighbor(_) => return Ok(None),
            About::As(_) => By::As,
            About::Group(_) | About::Kind(_) => By::Group,
            About::Link(name) => {
                let known = !rules.hides_link(name) && self.links(span)?.contains(name);
                return Ok(found.filter(|_| known));
            }
        };
        if !self.choices.by.contains(&by) {
            return Ok(None);
        }
        let published = self.standing(about, span)?.is_some_and(Standing::is_published);
        Ok(found.filter(|_| published))
    }

    /// The ranking of neighbours, for the operator, where any are known.
    pub(super) fn neighbors(&self, span: Span) -> Result<Option<Arc<TopAnswer>>, QueryError> {
        if self.is_public() {
            return Ok(None);
        }
        let top = match self.top(By::Neighbor, span) {
            Err(QueryError::NoPaths | QueryError::SideNotCounted { .. }) => return Ok(None),
            top => top?,
        };
        let any = top.directions.iter().any(|(_, part)| !part.rows.is_empty());
        Ok(any.then_some(top))
    }

    /// The names of links that may be shown.
    fn links(&self, span: Span) -> Result<Vec<String>, QueryError> {
        let top = self.top(By::Link, span)?;
        let mut names: Vec<String> = top
            .directions
            .iter()
            .flat_map(|(_, part)| &part.rows)
            .filter_map(|row| row.link.clone())
            .collect();
        names.dedup();
        Ok(names)
    }

    /// The group of an AS, if it may be shown.
    pub(super) fn group_of(&self, asn: Asn) -> Option<Group> {
        let groups = self.groups();
        let group = groups.all().get(groups.of(asn)?)?;
        (self.choices.by.contains(&By::Group) && !self.hides_group(&group.key)).then(|| group.clone())
    }

    /// A group by its key.
    pub(super) fn group(&self, key: &str) -> Option<Group> {
        self.groups().find(key).cloned()
    }

    fn hides_group(&self, key: &str) -> bool {
        self.rules.as_ref().is_some_and(|rules| rules.hides_group(key, &self.groups()))
    }

    /// The ASes of a group, of the published ranking.
    pub(super) fn members(&self, key: &str, span: Span) -> Result<Option<TopAnswer>, QueryError> {
        let Some(group) = self.group(key).filter(|_| self.choices.by.contains(&By::As)) else {
            return Ok(None);
        };
        let is = |row: &Row| row.asn.is_some_and(|asn| group.asns.contains(&asn));
        Ok(Some(picked(&*self.top(By::As, span)?, is)))
    }

    /// The groups of a kind, of the published ranking.
    pub(super) fn groups_of_kind(&self, kind: &str, span: Span) -> Result<TopAnswer, QueryError> {
        let groups = self.groups();
        let is = |row: &Row| {
            let group = row.group.as_deref().and_then(|key| groups.find(key));
            group.is_some_and(|group| group.kind == kind)
        };
        Ok(picked(&*self.top(By::Group, span)?, is))
    }

    /// What is found under a name or number, the largest first: ASes and groups.
    pub(super) fn search(&self, query: &str, span: Span) -> Result<Vec<(About, String)>, QueryError> {
        const MOST: usize = 50;
        let wanted = query.to_lowercase();
        let number = wanted.strip_prefix("as").unwrap_or(&wanted).trim().parse::<Asn>().ok();
        let mut found: Vec<(About, String)> = Vec::new();
        if wanted.is_empty() {
            return Ok(found);
        }
        for by in [By::Group, By::As].into_iter().filter(|by| self.choices.by.contains(by)) {
            let top = self.top(by, span)?;
            for row in top.directions.iter().flat_map(|(_, part)| &part.rows) {
                let about = match by {
                    By::Group => row.group.clone().map(About::Group),
                    _ => row.asn.map(About::As),
                };
                let name = row.name.clone().unwrap_or_default();
                let matches = name.to_lowercase().contains(&wanted)
                    || row.group.as_ref().is_some_and(|group| group.contains(&wanted))
                    || row.asn.is_some() && row.asn == number;
                if let Some(about) = about.filter(|_| matches)
                    && found.iter().all(|(known, _)| *known != about)
                    && found.len() < MOST
                {
                    found.push((about, name));
                }
            }
        }
        // The operator may ask for what has no traffic, too.
        if !self.is_public() && found.is_empty() {
            match self.questions.view().find_as(query) {
                Ok(asn) => found.push((About::As(asn), self.name(asn).unwrap_or_default())),
                Err(QueryError::Ambiguous { candidates, .. }) => {
                    let asns = candidates
                        .iter()
                        .filter_map(|text| text.strip_prefix("AS")?.split(' ').next()?.parse::<Asn>().ok());
                    found.extend(asns.map(|asn| (About::As(asn), self.name(asn).unwrap_or_default())));
                }
                Err(_) => {}
            }
        }
        Ok(found)
    }

    /// What an AS is called.
    pub(super) fn name(&self, asn: Asn) -> Option<String> {
        self.questions.view().context().names.get(asn).map(str::to_owned)
    }
}

/// The rows of a ranking that are meant.
fn picked(top: &TopAnswer, is: impl Fn(&Row) -> bool) -> TopAnswer {
    let mut top = top.clone();
    for part in [&mut top.directions.inward, &mut top.directions.outward].into_iter().flatten() {
        part.rows.retain(&is);
    }
    top
}
