//! The command line from outside: help, exit codes, bad input.

use std::{fs, process::Output};

use assert_cmd::Command;

fn classifier(line: &str) -> Output {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("classifier"));
    for variable in ["RUST_LOG", "CLASSIFIER_AGENT", "COLUMNS"] {
        command.env_remove(variable);
    }
    command.args(line.split(' ').filter(|word| !word.is_empty())).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn every_command_has_help_with_an_example() {
    for command in [
        "run",
        "top",
        "as",
        "prefix",
        "group",
        "report",
        "links",
        "status",
        "lookup",
        "replay",
        "table",
        "table info",
        "table export",
        "table snapshot",
        "history",
        "history export",
        "history import",
        "check",
        "detach",
        "completions",
        "man",
    ] {
        let output = classifier(&format!("{command} --help"));
        assert_eq!(output.status.code(), Some(0), "{command}");
        let help = stdout(&output);
        assert!(help.contains(&format!("Usage: classifier {command}")), "{help}");
        assert!(help.contains("Example"), "{help}");
        assert_eq!(stderr(&output), "", "{command}");
    }
}

#[test]
fn the_contracts_names_are_there() {
    let help = |command: &str| stdout(&classifier(&format!("{command} --help")));
    for (command, options) in [
        (
            "run",
            "--upstream --downstream --table --config --listen --state-dir --interval --count --granularity \
             --bank-memory --xdp-mode --metrics-ases --override --skip-bad-lines",
        ),
        ("top", "--by --direction --side --link --last --from --to --compare -n --live --json --csv --agent"),
        ("as", "--direction --last --from --to --compare --json --csv --agent"),
        ("prefix", "--json --csv --agent"),
        ("group", "--last --from --to --compare --json --csv --agent"),
        ("report", "--group --as --versus --last --from --to --since --lang --format --agent"),
        ("links", "--json --csv --agent"),
        ("status", "--json --csv --agent"),
        ("lookup", "--table --override --json --csv"),
        ("replay", "--table --side --by --json --csv"),
        ("table info", "--table --json --csv"),
        ("table export", "--table --format --output"),
        ("check", "--upstream --config --json"),
        ("man", "--dir"),
    ] {
        let help = help(command);
        for option in options.split_whitespace() {
            assert!(help.contains(option), "`{command}` has no {option}: {help}");
        }
    }
    // For `cargo xtask snapshot`, not for people.
    assert!(!help("table").contains("snapshot"));
}

#[test]
fn version_and_nothing() {
    let output = classifier("--version");
    assert_eq!(stdout(&output), concat!("classifier ", env!("CARGO_PKG_VERSION"), "\n"));
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(classifier("").status.code(), Some(2));
}

#[test]
fn wrong_arguments_exit_with_2_and_say_what_was_expected() {
    for (line, message) in [
        ("frobnicate", "unrecognized subcommand 'frobnicate'"),
        ("lookup", "<ADDR>..."),
        ("lookup 8.8.8", "`8.8.8` is no IP address: expected one such as 192.0.2.1 or 2001:db8::1"),
        ("lookup 8.8.8.8 256.1.1.1", "`256.1.1.1` is no IP address"),
        ("lookup 8.8.8.8 --json --csv", "'--json' cannot be used with '--csv'"),
        ("lookup 8.8.8.8 --table a --table a", "the table `a` is given twice"),
        ("prefix 45.57.0.1/17", "`45.57.0.1/17` is no prefix"),
        ("prefix netflix", "`netflix` is no prefix"),
        ("top --by asn", "[possible values: as, prefix, group, kind, link, neighbor, transit]"),
        ("top --direction up", "[possible values: in, out]"),
        ("top --side both", "[possible values: remote, local]"),
        ("top --last 5", "`5`: expected a time from 1s to 10y, such as 5m, 1h, 24h, 7d, 30d or 1y"),
        ("top --last 500ms", "`500ms`: expected a time from 1s to 10y"),
        ("top --last 3651d", "`3651d`: expected a time from 1s to 10y"),
        ("top --last 7d --from 2026-10-01", "'--last <TIME>' cannot be used with '--from <TIME>'"),
        ("top --to 2026-10-01", "--from <TIME>"),
        ("top --from yesterday", "\"yesterday\" is no time: expected a day such as 2026-10-25"),
        ("as 2906 --from 2026-13-01", "\"2026-13-01\" is no time"),
        ("top --compare next", "[possible values: previous]"),
        ("top --live --from 7d", "cannot be used with"),
        ("report --lang de", "[possible values: en, fr]"),
        ("report --since soon", "\"soon\" is no time"),
        ("report --format csv", "[possible values: text, markdown, json]"),
        ("top -n 0", "0 is not in 1..=100000"),
        ("top --live --json", "'--live' cannot be used with '--json'"),
        ("links --agent ftp://a", "--agent: expected http://HOST:PORT"),
        ("top --agent https://a:1 --agent-ca /no/ca", "--agent-ca /no/ca: No such file or directory"),
        ("top --agent https://a:1 --agent-ca /dev/null", "--agent-ca /dev/null: no certificate in PEM there"),
        ("top --agent-cert a", "--agent-key <FILE>"),
        ("run", "no link to account: give at least one upstream interface with -i IF"),
        ("run -i eth0:1", "`eth0:1` is no link: expected IF, IF=NAME or IF:vlan=ID[=NAME]"),
        ("run -i eth0:vlan=4095", "`4095` is no VLAN: expected a number from 1 to 4094"),
        ("run -i eth0 -i eth0", "eth0 is given twice: -i eth0 and -i eth0"),
        ("run -i eth0 -d eth0", "eth0 cannot be both upstream (-i eth0) and downstream (-d eth0)"),
        ("run -i eth0=a -i eth1=a", "two links are called `a`: -i eth0=a and -i eth1=a"),
        ("run -i eth0 --interval 5", "`5`: expected a duration such as 500ms, 5s, 5m, 24h or 7d"),
        ("run -i eth0 --interval 10ms", "the interval 10ms is out of range: expected 100ms to 1h"),
        ("run -i eth0 --count all", "[possible values: auto, both, remote, local]"),
        ("run -i eth0 --granularity asn", "[possible values: auto, prefix, as]"),
        ("run -i eth0 --xdp-mode skb", "[possible values: auto, native, generic, tc]"),
        ("run -i eth0 --bank-memory lots", "`lots`: expected a size such as 512M or 2G"),
        ("run -i eth0 --listen 9469", "invalid socket address syntax"),
        ("run -i eth0 --listen [::]:9469", "or say --insecure-listen"),
        ("run -i eth0 --web-config /no/web.yml", "/no/web.yml: No such file or directory"),
        ("run -i eth0 --table builtin --table builtin", "the table `builtin` is given twice"),
        ("replay", "<FILE>"),
        ("replay a.pcap --side remote", "[possible values: destination, source]"),
        ("replay a.pcap --by group", "[possible values: as, prefix]"),
        ("table", "info"),
        ("table export", "--format"),
        ("table export --format xml", "[possible values: csv, pfx2as, mrt]"),
        ("table snapshot --table a --date yesterday -o b", "--date"),
        ("completions tcsh", "[possible values: bash, elvish, fish, powershell, zsh]"),
        ("links --log =", "--log: "),
    ] {
        let output = classifier(line);
        assert_eq!(output.status.code(), Some(2), "{line}: {}", stderr(&output));
        assert!(stderr(&output).contains(message), "{line}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{line}");
    }
}

#[test]
fn no_message_shows_a_password() {
    for line in [
        "top --agent https://alice:geheim@[",
        "top --agent ftp://alice:geheim@host",
        "top --agent http://alice:geheim@127.0.0.1:9",
        "links --agent https://alice:geheim@127.0.0.1:9",
        "lookup 8.8.8.8 --agent https://alice:geheim@127.0.0.1:9",
        "top --agent http://alice:geheim@127.0.0.1:9 --by nothing",
        "top --agent http://alice:geheim@127.0.0.1:9 --log trace",
    ] {
        let output = classifier(line);
        assert_ne!(output.status.code(), Some(0), "{line}");
        let said = stderr(&output) + &stdout(&output);
        assert!(!said.contains("geheim") && !said.contains("Basic "), "{line}: {said}");
    }
    let mut help = Command::new(assert_cmd::cargo::cargo_bin!("classifier"));
    let help =
        help.args(["top", "--help"]).env("CLASSIFIER_AGENT", "https://alice:geheim@host").output().unwrap();
    assert!(stdout(&help).contains("CLASSIFIER_AGENT") && !stdout(&help).contains("geheim"));
}

#[test]
fn a_wrong_configuration_is_named_by_file_and_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("classifier.toml");
    let config = path.display();
    for (text, message) in [
        (
            "router = 'a'\nlisten_on = 'b'\n",
            format!("{config}:2: unknown key `listen_on`; the nearest valid key is `listen`"),
        ),
        ("\n\ninterval = true\n", format!("{config}:3: `interval` is a boolean: expected a duration")),
        ("[[link]]\ninterface = 'a'\nnmae = 'b'\n", format!("{config}:3: unknown key `nmae` in [[link]]")),
        (
            "[[link]]\ninterface = 'a'\n[[link]]\ninterface = 'a'\n",
            format!("a is given twice: {config}:1 and {config}:3"),
        ),
        ("router = 'a'\n", "no link to account".to_owned()),
        ("router = \n", format!("{config}:1: ")),
    ] {
        fs::write(&path, text).unwrap();
        for command in ["run", "check"] {
            let output = classifier(&format!("{command} --config {config}"));
            assert_eq!(output.status.code(), Some(2), "{text}");
            assert!(stderr(&output).starts_with(&format!("error: {message}")), "{text}: {}", stderr(&output));
        }
    }
    let output = classifier(&format!("check --config {config}.not-there"));
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        stderr(&output),
        format!("error: {config}.not-there: No such file or directory (os error 2)\n")
    );
}

#[test]
fn check_lists_the_interfaces_that_are_there() {
    let output = classifier("check -i no-such-if --json --listen 127.0.0.1:0");
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(report["ok"], false);
    assert_eq!(report["links"][0]["rx"], serde_json::Value::Null);
    let findings = report["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["about"] == "no-such-if").unwrap();
    assert_eq!(finding["level"], "error");
    let message = finding["message"].as_str().unwrap();
    assert!(message.starts_with("there is no interface no-such-if; there are "), "{message}");
    assert!(message.contains("lo"), "{message}");
}

#[test]
fn check_says_that_the_loopback_is_no_ethernet() {
    let output = classifier("check -i lo --listen 127.0.0.1:0");
    assert_eq!(output.status.code(), Some(1));
    let shown = stdout(&output);
    assert!(shown.contains("lo does not carry Ethernet frames (hardware type 772)"), "{shown}");
    assert!(shown.ends_with("\n`classifier run` cannot do this here.\n"), "{shown}");
}

#[test]
fn check_names_a_table_that_does_not_parse() {
    let directory = tempfile::tempdir().unwrap();
    let table = directory.path().join("t.csv");
    fs::write(&table, "192.0.2.0,192.0.2.255,64500,\"A\"\n192.0.2.0,nonsense,64500,\"A\"\n").unwrap();
    let output = classifier(&format!("check -i lo --table {}", table.display()));
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains(&format!("tables: {}:2: ", table.display())), "{}", stdout(&output));
    let output = classifier(&format!("check -i lo --table {}/none.csv", directory.path().display()));
    assert!(stdout(&output).contains("none.csv: No such file or directory"), "{}", stdout(&output));
}

#[test]
fn check_names_what_else_run_would_be_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let groups = file("groups.toml", "[[group]]\nkey = 7\n");
    let web = file("web.yml", "tls_server_config:\n  cert_file: none.crt\n  key_file: none.key\n");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    for (arguments, said) in [
        (format!("--groups {groups}"), "error  groups: ".to_owned()),
        (format!("--web-config {web}"), "none.crt".to_owned()),
        ("--public 203.0.113.77:80".to_owned(), "cannot listen on 203.0.113.77:80: ".to_owned()),
        ("--user nosuchuser".to_owned(), "there is no user `nosuchuser`".to_owned()),
        (
            format!("--bmp {taken},router=127.0.0.1"),
            format!("cannot listen for BMP on {taken}: Address already in use"),
        ),
        (
            format!("--bgp 127.0.0.1,as=64500,local_address=127.0.0.1,listen={}", taken.port()),
            format!("cannot listen for BGP on {taken}: Address already in use"),
        ),
    ] {
        let shown = stdout(&classifier(&format!("check -i lo --listen 127.0.0.1:0 {arguments}")));
        assert!(shown.contains(&said), "{arguments}: {shown}");
    }
    let shown = stdout(&classifier("check -i lo --listen 127.0.0.1:0"));
    assert_eq!(shown.matches("error  lo: ").count(), 1, "{shown}");
    assert!(!shown.contains("cannot listen") && !shown.contains("error  user"), "{shown}");
}

#[test]
fn lookup_answers_from_the_built_in_table() {
    let output = classifier("lookup 8.8.8.8 192.0.2.1 --json");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let answer: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let first = &answer[0];
    assert_eq!((&first["address"], &first["asn"]), (&"8.8.8.8".into(), &15169.into()));
    assert!(first["name"].as_str().unwrap().contains("Google"));
    assert_eq!((&first["origins"], &first["source"]), (&serde_json::json!([15169]), &"builtin".into()));
    let keys: Vec<&String> = first.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["address", "prefix", "asn", "name", "origins", "source"]);
    assert_eq!(
        answer[1],
        serde_json::json!({"address": "192.0.2.1", "prefix": null, "asn": null, "name": null, "origins": [],
                           "source": null})
    );
}

#[test]
fn lookup_takes_files_in_order_and_overrides_first() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let first = file("first.csv", "192.0.2.0,192.0.2.255,64500,\"First\"\n");
    let second = file(
        "second.csv",
        "192.0.2.0,192.0.2.255,64501,\"Second\"\n198.51.100.0,198.51.100.255,64501,\"Second\"\n",
    );
    let overrides = file("override.txt", "198.51.100.0/24 64502 Mine\n");
    let output = classifier(&format!(
        "lookup 192.0.2.1 198.51.100.1 203.0.113.1 --csv --table {first} --table {second} --override {overrides}"
    ));
    assert_eq!(stderr(&output), "");
    assert_eq!(
        stdout(&output),
        format!(
            "address,prefix,asn,name,origins,source\n\
             192.0.2.1,192.0.2.0/24,64500,First,64500,{first}\n\
             198.51.100.1,198.51.100.0/24,64502,Mine,64502,{overrides}\n\
             203.0.113.1,,,,,\n"
        )
    );
}

#[test]
fn a_table_that_does_not_parse_is_named_by_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.csv");
    fs::write(&path, "192.0.2.0,192.0.2.255,64500,\"A\"\n192.0.2.0,192.0.2.255,4294967296,\"A\"\n").unwrap();
    let table = path.display();
    for command in ["lookup 192.0.2.1", "table info", "table export --format csv"] {
        let output = classifier(&format!("{command} --table {table}"));
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert!(
            stderr(&output).starts_with(&format!("error: {table}:2: AS number 4294967296 is over 32 bits")),
            "{}",
            stderr(&output)
        );
    }
    let output = classifier(&format!("lookup 192.0.2.1 --csv --skip-bad-lines --table {table}"));
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains(",64500,"), "{}", stdout(&output));
    assert!(stderr(&output).contains("bad lines left out: 1"), "{}", stderr(&output));
}

#[test]
fn a_table_goes_through_every_format_and_comes_back_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let source = "prefix,asn,name\n192.0.2.0/24,64500,\"A\"\n198.51.100.0/25,64501,\"B \"\"b\"\"\"\n2001:db8::/32,64500,\"A\"\n";
    fs::write(path("source.csv"), source).unwrap();
    let output = classifier(&format!("table export --format csv --table {}", path("source.csv")));
    assert_eq!(stdout(&output), source);
    for format in ["csv", "pfx2as", "mrt"] {
        let out = path(format);
        let line = format!("table export --format {format} -o {out} --table {}", path("source.csv"));
        let output = classifier(&line);
        assert_eq!(
            (output.status.code(), stderr(&output), stdout(&output)),
            (Some(0), String::new(), String::new())
        );
        let output = classifier(&format!("table info --json --table {out}"));
        let info: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!((&info["ipv4_prefixes"], &info["ipv6_prefixes"]), (&2.into(), &1.into()), "{format}");
        assert_eq!(info["ases"], 2, "{format}");
    }
}

#[test]
fn output_that_cannot_be_written() {
    let output = classifier("table export --format csv -o /no/such/directory/table.csv");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr(&output),
        "error: /no/such/directory/table.csv: No such file or directory (os error 2)\n"
    );
    let output = Command::new("bash")
        .args([
            "-c",
            &format!("{} lookup 8.8.8.8 > /dev/full", assert_cmd::cargo::cargo_bin!("classifier").display()),
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).starts_with("error: cannot write the output: No space left on device"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_snapshot_of_a_poor_table_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let table = directory.path().join("t.csv");
    let out = directory.path().join("snapshot.bin");
    fs::write(&table, "192.0.2.0,192.0.2.255,64500,\"A\"\n").unwrap();
    let line = format!("table snapshot --table {} --date 2026-01-31 -o {}", table.display(), out.display());
    let output = classifier(&line);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).starts_with("error: the table is not good enough to be built in"),
        "{}",
        stderr(&output)
    );
    assert!(!out.exists());
}

#[test]
fn completions_for_every_shell() {
    for (shell, text) in
        [("bash", "_classifier()"), ("zsh", "#compdef classifier"), ("fish", "complete -c classifier")]
    {
        let output = classifier(&format!("completions {shell}"));
        assert_eq!(output.status.code(), Some(0));
        let script = stdout(&output);
        assert!(script.contains(text), "{shell}");
        for command in ["lookup", "--xdp-mode", "pfx2as"] {
            assert!(script.contains(command.trim_start_matches("--")), "{shell} lacks {command}");
        }
    }
}

#[test]
fn manual_pages() {
    let output = classifier("man");
    assert!(stdout(&output).contains(".TH classifier 1"), "{}", stdout(&output));
    let directory = tempfile::tempdir().unwrap();
    let output = classifier(&format!("man --dir {}/man1", directory.path().display()));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for page in ["classifier.1", "classifier-run.1", "classifier-top.1", "classifier-table-export.1"] {
        let text = fs::read_to_string(directory.path().join("man1").join(page)).unwrap();
        assert!(text.contains(".TH"), "{page}");
    }
}
