use std::collections::HashSet;

use super::*;

/// So many steps are as long as a check.
const STEPS: u32 = 10;

/// A queue whose checks all take the same time, by a clock of its own.
struct World {
    queue: Queue,
    now: Instant,
    step: Duration,
    /// Those whose password is right.
    right: HashSet<u64>,
    /// Who is checked, and for how many steps more.
    checked: Option<(u64, Peer, u32)>,
    /// Checks that ended, by address.
    ended: HashMap<Peer, u32>,
    welcome: HashSet<u64>,
    left: u32,
}

impl World {
    fn new(takes: Duration) -> Self {
        Self {
            queue: Queue::default(),
            now: Instant::now(),
            step: takes / STEPS,
            right: HashSet::new(),
            checked: None,
            ended: HashMap::new(),
            welcome: HashSet::new(),
            left: 0,
        }
    }

    fn ask(&mut self, peer: Peer, is_right: bool) -> Option<u64> {
        let number = self.queue.enter(peer, self.now)?;
        if is_right {
            self.right.insert(number);
        }
        Some(number)
    }

    fn step(&mut self) {
        self.now += self.step;
        if let Some((number, peer, left)) = self.checked.take() {
            if left > 1 {
                self.checked = Some((number, peer, left - 1));
            } else {
                let is_right = self.right.contains(&number);
                self.queue.end(!is_right, self.now);
                *self.ended.entry(peer).or_default() += 1;
                if is_right {
                    self.welcome.insert(number);
                }
            }
        }
        let waiting: Vec<_> =
            self.queue.waiting.iter().map(|(number, waiter)| (*number, waiter.peer)).collect();
        for (number, peer) in waiting {
            match self.queue.next(number, self.now) {
                Next::Check => self.checked = Some((number, peer, STEPS)),
                Next::Wait(until) => assert!(until > self.now),
                Next::Leave => {
                    self.queue.waiting.remove(&number);
                    self.left += 1;
                }
            }
        }
    }

    /// A step while this one guesses, with all the requests that it may have.
    fn guessed(&mut self, peer: Peer) {
        while self.ask(peer, false).is_some() {}
        self.step();
    }

    /// Steps until this one is welcome, while the other one guesses.
    fn welcomed(&mut self, peer: Peer, guesser: Peer) -> u32 {
        let number = self.ask(peer, true).expect("a place");
        for step in 1..1000 {
            self.guessed(guesser);
            if self.welcome.contains(&number) {
                return step;
            }
        }
        panic!("it is kept out")
    }
}

fn peer(host: u32) -> Peer {
    Some(std::net::Ipv4Addr::from_bits(0xc633_0000 + host).into())
}

/// Costs from 4 to 15, and a machine that is slow at it.
fn times() -> impl Iterator<Item = Duration> {
    [1, 50, 1000, 2000, 10_000].into_iter().map(Duration::from_millis)
}

#[test]
fn who_guesses_keeps_another_one_waiting_for_two_checks_at_most() {
    for takes in times() {
        // From this machine it has sixteen requests at a time.
        for guesser in [peer(1), None] {
            let mut world = World::new(takes);
            let mut longest = 0;
            for trial in 0..200 {
                for _ in 0..trial % 57 {
                    world.guessed(guesser);
                }
                longest = longest.max(world.welcomed(peer(2), guesser));
            }
            // The one under way, its pause, and its own.
            assert_eq!(longest, 3 * STEPS, "{takes:?}");
        }
    }
}

#[test]
fn who_mistyped_gets_in_too() {
    for takes in times() {
        let mut world = World::new(takes);
        for trial in 0..200 {
            world.ask(peer(2), false).unwrap();
            while world.ended.get(&peer(2)) != Some(&(2 * trial + 1)) {
                world.guessed(peer(1));
            }
            for _ in 0..trial % 57 {
                world.guessed(peer(1));
            }
            // A pause, the other's turn, and its pause, at worst.
            let steps = world.welcomed(peer(2), peer(1));
            assert!(steps <= (4 + 1 + 4 + 1) * STEPS, "{takes:?}: {steps}");
        }
    }
}

#[test]
fn guesses_use_a_fifth_of_a_cpu_and_half_of_one_where_they_are_from_everywhere() {
    let takes = Duration::from_secs(1);
    let mut world = World::new(takes);
    for _ in 0..1000 * STEPS {
        world.guessed(peer(1));
    }
    assert_eq!(world.ended, HashMap::from([(peer(1), 200)]));
    // Ten of them have no more, and each as much as the others.
    let mut world = World::new(takes);
    for _ in 0..1000 * STEPS {
        for host in 2..=10 {
            while world.ask(peer(host), false).is_some() {}
        }
        world.guessed(peer(1));
    }
    let ended: u32 = world.ended.values().sum();
    assert!((200..=200 + 10).contains(&ended), "{ended}");
    assert!(world.ended.len() == 10 && world.ended.values().all(|ended| (20..=22).contains(ended)));
    // Each from an address of its own: some leave.
    let mut world = World::new(takes);
    for host in 0..100 * STEPS {
        world.guessed(peer(host));
    }
    let ended: u32 = world.ended.values().sum();
    assert_eq!(ended, 50);
    assert!(world.left > 1000);
}

#[test]
fn a_check_that_is_slow_is_waited_for_and_a_queue_that_is_long_is_not() {
    let (mut queue, start) = (Queue::default(), Instant::now());
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    let [slow, other] = [peer(1), peer(2)].map(|peer| queue.enter(peer, start).unwrap());
    assert_eq!(queue.next(slow, start), Next::Check);
    assert_eq!(queue.next(other, start), Next::Wait(at(5)));
    assert_eq!(queue.next(other, at(5)), Next::Wait(at(50)));
    queue.end(true, at(30));
    assert_eq!(queue.next(other, at(30)), Next::Wait(at(60)));
    let third = queue.enter(peer(3), at(30)).unwrap();
    // A turn that is there is taken, however late.
    assert_eq!(queue.next(other, at(1000)), Next::Check);
    assert_eq!(queue.next(third, at(1000)), Next::Leave);
}

#[test]
fn what_is_known_of_wrong_passwords_is_bounded() {
    let (mut queue, start) = (Queue::default(), Instant::now());
    let known = u32::try_from(WRONG).unwrap();
    for host in 0..known + 20 {
        let now = start + Duration::from_secs(u64::from(host));
        queue.checked = Some((peer(host), now));
        queue.end(true, now);
    }
    assert_eq!(queue.wrong.len(), WRONG);
    assert!(!queue.wrong.contains_key(&peer(19)) && queue.wrong.contains_key(&peer(20)));
}

/// The same by the runtime's clock.
#[tokio::test]
async fn another_one_gets_its_turn_in_each_trial() {
    for (takes, trials) in [(Duration::from_millis(50), 8), (Duration::from_secs(1), 3)] {
        let turns = Arc::new(Turns::default());
        let guessing: Vec<_> = (0..WAITING)
            .map(|_| {
                let turns = Arc::clone(&turns);
                tokio::spawn(async move {
                    while let Some(turn) = turns.take(peer(1)).await {
                        let wrong = async move {
                            tokio::time::sleep(takes).await;
                            false
                        };
                        assert!(!turn.check(wrong).await);
                    }
                })
            })
            .collect();
        for trial in 0..trials {
            tokio::time::sleep(takes * trial / 3).await;
            let turn = turns.take(peer(2)).await.unwrap();
            assert!(turn.check(async { true }).await, "{takes:?}, {trial}");
        }
        for guessing in guessing {
            guessing.abort();
            assert!(guessing.await.unwrap_err().is_cancelled());
        }
        assert!(turns.lock().waiting.is_empty());
    }
}

#[tokio::test]
async fn who_closes_early_pays_all_the_same() {
    let turns = Arc::new(Turns::default());
    let turn = turns.take(peer(1)).await.unwrap();
    let (end, ended) = tokio::sync::oneshot::channel();
    let asked = tokio::spawn(turn.check(async move { ended.await.unwrap() }));
    tokio::task::yield_now().await;
    asked.abort();
    assert!(asked.await.unwrap_err().is_cancelled());
    assert!(turns.lock().checked.is_some());
    end.send(false).unwrap();
    drop(turns.take(peer(2)).await.unwrap());
    assert!(turns.lock().wrong.contains_key(&peer(1)));
}
