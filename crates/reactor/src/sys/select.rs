//! `select`, which takes bit sets and knows descriptors below `FD_SETSIZE` only.
//!
//! The sets of wanted descriptors are kept between calls and copied for each, as the kernel
//! answers in place. It tells neither hang-ups nor errors apart from readiness, and a closed
//! descriptor fails the whole call: then each one is checked, the closed ones are reported and
//! dropped, and the next call works again.

use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::ptr;
use std::time::Duration;

use super::registry::{Record, Registry};
use super::{check, check_open, errno, timespec};
use crate::{Event, Interest, Trigger};

/// What is registered, in both forms.
#[derive(Debug)]
pub(crate) struct Select {
    registry: Registry,
    /// Descriptors to be watched for input.
    readers: FdSet,
    /// Descriptors to be watched for output.
    writers: FdSet,
}

impl Select {
    pub(crate) fn new() -> Select {
        Select {
            registry: Registry::default(),
            readers: FdSet::new(),
            writers: FdSet::new(),
        }
    }

    pub(crate) fn add(
        &mut self,
        fd: RawFd,
        token: u64,
        interest: Interest,
        trigger: Trigger,
    ) -> io::Result<()> {
        check_open(fd)?;
        if fd as usize >= libc::FD_SETSIZE {
            return Err(errno(libc::EINVAL));
        }
        self.registry
            .add(Record::new(fd, token, interest, trigger))?;
        self.watch(fd, interest);
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
        self.registry
            .replace(Record::new(fd, token, interest, trigger))?;
        self.watch(fd, interest);
        Ok(())
    }

    pub(crate) fn remove(&mut self, fd: RawFd) -> io::Result<()> {
        self.registry.remove(fd)?;
        self.watch(fd, Interest::NONE);
        Ok(())
    }

    pub(crate) fn rearm(&mut self, fd: RawFd, interest: Interest) {
        if let Some(position) = self.registry.rearm(fd, interest) {
            self.watch(fd, self.registry.records()[position].wanted());
        }
    }

    pub(crate) fn wait(
        &mut self,
        events: &mut Vec<Event>,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        let count = self.readers.end().max(self.writers.end());
        let (mut readers, mut writers) = (self.readers, self.writers);
        let mut left = match select(count, &mut readers, &mut writers, timeout) {
            Ok(count) => count,
            Err(error) if error.raw_os_error() == Some(libc::EBADF) => {
                self.drop_closed(events);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for position in 0..self.registry.records().len() {
            if left == 0 {
                break;
            }
            let record = self.registry.record_mut(position);
            let (fd, readable, writable) = (
                record.fd,
                readers.contains(record.fd),
                writers.contains(record.fd),
            );
            if !readable && !writable {
                continue;
            }
            // The kernel counts bits, not descriptors.
            left -= usize::from(readable) + usize::from(writable);
            let event = Event::new(record.token, readable, writable, false, false);
            if record.reported(event) {
                let wanted = record.wanted();
                self.watch(fd, wanted);
            }
            events.push(event);
        }
        Ok(())
    }

    /// Reports and removes every descriptor that is not open any more.
    ///
    /// That may be none, if another thread has opened the number again in between; the caller
    /// then waits once more, with a descriptor that is valid.
    fn drop_closed(&mut self, events: &mut Vec<Event>) {
        let closed: Vec<Record> = self
            .registry
            .records()
            .iter()
            .filter(|record| check_open(record.fd).is_err())
            .copied()
            .collect();
        for record in closed {
            events.push(Event::closed(record.token));
            // It was found in the registry a moment ago.
            let _ = self.remove(record.fd);
        }
    }

    /// Makes the sets say that `fd` is watched for the directions of `wanted` and no other.
    fn watch(&mut self, fd: RawFd, wanted: Interest) {
        self.readers.put(fd, wanted.is_readable());
        self.writers.put(fd, wanted.is_writable());
    }
}

/// Calls the kernel about the descriptors below `count`; returns how many bits it left set.
fn select(
    count: RawFd,
    readers: &mut FdSet,
    writers: &mut FdSet,
    timeout: Option<Duration>,
) -> io::Result<usize> {
    let limit = timeout.map(timespec);
    let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the sets are valid for reads and writes, and have room for `count` bits; `limit` is
    // null or points to a local that outlives the call; a null mask leaves the signal mask alone.
    check(unsafe {
        libc::pselect(
            count,
            &raw mut readers.bits,
            &raw mut writers.bits,
            ptr::null_mut(),
            limit,
            ptr::null(),
        )
    })
}

/// A set of descriptors below `FD_SETSIZE`.
#[derive(Clone, Copy)]
struct FdSet {
    bits: libc::fd_set,
    /// No bit is set at or above it. It shrinks lazily, in [`FdSet::end`].
    end: RawFd,
}

impl FdSet {
    fn new() -> FdSet {
        let mut bits = mem::MaybeUninit::uninit();
        // SAFETY: FD_ZERO initialises the whole set.
        unsafe {
            libc::FD_ZERO(bits.as_mut_ptr());
            FdSet {
                bits: bits.assume_init(),
                end: 0,
            }
        }
    }

    /// Whether `fd`, which came from the registry, is in the set.
    fn contains(&self, fd: RawFd) -> bool {
        in_range(fd);
        // SAFETY: the set is initialised and the descriptor within it.
        unsafe { libc::FD_ISSET(fd, &raw const self.bits) }
    }

    /// Puts `fd`, which came from the registry, into the set or takes it out.
    fn put(&mut self, fd: RawFd, present: bool) {
        in_range(fd);
        if present {
            // SAFETY: the set is initialised and the descriptor within it.
            unsafe { libc::FD_SET(fd, &raw mut self.bits) };
            self.end = self.end.max(fd + 1);
        } else {
            // SAFETY: as above.
            unsafe { libc::FD_CLR(fd, &raw mut self.bits) };
        }
    }

    /// The number after the highest in the set.
    fn end(&mut self) -> RawFd {
        while self.end > 0 && !self.contains(self.end - 1) {
            self.end -= 1;
        }
        self.end
    }
}

impl std::fmt::Debug for FdSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set()
            .entries((0..self.end).filter(|&fd| self.contains(fd)))
            .finish()
    }
}

/// The C macros write out of bounds for any other number, so it is worth a compare.
fn in_range(fd: RawFd) {
    assert!(
        (0..libc::FD_SETSIZE as RawFd).contains(&fd),
        "descriptor {fd} does not fit a set"
    );
}
