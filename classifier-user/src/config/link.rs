//! Links as people write them: `eth0`, `eth0=NAME`, `eth0.100`, `eth0:vlan=100=NAME`.

use std::collections::{HashMap, HashSet};

use classifier_common::abi::{MAX_LINKS, MAX_TRUNKS};

use crate::model::{Link, LinkKind, Role};

/// The kernel's limit on an interface name, without its NUL (`IFNAMSIZ`, linux/if.h).
const INTERFACE_NAME_MAX: usize = 15;
/// More than this is no name but a mistake.
const LINK_NAME_MAX: usize = 64;

/// A link as it was asked for, not yet held against the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSpec {
    /// The interface.
    pub interface: String,
    /// The outer VLAN, where only that is the link.
    pub vlan: Option<u16>,
    /// The name; by default the interface, with `.VLAN` behind it where there is one.
    pub name: Option<String>,
    /// Which way it faces.
    pub role: Role,
    /// What it is commercially.
    pub kind: Option<LinkKind>,
    /// Where it was asked for, for messages: `-i eth0`, `classifier.toml:7`.
    pub place: String,
}

/// What is wrong with a link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// No link at all.
    #[error(
        "no link to account: give at least one upstream interface with -i IF (or a [[link]] in the configuration)"
    )]
    None,
    /// More than one object serves.
    #[error("{given} links are more than the {max} that one agent serves")]
    TooMany {
        /// How many were given.
        given: usize,
        /// How many can be.
        max: u32,
    },
    /// More interfaces with VLAN links than there are VLAN tables.
    #[error("{given} interfaces with VLAN links are more than the {max} that one agent serves")]
    TooManyTrunks {
        /// How many were given.
        given: usize,
        /// How many can be.
        max: u32,
    },
    /// Not the form of a link.
    #[error(
        "`{given}` is no link: expected IF, IF=NAME or IF:vlan=ID[=NAME], such as eth0, eth0=transit-a or eth0:vlan=100=ix"
    )]
    Form {
        /// What was given.
        given: String,
    },
    /// Not an interface's name.
    #[error("`{given}` is no interface name: expected 1 to 15 bytes without `/`, `:` or white space")]
    Interface {
        /// What was given.
        given: String,
    },
    /// Not a VLAN.
    #[error("`{given}` is no VLAN: expected a number from 1 to 4094")]
    Vlan {
        /// What was given.
        given: String,
    },
    /// Not a link's name.
    #[error("`{given}` is no name for a link: expected 1 to 64 bytes without commas or control characters")]
    Name {
        /// What was given.
        given: String,
    },
    /// One edge, twice.
    #[error("{what} is given twice: {first} and {second}")]
    Duplicate {
        /// `eth0`, `VLAN 100 of eth0`.
        what: String,
        /// Where first.
        first: String,
        /// Where again.
        second: String,
    },
    /// One edge facing both ways.
    #[error("{what} cannot be both {first_role} ({first}) and {second_role} ({second})")]
    Conflict {
        /// `eth0`, `VLAN 100 of eth0`.
        what: String,
        /// Where first.
        first: String,
        /// As what.
        first_role: Role,
        /// Where again.
        second: String,
        /// As what.
        second_role: Role,
    },
    /// Two edges, one name.
    #[error("two links are called `{name}`: {first} and {second}; name one with IF=NAME")]
    SameName {
        /// The name.
        name: String,
        /// Where first.
        first: String,
        /// Where again.
        second: String,
    },
}

impl LinkSpec {
    /// Reads the form of the command line.
    ///
    /// # Errors
    /// [`LinkError`] that says what was expected.
    pub fn parse(text: &str, role: Role) -> Result<Self, LinkError> {
        let form = || LinkError::Form { given: text.to_owned() };
        let flag = match role {
            Role::Upstream => "-i",
            Role::Downstream => "-d",
        };
        let (interface, vlan, name) = match text.find([':', '=']) {
            None => (text, None, None),
            Some(at) => {
                let (interface, rest) = text.split_at(at);
                if let Some(name) = rest.strip_prefix('=') {
                    (interface, None, Some(name))
                } else {
                    let rest = rest.strip_prefix(":vlan=").ok_or_else(form)?;
                    match rest.split_once('=') {
                        Some((vlan, name)) => (interface, Some(vlan), Some(name)),
                        None => (interface, Some(rest), None),
                    }
                }
            }
        };
        check_interface(interface)?;
        let vlan = vlan.map(|vlan| check_vlan(vlan.parse().ok(), vlan)).transpose()?;
        name.map(check_name).transpose()?;
        Ok(Self {
            interface: interface.to_owned(),
            vlan,
            name: name.map(str::to_owned),
            role,
            kind: None,
            place: format!("{flag} {text}"),
        })
    }

    fn edge(&self) -> String {
        match self.vlan {
            Some(vlan) => format!("VLAN {vlan} of {}", self.interface),
            None => self.interface.clone(),
        }
    }
}

pub(crate) fn check_interface(name: &str) -> Result<(), LinkError> {
    // dev_valid_name() in net/core/dev.c.
    let valid = (1..=INTERFACE_NAME_MAX).contains(&name.len())
        && name != "."
        && name != ".."
        && !name.chars().any(|c| c == '/' || c == ':' || c.is_whitespace() || c.is_control());
    if valid { Ok(()) } else { Err(LinkError::Interface { given: name.to_owned() }) }
}

pub(crate) fn check_vlan(id: Option<i64>, given: &str) -> Result<u16, LinkError> {
    id.and_then(|id| u16::try_from(id).ok())
        .filter(|id| (1..=4094).contains(id))
        .ok_or_else(|| LinkError::Vlan { given: given.to_owned() })
}

pub(crate) fn check_name(name: &str) -> Result<(), LinkError> {
    let valid = (1..=LINK_NAME_MAX).contains(&name.len())
        && name.trim() == name
        && !name.chars().any(|c| c == ',' || c.is_control());
    if valid { Ok(()) } else { Err(LinkError::Name { given: name.to_owned() }) }
}

/// Holds links against each other and gives them their names; their order is their number.
///
/// # Errors
/// None at all, too many, and what is given twice.
pub fn lower(specs: Vec<LinkSpec>) -> Result<Vec<Link>, LinkError> {
    if specs.is_empty() {
        return Err(LinkError::None);
    }
    if specs.len() > MAX_LINKS as usize {
        return Err(LinkError::TooMany { given: specs.len(), max: MAX_LINKS });
    }
    let trunks: HashSet<&str> =
        specs.iter().filter(|spec| spec.vlan.is_some()).map(|spec| spec.interface.as_str()).collect();
    if trunks.len() > MAX_TRUNKS as usize {
        return Err(LinkError::TooManyTrunks { given: trunks.len(), max: MAX_TRUNKS });
    }
    let mut edges: HashMap<(&str, Option<u16>), &LinkSpec> = HashMap::new();
    let mut names: HashMap<String, &LinkSpec> = HashMap::new();
    let mut links = Vec::with_capacity(specs.len());
    for spec in &specs {
        if let Some(first) = edges.insert((&spec.interface, spec.vlan), spec) {
            let (what, first_place, second) = (spec.edge(), first.place.clone(), spec.place.clone());
            return Err(if first.role == spec.role {
                LinkError::Duplicate { what, first: first_place, second }
            } else {
                LinkError::Conflict {
                    what,
                    first: first_place,
                    first_role: first.role,
                    second,
                    second_role: spec.role,
                }
            });
        }
        let name = spec.name.clone().unwrap_or_else(|| match spec.vlan {
            Some(vlan) => format!("{}.{vlan}", spec.interface),
            None => spec.interface.clone(),
        });
        if let Some(first) = names.insert(name.clone(), spec) {
            return Err(LinkError::SameName { name, first: first.place.clone(), second: spec.place.clone() });
        }
        links.push(Link {
            name,
            interface: spec.interface.clone(),
            vlan: spec.vlan,
            role: spec.role,
            kind: spec.kind,
        });
    }
    Ok(links)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up(text: &str) -> LinkSpec {
        LinkSpec::parse(text, Role::Upstream).unwrap()
    }

    #[test]
    fn forms() {
        for (text, interface, vlan, name) in [
            ("eth0", "eth0", None, None),
            ("eth0=transit-a", "eth0", None, Some("transit-a")),
            ("eth0=a:b=c", "eth0", None, Some("a:b=c")),
            ("eth0.100", "eth0.100", None, None),
            ("eth0.100=ix", "eth0.100", None, Some("ix")),
            ("eth0:vlan=100", "eth0", Some(100), None),
            ("enp1s0f1:vlan=4094=PNI Netflix", "enp1s0f1", Some(4094), Some("PNI Netflix")),
        ] {
            let spec = up(text);
            assert_eq!(
                (spec.interface.as_str(), spec.vlan, spec.name.as_deref()),
                (interface, vlan, name),
                "{text}"
            );
            assert_eq!(spec.place, format!("-i {text}"));
        }
    }

    #[test]
    fn what_is_no_link() {
        use LinkError as E;
        let given = |text: &str| text.to_owned();
        for (text, error) in [
            ("", E::Interface { given: given("") }),
            ("=a", E::Interface { given: given("") }),
            ("eth0/1", E::Interface { given: given("eth0/1") }),
            ("a-name-of-sixteen", E::Interface { given: given("a-name-of-sixteen") }),
            ("eth0:1", E::Form { given: given("eth0:1") }),
            ("eth0:vlan", E::Form { given: given("eth0:vlan") }),
            ("eth0:vlan=", E::Vlan { given: given("") }),
            ("eth0:vlan=0", E::Vlan { given: given("0") }),
            ("eth0:vlan=4095", E::Vlan { given: given("4095") }),
            ("eth0:vlan=ix", E::Vlan { given: given("ix") }),
            ("eth0=", E::Name { given: given("") }),
            ("eth0=a,b", E::Name { given: given("a,b") }),
            ("eth0:vlan=5=", E::Name { given: given("") }),
        ] {
            assert_eq!(LinkSpec::parse(text, Role::Upstream), Err(error), "{text}");
        }
    }

    #[test]
    fn names_default_to_the_edge() {
        let links = lower(vec![up("eth0"), up("eth0:vlan=100"), up("eth1=a")]).unwrap();
        let names: Vec<_> = links.iter().map(|link| link.name.as_str()).collect();
        assert_eq!(names, ["eth0", "eth0.100", "a"]);
    }

    #[test]
    fn an_edge_is_one_link() {
        let down = LinkSpec::parse("eth0", Role::Downstream).unwrap();
        assert_eq!(
            lower(vec![up("eth0=a"), up("eth0=b")]).unwrap_err().to_string(),
            "eth0 is given twice: -i eth0=a and -i eth0=b"
        );
        assert_eq!(
            lower(vec![up("eth0"), down]).unwrap_err().to_string(),
            "eth0 cannot be both upstream (-i eth0) and downstream (-d eth0)"
        );
        assert_eq!(
            lower(vec![up("eth0:vlan=7"), up("eth0:vlan=7=x")]).unwrap_err().to_string(),
            "VLAN 7 of eth0 is given twice: -i eth0:vlan=7 and -i eth0:vlan=7=x"
        );
        assert_eq!(
            lower(vec![up("eth0=x"), up("eth1=x")]).unwrap_err().to_string(),
            "two links are called `x`: -i eth0=x and -i eth1=x; name one with IF=NAME"
        );
        // The VLAN device and the tag on its trunk are the same frames.
        assert!(matches!(lower(vec![up("eth0.7"), up("eth0:vlan=7")]), Err(LinkError::SameName { .. })));
    }

    #[test]
    fn limits() {
        assert_eq!(lower(vec![]), Err(LinkError::None));
        let many = |count: usize| (0..count).map(|n| up(&format!("e{n}"))).collect::<Vec<_>>();
        assert_eq!(lower(many(64)).unwrap().len(), 64);
        assert_eq!(lower(many(65)), Err(LinkError::TooMany { given: 65, max: 64 }));
        let trunks = (0..33).map(|n| up(&format!("e{n}:vlan=2"))).collect();
        assert_eq!(lower(trunks), Err(LinkError::TooManyTrunks { given: 33, max: 32 }));
    }
}
