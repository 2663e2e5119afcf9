//! `docs/operations.md` and `docs/alerts.yml` say what there is: every warning and error of the log is explained, nothing is
//! explained that nobody says, and alerts ask for metrics that are there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What of a message says nothing of it.
const SHORT: usize = 8;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect("a file")
}

/// The program's source, without that of tests; lines that go on are one.
fn sources(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        if name == "tests" || name.ends_with("_tests") || name == "testing" {
        } else if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("text");
            let mut whole = String::new();
            let mut parts = text.split("\\\n");
            whole.push_str(parts.next().expect("one"));
            parts.for_each(|part| whole.push_str(part.trim_start()));
            found.push((path, whole));
        }
    }
    found
}

/// The first string literal of each `warn!` and `error!`.
fn messages(source: &str) -> Vec<String> {
    let calls = ["warn!(", "error!("].into_iter().flat_map(|call| source.split(call).skip(1));
    calls.filter_map(|rest| Some(rest.split_once('"')?.1.split_once('"')?.0.to_owned())).collect()
}

/// What is not a placeholder between `open` and `close`.
fn fixed(text: &str, open: char, close: char) -> Vec<&str> {
    let mut pieces = Vec::new();
    for part in text.split(open) {
        pieces.push(part.split_once(close).map_or(part, |(_, rest)| rest));
    }
    pieces
        .into_iter()
        .map(|piece| piece.trim_matches([' ', ':', ',', ';']))
        .filter(|piece| piece.len() >= SHORT)
        .collect()
}

/// Messages that are all placeholders, and what they say then: each of it is explained.
const ELSEWHERE: &[(&str, &[&str])] = &[
    ("{name}: {what}", &["cannot connect to [address] port", "its connection cannot be used", "no session"]),
    ("history: {notice}", &["the store was damaged", "the store was of version"]),
    ("{taken}", &["the program on [receive] of [interface] was taken off"]),
    (
        "{new}",
        &[
            "it sees frames first, and what it accepts, drops or redirects itself is not counted",
            "frames are counted before it sees them, and what it drops or redirects is counted all the same",
            "interfaces were changed since they are counted, and frames count twice",
        ],
    ),
    ("{link}: {why}", &["[link]: [interface] has an XDP program already"]),
    ("{}: {notice}", &["bad lines, routes without origin, AS sets, ranges that overlap"]),
    ("{name}: {notice}", &["bad lines, routes without origin, AS sets, ranges that overlap"]),
    // A panic while it was read again.
    ("{}: {error}", &["the listener goes on as it was"]),
];

/// What the tables of log lines explain.
fn explained(page: &str) -> Vec<String> {
    let (_, section) = page.split_once("## Log lines").expect("the section");
    let rows = section
        .lines()
        .filter(|line| ["| error", "| warn", "| info"].iter().any(|level| line.starts_with(level)));
    rows.flat_map(|row| {
        let cell = row.split('|').nth(2).expect("a message").to_owned();
        cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
    })
    .collect()
}

#[test]
fn every_line_of_the_log_is_explained() {
    let page = read("docs/operations.md");
    let explained = explained(&page);
    assert!(explained.len() > 50, "{}", explained.len());
    let sources = sources(&root().join("classifier-user/src"));
    // Commands that end by themselves say it to who called them.
    let of_agent = sources.iter().filter(|(path, _)| !path.ends_with("cli/history.rs"));
    let mut missing = Vec::new();
    let mut said = 0;
    for (path, source) in of_agent {
        for message in messages(source) {
            if fixed(&message, '{', '}').is_empty() {
                let texts = ELSEWHERE.iter().find(|(known, _)| *known == message);
                let texts = texts.map_or(&[][..], |(_, texts)| texts);
                if texts.is_empty() || !texts.iter().all(|text| page.contains(text)) {
                    missing.push(format!("{}: {message} (what it can say)", path.display()));
                }
                continue;
            }
            said += 1;
            let is_it = |span: &String| {
                let pieces = fixed(span, '[', ']');
                !pieces.is_empty() && pieces.iter().all(|piece| message.contains(piece))
            };
            if !explained.iter().any(is_it) {
                missing.push(format!("{}: {message}", path.display()));
            }
        }
    }
    assert!(said > 40, "{said}");
    assert!(missing.is_empty(), "docs/operations.md does not explain:\n{}", missing.join("\n"));

    let all: String = sources.into_iter().map(|(_, source)| source).collect();
    let nobody: Vec<_> = explained
        .iter()
        .filter(|span| fixed(span, '[', ']').iter().any(|piece| !all.contains(piece)))
        .collect();
    assert!(nobody.is_empty(), "nobody says: {nobody:#?}");
}

#[test]
fn alerts_ask_for_metrics_that_are_there_and_are_explained() {
    let (rules, page, api) = (read("docs/alerts.yml"), read("docs/operations.md"), read("docs/api.md"));
    let mut alerts = 0;
    for line in rules.lines() {
        if let Some(name) = line.trim().strip_prefix("- alert: ") {
            assert!(page.contains(&format!("| `{name}` |")), "{name} is not explained");
            alerts += 1;
        }
        if let Some(expression) = line.trim().strip_prefix("expr: ") {
            let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            for metric in words.filter(|word| word.starts_with("classifier_")) {
                assert!(api.contains(&format!("`{metric}`")), "{metric} is not in docs/api.md");
            }
        }
    }
    assert_eq!(page.lines().filter(|line| line.starts_with("| `Classifier")).count(), alerts);
    let checked =
        Command::new("promtool").args(["check", "rules"]).arg(root().join("docs/alerts.yml")).output();
    let checked = checked.expect("promtool (`cargo xtask setup` installs it)");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
