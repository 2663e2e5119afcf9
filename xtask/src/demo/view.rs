//! What people see: lines, and under them a block that is drawn anew each second where there is a terminal.

use std::{
    fmt::Write as _,
    io::{IsTerminal as _, Write as _, stderr},
    sync::{Mutex, PoisonError},
};

use super::{
    api::{Row, Top, TopDirection},
    generator::Count,
};

/// ASes shown a direction.
pub(crate) const ROWS: usize = 12;

/// Standard error: standard output is for the result.
pub(crate) struct View {
    terminal: bool,
    /// The lines of the block.
    block: Mutex<Vec<String>>,
}

impl View {
    pub(crate) fn new() -> Self {
        Self { terminal: stderr().is_terminal(), block: Mutex::default() }
    }

    /// A line that stays.
    pub(crate) fn say(&self, line: &str) {
        let block = self.block.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = self.erase(&block);
        _ = writeln!(text, "{line}");
        for line in self.terminal.then_some(block.iter()).into_iter().flatten() {
            _ = writeln!(text, "{line}");
        }
        put(&text);
    }

    /// The block; where there is no terminal, every tenth of them as lines.
    pub(crate) fn draw(&self, second: u64, lines: Vec<String>) {
        if !self.terminal && !second.is_multiple_of(10) {
            return;
        }
        let mut block = self.block.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = self.erase(&block);
        for line in &lines {
            _ = writeln!(text, "{line}");
        }
        put(&text);
        *block = lines;
    }

    /// Leaves the block where it is, as lines that stay.
    pub(crate) fn keep(&self) {
        self.block.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn erase(&self, block: &[String]) -> String {
        match block.len() {
            lines if self.terminal && lines > 0 => format!("\x1b[{lines}A\x1b[J"),
            _ => String::new(),
        }
    }
}

fn put(text: &str) {
    // Nobody to show it to is no reason to stop.
    let _ = stderr().write_all(text.as_bytes());
}

/// The top of both directions side by side, narrow enough for 100 columns.
pub(crate) fn table(top: &Top) -> Vec<String> {
    let (inward, outward) = (&top.directions.inward, &top.directions.outward);
    let half = |text: String| format!("{text:<49}");
    let head = |name: &str, direction: &TopDirection| {
        half(format!("{name} {}", rate(direction.total.bits_per_second)))
    };
    let both = |left: String, right: String| format!("{left}  {right}").trim_end().to_owned();
    let mut lines = vec![both(head("in", inward), head("out", outward))];
    let rows = inward.rows.len().max(outward.rows.len()).min(ROWS);
    lines.extend((0..rows).map(|index| {
        let cell = |direction: &TopDirection| half(direction.rows.get(index).map_or_else(String::new, row));
        both(cell(inward), cell(outward))
    }));
    lines
}

fn row(row: &Row) -> String {
    let name: String = row.name.as_deref().unwrap_or("?").chars().take(20).collect();
    let share = row.share.unwrap_or_default() * 100.0;
    format!("AS{:<7}{name:<20} {:>11} {share:>5.1} %", row.asn, rate(row.rated.bits_per_second))
}

/// Bits a second, with a prefix.
pub(crate) fn rate(bits_per_second: f64) -> String {
    scaled(bits_per_second, "b/s")
}

/// Packets and bytes, in full.
pub(crate) fn exact(count: Count) -> String {
    format!("{} packets, {} bytes", grouped(count.packets), grouped(count.bytes))
}

fn scaled(value: f64, unit: &str) -> String {
    let steps = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
    match steps.into_iter().find(|(step, _)| value >= *step) {
        Some((step, prefix)) => format!("{:.1} {prefix}{unit}", value / step),
        None => format!("{value:.0} {unit}"),
    }
}

/// Thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{grouped, rate};

    #[test]
    fn numbers_for_people() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1000), "1,000");
        assert_eq!(grouped(12_345_678), "12,345,678");
        assert_eq!(rate(999.0), "999 b/s");
        assert_eq!(rate(1_500.0), "1.5 kb/s");
        assert_eq!(rate(2_340_000_000.0), "2.3 Gb/s");
    }
}
