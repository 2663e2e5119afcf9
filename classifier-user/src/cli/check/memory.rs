//! What maps will take.

use serde::Serialize;

use super::{
    super::output,
    host::Host,
    judge::{Findings, Level},
};
use crate::{
    config::RunPlan,
    datapath::{Sizes, kernel},
    fib::sizes::classes_for,
};

/// What the kernel's maps will take, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Memory {
    /// Of the machine.
    pub(super) total_bytes: u64,
    /// What banks may take.
    pub(super) limit_bytes: u64,
    /// Prefixes that are counted; null where the tables were not loaded, as is what follows from it.
    pub(super) prefixes: Option<u64>,
    /// Banks of all links with prefix granularity.
    pub(super) bank_bytes: Option<u64>,
    /// The FIB of these prefixes.
    pub(super) fib_bytes: Option<u64>,
    /// Whose the counters are: where counting outlives the agent.
    pub(super) class_bytes: Option<u64>,
    /// At most, what agents before counted, carried over.
    pub(super) carry_bytes: Option<u64>,
    /// What is kept in the kernel now, of any agent, without its FIB.
    pub(super) kept_bytes: u64,
    /// At most, what is taken while a start goes on with what is kept: that, and what is made anew.
    pub(super) start_bytes: Option<u64>,
}

impl Memory {
    pub(super) fn of(plan: &RunPlan, host: &Host, prefixes: Option<u64>) -> Self {
        let links = plan.links.len() as u64;
        let classes = prefixes.map(|prefixes| classes_for(usize::try_from(prefixes).unwrap_or(usize::MAX)));
        let bank_bytes = classes.map(|classes| {
            let sizes = Sizes { classes, v4_rows: 0, v6_rows: 0, v6_nodes: 0 };
            sizes.bank_bytes(host.cpus, 2).saturating_mul(links)
        });
        let class_bytes = classes.map(kernel::class_bytes);
        let carry_bytes = prefixes.map(|prefixes| kernel::carry_bytes(prefixes, links));
        let kept_bytes = host.kept.iter().flatten().map(|kept| kept.bytes).sum();
        let sum = || {
            let (fib, new) = (host.fib_bytes?, bank_bytes?.saturating_add(class_bytes?));
            // The older one's FIB goes with it, and is about as large.
            let older = if kept_bytes > 0 { kept_bytes } else { new.saturating_add(carry_bytes?) };
            Some(fib.saturating_mul(2).saturating_add(new).saturating_add(carry_bytes?).saturating_add(older))
        };
        Self {
            total_bytes: host.memory,
            limit_bytes: plan.bank_memory.bytes(host.memory),
            prefixes,
            bank_bytes,
            fib_bytes: host.fib_bytes,
            class_bytes,
            carry_bytes,
            kept_bytes,
            start_bytes: sum(),
        }
    }
}

/// `prefixes`: of all tables, or why they cannot be loaded.
pub(super) fn judge(
    plan: &RunPlan,
    host: &Host,
    prefixes: Result<Option<u64>, String>,
    findings: &mut Findings,
) -> Memory {
    let prefixes = prefixes.unwrap_or_else(|why| {
        findings.add(Level::Error, "tables", why);
        None
    });
    let memory = Memory::of(plan, host, prefixes);
    if let Some(bank) = memory.bank_bytes.filter(|bank| *bank > memory.limit_bytes) {
        findings.add(
            Level::Warning,
            "memory",
            format!(
                "counters for every prefix, both sides, would take {} of the {} allowed: --bank-memory allows more, else \
                 one side or whole ASes are counted",
                output::bytes(bank),
                output::bytes(memory.limit_bytes)
            ),
        );
    }
    memory
}
