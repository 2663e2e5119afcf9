//! How answers are shown: units for people, raw integers for machines.

use std::{
    env,
    io::{self, IsTerminal as _},
};

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, TableStyle};

/// Columns where there is no terminal to ask.
const DEFAULT_WIDTH: usize = 120;
/// Blanks between columns.
const GAP: u16 = 2;

/// What the answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Tables with units.
    People(Screen),
    /// JSON.
    Json,
    /// CSV.
    Csv,
}

/// Where a table for people is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Screen {
    /// Columns.
    pub(super) width: usize,
    /// Whether colours are wanted.
    pub(super) colour: bool,
}

impl Screen {
    /// Colours only on a terminal that has them, and not with `NO_COLOR` (no-color.org).
    pub(super) fn of_stdout() -> Self {
        let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        let columns = || env::var("COLUMNS").ok()?.parse().ok();
        Self {
            width: Table::new().width().map(usize::from).or_else(columns).unwrap_or(DEFAULT_WIDTH).max(40),
            colour: io::stdout().is_terminal() && !set("NO_COLOR") && !dumb,
        }
    }

    /// An empty table without lines.
    pub(super) fn table(self) -> Table {
        let mut table = Table::new();
        table.load_style(TableStyle::new()).set_content_arrangement(ContentArrangement::Disabled);
        if self.colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table
    }
}

/// A table's text, without blanks at the ends of lines.
pub(super) fn finish(mut table: Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
    }
    let text = table.to_string();
    let mut lines = String::with_capacity(text.len());
    for line in text.lines() {
        lines.push_str(line.trim_end());
        lines.push('\n');
    }
    lines
}

/// A column's heading.
pub(super) fn heading(text: impl ToString) -> Cell {
    Cell::new(text).add_attribute(Attribute::Bold)
}

/// The heading of a column of numbers.
pub(super) fn number_heading(text: impl ToString) -> Cell {
    heading(text).set_alignment(CellAlignment::Right)
}

/// A number, at the right of its column.
pub(super) fn number(text: impl ToString) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

/// Text that came from elsewhere.
pub(super) fn text(text: &str) -> Cell {
    Cell::new(clean(text))
}

/// What is less important.
pub(super) fn dim(cell: Cell) -> Cell {
    cell.add_attribute(Attribute::Dim)
}

/// What someone should look at.
pub(super) fn alarm(cell: Cell) -> Cell {
    cell.fg(Color::Red)
}

/// Text from a table or an agent, safe for a terminal: no control characters.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// At most `width` characters.
pub(super) fn clip(text: &str, width: usize) -> String {
    let text = clean(text);
    if text.chars().count() <= width {
        return text;
    }
    let mut clipped: String = text.chars().take(width.saturating_sub(1)).collect();
    clipped.truncate(clipped.trim_end().len());
    clipped.push('…');
    clipped
}

/// Three significant digits and an SI prefix: `999`, `1.23 k`, `45.6 M`.
pub(super) fn si(value: f64) -> String {
    const PREFIXES: [&str; 7] = ["", " k", " M", " G", " T", " P", " E"];
    let mut scaled = value.max(0.0);
    let mut index = 0;
    // What rounds to 1000 is 1.00 of the next prefix.
    while scaled >= 999.5 && index + 1 < PREFIXES.len() {
        scaled /= 1000.0;
        index += 1;
    }
    let decimals = match scaled {
        _ if index == 0 => 0,
        s if s < 9.995 => 2,
        s if s < 99.95 => 1,
        _ => 0,
    };
    format!("{scaled:.decimals$}{}", PREFIXES.get(index).copied().unwrap_or_default())
}

/// A size: `520 GB`.
pub(super) fn bytes(value: u64) -> String {
    let number = si(value as f64);
    if number.contains(' ') { format!("{number}B") } else { format!("{number} B") }
}

/// A share of all: `12.3%`.
pub(super) fn share(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

/// A change, of which 0.1 is a tenth more: `+10.0%`, `-5.5%`; from the tenfold on `x12`.
pub(super) fn change(change: f64) -> String {
    if change >= 9.0 { format!("x{:.0}", change + 1.0) } else { format!("{:+.1}%", change * 100.0) }
}

/// A length of time in its two largest units: `3d 4h`.
pub(super) fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

/// A CSV field that may be empty.
pub(super) fn optional(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_significant_digits() {
        for (value, shown) in [
            (0.0, "0"),
            (999.0, "999"),
            (999.5, "1.00 k"),
            (1_000.0, "1.00 k"),
            (1_234.0, "1.23 k"),
            (9_994.0, "9.99 k"),
            (9_995.0, "10.0 k"),
            (99_949.0, "99.9 k"),
            (99_950.0, "100 k"),
            (999_499.0, "999 k"),
            (999_500.0, "1.00 M"),
            (520e9, "520 G"),
            (1.844e19, "18.4 E"),
            (1e22, "10000 E"),
            (-1.0, "0"),
        ] {
            assert_eq!(si(value), shown, "{value}");
        }
    }

    #[test]
    fn units() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(520_000_000_000), "520 GB");
        assert_eq!(share(0.12345), "12.3%");
        assert_eq!(share(1.0), "100.0%");
        assert_eq!((change(0.1), change(-0.055)), ("+10.0%".to_owned(), "-5.5%".to_owned()));
        assert_eq!((change(0.0), change(11.2)), ("+0.0%".to_owned(), "x12".to_owned()));
    }

    #[test]
    fn durations() {
        for (seconds, shown) in
            [(0, "0s"), (59, "59s"), (60, "1m 0s"), (3_599, "59m 59s"), (3_600, "1h 0m"), (90_061, "1d 1h")]
        {
            assert_eq!(duration(seconds), shown);
        }
    }

    #[test]
    fn a_name_cannot_drive_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb\u{fffd}c");
        assert_eq!(clip("Netflix Streaming Services", 10), "Netflix S…");
        assert_eq!(clip("Netflix Streaming", 9), "Netflix…");
        assert_eq!(clip("Netflix", 7), "Netflix");
    }
}
