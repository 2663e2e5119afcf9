//! Times in which a link was not counted: those that are over as lines of JSON in the file `gaps.jsonl`, oldest first, each
//! once; those that last in `gaps-open.jsonl`, the same lines with `to` null, which is written anew as a whole when they
//! change, and is not there where none lasts.
//!
//! So whatever ends the agent, the next one goes on with what lasts, from its true beginning. A gap that ends is in the
//! first file before it leaves the second: one that a killed agent left in both is over.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use tracing::warn;

use crate::totals::answer::GapStatus;

const FILE: &str = "gaps.jsonl";
const OPEN: &str = "gaps-open.jsonl";
/// Gaps that wait for a disk that does not take them, at most: the latest.
const WAITING: usize = 4096;

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    over: Vec<GapStatus>,
    /// All that last, if they are not in their file yet.
    open: Option<Vec<GapStatus>>,
    /// That this could not be written was said.
    failing: bool,
}

impl Gaps {
    /// Takes gaps that are over, and those that last where they have changed.
    pub(super) fn take(&mut self, mut over: Vec<GapStatus>, open: Option<Vec<GapStatus>>) {
        self.over.append(&mut over);
        let many = self.over.len().saturating_sub(WAITING);
        self.over.drain(..many);
        self.open = open.or(self.open.take());
    }

    /// Writes what is not written yet; what the disk does not take waits.
    pub(super) fn write(&mut self, directory: &Path) {
        match self.try_write(directory) {
            Ok(()) => self.failing = false,
            Err(error) if !self.failing => {
                warn!("history: gaps of links could not be written, and wait: {error}");
                self.failing = true;
            }
            Err(_) => {}
        }
    }

    fn try_write(&mut self, directory: &Path) -> io::Result<()> {
        if !self.over.is_empty() {
            append(directory, &lines(&self.over)?)?;
            self.over.clear();
        }
        if let Some(open) = &self.open {
            replace(directory, &lines(open)?)?;
            self.open = None;
        }
        Ok(())
    }
}

fn lines(gaps: &[GapStatus]) -> io::Result<String> {
    let mut lines = String::new();
    for gap in gaps {
        lines.push_str(&serde_json::to_string(gap)?);
        lines.push('\n');
    }
    Ok(lines)
}

/// All of it or nothing: what is tried again must not follow half a line.
fn append(directory: &Path, lines: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(directory.join(FILE))?;
    let before = file.metadata()?.len();
    file.write_all(lines.as_bytes()).inspect_err(|_| drop(file.set_len(before)))
}

fn replace(directory: &Path, lines: &str) -> io::Result<()> {
    let path = directory.join(OPEN);
    if lines.is_empty() {
        return match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(lines.as_bytes())?;
    file.sync_all()?;
    fs::rename(new, path)
}

/// Gaps that lasted when the agent before ended, however it did.
pub(crate) fn lasting(directory: &Path) -> Vec<GapStatus> {
    let open = read(directory, OPEN);
    if open.is_empty() {
        return open;
    }
    let over = read(directory, FILE);
    let is_over = |gap: &GapStatus| over.iter().any(|over| (&over.link, over.from) == (&gap.link, gap.from));
    open.into_iter().filter(|gap| !is_over(gap)).collect()
}

/// Has the next agent find these, should this one end before its history's thread is there: nobody else knows of them any
/// more. Where another agent is at it, or the disk does not take it, that thread says so.
pub(crate) fn keep_lasting(directory: &Path, gaps: &[GapStatus]) {
    if let Ok(_lock) = super::slots::lock(directory)
        && let Err(error) = lines(gaps).and_then(|lines| replace(directory, &lines))
    {
        warn!("history: gaps of links could not be written, and wait: {error}");
    }
}

/// The gaps of a file, as far as they can be read.
fn read(directory: &Path, file: &str) -> Vec<GapStatus> {
    let path = directory.join(file);
    let text = match fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                warn!("history: gaps of links in {} cannot be read: {error}", path.display());
            }
            return Vec::new();
        }
    };
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(link: &str, from: i64, to: Option<i64>) -> GapStatus {
        let at = |second| jiff::Timestamp::from_second(second).expect("a time");
        GapStatus { link: link.to_owned(), from: at(from), to: to.map(at), why: "it is gone".to_owned() }
    }

    #[test]
    fn what_lasts_is_found_by_the_next_agent_and_what_is_over_is_there_once() {
        let state = tempfile::tempdir().expect("a directory");
        let state = state.path();
        let over = || read(state, FILE);
        assert_eq!(lasting(state), []);
        let mut gaps = Gaps::default();
        gaps.take(vec![], Some(vec![gap("a", 10, None), gap("b", 20, None)]));
        gaps.write(state);
        assert_eq!((lasting(state), over()), (vec![gap("a", 10, None), gap("b", 20, None)], vec![]));
        // Killed between the two files: it is over.
        let mut killed = Gaps::default();
        killed.take(vec![gap("a", 10, Some(30))], None);
        killed.write(state);
        assert_eq!(lasting(state), [gap("b", 20, None)]);
        // Before there is a thread that writes; and not where another agent's is.
        keep_lasting(state, &[gap("b", 20, None), gap("c", 25, None)]);
        assert_eq!(lasting(state), [gap("b", 20, None), gap("c", 25, None)]);
        let lock = super::super::slots::lock(state).expect("nobody else");
        keep_lasting(state, &[]);
        assert_eq!(lasting(state).len(), 2);
        drop(lock);
        // The same link again, later.
        gaps.take(vec![gap("b", 20, Some(40))], Some(vec![gap("a", 50, None)]));
        gaps.write(state);
        assert_eq!(lasting(state), [gap("a", 50, None)]);
        gaps.take(vec![gap("a", 50, Some(60))], Some(vec![]));
        gaps.write(state);
        assert!(lasting(state).is_empty() && !state.join(OPEN).exists());
        assert_eq!(over(), [gap("a", 10, Some(30)), gap("b", 20, Some(40)), gap("a", 50, Some(60))]);
        // Nothing but what was agreed on with those who read it: a line each, all of them over.
        let text = fs::read_to_string(state.join(FILE)).expect("text");
        assert!(text.lines().all(|line| line.contains("\"to\":\"") && line.contains("\"link\":")), "{text}");
    }

    #[test]
    fn what_the_disk_does_not_take_waits() {
        let state = tempfile::tempdir().expect("a directory");
        let away = state.path().join("not there");
        let mut gaps = Gaps::default();
        gaps.take(vec![gap("a", 10, Some(20))], Some(vec![gap("b", 15, None)]));
        gaps.write(&away);
        gaps.take(vec![gap("b", 15, Some(30))], Some(vec![]));
        gaps.take(vec![gap("c", 40, Some(50))], None);
        gaps.write(&away);
        fs::create_dir(&away).expect("made");
        gaps.write(&away);
        let over = [gap("a", 10, Some(20)), gap("b", 15, Some(30)), gap("c", 40, Some(50))];
        assert_eq!((read(&away, FILE), lasting(&away)), (over.to_vec(), vec![]));
        gaps.take((0..5000).map(|n| gap("d", n, Some(n))).collect(), None);
        assert_eq!(gaps.over.len(), WAITING);
        // What somebody else wrote there does not keep it from starting.
        fs::write(away.join(OPEN), b"\xff\n{\"link\":1}\n").expect("written");
        assert_eq!(lasting(&away), []);
    }
}
