//! What keys and answers do, and what is drawn of it, cell by cell.

use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
};
use serde_json::json;

use super::{
    super::{
        answers::Top,
        args::{ByArg, DirectionArg, SideArg},
    },
    draw,
    state::{Polled, Question, Reaction, Sort, State, Window},
};

/// `[asn, name, bytes in, bytes out]` over 10 seconds.
type Known = (u32, Option<&'static str>, u64, u64);

const NETWORKS: [Known; 5] = [
    (15169, Some("Google LLC"), 900_000_000, 60_000_000),
    (2906, Some("Netflix Streaming Services Inc."), 520_000_000, 4_000_000),
    (3215, Some("Orange S.A."), 40_000_000, 250_000_000),
    (64512, None, 1_000, 0),
    (714, Some("Apple Inc."), 268_000_000, 11_000_000),
];

fn question() -> Question {
    Question { by: ByArg::As, direction: None, side: SideArg::Remote, links: Vec::new(), window: Window::Now }
}

/// An agent's answer of these networks, as JSON is read from it. 1 % more is unmatched.
fn answer(networks: &[Known]) -> Top {
    let direction = |of: fn(&Known) -> u64| {
        let sum: u64 = networks.iter().map(of).sum();
        let unmatched = sum / 100;
        let total = sum + unmatched;
        let amount =
            |bytes: u64| json!({"packets": bytes / 1000, "bytes": bytes, "bits_per_second": bytes * 8 / 10});
        let mut listed: Vec<&Known> = networks.iter().filter(|network| of(network) > 0).collect();
        listed.sort_by_key(|network| u64::MAX - of(network));
        let rows: Vec<serde_json::Value> = listed
            .into_iter()
            .enumerate()
            .map(|(index, network)| {
                let mut row = amount(of(network));
                row["rank"] = json!(index + 1);
                row["asn"] = json!(network.0);
                row["name"] = json!(network.1);
                row["share"] = json!(of(network) as f64 / total as f64);
                row
            })
            .collect();
        json!({"total": amount(total), "rows": rows, "unmatched": amount(unmatched)})
    };
    let top = json!({
        "router": "border-1", "from": "2026-01-31T19:59:50Z", "to": "2026-01-31T20:00:00Z", "by": "as",
        "side": "remote", "directions": {"in": direction(|network| network.2), "out": direction(|network| network.3)},
    });
    serde_json::from_value(top).unwrap()
}

fn polled(state: &State, networks: &[Known]) -> Polled {
    Polled { question: state.question().clone(), top: Ok(answer(networks)), coverage: Some(0.9876) }
}

/// The five networks, polled five times, each time with a tenth more than before; the third time nobody answered.
fn five_polls() -> State {
    let mut state = State::new("http://127.0.0.1:9469".to_owned(), question());
    for poll in 6..=10 {
        if poll == 8 {
            let trouble = Err("no agent answers at http://127.0.0.1:9469 (connection refused).".to_owned());
            assert!(state.take(Polled { question: question(), top: trouble, coverage: None }));
            continue;
        }
        let networks = NETWORKS.map(|(asn, name, inward, outward)| {
            (asn, name, inward * poll / 10, if asn == 3215 { outward } else { outward * poll / 10 })
        });
        let polled = polled(&state, &networks);
        assert!(state.take(polled));
    }
    state
}

fn press(state: &mut State, keys: &str) -> Vec<Reaction> {
    keys.chars().map(|c| state.key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE))).collect()
}

fn screen(state: &State, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw::draw(frame, state)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..height).map(line).map(|line| format!("{}\n", line.trim_end())).collect()
}

fn keys_of_lines(state: &State) -> Vec<String> {
    state.lines(100).0.into_iter().map(|line| format!("{} {}", line.rank, line.key)).collect()
}

#[test]
fn eighty_columns() {
    insta::assert_snapshot!(screen(&five_polls(), 80, 24));
}

#[test]
fn a_wide_terminal() {
    insta::assert_snapshot!(screen(&five_polls(), 140, 10));
}

#[test]
fn a_narrow_terminal() {
    insta::assert_snapshot!(screen(&five_polls(), 50, 10));
}

#[test]
fn any_size_is_drawn() {
    let states = [State::new("http://a".to_owned(), question()), five_polls()];
    for state in states {
        for width in 1..=160 {
            for height in 1..=6 {
                assert_eq!(screen(&state, width, height).lines().count(), usize::from(height));
            }
        }
    }
}

#[test]
fn one_direction_filtered_and_paused() {
    let mut state = State::new(
        "http://127.0.0.1:9469".to_owned(),
        Question {
            direction: Some(DirectionArg::Out),
            side: SideArg::Local,
            links: vec!["transit-a".to_owned()],
            window: Window::Last("1h".parse().unwrap()),
            ..question()
        },
    );
    let mut answer = answer(&NETWORKS);
    answer.directions.inward = None;
    state.take(Polled { question: state.question().clone(), top: Ok(answer), coverage: None });
    press(&mut state, "/s");
    state.key(KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE));
    press(&mut state, " ");
    insta::assert_snapshot!(screen(&state, 80, 8));
}

#[test]
fn before_the_first_answer_and_without_one() {
    let mut state = State::new("http://127.0.0.1:9469".to_owned(), question());
    insta::assert_snapshot!(screen(&state, 60, 5));
    let trouble = Err("no agent answers at http://127.0.0.1:9469 (refused).".to_owned());
    assert!(state.take(Polled { question: question(), top: trouble, coverage: None }));
    insta::assert_snapshot!(screen(&state, 80, 5));
}

#[test]
fn an_agent_that_goes_away_leaves_its_last_answer_on_the_screen() {
    let mut state = five_polls();
    let before = screen(&state, 80, 9);
    let trouble = Err("no agent answers at http://127.0.0.1:9469 (connection refused).".to_owned());
    state.take(Polled { question: question(), top: trouble, coverage: None });
    let after = screen(&state, 80, 9);
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (before, after) = (lines(&before), lines(&after));
    assert_eq!(before[0], after[0]);
    assert_eq!(before[2][..40], after[2][..40]);
    assert_eq!(after[7], "no agent answers at http://127.0.0.1:9469 (connection refused); asking again");
    let polled = polled(&state, &NETWORKS);
    state.take(polled);
    assert!(screen(&state, 80, 9).contains("coverage 98.8%"));
}

#[test]
fn rows_are_sorted_and_keep_their_rank_when_filtered() {
    let mut state = five_polls();
    assert_eq!(keys_of_lines(&state), ["1 AS15169", "2 AS2906", "3 AS3215", "4 AS714", "5 AS64512"]);
    assert_eq!(press(&mut state, "i"), [Reaction::Redraw]);
    assert_eq!(keys_of_lines(&state), ["1 AS15169", "2 AS2906", "3 AS714", "4 AS3215", "5 AS64512"]);
    press(&mut state, "o");
    assert_eq!(keys_of_lines(&state), ["1 AS3215", "2 AS15169", "3 AS714", "4 AS2906", "5 AS64512"]);
    press(&mut state, "n");
    assert_eq!(keys_of_lines(&state), ["4 AS714", "5 AS64512", "1 AS15169", "2 AS2906", "3 AS3215"]);
    press(&mut state, "t/INC");
    assert_eq!(keys_of_lines(&state), ["2 AS2906", "4 AS714"]);
    // In the filter, letters are letters, and the space is a space.
    assert_eq!(state.sort(), Sort::Total);
    assert!(!state.is_paused());
    press(&mut state, " ");
    assert_eq!(keys_of_lines(&state), Vec::<String>::new());
    state.key(KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE));
    assert_eq!(keys_of_lines(&state).len(), 5);
    // By number, too.
    press(&mut state, "/645");
    assert_eq!(keys_of_lines(&state), ["5 AS64512"]);
}

#[test]
fn the_screen_scrolls_to_the_last_row_and_no_further() {
    let mut state = five_polls();
    let down = KeyEvent::new(KeyCode::Down, KeyModifiers::NONE);
    let shown = |state: &State| state.lines(2).0.into_iter().map(|line| line.rank).collect::<Vec<_>>();
    state.key(down);
    assert_eq!(shown(&state), [2, 3]);
    (0..9).for_each(|_| assert_eq!(state.key(down), Reaction::Redraw));
    assert_eq!(shown(&state), [4, 5]);
    state.key(KeyEvent::new(KeyCode::Home, KeyModifiers::NONE));
    assert_eq!(shown(&state), [1, 2]);
}

#[test]
fn paused_the_screen_stands_still_and_polling_goes_on() {
    let mut state = five_polls();
    press(&mut state, " ");
    let still = screen(&state, 140, 10);
    assert!(still.contains("PAUSED"));
    let more = polled(&state, &[(1, Some("New"), 5, 5)]);
    assert!(!state.take(more));
    assert_eq!(screen(&state, 140, 10), still);
    press(&mut state, " ");
    assert_eq!(keys_of_lines(&state), ["1 AS1"]);
    // The total's line has the poll before and the new one.
    assert_eq!(state.shown().total.line(6, |rates| rates[0]).chars().filter(|&c| c != ' ').count(), 5);
}

#[test]
fn another_question_is_asked_at_once_and_answers_to_the_old_one_are_passed_over() {
    let mut state = five_polls();
    let late = polled(&state, &NETWORKS);
    assert_eq!(press(&mut state, "ag"), [Reaction::Nothing, Reaction::Ask]);
    assert_eq!(state.question().by, ByArg::Group);
    assert!(!state.take(late));
    assert_eq!(keys_of_lines(&state), Vec::<String>::new());
    for window in ["last 5m", "last 1h", "now"] {
        assert_eq!(press(&mut state, "w"), [Reaction::Ask]);
        let title = screen(&state, 80, 4);
        assert!(title.contains(&format!("by group, {window}")), "{title}");
    }
    // A window from the command line is one of them.
    let window = Window::Last("24h".parse().unwrap());
    let mut state = State::new("http://a".to_owned(), Question { window, ..question() });
    let windows: Vec<Window> = (0..4)
        .map(|_| {
            press(&mut state, "w");
            state.question().window
        })
        .collect();
    assert_eq!(windows.iter().filter(|&&other| other == window).count(), 1);
    assert_eq!(windows.last(), Some(&window));
}

#[test]
fn keys_that_end_it() {
    let control = |c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL);
    let mut state = five_polls();
    assert_eq!(press(&mut state, "q"), [Reaction::End]);
    assert_eq!(state.key(control('c')), Reaction::End);
    assert_eq!(press(&mut state, "/q"), [Reaction::Redraw; 2]);
    assert_eq!(state.key(control('c')), Reaction::End);
    assert_eq!(state.key(control('q')), Reaction::Nothing);
    assert_eq!(state.filter(), "q");
}

#[test]
fn less_than_the_last_row_of_a_full_list_is_not_zero() {
    let networks: Vec<Known> = (1..=super::state::ROWS as u32 + 1)
        .map(|asn| (asn, None, u64::from(asn) * 1000, if asn == 1 { 7_000_000 } else { 0 }))
        .collect();
    let mut top = answer(&networks);
    // The agent lists no more than it was asked for: AS1 is the smallest of those in.
    top.directions.inward.as_mut().unwrap().rows.truncate(super::state::ROWS);
    let mut state = State::new("http://a".to_owned(), question());
    state.take(Polled { question: question(), top: Ok(top), coverage: None });
    let (lines, passing) = state.lines(1);
    assert_eq!((lines[0].key.as_str(), lines[0].rates, passing), ("AS1", [None, Some(5_600_000)], 1001));
    let (lines, _) = state.lines(2);
    assert_eq!(lines[1].rates, [Some(800_800), Some(0)]);
    // Heading and first row; the second row does not fit above the total.
    let shown = screen(&state, 80, 6);
    let row: Vec<&str> = shown.lines().nth(2).unwrap().split_whitespace().collect();
    assert_eq!(row[..4], ["1", "AS1", "<", "5.60"]);
}
