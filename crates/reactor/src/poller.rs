//! The poller: one set of methods over the backends of `sys`.
//!
//! # Who keeps what
//!
//! A registration is a descriptor *number* with a token, an [`Interest`] and a [`Trigger`]. The
//! poller neither owns nor closes descriptors, so its caller must say when one is gone:
//! [`Poller::remove`] before it is closed, or [`Poller::forget`] after. `epoll` notices closed
//! descriptors by itself; the others hold on to the number, and a descriptor that is opened later
//! may get the same one.
//!
//! After a `fork` the child shares the kernel's object with its parent, and what one does to it
//! the other sees. The child drops the poller, which touches no registration, and opens another.
//!
//! # Edges
//!
//! With [`Trigger::Edge`] a descriptor is registered once and never touched again, which is the
//! fastest way there is on `epoll` and `kqueue`. `poll` and `select` only know levels; there, a
//! direction that was reported is left out until [`Poller::rearm`]. The owner's side is the same
//! for all: try the operation first, and wait only after it would have blocked. Hence
//!
//! ```text
//! loop { try; if it would block { if poller.needs_rearm() { poller.rearm(..) }; wait } }
//! ```
//!
//! may see an event too many, and never one too few.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use crate::sys::{Native, Poll, Select};
use crate::{Backend, Event, Interest, Trigger};

/// Tells which of the registered file descriptors are ready.
///
/// ```
/// use std::io::Write;
/// use std::os::fd::AsRawFd;
/// use std::os::unix::net::UnixStream;
/// use eventlet_reactor::{Backend, Interest, Poller, Trigger};
///
/// # fn main() -> std::io::Result<()> {
/// let (here, mut there) = UnixStream::pair()?;
/// let mut poller = Poller::new(Backend::best())?;
/// poller.add(here.as_raw_fd(), 42, Interest::READABLE, Trigger::Edge)?;
///
/// there.write_all(b"hello")?;
/// let mut events = Vec::new();
/// poller.wait(&mut events, None)?;
/// assert_eq!((events[0].token, events[0].readable), (42, true));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Poller {
    selector: Selector,
}

#[derive(Debug)]
enum Selector {
    Native(Native),
    Poll(Poll),
    Select(Box<Select>),
}

/// Calls a method that every backend has.
macro_rules! dispatch {
    ($self:ident, $selector:ident => $call:expr) => {
        match &mut $self.selector {
            Selector::Native($selector) => $call,
            Selector::Poll($selector) => $call,
            Selector::Select($selector) => $call,
        }
    };
}

impl Poller {
    /// Opens a poller. A backend that this platform lacks is [`io::ErrorKind::Unsupported`].
    pub fn new(backend: Backend) -> io::Result<Poller> {
        let selector = match backend {
            Native::BACKEND => Selector::Native(Native::new()?),
            Backend::Poll => Selector::Poll(Poll::new()),
            Backend::Select => Selector::Select(Box::new(Select::new())),
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(Poller { selector })
    }

    /// What this poller is built on.
    pub fn backend(&self) -> Backend {
        match &self.selector {
            Selector::Native(_) => Native::BACKEND,
            Selector::Poll(_) => Backend::Poll,
            Selector::Select(_) => Backend::Select,
        }
    }

    /// Starts to watch `fd`. A direction that is ready already is reported by the next wait.
    ///
    /// # Errors
    ///
    /// - `EEXIST` ([`io::ErrorKind::AlreadyExists`]): `fd` is registered;
    /// - `EBADF`: `fd` is not open;
    /// - `EPERM`: a regular file or directory, with `epoll`; `poll` and `select` report these as
    ///   always ready;
    /// - `EINVAL`: `fd` is `FD_SETSIZE` or above, with `select`.
    pub fn add(
        &mut self,
        fd: RawFd,
        token: u64,
        interest: Interest,
        trigger: Trigger,
    ) -> io::Result<()> {
        dispatch!(self, selector => selector.add(fd, token, interest, trigger))
    }

    /// Replaces everything about the registration of `fd`, and re-arms both edges: a direction
    /// that is ready is reported by the next wait, whether it was reported before or not.
    ///
    /// # Errors
    ///
    /// `ENOENT` ([`io::ErrorKind::NotFound`]) if `fd` is not registered, `EBADF` if it is closed.
    pub fn modify(
        &mut self,
        fd: RawFd,
        token: u64,
        interest: Interest,
        trigger: Trigger,
    ) -> io::Result<()> {
        dispatch!(self, selector => selector.modify(fd, token, interest, trigger))
    }

    /// Stops watching `fd`, which should still be open.
    ///
    /// # Errors
    ///
    /// `ENOENT` ([`io::ErrorKind::NotFound`]) if `fd` is not registered. Where the kernel keeps
    /// the registrations, a closed `fd` is `EBADF`, and is not watched any more either.
    pub fn remove(&mut self, fd: RawFd) -> io::Result<()> {
        dispatch!(self, selector => selector.remove(fd))
    }

    /// Lets the edges of `interest` be reported again, after the owner has seen that they would
    /// block and before it waits. Does nothing for an unknown `fd`, for a level, and where
    /// [`needs_rearm`](Poller::needs_rearm) is false.
    pub fn rearm(&mut self, fd: RawFd, interest: Interest) {
        match &mut self.selector {
            Selector::Poll(selector) => selector.rearm(fd, interest),
            Selector::Select(selector) => selector.rearm(fd, interest),
            Selector::Native(_) => {}
        }
    }

    /// Whether [`rearm`](Poller::rearm) does anything, so that a caller can skip it.
    #[inline]
    pub fn needs_rearm(&self) -> bool {
        matches!(self.selector, Selector::Poll(_) | Selector::Select(_))
    }

    /// Drops what is remembered of a descriptor that is closed already. Makes no system call, and
    /// does nothing for an unknown `fd`.
    ///
    /// Call it before the number can be used again: later, it would drop the wrong record.
    pub fn forget(&mut self, fd: RawFd) {
        match &mut self.selector {
            Selector::Native(selector) => selector.forget(fd),
            // ENOENT, the only error these have, is the unknown descriptor.
            Selector::Poll(selector) => drop(selector.remove(fd)),
            Selector::Select(selector) => drop(selector.remove(fd)),
        }
    }

    /// Replaces the contents of `events` by what is ready, waiting for it until `timeout` has
    /// passed; `None` waits for ever, zero not at all.
    ///
    /// No event means that the time is over, or rarely that the call ended early. A descriptor
    /// may come up more than once in `events`, and one that is ready may be left for the next
    /// wait if there are many.
    ///
    /// A descriptor that was closed without notice is reported with [`Event::error`] by `poll`
    /// and `select`, once, and forgotten; `epoll` and `kqueue` never mention it again.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Interrupted`] if a signal arrived, so that the caller can see to it.
    pub fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        events.clear();
        dispatch!(self, selector => selector.wait(events, timeout))
    }

    /// The descriptor of the kernel's object, if the backend has one.
    pub fn as_raw_fd(&self) -> Option<RawFd> {
        match &self.selector {
            Selector::Native(selector) => Some(selector.as_raw_fd()),
            Selector::Poll(_) | Selector::Select(_) => None,
        }
    }
}
