//! What two processes cost: the same sweeps and batches, over the socket between them.

use std::{
    os::unix::net::UnixStream,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use classifier_user::{
    datapath::{
        Applied, Attachment, Batch, Datapath, DatapathError, Memory, Refused, Sizes, Starting, Sweep,
        adopted::{Adopted, LinkLabel},
        interface::Interface,
        kernel::{Kernel, Setup, XdpChoice},
        remote::{Host, Remote, Start, Welcome, serve},
    },
    model::{Class, Counter, FibDelta, Hook, Role, Side},
};

use crate::{
    keys::{Random, Zipf},
    measure::{median, seconds, seconds_of_all},
    report::{Cell, Goal, Section, Table, Target},
    world::{LOOPBACK, World, link},
};

const ROUNDS: usize = 9;
/// Prefixes with traffic when little changed, on each CPU, hook and side.
const FEW: usize = 1000;
/// Changes of one route.
const CHANGES: usize = 2000;

/// The kernel at the other end, of which this end counts.
#[derive(Clone)]
struct Shared(Arc<Mutex<Kernel>>);

impl Shared {
    fn kernel(&self) -> MutexGuard<'_, Kernel> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Datapath for Shared {
    fn apply(&mut self, batch: &Batch) -> Result<Applied, DatapathError> {
        self.kernel().apply(batch)
    }

    fn resize(&mut self, sizes: &Sizes) -> Result<(), DatapathError> {
        self.kernel().resize(sizes)
    }

    fn sizes(&self) -> Sizes {
        self.kernel().sizes()
    }

    fn sweep(&mut self) -> Result<Sweep, DatapathError> {
        self.kernel().sweep()
    }

    fn attachments(&self) -> Vec<Attachment> {
        self.kernel().attachments()
    }

    fn memory(&self) -> Memory {
        self.kernel().memory()
    }

    fn detach(&mut self) -> Result<(), DatapathError> {
        self.kernel().detach()
    }
}

impl Starting for Shared {
    fn has_kept(&self, _: u32) -> bool {
        false
    }

    fn preflight(&mut self, _: &[Interface]) -> Result<(), Refused> {
        Ok(())
    }

    fn attach(&mut self, _: &Interface) -> Result<Option<String>, Refused> {
        Ok(None)
    }

    fn settle(&mut self) -> Result<Option<Adopted>, Refused> {
        Ok(None)
    }

    fn abandon(self: Box<Self>) {}
}

impl Host for Shared {
    fn welcome(&self) -> Welcome {
        Welcome { keeps: None, bank_bytes: u64::MAX }
    }

    fn fib_bytes(&self) -> u64 {
        u64::MAX
    }

    fn slices(&self) -> u32 {
        self.kernel().slices()
    }

    fn start(&mut self, _: &Start) -> Result<Box<dyn Starting>, Refused> {
        Ok(Box::new(self.clone()))
    }
}

fn remote(shared: &Shared, sizes: Sizes, setup: Setup) -> Result<Remote> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut host = shared.clone();
    thread::spawn(move || serve(theirs, &mut host));
    let mut remote = Remote::over(ours, "the other end".to_owned())?;
    let label = LinkLabel { name: "upstream".to_owned(), role: Role::Upstream, kind: None };
    remote.start(&Start {
        sizes,
        setups: vec![setup],
        labels: vec![label],
        recorder: None,
        xdp: XdpChoice::Auto,
        clsact: false,
    })?;
    Ok(remote)
}

fn length(sweep: &Sweep) -> usize {
    let hooks = sweep.links.iter().flat_map(|link| link.hooks.iter().flatten());
    hooks.flat_map(|hook| hook.sides.iter().flatten()).map(Vec::len).sum()
}

pub(crate) fn run() -> Result<Section> {
    let world = World::builtin()?;
    let describe = world.describe();
    let shared = Shared(Arc::new(Mutex::new(world.kernel(&[link(LOOPBACK, 3)], &[], false)?)));
    let mut remote = remote(&shared, world.sizes, link(LOOPBACK, 3))?;
    let classes = world.batch.deltas.len() as u32 + 2;
    let slices = shared.kernel().slices();

    let mut random = Random::new(5);
    let zipf = Zipf::new(classes as usize, &mut random);
    let few: Vec<Class> = (0..FEW).map(|_| zipf.draw(&mut random) as Class).collect();
    let tenth: Vec<Class> = (0..classes).filter(|_| random.below(10) == 0).collect();
    let all: Vec<Class> = (0..classes).collect();
    let few_name = format!("{FEW} packets, Zipf over prefixes, a CPU, hook and side");
    let cases = [
        ("all of it changed", all.as_slice()),
        ("a tenth, at random", &tenth),
        (&few_name, &few),
        ("nothing changed", &[]),
    ];
    let mut sweeps = Table::new(
        "remote_sweep",
        format!("A sweep of one link: 2 hooks x 2 sides x {slices} CPUs x {classes} classes"),
        &[
            ("changed", "since the sweep before"),
            ("items", "items read"),
            ("direct_ms", "CPU, one process, ms"),
            ("cpu_ms", "CPU of both, two processes, ms"),
            ("wall_ms", "time until it is here, ms"),
        ],
    );
    let counter = Counter { packets: 3, bytes: 3000 };
    let count = |changed: &[Class]| {
        for hook in Hook::ALL {
            for side in Side::ALL {
                for slice in 0..slices {
                    shared.kernel().harness_count(hook, side, slice, changed.iter().copied(), counter);
                }
            }
        }
    };
    let mut little = 0.0;
    for (name, changed) in cases {
        let (mut direct, mut cpu, mut wall, mut items) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for _ in 0..ROUNDS {
            count(changed);
            let (took, sweep) = seconds(|| shared.kernel().sweep());
            let here = length(&sweep?);
            direct.push(took * 1e3);
            count(changed);
            let began = Instant::now();
            let (took, sweep) = seconds_of_all(|| remote.sweep())?;
            wall.push(began.elapsed().as_secs_f64() * 1e3);
            cpu.push(took * 1e3);
            items = length(&sweep?);
            ensure!(items == here, "{items} of {here} came over the socket");
        }
        let (cpu, wall) = (median(cpu), median(wall));
        if changed.len() == FEW {
            little = wall;
        }
        sweeps.row([
            Cell::text(name),
            Cell::Whole(items as u64),
            Cell::Number(median(direct), 2),
            Cell::Number(cpu, 2),
            Cell::Number(wall, 2),
        ]);
    }

    let mut batches = Table::new(
        "remote_apply",
        "Batches of routes, until the words are in the kernel's maps",
        &[("batch", "batch"), ("direct_ms", "one process, ms"), ("wall_ms", "two processes, ms")],
    );
    // The same table once more, under other classes: each word changes.
    let turned = |by: usize| {
        let turn = |(place, delta): (usize, &FibDelta)| {
            let other = world.batch.deltas.get((place + by) % world.batch.deltas.len());
            FibDelta { prefix: delta.prefix, class: other.and_then(|other| other.class) }
        };
        let deltas = world.batch.deltas.iter().enumerate().map(turn).collect();
        Batch { deltas, bound: world.batch.bound.clone(), ..Batch::default() }
    };
    let timed = |work: &mut dyn FnMut() -> Result<Applied, DatapathError>| -> Result<f64> {
        let began = Instant::now();
        work()?;
        Ok(began.elapsed().as_secs_f64() * 1e3)
    };
    let (mut direct, mut wall) = (Vec::new(), Vec::new());
    for round in 0..3 {
        let (one, other) = (turned(2 * round + 1), turned(2 * round + 2));
        direct.push(timed(&mut || shared.kernel().apply(&one))?);
        wall.push(timed(&mut || remote.apply(&other))?);
    }
    let table = format!("a whole table of {} prefixes", world.batch.deltas.len());
    let (direct, full) = (median(direct), median(wall));
    batches.row([Cell::text(table), Cell::Number(direct, 1), Cell::Number(full, 1)]);
    let route = world.batch.deltas.iter().find(|delta| delta.prefix.netmask() == 24).context("a /24")?;
    let one = |class| Batch { deltas: vec![FibDelta { class, ..*route }], ..Batch::default() };
    let (mut direct, mut wall) = (Vec::new(), Vec::new());
    for change in 0..CHANGES {
        let batch = one(Some(2 + (change % 2) as Class));
        let into = if change / 2 % 2 == 0 { &mut direct } else { &mut wall };
        let took = if change / 2 % 2 == 0 {
            timed(&mut || shared.kernel().apply(&batch))?
        } else {
            timed(&mut || remote.apply(&batch))?
        };
        into.push(took);
    }
    let (direct, route) = (median(direct), median(wall));
    batches.row([Cell::text("one route"), Cell::Number(direct, 3), Cell::Number(route, 3)]);

    let target = |what, value, goal| Target { what, value, goal: Goal::AtMost(goal), unit: "ms" };
    Ok(Section {
        about: format!("remote: two processes, and the socket between them; {describe}"),
        tables: vec![sweeps, batches],
        targets: vec![
            target("sweep when little changed, over the socket", little, 15.0),
            target("a whole table, over the socket", full, 2000.0),
            target("one changed route, over the socket", route, 0.3),
        ],
        notes: Vec::new(),
    })
}
