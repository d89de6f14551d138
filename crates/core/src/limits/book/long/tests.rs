//! No window of a long limit sees more than it allows, whoever owns which partition, whoever dies, and whoever does not know yet that
//! somebody else has it.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::healthflow::Operation;
use crate::limits::policy::{Operations, Scope};
use crate::limits::window::{Fixed, Length, Window};

const ALL: u32 = 3;
const WINDOW_MS: i64 = 120_000;

#[derive(Clone, Debug)]
enum Step {
    Pass(i64),
    /// The partition goes to this worker; whoever had it learns of that only later, if it does not give it back.
    Move {
        partition: i32,
        to: usize,
        is_given_back: bool,
    },
    /// Whoever lost a partition learns of it.
    Learn,
    /// The owner commits what is due.
    Commit {
        partition: i32,
    },
    Take {
        partition: i32,
        claim: Claim,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let partition = || 0..ALL as i32;
    let claim = prop::sample::select(vec![Claim::Live, Claim::Live, Claim::Backfill]);
    let step = prop_oneof![
        3 => (0_i64..20_000).prop_map(Step::Pass),
        1 => (partition(), 0_usize..3, any::<bool>())
            .prop_map(|(partition, to, is_given_back)| Step::Move { partition, to, is_given_back }),
        1 => Just(Step::Learn),
        6 => partition().prop_map(|partition| Step::Commit { partition }),
        12 => (partition(), claim).prop_map(|(partition, claim)| Step::Take { partition, claim }),
    ];
    proptest::collection::vec(step, 1..500)
}

type Durable = BTreeMap<QuotaOwner, Vec<QuotaCount>>;

struct World {
    books: Vec<Book>,
    /// Who has each partition, and which ones each worker believes to have.
    owner: Vec<usize>,
    believed: Vec<BTreeSet<i32>>,
    durable: Vec<Durable>,
    now: Timestamp,
}

impl World {
    fn new(policy: &Policy, reserve: f64) -> World {
        let book = || Book::new(Arc::from([policy.clone()])).keeping_for_live(reserve);
        let mut world = World {
            books: vec![book(), book(), book()],
            owner: vec![0; ALL as usize],
            believed: vec![(0..ALL as i32).collect(), BTreeSet::new(), BTreeSet::new()],
            durable: vec![Durable::new(); ALL as usize],
            now: Timestamp(7),
        };
        world.set_owned(0);
        world
    }

    fn set_owned(&mut self, worker: usize) {
        self.books[worker].set_owned(&self.believed[worker].clone(), ALL, self.now);
    }

    fn commit(&mut self, partition: i32, is_given_back: bool) {
        let book = &mut self.books[self.owner[partition as usize]];
        book.wanting_commit(self.now);
        let counts = book.counts_to_commit(partition, is_given_back, self.now);
        self.durable[partition as usize].extend(counts);
        book.counts_committed(partition, self.now);
    }

    fn move_to(&mut self, partition: i32, to: usize, is_given_back: bool) {
        let from = self.owner[partition as usize];
        if is_given_back {
            self.commit(partition, true);
        }
        if is_given_back || from == to {
            self.believed[from].remove(&partition);
            self.set_owned(from);
        }
        self.owner[partition as usize] = to;
        self.believed[to].remove(&partition);
        self.set_owned(to);
        self.believed[to].insert(partition);
        self.set_owned(to);
        self.books[to].restore(partition, &self.durable[partition as usize]);
    }

    fn learn(&mut self) {
        for worker in 0..self.books.len() {
            let owner = &self.owner;
            self.believed[worker].retain(|partition| owner[*partition as usize] == worker);
            self.set_owned(worker);
        }
    }

    /// Every worker that believes to have the partition tries.
    fn take(&mut self, partition: i32, claim: Claim) -> usize {
        let practice = PracticeId::from(format!("practice-{partition}"));
        let asking =
            Asking { partition, practice: &practice, booking: None, operation: Operation::CreatePatient };
        let mut taken = 0;
        for (worker, book) in self.books.iter_mut().enumerate() {
            if !self.believed[worker].contains(&partition) {
                continue;
            }
            // As if of a booking that has not begun: without one it is a doubt that is settled.
            let key = crate::booking::BookingKey { practice: practice.clone(), booking: "b".into() };
            let asking = Asking { booking: Some(&key), ..asking };
            match book.quota_wait(asking, false, claim, self.now) {
                None => {
                    book.spend(asking, claim, self.now);
                    taken += 1;
                }
                Some(QuotaWait::Commit) => book.want_count(partition, &practice),
                Some(QuotaWait::Until(at)) => assert!(at > self.now, "waits for the past"),
            }
        }
        taken
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_long_window_sees_more_than_it_allows(
        steps in steps(),
        is_of_practice in any::<bool>(),
        is_fixed in any::<bool>(),
        calls in 1_u32..60,
        reserve in prop::sample::select(vec![0.0, 0.2, 0.9]),
    ) {
        let window = match is_fixed {
            true => Window::Fixed(Fixed::aligned(Length::Part(WINDOW_MS))),
            false => Window::Rolling { ms: WINDOW_MS },
        };
        let scope = if is_of_practice { Scope::Practice } else { Scope::Account };
        let policy = Policy { name: "day".into(), scope, operations: Operations::ALL, calls, window, burst: 0 };
        let mut world = World::new(&policy, reserve);
        let mut taken: Vec<(i64, i32, Claim)> = Vec::new();
        for step in steps {
            match step {
                Step::Pass(ms) => world.now = world.now.plus_ms(ms),
                Step::Move { partition, to, is_given_back } => world.move_to(partition, to, is_given_back),
                Step::Learn => world.learn(),
                Step::Commit { partition } => world.commit(partition, false),
                Step::Take { partition, claim } => {
                    let times = world.take(partition, claim);
                    taken.extend(std::iter::repeat_n((world.now.0, partition, claim), times));
                }
            }
        }
        let for_history = f64::from(calls) * (1.0 - reserve) + 1e-6;
        let same = |one: i32, other: i32| !is_of_practice || one == other;
        for (index, (from, partition, _)) in taken.iter().enumerate() {
            let begin = if is_fixed { from.div_euclid(WINDOW_MS) * WINDOW_MS } else { *from };
            let within = taken[index..].iter().filter(|(at, of, _)| *at < begin + WINDOW_MS && same(*of, *partition));
            let (all, history) = within.fold((0, 0), |(all, history), (_, _, claim)| {
                (all + 1, history + usize::from(*claim == Claim::Backfill))
            });
            prop_assert!(all <= calls as usize, "{all} of {calls} from {from}");
            prop_assert!(history as f64 <= for_history, "{history} of {for_history} for history from {from}");
        }
    }
}

/// Commits after each call, as under steady load; returns how many calls a window of a limit saw.
fn used(policy: &Policy, claim: Claim, restarts: bool) -> usize {
    let mut world = World::new(policy, 0.25);
    world.now = Timestamp(0);
    let mut taken = 0;
    for second in 0..WINDOW_MS / 1_000 {
        world.now = Timestamp(second * 1_000);
        for partition in 0..ALL as i32 {
            taken += world.take(partition, claim);
            world.commit(partition, false);
            taken += world.take(partition, claim);
        }
        if restarts && second % 40 == 20 {
            (0..ALL as i32)
                .for_each(|partition| world.move_to(partition, (second / 40) as usize % 2 + 1, true));
        }
    }
    taken
}

#[test]
fn a_long_limit_is_used_up_and_history_leaves_the_reserve() {
    let window = Window::Fixed(Fixed::aligned(Length::Part(WINDOW_MS)));
    let (scope, operations) = (Scope::Account, Operations::NONE.with(Operation::CreatePatient));
    let policy = Policy { name: "day".into(), scope, operations, calls: 120, window, burst: 0 };
    assert_eq!(used(&policy, Claim::Live, false), 120);
    assert_eq!(used(&policy, Claim::Live, true), 120, "what is given back is not lost");
    assert_eq!(used(&policy, Claim::Backfill, false), 90);
    assert_eq!(used(&Policy { scope: Scope::Practice, ..policy }, Claim::Live, false), 360);
}

#[test]
fn the_next_portion_is_counted_before_it_is_needed() {
    let window = Window::Fixed(Fixed::aligned(Length::Part(WINDOW_MS)));
    let (scope, operations) = (Scope::Account, Operations::NONE.with(Operation::CreatePatient));
    let policy = Policy { name: "day".into(), scope, operations, calls: 3_000, window, burst: 0 };
    let mut world = World::new(&policy, 0.0);
    (0..ALL as i32).for_each(|partition| world.commit(partition, false));
    let mut taken = 0;
    // Across the end of a window, too.
    for second in 1..200 {
        world.now = Timestamp(second * 1_000);
        let wanting = world.books[0].wanting_commit(world.now);
        taken += world.take(1, Claim::Live) + world.take(2, Claim::Live);
        wanting.into_iter().for_each(|partition| world.commit(partition, false));
    }
    assert_eq!(taken, 2 * 199, "nobody waited");
}
