//! More descriptors than `select` can count, and more events than fit one batch.
//!
//! A test program of its own, since it takes a range of numbers in which others close theirs; and
//! one test at a time, since what `select` can take depends on how many descriptors are open.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Write;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use eventlet_reactor::{Backend, Interest, Trigger};

mod util;

use util::{duplicate, each_backend, errno, pair, readable, writable};

/// Lets one test run at a time.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes room for `count` descriptors if the system allows it.
fn allow_descriptors(count: u64) {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    if limit.current.is_some_and(|current| current < count) {
        limit.current = Some(count);
        rustix::process::setrlimit(rustix::process::Resource::Nofile, limit)
            .expect("the hard limit allows a few thousand descriptors");
    }
}

#[test]
fn thousands_are_all_reported() {
    const COUNT: u64 = 2500;
    let _turn = alone();
    allow_descriptors(COUNT + 200);
    each_backend(|t| {
        let count = if t.backend == Backend::Select {
            900
        } else {
            COUNT
        };
        let (a, _b) = pair();
        let copies: Vec<_> = (0..count).map(|_| duplicate(&a, 0)).collect();
        for (token, copy) in copies.iter().enumerate() {
            t.poller
                .add(
                    copy.as_raw_fd(),
                    token as u64,
                    Interest::WRITABLE,
                    Trigger::Edge,
                )
                .unwrap();
        }
        let mut events = t.wait_for_some();
        loop {
            let more = t.ready();
            if more.is_empty() {
                break;
            }
            events.extend(more);
            assert!(events.len() <= copies.len(), "an edge is reported twice");
        }
        events.sort_unstable_by_key(|event| event.token);
        assert_eq!(events, (0..count).map(writable).collect::<Vec<_>>());
        for copy in &copies {
            t.poller.remove(copy.as_raw_fd()).unwrap();
        }
    });
}

#[test]
fn levels_do_not_starve_one_another() {
    const COUNT: usize = 2000;
    let _turn = alone();
    allow_descriptors(COUNT as u64 + 1200);
    each_backend(|t| {
        let count = if t.backend == Backend::Select {
            100
        } else {
            COUNT
        };
        let (a, _b) = pair();
        let copies: Vec<_> = (0..count).map(|_| duplicate(&a, 0)).collect();
        for (token, copy) in copies.iter().enumerate() {
            t.poller
                .add(
                    copy.as_raw_fd(),
                    token as u64,
                    Interest::WRITABLE,
                    Trigger::Level,
                )
                .unwrap();
        }
        let mut seen = vec![false; count];
        for _ in 0..count.div_ceil(1024) {
            for event in t.wait_for_some() {
                seen[event.token as usize] = true;
            }
        }
        assert!(seen.iter().all(|&seen| seen), "each within two batches");
    });
}

#[test]
fn select_refuses_what_its_sets_do_not_hold() {
    let _turn = alone();
    let limit = libc::FD_SETSIZE as i32;
    allow_descriptors(libc::FD_SETSIZE as u64 + 4000);
    each_backend(|t| {
        let (a, mut b) = pair();
        for lowest in [limit, limit + 3500] {
            let high = duplicate(&a, lowest);
            let added = t
                .poller
                .add(high.as_raw_fd(), 1, Interest::READABLE, Trigger::Level);
            if t.backend == Backend::Select {
                assert_eq!(errno(added), libc::EINVAL);
                assert_eq!(errno(t.poller.remove(high.as_raw_fd())), libc::ENOENT);
                t.poller.forget(high.as_raw_fd());
                t.poller.rearm(high.as_raw_fd(), Interest::BOTH);
                assert_eq!(t.ready(), []);
            } else {
                added.unwrap();
                b.write_all(b"x").unwrap();
                assert_eq!(t.ready(), [readable(1)]);
                t.poller.remove(high.as_raw_fd()).unwrap();
            }
        }
    });
}

#[test]
fn select_takes_the_highest_descriptor_of_its_sets() {
    let _turn = alone();
    let (a, _b) = pair();
    let highest = duplicate(&a, libc::FD_SETSIZE as i32 - 1);
    assert_eq!(highest.as_raw_fd() + 1, libc::FD_SETSIZE as i32);
    each_backend(|t| {
        t.poller
            .add(highest.as_raw_fd(), 1, Interest::WRITABLE, Trigger::Level)
            .unwrap();
        assert_eq!(t.ready(), [writable(1)]);
        t.poller.remove(highest.as_raw_fd()).unwrap();
        assert_eq!(t.ready(), []);
    });
}
