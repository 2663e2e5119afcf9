//! `--web-config`: TLS, passwords and headers of a listener, in the format of Prometheus' exporter-toolkit
//! (<https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md>), so that one file serves all
//! exporters of a machine. What of the format is not done here is refused, never passed over.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use saphyr::{LoadableYamlNode as _, MarkedYaml, Scalar, YamlData};

use super::{
    ValueError,
    file::{FileError, Problem, nearest},
};

/// A hash that costs more (2^15 rounds, two seconds of a CPU) would be a way to keep the router busy.
const COST_MAX: u32 = 15;

const KEYS: &[&str] = &["tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"];
const TLS_KEYS: &[&str] = &[
    "cert",
    "cert_file",
    "key",
    "key_file",
    "client_auth_type",
    "client_ca",
    "client_ca_file",
    "client_allowed_sans",
    "min_version",
    "max_version",
    "cipher_suites",
    "prefer_server_cipher_suites",
    "curve_preferences",
];
const HTTP_KEYS: &[&str] = &["http2", "headers"];
/// Those that the format knows.
const HEADERS: &[&str] = &[
    "Content-Security-Policy",
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
];

/// What a listener has besides its address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebConfig {
    /// Without it, HTTP is plain.
    pub tls: Option<TlsSettings>,
    /// Users and the bcrypt hashes of their passwords; where there are some, each request needs one.
    pub users: BTreeMap<String, PasswordHash>,
    /// Headers of every answer: name and value.
    pub headers: Vec<(String, String)>,
}

impl WebConfig {
    /// Whether it keeps anybody out, or at least from reading along.
    #[must_use]
    pub fn protects(&self) -> bool {
        self.tls.is_some() || !self.users.is_empty()
    }
}

/// `tls_server_config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// The certificate, and those between it and the root.
    pub cert: Pem,
    /// Its key.
    pub key: Pem,
    /// Whether clients have certificates.
    pub client_auth: ClientAuth,
    /// Who signs clients' certificates.
    pub client_ca: Option<Pem>,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// The newest.
    pub max_version: TlsVersion,
}

/// PEM, in a file or as it is.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// In a file, which is read again when it changes.
    File(PathBuf),
    /// In the configuration.
    Text(String),
}

impl Pem {
    /// The file, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Text(_) => None,
        }
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Text(_) => f.write_str("Text"),
        }
    }
}

/// A bcrypt hash that can be checked in a reasonable time.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// The hash, as bcrypt writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

/// `client_auth_type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// Clients need no certificate.
    #[default]
    None,
    /// One that is shown must be good.
    IfGiven,
    /// Nobody comes in without.
    Required,
}

/// `min_version`, `max_version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// 1.2
    Tls12,
    /// 1.3
    Tls13,
}

/// What can be wrong in such a file only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebProblem {
    /// The format has it, we do not.
    #[error("`{key}` is not taken: {why}")]
    NotTaken {
        /// The key, or the key and its value.
        key: String,
        /// Why, or what to do.
        why: &'static str,
    },
    /// Two keys that say the same.
    #[error("`{0}` and `{0}_file` are both there: one of them is enough")]
    Twice(&'static str),
    /// A password that is not hashed, mostly.
    #[error(
        "the password of `{user}` is {what}: expected a bcrypt hash, as `htpasswd -nBC 10 {user}` prints it"
    )]
    Hash {
        /// Whose.
        user: String,
        /// What it is instead.
        what: &'static str,
    },
    /// Client certificates without somebody who signs them, or the other way round.
    #[error("{0}")]
    Clients(&'static str),
    /// A range without a version in it.
    #[error("`min_version` is newer than `max_version`")]
    Versions,
}

/// Reads such a file.
///
/// # Errors
/// [`FileError`], with file and line.
pub fn read(path: &Path) -> Result<WebConfig, FileError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    parse(path, &text)
}

/// Reads such a file's text. Relative paths in it start from the file's directory.
///
/// # Errors
/// [`FileError::At`].
pub fn parse(path: &Path, text: &str) -> Result<WebConfig, FileError> {
    let at = |line, problem| FileError::At { path: path.to_owned(), line, problem };
    let documents = MarkedYaml::load_from_str(text)
        .map_err(|error| at(error.marker().line(), Problem::Syntax(error.info().to_owned())))?;
    let root = match documents.as_slice() {
        [] => return Ok(WebConfig::default()),
        [root] => root,
        [_, second, ..] => {
            return Err(at(line(second), Problem::Syntax("a second document; expected one".to_owned())));
        }
    };
    let reader = Reader { path };
    let Some(section) = reader.section(root, "the file", KEYS, "")? else { return Ok(WebConfig::default()) };
    section.not_taken("rate_limit", "connections are limited anyhow (docs/http.md)")?;
    let tls = match section.get("tls_server_config") {
        Some(node) => reader
            .section(node, "tls_server_config", TLS_KEYS, " in tls_server_config")?
            .map(|tls| tls.tls_settings(line(node)))
            .transpose()?,
        None => None,
    };
    let headers = match section.get("http_server_config") {
        Some(node) => reader.headers(node)?,
        None => Vec::new(),
    };
    let users = match section.get("basic_auth_users") {
        Some(node) => reader.users(node)?,
        None => BTreeMap::new(),
    };
    Ok(WebConfig { tls, users, headers })
}

fn line(node: &MarkedYaml<'_>) -> usize {
    node.span.start.line()
}

fn type_of(node: &MarkedYaml<'_>) -> &'static str {
    match &node.data {
        YamlData::Value(Scalar::Null) => "nothing",
        YamlData::Value(Scalar::Boolean(_)) => "a boolean",
        YamlData::Value(Scalar::Integer(_)) => "a number",
        YamlData::Value(Scalar::FloatingPoint(_)) => "a number with a fraction",
        YamlData::Value(Scalar::String(_)) => "a string",
        YamlData::Sequence(_) => "a list",
        YamlData::Mapping(_) => "a mapping",
        _ => "a value with a tag",
    }
}

fn text<'a>(node: &'a MarkedYaml<'_>) -> Option<&'a str> {
    match &node.data {
        YamlData::Value(Scalar::String(text)) => Some(text),
        _ => None,
    }
}

struct Reader<'a> {
    path: &'a Path,
}

/// A mapping, all of whose keys are known.
struct Section<'a, 'y> {
    reader: &'a Reader<'a>,
    entries: Vec<Entry<'a, 'y>>,
}

/// A key as text, the key, its value.
type Entry<'a, 'y> = (&'a str, &'a MarkedYaml<'y>, &'a MarkedYaml<'y>);

impl<'a> Reader<'a> {
    fn error(&self, line: usize, problem: impl Into<Problem>) -> FileError {
        FileError::At { path: self.path.to_owned(), line, problem: problem.into() }
    }

    fn wrong_type(&self, node: &MarkedYaml<'_>, key: &'static str, expected: &'static str) -> FileError {
        self.error(line(node), Problem::Type { key, found: type_of(node), expected })
    }

    /// Keys and values of a mapping; none where there is nothing.
    fn entries<'y>(
        &self,
        node: &'a MarkedYaml<'y>,
        key: &'static str,
    ) -> Result<Option<Vec<Entry<'a, 'y>>>, FileError> {
        match &node.data {
            YamlData::Value(Scalar::Null) => Ok(None),
            YamlData::Mapping(mapping) => mapping
                .iter()
                .map(|(name, value)| {
                    let text = text(name).ok_or_else(|| self.wrong_type(name, key, "keys that are strings"));
                    Ok((text?, name, value))
                })
                .collect::<Result<_, _>>()
                .map(Some),
            _ => Err(self.wrong_type(node, key, "a mapping")),
        }
    }

    fn section<'y>(
        &'a self,
        node: &'a MarkedYaml<'y>,
        key: &'static str,
        keys: &'static [&'static str],
        section: &'static str,
    ) -> Result<Option<Section<'a, 'y>>, FileError> {
        let Some(entries) = self.entries(node, key)? else { return Ok(None) };
        match entries.iter().find(|(key, ..)| !keys.contains(key)) {
            None => Ok(Some(Section { reader: self, entries })),
            Some((key, at, _)) => {
                let nearest = nearest(key, keys);
                Err(self.error(line(at), Problem::UnknownKey { key: (*key).to_owned(), section, nearest }))
            }
        }
    }

    fn users(&self, node: &'a MarkedYaml<'_>) -> Result<BTreeMap<String, PasswordHash>, FileError> {
        let mut users = BTreeMap::new();
        for (user, at, value) in self.entries(node, "basic_auth_users")?.unwrap_or_default() {
            let wrong =
                |node, what| Err(self.error(line(node), WebProblem::Hash { user: user.to_owned(), what }));
            if user.is_empty() || user.contains([':', '\0']) {
                let problem = ValueError::new(user, "a name that is not empty, without a colon");
                return Err(self.error(line(at), Problem::Value { key: "basic_auth_users", problem }));
            }
            let Some(hash) = text(value) else { return wrong(value, type_of(value)) };
            match hash.parse::<bcrypt::HashParts>() {
                Err(_) => return wrong(value, "no bcrypt hash"),
                Ok(parts) if parts.get_cost() > COST_MAX => {
                    return wrong(value, "hashed at a cost of more than 15, too slow to check");
                }
                Ok(_) => {
                    users.insert(user.to_owned(), PasswordHash(hash.to_owned()));
                }
            }
        }
        Ok(users)
    }

    fn headers(&self, node: &'a MarkedYaml<'_>) -> Result<Vec<(String, String)>, FileError> {
        let Some(http) = self.section(node, "http_server_config", HTTP_KEYS, " in http_server_config")?
        else {
            return Ok(Vec::new());
        };
        if let Some(http2) = http.get("http2")
            && !matches!(http2.data, YamlData::Value(Scalar::Boolean(_) | Scalar::Null))
        {
            return Err(self.wrong_type(http2, "http2", "true or false"));
        }
        let Some(node) = http.get("headers") else { return Ok(Vec::new()) };
        let Some(headers) = self.section(node, "headers", HEADERS, " in headers")? else {
            return Ok(Vec::new());
        };
        let mut all = Vec::new();
        for (name, _, node) in headers.entries {
            let value =
                text(node).ok_or_else(|| self.wrong_type(node, "headers", "a string for each header"))?;
            if value.is_empty() || !value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
                let problem = ValueError::new(value, "visible ASCII characters and spaces");
                return Err(self.error(line(node), Problem::Value { key: "headers", problem }));
            }
            all.push((name.to_owned(), value.to_owned()));
        }
        Ok(all)
    }
}

impl<'a, 'y> Section<'a, 'y> {
    fn get(&self, key: &str) -> Option<&'a MarkedYaml<'y>> {
        self.entries.iter().find(|(name, ..)| *name == key).map(|(_, _, node)| *node)
    }

    fn error(&self, key: &str, problem: impl Into<Problem>) -> FileError {
        self.reader.error(self.get(key).map_or(1, line), problem)
    }

    fn not_taken(&self, key: &'static str, why: &'static str) -> Result<(), FileError> {
        match self.get(key) {
            None => Ok(()),
            Some(_) => Err(self.error(key, WebProblem::NotTaken { key: key.to_owned(), why })),
        }
    }

    fn string(&self, key: &'static str) -> Result<Option<&'a str>, FileError> {
        let Some(node) = self.get(key) else { return Ok(None) };
        if matches!(node.data, YamlData::Value(Scalar::Null)) {
            return Ok(None);
        }
        let text = text(node).ok_or_else(|| self.reader.wrong_type(node, key, "a string"))?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    fn pem(&self, key: &'static str, file_key: &'static str) -> Result<Option<Pem>, FileError> {
        match (self.string(key)?, self.string(file_key)?) {
            (Some(_), Some(_)) => Err(self.error(file_key, WebProblem::Twice(key))),
            (Some(text), None) => Ok(Some(Pem::Text(text.to_owned()))),
            (None, Some(file)) => Ok(Some(Pem::File(match self.reader.path.parent() {
                Some(directory) => directory.join(file),
                None => PathBuf::from(file),
            }))),
            (None, None) => Ok(None),
        }
    }

    fn version(&self, key: &'static str) -> Result<Option<TlsVersion>, FileError> {
        const EXPECTED: &str = "TLS12 or TLS13";
        match self.string(key)? {
            None => Ok(None),
            Some("TLS12") => Ok(Some(TlsVersion::Tls12)),
            Some("TLS13") => Ok(Some(TlsVersion::Tls13)),
            Some(old @ ("TLS10" | "TLS11")) => {
                let why = "so old a TLS is not spoken; TLS12 and TLS13 are";
                Err(self.error(key, WebProblem::NotTaken { key: format!("{key}: {old}"), why }))
            }
            Some(text) => {
                Err(self.error(key, Problem::Value { key, problem: ValueError::new(text, EXPECTED) }))
            }
        }
    }

    fn client_auth(&self) -> Result<ClientAuth, FileError> {
        const KEY: &str = "client_auth_type";
        const EXPECTED: &str = "NoClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert";
        match self.string(KEY)? {
            None | Some("NoClientCert") => Ok(ClientAuth::None),
            Some("VerifyClientCertIfGiven") => Ok(ClientAuth::IfGiven),
            Some("RequireAndVerifyClientCert") => Ok(ClientAuth::Required),
            Some(kind @ ("RequestClientCert" | "RequireAnyClientCert")) => {
                let why = "a certificate that is not verified shows nothing; take VerifyClientCertIfGiven or \
                           RequireAndVerifyClientCert";
                Err(self.error(KEY, WebProblem::NotTaken { key: format!("{KEY}: {kind}"), why }))
            }
            Some(text) => {
                let problem = ValueError::new(text, EXPECTED);
                Err(self.error(KEY, Problem::Value { key: KEY, problem }))
            }
        }
    }

    fn tls_settings(&self, at: usize) -> Result<TlsSettings, FileError> {
        let ours = "the ones of TLS 1.2 and 1.3 that are held to be safe are used, the client's first choice of them";
        for key in ["cipher_suites", "prefer_server_cipher_suites", "curve_preferences"] {
            self.not_taken(key, ours)?;
        }
        self.not_taken("client_allowed_sans", "whoever has a certificate of client_ca_file is let in")?;
        let missing = |key| self.reader.error(at, Problem::MissingKey { section: "tls_server_config", key });
        let cert = self.pem("cert", "cert_file")?.ok_or_else(|| missing("cert_file"))?;
        let key = self.pem("key", "key_file")?.ok_or_else(|| missing("key_file"))?;
        let client_auth = self.client_auth()?;
        let client_ca = self.pem("client_ca", "client_ca_file")?;
        let clients = match (client_auth, &client_ca) {
            (ClientAuth::None, Some(_)) => Some(
                "there is a CA of clients, and no client is asked: client_auth_type is to be \
                 RequireAndVerifyClientCert or VerifyClientCertIfGiven",
            ),
            (ClientAuth::IfGiven | ClientAuth::Required, None) => Some(
                "clients' certificates are to be verified, and nobody signs them: client_ca_file is missing",
            ),
            _ => None,
        };
        if let Some(clients) = clients {
            return Err(self.reader.error(at, WebProblem::Clients(clients)));
        }
        let min_version = self.version("min_version")?.unwrap_or(TlsVersion::Tls12);
        let max_version = self.version("max_version")?.unwrap_or(TlsVersion::Tls13);
        if min_version > max_version {
            return Err(self.error("min_version", WebProblem::Versions));
        }
        Ok(TlsSettings { cert, key, client_auth, client_ca, min_version, max_version })
    }
}

#[cfg(test)]
#[path = "web_tests.rs"]
mod tests;
