//! Wakers, on every backend and over both kinds of descriptor.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;

use eventlet_reactor::{Interest, Trigger, Waker};

mod util;

use util::{Tested, each_backend, readable};

const TOKEN: u64 = u64::MAX;

/// Runs a test with each kind of waker, watched by each kind of poller.
fn each_waker(test: impl Fn(&mut Tested, &Waker)) {
    for open in [Waker::new, Waker::with_pipe] {
        each_backend(|t| {
            let waker = open().unwrap();
            t.poller
                .add(waker.fd(), TOKEN, Interest::READABLE, Trigger::Level)
                .unwrap();
            test(t, &waker);
        });
    }
}

fn is_shareable<T: Clone + Send + Sync>() {}

#[test]
fn wakes_until_drained() {
    is_shareable::<Waker>();
    each_waker(|t, waker| {
        assert_eq!(t.ready(), []);
        waker.drain();
        for _ in 0..3 {
            for _ in 0..100 {
                waker.wake().unwrap();
            }
            assert_eq!(t.ready(), [readable(TOKEN)]);
            assert_eq!(t.ready(), [readable(TOKEN)]);
            waker.drain();
            assert_eq!(t.ready(), []);
        }
        let clone = waker.clone();
        assert_eq!(clone.fd(), waker.fd());
        clone.wake().unwrap();
        assert_eq!(t.ready(), [readable(TOKEN)]);
    });
}

#[test]
fn writes_once_for_many_wakes() {
    each_waker(|_, waker| {
        for _ in 0..100 {
            waker.wake().unwrap();
        }
        // SAFETY: the waker outlives the borrow.
        let fd = unsafe { BorrowedFd::borrow_raw(waker.fd()) };
        let mut bytes = [0; 64];
        let count = rustix::io::read(fd, &mut bytes).unwrap();
        match count {
            1 => assert_eq!(bytes[0], 1),
            8 => assert_eq!(bytes[..8], 1_u64.to_ne_bytes()),
            _ => panic!("{count} bytes"),
        }
    });
}

#[test]
fn descriptors_neither_block_nor_leak() {
    for waker in [Waker::new().unwrap(), Waker::with_pipe().unwrap()] {
        // Again after the replacement, which has to set them anew.
        for _ in 0..2 {
            // SAFETY: the waker outlives the borrow.
            let fd = unsafe { BorrowedFd::borrow_raw(waker.fd()) };
            let flags = rustix::io::fcntl_getfd(fd).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
            let read = rustix::io::read(fd, &mut [0; 8]);
            assert_eq!(read, Err(rustix::io::Errno::AGAIN));
            waker.renew().unwrap();
        }
    }
}

/// Threads that never pause: each message comes with a wake-up, which races with the drains.
#[test]
fn no_wakeup_is_lost_in_a_stream() {
    const THREADS: usize = 2;
    const MESSAGES: usize = 100_000;
    each_waker(|t, waker| {
        // A counter for an inbox, as a lock would keep the threads out of each other's way.
        let inbox = Arc::new(AtomicUsize::new(0));
        let start = Arc::new(Barrier::new(THREADS + 1));
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let (waker, inbox, start) = (waker.clone(), inbox.clone(), start.clone());
                thread::spawn(move || {
                    start.wait();
                    for _ in 0..MESSAGES {
                        inbox.fetch_add(1, Ordering::Relaxed);
                        waker.wake().unwrap();
                    }
                })
            })
            .collect();
        start.wait();
        while inbox.load(Ordering::Relaxed) < THREADS * MESSAGES {
            // Fails after a long time if there is a message and no wake-up.
            assert_eq!(t.wait_for_some(), [readable(TOKEN)]);
            waker.drain();
        }
        for thread in threads {
            thread.join().unwrap();
        }
        waker.drain();
        assert_eq!(t.ready(), []);
        waker.wake().unwrap();
        assert_eq!(t.ready(), [readable(TOKEN)]);
    });
}

/// One message at a time, so that no later wake-up makes up for a lost one.
#[test]
fn no_wakeup_is_lost_in_a_dialogue() {
    const ROUNDS: usize = 3000;
    each_waker(|t, waker| {
        let (question, questions) = mpsc::channel();
        let (answer, answers) = mpsc::channel();
        let remote = waker.clone();
        let thread = thread::spawn(move || {
            for round in 0..ROUNDS {
                question.send(round).unwrap();
                remote.wake().unwrap();
                assert_eq!(answers.recv(), Ok(round));
            }
        });
        let mut round = 0;
        while round < ROUNDS {
            t.wait_for_some();
            waker.drain();
            while let Ok(message) = questions.try_recv() {
                assert_eq!(message, round);
                answer.send(round).unwrap();
                round += 1;
            }
        }
        thread.join().unwrap();
    });
}

#[test]
fn a_forked_child_renews_its_copy() {
    each_waker(|t, waker| {
        let fd = waker.fd();
        waker.wake().unwrap();
        // SAFETY: the child makes system calls only, touches no lock that another thread may have
        // held, and leaves without running anything else.
        let child = unsafe { libc::fork() };
        assert_ne!(child, -1, "{}", io::Error::last_os_error());
        if child == 0 {
            let clone = waker.clone();
            let works = waker.renew().is_ok()
                && waker.fd() == fd
                && !is_readable(fd)
                && clone.wake().is_ok()
                && is_readable(fd);
            waker.drain();
            let works = works && !is_readable(fd) && clone.wake().is_ok();
            // SAFETY: it does not return.
            unsafe { libc::_exit(i32::from(!works)) };
        }
        let mut status = 0;
        // SAFETY: the status is a local.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0, "the child's part");
        assert_eq!(t.ready(), [readable(TOKEN)], "not drained by the child");
        waker.drain();
        assert_eq!(t.ready(), [], "not woken by the child");
        waker.wake().unwrap();
        assert_eq!(t.ready(), [readable(TOKEN)]);
    });
}

/// Whether a read would not block, without a poller: one needs memory, and there may be none to
/// be had in a child whose parent was forked in the middle of an allocation.
fn is_readable(fd: i32) -> bool {
    let mut slot = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one entry, a local.
    unsafe { libc::poll(&raw mut slot, 1, 0) == 1 }
}
