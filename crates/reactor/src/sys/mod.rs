//! The backends, one file a system call.
//!
//! Each offers the same methods as [`Poller`](crate::Poller), without a trait: there is one
//! caller, which dispatches over an enum, and calls stay inlinable. What they have in common is
//! written down there.
//!
//! `epoll` keeps its registrations in the kernel and needs nothing else. The other three keep
//! them in a [`Registry`](registry::Registry), either because the system call has no memory
//! (`poll`, `select`) or because it cannot tell a new registration from a changed one (`kqueue`).

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use crate::Backend;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod epoll;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use epoll::Epoll as Native;

#[cfg(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "dragonfly",
    target_os = "netbsd",
    target_os = "openbsd",
))]
mod kqueue;
#[cfg(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "dragonfly",
    target_os = "netbsd",
    target_os = "openbsd",
))]
pub(crate) use kqueue::Kqueue as Native;

mod poll;
mod registry;
mod select;

pub(crate) use poll::Poll;
pub(crate) use select::Select;

/// What this platform has, best first.
pub(crate) const AVAILABLE: &[Backend] = &[Native::BACKEND, Backend::Poll, Backend::Select];

/// The longest time handed to a system call. Some kernels refuse large values; a wait that ends
/// early without an event is allowed, and this one ends after three years.
const LONGEST: Duration = Duration::from_secs(100_000_000);

/// Turns the `-1` of a C function into the error it left in `errno`.
fn check(result: libc::c_int) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// An error that is named by its number, so that callers see the same one from every backend.
fn errno(code: libc::c_int) -> io::Error {
    io::Error::from_raw_os_error(code)
}

/// Whether `fd` is open, as far as one can tell about a number.
fn check_open(fd: RawFd) -> io::Result<()> {
    // SAFETY: F_GETFD reads a flag of the descriptor table; it takes no pointer and any number.
    check(unsafe { libc::fcntl(fd, libc::F_GETFD) }).map(drop)
}

/// `timeout` as the C structure, within what every kernel accepts.
fn timespec(timeout: Duration) -> libc::timespec {
    let timeout = timeout.min(LONGEST);
    // SAFETY: a timespec is plain integers (and, on some targets, padding): zero is a value.
    let mut spec: libc::timespec = unsafe { std::mem::zeroed() };
    spec.tv_sec = timeout.as_secs() as libc::time_t;
    // Below 10⁹; the field has 32 bits on some targets and 64 on others.
    spec.tv_nsec = (timeout.subsec_nanos() as i32).into();
    spec
}

/// `timeout` in whole milliseconds, never shorter than asked: a timer that is woken early finds
/// nothing due and makes its loop spin until it is.
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), allow(dead_code))]
fn milliseconds(timeout: Option<Duration>) -> libc::c_int {
    timeout.map_or(-1, |timeout| {
        let rounded = timeout.as_nanos().div_ceil(1_000_000);
        libc::c_int::try_from(rounded).unwrap_or(libc::c_int::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_rounded_up() {
        let ms = |nanos| milliseconds(Some(Duration::from_nanos(nanos)));
        assert_eq!(milliseconds(None), -1);
        assert_eq!(ms(0), 0);
        assert_eq!(ms(1), 1);
        assert_eq!(ms(1_000_000), 1);
        assert_eq!(ms(1_000_001), 2);
        assert_eq!(milliseconds(Some(Duration::MAX)), libc::c_int::MAX);
    }

    #[test]
    fn long_timeouts_stay_in_range() {
        let spec = timespec(Duration::MAX);
        assert_eq!(spec.tv_sec, LONGEST.as_secs() as libc::time_t);
        let spec = timespec(Duration::new(3, 5));
        assert_eq!((spec.tv_sec, spec.tv_nsec), (3, 5));
    }
}
