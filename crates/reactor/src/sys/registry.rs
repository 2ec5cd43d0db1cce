//! The user-space record of what is registered, for the backends whose kernel side keeps none.
//!
//! Records are dense, so that `poll` can hold an array of `pollfd` in the same order and a scan
//! touches nothing else; a table indexed by descriptor finds them. Removal moves the last record
//! into the gap, which keeps every operation O(1).
//!
//! An edge is simulated on level-only system calls by *suspending* a direction once it has been
//! reported: it is left out of the next call, until the owner [re-arms](Registry::rearm) it.

use std::io;
use std::os::fd::RawFd;

use super::errno;
use crate::{Event, Interest, Trigger};

/// Marks a descriptor without a record. No process has that many.
const ABSENT: u32 = u32::MAX;

/// One registered descriptor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) fd: RawFd,
    pub(super) token: u64,
    interest: Interest,
    trigger: Trigger,
    /// Directions whose edge has been reported and not re-armed.
    suspended: Interest,
}

impl Record {
    pub(super) fn new(fd: RawFd, token: u64, interest: Interest, trigger: Trigger) -> Record {
        Record {
            fd,
            token,
            interest,
            trigger,
            suspended: Interest::NONE,
        }
    }

    /// The directions to watch now.
    pub(super) fn wanted(&self) -> Interest {
        self.interest.remove(self.suspended)
    }

    /// Takes note that `event` is being reported; tells whether [`Record::wanted`] has changed.
    pub(super) fn reported(&mut self, event: Event) -> bool {
        if self.trigger == Trigger::Level {
            return false;
        }
        let before = self.wanted();
        if event.readable {
            self.suspended |= Interest::READABLE;
        }
        if event.writable {
            self.suspended |= Interest::WRITABLE;
        }
        self.wanted() != before
    }
}

/// All registered descriptors.
#[derive(Debug, Default)]
pub(super) struct Registry {
    records: Vec<Record>,
    /// The position in `records` of each descriptor, or [`ABSENT`].
    positions: Vec<u32>,
}

impl Registry {
    pub(super) fn records(&self) -> &[Record] {
        &self.records
    }

    pub(super) fn record_mut(&mut self, position: usize) -> &mut Record {
        &mut self.records[position]
    }

    /// Where `fd` is, or `ENOENT`.
    pub(super) fn position(&self, fd: RawFd) -> io::Result<usize> {
        usize::try_from(fd)
            .ok()
            .and_then(|fd| self.positions.get(fd))
            .filter(|&&position| position != ABSENT)
            .map(|&position| position as usize)
            .ok_or_else(|| errno(libc::ENOENT))
    }

    /// Appends a record, unless its descriptor has one: `EEXIST`.
    pub(super) fn add(&mut self, record: Record) -> io::Result<()> {
        if self.position(record.fd).is_ok() {
            return Err(errno(libc::EEXIST));
        }
        let fd = usize::try_from(record.fd).map_err(|_| errno(libc::EBADF))?;
        if self.positions.len() <= fd {
            self.positions.resize(fd + 1, ABSENT);
        }
        self.positions[fd] = self.records.len() as u32;
        self.records.push(record);
        Ok(())
    }

    /// Replaces the record of a descriptor, armed; returns its position, or `ENOENT`.
    pub(super) fn replace(&mut self, record: Record) -> io::Result<usize> {
        let position = self.position(record.fd)?;
        self.records[position] = record;
        Ok(position)
    }

    /// Removes the record of `fd` and returns the position that the last one was moved to, as
    /// [`Vec::swap_remove`] does, or `ENOENT`.
    pub(super) fn remove(&mut self, fd: RawFd) -> io::Result<usize> {
        let position = self.position(fd)?;
        self.positions[fd as usize] = ABSENT;
        self.records.swap_remove(position);
        if let Some(moved) = self.records.get(position) {
            self.positions[moved.fd as usize] = position as u32;
        }
        Ok(position)
    }

    /// Lets the directions of `interest` be reported again; returns the position of `fd` if that
    /// changed what is watched.
    pub(super) fn rearm(&mut self, fd: RawFd, interest: Interest) -> Option<usize> {
        let position = self.position(fd).ok()?;
        let record = &mut self.records[position];
        let before = record.wanted();
        record.suspended = record.suspended.remove(interest);
        (record.wanted() != before).then_some(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fd: RawFd) -> Record {
        Record::new(
            fd,
            u64::from(fd.unsigned_abs()) * 10,
            Interest::BOTH,
            Trigger::Edge,
        )
    }

    #[test]
    fn removal_moves_the_last_record() -> io::Result<()> {
        let mut registry = Registry::default();
        for fd in [4, 9, 2] {
            registry.add(record(fd))?;
        }
        assert_eq!(registry.remove(4)?, 0);
        assert_eq!(registry.position(2)?, 0);
        assert_eq!(registry.position(9)?, 1);
        assert_eq!(registry.remove(9)?, 1);
        assert_eq!(registry.records().len(), 1);
        assert_eq!(registry.records()[registry.position(2)?].token, 20);
        Ok(())
    }

    #[test]
    fn refuses_what_does_not_fit() -> io::Result<()> {
        let code = |error: io::Error| error.raw_os_error();
        let mut registry = Registry::default();
        registry.add(record(3))?;
        assert_eq!(
            registry.add(record(3)).map_err(code),
            Err(Some(libc::EEXIST))
        );
        assert_eq!(
            registry.add(record(-1)).map_err(code),
            Err(Some(libc::EBADF))
        );
        for fd in [-1, 2, 1000] {
            assert_eq!(registry.remove(fd).map_err(code), Err(Some(libc::ENOENT)));
            assert_eq!(
                registry.replace(record(fd)).map_err(code),
                Err(Some(libc::ENOENT))
            );
        }
        Ok(())
    }

    #[test]
    fn an_edge_is_suspended_until_rearmed() -> io::Result<()> {
        let mut registry = Registry::default();
        registry.add(record(3))?;
        let readable = Event::new(30, true, false, false, false);
        assert!(registry.record_mut(0).reported(readable));
        assert!(
            !registry.record_mut(0).reported(readable),
            "nothing changed"
        );
        assert_eq!(registry.records()[0].wanted(), Interest::WRITABLE);
        assert_eq!(registry.rearm(3, Interest::WRITABLE), None);
        assert_eq!(registry.rearm(3, Interest::BOTH), Some(0));
        assert_eq!(registry.records()[0].wanted(), Interest::BOTH);
        assert_eq!(registry.rearm(5, Interest::BOTH), None);
        Ok(())
    }
}
