//! The contract of `Poller`, on every backend of the platform.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use eventlet_reactor::{Backend, Event, Interest, Poller, Trigger};

mod util;

use util::{duplicate, each_backend, errno, event, pair, readable, writable};

const TRIGGERS: [Trigger; 2] = [Trigger::Edge, Trigger::Level];

fn is_send<T: Send>() {}

#[test]
fn backends() {
    assert!(Backend::available().contains(&Backend::Poll));
    assert!(Backend::available().contains(&Backend::Select));
    assert_eq!(Backend::available()[0], Backend::best());
    for backend in [
        Backend::Epoll,
        Backend::Kqueue,
        Backend::Poll,
        Backend::Select,
    ] {
        assert_eq!(backend.name(), format!("{backend:?}").to_lowercase());
        match Poller::new(backend) {
            Ok(poller) => {
                assert!(Backend::available().contains(&backend));
                assert_eq!(poller.backend(), backend);
                let in_kernel = matches!(backend, Backend::Epoll | Backend::Kqueue);
                assert_eq!(poller.as_raw_fd().is_some(), in_kernel);
                assert_eq!(poller.needs_rearm(), !in_kernel);
            }
            Err(error) => {
                assert!(!Backend::available().contains(&backend));
                assert_eq!(error.kind(), ErrorKind::Unsupported);
            }
        }
    }
    if cfg!(target_os = "linux") {
        assert_eq!(Backend::best(), Backend::Epoll);
    }
    is_send::<Poller>();
}

#[test]
fn level_is_reported_until_consumed() {
    each_backend(|t| {
        let (mut a, mut b) = pair();
        t.poller
            .add(a.as_raw_fd(), 5, Interest::READABLE, Trigger::Level)
            .unwrap();
        assert_eq!(t.ready(), []);
        b.write_all(b"xy").unwrap();
        for _ in 0..3 {
            assert_eq!(t.wait_for_some(), [readable(5)]);
        }
        a.read_exact(&mut [0; 1]).unwrap();
        assert_eq!(t.ready(), [readable(5)], "a byte is left");
        // Nothing to do with levels.
        t.poller.rearm(a.as_raw_fd(), Interest::BOTH);
        a.read_exact(&mut [0; 1]).unwrap();
        assert_eq!(t.ready(), []);
    });
}

#[test]
fn edge_is_reported_once() {
    each_backend(|t| {
        let (mut a, mut b) = pair();
        t.poller
            .add(a.as_raw_fd(), 5, Interest::READABLE, Trigger::Edge)
            .unwrap();
        for round in 0..3 {
            assert_eq!(t.ready(), [], "round {round}");
            b.write_all(b"x").unwrap();
            assert_eq!(t.wait_for_some(), [readable(5)]);
            assert_eq!(t.ready(), [], "reported twice");
            // As an owner does: until it would block, then re-arm.
            a.read_exact(&mut [0; 1]).unwrap();
            assert_eq!(
                a.read(&mut [0; 1]).unwrap_err().kind(),
                ErrorKind::WouldBlock
            );
            t.poller.rearm(a.as_raw_fd(), Interest::READABLE);
        }
    });
}

#[test]
fn edges_that_come_before_rearming_are_not_lost() {
    each_backend(|t| {
        let (mut a, mut b) = pair();
        t.poller
            .add(a.as_raw_fd(), 5, Interest::READABLE, Trigger::Edge)
            .unwrap();
        b.write_all(b"x").unwrap();
        t.wait_for_some();
        a.read_exact(&mut [0; 1]).unwrap();
        assert_eq!(
            a.read(&mut [0; 1]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        b.write_all(b"y").unwrap();
        t.poller.rearm(a.as_raw_fd(), Interest::READABLE);
        assert_eq!(t.wait_for_some(), [readable(5)]);
    });
}

#[test]
fn the_directions_of_an_edge_are_independent() {
    each_backend(|t| {
        let (a, mut b) = pair();
        t.poller
            .add(a.as_raw_fd(), 5, Interest::BOTH, Trigger::Edge)
            .unwrap();
        assert_eq!(t.wait_for_some(), [writable(5)]);
        assert_eq!(t.ready(), []);
        b.write_all(b"x").unwrap();
        let events = t.wait_for_some();
        assert!(events[0].readable);
        if t.poller.needs_rearm() {
            assert_eq!(events, [readable(5)]);
            t.poller.rearm(a.as_raw_fd(), Interest::READABLE);
            assert_eq!(t.ready(), [readable(5)], "only what was re-armed");
            t.poller.rearm(a.as_raw_fd(), Interest::WRITABLE);
            assert_eq!(t.ready(), [writable(5)]);
            t.poller.rearm(a.as_raw_fd(), Interest::BOTH);
            assert_eq!(
                t.ready(),
                [Event {
                    readable: true,
                    ..writable(5)
                }]
            );
        } else {
            t.poller.rearm(a.as_raw_fd(), Interest::BOTH);
        }
        assert_eq!(t.ready(), []);
    });
}

#[test]
fn modify_replaces_everything() {
    each_backend(|t| {
        let (a, mut b) = pair();
        let fd = a.as_raw_fd();
        t.poller
            .add(fd, 5, Interest::READABLE, Trigger::Level)
            .unwrap();
        t.poller
            .modify(fd, 6, Interest::WRITABLE, Trigger::Level)
            .unwrap();
        b.write_all(b"x").unwrap();
        assert_eq!(t.ready(), [writable(6)]);
        t.poller
            .modify(fd, u64::MAX, Interest::BOTH, Trigger::Level)
            .unwrap();
        assert_eq!(
            t.ready(),
            [Event {
                readable: true,
                ..writable(u64::MAX)
            }]
        );
        t.poller
            .modify(fd, 7, Interest::READABLE, Trigger::Edge)
            .unwrap();
        assert_eq!(t.ready(), [readable(7)]);
        assert_eq!(t.ready(), [], "an edge by now");
        t.poller
            .modify(fd, 8, Interest::READABLE, Trigger::Level)
            .unwrap();
        assert_eq!(t.ready(), [readable(8)]);
        assert_eq!(t.ready(), [readable(8)], "a level by now");
    });
}

#[test]
fn modify_rearms_the_edge() {
    each_backend(|t| {
        let (a, mut b) = pair();
        let fd = a.as_raw_fd();
        t.poller
            .add(fd, 5, Interest::READABLE, Trigger::Edge)
            .unwrap();
        b.write_all(b"x").unwrap();
        for _ in 0..3 {
            assert_eq!(t.wait_for_some(), [readable(5)]);
            assert_eq!(t.ready(), []);
            t.poller
                .modify(fd, 5, Interest::READABLE, Trigger::Edge)
                .unwrap();
        }
    });
}

#[test]
fn no_interest_is_silent() {
    each_backend(|t| {
        for trigger in TRIGGERS {
            let (a, mut b) = pair();
            let fd = a.as_raw_fd();
            t.poller.add(fd, 5, Interest::NONE, trigger).unwrap();
            b.write_all(b"x").unwrap();
            assert_eq!(t.ready(), []);
            drop(b);
            assert!(t.ready().len() <= 1, "a hang-up may be told");
            assert_eq!(t.ready(), [], "but not again and again");
            t.poller.modify(fd, 5, Interest::READABLE, trigger).unwrap();
            assert!(t.wait_for_some()[0].readable, "it is known still");
            t.poller.remove(fd).unwrap();
        }
    });
}

#[test]
fn add_refuses_what_is_registered() {
    each_backend(|t| {
        let (a, mut b) = pair();
        let fd = a.as_raw_fd();
        t.poller
            .add(fd, 5, Interest::READABLE, Trigger::Level)
            .unwrap();
        let again = t.poller.add(fd, 6, Interest::WRITABLE, Trigger::Level);
        assert_eq!(again.as_ref().unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(errno(again), libc::EEXIST);
        b.write_all(b"x").unwrap();
        assert_eq!(t.ready(), [readable(5)], "the first one holds");
    });
}

#[test]
fn removed_is_unknown() {
    each_backend(|t| {
        let (a, mut b) = pair();
        let fd = a.as_raw_fd();
        b.write_all(b"x").unwrap();
        for trigger in TRIGGERS {
            assert_eq!(errno(t.poller.remove(fd)), libc::ENOENT);
            let modified = t.poller.modify(fd, 5, Interest::BOTH, trigger);
            assert_eq!(errno(modified), libc::ENOENT);
            t.poller.rearm(fd, Interest::BOTH);
            assert_eq!(t.ready(), []);
            t.poller.add(fd, 5, Interest::BOTH, trigger).unwrap();
            assert_eq!(
                t.ready(),
                [Event {
                    readable: true,
                    ..writable(5)
                }]
            );
            t.poller.remove(fd).unwrap();
            assert_eq!(t.ready(), []);
        }
    });
}

#[test]
fn removal_leaves_the_others_alone() {
    each_backend(|t| {
        let mut pairs: Vec<_> = (0..20).map(|_| pair()).collect();
        for (token, (a, _)) in pairs.iter().enumerate() {
            t.poller
                .add(
                    a.as_raw_fd(),
                    token as u64,
                    Interest::READABLE,
                    Trigger::Edge,
                )
                .unwrap();
        }
        for token in [0, 19, 7, 8] {
            t.poller.remove(pairs[token].0.as_raw_fd()).unwrap();
        }
        for (_, b) in &mut pairs {
            b.write_all(b"x").unwrap();
        }
        let mut events = t.wait_for_some();
        events.sort_unstable_by_key(|event| event.token);
        let expected: Vec<_> = (0..20)
            .filter(|token| ![0, 19, 7, 8].contains(token))
            .map(readable)
            .collect();
        assert_eq!(events, expected);
        assert_eq!(t.ready(), []);
        t.poller.rearm(pairs[18].0.as_raw_fd(), Interest::READABLE);
        t.poller
            .modify(
                pairs[1].0.as_raw_fd(),
                100,
                Interest::READABLE,
                Trigger::Edge,
            )
            .unwrap();
        let mut tokens: Vec<_> = t.ready().iter().map(|event| event.token).collect();
        tokens.sort_unstable();
        assert_eq!(
            tokens,
            if t.poller.needs_rearm() {
                vec![18, 100]
            } else {
                vec![100]
            }
        );
    });
}

#[test]
fn hangup_wakes_both_directions() {
    each_backend(|t| {
        for (interest, trigger) in [
            (Interest::BOTH, Trigger::Level),
            (Interest::READABLE, Trigger::Edge),
            (Interest::READABLE, Trigger::Level),
        ] {
            let (mut a, b) = pair();
            t.poller.add(a.as_raw_fd(), 5, interest, trigger).unwrap();
            drop(b);
            let told = t.tells_why();
            let both = told || interest.is_writable();
            let expected = Event {
                hangup: told,
                read_closed: t.tells_end(),
                urgent: false,
                writable: both,
                ..readable(5)
            };
            assert_eq!(t.wait_for_some(), [expected]);
            assert_eq!(t.ready().len(), usize::from(trigger == Trigger::Level));
            assert_eq!(a.read(&mut [0; 1]).unwrap(), 0);
            t.poller.remove(a.as_raw_fd()).unwrap();
        }
    });
}

#[test]
fn hangup_suspends_both_directions_of_an_edge() {
    each_backend(|t| {
        let (a, b) = pair();
        t.poller
            .add(a.as_raw_fd(), 5, Interest::BOTH, Trigger::Edge)
            .unwrap();
        drop(b);
        let events = t.wait_for_some();
        assert!(events[0].readable && events[0].writable);
        assert_eq!(t.ready(), []);
    });
}

#[test]
fn end_of_input_is_no_hangup() {
    each_backend(|t| {
        for trigger in TRIGGERS {
            let (a, b) = pair();
            t.poller
                .add(a.as_raw_fd(), 5, Interest::READABLE, trigger)
                .unwrap();
            b.shutdown(Shutdown::Write).unwrap();
            let expected = Event {
                read_closed: t.tells_end(),
                urgent: false,
                ..readable(5)
            };
            assert_eq!(t.wait_for_some(), [expected]);
            t.poller.remove(a.as_raw_fd()).unwrap();
        }
    });
}

#[test]
fn error_wakes_both_directions() {
    each_backend(|t| {
        for trigger in TRIGGERS {
            let (reader, writer) = rustix::pipe::pipe().unwrap();
            t.poller
                .add(writer.as_raw_fd(), 5, Interest::WRITABLE, trigger)
                .unwrap();
            assert_eq!(t.ready(), [writable(5)]);
            t.poller
                .modify(writer.as_raw_fd(), 5, Interest::WRITABLE, trigger)
                .unwrap();
            drop(reader);
            let told = t.tells_why();
            let expected = Event {
                error: told,
                readable: told,
                ..writable(5)
            };
            assert_eq!(t.wait_for_some(), [expected]);
            t.poller.remove(writer.as_raw_fd()).unwrap();
        }
    });
}

#[test]
fn closed_descriptors_are_refused() {
    each_backend(|t| {
        let (a, _b) = pair();
        let closed = {
            let copy = duplicate(&a, 800);
            copy.as_raw_fd()
        };
        for fd in [closed, -1, i32::MIN] {
            let added = t.poller.add(fd, 5, Interest::BOTH, Trigger::Level);
            assert_eq!(errno(added), libc::EBADF, "add {fd}");
            let modified = t.poller.modify(fd, 5, Interest::BOTH, Trigger::Level);
            assert_eq!(errno(modified), libc::EBADF, "modify {fd}");
            assert!([libc::EBADF, libc::ENOENT].contains(&errno(t.poller.remove(fd))));
        }
        assert_eq!(t.ready(), []);
    });
}

#[test]
fn a_descriptor_closed_without_notice_is_reported_once() {
    each_backend(|t| {
        for trigger in TRIGGERS {
            let (a, mut b) = pair();
            let (other, mut friend) = pair();
            let (last, _peer) = pair();
            let (a, stale) = {
                let copy = duplicate(&a, 820);
                drop(a);
                (copy.as_raw_fd(), copy)
            };
            t.poller.add(a, 5, Interest::READABLE, trigger).unwrap();
            t.poller
                .add(other.as_raw_fd(), 6, Interest::READABLE, Trigger::Level)
                .unwrap();
            t.poller
                .add(last.as_raw_fd(), 7, Interest::READABLE, Trigger::Level)
                .unwrap();
            // The peer is asked first, as it can tell no more once the socket is gone.
            b.write_all(b"x").unwrap();
            drop(stale);

            if t.poller.needs_rearm() {
                let closed = Event {
                    error: true,
                    readable: true,
                    ..writable(5)
                };
                assert_eq!(t.wait_for_some(), [closed]);
                assert_eq!(t.ready(), [], "dropped");
                assert_eq!(errno(t.poller.remove(a)), libc::ENOENT);
            } else {
                assert_eq!(t.ready(), [], "the kernel has dropped it");
            }
            friend.write_all(b"x").unwrap();
            assert_eq!(t.wait_for_some(), [readable(6)], "the others work");
            t.poller.remove(other.as_raw_fd()).unwrap();
            t.poller.remove(last.as_raw_fd()).unwrap();
        }
    });
}

#[test]
fn forgotten_is_unknown() {
    each_backend(|t| {
        let (a, _b) = pair();
        let copy = duplicate(&a, 840);
        let fd = copy.as_raw_fd();
        for _ in 0..2 {
            t.poller
                .add(fd, 5, Interest::WRITABLE, Trigger::Level)
                .unwrap();
            assert_eq!(t.ready(), [writable(5)]);
            // Where the kernel remembers, it forgets when the file is closed, and this one has
            // another descriptor.
            if !t.poller.needs_rearm() {
                t.poller.remove(fd).unwrap();
            }
            t.poller.forget(fd);
            assert_eq!(t.ready(), []);
        }
        for unknown in [fd, -1, i32::MIN, i32::MAX] {
            t.poller.forget(unknown);
            t.poller.rearm(unknown, Interest::BOTH);
        }
    });
}

#[test]
fn regular_files() {
    let file = File::open(std::env::current_exe().unwrap()).unwrap();
    each_backend(|t| {
        let added = t
            .poller
            .add(file.as_raw_fd(), 5, Interest::READABLE, Trigger::Level);
        if t.backend == Backend::Epoll {
            assert_eq!(errno(added), libc::EPERM);
            assert_eq!(errno(t.poller.remove(file.as_raw_fd())), libc::EPERM);
        } else {
            added.unwrap();
            assert_eq!(t.ready(), [readable(5)]);
        }
    });
}

#[test]
fn timeouts_are_never_short() {
    each_backend(|t| {
        let (a, _b) = pair();
        t.poller
            .add(a.as_raw_fd(), 5, Interest::READABLE, Trigger::Level)
            .unwrap();
        for micros in [0, 1, 999, 1000, 1001, 2500] {
            let timeout = Duration::from_micros(micros);
            let start = Instant::now();
            assert_eq!(t.wait(timeout), []);
            assert!(start.elapsed() >= timeout, "{micros} us");
        }
    });
}

/// Whether timeouts of `epoll` can be finer than a millisecond here, under valgrind for one.
fn kernel_is_precise() -> bool {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: the descriptor is invalid, so the null pointers are not looked at.
        let result = unsafe { libc::syscall(libc::SYS_epoll_pwait2, -1, 0, 0, 0, 0, 0) };
        assert_eq!(result, -1);
        [libc::EBADF, libc::EINVAL].contains(
            &io::Error::last_os_error()
                .raw_os_error()
                .unwrap_or_default(),
        )
    }
    #[cfg(not(target_os = "linux"))]
    false
}

#[test]
fn timeouts_are_finer_than_a_millisecond() {
    each_backend(|t| {
        if t.backend == Backend::Epoll && !kernel_is_precise() {
            return;
        }
        // The machine may be busy at any one time, hardly at every time.
        let shortest = (0..100)
            .map(|_| {
                let start = Instant::now();
                assert_eq!(t.wait(Duration::from_micros(100)), []);
                start.elapsed()
            })
            .min()
            .unwrap();
        assert!(shortest < Duration::from_millis(1), "{shortest:?}");
    });
}

#[test]
fn long_and_no_timeouts() {
    each_backend(|t| {
        let (a, _b) = pair();
        t.poller
            .add(a.as_raw_fd(), 5, Interest::WRITABLE, Trigger::Level)
            .unwrap();
        for timeout in [
            None,
            Some(Duration::MAX),
            Some(Duration::from_secs(1 << 40)),
        ] {
            let mut events = vec![event(1), event(2)];
            t.poller.wait(&mut events, timeout).unwrap();
            assert_eq!(events, [writable(5)], "{timeout:?}");
        }
    });
}

#[test]
fn a_wait_ends_when_another_thread_writes() {
    each_backend(|t| {
        let (a, mut b) = pair();
        t.poller
            .add(a.as_raw_fd(), 5, Interest::READABLE, Trigger::Edge)
            .unwrap();
        let writer = thread::spawn(move || {
            b.write_all(b"x").unwrap();
            b
        });
        assert_eq!(t.wait_for_some(), [readable(5)]);
        drop(writer.join().unwrap());
    });
}

extern "C" fn on_signal(_: libc::c_int) {}

#[test]
fn signals_interrupt_a_wait() {
    // SAFETY: the structure is plain data, for which zero means an empty mask and no flags (so
    // that calls are not restarted); the handler does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as *const () as usize;
        assert_eq!(
            libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()),
            0
        );
    }
    each_backend(|t| {
        let done = AtomicBool::new(false);
        // SAFETY: no argument, cannot fail.
        let waiting = unsafe { libc::pthread_self() };
        thread::scope(|scope| {
            scope.spawn(|| {
                // The first may come before the wait begins, so there are more.
                while !done.load(Ordering::Acquire) {
                    // SAFETY: the scope keeps that thread alive until this one has ended.
                    unsafe { libc::pthread_kill(waiting, libc::SIGUSR1) };
                    thread::yield_now();
                }
            });
            let mut events = vec![event(1)];
            let result = t.poller.wait(&mut events, Some(util::LONG));
            done.store(true, Ordering::Release);
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Interrupted);
            assert_eq!(events, [], "cleared all the same");
        });
    });
}
