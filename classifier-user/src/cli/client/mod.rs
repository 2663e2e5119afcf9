//! Asking the agent over HTTP or HTTPS ([`url`]: where it is and who asks; `tls`: whom to believe).

use std::{io::Write, time::Duration};

use serde::Deserialize;

mod tls;
pub(super) mod url;

use self::url::{AgentText, AgentUrl, AgentUrlError};
use super::{
    CliError,
    args::{AgentArgs, AgentTlsArgs},
};

/// Longer than any answer takes, history included.
const TIMEOUT: Duration = Duration::from_secs(30);
/// More than any answer: an agent does not send as much.
const ANSWER_MAX: u64 = 256 << 20;

/// The agent did not answer, or not as wanted.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Not an agent's address.
    #[error("--agent: {0}")]
    Url(#[from] AgentUrlError),
    /// Certificates that cannot be used.
    #[error("{option} {place}: {why}")]
    Tls {
        /// The option that names them.
        option: &'static str,
        /// Where they were looked for.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// A password is wanted.
    #[error(
        "the agent at {url} {}: give --agent with a user, as in https://USER@HOST:PORT, and the password in \
         CLASSIFIER_AGENT_PASSWORD",
        if *.given { "does not take this user and password" } else { "wants a user and a password" }
    )]
    Unauthorized {
        /// Who was asked.
        url: String,
        /// Whether there were a user and a password.
        given: bool,
    },
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
    /// # Errors
    /// What is wrong with the arguments: nobody is asked yet.
    pub(super) fn new(args: &AgentArgs) -> Result<Self, AgentError> {
        Self::with(&args.agent, &args.tls)
    }

    /// The same, of its parts.
    pub(super) fn with(url: &AgentText, tls: &AgentTlsArgs) -> Result<Self, AgentError> {
        let base: AgentUrl = url.0.parse()?;
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // An ambiguous name is answered with 300: it is the answer, and leads nowhere.
            .max_redirects(0)
            .timeout_global(Some(TIMEOUT))
            .proxy(None)
            .user_agent(concat!("classifier/", env!("CARGO_PKG_VERSION")));
        let config = if base.is_https() { config.tls_config(tls::config(tls)?) } else { config };
        Ok(Self { base, http: config.build().into() })
    }

    /// Whom it asks, without the password.
    pub(super) fn url(&self) -> String {
        self.base.to_string()
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
        let mut request = self.http.get(&url);
        let authorization = self.base.authorization();
        if let Some(authorization) = &authorization {
            request = request.header("authorization", authorization);
        }
        let mut response = request.call().map_err(not_reachable)?;
        let status = response.status();
        if status == 401 {
            return Err(AgentError::Unauthorized { url: self.url(), given: authorization.is_some() });
        }
        let body =
            response.body_mut().with_config().limit(ANSWER_MAX).read_to_string().map_err(not_reachable)?;
        if status.is_success() {
            return Ok(Answer { url, body });
        }
        Err(match serde_json::from_str::<ErrorAnswer>(&body) {
            Ok(ErrorAnswer { error: ErrorBody { code, message } }) => {
                AgentError::Refused { bad_arguments: code == "bad_parameter", code, message }
            }
            Err(_) => AgentError::NotAnAgent { url, what: format!("status {status}{}", said(&body)) },
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

/// What somebody says who does not speak JSON, if it is short.
fn said(body: &str) -> String {
    let line = body.trim();
    let short = !line.is_empty() && line.len() <= 80 && !line.contains(|c: char| c.is_control() || c == '<');
    if short { format!(", `{line}`") } else { String::new() }
}

fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Rustls(error) => format!("{error}{}", tls::hint(error)),
        ureq::Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(tls) => format!("{tls}{}", tls::hint(tls)),
            None if error.kind() == std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
            None => error.to_string(),
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
    fn encoding() {
        let mut text = String::new();
        encode("2a00:86c0::/32 é-._~", &mut text);
        assert_eq!(text, "2a00%3A86c0%3A%3A%2F32%20%C3%A9-._~");
    }
}
