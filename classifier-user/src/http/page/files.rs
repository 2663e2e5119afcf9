//! Tables as CSV and JSON: the published answers, as they are on the pages. JSON has the forms of docs/api.md.

use crate::{
    model::Direction,
    questions::{
        answer::{Figures, Name, PastAnswer, SeriesAnswer},
        words::Lang,
    },
    totals::answer::TopAnswer,
};

use super::layers::label;

/// A ranking, a line a row and direction.
pub(super) fn top_csv(top: &TopAnswer, rows: usize) -> Vec<u8> {
    let key = top.by.name();
    let header = ["direction", "rank", key, "name", "packets", "bytes", "bits_per_second", "share", "change"];
    let mut lines = vec![header.map(str::to_owned).to_vec()];
    for (direction, part) in top.directions.iter() {
        let rest = |name: &str, part: &crate::totals::answer::Part| {
            vec![
                direction.to_string(),
                String::new(),
                name.to_owned(),
                String::new(),
                part.packets.to_string(),
                part.bytes.to_string(),
                part.bits_per_second.to_string(),
                part.share.to_string(),
                String::new(),
            ]
        };
        for row in part.rows.iter().take(rows) {
            let keys = [&row.group, &row.kind, &row.link];
            let key =
                row.asn.map(|asn| asn.to_string()).or_else(|| keys.into_iter().flatten().next().cloned());
            lines.push(vec![
                direction.to_string(),
                row.rank.to_string(),
                key.unwrap_or_default(),
                row.name.clone().unwrap_or_default(),
                row.packets.to_string(),
                row.bytes.to_string(),
                row.bits_per_second.to_string(),
                row.share.to_string(),
                row.change.map_or_else(String::new, |change| change.to_string()),
            ]);
        }
        if part.rows.len() <= rows {
            lines.push(rest("other", &part.other));
        }
        lines.push(rest("unmatched", &part.unmatched));
        lines.push(rest("non_ip", &part.non_ip));
    }
    csv(&lines)
}

/// A course, a line a step; a column a direction and layer, in bits a second, empty in gaps.
pub(super) fn series_csv(series: &SeriesAnswer) -> Vec<u8> {
    let mut header = vec!["from".to_owned(), "to".to_owned(), "covered_seconds".to_owned()];
    let mut courses = Vec::new();
    for direction in Direction::ALL {
        if let Some(course) = series.total.get(direction) {
            header.push(format!("{direction} total"));
            courses.push(course);
        }
        for layer in &series.layers {
            if let Some(course) = layer.directions.get(direction) {
                header.push(format!("{direction} {}", column(&layer.subject)));
                courses.push(course);
            }
        }
    }
    let mut lines = vec![header];
    for (place, step) in series.steps.iter().enumerate() {
        let mut line = vec![step.from.to_string(), step.to.to_string(), step.covered_seconds.to_string()];
        line.extend(courses.iter().map(|course| {
            let rate = course.bits_per_second.get(place).copied().flatten();
            rate.map_or_else(String::new, |rate| rate.to_string())
        }));
        lines.push(line);
    }
    csv(&lines)
}

/// A subject's figures: a line a direction, of all links and of each.
pub(super) fn figures_csv(past: &PastAnswer) -> Vec<u8> {
    let header = [
        "link",
        "direction",
        "rank",
        "packets",
        "bytes",
        "bits_per_second",
        "share",
        "change",
        "peak_bits_per_second",
        "peak_at",
        "p95_bits_per_second",
        "ipv6_share",
    ];
    let mut lines = vec![header.map(str::to_owned).to_vec()];
    let links = past.links.iter().map(|link| (link.link.as_str(), &link.directions));
    for (link, directions) in [("", &past.directions)].into_iter().chain(links) {
        for (direction, figures) in directions.iter() {
            lines.push(figures_line(link, direction, figures));
        }
    }
    csv(&lines)
}

fn figures_line(link: &str, direction: Direction, figures: &Figures) -> Vec<String> {
    fn text(value: Option<impl ToString>) -> String {
        value.map_or_else(String::new, |value| value.to_string())
    }
    vec![
        link.to_owned(),
        direction.to_string(),
        text(figures.rank),
        figures.packets.to_string(),
        figures.bytes.to_string(),
        figures.bits_per_second.to_string(),
        figures.share.to_string(),
        text(figures.change),
        text(figures.peak.map(|peak| peak.bits_per_second)),
        text(figures.peak.map(|peak| peak.at)),
        text(figures.p95_bits_per_second),
        text(figures.ipv6_share),
    ]
}

fn column(name: &Name) -> String {
    match (&name.rest, name.asn) {
        (Some(rest), _) => rest.clone(),
        (None, Some(asn)) => format!("AS{asn}"),
        (None, None) => {
            let keys = [&name.group, &name.kind, &name.link];
            keys.into_iter().flatten().next().cloned().unwrap_or_else(|| label(name, Lang::En))
        }
    }
}

fn csv(lines: &[Vec<String>]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for line in lines {
        // Writing to memory does not fail, and every line is as long as the first.
        let _ = writer.write_record(line);
    }
    writer.into_inner().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{super::graph::tests::series, *};

    #[test]
    fn a_course_is_a_line_a_step() {
        let text = String::from_utf8(series_csv(&series(2, &[1]))).unwrap();
        assert_eq!(
            text,
            "from,to,covered_seconds,in total,in AS2906,in AS15169,out total,out AS2906,out AS15169\n\
             2026-10-05T12:00:00Z,2026-10-05T12:05:00Z,300,4000,3000,1000,400,300,100\n\
             2026-10-05T12:05:00Z,2026-10-05T12:10:00Z,0,,,,,,\n"
        );
    }
}
