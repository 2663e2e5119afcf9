//! The reading commands against a tiny server with golden answers: what is asked, and how it is shown.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Output, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
};

use assert_cmd::Command;
use classifier_user::{
    questions::answer::{ReportAnswer, WithPast},
    totals::answer::{AsAnswer, GroupAnswer, LinksAnswer, PrefixAnswer, StatusAnswer, TopAnswer},
};
use serde::{Serialize, de::DeserializeOwned};

fn golden(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/answers/{name}.json"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Answers one request with `status` and `body`, and passes on what was asked for.
fn serve(status: &'static str, body: String) -> (SocketAddr, Receiver<String>) {
    serve_each(1, status, move |_| body.clone())
}

/// Answers `count` requests with what `body` has for the request line.
fn serve_each(
    count: usize,
    status: &'static str,
    body: impl Fn(&str) -> String + Send + 'static,
) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, questions) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().take(count) {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
            let question = lines.next().unwrap();
            let body = body(&question);
            // A test that is not interested has dropped the other end.
            let _ = asked.send(question);
            lines.find(String::is_empty).unwrap();
            write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            )
            .unwrap();
        }
    });
    (address, questions)
}

fn classifier(line: &[&str]) -> Output {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("classifier"));
    command.env_remove("RUST_LOG").env_remove("CLASSIFIER_AGENT").env_remove("COLUMNS").args(line);
    command.output().unwrap()
}

/// Runs `line` against an agent that answers with the golden `answer`; what it asked, and what it printed.
fn ask(answer: &str, line: &str) -> (String, String) {
    let (address, questions) = serve("200 OK", golden(answer));
    let agent = format!("http://{address}");
    let mut line: Vec<&str> = line.split(' ').collect();
    line.extend(["--agent", &agent]);
    let output = classifier(&line);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success());
    (questions.recv().unwrap(), String::from_utf8(output.stdout).unwrap())
}

/// The golden answer, read and written by the server's own type, is the same: the fixtures are what an agent says.
fn is_what_an_agent_says<T: DeserializeOwned + Serialize>(name: &str) {
    let text = golden(name);
    let answer: T = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let golden: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_value(answer).unwrap(), golden, "{name}");
}

#[test]
fn the_golden_answers_are_what_an_agent_says() {
    for top in ["top", "top_in", "top_prefix", "top_group", "top_empty"] {
        is_what_an_agent_says::<TopAnswer>(top);
    }
    is_what_an_agent_says::<AsAnswer>("as");
    is_what_an_agent_says::<PrefixAnswer>("prefix");
    is_what_an_agent_says::<GroupAnswer>("group");
    is_what_an_agent_says::<TopAnswer>("top_compare");
    is_what_an_agent_says::<TopAnswer>("top_before");
    is_what_an_agent_says::<WithPast<AsAnswer>>("as_past");
    is_what_an_agent_says::<WithPast<GroupAnswer>>("group_past");
    is_what_an_agent_says::<ReportAnswer>("report");
    is_what_an_agent_says::<LinksAnswer>("links");
    is_what_an_agent_says::<StatusAnswer>("status");
}

#[test]
fn what_is_asked() {
    for (answer, line, question) in [
        ("top", "top", "/api/v1/top?by=as&n=20&side=remote&last=5m"),
        (
            "top_in",
            "top --by prefix --direction in --side local --link transit-a --link ix --last 24h -n 3",
            "/api/v1/top?by=prefix&n=3&direction=in&side=local&last=1d&link=transit-a&link=ix",
        ),
        ("top", "top --link a&b=ü", "/api/v1/top?by=as&n=20&side=remote&last=5m&link=a%26b%3D%C3%BC"),
        ("as", "as AS2906", "/api/v1/as/2906?side=remote&last=1h&n=10"),
        ("as", "as netflix --last 90s -n 2", "/api/v1/as/netflix?side=remote&last=90s&n=2"),
        ("prefix", "prefix 45.57.0.0/17", "/api/v1/prefix/45.57.0.0%2F17?side=remote&last=1h&n=10"),
        ("prefix", "prefix 2A00:86C0::/32", "/api/v1/prefix/2a00%3A86c0%3A%3A%2F32?side=remote&last=1h&n=10"),
        (
            "group",
            "group netflix --direction out",
            "/api/v1/group/netflix?direction=out&side=remote&last=1h&n=10",
        ),
        (
            "top_compare",
            "top --by group --from 2026-10 --to 2026-11 --compare previous",
            "/api/v1/top?by=group&n=20&side=remote&from=2026-10&to=2026-11&compare=previous",
        ),
        ("top", "top --last 1y", "/api/v1/top?by=as&n=20&side=remote&last=365d"),
        (
            "group_past",
            "group netflix --last 4w --compare previous",
            "/api/v1/group/netflix?side=remote&last=28d&compare=previous&n=10",
        ),
        ("as_past", "as 15169 --from 7d --to 2d", "/api/v1/as/15169?side=remote&from=7d&to=2d&n=10"),
        ("report", "report", "/api/v1/report?direction=in&last=1d"),
        (
            "report",
            "report --group netflix --as 2906 --versus google,apple --since 2026-09-15 --from 2026-10-01T18:00 --direction out",
            "/api/v1/report?direction=out&group=netflix&as=2906&versus=google&versus=apple&since=2026-09-15&from=2026-10-01T18%3A00",
        ),
        ("links", "links", "/api/v1/links"),
        ("status", "status", "/api/v1/status"),
    ] {
        assert_eq!(ask(answer, line).0, format!("GET {question} HTTP/1.1"), "{line}");
    }
}

#[test]
fn json_is_passed_through() {
    for (answer, line) in [
        ("top", "top --json"),
        ("as", "as 2906 --json"),
        ("prefix", "prefix 45.57.0.0/17 --json"),
        ("group", "group netflix --json"),
        ("group_past", "group netflix --last 30d --json"),
        ("report", "report --format json"),
        ("links", "links --json"),
        ("status", "status --json"),
    ] {
        assert_eq!(ask(answer, line).1, golden(answer), "{line}");
    }
}

#[test]
fn tables_for_people() {
    for (answer, line) in [
        ("top", "top"),
        ("top_in", "top --direction in"),
        ("top_prefix", "top --by prefix --direction in"),
        ("top_group", "top --by group --direction in"),
        ("top_empty", "top"),
        ("as", "as 2906"),
        ("prefix", "prefix 45.57.0.0/17"),
        ("top_compare", "top --by group --last 7d --compare previous"),
        ("top_before", "top --from 2025-06 --to 2025-07"),
        ("as_past", "as 15169 --last 31d"),
        ("group_past", "group netflix --last 31d --compare previous"),
        ("report", "report --group netflix --versus google"),
        ("group", "group netflix"),
        ("links", "links"),
        ("status", "status"),
    ] {
        insta::assert_snapshot!(format!("people_{answer}"), ask(answer, line).1);
    }
}

#[test]
fn csv_for_machines() {
    for (answer, line) in [
        ("top", "top --csv"),
        ("top_prefix", "top --by prefix --csv"),
        ("top_group", "top --by group --csv"),
        ("top_compare", "top --by group --last 7d --compare previous --csv"),
        ("group_past", "group netflix --last 31d --compare previous --csv"),
        ("as", "as 2906 --csv"),
        ("group", "group netflix --csv"),
        ("links", "links --csv"),
        ("status", "status --csv"),
    ] {
        insta::assert_snapshot!(format!("csv_{answer}"), ask(answer, line).1);
    }
}

/// `top` on a terminal of so many columns, which no line goes beyond.
fn top_in(columns: usize) -> String {
    let (address, _questions) = serve("200 OK", golden("top"));
    let output = Command::new(assert_cmd::cargo::cargo_bin!("classifier"))
        .env("COLUMNS", columns.to_string())
        .env("CLASSIFIER_AGENT", address.to_string())
        .arg("top")
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    for line in shown.lines().skip(1) {
        assert!(line.chars().count() <= columns, "{columns}: {line}");
    }
    shown
}

#[test]
fn a_narrow_terminal_has_no_bytes_column() {
    insta::assert_snapshot!("people_top_80", top_in(80));
}

#[test]
fn a_narrower_one_has_the_directions_below_each_other() {
    for columns in [70, 60, 48] {
        let shown = top_in(columns);
        let heads: Vec<usize> = ["IN", "OUT"]
            .map(|head| shown.lines().position(|line| line.trim() == head).expect(head))
            .to_vec();
        assert!(heads[0] < heads[1] && !shown.contains('│'), "{shown}");
        assert_eq!(shown.contains(" bytes"), columns >= 60, "{shown}");
    }
}

#[test]
fn live_wants_a_terminal() {
    let output = classifier(&["top", "--live"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "error: `top --live` draws on a terminal, and standard output is none: for a file or a program there are --json \
         and --csv\n"
    );
}

/// Runs `top --live` on a terminal of 80 columns and 24 rows. Types `keys` once `seen` is on it; what was written to the
/// terminal, and the exit code.
fn live(agent: SocketAddr, seen: &str, keys: &str) -> (String, Option<i32>) {
    let program = assert_cmd::cargo::cargo_bin!("classifier");
    let line = format!("stty cols 80 rows 24; exec '{}' top --live --agent {agent}", program.display());
    let mut child = std::process::Command::new("script")
        .args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script, of Debian's bsdutils");
    let (mut keyboard, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut written = Vec::new();
    let mut typed = false;
    loop {
        let mut some = [0; 4096];
        let count = std::io::Read::read(&mut screen, &mut some).unwrap();
        if count == 0 {
            break;
        }
        written.extend_from_slice(&some[..count]);
        if !typed && String::from_utf8_lossy(&written).contains(seen) {
            keyboard.write_all(keys.as_bytes()).unwrap();
            typed = true;
        }
    }
    (String::from_utf8_lossy(&written).into_owned(), child.wait().unwrap().code())
}

#[test]
fn live_draws_on_the_terminal_and_gives_it_back() {
    let status = golden("status").replace("\"interval_seconds\": 5.0", "\"interval_seconds\": 0.5");
    let top = golden("top");
    let (address, questions) =
        serve_each(1000, "200 OK", move |question| match question.contains("/status") {
            true => status.clone(),
            false => top.clone(),
        });
    // q, and Ctrl-C.
    for keys in ["q", "\x03"] {
        let (screen, code) = live(address, "Netflix", keys);
        assert_eq!(code, Some(0), "{screen}");
        let (taken, given_back) = (screen.find("\x1b[?1049h").unwrap(), screen.find("\x1b[?1049l").unwrap());
        assert!(taken < screen.find("Netflix").unwrap() && screen.rfind("Netflix").unwrap() < given_back);
    }
    let asked: Vec<String> = questions.try_iter().filter(|question| question.contains("/top")).collect();
    assert_eq!(asked[0], "GET /api/v1/top?by=as&n=1000&side=remote&last=1s HTTP/1.1");
}

#[test]
fn live_waits_for_an_agent_that_is_not_there() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (screen, code) = live(address, "no agent answers", "q");
    assert_eq!(code, Some(0));
    assert!(screen.contains("\x1b[?1049l"), "{screen}");
}

#[test]
fn the_agents_errors_are_passed_on() {
    let body =
        r#"{"error":{"code":"not_found","message":"there is no group \"netflx\" here; near it: netflix"}}"#;
    let (address, _questions) = serve("404 Not Found", body.to_owned());
    let output = classifier(&["group", "netflx", "--agent", &address.to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "error: there is no group \"netflx\" here; near it: netflix\n"
    );
}

#[test]
fn arguments_that_only_the_agent_can_judge_are_wrong_arguments() {
    let message = "`from` is after `to`: 2026-11-01T00:00:00Z to 2026-10-01T00:00:00Z";
    for (status, code, exit) in [
        ("400 Bad Request", "bad_parameter", 2),
        ("400 Bad Request", "not_kept", 1),
        ("503 Service Unavailable", "unreadable", 1),
    ] {
        let body = format!("{{\"error\":{{\"code\":\"{code}\",\"message\":\"{message}\"}}}}");
        let (address, _questions) = serve(status, body);
        let line = ["top", "--from", "2026-11", "--to", "2026-10", "--agent", &address.to_string()];
        let output = classifier(&line);
        assert_eq!(output.status.code(), Some(exit), "{code}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), format!("error: {message}\n"));
    }
}

#[test]
fn a_report_in_french_and_in_markdown() {
    let french = ask("report", "report --group netflix --lang fr").1;
    assert!(
        french.contains("Netflix est le 3e réseau par le trafic entrant, avec 869\u{202f}Go en 24 heures"),
        "{french}"
    );
    let markdown = ask("report", "report --group netflix --format markdown").1;
    assert!(markdown.starts_with("# border1: from 1 January 2026, 01:10"), "{markdown}");
    assert!(markdown.contains("\n## Netflix\n"), "{markdown}");
}

#[test]
fn what_answers_may_be_no_agent() {
    for (status, body, what) in [
        ("200 OK", "<html>", "expected value at line 1 column 1"),
        ("200 OK", "{}", "missing field `router` at line 1 column 2"),
        ("404 Not Found", "nothing", "status 404 Not Found, `nothing`"),
        ("502 Bad Gateway", "<html>sorry</html>", "status 502 Bad Gateway"),
    ] {
        let (address, _questions) = serve(status, body.to_owned());
        let output = classifier(&["links", "--agent", &address.to_string()]);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            format!(
                "error: what answers at http://{address}/api/v1/links is no classifier agent, or one of another \
                 version: {what}\n"
            )
        );
    }
}

#[test]
fn an_agent_that_is_not_there() {
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for command in ["top", "links", "status", "as 1", "prefix 192.0.2.0/24", "group x"] {
        let agent = address.to_string();
        let mut line: Vec<&str> = command.split(' ').collect();
        line.extend(["--agent", &agent]);
        let output = classifier(&line);
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            format!(
                "error: no agent answers at http://{address} (connection refused).\n\
                 Is `classifier run` running there? Another agent is asked with --agent URL or CLASSIFIER_AGENT.\n"
            ),
            "{command}"
        );
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let (address, _questions) = serve("200 OK", golden("top"));
    let shell = format!(
        "{} top --agent {address} --csv | true; exit ${{PIPESTATUS[0]}}",
        assert_cmd::cargo::cargo_bin!("classifier").display()
    );
    let output = Command::new("bash").args(["-c", &shell]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
