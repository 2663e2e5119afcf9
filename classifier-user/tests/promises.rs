//! `docs/promises.md`: every promise names tests, and every test that it names is there.

use std::{fs, path::Path};

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Whether this source has a test of this name: an attribute somewhere in the lines before it, or a `proptest!`.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().collect();
    let is_it = |line: &str| {
        let line = line.trim_start();
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix("fn ")
            .and_then(|rest| rest.strip_prefix(name))
            .is_some_and(|rest| rest.starts_with('('))
    };
    lines.iter().enumerate().filter(|(_, line)| is_it(line)).any(|(at, _)| {
        let before = &lines[at.saturating_sub(4)..at];
        before.iter().any(|line| line.trim() == "#[test]" || line.trim().starts_with("#[tokio::test"))
            && !before.iter().any(|line| line.trim_start().starts_with("#[ignore"))
    })
}

#[test]
fn every_promise_has_tests_that_are_there() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = read(&here.join("../docs/promises.md"));
    let events = read(&here.join("../xtask/src/chaos/event.rs"));
    let steps = read(&here.join("../xtask/src/dist/installed.rs"));
    let alone = read(&here.join("../xtask/src/dist/statically.rs"));
    let (mut promises, mut missing) = (0, Vec::new());
    for row in text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| promise")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, promise, proof, _] = cells[..] else { panic!("three bars: {row}") };
        promises += 1;
        let mut tests = 0;
        for named in proof.split('`').skip(1).step_by(2) {
            let there = if let Some(event) = named.strip_prefix("chaos: ") {
                events.contains(&format!("=> \"{event}\","))
            } else if let Some(step) = named.strip_prefix("dist static: ") {
                alone.contains(&format!("    {step}(binary)?;"))
            } else if let Some(step) = named.strip_prefix("dist: ") {
                steps.contains(&format!("        self.{step}("))
            } else if let Some((file, test)) = named.split_once("::") {
                let crates = ["classifier-user/", "xtask/"];
                let file = match crates.iter().any(|home| file.starts_with(home)) {
                    true => here.join("..").join(file),
                    false => here.join("tests").join(file),
                };
                file.is_file() && has_test(&read(&file), test)
            } else {
                // The name of another program.
                continue;
            };
            tests += 1;
            if !there {
                missing.push(format!("{promise}: {named}"));
            }
        }
        if tests == 0 {
            missing.push(format!("{promise}: no test"));
        }
    }
    assert!(promises > 30, "{promises} promises");
    assert!(missing.is_empty(), "not there:\n{}", missing.join("\n"));
}
