//! What was found, for people: everything that the JSON has.

use comfy_table::Table;

use super::{
    super::{
        links::edge,
        output::{self, Screen, alarm, dim, heading, number, number_heading, text},
    },
    features::Feature,
    judge::{Level, LinkReport, Report},
    memory::Memory,
};
use crate::model::Mode;

pub(super) fn show(report: &Report, screen: Screen) -> String {
    let mut shown = output::finish(facts(report, screen));
    shown.push('\n');
    shown.push_str(&output::finish(links(report, screen)));
    if report.links.iter().any(|link| !link.programs.is_empty()) {
        shown.push('\n');
        shown.push_str(&output::finish(programs(report, screen)));
    }
    if !report.findings.is_empty() {
        let mut table = screen.table();
        for finding in &report.findings {
            let level = text(&finding.level.to_string());
            let level = match finding.level {
                Level::Error => alarm(level),
                Level::Warning => level,
                Level::Note => dim(level),
            };
            table.add_row([level, text(&format!("{}: {}", finding.about, finding.message))]);
        }
        shown.push('\n');
        shown.push_str(&output::finish(table));
    }
    shown.push_str(if report.ok {
        "\n`classifier run` can do this here.\n"
    } else {
        "\n`classifier run` cannot do this here.\n"
    });
    shown
}

/// The machine.
fn facts(report: &Report, screen: Screen) -> Table {
    let mut facts = screen.table();
    let mut fact = |name: &str, value: String| {
        facts.add_row([heading(name), text(&value)]);
    };
    fact("router", report.router.clone());
    fact("kernel", report.kernel.clone());
    let feature = |feature: &Feature| match feature.found {
        Some(true) => feature.name.to_owned(),
        Some(false) => format!("no {}", feature.name),
        None => format!("{}: not known", feature.name),
    };
    let features: Vec<_> = report.kernel_features.iter().map(feature).collect();
    fact("kernel has", features.join(", "));
    let mut capabilities = report.capabilities.held.join(" ");
    if !report.capabilities.missing.is_empty() {
        capabilities.push_str(&format!(" (missing: {})", report.capabilities.missing.join(" ")));
    }
    fact("capabilities", capabilities.trim_start().to_owned());
    for (name, value) in memory(&report.memory) {
        fact(name, value);
    }
    facts
}

/// What maps take, as rows.
fn memory(memory: &Memory) -> Vec<(&'static str, String)> {
    let size = output::bytes;
    let (total, limit) = (size(memory.total_bytes), size(memory.limit_bytes));
    let mut rows = vec![("memory", format!("{total}; {limit} of it may be counters"))];
    if let (Some(prefixes), Some(bank)) = (memory.prefixes, memory.bank_bytes) {
        rows.push(("counters", format!("{} for {prefixes} prefixes", size(bank))));
    }
    if let Some(fib) = memory.fib_bytes {
        rows.push(("FIB", size(fib)));
    }
    if let (Some(class), Some(carry)) = (memory.class_bytes, memory.carry_bytes) {
        let what = format!("{} of owners, up to {} of counts from before", size(class), size(carry));
        rows.push(("to be kept", what));
    }
    if memory.kept_bytes > 0 {
        rows.push(("kept now", format!("{}, and its FIB", size(memory.kept_bytes))));
    }
    if let Some(start) = memory.start_bytes {
        rows.push(("at a start", format!("up to {}, while it goes on with what is kept", size(start))));
    }
    rows
}

fn links(report: &Report, screen: Screen) -> Table {
    let mut table = screen.table();
    let mut head = ["link", "on", "driver"].map(heading).to_vec();
    head.push(number_heading("MTU"));
    head.extend(["native XDP", "frags", "attaching", "receive", "transmit"].map(heading));
    table.set_header(head);
    let known =
        |known: Option<bool>, yes, no| text(known.map_or("unknown", |known| if known { yes } else { no }));
    for link in &report.links {
        let edge = edge(&link.interface, link.vlan);
        let LinkReport { mtu: Some(mtu), .. } = link else {
            table.add_row([text(&link.name), text(&edge), dim(text("not there"))]);
            continue;
        };
        let mode = |mode: Option<Mode>| mode.map_or_else(|| alarm(text("cannot")), |mode| text(mode.name()));
        table.add_row([
            text(&link.name),
            text(&edge),
            text(link.driver.as_deref().unwrap_or("unknown")),
            number(mtu),
            known(link.native, "yes", "no"),
            known(link.frags, "yes", "no"),
            known(link.resets_rings, "resets rings", "leaves rings"),
            mode(link.rx),
            mode(link.tx),
        ]);
    }
    table
}

/// What is on the hooks now.
fn programs(report: &Report, screen: Screen) -> Table {
    let mut table = screen.table();
    let mut head = ["on", "there now", "kind"].map(heading).to_vec();
    head.extend(["prio", "id"].map(number_heading));
    head.extend(["name", "kept as"].map(heading));
    table.set_header(head);
    let mut done: Vec<&str> = Vec::new();
    for link in &report.links {
        // Several links may be on one interface.
        if done.contains(&link.interface.as_str()) {
            continue;
        }
        done.push(&link.interface);
        for program in &link.programs {
            let xdp =
                link.xdp_program.as_ref().filter(|xdp| program.kind == "xdp" && Some(xdp.id) == program.id);
            let kind = xdp.map_or_else(|| program.kind.to_owned(), |xdp| format!("xdp, {}", xdp.mode));
            table.add_row([
                text(&link.interface),
                text(if program.hook == "rx" { "receive" } else { "transmit" }),
                text(&kind),
                program.priority.map_or_else(|| text("-"), number),
                program.id.map_or_else(|| text("-"), number),
                text(program.name.as_deref().unwrap_or("unknown")),
                text(program.kept.as_deref().unwrap_or("-")),
            ]);
        }
    }
    table
}
