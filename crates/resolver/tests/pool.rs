//! The pool, with answers that come when the test says so.

use std::ffi::CString;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use eventlet_resolver::pool::{Activity, Limits, Pool, Waiter};
use eventlet_resolver::query::{Failure, Outcome, Query};

const LONG: Duration = Duration::from_secs(20);

/// Names that are being looked up, and those whose answers may come. Each test has names of its own.
static BEGUN: Mutex<Vec<Query>> = Mutex::new(Vec::new());
static ALLOWED: Mutex<Vec<Query>> = Mutex::new(Vec::new());
static CHANGED: Condvar = Condvar::new();

fn query(name: &str) -> Query {
    Query::HostByName(CString::new(name).expect("no NUL"))
}

/// Fails, after the test has allowed it to; panics for one name.
fn answer(query: &Query) -> Outcome {
    BEGUN.lock().expect("no panic").push(query.clone());
    CHANGED.notify_all();
    let allowed = ALLOWED.lock().expect("no panic");
    let wait = CHANGED.wait_timeout_while(allowed, LONG, |allowed| !allowed.contains(query));
    let (guard, result) = wait.expect("no panic");
    drop(guard);
    assert!(!result.timed_out());
    assert!(*query != self::query("panic.test"), "as the test wants it");
    Err(Failure::Host(1))
}

fn allow(name: &str) {
    ALLOWED.lock().expect("no panic").push(query(name));
    CHANGED.notify_all();
}

fn begun(name: &str) -> usize {
    let begun = BEGUN.lock().expect("no panic");
    begun.iter().filter(|each| **each == query(name)).count()
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG);
        std::thread::yield_now();
    }
}

struct Test(u32, Sender<u32>);

impl Waiter for Test {
    fn wake(&self) {
        self.1.send(self.0).expect("the test still listens");
    }
}

impl PartialEq for Test {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

fn pool(threads: usize) -> (Pool<Test>, Sender<u32>, Receiver<u32>) {
    pool_with(Limits {
        threads,
        idle: LONG,
    })
}

fn pool_with(limits: Limits) -> (Pool<Test>, Sender<u32>, Receiver<u32>) {
    let (sender, receiver) = channel();
    (Pool::new(limits, answer), sender, receiver)
}

#[test]
fn the_same_question_is_asked_once() {
    let (pool, sender, woken) = pool(4);
    let asked: Vec<_> = (0..3)
        .map(|number| {
            pool.ask(query("shared.test"), Test(number, sender.clone()))
                .expect("a thread")
        })
        .collect();
    assert!(asked.iter().all(|lookup| lookup.outcome().is_none()));
    allow("shared.test");
    let mut numbers: Vec<_> = (0..3)
        .map(|_| woken.recv_timeout(LONG).expect("woken"))
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2]);
    for lookup in &asked {
        assert_eq!(lookup.query(), &query("shared.test"));
        assert_eq!(lookup.outcome(), Some(&Err(Failure::Host(1))));
    }
    assert_eq!(begun("shared.test"), 1);
    // An answer that has come is not kept.
    pool.ask(query("shared.test"), Test(7, sender))
        .expect("a thread");
    assert_eq!(woken.recv_timeout(LONG), Ok(7));
    assert_eq!(begun("shared.test"), 2);
}

#[test]
fn questions_overlap_as_far_as_there_are_threads() {
    let (pool, sender, woken) = pool(2);
    let names = ["one.test", "two.test", "three.test"];
    for (number, name) in (0..).zip(names) {
        pool.ask(query(name), Test(number, sender.clone()))
            .expect("a thread");
    }
    wait_until(|| begun("one.test") == 1 && begun("two.test") == 1);
    assert_eq!(
        pool.activity(),
        Activity {
            threads: 2,
            under_way: 3,
            in_line: 1,
            waiters: 3,
        }
    );
    assert_eq!(begun("three.test"), 0);
    allow("two.test");
    allow("three.test");
    assert_eq!(woken.recv_timeout(LONG), Ok(1));
    assert_eq!(woken.recv_timeout(LONG), Ok(2));
    allow("one.test");
    assert_eq!(woken.recv_timeout(LONG), Ok(0));
    wait_until(|| pool.activity().under_way == 0);
}

#[test]
fn what_nobody_waits_for_is_not_begun() {
    let (pool, sender, woken) = pool(1);
    let busy = pool
        .ask(query("busy.test"), Test(0, sender.clone()))
        .expect("a thread");
    wait_until(|| begun("busy.test") == 1);
    let late = pool
        .ask(query("late.test"), Test(1, sender.clone()))
        .expect("a thread");
    pool.ask(query("late.test"), Test(2, sender.clone()))
        .expect("a thread");
    pool.leave(&late, &Test(1, sender.clone()));
    assert_eq!(pool.activity().in_line, 1, "somebody else still waits");
    pool.leave(&late, &Test(2, sender.clone()));
    assert_eq!(pool.activity().in_line, 0);
    // One that has been begun goes on, and the next to ask finds it.
    pool.leave(&busy, &Test(0, sender.clone()));
    assert_eq!(pool.activity().under_way, 1);
    pool.ask(query("busy.test"), Test(3, sender))
        .expect("a thread");
    allow("busy.test");
    assert_eq!(woken.recv_timeout(LONG), Ok(3));
    assert!(woken.try_recv().is_err());
    assert_eq!((begun("busy.test"), begun("late.test")), (1, 0));
    // To leave once more changes nothing.
    pool.leave(&late, &Test(1, channel().0));
}

#[test]
fn one_who_left_does_not_end_a_later_lookup() {
    let (pool, sender, woken) = pool(1);
    allow("again.test");
    let old = pool
        .ask(query("again.test"), Test(0, sender.clone()))
        .expect("a thread");
    assert_eq!(woken.recv_timeout(LONG), Ok(0));
    pool.ask(query("holds.test"), Test(1, sender.clone()))
        .expect("a thread");
    pool.ask(query("again.test"), Test(0, sender.clone()))
        .expect("a thread");
    pool.leave(&old, &Test(0, sender));
    allow("holds.test");
    assert_eq!(woken.recv_timeout(LONG), Ok(1));
    assert_eq!(woken.recv_timeout(LONG), Ok(0));
}

#[test]
fn threads_end_when_there_is_nothing_to_do() {
    let (pool, sender, woken) = pool_with(Limits {
        threads: 4,
        idle: Duration::from_millis(1),
    });
    allow("rare.test");
    for _ in 0..3 {
        pool.ask(query("rare.test"), Test(0, sender.clone()))
            .expect("a thread");
        assert_eq!(woken.recv_timeout(LONG), Ok(0));
        wait_until(|| pool.activity().threads == 0);
    }
}

#[test]
fn an_idle_thread_is_used_again() {
    let (pool, sender, woken) = pool(4);
    allow("often.test");
    for _ in 0..100 {
        pool.ask(query("often.test"), Test(0, sender.clone()))
            .expect("a thread");
        assert_eq!(woken.recv_timeout(LONG), Ok(0));
        assert_eq!(pool.activity().threads, 1);
    }
}

#[test]
fn a_panic_is_a_failure() {
    let (pool, sender, woken) = pool(1);
    allow("panic.test");
    let lookup = pool
        .ask(query("panic.test"), Test(0, sender))
        .expect("a thread");
    assert_eq!(woken.recv_timeout(LONG), Ok(0));
    assert_eq!(lookup.outcome(), Some(&Err(Failure::System(libc::EIO))));
    assert_eq!(pool.activity().threads, 1);
}

#[test]
fn threads_take_no_signals() {
    fn blocked(_query: &Query) -> Outcome {
        let mut set = std::mem::MaybeUninit::uninit();
        // SAFETY: with no set to take over, the function fills the other one.
        let number = unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), set.as_mut_ptr());
            libc::sigismember(set.as_ptr(), libc::SIGTERM)
        };
        Err(Failure::Host(number))
    }
    let limits = Limits {
        threads: 1,
        idle: LONG,
    };
    let (sender, woken) = channel();
    let pool = Pool::new(limits, blocked);
    let lookup = pool
        .ask(query("signals.test"), Test(0, sender))
        .expect("a thread");
    assert_eq!(woken.recv_timeout(LONG), Ok(0));
    assert_eq!(lookup.outcome(), Some(&Err(Failure::Host(1))));
    assert_eq!(blocked(lookup.query()), Err(Failure::Host(0)), "not here");
}
