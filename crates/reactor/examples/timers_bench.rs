//! What a timer costs: `cargo run --release --example timers_bench [live timers]`.
//!
//! Each figure is the best of several rounds, in nanoseconds per operation, with the given number
//! of timers live (one million unless told otherwise) and deadlines spread over a minute. RSS is
//! what the queue adds to the process, for values of 16 bytes.

#![expect(clippy::print_stdout, reason = "it is what the program is for")]
#![expect(
    clippy::cast_precision_loss,
    reason = "the figures are rounded for people"
)]

use std::hint::black_box;
use std::num::NonZeroU64;
use std::time::Instant;

use eventlet_reactor::{TimerKey, TimerQueue};

const SECOND: u64 = 1_000_000_000;
const SPAN: u64 = 60 * SECOND;
const ROUNDS: usize = 7;

/// Sixteen bytes with a niche, as a pointer and a number would be.
#[derive(Clone, Copy)]
struct Value(#[expect(dead_code)] NonZeroU64, #[expect(dead_code)] u64);

const VALUE: Value = Value(NonZeroU64::MIN, 0);

/// A xorshift generator: a few instructions, so that it does not show in the figures.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// The best figure of several rounds; `round` returns its duration and its operations.
fn best(name: &str, mut round: impl FnMut() -> (u128, usize)) {
    let figure = (0..ROUNDS)
        .map(|_| {
            let (nanos, count) = round();
            nanos as f64 / count as f64
        })
        .fold(f64::INFINITY, f64::min);
    println!("{name:<42} {figure:>8.1} ns");
}

fn filled(live: usize, random: &mut Random) -> (TimerQueue<Value>, Vec<TimerKey>) {
    let mut timers = TimerQueue::new(0);
    let keys = (0..live)
        .map(|_| timers.insert(random.below(SPAN), VALUE))
        .collect();
    (timers, keys)
}

/// Resident memory of the process in bytes, or zero where that is not known.
fn rss() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

#[expect(clippy::too_many_lines, reason = "a list of measurements")]
fn main() {
    let live = std::env::args()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(1_000_000);
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    println!("{live} live timers");

    let before = rss();
    let mut timers = TimerQueue::new(0);
    for _ in 0..live {
        timers.insert(random.below(SPAN), VALUE);
    }
    println!("{:<42} {:>8.1} MB", "RSS", (rss() - before) as f64 / 1e6);
    drop(timers);

    best("insert", || {
        let mut timers = TimerQueue::new(0);
        let start = Instant::now();
        for _ in 0..live {
            timers.insert(random.below(SPAN), VALUE);
        }
        (start.elapsed().as_nanos(), live)
    });

    let (mut timers, mut keys) = filled(live, &mut random);
    best("cancel one at random and insert one", || {
        let start = Instant::now();
        for _ in 0..live {
            let key = &mut keys[random.below(live as u64) as usize];
            timers.cancel(*key);
            *key = timers.insert(random.below(SPAN), VALUE);
        }
        (start.elapsed().as_nanos(), live)
    });

    best("insert one and cancel it", || {
        let start = Instant::now();
        for _ in 0..live {
            let key = timers.insert(random.below(SPAN), VALUE);
            timers.cancel(key);
        }
        (start.elapsed().as_nanos(), live)
    });

    best("cancel, at random", || {
        let (mut timers, mut keys) = filled(live, &mut random);
        for index in (1..keys.len()).rev() {
            keys.swap(index, random.below(index as u64 + 1) as usize);
        }
        let start = Instant::now();
        for key in keys {
            timers.cancel(key);
        }
        (start.elapsed().as_nanos(), live)
    });

    let mut out = Vec::with_capacity(live);
    best("fire, in turns of a millisecond", || {
        let (mut timers, _) = filled(live, &mut random);
        let start = Instant::now();
        for now in (0..=SPAN).step_by(1_000_000) {
            timers.expire(now, &mut out);
            black_box(timers.next_wakeup());
        }
        let spent = start.elapsed().as_nanos();
        assert_eq!(out.len(), live);
        out.clear();
        (spent, live)
    });

    best("fire, sleeping from one to the next", || {
        let (mut timers, _) = filled(live, &mut random);
        let start = Instant::now();
        while let Some(now) = timers.next_wakeup() {
            timers.expire(now, &mut out);
        }
        let spent = start.elapsed().as_nanos();
        assert_eq!(out.len(), live);
        out.clear();
        (spent, live)
    });

    let turns = 1_000_000;
    let (mut timers, _) = filled(live, &mut random);
    best("turn with nothing due: expire, next_wakeup", || {
        let start = Instant::now();
        for _ in 0..turns {
            timers.expire(black_box(0), &mut out);
            black_box(timers.next_wakeup());
        }
        (start.elapsed().as_nanos(), turns)
    });

    let mut none = TimerQueue::<Value>::new(0);
    best("turn of an empty queue", || {
        let start = Instant::now();
        for now in 0..turns as u64 {
            none.expire(black_box(now), &mut out);
            black_box(none.next_wakeup());
        }
        (start.elapsed().as_nanos(), turns)
    });

    let mut oldest = 0;
    let mut keys: Vec<_> = (0..10_000).map(|n| none.insert(SPAN + n, VALUE)).collect();
    best("10 000 idle timeouts, renewed in turn", || {
        let start = Instant::now();
        for now in 0..turns as u64 {
            let key = &mut keys[oldest];
            oldest = (oldest + 1) % 10_000;
            none.cancel(*key);
            *key = none.insert(now * 1000 + SPAN, VALUE);
            none.expire(now * 1000, &mut out);
            black_box(none.next_wakeup());
        }
        (start.elapsed().as_nanos(), turns)
    });
}
