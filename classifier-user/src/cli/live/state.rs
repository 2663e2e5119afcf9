//! What is shown, and what keys and answers do to it. Knows neither the terminal nor the network.

use std::{cmp::Reverse, collections::HashMap};

use jiff::Timestamp;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{
    super::{
        answers::{Amount, Top, TopDirection},
        args::{ByArg, DirectionArg, SideArg},
        ranking::key_and_name,
    },
    course::{Course, Rates},
};
use crate::config::Span;

/// Rows that are asked for in each direction: those that a filter may want, too.
pub(super) const ROWS: usize = 1000;

/// Over what time rates are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Window {
    /// The last sweeps.
    Now,
    /// The last so long.
    Last(Span),
}

/// What the agent is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Question {
    pub(in super::super) by: ByArg,
    /// Only this direction.
    pub(in super::super) direction: Option<DirectionArg>,
    pub(in super::super) side: SideArg,
    pub(in super::super) links: Vec<String>,
    pub(in super::super) window: Window,
}

/// What came of asking.
#[derive(Debug)]
pub(super) struct Polled {
    pub(super) question: Question,
    /// The ranking, or why there is none: a line.
    pub(super) top: Result<Top, String>,
    /// Matched bytes of all IP bytes of the last hour; `None` without traffic.
    pub(super) coverage: Option<f64>,
}

/// What rows are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    In,
    Out,
    Total,
    Name,
}

/// What a key led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    Nothing,
    Redraw,
    /// Another question is to be asked.
    Ask,
    End,
}

/// A row, both directions beside each other.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    /// Its place among all, from 1, whatever is filtered.
    pub(super) rank: usize,
    /// What its course is kept under.
    pub(super) id: String,
    pub(super) key: String,
    pub(super) name: Option<String>,
    /// `None`: less than the last row that the agent lists.
    pub(super) rates: Rates,
    pub(super) shares: [Option<f64>; 2],
}

/// What the agent said last.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    /// Its ranking; `None` before the first answer.
    pub(super) top: Option<Top>,
    /// All rows in no order.
    lines: Vec<Line>,
    courses: HashMap<String, Course>,
    /// The course of the total.
    pub(super) total: Course,
    pub(super) coverage: Option<f64>,
    /// Why there was no answer to the last question.
    pub(super) trouble: Option<String>,
}

/// The state of the screen.
#[derive(Debug)]
pub(super) struct State {
    agent: String,
    question: Question,
    /// The window that was asked for at the start.
    wanted: Window,
    sort: Sort,
    filter: String,
    editing: bool,
    /// How many rows are scrolled over.
    first: usize,
    now: Shown,
    /// What was shown when it was paused.
    paused: Option<Shown>,
}

impl State {
    pub(super) fn new(agent: String, question: Question) -> Self {
        let sort = match question.direction {
            None => Sort::Total,
            Some(DirectionArg::In) => Sort::In,
            Some(DirectionArg::Out) => Sort::Out,
        };
        Self {
            agent,
            wanted: question.window,
            question,
            sort,
            filter: String::new(),
            editing: false,
            first: 0,
            now: Shown::default(),
            paused: None,
        }
    }

    /// Where the agent is.
    pub(super) fn agent(&self) -> &str {
        &self.agent
    }

    pub(super) fn question(&self) -> &Question {
        &self.question
    }

    pub(super) fn sort(&self) -> Sort {
        self.sort
    }

    pub(super) fn filter(&self) -> &str {
        &self.filter
    }

    /// Whether keys go into the filter.
    pub(super) fn is_editing(&self) -> bool {
        self.editing
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// What is on the screen.
    pub(super) fn shown(&self) -> &Shown {
        self.paused.as_ref().unwrap_or(&self.now)
    }

    /// Takes what came of asking; whether that changes the screen.
    pub(super) fn take(&mut self, polled: Polled) -> bool {
        if polled.question != self.question {
            return false;
        }
        match polled.top {
            Ok(top) => {
                self.now.coverage = polled.coverage;
                self.now.take(top);
            }
            Err(trouble) => self.now.miss(trouble),
        }
        self.paused.is_none()
    }

    /// What a key does.
    pub(super) fn key(&mut self, key: KeyEvent) -> Reaction {
        if key.kind == KeyEventKind::Release {
            return Reaction::Nothing;
        }
        if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
            let end = key.modifiers == KeyModifiers::CONTROL && key.code == KeyCode::Char('c');
            return if end { Reaction::End } else { Reaction::Nothing };
        }
        if self.editing { self.edit(key.code) } else { self.command(key.code) }
    }

    fn edit(&mut self, code: KeyCode) -> Reaction {
        match code {
            KeyCode::Char(c) => self.filter.push(c),
            KeyCode::Backspace => {
                if self.filter.pop().is_none() {
                    self.editing = false;
                }
            }
            KeyCode::Enter => self.editing = false,
            KeyCode::Esc => {
                self.filter.clear();
                self.editing = false;
            }
            _ => return Reaction::Nothing,
        }
        self.first = 0;
        Reaction::Redraw
    }

    fn command(&mut self, code: KeyCode) -> Reaction {
        let only = self.question.direction;
        match code {
            KeyCode::Char('q') => return Reaction::End,
            KeyCode::Char(' ') => {
                self.paused = match self.paused {
                    Some(_) => None,
                    None => Some(self.now.clone()),
                }
            }
            KeyCode::Char('/') => self.editing = true,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Char('i') if only != Some(DirectionArg::Out) => self.sort = Sort::In,
            KeyCode::Char('o') if only != Some(DirectionArg::In) => self.sort = Sort::Out,
            KeyCode::Char('t') if only.is_none() => self.sort = Sort::Total,
            KeyCode::Char('n') => self.sort = Sort::Name,
            KeyCode::Char('a') => return self.look_by(ByArg::As),
            KeyCode::Char('g') => return self.look_by(ByArg::Group),
            KeyCode::Char('k') => return self.look_by(ByArg::Kind),
            KeyCode::Char('l') => return self.look_by(ByArg::Link),
            KeyCode::Char('p') => return self.look_by(ByArg::Prefix),
            KeyCode::Char('b') => return self.look_by(ByArg::Neighbor),
            KeyCode::Char('r') => return self.look_by(ByArg::Transit),
            KeyCode::Char('w') => return self.next_window(),
            KeyCode::Down => self.first = self.first.saturating_add(1),
            KeyCode::Up => self.first = self.first.saturating_sub(1),
            KeyCode::PageDown => self.first = self.first.saturating_add(10),
            KeyCode::PageUp => self.first = self.first.saturating_sub(10),
            KeyCode::Home => self.first = 0,
            _ => return Reaction::Nothing,
        }
        Reaction::Redraw
    }

    fn look_by(&mut self, by: ByArg) -> Reaction {
        if self.question.by == by {
            return Reaction::Nothing;
        }
        self.question.by = by;
        self.first = 0;
        self.begin_anew()
    }

    /// The next of the windows: now, five minutes, an hour, and what was asked for at the start.
    fn next_window(&mut self) -> Reaction {
        let mut windows = vec![Window::Now];
        windows
            .extend([300, 3600].map(|seconds| Window::Last(Span(std::time::Duration::from_secs(seconds)))));
        if !windows.contains(&self.wanted) {
            windows.push(self.wanted);
        }
        let place = windows.iter().position(|&window| window == self.question.window).unwrap_or(0);
        self.question.window = windows.get((place + 1) % windows.len()).copied().unwrap_or(Window::Now);
        self.begin_anew()
    }

    /// Another question: what is remembered is of other rows, or of other rates.
    fn begin_anew(&mut self) -> Reaction {
        let coverage = self.now.coverage;
        self.now = Shown { coverage, ..Shown::default() };
        self.paused = None;
        Reaction::Ask
    }

    /// The rows that pass the filter, as they are sorted, `height` of them from where it is scrolled to; and how many pass.
    pub(super) fn lines(&self, height: usize) -> (Vec<Line>, usize) {
        let mut lines = self.shown().lines.clone();
        let by_rate = |line: &Line| {
            let [inward, outward] = line.rates.map(|rate| rate.unwrap_or(0));
            match self.sort {
                Sort::In => (inward, outward),
                Sort::Out => (outward, inward),
                Sort::Total | Sort::Name => (inward.saturating_add(outward), inward),
            }
        };
        lines.sort_by_cached_key(|line| (Reverse(by_rate(line)), line.id.clone()));
        for (index, line) in lines.iter_mut().enumerate() {
            line.rank = index + 1;
        }
        if self.sort == Sort::Name {
            lines.sort_by_cached_key(|line| {
                let name = line.name.as_ref().unwrap_or(&line.key).to_lowercase();
                (name, line.id.clone())
            });
        }
        let wanted = self.filter.to_lowercase();
        lines.retain(|line| {
            let name = line.name.as_ref().is_some_and(|name| name.to_lowercase().contains(&wanted));
            name || line.key.to_lowercase().contains(&wanted)
        });
        let passing = lines.len();
        let first = self.first.min(passing.saturating_sub(height));
        lines.drain(..first);
        lines.truncate(height);
        (lines, passing)
    }
}

impl Shown {
    /// The course of a row.
    pub(super) fn course(&self, line: &Line) -> Option<&Course> {
        self.courses.get(&line.id)
    }

    /// When the ranking ended.
    pub(super) fn until(&self) -> Option<Timestamp> {
        self.top.as_ref().map(|top| top.to)
    }

    /// By direction: what was asked of the answer, 0 where the direction is not shown.
    pub(super) fn totals(&self, of: impl Fn(&TopDirection) -> Amount) -> [Amount; 2] {
        let directions = self.top.as_ref().map(|top| [&top.directions.inward, &top.directions.outward]);
        directions.map_or([Amount::default(); 2], |directions| {
            directions.map(|direction| direction.as_ref().map(&of).unwrap_or_default())
        })
    }

    fn take(&mut self, top: Top) {
        self.trouble = None;
        let mut lines: Vec<Line> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        let directions = [&top.directions.inward, &top.directions.outward];
        // A row that is not listed has nothing, unless the list is full.
        let absent = directions.map(|direction| {
            direction.as_ref().and_then(|direction| (direction.rows.len() < ROWS).then_some(0))
        });
        for (index, direction) in directions.into_iter().enumerate() {
            for row in direction.iter().flat_map(|direction| &direction.rows) {
                let (key, name) = key_and_name(row);
                // A prefix may have had two origins, which are two rows.
                let id = format!("{key} {}", row.asn.unwrap_or(0));
                let place = *places.entry(id.clone()).or_insert_with(|| {
                    lines.push(Line { rank: 0, id, key, name, rates: absent, shares: [None; 2] });
                    lines.len() - 1
                });
                let Some(line) = lines.get_mut(place) else { continue };
                let (rate, share) = (row.bits_per_second, row.share);
                match index {
                    0 => (line.rates[0], line.shares[0]) = (Some(rate), share),
                    _ => (line.rates[1], line.shares[1]) = (Some(rate), share),
                }
            }
        }
        for line in &lines {
            self.courses.entry(line.id.clone()).or_default().push(line.rates);
        }
        self.courses.retain(|id, course| {
            if !places.contains_key(id) {
                course.push(absent);
            }
            !course.is_idle()
        });
        let totals =
            directions.map(|direction| direction.as_ref().map(|direction| direction.total.bits_per_second));
        self.total.push(totals);
        self.lines = lines;
        self.top = Some(top);
    }

    /// There was no answer: a hole in each course.
    fn miss(&mut self, trouble: String) {
        self.trouble = Some(trouble);
        if self.top.is_some() {
            self.courses.values_mut().for_each(|course| course.push([None; 2]));
            self.courses.retain(|_, course| !course.is_idle());
            self.total.push([None; 2]);
        }
    }
}
