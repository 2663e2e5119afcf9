//! `classifier check`: what `run` would do here, and whether it can. Reading order: [`host`] (facts), [`mod@judge`] (what
//! they mean), here (how it is shown).

use std::io::Write;

use self::{
    features::Feature,
    host::Host,
    judge::{Level, Report, judge},
};
use super::{
    CliError, Outcome,
    output::{self, Screen, alarm, dim, heading, number, number_heading, text},
    run::SettingsArgs,
    tables,
};
use crate::{config::RunPlan, datapath::kernel, fib::sizes::sizes_for, model::Mode};

mod features;
mod host;
mod judge;
#[cfg(test)]
mod judge_tests;
mod position;

/// Say what `run` would do here, and whether it can
///
/// Takes the arguments of `run`, and changes nothing. Exits with 0 if `run` can, with 1 if it cannot.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  classifier check -i eth0
  sudo classifier check --config /etc/classifier/classifier.toml
  classifier check -i eth0 --json")]
pub(super) struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(args: Args, out: &mut dyn Write) -> Result<Outcome, CliError> {
    let plan = args.settings.plan(super::run::is_service())?;
    let mut host = Host::read(&plan).map_err(CliError::work)?;
    if judge::can_load(&host) {
        host.loads = Some(kernel::try_load().map_err(|error| error.to_string()));
    }
    let prefixes = if host.unreadable.is_empty() { count_prefixes(&plan, &mut host) } else { Ok(None) };
    let report = judge(&plan, &host, prefixes);
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        out.write_all(people(&report, Screen::of_stdout()).as_bytes())?;
    }
    Ok(if report.ok { Outcome::Done } else { Outcome::CannotRun })
}

/// Prefixes of all tables: loading them is the check of the files.
fn count_prefixes(plan: &RunPlan, host: &mut Host) -> Result<Option<u64>, String> {
    let tables = tables::load(&plan.tables()).map_err(|error| error.to_string())?;
    host.fib_bytes = Some(sizes_for(tables.rib.iter().map(|route| route.prefix)).fib_bytes());
    Ok(Some(tables.rib.counts().total() as u64))
}

fn people(report: &Report, screen: Screen) -> String {
    let mut facts = screen.table();
    let mut fact = |name: &str, value: String| {
        facts.add_row([heading(name), text(&value)]);
    };
    fact("router", report.router.clone());
    fact("kernel", report.kernel.clone());
    let mut capabilities = report.capabilities.held.join(" ");
    if !report.capabilities.missing.is_empty() {
        capabilities.push_str(&format!(" (missing: {})", report.capabilities.missing.join(" ")));
    }
    fact("capabilities", capabilities.trim_start().to_owned());
    if let (Some(prefixes), Some(bank)) = (report.memory.prefixes, report.memory.bank_bytes) {
        let allowed = output::bytes(report.memory.limit_bytes);
        fact("counters", format!("{} for {prefixes} prefixes, {allowed} allowed", output::bytes(bank)));
    }
    if let Some(fib) = report.memory.fib_bytes {
        fact("FIB", output::bytes(fib));
    }
    let feature = |feature: &Feature| match feature.found {
        Some(true) => feature.name.to_owned(),
        Some(false) => format!("no {}", feature.name),
        None => format!("{}: not known", feature.name),
    };
    let features: Vec<_> = report.kernel_features.iter().map(feature).collect();
    fact("kernel has", features.join(", "));

    let mut links = screen.table();
    let mut head = ["link", "on", "driver"].map(heading).to_vec();
    head.push(number_heading("MTU"));
    head.extend(["receive", "transmit"].map(heading));
    links.set_header(head);
    for link in &report.links {
        let mode = |mode: Option<Mode>| match mode {
            Some(mode) => text(mode.name()),
            None => alarm(text("cannot")),
        };
        links.add_row([
            text(&link.name),
            text(&super::links::edge(&link.interface, link.vlan)),
            text(link.driver.as_deref().unwrap_or("-")),
            number(link.mtu.map_or_else(|| "-".to_owned(), |mtu| mtu.to_string())),
            mode(link.rx),
            mode(link.tx),
        ]);
    }

    let mut shown = output::finish(facts);
    shown.push('\n');
    shown.push_str(&output::finish(links));
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
