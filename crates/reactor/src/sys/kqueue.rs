//! `kqueue`, where each direction of a descriptor is a filter of its own.
//!
//! An edge is a filter with `EV_CLEAR`; both filters of a descriptor are reported separately, so
//! one wait may bring two events with the same token. The kernel merges a repeated `EV_ADD` into
//! the filter that exists, hence a [`Registry`] to tell `add` from `modify`; and it removes the
//! filters of a descriptor that is closed, which the owner repeats here with `forget`.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::kqueue::{self, EventFilter, EventFlags};

use super::registry::{Record, Registry};
use super::{LONGEST, check_open};
use crate::{Backend, Event, Interest, Trigger};

/// Events taken from the kernel in one call.
const BATCH: usize = 1024;

/// A kernel queue, what is registered, and the memory its events are written to.
pub(crate) struct Kqueue {
    queue: OwnedFd,
    registry: Registry,
    buffer: Vec<kqueue::Event>,
}

impl Kqueue {
    pub(crate) const BACKEND: Backend = Backend::Kqueue;

    pub(crate) fn new() -> io::Result<Kqueue> {
        let queue = kqueue::kqueue()?;
        rustix::io::fcntl_setfd(&queue, rustix::io::FdFlags::CLOEXEC)?;
        Ok(Kqueue {
            queue,
            registry: Registry::default(),
            buffer: Vec::with_capacity(BATCH),
        })
    }

    pub(crate) fn add(
        &mut self,
        fd: RawFd,
        token: u64,
        interest: Interest,
        trigger: Trigger,
    ) -> io::Result<()> {
        check_open(fd)?;
        self.registry
            .add(Record::new(fd, token, interest, trigger))?;
        self.install(fd, interest, trigger).inspect_err(|_| {
            self.uninstall(fd);
            self.forget(fd);
        })
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
        // Not every kernel lets `EV_ADD` change `EV_CLEAR`; a new filter also re-arms the edge.
        self.uninstall(fd);
        self.install(fd, interest, trigger)
    }

    pub(crate) fn remove(&mut self, fd: RawFd) -> io::Result<()> {
        self.registry.remove(fd)?;
        self.uninstall(fd);
        Ok(())
    }

    pub(crate) fn forget(&mut self, fd: RawFd) {
        // ENOENT: harmless by contract.
        let _ = self.registry.remove(fd);
    }

    pub(crate) fn wait(
        &mut self,
        events: &mut Vec<Event>,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        self.buffer.clear();
        let timeout = timeout.map(|timeout| timeout.min(LONGEST));
        // SAFETY: no change is submitted, so no descriptor is named.
        unsafe { kqueue::kevent(&self.queue, &[], spare_capacity(&mut self.buffer), timeout)? };
        for event in &self.buffer {
            let (fd, readable) = match event.filter() {
                EventFilter::Read(fd) => (fd, true),
                EventFilter::Write(fd) => (fd, false),
                _ => continue,
            };
            // No record: removed or forgotten since the kernel queued it.
            let Ok(position) = self.registry.position(fd) else {
                continue;
            };
            let flags = event.flags();
            // The end of the input is no hang-up: the other direction may still be open.
            let hangup = flags.contains(EventFlags::EOF) && !readable;
            let error = flags.contains(EventFlags::ERROR);
            let token = self.registry.records()[position].token;
            let mut event = Event::new(token, readable, !readable, hangup, error);
            event.read_closed |= flags.contains(EventFlags::EOF);
            events.push(event);
        }
        Ok(())
    }

    /// Adds a filter for each direction of `interest`.
    fn install(&self, fd: RawFd, interest: Interest, trigger: Trigger) -> io::Result<()> {
        let mut flags = EventFlags::ADD;
        if trigger == Trigger::Edge {
            flags |= EventFlags::CLEAR;
        }
        if interest.is_readable() {
            self.submit(EventFilter::Read(fd), flags)?;
        }
        if interest.is_writable() {
            self.submit(EventFilter::Write(fd), flags)?;
        }
        Ok(())
    }

    /// Deletes whatever filters `fd` has.
    fn uninstall(&self, fd: RawFd) {
        // A filter that is not there (ENOENT), or gone with its descriptor (EBADF), is deleted.
        let _ = self.submit(EventFilter::Read(fd), EventFlags::DELETE);
        let _ = self.submit(EventFilter::Write(fd), EventFlags::DELETE);
    }

    /// Submits one change: with no room for events, its error is that of the call.
    fn submit(&self, filter: EventFilter, flags: EventFlags) -> io::Result<()> {
        let change = kqueue::Event::new(filter, flags, ptr::null_mut());
        let no_events: &mut [kqueue::Event] = &mut [];
        // SAFETY: the kernel takes the descriptor as a number and checks it; when it is closed,
        // by whomever, the kernel deletes its filters, so none outlives it.
        unsafe { kqueue::kevent(&self.queue, &[change], no_events, Some(Duration::ZERO))? };
        Ok(())
    }
}

impl AsRawFd for Kqueue {
    fn as_raw_fd(&self) -> RawFd {
        self.queue.as_raw_fd()
    }
}

impl std::fmt::Debug for Kqueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kqueue")
            .field("queue", &self.queue)
            .field("registry", &self.registry)
            .finish_non_exhaustive()
    }
}
