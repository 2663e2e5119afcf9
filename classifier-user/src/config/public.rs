//! `[public]`: what is shown to everybody, on a listener of its own.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crate::{model::Asn, questions::words::Lang, totals::By};

/// A smaller share than this is in `other`, unless told otherwise.
pub const DEFAULT_MIN_SHARE: f64 = 0.001;
/// Significant digits, unless told otherwise.
pub const DEFAULT_ROUND: u8 = 3;
/// How long an answer is kept, unless told otherwise.
pub const DEFAULT_CACHE: Duration = Duration::from_secs(30);

/// A period that a page can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PagePeriod {
    /// The last hour.
    Hour,
    /// The last 24 hours.
    Day,
    /// The last 7 days.
    Week,
    /// The last 30 days.
    Month,
    /// The last 365 days.
    Year,
}

impl PagePeriod {
    /// All of them, the shortest first.
    pub const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];
    /// What a person is told to write.
    pub const EXPECTED: &str = "some of 1h, 24h, 7d, 30d and 1y";

    /// The name in URLs and in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
            Self::Year => "1y",
        }
    }

    /// How long it is.
    #[must_use]
    pub const fn length(self) -> Duration {
        const HOUR: u64 = 3600;
        Duration::from_secs(match self {
            Self::Hour => HOUR,
            Self::Day => 24 * HOUR,
            Self::Week => 7 * 24 * HOUR,
            Self::Month => 30 * 24 * HOUR,
            Self::Year => 365 * 24 * HOUR,
        })
    }
}

/// What is published of answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// What has a smaller share of its direction (0 to 1) is in `other`.
    pub min_share: f64,
    /// What has fewer bytes in the period is in `other`.
    pub min_bytes: u64,
    /// Nothing newer is shown.
    pub delay: Duration,
    /// Significant digits of what is shown; `None`: all.
    pub round: Option<u8>,
    /// ASes that are nowhere but in sums; so are the groups that one of them is in.
    pub hide_ases: Vec<Asn>,
    /// Keys of groups that are nowhere but in sums; so are their ASes.
    pub hide_groups: Vec<String>,
    /// Names of links that are nowhere but in sums.
    pub hide_links: Vec<String>,
}

/// What the file and the flags say of the public's pages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PublicSettings {
    /// [`PublicPlan::listen`]; without it nothing is public.
    pub listen: Option<SocketAddr>,
    /// [`PublicPlan::web_config`].
    pub web_config: Option<PathBuf>,
    /// [`PublicPlan::title`].
    pub title: Option<String>,
    /// [`PublicPlan::contact`].
    pub contact: Option<String>,
    /// [`PublicPlan::lang`].
    pub lang: Option<Lang>,
    /// [`PublicPlan::by`].
    pub by: Vec<By>,
    /// [`PublicPlan::periods`].
    pub periods: Vec<PagePeriod>,
    /// [`Rules::min_share`].
    pub min_share: Option<f64>,
    /// [`Rules::min_bytes`].
    pub min_bytes: Option<u64>,
    /// [`Rules::delay`].
    pub delay: Option<Duration>,
    /// [`Rules::round`]; 0: all digits.
    pub round: Option<u8>,
    /// [`Rules::hide_ases`].
    pub hide_ases: Vec<Asn>,
    /// [`Rules::hide_groups`].
    pub hide_groups: Vec<String>,
    /// [`Rules::hide_links`].
    pub hide_links: Vec<String>,
    /// [`PublicPlan::cache`].
    pub cache: Option<Duration>,
}

/// What is published where, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct PublicPlan {
    /// Where it is served.
    pub listen: SocketAddr,
    /// A file of TLS, passwords and headers ([`super::web`]) of that listener.
    pub web_config: Option<PathBuf>,
    /// What the site is called.
    pub title: String,
    /// An address for questions: of mail, or of a page.
    pub contact: Option<String>,
    /// The language of those whose browser wishes none of ours.
    pub lang: Lang,
    /// What is ranked: ASes, groups, or both. The first is what the graph shows. Never empty.
    pub by: Vec<By>,
    /// The periods that can be looked at. Never empty.
    pub periods: Vec<PagePeriod>,
    /// What of the answers is published.
    pub rules: Rules,
    /// How long an answer is kept, here and by those who ask.
    pub cache: Duration,
}

/// A link that is to be hidden does not exist: a slip of the pen would publish it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("[public] hides the link `{name}`, and there is no such link: there are {}", .links.join(", "))]
pub struct HiddenLinkError {
    name: String,
    links: Vec<String>,
}

impl PublicSettings {
    /// These settings, and `below` where they say nothing. A list replaces the other list as a whole.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        fn list<T>(this: Vec<T>, below: Vec<T>) -> Vec<T> {
            if this.is_empty() { below } else { this }
        }
        Self {
            listen: self.listen.or(below.listen),
            web_config: self.web_config.or(below.web_config),
            title: self.title.or(below.title),
            contact: self.contact.or(below.contact),
            lang: self.lang.or(below.lang),
            by: list(self.by, below.by),
            periods: list(self.periods, below.periods),
            min_share: self.min_share.or(below.min_share),
            min_bytes: self.min_bytes.or(below.min_bytes),
            delay: self.delay.or(below.delay),
            round: self.round.or(below.round),
            hide_ases: list(self.hide_ases, below.hide_ases),
            hide_groups: list(self.hide_groups, below.hide_groups),
            hide_links: list(self.hide_links, below.hide_links),
            cache: self.cache.or(below.cache),
        }
    }

    /// Fills in the defaults; `None` where nothing is to be public. `router` is the title of a site that has none.
    ///
    /// # Errors
    /// [`HiddenLinkError`].
    pub fn plan(self, router: &str, links: &[String]) -> Result<Option<PublicPlan>, HiddenLinkError> {
        let Some(listen) = self.listen else { return Ok(None) };
        if let Some(name) = self.hide_links.iter().find(|name| !links.contains(name)) {
            return Err(HiddenLinkError { name: name.clone(), links: links.to_vec() });
        }
        let list = |this: Vec<By>| if this.is_empty() { vec![By::As, By::Group] } else { this };
        let periods = if self.periods.is_empty() { PagePeriod::ALL.to_vec() } else { self.periods };
        Ok(Some(PublicPlan {
            listen,
            web_config: self.web_config,
            title: self.title.unwrap_or_else(|| router.to_owned()),
            contact: self.contact,
            lang: self.lang.unwrap_or_default(),
            by: list(self.by),
            // The shortest first, each once, whatever the order in which they are given.
            periods: PagePeriod::ALL.into_iter().filter(|period| periods.contains(period)).collect(),
            rules: Rules {
                min_share: self.min_share.unwrap_or(DEFAULT_MIN_SHARE),
                min_bytes: self.min_bytes.unwrap_or(0),
                delay: self.delay.unwrap_or_default(),
                round: Some(self.round.unwrap_or(DEFAULT_ROUND)).filter(|&digits| digits > 0),
                hide_ases: self.hide_ases,
                hide_groups: self.hide_groups,
                hide_links: self.hide_links,
            },
            cache: self.cache.unwrap_or(DEFAULT_CACHE),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_public_unless_told() {
        let settings = PublicSettings { title: Some("Example".into()), ..PublicSettings::default() };
        assert_eq!(settings.plan("r", &[]), Ok(None));
    }

    #[test]
    fn defaults() {
        let listen = "[::]:80".parse().unwrap();
        let flags = PublicSettings { listen: Some(listen), ..PublicSettings::default() };
        let file = PublicSettings {
            periods: vec![PagePeriod::Week, PagePeriod::Day, PagePeriod::Week],
            round: Some(0),
            hide_links: vec!["ix".into()],
            ..PublicSettings::default()
        };
        let plan = flags.over(file).plan("border1", &["ix".into()]).unwrap().unwrap();
        assert_eq!(
            plan,
            PublicPlan {
                listen,
                web_config: None,
                title: "border1".into(),
                contact: None,
                lang: Lang::En,
                by: vec![By::As, By::Group],
                periods: vec![PagePeriod::Day, PagePeriod::Week],
                rules: Rules { min_share: 0.001, hide_links: vec!["ix".into()], ..Rules::default() },
                cache: Duration::from_secs(30),
            }
        );
    }

    #[test]
    fn a_hidden_link_must_be_one() {
        let settings = PublicSettings {
            listen: Some("[::]:80".parse().unwrap()),
            hide_links: vec!["transit_a".into()],
            ..PublicSettings::default()
        };
        assert_eq!(
            settings.plan("r", &["transit-a".into(), "ix".into()]).unwrap_err().to_string(),
            "[public] hides the link `transit_a`, and there is no such link: there are transit-a, ix"
        );
    }
}
