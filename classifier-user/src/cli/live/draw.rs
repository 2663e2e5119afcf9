//! The state as a frame: a title, the ranking, the total, a line of notes, and what the keys do.

use ratatui::{
    Frame,
    layout::{Alignment, Constraint, Layout, Rect},
    style::Stylize as _,
    text::{Line as Text, Span},
    widgets::{Cell, Paragraph, Row, Table},
};

use super::{
    super::{
        answers::Amount,
        args::{ByArg, DirectionArg},
        output::{clean, clip, share, si},
    },
    course::{Course, Rates},
    state::{Line, Shown, Sort, State, Window},
};

/// `99.9 k`, `10000 E`.
const RATE: u16 = 7;
/// `100.0%`.
const SHARE: u16 = 6;
const RANK: u16 = 4;
/// The least, where there is more than the rates; and the most.
const NAME: [u16; 2] = [16, 44];
const TREND: [u16; 2] = [8, 60];

/// Draws the state.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State) {
    let [title, ranking, notes, help] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    draw_title(frame, title, state);
    let shown = state.shown();
    match &shown.top {
        Some(_) => draw_ranking(frame, ranking, state),
        None => draw_waiting(frame, ranking, state),
    }
    draw_notes(frame, notes, shown);
    draw_help(frame, help, state);
}

fn draw_title(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let question = state.question();
    let shown = state.shown();
    let router = shown.top.as_ref().map_or_else(|| clean(state.agent()), |top| clean(&top.router));
    let mut parts = vec![format!("by {}", what(question.by)), window(question.window)];
    if question.side != super::super::args::SideArg::Remote {
        parts.push(format!("{} side", question.side.name()));
    }
    parts.extend(question.direction.map(|direction| format!("{} only", direction.name())));
    parts.extend(question.links.iter().map(|link| clean(link)));
    let left = Text::from(vec![Span::from(router).bold(), Span::from(format!("  {}", parts.join(", ")))]);
    let time = shown.until().map(|until| until.strftime("%T UTC").to_string()).unwrap_or_default();
    let right = if state.is_paused() {
        Text::from(vec![Span::from("PAUSED").reversed(), Span::from(format!("  {time}"))])
    } else {
        Text::from(time)
    };
    let width = u16::try_from(right.width()).unwrap_or(u16::MAX);
    let [left_area, right_area] =
        Layout::horizontal([Constraint::Min(0), Constraint::Length(width)]).spacing(1).areas(area);
    frame.render_widget(Paragraph::new(left), left_area);
    frame.render_widget(Paragraph::new(right), right_area);
}

/// What a row is.
fn what(by: ByArg) -> &'static str {
    match by {
        ByArg::As => "AS",
        by => by.name(),
    }
}

fn window(window: Window) -> String {
    match window {
        Window::Now => "now".to_owned(),
        Window::Last(span) => format!("last {span}"),
    }
}

fn draw_waiting(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let text = match &state.shown().trouble {
        Some(_) => "no answer yet".to_owned(),
        None => format!("asking {} …", clean(state.agent())),
    };
    let [_, line, _] =
        Layout::vertical([Constraint::Fill(1), Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    frame.render_widget(Paragraph::new(text).alignment(Alignment::Center), line);
}

/// Which columns fit, and how wide they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Columns {
    key: u16,
    /// 0: none.
    name: u16,
    shares: bool,
    /// Of each trend; 0: none.
    trend: u16,
    /// One trend for both directions.
    one_trend: bool,
}

impl Columns {
    fn fit(width: u16, key: usize, named: bool, directions: u16) -> Self {
        let key = u16::try_from(key).unwrap_or(u16::MAX).clamp(5, (width / 3).max(12));
        let name = |least: u16| if named { least + 1 } else { 0 };
        let rates = RANK + 1 + key + directions * (1 + RATE);
        let all = rates + name(NAME[0]) + directions * (1 + SHARE + 1 + TREND[0]);
        let no_shares = rates + name(10) + directions * (1 + TREND[0]);
        let one = rates + name(8) + 1 + TREND[0];
        let given = |needed: u16, least: u16, trends: u16| {
            // What is left goes to the name and to the trends, half each.
            let left = width.saturating_sub(needed);
            let to_name = if named { (left / 2).min(NAME[1] - least) } else { 0 };
            let to_trends = (left - to_name).checked_div(trends).unwrap_or(0).min(TREND[1] - TREND[0]);
            (
                if named { least + left.saturating_sub(to_trends * trends).min(NAME[1] - least) } else { 0 },
                to_trends,
            )
        };
        if width >= all {
            let (name, trend) = given(all, NAME[0], directions);
            Self { key, name, shares: true, trend: TREND[0] + trend, one_trend: false }
        } else if width >= no_shares {
            let (name, trend) = given(no_shares, 10, directions);
            Self { key, name, shares: false, trend: TREND[0] + trend, one_trend: false }
        } else if width >= one {
            let (name, trend) = given(one, 8, 1);
            Self { key, name, shares: false, trend: TREND[0] + trend, one_trend: true }
        } else {
            let (name, _) = given(rates + name(4), 4, 0);
            let fits = width >= rates + 5;
            Self { key, name: if fits { name } else { 0 }, shares: false, trend: 0, one_trend: true }
        }
    }

    fn constraints(self, directions: usize) -> Vec<Constraint> {
        let mut widths = vec![RANK, self.key];
        widths.extend((self.name > 0).then_some(self.name));
        for _ in 0..directions {
            widths.push(RATE);
            widths.extend(self.shares.then_some(SHARE));
            widths.extend((self.trend > 0 && !self.one_trend).then_some(self.trend));
        }
        widths.extend((self.trend > 0 && self.one_trend).then_some(self.trend));
        widths.into_iter().map(Constraint::Length).collect()
    }
}

/// The directions that are shown: places in what there is by direction.
fn directions(only: Option<DirectionArg>) -> &'static [(usize, &'static str, Sort)] {
    const BOTH: &[(usize, &str, Sort)] = &[(0, "IN", Sort::In), (1, "OUT", Sort::Out)];
    match only {
        None => BOTH,
        Some(DirectionArg::In) => &BOTH[..1],
        Some(DirectionArg::Out) => &BOTH[1..],
    }
}

fn both(rates: &Rates) -> Option<u64> {
    match rates {
        [None, None] => None,
        rates => Some(rates.iter().flatten().copied().fold(0, u64::saturating_add)),
    }
}

fn draw_ranking(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let shown = state.shown();
    let directions = directions(state.question().direction);
    // The heading and the total.
    let height = usize::from(area.height.saturating_sub(2));
    let (lines, _) = state.lines(height);
    let key = lines.iter().map(|line| line.key.chars().count()).max().unwrap_or(0);
    let named = lines.iter().any(|line| line.name.is_some());
    let columns = Columns::fit(area.width, key, named, directions.len() as u16);

    let rows = lines.iter().map(|line| row(line, shown.course(line), columns, directions));
    let total = total(shown, columns, directions);
    let rows: Vec<Row<'_>> = rows.collect();
    let filled = rows.len();
    let table = Table::new(rows, columns.constraints(directions.len()))
        .header(heading(state, columns, directions))
        .column_spacing(1);
    let [top, bottom] = Layout::vertical([Constraint::Min(0), Constraint::Length(1)]).areas(area);
    frame.render_widget(table, top);
    frame.render_widget(Table::new([total], columns.constraints(directions.len())).column_spacing(1), bottom);
    if filled == 0 && top.height > 1 {
        let text = if state.filter().is_empty() { "no traffic" } else { "no row has that in its name" };
        let line = Rect { y: top.y + 1, height: 1, ..top };
        frame.render_widget(Paragraph::new(text).alignment(Alignment::Center), line);
    }
}

fn heading(
    state: &State,
    columns: Columns,
    directions: &'static [(usize, &'static str, Sort)],
) -> Row<'static> {
    let marked = |text: &str, sort: Sort| {
        if state.sort() == sort { format!("{text} ▾") } else { text.to_owned() }
    };
    let mut cells = vec![right(marked("#", Sort::Total))];
    let by = what(state.question().by);
    // Names are sorted where they stand.
    cells.push(Cell::from(if columns.name == 0 { marked(by, Sort::Name) } else { by.to_owned() }));
    if columns.name > 0 {
        cells.push(Cell::from(marked("name", Sort::Name)));
    }
    for &(_, name, sort) in directions {
        cells.push(right(marked(name, sort)));
        if columns.shares {
            cells.push(right("share".to_owned()));
        }
        if columns.trend > 0 && !columns.one_trend {
            cells.push(right("trend".to_owned()));
        }
    }
    if columns.trend > 0 && columns.one_trend {
        cells.push(right("trend".to_owned()));
    }
    Row::new(cells).bold()
}

fn row(
    line: &Line,
    course: Option<&Course>,
    columns: Columns,
    directions: &'static [(usize, &'static str, Sort)],
) -> Row<'static> {
    let mut cells =
        vec![right(line.rank.to_string()).dim(), Cell::from(clip(&line.key, usize::from(columns.key)))];
    if columns.name > 0 {
        let name = line.name.as_deref().unwrap_or_default();
        cells.push(Cell::from(clip(name, usize::from(columns.name))));
    }
    for &(index, ..) in directions {
        cells.push(right(rate(line.rates.get(index).copied().flatten())));
        if columns.shares {
            let text = line.shares.get(index).copied().flatten().map(share).unwrap_or_default();
            cells.push(right(text));
        }
        if columns.trend > 0 && !columns.one_trend {
            cells.push(trend(course, columns.trend, index));
        }
    }
    if columns.trend > 0 && columns.one_trend {
        cells.push(trend_of(course, columns.trend, both));
    }
    Row::new(cells)
}

fn total(
    shown: &Shown,
    columns: Columns,
    directions: &'static [(usize, &'static str, Sort)],
) -> Row<'static> {
    let totals = shown.totals(|direction| direction.total);
    let mut cells = vec![Cell::from(""), Cell::from("total")];
    if columns.name > 0 {
        cells.push(Cell::from(""));
    }
    for &(index, ..) in directions {
        let Amount { bits_per_second, .. } = totals.get(index).copied().unwrap_or_default();
        cells.push(right(rate(Some(bits_per_second))));
        if columns.shares {
            cells.push(Cell::from(""));
        }
        if columns.trend > 0 && !columns.one_trend {
            cells.push(trend(Some(&shown.total), columns.trend, index));
        }
    }
    if columns.trend > 0 && columns.one_trend {
        cells.push(trend_of(Some(&shown.total), columns.trend, both));
    }
    Row::new(cells).bold()
}

fn trend(course: Option<&Course>, width: u16, index: usize) -> Cell<'static> {
    trend_of(course, width, |rates| rates.get(index).copied().flatten())
}

fn trend_of(course: Option<&Course>, width: u16, of: impl Fn(&Rates) -> Option<u64>) -> Cell<'static> {
    let line = course.map(|course| course.line(usize::from(width), of)).unwrap_or_default();
    Cell::from(line).cyan()
}

/// Bits a second; `<`: less than the last row that the agent lists.
fn rate(rate: Option<u64>) -> String {
    rate.map_or_else(|| "<".to_owned(), |rate| si(rate as f64))
}

fn right(text: String) -> Cell<'static> {
    Cell::from(Text::from(text).alignment(Alignment::Right))
}

/// Why there is no news, or what of the traffic is in no row.
fn draw_notes(frame: &mut Frame<'_>, area: Rect, shown: &Shown) {
    if let Some(trouble) = &shown.trouble {
        let text = format!("{}; asking again", clean(trouble).trim_end_matches('.'));
        frame.render_widget(Paragraph::new(Span::from(text).red().bold()), area);
        return;
    }
    if shown.top.is_none() {
        return;
    }
    let of_all = |amounts: [Amount; 2]| {
        let total: u64 = shown.totals(|direction| direction.total).iter().map(|total| total.bytes).sum();
        let bytes: u64 = amounts.iter().map(|amount| amount.bytes).sum();
        if total == 0 { "-".to_owned() } else { share(bytes as f64 / total as f64) }
    };
    let mut notes = vec!["bit/s".to_owned()];
    notes.extend(shown.coverage.map(|coverage| format!("coverage {}", share(coverage))));
    notes.push(format!("unmatched {}", of_all(shown.totals(|direction| direction.unmatched))));
    notes.push(format!("non-IP {}", of_all(shown.totals(|direction| direction.non_ip))));
    frame.render_widget(Paragraph::new(notes.join(" · ")).dim(), area);
}

fn draw_help(frame: &mut Frame<'_>, area: Rect, state: &State) {
    if state.is_editing() {
        let text = Text::from(vec![
            Span::from("/").bold(),
            Span::from(clean(state.filter())),
            Span::from("█"),
            Span::from("  enter: keep  esc: all"),
        ]);
        frame.render_widget(Paragraph::new(text), area);
        return;
    }
    let mut keys = Vec::new();
    if !state.filter().is_empty() {
        keys.extend([Span::from(format!("/{}", clean(state.filter()))).reversed(), Span::from(" ")]);
    }
    let sorts = match state.question().direction {
        None => ("i o t n", "sort"),
        Some(DirectionArg::In) => ("i n", "sort"),
        Some(DirectionArg::Out) => ("o n", "sort"),
    };
    let pause = ("space", if state.is_paused() { "go on" } else { "pause" });
    // Most important first: a narrow terminal cuts the rest off.
    let all = [
        ("q", "quit"),
        pause,
        ("/", "filter"),
        sorts,
        ("a g k l p b r", "by"),
        ("w", "window"),
        ("↑ ↓", "rows"),
    ];
    for (key, does) in all {
        keys.extend([Span::from(key).bold(), Span::from(format!(" {does}  "))]);
    }
    frame.render_widget(Paragraph::new(Text::from(keys)), area);
}
