//! Asking the agent over HTTP: as much of its answers as the demo needs.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::{Deserialize, de::DeserializeOwned};

use super::generator::Count;

/// Every AS is in one answer.
const ANSWER_MAX: u64 = 256 << 20;

/// `/api/v1/top`.
#[derive(Debug, Deserialize)]
pub(crate) struct Top {
    pub(crate) directions: Both<TopDirection>,
}

/// A value a direction.
#[derive(Debug, Deserialize)]
pub(crate) struct Both<T> {
    #[serde(rename = "in")]
    pub(crate) inward: T,
    #[serde(rename = "out")]
    pub(crate) outward: T,
}

/// A direction of `top`.
#[derive(Debug, Deserialize)]
pub(crate) struct TopDirection {
    pub(crate) total: Rated,
    pub(crate) rows: Vec<Row>,
    pub(crate) other: Count,
    pub(crate) unmatched: Count,
    pub(crate) non_ip: Count,
}

/// Packets, bytes and the rate.
#[derive(Debug, Deserialize)]
pub(crate) struct Rated {
    #[serde(flatten)]
    pub(crate) count: Count,
    pub(crate) bits_per_second: f64,
}

/// An AS of `top`.
#[derive(Debug, Deserialize)]
pub(crate) struct Row {
    pub(crate) asn: u32,
    pub(crate) name: Option<String>,
    pub(crate) share: Option<f64>,
    #[serde(flatten)]
    pub(crate) rated: Rated,
}

/// `/api/v1/as/N`.
#[derive(Debug, Deserialize)]
struct As {
    directions: Both<AsDirection>,
}

/// A direction of `as`.
#[derive(Debug, Deserialize)]
struct AsDirection {
    since_start: Count,
}

/// `/api/v1/links`: everything since the agent's start.
#[derive(Debug, Deserialize)]
struct Links {
    /// When that was.
    from: String,
}

/// `/api/v1/status`.
#[derive(Debug, Deserialize)]
pub(crate) struct Status {
    pub(crate) links: Vec<LinkStatus>,
    pub(crate) table: TableStatus,
    pub(crate) closure_ok: bool,
}

/// The table of `status`.
#[derive(Debug, Deserialize)]
pub(crate) struct TableStatus {
    ipv4_prefixes: u64,
    ipv6_prefixes: u64,
}

impl TableStatus {
    /// Of both families.
    pub(crate) fn prefixes(&self) -> u64 {
        self.ipv4_prefixes + self.ipv6_prefixes
    }
}

impl Status {
    /// What the links counted together, in and out: they face the Internet, so what they receive comes in.
    pub(crate) fn counted(&self) -> [Outcomes; 2] {
        let mut sums = [Outcomes::default(); 2];
        for link in &self.links {
            for (sum, hook) in sums.iter_mut().zip([&link.rx, &link.tx]) {
                if let Some(hook) = hook {
                    *sum += hook.outcomes;
                }
            }
        }
        sums
    }
}

/// A link of `status`.
#[derive(Debug, Deserialize)]
pub(crate) struct LinkStatus {
    pub(crate) rx: Option<HookStatus>,
    pub(crate) tx: Option<HookStatus>,
}

/// A hook of a link.
#[derive(Debug, Deserialize)]
pub(crate) struct HookStatus {
    pub(crate) outcomes: Outcomes,
}

/// What became of frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Outcomes {
    pub(crate) ipv4: Count,
    pub(crate) ipv6: Count,
    pub(crate) non_ip: Count,
    pub(crate) malformed: Count,
    pub(crate) unsupported: Count,
}

impl std::ops::AddAssign for Outcomes {
    fn add_assign(&mut self, other: Self) {
        self.ipv4 += other.ipv4;
        self.ipv6 += other.ipv6;
        self.non_ip += other.non_ip;
        self.malformed += other.malformed;
        self.unsupported += other.unsupported;
    }
}

impl Outcomes {
    /// Those that no frame of the demo should have.
    pub(crate) fn unexpected(&self) -> Count {
        self.non_ip + self.malformed + self.unsupported
    }
}

#[derive(Deserialize)]
struct Refusal {
    error: Message,
}

#[derive(Deserialize)]
struct Message {
    message: String,
}

/// The agent, by its address.
pub(crate) struct Client {
    agent: ureq::Agent,
    url: String,
}

impl Client {
    pub(crate) fn new(url: String) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(60)))
            .http_status_as_error(false)
            .proxy(None)
            .build();
        Self { agent: config.new_agent(), url }
    }

    /// Whether it answers that all is well.
    pub(crate) fn is_healthy(&self) -> bool {
        let answer = self.agent.get(format!("{}/healthz", self.url)).call();
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// When the agent started.
    pub(crate) fn started(&self) -> Result<String> {
        Ok(self.get::<Links>("links")?.from)
    }

    /// The ASes with most bytes of a period, such as `last=10s`, both directions.
    pub(crate) fn top(&self, rows: usize, period: &str) -> Result<Top> {
        self.get(&format!("top?by=as&side=remote&n={rows}&{period}"))
    }

    /// What an AS had since the agent's start.
    pub(crate) fn since_start(&self, asn: u32) -> Result<Both<Count>> {
        let answer: As = self.get(&format!("as/{asn}?side=remote&n=1&last=10s"))?;
        let Both { inward, outward } = answer.directions;
        Ok(Both { inward: inward.since_start, outward: outward.since_start })
    }

    /// The agent itself.
    pub(crate) fn status(&self) -> Result<Status> {
        self.get("status")
    }

    /// Anything else of the API.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let url = format!("{}/api/v1/{path}", self.url);
        let mut answer = self.agent.get(&url).call().map_err(|error| anyhow!("{url}: {error}"))?;
        let status = answer.status();
        let body = answer.body_mut().with_config().limit(ANSWER_MAX).read_to_vec();
        let body = body.with_context(|| format!("{url}: the answer was cut"))?;
        if !status.is_success() {
            let said = serde_json::from_slice::<Refusal>(&body).map(|refusal| refusal.error.message);
            bail!("{url}: {status}: {}", said.unwrap_or_default());
        }
        serde_json::from_slice(&body)
            .with_context(|| format!("{url}: not the answer that docs/api.md describes"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Count, Status, Top};

    #[test]
    fn answers_of_the_contract() {
        let direction = r#"{"total":{"packets":3,"bytes":300,"bits_per_second":2400},
            "rows":[{"rank":1,"asn":2906,"name":"Netflix","packets":2,"bytes":200,"bits_per_second":1600,"share":0.66},
                    {"rank":2,"asn":64500,"name":null,"packets":1,"bytes":100,"bits_per_second":800,"share":0.33}],
            "other":{"packets":0,"bytes":0,"bits_per_second":0},
            "unmatched":{"packets":0,"bytes":0,"bits_per_second":0},"non_ip":{"packets":0,"bytes":0,"bits_per_second":0}}"#;
        let top = format!(
            r#"{{"router":"r","from":"2026-01-01T00:00:00Z","to":"2026-01-01T00:01:00Z","by":"as","side":"remote",
            "directions":{{"in":{direction},"out":{direction}}}}}"#
        );
        let top: Top = serde_json::from_str(&top).unwrap();
        assert_eq!(top.directions.inward.total.count, Count { packets: 3, bytes: 300 });
        assert_eq!(top.directions.outward.rows[0].rated.count.bytes, 200);
        assert_eq!(top.directions.outward.rows[1].asn, 64500);

        let outcomes = r#"{"mode":"native","outcomes":{"ipv4":{"packets":1,"bytes":60},"ipv6":{"packets":0,"bytes":0},
            "non_ip":{"packets":1,"bytes":42},"malformed":{"packets":0,"bytes":0},"unsupported":{"packets":0,"bytes":0}}}"#;
        let status = format!(
            r#"{{"router":"r","links":[{{"name":"l","rx":{outcomes},"tx":null}}],
            "table":{{"sources":[],"ipv4_prefixes":6,"ipv6_prefixes":1}},"closure_ok":true}}"#
        );
        let status: Status = serde_json::from_str(&status).unwrap();
        let rx = status.links[0].rx.as_ref().unwrap();
        assert_eq!(rx.outcomes.unexpected(), Count { packets: 1, bytes: 42 });
        assert!(status.links[0].tx.is_none() && status.closure_ok);
        assert_eq!(status.table.prefixes(), 7);
    }
}
