//! Every dependency's licence against the list in deny.toml: the check that needs no tool and no data from outside.

use std::{collections::BTreeSet, fs};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::process;

#[derive(Deserialize)]
struct Rules {
    graph: Graph,
    licenses: Licences,
}

#[derive(Deserialize)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Deserialize)]
struct Licences {
    allow: Vec<String>,
}

/// Fails where a dependency's licence is not allowed, and names it.
pub(crate) fn check() -> Result<()> {
    let rules = fs::read_to_string(process::root().join("deny.toml")).context("deny.toml")?;
    let rules: Rules = toml::from_str(&rules).context("deny.toml")?;
    // What is built, for tests too: the lock file also has what no feature here asks for.
    let mut command = process::cargo(["tree", "--locked", "--workspace", "--prefix=none", "--no-dedupe"]);
    command.arg("--format={p}\t{l}");
    for target in &rules.graph.targets {
        command.args(["--target", target]);
    }
    let tree = process::read(&mut command).context("cargo tree")?;
    let tree = String::from_utf8(tree).context("cargo tree")?;
    let packages: BTreeSet<(&str, &str)> = tree.lines().filter_map(|line| line.split_once('\t')).collect();
    let refused: Vec<_> = packages
        .iter()
        .filter(|(_, licence)| !is_allowed(licence, &rules.licenses.allow))
        .map(|(package, licence)| {
            format!("  {package}: {}", if licence.is_empty() { "none stated" } else { licence })
        })
        .collect();
    if !refused.is_empty() {
        bail!("these licences are not in deny.toml's list:\n{}", refused.join("\n"));
    }
    eprintln!("{} packages, all of licences that deny.toml allows", packages.len());
    Ok(())
}

/// Whether an SPDX expression can be met with the allowed licences. `/` is what `OR` was written as before SPDX.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    any(&mut words, allowed) == Some(true) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

/// Alternatives; `AND` binds tighter than `OR` (SPDX 2.3, annex D). `None` where it is no expression.
fn any(words: &mut Words<'_>, allowed: &[String]) -> Option<bool> {
    let mut met = all(words, allowed)?;
    while words.next_if_eq(&"OR").is_some() {
        met |= all(words, allowed)?;
    }
    Some(met)
}

fn all(words: &mut Words<'_>, allowed: &[String]) -> Option<bool> {
    let mut met = one(words, allowed)?;
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, allowed)?;
    }
    Some(met)
}

fn one(words: &mut Words<'_>, allowed: &[String]) -> Option<bool> {
    let word = words.next()?;
    if word == "(" {
        let met = any(words, allowed);
        return words.next_if_eq(&")").and(met);
    }
    let name = match words.next_if_eq(&"WITH") {
        Some(_) => format!("{word} WITH {}", words.next()?),
        None => word.to_owned(),
    };
    Some(allowed.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    #[test]
    fn expressions() {
        let allowed =
            ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "Unicode-3.0"].map(String::from);
        for (expression, expected) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("MIT OR GPL-3.0", true),
            ("GPL-3.0 OR MIT", true),
            ("MIT AND GPL-3.0", false),
            ("GPL-3.0/Apache-2.0", true),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("(MIT OR Apache-2.0) AND GPL-3.0", false),
            ("GPL-3.0 AND MIT OR MIT", true),
            ("GPL-3.0 AND (MIT OR MIT)", false),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("MIT WITH LLVM-exception", false),
            ("", false),
            ("MIT OR", false),
            ("(MIT", false),
            ("MIT)", false),
        ] {
            assert_eq!(is_allowed(expression, &allowed), expected, "{expression:?}");
        }
    }
}
