//! The timer queue of the hub on its own: what a time limit adds to a wait.
//!
//! A wait with a time limit makes no Python object for it. It inserts an entry that names the wait, and cancels
//! that when the wait ends in time, as most do. Here a million of them are inserted, with deadlines all over
//! the next minute. While they are live, some of them, taken at random, are cancelled and inserted anew, as
//! when waits end and begin. In the end all are cancelled in the order in which they came. Time of one and
//! memory of all go to standard output, as JSON.
//!
//! `timer-queue [--count N]`

use std::fs;
use std::hint::black_box;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use eventlet_bench::options::Options;
use eventlet_bench::{Outcome, context};
use eventlet_reactor::{TimerKey, TimerQueue};

/// As large as what the hub keeps with each timer, and with as much room for other cases.
enum Payload {
    /// The number of a wait, as the hub counts them.
    Wait(u64),
    #[expect(
        dead_code,
        reason = "the hub has such timers; here they only take part in the size"
    )]
    Object(Box<u64>),
}

const _: () = assert!(size_of::<Option<Payload>>() == 16);

const SECOND: u64 = 1_000_000_000;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            let _ = writeln!(io::stderr(), "timer-queue: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    let options = Options::read(std::env::args().skip(1), &["count"])?;
    let count: u32 = options.value("count", 1_000_000)?;
    if count == 0 {
        return Err("--count: must be 1 or more".to_owned());
    }
    let mut random = Random(1);
    let mut deadlines = || random.below(60 * SECOND);
    let first: Vec<u64> = (0..count).map(|_| deadlines()).collect();
    let second: Vec<u64> = (0..count).map(|_| deadlines()).collect();
    let chosen: Vec<usize> = (0..count)
        .map(|_| random.below(u64::from(count)) as usize)
        .collect();
    // Touched, so that it is not counted below.
    let mut keys = vec![TimerKey::from_bits(1); count as usize];

    let before = resident()?;
    let mut queue = TimerQueue::new(0);
    let began = Instant::now();
    for (key, deadline) in keys.iter_mut().zip(&first) {
        *key = queue.insert(*deadline, Payload::Wait(*deadline));
    }
    let inserted = began.elapsed();
    let used = resident()?.saturating_sub(before);

    let began = Instant::now();
    for (index, deadline) in chosen.into_iter().zip(second) {
        let key = &mut keys[index];
        take(&mut queue, *key);
        *key = queue.insert(deadline, Payload::Wait(deadline));
    }
    let renewed = began.elapsed();

    let began = Instant::now();
    for key in keys {
        take(&mut queue, key);
    }
    let cancelled = began.elapsed();
    if !queue.is_empty() {
        return Err("timers are left".to_owned());
    }

    let each = f64::from(count);
    writeln!(
        io::stdout(),
        r#"{{"insert_ns": {}, "cancel_ns": {}, "renew_ns": {}, "mb": {}}}"#,
        inserted.as_nanos() as f64 / each,
        cancelled.as_nanos() as f64 / each,
        renewed.as_nanos() as f64 / each,
        used as f64 / 1e6
    )
    .map_err(context("standard output"))
}

/// Cancel a timer.
fn take(queue: &mut TimerQueue<Payload>, key: TimerKey) {
    if let Some(Payload::Wait(number)) = queue.cancel(key) {
        black_box(number);
    }
}

/// Resident bytes of this process.
fn resident() -> Outcome<u64> {
    let text = fs::read_to_string("/proc/self/statm").map_err(context("/proc/self/statm"))?;
    let pages = text
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    let pages = pages.ok_or("/proc/self/statm: cannot be read")?;
    Ok(pages * rustix::param::page_size() as u64)
}

/// Numbers that are as good as random, and the same each time (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % bound
    }
}
