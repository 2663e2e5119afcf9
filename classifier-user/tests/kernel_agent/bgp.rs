//! The router's own BGP gives the agent its routes: they change under traffic, the session goes and comes back, and every
//! packet counts once, for the origin of its time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::Receiver,
    },
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::{
    agent::{Agent, counter, eventually},
    lab::{Peer, Raw, in_namespace},
    routers::Bird,
    world::{Files, ip, wire},
};

/// Without the session: by the file.
const FILE: u32 = 15_169;
/// By the override, whatever the session says.
const OVERRIDE: u32 = 40_027;
const A: u32 = 64_701;
const B: u32 = 64_702;
const C: u32 = 64_703;

/// Bytes of a frame: the two sorts differ, so that they cannot be taken for each other.
const LENGTHS: [usize; 2] = [100, 140];

/// Frames that go on until they are stopped: of a source whose routes change, and of one with an override.
struct Stream {
    stop: Arc<AtomicBool>,
    sent: Receiver<u64>,
}

impl Stream {
    fn start(peer: &Peer) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let sent = peer.start(move || {
            let raw = Raw::new("p0");
            let frames = [ip("8.8.8.8", "192.0.2.1", LENGTHS[0]), ip("45.57.8.1", "192.0.2.1", LENGTHS[1])];
            let mut sent = 0;
            while !stopped.load(Ordering::Relaxed) {
                for _ in 0..25 {
                    frames.iter().for_each(|frame| raw.send(frame));
                }
                sent += 25;
                thread::sleep(Duration::from_millis(1));
            }
            sent
        });
        Self { stop, sent }
    }

    /// How many of each of the two frames were sent.
    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.sent.recv().expect("the sender")
    }
}

impl Drop for Stream {
    /// A test that failed would wait for ever for the sender's namespace to end.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What docs/bird.md says, and quick.
fn session(more: &str) -> String {
    format!(
        "protocol bgp classifier {{
           local 127.0.0.1 as 64500;
           neighbor 127.0.0.1 port 1179 as 64500;
           rr client;
           connect delay time 1; connect retry time 1; error wait time 1, 1;
           {more}
           ipv4 {{ import none; export all; next hop address 127.0.0.2; }};
         }}"
    )
}

fn route(prefix: &str, path: [u32; 2]) -> String {
    format!("route {prefix} blackhole {{ bgp_path.prepend({}); bgp_path.prepend({}); }};\n", path[1], path[0])
}

/// What the override has, by another AS.
fn overridden() -> String {
    route("45.57.8.0/24", [174, 64_710])
}

/// The routes one after the other, and whose the changing source's packets then are.
fn rounds() -> [(String, u32); 4] {
    let covering = overridden() + &route("8.8.8.0/24", [3356, A]);
    [
        (covering.clone(), A),
        // A more specific one.
        (covering + &route("8.8.8.8/32", [174, B]), B),
        // Without it, and the other by another origin.
        (overridden() + &route("8.8.8.0/24", [3356, C]), C),
        // Neither: the next source has it.
        (overridden(), FILE),
    ]
}

/// Packets and bytes of an AS since the start; none as long as nobody knows of it.
fn of(agent: &Agent, asn: u32) -> (u64, u64) {
    let output = agent.command(&format!("as {asn} --json"));
    if !output.status.success() {
        return (0, 0);
    }
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    counter(&answer["directions"]["in"]["since_start"])
}

/// Waits until the changing source's packets are this AS', and no other's.
fn goes_to(agent: &Agent, asn: u32) {
    let grows = || {
        let before = of(agent, asn);
        eventually(&format!("packets of AS {asn}"), || (of(agent, asn) > before).then_some(()));
    };
    grows();
    // What was counted before the route changed is swept by then.
    agent.two_sweeps();
    let others = || [FILE, A, B, C].into_iter().filter(|&other| other != asn).map(|other| of(agent, other));
    let before: Vec<_> = others().collect();
    grows();
    assert_eq!(others().collect::<Vec<_>>(), before, "others than AS {asn}");
}

fn router(status: &Value) -> Value {
    let sources = status["table"]["sources"].as_array().expect("sources");
    sources.iter().find(|source| source["name"] == "router").cloned().unwrap_or_default()
}

#[test]
fn routes_of_a_session_change_under_traffic_and_every_packet_counts_once() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        let bgp = "127.0.0.1,as=64500,listen=127.0.0.1:1179,passive,name=router,stale_time=2s";
        let agent = Agent::start(&format!("-i r0 {} --bgp {bgp}", files.arguments()));
        let stream = Stream::start(&peer);
        goes_to(&agent, FILE);

        let hard = session("graceful restart off;");
        let mut bird = Bird::here(&hard, "");
        agent.wait_log(0, "router: established with AS 64500");
        for (routes, asn) in rounds() {
            bird.configure(&hard, &routes);
            goes_to(&agent, asn);
        }
        // As fast as BIRD takes them.
        for (routes, _) in std::iter::repeat_with(rounds).take(20).flatten() {
            bird.configure(&hard, &routes);
        }
        let [first, _, third, _] = rounds();
        bird.configure(&hard, &first.0);
        goes_to(&agent, A);

        // The session is lost: after `stale_time` the next source has its turn.
        let mark = agent.log().len();
        bird.daemon.kill();
        agent.wait_log(mark, "router: session lost");
        goes_to(&agent, FILE);
        assert_eq!(router(&agent.status())["prefixes"], 0);
        bird.again(&[]);
        goes_to(&agent, A);

        // A graceful restart: nothing falls back to the file meanwhile, and what is new counts at once.
        let graceful = session("graceful restart on; graceful restart time 120;");
        bird.configure(&graceful, &first.0);
        eventually("the new session", || {
            (agent.log().matches("router: established with AS 64500").count() == 3).then_some(())
        });
        goes_to(&agent, A);
        // What this session has not sent again keeps the time of the loss before, which is over.
        eventually("the routes again", || {
            let source = router(&agent.status());
            (source["stale"] == Value::Null && source["prefixes"] == 2).then_some(())
        });
        let file = of(&agent, FILE);
        bird.daemon.kill();
        // Its routes stay, and everybody says that they are stale.
        let source = eventually("stale routes", || {
            let source = router(&agent.status());
            // While a session comes back, what it has not sent again is stale, too.
            (source["stale"] == 2 && source["up"] == false).then_some(source)
        });
        assert_eq!(source["prefixes"], 2);
        let metrics = agent.metrics();
        let of_router = |name| metrics.one(name, &[("source", "router")]);
        assert_eq!(
            (of_router("classifier_source_stale_routes"), of_router("classifier_source_up")),
            (2.0, 0.0)
        );
        let (code, page) = agent.get("/");
        assert_eq!(code, 200);
        assert!(page.contains("router is away: 2 of its 2 routes are stale"), "{page}");
        goes_to(&agent, A);
        bird.configure_files(&graceful, &third.0);
        bird.again(&["-R"]);
        goes_to(&agent, C);
        assert_eq!(of(&agent, FILE), file);
        assert_eq!(router(&agent.status())["stale"], Value::Null);

        let sent = stream.end();
        let status = agent.settled(&[("r0 rx", 2 * sent)]);
        assert_eq!(status["closure_ok"], true);
        let [short, long] = LENGTHS.map(|length| length as u64 * sent);
        assert_eq!(of(&agent, OVERRIDE), (sent, long));
        let counted = [FILE, A, B, C].map(|asn| of(&agent, asn));
        let sum = counted.iter().fold((0, 0), |sum, amount| (sum.0 + amount.0, sum.1 + amount.1));
        assert_eq!(sum, (sent, short), "{counted:?}");
        agent.metrics().assert_adds_up(&["r0"]);
    });
}
