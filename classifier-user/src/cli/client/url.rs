//! Where an agent is, and who asks it.

use std::{convert::Infallible, fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Where the password may be instead of in the URL, where others see it.
pub(super) const PASSWORD: &str = "CLASSIFIER_AGENT_PASSWORD";

/// An agent's URL as it was given: it may have a password in it, and so is not shown where it is wrong.
#[derive(Clone)]
pub(in crate::cli) struct AgentText(pub(super) String);

impl FromStr for AgentText {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for AgentText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgentText")
    }
}

/// Where an agent is. Shown without user and password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct AgentUrl {
    base: String,
    user: Option<User>,
}

#[derive(Clone, PartialEq, Eq)]
struct User {
    name: String,
    password: Option<String>,
}

/// Not an agent's address. It is not shown: it may have a password in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected http://HOST:PORT or https://[USER[:PASSWORD]@]HOST:PORT, such as http://127.0.0.1:9469")]
pub struct AgentUrlError;

impl FromStr for AgentUrl {
    type Err = AgentUrlError;

    fn from_str(text: &str) -> Result<Self, AgentUrlError> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
            Some(_) => return Err(AgentUrlError),
            None => ("http", text),
        };
        let rest = rest.trim_end_matches('/');
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(User::read(user)?), host),
            None => (None, authority),
        };
        let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '@');
        if host.is_empty() || host.starts_with(':') || host.ends_with(':') || host.contains(bad) {
            return Err(AgentUrlError);
        }
        if path.starts_with("//") || path.contains(bad) {
            return Err(AgentUrlError);
        }
        Ok(Self { base: format!("{scheme}://{host}{path}"), user })
    }
}

impl User {
    fn read(text: &str) -> Result<Self, AgentUrlError> {
        let (name, password) = match text.split_once(':') {
            Some((name, password)) => (name, Some(decode(password)?)),
            None => (text, None),
        };
        let name = decode(name)?;
        if name.is_empty() || name.contains(':') { Err(AgentUrlError) } else { Ok(Self { name, password }) }
    }
}

impl AgentUrl {
    pub(super) fn is_https(&self) -> bool {
        self.base.starts_with("https://")
    }

    /// The header that says who asks, if anybody does.
    pub(super) fn authorization(&self) -> Option<String> {
        let user = self.user.as_ref()?;
        let password = user.password.clone().or_else(|| std::env::var(PASSWORD).ok()).unwrap_or_default();
        Some(format!("Basic {}", STANDARD.encode(format!("{}:{password}", user.name))))
    }
}

impl fmt::Display for AgentUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

impl fmt::Debug for AgentUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentUrl({})", self.base)
    }
}

/// Percent-decodes (RFC 3986, section 2.1).
fn decode(text: &str) -> Result<String, AgentUrlError> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let value = digit().zip(digit()).map(|(high, low)| high * 16 + low);
                value.and_then(|value| u8::try_from(value).ok()).ok_or(AgentUrlError)?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| AgentUrlError)
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
            ("https://router.example.net:9469", "https://router.example.net:9469"),
            ("http://host/behind/a/proxy", "http://host/behind/a/proxy"),
        ] {
            let parsed: AgentUrl = text.parse().unwrap();
            assert_eq!((parsed.to_string().as_str(), parsed.authorization()), (url, None));
            assert_eq!(parsed.is_https(), text.starts_with("https"));
        }
        for text in [
            "",
            "http://",
            "ftp://a",
            "a b",
            "http://a?x",
            ":9469",
            "http:///a",
            "https://@a",
            "https://:x@a",
            "https://u@",
            "https://u%4@a",
            "https://u%zz@a",
            "https://u:%ff@a",
            "https://u%3ap:x@a",
            "http://http://a",
        ] {
            assert_eq!(text.parse::<AgentUrl>(), Err(AgentUrlError), "{text}");
        }
    }

    #[test]
    fn who_asks_is_sent_and_not_shown() {
        for (text, user) in [
            ("https://alice:geheim@host:1", "alice:geheim"),
            ("alice:a:b%40c%2Fd%C3%A9@host:1/", "alice:a:b@c/d\u{e9}"),
            ("https://al%20ice:p@ss@host:1", "al ice:p@ss"),
        ] {
            let url: AgentUrl = text.parse().unwrap();
            assert_eq!(url.authorization().unwrap(), format!("Basic {}", STANDARD.encode(user)));
            for shown in [url.to_string(), format!("{url:?}"), format!("{:?}", AgentText(text.to_owned()))] {
                assert!(!shown.contains("al") && !shown.contains("geheim"), "{shown}");
            }
        }
    }
}
