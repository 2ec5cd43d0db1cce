//! `poll`, which is told everything at every call.
//!
//! The array of `pollfd` is kept between calls, in the order of the [`Registry`], and edited as
//! registrations change. A record that wants nothing has its descriptor complemented: the kernel
//! skips negative ones.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use super::registry::{Record, Registry};
use super::{check, check_open};
use crate::{Event, Interest, Trigger};

/// What is registered, in both forms.
#[derive(Debug, Default)]
pub(crate) struct Poll {
    registry: Registry,
    /// The same records as the kernel reads them, in the same order.
    fds: Vec<libc::pollfd>,
}

impl Poll {
    pub(crate) fn new() -> Poll {
        Poll::default()
    }

    pub(crate) fn add(
        &mut self,
        fd: RawFd,
        token: u64,
        interest: Interest,
        trigger: Trigger,
    ) -> io::Result<()> {
        check_open(fd)?;
        let record = Record::new(fd, token, interest, trigger);
        self.registry.add(record)?;
        self.fds.push(pollfd(&record));
        Ok(())
    }

    pub(crate) fn modify(
        &mut self,
        fd: RawFd,
        token: u64,
        interest: Interest,
        trigger: Trigger,
    ) -> io::Result<()> {
        check_open(fd)?;
        let record = Record::new(fd, token, interest, trigger);
        let position = self.registry.replace(record)?;
        self.fds[position] = pollfd(&record);
        Ok(())
    }

    pub(crate) fn remove(&mut self, fd: RawFd) -> io::Result<()> {
        let position = self.registry.remove(fd)?;
        self.fds.swap_remove(position);
        Ok(())
    }

    pub(crate) fn rearm(&mut self, fd: RawFd, interest: Interest) {
        if let Some(position) = self.registry.rearm(fd, interest) {
            self.fds[position] = pollfd(&self.registry.records()[position]);
        }
    }

    pub(crate) fn wait(
        &mut self,
        events: &mut Vec<Event>,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        let mut left = poll(&mut self.fds, timeout)?;
        let mut closed = Vec::new();
        for (position, slot) in self.fds.iter_mut().enumerate() {
            if left == 0 {
                break;
            }
            if slot.revents == 0 {
                continue;
            }
            left -= 1;
            let record = self.registry.record_mut(position);
            let has = |mask| slot.revents & mask != 0;
            if has(libc::POLLNVAL) {
                events.push(Event::closed(record.token));
                closed.push(record.fd);
                continue;
            }
            let event = Event::new(
                record.token,
                has(libc::POLLIN),
                has(libc::POLLOUT),
                has(libc::POLLHUP),
                has(libc::POLLERR),
            );
            if record.reported(event) {
                *slot = pollfd(record);
            }
            events.push(event);
        }
        for fd in closed {
            // It was found in the registry a moment ago.
            let _ = self.remove(fd);
        }
        Ok(())
    }
}

/// What the kernel is asked about a record.
fn pollfd(record: &Record) -> libc::pollfd {
    let wanted = record.wanted();
    let mut events = 0;
    if wanted.is_readable() {
        events |= libc::POLLIN;
    }
    if wanted.is_writable() {
        events |= libc::POLLOUT;
    }
    // A complemented descriptor is negative, zero included.
    let fd = if wanted.is_empty() {
        !record.fd
    } else {
        record.fd
    };
    libc::pollfd {
        fd,
        events,
        revents: 0,
    }
}

/// Calls the kernel and returns how many entries have something to tell.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn poll(fds: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<usize> {
    let limit = timeout.map(super::timespec);
    let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: pointer and length are those of one slice; `limit` is null or points to a local
    // that outlives the call; a null mask leaves the signal mask alone.
    check(unsafe { libc::ppoll(fds.as_mut_ptr(), fds.len() as _, limit, std::ptr::null()) })
}

/// Calls the kernel and returns how many entries have something to tell.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn poll(fds: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<usize> {
    let limit = super::milliseconds(timeout);
    // SAFETY: pointer and length are those of one slice.
    check(unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as _, limit) })
}
