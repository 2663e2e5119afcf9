//! What a section prints: tables, targets and whether they were reached; the same as JSON.

use std::fmt;

use serde_json::{Map, Value, json};

/// A value of a table.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    Text(String),
    Whole(u64),
    /// With so many decimals when printed.
    Number(f64, usize),
    /// `a` times as much.
    Ratio(f64),
    None,
}

impl Cell {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    fn json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Whole(number) => json!(number),
            Self::Number(number, decimals) => rounded(*number, (*decimals).max(2)),
            Self::Ratio(number) => rounded(*number, 2),
            Self::None => Value::Null,
        }
    }
}

fn rounded(number: f64, decimals: usize) -> Value {
    let scale = 10f64.powi(decimals as i32);
    json!((number * scale).round() / scale)
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Whole(number) => f.write_str(&grouped(*number)),
            Self::Number(number, 0) => f.write_str(&grouped(number.round() as u64)),
            Self::Number(number, decimals) => write!(f, "{number:.decimals$}"),
            Self::Ratio(number) if *number < 10.0 => write!(f, "{number:.2} x"),
            Self::Ratio(number) => write!(f, "{number:.1} x"),
            Self::None => f.write_str("-"),
        }
    }
}

/// 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A table: columns by their name in JSON and their heading.
#[derive(Debug)]
pub(crate) struct Table {
    key: &'static str,
    title: String,
    columns: &'static [(&'static str, &'static str)],
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// `key` is its name in JSON.
    pub(crate) fn new(
        key: &'static str,
        title: impl Into<String>,
        columns: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self { key, title: title.into(), columns, rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let row: Vec<Cell> = cells.into_iter().collect();
        assert_eq!(row.len(), self.columns.len(), "cells of a row of {}", self.key);
        self.rows.push(row);
    }

    fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let pairs = self.columns.iter().zip(row);
            pairs.map(|((key, _), cell)| ((*key).to_owned(), cell.json())).collect::<Map<_, _>>()
        });
        json!({ "title": self.title, "rows": rows.collect::<Vec<_>>() })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: Vec<Vec<String>> =
            vec![self.columns.iter().map(|(_, heading)| (*heading).to_owned()).collect()];
        lines.extend(self.rows.iter().map(|row| row.iter().map(Cell::to_string).collect()));
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
            .collect();
        if !self.title.is_empty() {
            writeln!(f, "  {}", self.title)?;
        }
        for line in lines {
            let mut text = String::from("   ");
            for (column, (cell, &width)) in line.iter().zip(&widths).enumerate() {
                // What a row is about stands left, numbers stand right.
                let left = self.rows.iter().all(|row| matches!(row[column], Cell::Text(_)));
                text += &if left { format!(" {cell:<width$} ") } else { format!(" {cell:>width$} ") };
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        writeln!(f)
    }
}

/// A figure to be reached.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) what: &'static str,
    pub(crate) value: f64,
    pub(crate) goal: Goal,
    pub(crate) unit: &'static str,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    fn reached(&self) -> bool {
        match self.goal {
            Goal::AtLeast(goal) => self.value >= goal,
            Goal::AtMost(goal) => self.value <= goal,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: f64| {
            if number >= 10_000.0 {
                grouped(number.round() as u64)
            } else if number == number.round() || number >= 1000.0 {
                format!("{number:.0}")
            } else if number >= 100.0 {
                format!("{number:.1}")
            } else {
                format!("{number:.2}")
            }
        };
        let (word, goal) = match self.goal {
            Goal::AtLeast(goal) => ("at least", goal),
            Goal::AtMost(goal) => ("at most", goal),
        };
        let reached = if self.reached() { "reached" } else { "NOT REACHED" };
        let Self { what, value, unit, .. } = self;
        write!(f, "  {what}: {} {unit}, target {word} {} {unit}: {reached}", number(*value), number(goal))
    }
}

/// A section's result.
#[derive(Debug, Default)]
pub(crate) struct Section {
    /// What was measured, in a line or two.
    pub(crate) about: String,
    pub(crate) tables: Vec<Table>,
    pub(crate) targets: Vec<Target>,
    pub(crate) notes: Vec<String>,
}

impl Section {
    pub(crate) fn missed(&self) -> impl Iterator<Item = &'static str> {
        self.targets.iter().filter(|target| !target.reached()).map(|target| target.what)
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.about)?;
        for table in &self.tables {
            table.fmt(f)?;
        }
        for note in &self.notes {
            writeln!(f, "  {note}")?;
        }
        for target in &self.targets {
            writeln!(f, "{target}")?;
        }
        Ok(())
    }
}

/// What ran it: enough to judge the figures by.
#[derive(Debug)]
pub(crate) struct Machine {
    cpus: usize,
    model: String,
    kernel: String,
    load: f64,
}

impl Machine {
    pub(crate) fn this() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let info = read("/proc/cpuinfo");
        let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            cpus: std::thread::available_parallelism().map_or(0, Into::into),
            model: model.map_or_else(|| "unknown".to_owned(), |(_, model)| model.to_owned()),
            kernel: read("/proc/sys/kernel/osrelease")
                .trim()
                .split('-')
                .next()
                .unwrap_or_default()
                .to_owned(),
            load: read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpus, model, kernel, load } = self;
        write!(f, "{cpus} CPUs ({model}), Linux {kernel}, load {load:.1} at the start")
    }
}

/// Everything.
pub(crate) fn json(machine: &Machine, sections: &[(&'static str, Section)]) -> Value {
    let Machine { cpus, model, kernel, load } = machine;
    let sections = sections.iter().map(|(name, section)| {
        let tables: Map<_, _> =
            section.tables.iter().map(|table| (table.key.to_owned(), table.json())).collect();
        let targets = section.targets.iter().map(|target| {
            let (word, goal) = match target.goal {
                Goal::AtLeast(goal) => ("at_least", goal),
                Goal::AtMost(goal) => ("at_most", goal),
            };
            json!({
                "what": target.what, "value": rounded(target.value, 3), word: goal, "unit": target.unit,
                "reached": target.reached(),
            })
        });
        json!({
            "section": name, "about": section.about, "tables": tables, "notes": section.notes,
            "targets": targets.collect::<Vec<_>>(),
        })
    });
    json!({
        "machine": { "cpus": cpus, "model": model, "kernel": kernel, "load": load },
        "sections": sections.collect::<Vec<_>>(),
    })
}
