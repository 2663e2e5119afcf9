//! What `rrdtool dump` prints of a round-robin database: its data sources, and its archives of averages.
//!
//! The form is RRDtool's own (`rrd_dump.c`, version 0003; 0001 and 0004 have the same elements). Values are a second's; a
//! row's time is not read from the comment beside it but worked out as RRDtool does: rows end at whole multiples of their
//! length, the last one at or before the last update.

use std::fmt;

/// The most data sources and rows that are believed: those of AS-Stats have a few tens and a few hundred.
const MOST_SOURCES: usize = 10_000;
const MOST_ROWS: usize = 10_000_000;

/// A database.
#[derive(Clone, Debug, PartialEq)]
pub struct Rrd {
    /// Seconds of its finest step.
    pub step: i64,
    /// When it was last updated, in seconds since 1970.
    pub last_update: i64,
    /// Its data sources.
    pub sources: Vec<Source>,
    /// Its archives of averages, as they stand there.
    pub archives: Vec<Archive>,
}

/// A data source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// `ABSOLUTE`, `COUNTER`, …
    pub kind: String,
}

/// An archive of averages.
#[derive(Clone, Debug, PartialEq)]
pub struct Archive {
    /// Steps of the database in a row.
    pub steps_per_row: i64,
    /// Row by row, oldest first, a value a source; NaN is unknown.
    pub values: Vec<f64>,
}

/// A dump that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RrdError {
    /// It ends within something.
    #[error("the dump is cut off")]
    Cut,
    /// Something that RRDtool does not write.
    #[error("unexpected {what}: {found:?}")]
    Unexpected {
        /// What was being read.
        what: &'static str,
        /// What is there.
        found: String,
    },
    /// Something that must be there.
    #[error("there is no {0}")]
    Missing(&'static str),
}

impl Archive {
    /// Seconds of a row.
    #[must_use]
    pub const fn row_seconds(&self, rrd: &Rrd) -> i64 {
        rrd.step.saturating_mul(self.steps_per_row)
    }
}

impl Rrd {
    /// The rows of an archive, oldest first: when each begins, and its values.
    pub fn rows<'a>(&'a self, archive: &'a Archive) -> impl Iterator<Item = (i64, &'a [f64])> + 'a {
        let seconds = archive.row_seconds(self).max(1);
        let end = self.last_update.div_euclid(seconds) * seconds;
        let rows = archive.values.chunks_exact(self.sources.len().max(1));
        let count = rows.len() as i64;
        rows.enumerate().map(move |(index, row)| (end - (count - index as i64) * seconds, row))
    }

    /// Reads a dump.
    ///
    /// # Errors
    /// [`RrdError`].
    pub fn parse(dump: &str) -> Result<Self, RrdError> {
        let mut tags = Tags(dump);
        let (mut step, mut last_update, mut sources, mut archives) = (None, None, Vec::new(), Vec::new());
        tags.until("rrd")?;
        loop {
            match tags.next()? {
                Tag::Open("step") => step = Some(tags.number("step")?),
                Tag::Open("lastupdate") => last_update = Some(tags.number("lastupdate")?),
                Tag::Open("ds") if sources.len() < MOST_SOURCES => sources.push(source(&mut tags)?),
                Tag::Open("rra") => archives.extend(archive(&mut tags, sources.len())?),
                Tag::Open(name) => tags.pass_over(name)?,
                Tag::Close("rrd") => break,
                Tag::Close(name) => return Err(unexpected("closing tag", name)),
            }
        }
        let step = step.filter(|&step| step > 0).ok_or(RrdError::Missing("step"))?;
        let last_update = last_update.ok_or(RrdError::Missing("lastupdate"))?;
        if sources.is_empty() {
            return Err(RrdError::Missing("data source"));
        }
        Ok(Self { step, last_update, sources, archives })
    }
}

fn source(tags: &mut Tags<'_>) -> Result<Source, RrdError> {
    let (mut name, mut kind) = (None, None);
    loop {
        match tags.next()? {
            Tag::Open("name") => name = Some(tags.text("name")?.to_owned()),
            Tag::Open("type") => kind = Some(tags.text("type")?.to_owned()),
            Tag::Open(other) => tags.pass_over(other)?,
            Tag::Close("ds") => break,
            Tag::Close(other) => return Err(unexpected("closing tag", other)),
        }
    }
    let name = name.ok_or(RrdError::Missing("name of a data source"))?;
    let kind = kind.ok_or(RrdError::Missing("type of a data source"))?;
    Ok(Source { name, kind })
}

/// An archive; `None` for one of minima, maxima and the like.
fn archive(tags: &mut Tags<'_>, sources: usize) -> Result<Option<Archive>, RrdError> {
    let (mut function, mut steps, mut values) = (None, None, Vec::new());
    loop {
        match tags.next()? {
            Tag::Open("cf") => function = Some(tags.text("cf")?),
            Tag::Open("pdp_per_row") => steps = Some(tags.number("pdp_per_row")?),
            Tag::Open("database") => values = database(tags, sources)?,
            Tag::Open(other) => tags.pass_over(other)?,
            Tag::Close("rra") => break,
            Tag::Close(other) => return Err(unexpected("closing tag", other)),
        }
    }
    let function = function.ok_or(RrdError::Missing("consolidation function"))?;
    let steps_per_row = steps.filter(|&steps| steps > 0).ok_or(RrdError::Missing("pdp_per_row"))?;
    Ok((function == "AVERAGE").then_some(Archive { steps_per_row, values }))
}

fn database(tags: &mut Tags<'_>, sources: usize) -> Result<Vec<f64>, RrdError> {
    let mut values = Vec::new();
    loop {
        match tags.next()? {
            Tag::Open("row") => {}
            Tag::Close("database") => return Ok(values),
            Tag::Open(other) | Tag::Close(other) => return Err(unexpected("tag among the rows", other)),
        }
        if values.len() >= MOST_ROWS {
            return Err(unexpected("number of rows", "too many"));
        }
        let before = values.len();
        loop {
            match tags.next()? {
                Tag::Open("v") => {
                    let text = tags.text("v")?;
                    // `NaN`, and `-nan` of some C libraries.
                    let value = text.parse().map_err(|_| unexpected("value", text))?;
                    values.push(value);
                }
                Tag::Close("row") => break,
                Tag::Open(other) | Tag::Close(other) => return Err(unexpected("tag in a row", other)),
            }
        }
        if values.len() - before != sources {
            return Err(unexpected("number of values in a row", &(values.len() - before).to_string()));
        }
    }
}

fn unexpected(what: &'static str, found: &str) -> RrdError {
    RrdError::Unexpected { what, found: found.chars().take(60).collect() }
}

/// A tag of the markup; what RRDtool writes has no attributes but in the head.
enum Tag<'a> {
    Open(&'a str),
    Close(&'a str),
}

impl fmt::Debug for Tag<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(name) => write!(f, "<{name}>"),
            Self::Close(name) => write!(f, "</{name}>"),
        }
    }
}

/// The rest of a dump.
struct Tags<'a>(&'a str);

impl<'a> Tags<'a> {
    /// The next tag; text before it is passed over, comments and declarations too.
    fn next(&mut self) -> Result<Tag<'a>, RrdError> {
        loop {
            let (_, rest) = self.0.split_once('<').ok_or(RrdError::Cut)?;
            if let Some(comment) = rest.strip_prefix("!--") {
                self.0 = comment.split_once("-->").ok_or(RrdError::Cut)?.1;
                continue;
            }
            let (tag, rest) = rest.split_once('>').ok_or(RrdError::Cut)?;
            self.0 = rest;
            if tag.starts_with(['?', '!']) {
                continue;
            }
            return Ok(match tag.strip_prefix('/') {
                Some(name) => Tag::Close(name.trim()),
                None => Tag::Open(tag.split_whitespace().next().unwrap_or_default()),
            });
        }
    }

    /// Up to behind the first opening tag, which must be this.
    fn until(&mut self, name: &'static str) -> Result<(), RrdError> {
        match self.next()? {
            Tag::Open(found) if found == name => Ok(()),
            Tag::Open(found) | Tag::Close(found) => Err(unexpected("document", found)),
        }
    }

    /// The text up to the closing tag of this name, without blanks around it.
    fn text(&mut self, name: &str) -> Result<&'a str, RrdError> {
        let (text, rest) = self.0.split_once('<').ok_or(RrdError::Cut)?;
        let rest = rest.strip_prefix('/').and_then(|rest| rest.strip_prefix(name));
        let rest = rest.and_then(|rest| rest.strip_prefix('>')).ok_or_else(|| unexpected("text", text))?;
        self.0 = rest;
        Ok(text.trim())
    }

    fn number(&mut self, name: &'static str) -> Result<i64, RrdError> {
        let text = self.text(name)?;
        text.parse().map_err(|_| unexpected(name, text))
    }

    /// To behind the closing tag of this name; elements of the same name are not within it.
    fn pass_over(&mut self, name: &str) -> Result<(), RrdError> {
        loop {
            if matches!(self.next()?, Tag::Close(found) if found == name) {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = include_str!("example.xml");

    #[test]
    fn a_dump_of_rrdtool() {
        let rrd = Rrd::parse(DUMP).unwrap();
        assert_eq!((rrd.step, rrd.last_update), (300, 1_700_000_700));
        let source = |name: &str| Source { name: name.to_owned(), kind: "ABSOLUTE".to_owned() };
        assert_eq!(rrd.sources, [source("a_in"), source("a_out")]);
        // The archive of maxima is left out.
        assert_eq!(rrd.archives.iter().map(|archive| archive.steps_per_row).collect::<Vec<_>>(), [1, 12]);
        let rows: Vec<(i64, &[f64])> = rrd.rows(&rrd.archives[0]).collect();
        let times: Vec<i64> = rows.iter().map(|row| row.0).collect();
        assert_eq!(times, [1_699_999_500, 1_699_999_800, 1_700_000_100, 1_700_000_400]);
        assert!(rows[0].1.iter().all(|value| value.is_nan()));
        assert_eq!(rows[2].1, [1000.0, 0.023_333_333_333]);
        assert!(rows[3].1[1].is_nan());
        let hours: Vec<i64> = rrd.rows(&rrd.archives[1]).map(|row| row.0).collect();
        assert_eq!(hours, [1_699_988_400, 1_699_992_000, 1_699_995_600]);
    }

    #[test]
    fn what_is_no_dump_is_refused_and_never_panics() {
        for end in (0..DUMP.len()).filter(|&end| DUMP.is_char_boundary(end)) {
            let cut = &DUMP[..end];
            if !cut.contains("</rrd>") {
                assert!(Rrd::parse(cut).is_err(), "{cut}");
            }
        }
        for (from, to, error) in [
            ("<rrd>", "<rdd>", "unexpected document: \"rdd\""),
            ("<step>300", "<step>0", "there is no step"),
            ("<step>300", "<step>often", "unexpected step: \"often\""),
            ("<row><v>NaN</v>", "<row>", "unexpected number of values in a row: \"1\""),
            ("1.0000000000e+03", "many", "unexpected value: \"many\""),
            ("<name> a_in </name>", "", "there is no name of a data source"),
            ("<lastupdate>1700000700</lastupdate>", "", "there is no lastupdate"),
        ] {
            let dump = DUMP.replacen(from, to, 1);
            assert_ne!(dump, DUMP, "{from}");
            assert_eq!(Rrd::parse(&dump).unwrap_err().to_string(), error);
        }
    }
}
