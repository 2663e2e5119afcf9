//! What `as` and `group` show of the past: one subject over a period, by link, and month by month.

use std::io::Write;

use comfy_table::Cell;

use super::{
    CliError,
    answers::Row,
    output::{self, Screen, clean, heading, number, number_heading, optional},
    ranking::{self, Side},
};
use crate::{
    questions::answer::{Figures, MonthAnswer, PastAnswer},
    totals::answer::Directions,
};

/// What the 95th percentile is.
const P95: &str = "95th percentile: of the averages of all five minutes the highest 5% are left out, and the highest of the \
                   others is taken.\nBilled is the larger direction.";

pub(super) fn people(past: &PastAnswer, screen: Screen) -> String {
    let zone = Some(past.zone.as_str());
    let mut text = format!("\n{}\n", ranking::period(past.from, past.to, zone));
    text.push_str(&ranking::coverage(Some(past.covered), past.since, zone));
    if let Some(compare) = past.compare.filter(|compare| compare.covered > 0.0) {
        text.push_str(&format!("compared with {}\n", ranking::period(compare.from, compare.to, zone)));
    }
    text.push('\n');
    text.push_str(&figures(past, screen));
    if past.links.len() > 1 {
        text.push('\n');
        text.push_str(&links(past, screen));
    }
    if let Some(ases) = &past.ases {
        let lists: Vec<(&str, Vec<Row>)> =
            ases.iter().map(|(direction, rows)| (direction.name(), rows.iter().map(row).collect())).collect();
        if lists.iter().any(|(_, rows)| !rows.is_empty()) {
            let sides: Vec<Side<'_>> =
                lists.iter().map(|(direction, rows)| Side { direction, rows, below: Vec::new() }).collect();
            text.push_str(&format!("\nLargest ASes\n\n{}", ranking::table(screen, "AS", &sides)));
        }
    }
    if !past.months.is_empty() {
        text.push('\n');
        text.push_str(&months(&past.months, screen));
    }
    let known = past.directions.iter().any(|(_, figures)| figures.p95_bits_per_second.is_some());
    if known || !past.months.is_empty() {
        text.push_str(&format!("\n{P95}\n"));
    }
    text
}

/// A row as rankings show it.
fn row(row: &crate::totals::answer::Row) -> Row {
    Row {
        rank: u64::from(row.rank),
        asn: row.asn,
        name: row.name.clone(),
        packets: row.packets,
        bytes: row.bytes,
        bits_per_second: row.bits_per_second,
        share: Some(row.share),
        ..Row::default()
    }
}

fn bit_rate(bits: u64) -> String {
    let rate = output::si(bits as f64);
    if rate.contains(' ') { format!("{rate}bit/s") } else { format!("{rate} bit/s") }
}

fn figures(past: &PastAnswer, screen: Screen) -> String {
    let zone = Some(past.zone.as_str());
    let of: Vec<_> = past.directions.iter().collect();
    let mut table = screen.table();
    let mut head = vec![heading("")];
    head.extend(of.iter().map(|(direction, _)| number_heading(direction.name().to_uppercase())));
    table.set_header(head);
    let mut line = |label: &str, value: &dyn Fn(&Figures) -> Option<String>| {
        let values: Vec<Option<String>> = of.iter().map(|(_, figures)| value(figures)).collect();
        if values.iter().any(Option::is_some) {
            let mut cells = vec![Cell::new(label)];
            cells.extend(values.into_iter().map(|value| number(value.unwrap_or_default())));
            table.add_row(cells);
        }
    };
    line("volume", &|figures| Some(output::bytes(figures.bytes)));
    line("packets", &|figures| Some(output::si(figures.packets as f64)));
    line("share", &|figures| Some(output::share(figures.share)));
    line("rank", &|figures| figures.rank.map(|rank| rank.to_string()));
    line("average", &|figures| Some(bit_rate(figures.bits_per_second)));
    line("peak (5 min)", &|figures| figures.peak.map(|peak| bit_rate(peak.bits_per_second)));
    line("  at", &|figures| {
        figures.peak.map(|peak| ranking::local(peak.at, zone).strftime("%F %H:%M").to_string())
    });
    line("95th percentile", &|figures| figures.p95_bits_per_second.map(bit_rate));
    let larger = |figures: &Figures| {
        let p95 = figures.p95_bits_per_second?;
        (p95 > 0 && Some(p95) == past.p95_bits_per_second).then(|| bit_rate(p95))
    };
    line("  billed", &larger);
    line("IPv4", &|figures| figures.ipv6_share.map(|share| output::share(1.0 - share)));
    line("IPv6", &|figures| figures.ipv6_share.map(output::share));
    line("volume before", &|figures| figures.previous_bytes.map(output::bytes));
    line("change", &|figures| figures.change.map(output::change));
    output::finish(table)
}

fn links(past: &PastAnswer, screen: Screen) -> String {
    let mut table = screen.table();
    let mut head = vec![heading("\nlink")];
    for (index, (direction, _)) in past.directions.iter().enumerate() {
        if index > 0 {
            head.push(Cell::new("│\n│"));
        }
        head.push(number_heading(format!("{}\nbytes", direction.name().to_uppercase())));
        head.extend(["\nshare", "\nbit/s", "\npeak", "\n95th"].map(number_heading));
    }
    table.set_header(head);
    for part in &past.links {
        let mut cells = vec![Cell::new(clean(&part.link))];
        for (index, (_, figures)) in part.directions.iter().enumerate() {
            if index > 0 {
                cells.push(Cell::new("│"));
            }
            let rate =
                |bits: Option<u64>| number(bits.map(|bits| output::si(bits as f64)).unwrap_or_default());
            cells.push(number(output::si(figures.bytes as f64)));
            cells.push(number(output::share(figures.share)));
            cells.push(rate(Some(figures.bits_per_second)));
            cells.push(rate(figures.peak.map(|peak| peak.bits_per_second)));
            cells.push(rate(figures.p95_bits_per_second));
        }
        table.add_row(cells);
    }
    output::finish(table)
}

fn months(months: &[MonthAnswer], screen: Screen) -> String {
    let mut table = screen.table();
    let mut head = vec![heading("\nmonth")];
    for direction in ["IN", "OUT"] {
        head.push(number_heading(format!("{direction}\nbytes")));
        head.push(number_heading("\n95th"));
    }
    head.push(number_heading("\nbilled"));
    head.push(number_heading("\ncounted"));
    table.set_header(head);
    for month in months {
        let mut cells = vec![Cell::new(clean(&month.month))];
        for (bytes, p95) in [(month.bytes_in, month.p95_in), (month.bytes_out, month.p95_out)] {
            cells.push(number(output::si(bytes as f64)));
            cells.push(number(output::si(p95 as f64)));
        }
        cells.push(number(output::si(month.p95 as f64)));
        cells.push(number(output::share(month.covered)));
        table.add_row(cells);
    }
    output::finish(table)
}

/// Lines of the table that `detail` begins, one a number, of the sections that begin with `past` and `month`.
pub(super) fn csv<W: Write>(past: &PastAnswer, writer: &mut csv::Writer<W>) -> Result<(), CliError> {
    let mut put = |direction: &str, section: &str, key: &str, name: &str, numbers: [String; 5]| {
        let [packets, bytes, rate, share, rank] = numbers;
        writer.write_record([direction, section, key, name, &packets, &bytes, &rate, &share, &rank])
    };
    let none = String::new;
    let rate = |bits: u64| [none(), none(), bits.to_string(), none(), none()];
    let volume = |bytes: u64| [none(), bytes.to_string(), none(), none(), none()];
    let amount = |figures: &Figures| {
        [
            figures.packets.to_string(),
            figures.bytes.to_string(),
            figures.bits_per_second.to_string(),
            figures.share.to_string(),
            optional(figures.rank),
        ]
    };
    let key = format!("{}/{}", past.from, past.to);
    for (direction, figures) in past.directions.iter() {
        let direction = direction.name();
        put(direction, "past", &key, "", amount(figures))?;
        if let (Some(bytes), Some(compare)) = (figures.previous_bytes, past.compare) {
            put(direction, "past_previous", &format!("{}/{}", compare.from, compare.to), "", volume(bytes))?;
        }
        if let Some(peak) = figures.peak {
            put(direction, "past_peak", &peak.at.to_string(), "", rate(peak.bits_per_second))?;
        }
        if let Some(p95) = figures.p95_bits_per_second {
            put(direction, "past_p95", "", "", rate(p95))?;
        }
        if let Some(share) = figures.ipv6_share {
            put(direction, "past_ipv6", "", "", [none(), none(), none(), share.to_string(), none()])?;
        }
    }
    for part in &past.links {
        for (direction, figures) in part.directions.iter() {
            put(direction.name(), "past_link", &part.link, "", amount(figures))?;
            if let Some(p95) = figures.p95_bits_per_second {
                put(direction.name(), "past_link_p95", &part.link, "", rate(p95))?;
            }
        }
    }
    for (direction, rows) in past.ases.iter().flat_map(Directions::iter) {
        for row in rows {
            let of = |number: u64| number.to_string();
            let numbers = [
                of(row.packets),
                of(row.bytes),
                of(row.bits_per_second),
                row.share.to_string(),
                row.rank.to_string(),
            ];
            let name = row.name.as_deref().unwrap_or_default();
            put(direction.name(), "past_as", &optional(row.asn), name, numbers)?;
        }
    }
    for month in &past.months {
        let MonthAnswer { month, bytes_in, bytes_out, p95_in, p95_out, .. } = month;
        for (direction, bytes, p95) in [("in", *bytes_in, *p95_in), ("out", *bytes_out, *p95_out)] {
            put(direction, "month", month, "", volume(bytes))?;
            put(direction, "month_p95", month, "", rate(p95))?;
        }
    }
    Ok(())
}
