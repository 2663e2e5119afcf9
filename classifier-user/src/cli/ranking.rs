//! Rankings: who sent and received most, both directions side by side.

use comfy_table::{Cell, Row as Line};
use jiff::{Timestamp, Zoned, tz::TimeZone};

use super::{
    answers::{Amount, Row},
    output::{self, Screen, clean, clip, dim, heading, number, number_heading},
};

/// From this many columns on, bytes are shown beside the rates: for two directions, and for one.
const WIDTH_WITH_BYTES: [usize; 2] = [100, 60];
const NAME_MIN: usize = 8;
const NAME_MAX: usize = 48;

/// One direction of a ranking.
pub(super) struct Side<'a> {
    pub(super) direction: &'a str,
    pub(super) rows: &'a [Row],
    /// What stands below the rows.
    pub(super) below: Vec<(&'static str, Amount)>,
}

/// What identifies a row, and what it is called besides.
pub(super) fn key_and_name(row: &Row) -> (String, Option<String>) {
    let name = row.name.clone();
    if let Some(prefix) = &row.prefix {
        let origin = row.asn.map(|asn| format!("AS{asn}"));
        let name = match (origin, name) {
            (Some(origin), Some(name)) => Some(format!("{origin} {name}")),
            (origin, name) => origin.or(name),
        };
        return (prefix.clone(), name);
    }
    if let Some(asn) = row.asn {
        return (format!("AS{asn}"), name);
    }
    let key = row.group.as_ref().or(row.kind.as_ref()).or(row.link.as_ref());
    (name.or_else(|| key.cloned()).unwrap_or_default(), None)
}

/// The table of a ranking, a line a rank: both directions side by side, or one below the other where the screen is too
/// narrow. `what` is the heading of what is ranked.
pub(super) fn table(screen: Screen, what: &str, sides: &[Side<'_>]) -> String {
    if sides.len() > 1 {
        let plain = side_by_side(Screen { colour: false, ..screen }, what, sides);
        if plain.lines().any(|line| line.chars().count() > screen.width) {
            let one = |side| side_by_side(screen, what, std::slice::from_ref(side));
            return sides.iter().map(one).collect::<Vec<_>>().join("\n");
        }
    }
    side_by_side(screen, what, sides)
}

fn side_by_side(screen: Screen, what: &str, sides: &[Side<'_>]) -> String {
    let keyed: Vec<Vec<(String, Option<String>)>> =
        sides.iter().map(|side| side.rows.iter().map(key_and_name).collect()).collect();
    let named = keyed.iter().flatten().any(|(_, name)| name.is_some());
    let compared = sides.iter().any(|side| side.rows.iter().any(|row| row.previous_bytes.is_some()));
    let with_bytes = screen.width >= WIDTH_WITH_BYTES[usize::from(sides.len() < 2)];
    let key_width: usize = keyed
        .iter()
        .map(|rows| rows.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0).max("unmatched".len()))
        .sum();
    // The rank; a direction's rate, share and bytes; the line between directions.
    let fixed = 4
        + key_width
        + sides.len() * (2 + 9 + 8 + if with_bytes { 8 } else { 0 } + if compared { 9 } else { 0 } + 2)
        + (sides.len() - 1) * 3;
    let name_width = (screen.width.saturating_sub(fixed) / sides.len().max(1)).clamp(NAME_MIN, NAME_MAX);

    let mut table = screen.table();
    let mut head = vec![number_heading("\n#")];
    for (index, side) in sides.iter().enumerate() {
        if index > 0 {
            head.push(Cell::new("│\n│"));
        }
        head.push(heading(format!("{}\n{what}", side.direction.to_uppercase())));
        if named {
            head.push(heading("\nname"));
        }
        head.push(number_heading("\nbit/s"));
        if with_bytes {
            head.push(number_heading("\nbytes"));
        }
        head.push(number_heading("\nshare"));
        if compared {
            head.push(number_heading("\nchange"));
        }
    }
    table.set_header(head);

    let line =
        |rank: String, cell: &dyn Fn(usize) -> Option<(String, Option<String>, Amount)>, weak: bool| {
            let mut cells = vec![number(rank)];
            let mut push = |cell: Cell| cells.push(if weak { dim(cell) } else { cell });
            for index in 0..sides.len() {
                if index > 0 {
                    push(Cell::new("│"));
                }
                let columns = 3 + usize::from(named) + usize::from(with_bytes) + usize::from(compared);
                match cell(index) {
                    None => (0..columns).for_each(|_| push(Cell::new(""))),
                    Some((key, name, amount)) => {
                        push(Cell::new(clean(&key)));
                        if named {
                            push(Cell::new(name.map(|name| clip(&name, name_width)).unwrap_or_default()));
                        }
                        push(number(output::si(amount.bits_per_second as f64)));
                        if with_bytes {
                            push(number(output::si(amount.bytes as f64)));
                        }
                        push(number(amount.share.map(output::share).unwrap_or_default()));
                        if compared {
                            push(number(amount.change.map(output::change).unwrap_or_default()));
                        }
                    }
                }
            }
            Line::from(cells)
        };

    let ranks = keyed.iter().map(Vec::len).max().unwrap_or(0);
    for rank in 0..ranks {
        let cell = |index: usize| {
            let (key, name) = keyed.get(index)?.get(rank)?.clone();
            let row = sides.get(index)?.rows.get(rank)?;
            let Row { packets, bytes, bits_per_second, share, change, .. } = *row;
            Some((key, name, Amount { packets, bytes, bits_per_second, share, rank: None, change }))
        };
        table.add_row(line((rank + 1).to_string(), &cell, false));
    }
    let below = sides.iter().map(|side| side.below.len()).max().unwrap_or(0);
    for place in 0..below {
        let cell = |index: usize| {
            let (label, amount) = *sides.get(index)?.below.get(place)?;
            Some((label.to_owned(), None, amount))
        };
        table.add_row(line(String::new(), &cell, true));
    }
    output::finish(table)
}

/// `2026-01-31 12:00:00 to 12:05:00 UTC`, or in another zone.
pub(super) fn period(from: Timestamp, to: Timestamp, zone: Option<&str>) -> String {
    let name = zone.filter(|zone| TimeZone::get(zone).is_ok()).unwrap_or("UTC");
    let (from, to) = (local(from, zone), local(to, zone));
    let end = to.strftime(if from.date() == to.date() { "%T" } else { "%F %T" });
    format!("{} to {end} {name}", from.strftime("%F %T"))
}

/// A time in a zone; in UTC where the zone is not known.
pub(super) fn local(at: Timestamp, zone: Option<&str>) -> Zoned {
    at.to_zoned(zone.and_then(|zone| TimeZone::get(zone).ok()).unwrap_or(TimeZone::UTC))
}

/// A line about what was not counted of a period of the history; none where all was.
pub(super) fn coverage(covered: Option<f64>, since: Option<Timestamp>, zone: Option<&str>) -> String {
    let since = since.map(|since| local(since, zone).strftime("%F %T").to_string());
    match (covered, since) {
        (Some(0.0), Some(since)) => {
            format!("nothing of this time was counted: there is data since {since}\n")
        }
        (Some(0.0), None) => "nothing was counted yet\n".to_owned(),
        // Less than a slot in a month.
        (Some(covered), _) if covered < 0.9999 => {
            format!(
                "{} of this time was counted; rates are of that, and volumes lack the rest\n",
                output::share(covered)
            )
        }
        _ => String::new(),
    }
}
