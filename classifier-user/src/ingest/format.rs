//! The formats, and how files of lines are read.

use std::{fmt, io::BufRead};

use super::{
    LoadOptions, asn_txt, asns_csv,
    collect::Collector,
    error::{IngestError, LineProblem},
    input::Input,
    iptoasn, networks_lst, overrides, pfx2as, prefix_csv, pyasn, ranges, text,
};

/// What sort of table it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Our own compact format, as in the binary.
    Snapshot,
    /// `start,end,asn,"name"`.
    RangesCsv,
    /// `prefix,asn,"name"`: what [`super::export`] writes.
    PrefixCsv,
    /// iptoasn.com: `start⇥end⇥asn⇥CC⇥name`.
    Iptoasn,
    /// CAIDA: `address⇥length⇥asn`.
    Pfx2as,
    /// pyasn: `prefix⇥asn`.
    Pyasn,
    /// pmacct: `asn,prefix`.
    NetworksLst,
    /// MRT TABLE_DUMP_V2 (RFC 6396).
    Mrt,
    /// MaxMind DB.
    Mmdb,
    /// Names: `asn NAME - Long name, CC`.
    AsnTxt,
    /// Names: bgp.tools' `asn,name,class,cc`.
    AsnsCsv,
    /// `prefix asn [name]`.
    Override,
}

impl Format {
    /// The name in JSON and on the screen.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::RangesCsv => "ranges-csv",
            Self::PrefixCsv => "prefix-csv",
            Self::Iptoasn => "iptoasn",
            Self::Pfx2as => "pfx2as",
            Self::Pyasn => "pyasn",
            Self::NetworksLst => "networks-lst",
            Self::Mrt => "mrt",
            Self::Mmdb => "mmdb",
            Self::AsnTxt => "asn-txt",
            Self::AsnsCsv => "asns-csv",
            Self::Override => "override",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A format of lines.
pub(super) struct LineFormat {
    pub format: Format,
    /// What a line looks like, for error messages.
    pub expected: &'static str,
    /// Where files may begin with a header, what is between its fields: a first line without digits that has it
    /// is one.
    pub header: Option<char>,
    /// Whether a line is of this format and no other.
    pub is: fn(&str) -> bool,
    /// Takes in what a line says.
    pub line: fn(&str, &mut Collector) -> Result<(), LineProblem>,
}

/// All formats of lines. None of them takes a line for its own that is another one's.
static FORMATS: [&LineFormat; 9] = [
    &ranges::FORMAT,
    &prefix_csv::FORMAT,
    &networks_lst::FORMAT,
    &asns_csv::FORMAT,
    &iptoasn::FORMAT,
    &pfx2as::FORMAT,
    &pyasn::FORMAT,
    &overrides::FORMAT,
    &asn_txt::FORMAT,
];

/// No line of a table is longer, in bytes.
const MAX_LINE: usize = 64 * 1024;
/// How many lines are looked at for one that tells the format.
const LINES_LOOKED_AT: usize = 200;

/// Comments: `#`, pyasn's `;`, pmacct's `!`.
fn is_data(line: &str) -> bool {
    !line.trim().is_empty() && !line.starts_with(['#', ';', '!'])
}

/// The format of the first line that tells one. Lines before it may be bad.
pub(super) fn recognise(head: &[u8]) -> Option<&'static LineFormat> {
    if head.contains(&0) {
        return None;
    }
    let text = String::from_utf8_lossy(head);
    text.strip_prefix('\u{feff}')
        .unwrap_or(&text)
        .lines()
        .filter(|line| is_data(line))
        .take(LINES_LOOKED_AT)
        .find_map(|line| FORMATS.into_iter().find(|format| (format.is)(line)))
        .or_else(|| {
            // Comments alone are a table without routes, which is told as such.
            (!text.lines().any(is_data)).then_some(&overrides::FORMAT)
        })
}

/// Reads all lines of a file into `collector`.
pub(super) fn read_lines(
    input: Input<'_>,
    format: &LineFormat,
    options: &LoadOptions,
    collector: &mut Collector,
) -> Result<(), IngestError> {
    let (mut stream, errors) = input.into_stream();
    let mut buffer = Vec::new();
    let mut number = 0u64;
    let mut first = true;
    loop {
        buffer.clear();
        let too_long = read_line(&mut stream, &mut buffer).map_err(|error| errors.explain(error))?;
        if buffer.is_empty() {
            return Ok(());
        }
        number += 1;
        let line = String::from_utf8_lossy(&buffer);
        let line = line.trim_end_matches(['\n', '\r']);
        let line = if number == 1 { line.strip_prefix('\u{feff}').unwrap_or(line) } else { line };
        if !is_data(line) {
            continue;
        }
        let is_header = std::mem::take(&mut first)
            && format.header.is_some_and(|separator| line.contains(separator))
            && !line.bytes().any(|b| b.is_ascii_digit());
        if is_header {
            continue;
        }
        collector.report.lines += 1;
        collector.line = number;
        let taken =
            if too_long { Err(LineProblem::TooLong(MAX_LINE)) } else { (format.line)(line, collector) };
        if let Err(problem) = taken {
            let error = IngestError::Line {
                file: errors.file.clone(),
                line: number,
                text: text::shown(line),
                problem,
                expected: format.expected,
            };
            if let Err(error) = collector.bad_line(error, options) {
                // Of damaged data the lines are wrong too; that it is damaged may only come out at its end.
                return Err(errors.of_the_rest(&mut stream).unwrap_or(error));
            }
        }
    }
}

/// Reads a line, of which no more is kept than [`MAX_LINE`]; whether there was more.
fn read_line(stream: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    loop {
        let available = match stream.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if available.is_empty() {
            return Ok(line.len() > MAX_LINE);
        }
        let end = available.iter().position(|&byte| byte == b'\n');
        let used = end.map_or(available.len(), |end| end + 1);
        let room = (MAX_LINE + 1).saturating_sub(line.len());
        line.extend_from_slice(available.get(..used.min(room)).unwrap_or_default());
        stream.consume(used);
        if end.is_some() {
            return Ok(line.len() > MAX_LINE);
        }
    }
}
