//! Taking over what AS-Stats kept, so that an ISP keeps its past.
//!
//! AS-Stats (<https://github.com/manuelkasper/AS-Stats>, `bin/asstatd.pl`) has one round-robin database an AS,
//! `XX/ASN.rrd`, with four data sources a link of type ABSOLUTE: bytes in and out, of IPv4 and of IPv6, which RRDtool
//! keeps as bytes a second. What they are bytes of is said in docs/history.md: IP bytes of sampled flows.
//!
//! Reading order: here (what there is), [`rrd`] (what `rrdtool dump` prints), `pieces` (bytes in stretches of time),
//! `packed`, `tool`, [`days`] (into the store).

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use self::{
    packed::Packed,
    pieces::{Name, Pieces, Stretch},
    rrd::Rrd,
    tool::RrdTool,
};
use super::{SLOT_SECONDS, store::StoreError};
use crate::model::{Asn, Direction, Family};

pub use self::{
    days::{Imported, write},
    tool::ToolError,
};

mod days;
mod packed;
mod pieces;
pub mod rrd;
#[cfg(test)]
mod tests;
mod tool;

/// A link that is taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkChoice {
    /// Its tag in AS-Stats (its `knownlinks` file).
    pub tag: String,
    /// Its name here.
    pub name: String,
}

/// Why nothing was taken over.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The directory cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It has no databases.
    #[error("there are no databases in {}: expected the directory that asstatd.pl was given with -r, with files XX/ASN.rrd", path.display())]
    NoDatabases {
        /// The directory.
        path: PathBuf,
    },
    /// None of them could be read.
    #[error("none of the {count} databases could be read; the first: {why}")]
    NoneReadable {
        /// How many there are.
        count: usize,
        /// Why.
        why: String,
    },
    /// A link that AS-Stats does not know.
    #[error("AS-Stats has no link `{tag}`; it has {}", .there.join(", "))]
    NoSuchLink {
        /// What was asked for.
        tag: String,
        /// Those that there are.
        there: Vec<String>,
    },
    /// RRDtool.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A database that was passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its file.
    pub file: PathBuf,
    /// Why.
    pub why: String,
}

/// What AS-Stats has of the links that were asked for.
#[derive(Debug)]
pub struct AsStats {
    /// The links, in the order asked for.
    links: Vec<LinkChoice>,
    /// By AS, ascending.
    ases: Vec<(Asn, Packed)>,
    /// When something was known: by slot, from `first` on.
    known: Vec<bool>,
    /// The number of the first slot.
    first: i64,
    /// From this time on all is in rows of five minutes.
    fine_from: i64,
    /// Those that could not be read.
    pub skipped: Vec<Skipped>,
}

/// A data source's place among a link's: by direction, then family.
const fn place(direction: Direction, family: Family) -> u16 {
    (direction as u16) * 2 + family as u16
}

/// Places a link.
const PLACES: u16 = 4;

impl AsStats {
    /// Reads all databases in a directory of AS-Stats; `progress` is told how many of how many are read. No link: an error
    /// that names those that there are.
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn read(
        directory: &Path,
        links: Vec<LinkChoice>,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Self, ImportError> {
        let files = files(directory)?;
        let all = files.len() as u64;
        let mut tool = RrdTool::start(directory)?;
        let mut tags = BTreeSet::new();
        let mut ases = Vec::new();
        let mut skipped = Vec::new();
        let mut known: Vec<Stretch> = Vec::new();
        let mut fine_from = i64::MIN;
        for (done, (asn, file)) in (1..).zip(&files) {
            let dump = tool.dump(file)?;
            let rrd = dump.and_then(|dump| Rrd::parse(&dump).map_err(|error| error.to_string()));
            match rrd {
                Err(why) => skipped.push(Skipped { file: directory.join(file), why }),
                Ok(rrd) => {
                    let columns = columns(&rrd, &links, &mut tags);
                    let pieces = Pieces::of(&rrd, &columns);
                    let fine = pieces.detail.iter().find(|detail| detail.0 <= SLOT_SECONDS);
                    fine_from = fine_from.max(fine.map_or(i64::MAX, |detail| detail.1));
                    known.extend(&pieces.known);
                    compact(&mut known);
                    let packed = Packed::new(&pieces.pieces);
                    if !packed.is_empty() {
                        ases.push((*asn, packed));
                    }
                }
            }
            progress(done, all);
        }
        if let Some(first) = skipped.first().filter(|_| skipped.len() == files.len()) {
            return Err(ImportError::NoneReadable { count: files.len(), why: first.why.clone() });
        }
        let missing = links.iter().find(|link| !tags.contains(&link.tag)).map(|link| link.tag.clone());
        if let Some(tag) = missing.or_else(|| links.is_empty().then(String::new)) {
            return Err(ImportError::NoSuchLink { tag, there: tags.into_iter().collect() });
        }
        let (first, known) = slots(&known);
        Ok(Self { links, ases, known, first, fine_from, skipped })
    }
}

/// The databases: `ASN.rrd` in the directory, or in directories of it, ascending by AS.
fn files(directory: &Path) -> Result<Vec<(Asn, String)>, ImportError> {
    let list = |path: &Path| -> Result<Vec<String>, ImportError> {
        let failed = |source| ImportError::Directory { path: path.to_owned(), source };
        let mut names = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            names.extend(entry.map_err(failed)?.file_name().into_string());
        }
        Ok(names)
    };
    let asn = |name: &str| {
        let digits = name.strip_suffix(".rrd")?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<Asn>().ok())?
    };
    let mut files = Vec::new();
    for name in list(directory)? {
        let is_low_byte = name.len() == 2 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if let Some(asn) = asn(&name) {
            files.push((asn, name));
        } else if is_low_byte && directory.join(&name).is_dir() {
            for file in list(&directory.join(&name))? {
                files.extend(asn(&file).map(|asn| (asn, format!("{name}/{file}"))));
            }
        }
    }
    if files.is_empty() {
        return Err(ImportError::NoDatabases { path: directory.to_owned() });
    }
    files.sort_unstable();
    files.dedup_by_key(|file| file.0);
    Ok(files)
}

/// A number for each data source that is wanted; notes the tags that there are.
fn columns(rrd: &Rrd, links: &[LinkChoice], tags: &mut BTreeSet<String>) -> Vec<Option<u16>> {
    let column = |name: &str| {
        let name = Name::read(name)?;
        if !tags.contains(name.tag) {
            tags.insert(name.tag.to_owned());
        }
        let link = links.iter().position(|link| link.tag == name.tag)?;
        u16::try_from(link).ok()?.checked_mul(PLACES)?.checked_add(place(name.direction, name.family))
    };
    let mut column = column;
    // What is no rate of bytes is not of AS-Stats, whatever it is called.
    rrd.sources
        .iter()
        .map(|source| if source.kind == "GAUGE" { None } else { column(&source.name) })
        .collect()
}

/// Joins stretches that touch each other, once there are many.
fn compact(stretches: &mut Vec<Stretch>) {
    if stretches.len() < 100_000 {
        return;
    }
    join(stretches);
}

fn join(stretches: &mut Vec<Stretch>) {
    stretches.sort_unstable();
    stretches.dedup_by(|next, before| {
        let touches = next.0 <= before.1;
        if touches {
            before.1 = before.1.max(next.1);
        }
        touches
    });
}

/// By slot: whether it lies in one of the stretches; and the first slot's number.
fn slots(stretches: &[Stretch]) -> (i64, Vec<bool>) {
    let slot = |time: i64| time.div_euclid(SLOT_SECONDS);
    let first = stretches.iter().map(|stretch| slot(stretch.0)).min().unwrap_or(0);
    let end = stretches.iter().map(|stretch| slot(stretch.1 + SLOT_SECONDS - 1)).max().unwrap_or(first);
    let mut known = vec![false; usize::try_from(end - first).unwrap_or(0)];
    for &(from, to) in stretches {
        let place = |time: i64| usize::try_from(slot(time) - first).unwrap_or(0);
        known.get_mut(place(from)..place(to + SLOT_SECONDS - 1)).unwrap_or_default().fill(true);
    }
    (first, known)
}
