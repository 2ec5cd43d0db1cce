//! What the tests of pollers share.

#![allow(dead_code, reason = "each test program uses a part")]

use std::fmt::Debug;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use eventlet_reactor::{Backend, Event, Poller};

/// Long enough to never pass while a test works, short enough to end one that does not.
pub const LONG: Duration = Duration::from_secs(20);

/// Runs a test on a fresh poller of every backend; its name is printed if the test fails.
pub fn each_backend(test: impl Fn(&mut Tested)) {
    for &backend in Backend::available() {
        let announce = Announce(backend);
        test(&mut Tested {
            poller: Poller::new(backend).expect("a poller"),
            backend,
        });
        std::mem::forget(announce);
    }
}

struct Announce(Backend);

impl Drop for Announce {
    #[expect(clippy::print_stderr, reason = "seen only when a test fails")]
    fn drop(&mut self) {
        eprintln!("... with the backend {}", self.0);
    }
}

/// A poller under test.
pub struct Tested {
    pub poller: Poller,
    pub backend: Backend,
}

impl Tested {
    /// What is ready now.
    pub fn ready(&mut self) -> Vec<Event> {
        self.wait(Duration::ZERO)
    }

    /// What becomes ready; nothing is a failure.
    pub fn wait_for_some(&mut self) -> Vec<Event> {
        let events = self.wait(LONG);
        assert_ne!(events, [], "nothing became ready");
        events
    }

    pub fn wait(&mut self, timeout: Duration) -> Vec<Event> {
        // Something to be cleared.
        let mut events = vec![event(999)];
        self.poller
            .wait(&mut events, Some(timeout))
            .expect("waiting works");
        events
    }

    /// Whether the backend tells the end of the input from input.
    pub fn tells_end(&self) -> bool {
        self.backend != Backend::Select && self.backend != Backend::Poll
    }

    /// Whether the backend tells hang-ups and errors from readiness.
    pub fn tells_why(&self) -> bool {
        self.backend != Backend::Select
    }
}

/// An event that says nothing; tests set what they expect.
pub fn event(token: u64) -> Event {
    Event {
        token,
        readable: false,
        writable: false,
        hangup: false,
        read_closed: false,
        urgent: false,
        error: false,
    }
}

pub fn readable(token: u64) -> Event {
    Event {
        readable: true,
        ..event(token)
    }
}

pub fn writable(token: u64) -> Event {
    Event {
        writable: true,
        ..event(token)
    }
}

/// Two connected sockets that do not block.
pub fn pair() -> (UnixStream, UnixStream) {
    let (a, b) = UnixStream::pair().expect("a socket pair");
    a.set_nonblocking(true).expect("not blocking");
    b.set_nonblocking(true).expect("not blocking");
    (a, b)
}

/// Another descriptor of the same file, at `lowest` or above.
///
/// Tests run in threads, and the numbers they close are taken by one another. Those that need a
/// number to stay closed take it from a range of their own, far from the low ones.
pub fn duplicate(file: &impl AsRawFd, lowest: RawFd) -> OwnedFd {
    // SAFETY: the call takes no pointer.
    let fd = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, lowest) };
    assert!(fd >= lowest, "{}", io::Error::last_os_error());
    // SAFETY: the descriptor is new and nobody else's.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// The error number of a failure.
pub fn errno<T: Debug>(result: io::Result<T>) -> i32 {
    result
        .expect_err("a failure")
        .raw_os_error()
        .expect("an error of the system")
}
