//! `/`: who sends and receives most right now, as a plain page. No script, nothing loaded from elsewhere.

use std::fmt::{self, Write as _};

use crate::{
    model::Direction,
    totals::{
        TopQuery, View,
        answer::{LinksAnswer, StatusAnswer, TopDirection},
    },
};

const STYLE: &str = "body{font:15px/1.4 system-ui,sans-serif;max-width:72rem;margin:1rem auto;padding:0 1rem}\
    table{border-collapse:collapse;width:100%}th,td{padding:.15rem .5rem;text-align:right;\
    border-bottom:1px solid #8884}.t{text-align:left}.c{display:flex;gap:2rem;flex-wrap:wrap}\
    .c>section{flex:1 1 26rem}tfoot{color:#777}.w{background:#fe98;padding:.5rem}\
    @media(prefers-color-scheme:dark){body{background:#161616;color:#ddd}a{color:#9cf}}";

/// The page as HTML.
pub(super) fn render(view: &View) -> String {
    let mut html = String::new();
    // Writing to a String does not fail.
    let _ = write(&mut html, view);
    html
}

fn write(html: &mut String, view: &View) -> fmt::Result {
    let (status, links) = (view.status(), view.links());
    let router = Escaped(&status.router);
    write!(
        html,
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <meta http-equiv=refresh content=30><title>{router}: traffic by AS</title><style>{STYLE}</style>\
         <h1>{router}: traffic by AS</h1>"
    )?;
    for warning in &status.warnings {
        write!(html, "<p class=w>{}</p>", Escaped(warning))?;
    }
    match view.top(&TopQuery::default()) {
        Ok(top) => {
            write!(html, "<p>{} to {}</p><div class=c>", top.from, top.to)?;
            for (direction, part) in top.directions.iter() {
                write_top(html, direction, part)?;
            }
            html.push_str("</div>");
        }
        Err(error) => write!(html, "<p class=w>{}</p>", Escaped(&error.to_string()))?,
    }
    write_links(html, &links)?;
    write_foot(html, &status)
}

fn write_top(html: &mut String, direction: Direction, part: &TopDirection) -> fmt::Result {
    let title = match direction {
        Direction::In => "In: where it comes from",
        Direction::Out => "Out: where it goes to",
    };
    write!(
        html,
        "<section><h2>{title}</h2><table><thead><tr><th>#<th>AS<th class=t>Name<th>Bit/s<th>Bytes<th>Share\
         </thead><tbody>"
    )?;
    for row in &part.rows {
        write!(
            html,
            "<tr><td>{}<td>{}<td class=t>{}<td>{}<td>{}<td>{}",
            row.rank,
            row.asn.unwrap_or_default(),
            Escaped(row.name.as_deref().unwrap_or_default()),
            Si(row.bits_per_second),
            Si(row.bytes),
            Percent(row.share)
        )?;
    }
    html.push_str("</tbody><tfoot>");
    for (name, rest) in [("other", &part.other), ("unmatched", &part.unmatched), ("not IP", &part.non_ip)] {
        write!(
            html,
            "<tr><td><td><td class=t>{name}<td>{}<td>{}<td>{}",
            Si(rest.bits_per_second),
            Si(rest.bytes),
            Percent(rest.share)
        )?;
    }
    write!(
        html,
        "<tr><td><td><td class=t>total<td>{}<td>{}<td></tfoot></table></section>",
        Si(part.total.bits_per_second),
        Si(part.total.bytes)
    )
}

fn write_links(html: &mut String, links: &LinksAnswer) -> fmt::Result {
    html.push_str(
        "<h2>Links</h2><table><thead><tr><th class=t>Link<th class=t>Interface<th class=t>Role<th>Direction\
         <th>Bit/s<th>Packets/s<th>Bytes in the last hour<th>Coverage</thead><tbody>",
    );
    for link in &links.links {
        for (direction, part) in link.directions.iter() {
            write!(html, "<tr><td class=t>{}<td class=t>{}", Escaped(&link.name), Escaped(&link.interface))?;
            if let Some(vlan) = link.vlan {
                write!(html, " vlan {vlan}")?;
            }
            write!(
                html,
                "<td class=t>{}<td>{direction}<td>{}<td>{}<td>{}<td>",
                link.role,
                Si(part.now.bits_per_second),
                Si(part.now.packets_per_second),
                Si(part.last_1h.bytes)
            )?;
            if let Some(coverage) = part.coverage {
                write!(html, "{}", Percent(coverage))?;
            }
        }
    }
    html.push_str("</tbody></table>");
    Ok(())
}

fn write_foot(html: &mut String, status: &StatusAnswer) -> fmt::Result {
    html.push_str("<h2>Table</h2><ul>");
    for source in &status.table.sources {
        let (name, kind) = (Escaped(&source.name), Escaped(&source.kind));
        write!(html, "<li>{name} ({kind}): {} prefixes", source.prefixes)?;
        if let Some(age) = source.age_seconds {
            write!(html, ", {} days old", age / 86_400)?;
        }
        if !source.up {
            html.push_str(", <b>down</b>");
        }
    }
    writeln!(
        html,
        "</ul><p><a href=/api/v1/top>JSON</a> · <a href=/api/v1/links>links</a> · \
         <a href=/api/v1/status>status</a> · <a href=/metrics>metrics</a> · classifier {}</p>\
         <p>AS numbers and names of the built-in table: <a href=https://db-ip.com>IP Geolocation by DB-IP</a>, \
         RouteViews and the NRO, by way of ip-location-db, CC BY 4.0.</p></html>",
        Escaped(&status.version)
    )
}

/// Text that is safe in HTML, in quoted attributes too.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c => f.write_char(c),
        })
    }
}

/// A number in powers of 1000.
struct Si(u64);

impl fmt::Display for Si {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1e15, 'P'), (1e12, 'T'), (1e9, 'G'), (1e6, 'M'), (1e3, 'k')];
        let number = self.0 as f64;
        match units.into_iter().find(|(unit, _)| number >= *unit) {
            Some((unit, letter)) => write!(f, "{:.2} {letter}", number / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A share in percent.
struct Percent(f64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} %", self.0 * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_for_people() {
        let text = |number| Si(number).to_string();
        assert_eq!([text(0), text(999), text(1000), text(12_345_678)], ["0", "999", "1.00 k", "12.35 M"]);
        assert_eq!(Percent(0.648_228).to_string(), "64.82 %");
        assert_eq!(Escaped("<a href='x'>\"&").to_string(), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;");
    }
}
