use super::*;

const LIMITS: Limits = Limits {
    connections: 4,
    per_address: 2,
    held: 1 << 20,
    head: Duration::from_secs(10),
    idle: Duration::from_secs(60),
    stall: Duration::from_secs(20),
    answer: Duration::from_secs(120),
    lifetime: Some(Duration::from_secs(300)),
};

struct World {
    gate: Arc<Gate>,
    stats: Arc<ListenerStats>,
    start: Instant,
}

impl World {
    fn new() -> Self {
        let stats = Arc::new(ListenerStats::default());
        Self { gate: Gate::new(LIMITS, Arc::clone(&stats)), stats, start: Instant::now() }
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    fn admit(&self, address: &str, seconds: u64) -> Option<Place> {
        self.gate.admit(address.parse().unwrap(), self.at(seconds))
    }

    /// Whether it still has its place after a sweep then.
    fn stays(&self, place: &Place, seconds: u64) -> bool {
        self.gate.sweep(self.at(seconds));
        self.has(place)
    }

    fn has(&self, place: &Place) -> bool {
        self.gate.lock().taken.contains_key(&place.number)
    }

    /// What was refused, without what was not.
    fn refused(&self) -> Vec<(&'static str, u64)> {
        let all = Refused::ALL.into_iter().map(|why| (why.name(), self.stats.refused(why)));
        all.filter(|(_, count)| *count > 0).collect()
    }
}

#[test]
fn a_head_must_be_whole_in_time() {
    let world = World::new();
    let place = world.admit("192.0.2.1", 0).unwrap();
    // A byte now and then does not help.
    for second in 1..10 {
        place.connection.read(world.at(second));
        assert!(world.stays(&place, second));
    }
    assert!(!world.stays(&place, 10));
    assert_eq!(world.refused(), [("head", 1)]);
    assert_eq!((world.stats.open(), world.stats.accepted()), (0, 1));
}

#[test]
fn between_requests_it_may_be_idle_and_each_head_has_its_time() {
    let world = World::new();
    let place = world.admit("192.0.2.1", 0).unwrap();
    place.connection.asked();
    // We take our time.
    assert!(world.stays(&place, 3600));
    place.connection.answered(world.at(3600));
    place.connection.wrote(world.at(3601));
    assert!(world.stays(&place, 3660));
    place.connection.read(world.at(3660));
    assert!(world.stays(&place, 3669));
    assert!(!world.stays(&place, 3670));

    let place = world.admit("192.0.2.1", 0).unwrap();
    place.connection.asked();
    place.connection.answered(world.at(1));
    assert!(world.stays(&place, 60));
    assert!(!world.stays(&place, 61));
    // To have been idle is no offence.
    assert_eq!(world.refused(), [("head", 1)]);
}

#[test]
fn an_answer_must_be_taken() {
    let world = World::new();
    let stalled = world.admit("192.0.2.1", 0).unwrap();
    let slow = world.admit("192.0.2.2", 0).unwrap();
    for place in [&stalled, &slow] {
        place.connection.asked();
        place.connection.answered(world.at(0));
        place.connection.blocked();
    }
    assert!(world.stays(&stalled, 19));
    let mut second = 0;
    while world.stays(&slow, second) {
        second += 19;
        slow.connection.wrote(world.at(second));
        slow.connection.blocked();
    }
    assert!(!world.has(&stalled));
    // The first look at which two minutes are over.
    assert_eq!(second, 133);
    assert_eq!(world.refused(), [("stalled", 2)]);
}

#[test]
fn who_keeps_us_waiting_the_longest_makes_room() {
    let world = World::new();
    let places: Vec<_> = (1..=4).map(|host| world.admit(&format!("192.0.2.{host}"), host).unwrap()).collect();
    // The first is being answered, the second has just taken an answer.
    places[0].connection.asked();
    places[1].connection.asked();
    places[1].connection.answered(world.at(5));
    let fifth = world.admit("192.0.2.5", 6).unwrap();
    let held: Vec<bool> = places.iter().map(|place| world.has(place)).collect();
    assert_eq!(held, [true, true, false, true]);
    assert_eq!(world.refused(), [("displaced", 1)]);
    for place in [&places[1], &places[3], &fifth] {
        place.connection.asked();
    }
    assert!(world.admit("192.0.2.6", 7).is_none());
    assert_eq!(world.refused(), [("connections", 1), ("displaced", 1)]);
    drop(fifth);
    assert!(world.admit("192.0.2.6", 7).is_some());
}

#[test]
fn one_address_does_not_take_all_places() {
    let world = World::new();
    let first = world.admit("2001:db8::1", 0).unwrap();
    let second = world.admit("2001:db8::2", 1).unwrap();
    let other = world.admit("2001:db8:0:1::1", 0).unwrap();
    // Of its own /64 the oldest goes, though there are places left.
    let third = world.admit("2001:db8::ffff", 2).unwrap();
    let held = [&first, &second, &other, &third].map(|place| world.has(place));
    assert_eq!(held, [false, true, true, true]);
    second.connection.asked();
    third.connection.asked();
    assert!(world.admit("2001:db8::3", 3).is_none());
    assert_eq!(world.refused(), [("address", 1), ("displaced", 1)]);
}

#[test]
fn a_proxy_on_this_machine_may_have_all() {
    let world = World::new();
    let places: Vec<_> = ["127.0.0.1", "::1", "::ffff:127.0.0.1", "127.0.0.1"]
        .map(|from| world.admit(from, 0).unwrap())
        .into();
    assert_eq!((world.stats.open(), world.refused()), (4, vec![]));
    drop(places);
    assert_eq!((world.stats.open(), world.stats.accepted()), (0, 4));
}

#[test]
fn an_old_connection_ends_with_its_answer() {
    let world = World::new();
    let place = world.admit("192.0.2.1", 0).unwrap();
    assert!(!place.connection.is_old(&LIMITS, world.at(299)));
    assert!(place.connection.is_old(&LIMITS, world.at(300)));
}
