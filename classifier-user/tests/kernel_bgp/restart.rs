//! Sessions that are lost and come back.

use classifier_user::{
    ingest::{bgp::PeerSettings, live::Event},
    model::Family,
};

use crate::{
    bird::{has_all, route, routes},
    lab::in_namespace,
    world::{AS, Bird, OURS, Ours, ROUTER, active, bird_plain, bird_session, passive, router},
};

const BOTH: [Family; 2] = [Family::Ipv4, Family::Ipv6];

#[test]
fn bird_is_killed_and_comes_back() {
    in_namespace(|| {
        let peer = router();
        let mut bird = Bird::start(&peer, &bird_plain(), &routes());
        let mut ours = Ours::start(vec![PeerSettings { stale_seconds: 77, ..active() }]);
        ours.up();
        ours.complete(&BOTH);
        bird.daemon.kill();
        let lost = ours.down();
        assert_eq!(lost.stale_seconds, 77, "BIRD is a helper: its 120 s promise nothing of its own routes");
        assert!(!lost.why.is_empty());
        assert_eq!(ours.status(0).uptime, None);
        assert_eq!(ours.last_error(0), lost.why);
        // It comes back with other routes.
        bird.again(&[]);
        ours.up();
        ours.complete(&BOTH);
        has_all(&ours);
        assert_eq!(ours.status(0).counts.established, 2);
    });
}

#[test]
fn a_session_that_bird_ends_says_why() {
    in_namespace(|| {
        let peer = router();
        let head = format!("local {ROUTER} as {AS}; neighbor {OURS} as {AS}; graceful restart off;");
        let bird = Bird::start(&peer, &bird_session(&head, ""), &routes());
        let mut ours = Ours::start(vec![PeerSettings { stale_seconds: 77, ..passive() }]);
        ours.up();
        ours.until("routes", |ours| (ours.routes.len() == 6).then_some(()));
        ours.log.clear();
        bird.ask("disable collector");
        let lost = ours.down();
        assert_eq!(lost.why, "it says: cease: administrative shutdown (6/2)");
        assert_eq!(lost.stale_seconds, 77);
        assert_eq!(ours.status(0).counts.notifications_received, 1);
        bird.ask("enable collector");
        ours.up();
        ours.until("routes again", |ours| (ours.changes == 12).then_some(()));
    });
}

/// RFC 4724, section 5: BIRD's 120 s are for a connection that is cut.
#[test]
fn graceful_restart_is_not_for_a_session_that_bird_ends() {
    in_namespace(|| {
        let peer = router();
        let head = format!("local {ROUTER} as {AS}; neighbor {OURS} as {AS}; graceful restart on;");
        let bird = Bird::start(&peer, &bird_session(&head, ""), &routes());
        let mut ours = Ours::start(vec![PeerSettings { stale_seconds: 77, ..active() }]);
        ours.up();
        let restart = ours.status(0).agreed.unwrap().graceful_restart.unwrap();
        assert_eq!(restart.restart_time, 120);
        ours.complete(&BOTH);
        bird.ask("disable collector");
        assert_eq!(ours.down().stale_seconds, 77);
    });
}

/// A peer that does not know of End-of-RIB has sent all when it is quiet.
#[test]
fn without_graceful_restart_quiet_is_the_end_of_the_rib() {
    in_namespace(|| {
        let peer = router();
        let head = format!("local {ROUTER} as {AS}; neighbor {OURS} as {AS}; graceful restart off;");
        let _bird = Bird::start(&peer, &bird_session(&head, ""), &routes());
        let timers = classifier_user::ingest::bgp::Timers {
            quiet: std::time::Duration::from_secs(4),
            ..crate::world::timers()
        };
        let mut ours = Ours::with_timers(vec![active()], timers);
        ours.up();
        assert!(ours.status(0).agreed.unwrap().graceful_restart.is_none());
        ours.complete(&BOTH);
        has_all(&ours);
    });
}

/// Also: BIRD, recovering, does not hold its routes back until we send an End-of-RIB, which we never do.
#[test]
fn bird_restarts_gracefully() {
    in_namespace(|| {
        let peer = router();
        let head = format!(
            "local {ROUTER} as {AS}; neighbor {OURS} as {AS}; graceful restart on; graceful restart time 300;"
        );
        let mut bird = Bird::start(&peer, &bird_session(&head, ""), &routes());
        let mut ours = Ours::start(vec![PeerSettings { stale_seconds: 77, ..passive() }]);
        ours.up();
        ours.complete(&BOTH);
        let agreed = ours.status(0).agreed.unwrap();
        assert!(agreed.restarts_gracefully(), "{agreed:?}");
        bird.daemon.kill();
        assert_eq!(ours.down().stale_seconds, 300);
        bird.configure_files(&bird_session(&head, ""), &[route("198.51.100.0/24", &[1])].concat());
        bird.again(&["-R"]);
        ours.up();
        ours.until_path("198.51.100.0/24", Some(&[1]));
        ours.complete(&BOTH);
        // What did not come again is the table's business, by these events.
        assert_eq!(ours.routes.len(), 6);
        assert!(ours.status(0).agreed.unwrap().graceful_restart.unwrap().restarting);
    });
}

/// RFC 9494: BIRD says that its routes are good for longer than a restart takes.
#[test]
fn long_lived_routes_stay_for_as_long_as_bird_says() {
    in_namespace(|| {
        let peer = router();
        let head = format!(
            "local {ROUTER} as {AS}; neighbor {OURS} as {AS}; graceful restart on; graceful restart time 100;
             long lived graceful restart on; long lived stale time 7200;"
        );
        let mut bird = Bird::start(&peer, &bird_session(&head, ""), &routes());
        let mut ours = Ours::start(vec![PeerSettings { stale_seconds: 1800, ..passive() }]);
        ours.up();
        ours.complete(&BOTH);
        assert_eq!(ours.status(0).agreed.unwrap().long_lived_restart.unwrap().stale_time, 7200);
        bird.daemon.kill();
        assert_eq!(ours.down().stale_seconds, 7300);
    });
}

/// The network goes away without a word: nobody closes the connection.
#[test]
fn silence_ends_a_session() {
    in_namespace(|| {
        let peer = router();
        let _bird = Bird::start(&peer, &bird_plain(), &routes());
        let mut ours = Ours::start(vec![PeerSettings { hold_time: 3, ..active() }]);
        ours.up();
        ours.complete(&BOTH);
        peer.run(|| crate::lab::run("ip link set p0 down"));
        let lost = ours.down();
        assert_eq!(lost.why, "nothing was heard for 3 s (sent hold timer expired (4/0))");
        peer.run(|| crate::lab::run("ip link set p0 up"));
        assert_eq!(ours.event("the session"), Event::Up);
    });
}
