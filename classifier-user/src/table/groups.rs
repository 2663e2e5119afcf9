//! Groups: named sets of ASes that people see as one thing.
//!
//! They come from `data/groups.toml` in the binary, and from a file of the user's in the same form:
//!
//! ```toml
//! [[group]]
//! key = "netflix"         # on the command line: lower case letters, digits, `-`, `_`
//! name = "Netflix"        # for people
//! kind = "content"        # what sort of network, a word of one's choice
//! asns = [2906, 40027]
//! ```

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::model::Asn;

/// `data/groups.toml`.
static BUILTIN: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../data/groups.toml"));
/// What the built-in file is called in messages.
const BUILTIN_NAME: &str = "built-in groups.toml";
/// The keys of a group.
const KEYS: [&str; 5] = ["key", "name", "kind", "asns", "match"];
/// Names less like what was asked for than this are no suggestions (Jaro-Winkler).
const LIKENESS: f64 = 0.75;

/// A named set of ASes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The key, lower case, as on the command line: `netflix`.
    pub key: String,
    /// What people read: `Netflix`.
    pub name: String,
    /// What sort of network: `content`, `cdn`, `cloud`, `telecom`, …
    pub kind: String,
    /// Its ASes.
    pub asns: Vec<Asn>,
}

/// Where something is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// What can be wrong with a file of groups.
#[derive(Debug, thiserror::Error)]
pub enum GroupsError {
    /// The file cannot be read.
    #[error("cannot read the groups {}: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML.
    #[error("{at}: {message}")]
    Syntax {
        /// Where.
        at: At,
        /// What the parser says.
        message: String,
    },
    /// A key that there is not.
    #[error("{at}: unknown key `{key}`{}", .nearest.map(|key| format!("; did you mean `{key}`?")).unwrap_or_default())]
    UnknownKey {
        /// Where.
        at: At,
        /// The key.
        key: String,
        /// The key most like it.
        nearest: Option<&'static str>,
    },
    /// A key that must be there.
    #[error("{at}: this group has no `{key}`")]
    MissingKey {
        /// Where the group begins.
        at: At,
        /// The key.
        key: &'static str,
    },
    /// A value of the wrong type or form.
    #[error("{at}: `{key}` must be {expected}")]
    Value {
        /// Where.
        at: At,
        /// The key.
        key: &'static str,
        /// What is expected.
        expected: &'static str,
    },
    /// Two groups of one file have the same key.
    #[error("{at}: there is a group `{key}` already, at {first}")]
    SameKey {
        /// Where the second one begins.
        at: At,
        /// Their key.
        key: String,
        /// Where the first one begins.
        first: At,
    },
    /// An AS is in two groups.
    #[error(
        "{at}: AS{asn} is in the group `{key}` here and in the group `{first_key}` at {first}; an AS can be in one \
         group only: take it out of one of them (a group of the same key in your file replaces a built-in one)"
    )]
    SameAs {
        /// Where it is for the second time.
        at: At,
        /// The AS.
        asn: Asn,
        /// The group there.
        key: String,
        /// Where it is for the first time.
        first: At,
        /// The group there.
        first_key: String,
    },
}

/// A group as it is written.
#[derive(Clone, Debug)]
struct Written {
    group: Group,
    /// What the names of its ASes must contain: held against the built-in table by a test.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by a test of the built-in file"))]
    matches: Vec<String>,
    at: At,
    /// The line of each AS.
    asn_lines: Vec<usize>,
}

/// All groups. An AS is in one group at most.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    groups: Vec<Group>,
    by_asn: HashMap<Asn, usize>,
    written: Vec<Written>,
}

impl Groups {
    /// Groups; of an AS that is in several, the first has it.
    #[must_use]
    pub fn new(groups: Vec<Group>) -> Self {
        let mut by_asn = HashMap::new();
        for (place, group) in groups.iter().enumerate() {
            for &asn in &group.asns {
                by_asn.entry(asn).or_insert(place);
            }
        }
        Self { groups, by_asn, written: Vec::new() }
    }

    /// All groups, in the order of their file.
    #[must_use]
    pub fn all(&self) -> &[Group] {
        &self.groups
    }

    /// The group of an AS: its place in [`Groups::all`].
    #[must_use]
    pub fn of(&self, asn: Asn) -> Option<usize> {
        self.by_asn.get(&asn).copied()
    }

    /// The group of this key or name, whatever its case.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Group> {
        self.groups
            .iter()
            .find(|group| group.key.eq_ignore_ascii_case(name) || group.name.eq_ignore_ascii_case(name))
    }

    /// The groups of the binary.
    ///
    /// # Errors
    /// The binary was built with a wrong file.
    pub fn builtin() -> Result<Self, GroupsError> {
        Self::default().with_text(Path::new(BUILTIN_NAME), BUILTIN)
    }

    /// These groups and those of a file. One with the key of a group that is here replaces it.
    ///
    /// # Errors
    /// The file cannot be read or is wrong, or an AS would be in two groups.
    pub fn with_file(self, file: &Path) -> Result<Self, GroupsError> {
        let text = std::fs::read_to_string(file)
            .map_err(|source| GroupsError::Read { file: file.into(), source })?;
        self.with_text(file, &text)
    }

    /// The built-in groups, and those of a file if one is named.
    ///
    /// # Errors
    /// [`GroupsError`].
    pub fn with(file: Option<&Path>) -> Result<Self, GroupsError> {
        match file {
            Some(file) => Self::builtin()?.with_file(file),
            None => Self::builtin(),
        }
    }

    /// These groups and those of a file with this text.
    ///
    /// # Errors
    /// The text is wrong, or an AS would be in two groups.
    pub fn with_text(mut self, file: &Path, text: &str) -> Result<Self, GroupsError> {
        let new = File { path: file, text }.read()?;
        self.written.retain(|old| new.iter().all(|new| new.group.key != old.group.key));
        self.written.extend(new);
        self.index()
    }

    /// The group most like a name, for "did you mean".
    #[must_use]
    pub fn nearest(&self, name: &str) -> Option<&Group> {
        let name = name.to_lowercase();
        let likeness = |group: &Group| {
            strsim::jaro_winkler(&group.key, &name)
                .max(strsim::jaro_winkler(&group.name.to_lowercase(), &name))
        };
        self.groups
            .iter()
            .map(|group| (likeness(group), group))
            .filter(|(likeness, _)| *likeness >= LIKENESS)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, group)| group)
    }

    fn index(self) -> Result<Self, GroupsError> {
        let mut by_asn: HashMap<Asn, usize> = HashMap::new();
        for (place, written) in self.written.iter().enumerate() {
            for (&asn, &line) in written.group.asns.iter().zip(&written.asn_lines) {
                match by_asn.entry(asn) {
                    Entry::Vacant(entry) => {
                        entry.insert(place);
                    }
                    Entry::Occupied(entry) => {
                        let Some(first) = self.written.get(*entry.get()) else { continue };
                        let known = first.group.asns.iter().position(|known| *known == asn);
                        let first_line = known.and_then(|place| first.asn_lines.get(place));
                        return Err(GroupsError::SameAs {
                            at: At { file: written.at.file.clone(), line },
                            asn,
                            key: written.group.key.clone(),
                            first: At {
                                file: first.at.file.clone(),
                                line: first_line.copied().unwrap_or(first.at.line),
                            },
                            first_key: first.group.key.clone(),
                        });
                    }
                }
            }
        }
        let groups = self.written.iter().map(|written| written.group.clone()).collect();
        Ok(Self { groups, by_asn, written: self.written })
    }
}

type Table<'a> = DeTable<'a>;
type Value<'a> = Spanned<DeValue<'a>>;

/// A file that is read.
struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File<'_> {
    fn at(&self, span: &Range<usize>) -> At {
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        At { file: self.path.into(), line: 1 + before.iter().filter(|&&byte| byte == b'\n').count() }
    }

    fn read(&self) -> Result<Vec<Written>, GroupsError> {
        let document = Table::parse(self.text).map_err(|error| GroupsError::Syntax {
            at: self.at(&error.span().unwrap_or_default()),
            message: error.message().into(),
        })?;
        let mut all: Vec<Written> = Vec::new();
        for (key, value) in document.get_ref() {
            if key.get_ref() != "group" {
                return Err(self.unknown(key, &["group"]));
            }
            let wrong = || self.wrong(value, "group", "an array of tables: `[[group]]`");
            for entry in value.get_ref().as_array().ok_or_else(wrong)?.iter() {
                let written = self.group(entry, entry.get_ref().as_table().ok_or_else(wrong)?)?;
                if let Some(first) = all.iter().find(|known| known.group.key == written.group.key) {
                    return Err(GroupsError::SameKey {
                        at: written.at,
                        key: written.group.key,
                        first: first.at.clone(),
                    });
                }
                all.push(written);
            }
        }
        Ok(all)
    }

    fn group(&self, entry: &Value<'_>, table: &Table<'_>) -> Result<Written, GroupsError> {
        for (key, _) in table {
            if !KEYS.contains(&key.get_ref().as_ref()) {
                return Err(self.unknown(key, &KEYS));
            }
        }
        let at = self.at(&entry.span());
        let value =
            |key: &'static str| table.get(key).ok_or_else(|| GroupsError::MissingKey { at: at.clone(), key });
        let text = |key: &'static str| {
            let value = value(key)?;
            let text = value.get_ref().as_str().filter(|text| !text.trim().is_empty());
            text.map(str::to_owned).ok_or_else(|| self.wrong(value, key, "a text that is not empty"))
        };
        let key = text("key")?;
        if !key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_')) {
            let expected = "of lower case letters, digits, `-` and `_`";
            return Err(self.wrong(value("key")?, "key", expected));
        }

        let list = value("asns")?;
        const ASNS: &str = "an array of AS numbers (1 to 4294967295)";
        let mut asns = Vec::new();
        let mut asn_lines = Vec::new();
        for entry in list.get_ref().as_array().ok_or_else(|| self.wrong(list, "asns", ASNS))?.iter() {
            let number = match entry.get_ref() {
                DeValue::Integer(number) => Asn::from_str_radix(number.as_str(), number.radix()).ok(),
                _ => None,
            };
            let asn = number.filter(|&asn| asn != 0).ok_or_else(|| self.wrong(entry, "asns", ASNS))?;
            if !asns.contains(&asn) {
                asns.push(asn);
                asn_lines.push(self.at(&entry.span()).line);
            }
        }
        if asns.is_empty() {
            return Err(self.wrong(list, "asns", ASNS));
        }

        let mut matches = Vec::new();
        if let Some(list) = table.get("match") {
            let wrong = || self.wrong(list, "match", "an array of texts");
            for entry in list.get_ref().as_array().ok_or_else(wrong)?.iter() {
                matches.push(entry.get_ref().as_str().ok_or_else(wrong)?.to_lowercase());
            }
        }
        let group = Group { key, name: text("name")?, kind: text("kind")?, asns };
        Ok(Written { group, matches, at, asn_lines })
    }

    fn wrong(&self, value: &Value<'_>, key: &'static str, expected: &'static str) -> GroupsError {
        GroupsError::Value { at: self.at(&value.span()), key, expected }
    }

    fn unknown(&self, key: &Spanned<std::borrow::Cow<'_, str>>, known: &[&'static str]) -> GroupsError {
        let text = key.get_ref().as_ref();
        let nearest = known
            .iter()
            .map(|known| (strsim::jaro_winkler(known, text), *known))
            .filter(|(likeness, _)| *likeness >= LIKENESS)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, known)| known);
        GroupsError::UnknownKey { at: self.at(&key.span()), key: text.into(), nearest }
    }
}

#[cfg(test)]
#[path = "groups_tests.rs"]
mod tests;
