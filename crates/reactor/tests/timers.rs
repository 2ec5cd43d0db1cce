//! `TimerQueue` against a model that is obviously right: a sorted map.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::rc::Rc;

use eventlet_reactor::{TimerKey, TimerQueue};
use proptest::prelude::*;

/// A tick of the wheel's lowest level, and a day, in nanoseconds.
const TICK: u64 = 1 << 16;
const DAY: u64 = 86_400_000_000_000;

/// What is done to queue and model.
#[derive(Clone, Debug)]
enum Step {
    /// Inserts a timer this far after now.
    InsertIn(u64),
    /// Inserts a timer at this time, which may be long ago.
    InsertAt(u64),
    /// Inserts a timer with the deadline of an earlier one.
    InsertLike(usize),
    /// Cancels the nth timer ever made, which may be gone.
    Cancel(usize),
    /// Cancels the earliest timer, which is what makes the queue forget its earliest deadline.
    CancelEarliest,
    /// Moves the clock by this much, and expires.
    Advance(u64),
    /// Moves the clock to the next wake-up, as a hub does.
    Sleep,
    /// Expires at a time before the last.
    GoBack(u64),
    Drain,
    Shrink,
}

/// Distances at all scales, and often just at the edge of a level.
fn distance() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        0..3_u64,
        0..4 * TICK,
        0..100 * TICK,
        0..1_000_000_000_u64,
        0..100_000_000_000_u64,
        0..30 * DAY,
        (0..8_u32, 0..5_u64, -1..2_i64).prop_map(|(level, count, off)| {
            (count * (TICK << (6 * level))).saturating_add_signed(off)
        }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => distance().prop_map(Step::InsertIn),
        1 => prop_oneof![any::<u64>(), Just(0), Just(u64::MAX)].prop_map(Step::InsertAt),
        3 => any::<usize>().prop_map(Step::InsertLike),
        3 => any::<usize>().prop_map(Step::Cancel),
        2 => Just(Step::CancelEarliest),
        3 => distance().prop_map(Step::Advance),
        2 => Just(Step::Sleep),
        1 => distance().prop_map(Step::GoBack),
        1 => prop_oneof![9 => Just(Step::Shrink), 1 => Just(Step::Drain)],
    ]
}

/// A queue and its model, in which a timer's value is its sequence number.
struct Pair {
    now: u64,
    queue: TimerQueue<usize>,
    model: BTreeMap<(u64, usize), TimerKey>,
    /// Every timer ever made.
    made: Vec<(u64, TimerKey)>,
}

impl Pair {
    fn new(now: u64) -> Pair {
        Pair {
            now,
            queue: TimerQueue::new(now),
            model: BTreeMap::new(),
            made: Vec::new(),
        }
    }

    fn insert(&mut self, deadline: u64) {
        let number = self.made.len();
        let key = self.queue.insert(deadline, number);
        assert_eq!(TimerKey::from_bits(key.to_bits()), key);
        assert_ne!(key, TimerKey::NONE);
        self.model.insert((deadline, number), key);
        self.made.push((deadline, key));
    }

    fn cancel(&mut self, number: usize) {
        let (deadline, key) = self.made[number];
        let expected = self.model.remove(&(deadline, number)).map(|_| number);
        assert_eq!(self.queue.get(key).copied(), expected);
        assert_eq!(self.queue.get_mut(key).copied(), expected);
        assert_eq!(self.queue.deadline(key), expected.map(|_| deadline));
        assert_eq!(self.queue.cancel(key), expected);
        assert_eq!(self.queue.cancel(key), None);
        assert_eq!(self.queue.get(key), None);
    }

    fn expire(&mut self, now: u64) {
        let later = now.checked_add(1).map(|at| self.model.split_off(&(at, 0)));
        let due = std::mem::replace(&mut self.model, later.unwrap_or_default());
        let expected: Vec<_> = due.into_keys().map(|(_, number)| number).collect();
        let mut out = Vec::new();
        self.queue.expire(now, &mut out);
        assert_eq!(out, expected, "what expires at {now}");
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::InsertIn(distance) => self.insert(self.now.saturating_add(distance)),
            Step::InsertAt(deadline) => self.insert(deadline),
            Step::InsertLike(number) if !self.made.is_empty() => {
                self.insert(self.made[number % self.made.len()].0);
            }
            Step::Cancel(number) if !self.made.is_empty() => self.cancel(number % self.made.len()),
            Step::CancelEarliest => {
                if let Some(&(_, number)) = self.model.keys().next() {
                    self.cancel(number);
                }
            }
            Step::Advance(distance) => {
                self.now = self.now.saturating_add(distance);
                self.expire(self.now);
            }
            Step::Sleep => {
                if let Some(at) = self.queue.next_wakeup() {
                    let due = self
                        .model
                        .keys()
                        .next()
                        .is_some_and(|&(first, _)| first <= at);
                    let was_a_deadline = self.made.iter().any(|&(deadline, _)| deadline == at);
                    assert!(due || was_a_deadline, "woken for nothing, at {at}");
                    self.now = self.now.max(at);
                    self.expire(self.now);
                    let next = self.queue.next_wakeup();
                    assert!(next.is_none_or(|at| at > self.now), "woken again at once");
                }
            }
            Step::GoBack(distance) => {
                // A clock that goes backwards may expire more than it should, never less; what is
                // due by the last time is gone already, so it makes no difference here.
                let overdue = self
                    .model
                    .keys()
                    .next()
                    .is_some_and(|&(at, _)| at <= self.now);
                if !overdue {
                    self.expire(self.now.saturating_sub(distance));
                }
            }
            Step::Drain => {
                let mut out = Vec::new();
                self.queue.drain(&mut out);
                out.sort_unstable();
                let mut expected: Vec<_> = self.model.keys().map(|&(_, number)| number).collect();
                expected.sort_unstable();
                assert_eq!(out, expected);
                self.model.clear();
            }
            Step::Shrink => self.queue.shrink_to_fit(),
            Step::InsertLike(_) | Step::Cancel(_) => {}
        }
    }

    fn compare(&mut self, exactly: bool) {
        assert_eq!(self.queue.len(), self.model.len());
        assert_eq!(self.queue.is_empty(), self.model.is_empty());
        let earliest = self.model.keys().next().map(|&(deadline, _)| deadline);
        let wakeup = self.queue.next_wakeup();
        assert_eq!(wakeup.is_some(), earliest.is_some());
        assert!(
            wakeup <= earliest,
            "a wake-up at {wakeup:?} is late for {earliest:?}"
        );
        // The question has a side effect, it teaches the queue; so it is not always asked.
        if exactly {
            assert_eq!(self.queue.next_deadline(), earliest);
            assert_eq!(self.queue.next_wakeup(), earliest);
        }
    }

    fn compare_contents(&self) {
        let mut found: Vec<_> = self
            .queue
            .iter()
            .map(|(key, at, &number)| (at, number, key))
            .collect();
        found.sort_unstable_by_key(|&(at, number, _)| (at, number));
        let expected: Vec<_> = self
            .model
            .iter()
            .map(|(&(at, number), &key)| (at, number, key))
            .collect();
        assert_eq!(found, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 8 } else { 1500 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn behaves_like_a_sorted_map(
        start in prop_oneof![Just(0), 0..DAY, any::<u64>()],
        steps in prop::collection::vec((step(), any::<bool>()), 1..200),
    ) {
        let mut pair = Pair::new(start);
        for (step, exactly) in steps {
            pair.take(step);
            pair.compare(exactly);
        }
        pair.compare_contents();
        // The rest, in order.
        while !pair.model.is_empty() {
            pair.take(Step::Sleep);
        }
        prop_assert!(pair.queue.is_empty());
    }
}

fn expired<T>(queue: &mut TimerQueue<T>, now: u64) -> Vec<T> {
    let mut out = Vec::new();
    queue.expire(now, &mut out);
    out
}

#[test]
fn every_edge_of_every_level() {
    for start in [
        0,
        1,
        TICK - 1,
        TICK,
        63 * TICK + 5,
        (64 * 64 - 1) * TICK,
        DAY,
        1 << 60,
    ] {
        for level in 0..8 {
            for count in [1, 2, 63, 64, 65] {
                let Some(distance) = TICK.checked_shl(6 * level).unwrap().checked_mul(count) else {
                    continue;
                };
                let Some(edge) = (start / TICK * TICK).checked_add(distance) else {
                    continue;
                };
                let mut queue = TimerQueue::new(start);
                for deadline in [edge + 1, edge - 1, edge] {
                    queue.insert(deadline, deadline);
                }
                for deadline in [edge - 1, edge, edge + 1] {
                    assert_eq!(queue.next_deadline(), Some(deadline));
                    if deadline > start {
                        assert_eq!(expired(&mut queue, deadline - 1), [], "early");
                    }
                    assert_eq!(expired(&mut queue, deadline), [deadline]);
                }
                assert!(queue.is_empty());
            }
        }
    }
}

#[test]
fn equals_are_first_in_first_out() {
    let mut queue = TimerQueue::new(0);
    let at = 70 * TICK + 3;
    // From two levels above, from one, and in the same slot with others around.
    queue.insert(at, 0);
    queue.insert(at + 1, 9);
    queue.insert(6 * TICK, 7);
    assert_eq!(expired(&mut queue, 6 * TICK), [7]);
    queue.insert(at, 1);
    queue.insert(64 * TICK, 8);
    assert_eq!(expired(&mut queue, 65 * TICK), [8]);
    queue.insert(at, 2);
    queue.insert(at - 1, 6);
    queue.insert(at, 3);
    assert_eq!(expired(&mut queue, at), [6, 0, 1, 2, 3]);
    queue.insert(at, 4);
    queue.insert(0, 5);
    queue.insert(at, 10);
    assert_eq!(
        expired(&mut queue, at),
        [5, 4, 10],
        "overdue, in order of deadline"
    );
    assert_eq!(expired(&mut queue, at + 1), [9]);
}

#[test]
fn the_far_end_of_time() {
    let mut queue = TimerQueue::new(u64::MAX - 10 * TICK);
    let end = queue.insert(u64::MAX, "end");
    queue.insert(u64::MAX - 1, "nearly");
    assert_eq!(queue.next_deadline(), Some(u64::MAX - 1));
    assert_eq!(expired(&mut queue, u64::MAX - 1), ["nearly"]);
    assert_eq!(queue.next_deadline(), Some(u64::MAX));
    assert_eq!(queue.deadline(end), Some(u64::MAX));
    assert_eq!(expired(&mut queue, u64::MAX), ["end"]);
    queue.insert(u64::MAX, "again");
    queue.insert(0, "long ago");
    assert_eq!(expired(&mut queue, u64::MAX), ["long ago", "again"]);

    let mut queue = TimerQueue::new(0);
    queue.insert(u64::MAX, "never");
    queue.insert(1, "soon");
    assert_eq!(expired(&mut queue, 100 * DAY), ["soon"]);
    assert_eq!(queue.next_wakeup(), Some(u64::MAX));
    assert_eq!(queue.len(), 1);
}

#[test]
fn stale_keys_name_nothing() {
    let mut queue = TimerQueue::new(0);
    let first = queue.insert(10, "first");
    assert_eq!(queue.cancel(first), Some("first"));
    let second = queue.insert(20, "second");
    assert_ne!(first, second);
    assert_eq!(
        first.to_bits() as u32,
        second.to_bits() as u32,
        "the place is used again"
    );
    assert_eq!(queue.cancel(first), None);
    assert_eq!(queue.get(first), None);
    assert_eq!(queue.deadline(first), None);
    assert_eq!(queue.get(second), Some(&"second"));

    assert_eq!(expired(&mut queue, 20), ["second"]);
    assert_eq!(queue.cancel(second), None, "fired");

    queue.shrink_to_fit();
    let third = queue.insert(30, "third");
    assert!(
        queue.get(first).is_none() && queue.get(second).is_none(),
        "across a release"
    );
    queue.shrink_to_fit();
    assert_eq!(
        queue.get(third),
        Some(&"third"),
        "not released while in use"
    );
    queue.clear();
    assert_eq!(queue.cancel(third), None);
}

#[test]
fn forged_keys_do_no_harm() {
    let mut queue = TimerQueue::new(0);
    let key = queue.insert(10, ());
    for bits in [
        0,
        1,
        u64::MAX,
        key.to_bits() ^ 1 << 32,
        key.to_bits() ^ 1 << 33,
        key.to_bits() + 1,
    ] {
        assert_eq!(queue.cancel(TimerKey::from_bits(bits)), None, "{bits:#x}");
    }
    assert_eq!(TimerKey::default().to_bits(), 0);
    queue.cancel(key);
    // The generation of the free place, which is even.
    assert_eq!(
        queue.cancel(TimerKey::from_bits(key.to_bits() + (1 << 32))),
        None
    );
    assert_eq!(queue.len(), 0);
}

#[test]
fn wakeup_is_early_only_for_the_cancelled() {
    let mut queue = TimerQueue::new(0);
    let early = queue.insert(DAY, "early");
    queue.insert(DAY + 5, "late");
    queue.cancel(early);
    assert_eq!(queue.next_wakeup(), Some(DAY), "cheap, not exact");
    assert_eq!(expired(&mut queue, DAY), [] as [&str; 0]);
    assert_eq!(queue.next_wakeup(), Some(DAY + 5), "early once");
    let early = queue.insert(DAY + 1, "early");
    queue.cancel(early);
    assert_eq!(queue.next_deadline(), Some(DAY + 5), "exact");
    assert_eq!(queue.next_wakeup(), Some(DAY + 5), "and remembered");
}

#[test]
fn values_are_dropped_once() {
    let value = Rc::new(());
    let mut queue = TimerQueue::new(0);
    let keys: Vec<_> = (0..10)
        .map(|n| queue.insert(n * DAY, value.clone()))
        .collect();
    assert_eq!(Rc::strong_count(&value), 11);
    drop(queue.cancel(keys[3]));
    assert_eq!(Rc::strong_count(&value), 10);
    drop(expired(&mut queue, DAY));
    assert_eq!(Rc::strong_count(&value), 8);
    queue.clear();
    assert_eq!(Rc::strong_count(&value), 1);
    queue.insert(5, value.clone());
    drop(queue);
    assert_eq!(Rc::strong_count(&value), 1);
}

#[test]
fn many_in_one_slot() {
    let mut queue = TimerQueue::new(0);
    let count = if cfg!(miri) { 100 } else { 5000 };
    for number in 0..count {
        // A permutation of the deadlines, all within one tick, each twice.
        queue.insert(DAY + (number * 7919) % (count / 2), number);
    }
    let out = expired(&mut queue, DAY + count / 4);
    let deadline = |number: u64| (number * 7919) % (count / 2);
    assert!(out.is_sorted_by_key(|&number| (deadline(number), number)));
    assert_eq!(out.len() as u64, (count / 4 + 1) * 2);
    assert_eq!(queue.next_deadline(), Some(DAY + count / 4 + 1));
    assert_eq!(
        expired(&mut queue, 2 * DAY).len() as u64,
        count - (count / 4 + 1) * 2
    );
}
