//! Asking the agent over HTTP.

use std::{fmt, io::Write, str::FromStr, time::Duration};

use serde::Deserialize;

use super::CliError;

/// Longer than any answer takes, history included.
const TIMEOUT: Duration = Duration::from_secs(30);
/// More than any answer: an agent does not send as much.
const ANSWER_MAX: u64 = 256 << 20;

/// Where an agent is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AgentUrl(String);

/// Not an agent's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AgentUrlError {
    /// No TLS here.
    #[error("the agent speaks plain HTTP only: expected http://HOST:PORT")]
    Https,
    /// Anything else.
    #[error("expected http://HOST:PORT, such as http://127.0.0.1:9469")]
    Form,
}

impl FromStr for AgentUrl {
    type Err = AgentUrlError;

    fn from_str(text: &str) -> Result<Self, AgentUrlError> {
        if text.starts_with("https://") {
            return Err(AgentUrlError::Https);
        }
        let rest = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '@');
        if rest.is_empty() || rest.starts_with([':', '/']) || rest.contains("://") || rest.contains(bad) {
            return Err(AgentUrlError::Form);
        }
        Ok(Self(format!("http://{rest}")))
    }
}

impl fmt::Display for AgentUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The agent did not answer, or not as wanted.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Nobody there.
    #[error(
        "no agent answers at {url} ({reason}).\nIs `classifier run` running there? Another agent is asked with --agent URL or CLASSIFIER_AGENT."
    )]
    NotReachable {
        /// Who was asked.
        url: String,
        /// Why not.
        reason: String,
    },
    /// The agent says no, in its own words.
    #[error("{message}")]
    Refused {
        /// Its code.
        code: String,
        /// Its words.
        message: String,
        /// Whether they are about what was asked, not about what there is.
        bad_arguments: bool,
    },
    /// Something answers that is no agent, or not of this version.
    #[error("what answers at {url} is no classifier agent, or one of another version: {what}")]
    NotAnAgent {
        /// Who was asked, and what.
        url: String,
        /// What came.
        what: String,
    },
}

#[derive(Deserialize)]
struct ErrorAnswer {
    error: ErrorBody,
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    code: String,
    message: String,
}

/// Asks one agent.
#[derive(Debug)]
pub(super) struct Client {
    base: AgentUrl,
    http: ureq::Agent,
}

/// An answer: the text as it came, and where from.
#[derive(Debug)]
pub(super) struct Answer {
    /// What was asked.
    pub(super) url: String,
    /// JSON, as it came.
    pub(super) body: String,
}

impl Client {
    pub(super) fn new(base: &AgentUrl) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // An ambiguous name is answered with 300: it is the answer, and leads nowhere.
            .max_redirects(0)
            .timeout_global(Some(TIMEOUT))
            .proxy(None)
            .user_agent(concat!("classifier/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { base: base.clone(), http: config.into() }
    }

    /// GETs `/api/v1/` and the segments of `path`, which are encoded here.
    pub(super) fn get(&self, path: &[&str], query: &[(&'static str, String)]) -> Result<Answer, AgentError> {
        let mut url = format!("{}/api/v1", self.base);
        for segment in path {
            url.push('/');
            encode(segment, &mut url);
        }
        for (index, (key, value)) in query.iter().enumerate() {
            url.push(if index == 0 { '?' } else { '&' });
            url.push_str(key);
            url.push('=');
            encode(value, &mut url);
        }
        let not_reachable = |error: ureq::Error| AgentError::NotReachable {
            url: self.base.to_string(),
            reason: reason(&error),
        };
        let mut response = self.http.get(&url).call().map_err(not_reachable)?;
        let status = response.status();
        let body =
            response.body_mut().with_config().limit(ANSWER_MAX).read_to_string().map_err(not_reachable)?;
        if status.is_success() {
            return Ok(Answer { url, body });
        }
        Err(match serde_json::from_str::<ErrorAnswer>(&body) {
            Ok(ErrorAnswer { error: ErrorBody { code, message } }) => {
                AgentError::Refused { bad_arguments: code == "bad_parameter", code, message }
            }
            Err(_) => AgentError::NotAnAgent { url, what: format!("status {status}") },
        })
    }
}

impl Answer {
    /// Prints the answer unchanged, and ends the line.
    pub(super) fn pass_through(&self, out: &mut dyn Write) -> Result<(), CliError> {
        out.write_all(self.body.as_bytes())?;
        if !self.body.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Reads the answer.
    pub(super) fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, AgentError> {
        serde_json::from_str(&self.body)
            .map_err(|error| AgentError::NotAnAgent { url: self.url.clone(), what: error.to_string() })
    }
}

fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => match error.kind() {
            std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
            _ => error.to_string(),
        },
        ureq::Error::HostNotFound => "no such host".to_owned(),
        ureq::Error::Timeout(_) => format!("no answer in {} s", TIMEOUT.as_secs()),
        error => error.to_string(),
    }
}

/// Percent-encodes all but the unreserved characters (RFC 3986, section 2.3).
fn encode(text: &str, into: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            into.push(char::from(byte));
        } else {
            into.push('%');
            into.push(char::from(HEX[usize::from(byte >> 4)]));
            into.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agent_urls() {
        for (text, url) in [
            ("http://127.0.0.1:9469", "http://127.0.0.1:9469"),
            ("http://127.0.0.1:9469/", "http://127.0.0.1:9469"),
            ("[::1]:9469", "http://[::1]:9469"),
            ("router.example.net:9469", "http://router.example.net:9469"),
            ("http://host/behind/a/proxy", "http://host/behind/a/proxy"),
        ] {
            assert_eq!(text.parse::<AgentUrl>().unwrap().to_string(), url);
        }
        assert_eq!("https://a:1".parse::<AgentUrl>(), Err(AgentUrlError::Https));
        for text in ["", "http://", "ftp://a", "a b", "http://a?x", ":9469", "http:///a"] {
            assert_eq!(text.parse::<AgentUrl>(), Err(AgentUrlError::Form), "{text}");
        }
    }

    #[test]
    fn encoding() {
        let mut text = String::new();
        encode("2a00:86c0::/32 é-._~", &mut text);
        assert_eq!(text, "2a00%3A86c0%3A%3A%2F32%20%C3%A9-._~");
    }
}
