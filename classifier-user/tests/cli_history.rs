//! `classifier history` from outside, on a history that it invented itself.

use std::{fs, path::Path, process::Output};

use assert_cmd::Command;

fn history(line: &str, state: &Path) -> Output {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("classifier"));
    command.env_remove("RUST_LOG").arg("history").args(line.split(' '));
    command.arg("--state-dir").arg(state).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_history_is_exported_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let invented = history("synthesize --days 1 --link transit --link ix --zone Europe/Paris", &state);
    assert_eq!((text(&invented.stderr), invented.status.code()), ("", Some(0)));

    let exported = history("export --by link --step slot --format csv", &state);
    assert_eq!((text(&exported.stderr), exported.status.code()), ("", Some(0)));
    let csv = text(&exported.stdout);
    let mut lines = csv.lines();
    assert_eq!(
        lines.next(),
        Some(
            "from,to,covered_seconds,link,role,direction,part,packets_ipv4,bytes_ipv4,packets_ipv6,bytes_ipv6"
        )
    );
    // Two links, in and out, IP and what is not: in every slot of yesterday, and of today up to now.
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert!(rows.len() >= 288 * 8 && rows.len().is_multiple_of(8), "{}", rows.len());
    assert!(rows.iter().all(|row| row[2] == "300" && row[4] == "upstream"));
    let sum = |rows: &[Vec<&str>], part: &str| -> u64 {
        let rows = rows.iter().filter(|row| row[6] == part);
        rows.flat_map(|row| [row[8], row[10]]).map(|bytes| bytes.parse::<u64>().unwrap()).sum()
    };
    // The ASes of longer steps have the same bytes as the links of slots.
    for step in ["hour", "day"] {
        let ases = history(&format!("export --by as --step {step} --format csv"), &state);
        let bytes: u64 = text(&ases.stdout)
            .lines()
            .skip(1)
            .flat_map(|line| {
                let row: Vec<&str> = line.split(',').collect();
                [row[8].parse::<u64>().unwrap(), row[10].parse::<u64>().unwrap()]
            })
            .sum();
        assert_eq!(bytes, sum(&rows, "ip"), "{step}");
    }

    let file = directory.path().join("groups.parquet");
    let written = history(&format!("export --by group --format parquet -o {}", file.display()), &state);
    assert_eq!((text(&written.stderr), written.status.code()), ("", Some(0)));
    let bytes = fs::read(&file).unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    let names: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");

    // A past is invented once.
    let again = history("synthesize --days 1 --link transit", &state);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("is not after the last one"), "{}", text(&again.stderr));

    for (line, code, message) in [
        ("export --from 2020-02 --to 2020-01 --format csv", 2, "error: --to: the time is not after --from\n"),
        ("export --from 2300-01-01 --format csv", 2, "error: --to: the time is not after --from\n"),
        (
            "import /nonexistent --link cogent",
            1,
            "error: cannot read /nonexistent: No such file or directory (os error 2)\n",
        ),
    ] {
        let output = history(line, &state);
        assert_eq!((text(&output.stderr), output.status.code()), (message, Some(code)), "{line}");
        assert_eq!(text(&output.stdout), "", "{line}");
    }
    // Before the beginning there is nothing, and that is said.
    let early = history("export --from 2020-01 --to 2020-02 --by group --format csv", &state);
    assert_eq!((early.status.code(), text(&early.stdout).lines().count()), (Some(0), 1));
    assert!(text(&early.stderr).contains("there is no history before 20"), "{}", text(&early.stderr));
}

#[test]
fn what_is_not_there_or_not_possible() {
    let directory = tempfile::tempdir().unwrap();
    let nothing = directory.path().join("nothing");
    let output = history("export --format csv", &nothing);
    let message = format!("error: there is no history in {}\n", nothing.display());
    assert_eq!((text(&output.stderr), output.status.code()), (message.as_str(), Some(1)));
    assert!(!nothing.exists());

    for (line, message) in [
        ("export --format csv --from yesterday", "invalid value 'yesterday' for '--from <TIME>'"),
        ("import . --link =x", "expected a tag of AS-Stats, or TAG=NAME"),
        ("import .", "required arguments were not provided"),
        ("synthesize --link a --zone Europe/Pariss", "--zone: `Europe/Pariss` is no time zone"),
    ] {
        let output = history(line, &nothing);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(text(&output.stderr).contains(message), "{line}: {}", text(&output.stderr));
    }
}
