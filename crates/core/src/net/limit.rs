//! How long an operation on a socket may wait.
//!
//! A socket's timeout is an attribute, `_green_timeout`: None, or seconds, 0 for "do not wait". It is looked
//! up the first time the operation would block; the deadline that comes of it holds for the whole operation,
//! however often it has to wait.

use std::ffi::c_int;
use std::os::fd::RawFd;

use pyo3::exceptions::PyTimeoutError;
use pyo3::intern;
use pyo3::prelude::*;

use crate::hub::io::Direction;
use crate::hub::{self, Hub, Wake};
use crate::{clock, errors};

/// What to do after a system call has failed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try again.
    Retry,
    /// The peer is gone; there is nothing more to read.
    Ended,
    /// Wait until the socket can be read, then try again.
    Wait,
}

/// The deadline of one operation.
#[derive(Clone, Copy)]
pub enum Limit {
    /// Not looked up yet.
    Unknown,
    /// There is none.
    Never,
    /// On the hub's clock.
    At(u64),
}

impl Limit {
    /// A limit that has not been looked up.
    pub const fn new() -> Self {
        Self::Unknown
    }

    /// One that is `seconds` away, or none.
    pub fn after(seconds: Option<f64>) -> Self {
        seconds.map_or(Self::Never, |seconds| {
            Self::At(clock::after(clock::now(), seconds))
        })
    }

    /// Deals with a failed read: waits if it would have blocked.
    #[cold]
    #[inline(never)]
    pub fn after_read(
        &mut self,
        socket: &Bound<'_, PyAny>,
        fd: RawFd,
        errno: i32,
        flags: c_int,
    ) -> PyResult<Next> {
        let next = after_failed_read(socket.py(), errno, flags)?;
        if next != Next::Wait {
            return Ok(next);
        }
        self.wait(socket, fd, Direction::Read, errno)?;
        Ok(Next::Retry)
    }

    /// Deals with a failed write: waits if it would have blocked, unless `flags` has `MSG_DONTWAIT`.
    #[cold]
    #[inline(never)]
    pub fn after_write(
        &mut self,
        socket: &Bound<'_, PyAny>,
        fd: RawFd,
        errno: i32,
        flags: c_int,
    ) -> PyResult<()> {
        match errno {
            libc::EINTR => socket.py().check_signals(),
            libc::EAGAIN if flags & libc::MSG_DONTWAIT == 0 => {
                self.wait(socket, fd, Direction::Write, errno)
            }
            _ => Err(errors::os_error(socket.py(), errno)),
        }
    }

    /// Waits until the descriptor is ready. `errno` is why the caller waits, and what it raises if the
    /// socket is non-blocking.
    pub fn wait(
        &mut self,
        socket: &Bound<'_, PyAny>,
        fd: RawFd,
        direction: Direction,
        errno: i32,
    ) -> PyResult<()> {
        let deadline = self.deadline(socket, errno)?;
        let hub = hub::current(socket.py())?;
        timely(Hub::wait_ready(&hub, fd, direction, deadline)?)
    }

    /// As [`wait`](Self::wait), for a caller that has tried nothing; does nothing for a non-blocking socket.
    pub fn wait_untried(
        &mut self,
        socket: &Bound<'_, PyAny>,
        fd: RawFd,
        direction: Direction,
    ) -> PyResult<()> {
        if is_non_blocking(socket)? {
            return Ok(());
        }
        self.wait_level(socket, fd, direction)
    }

    /// Waits for a descriptor of which the hub is told nothing when it is opened.
    pub fn wait_level(
        &mut self,
        socket: &Bound<'_, PyAny>,
        fd: RawFd,
        direction: Direction,
    ) -> PyResult<()> {
        let deadline = self.deadline(socket, libc::EAGAIN)?;
        let hub = hub::current(socket.py())?;
        timely(Hub::wait_level(&hub, fd, direction, deadline)?)
    }

    /// Waits `seconds`, or until the deadline.
    pub fn pause(&mut self, socket: &Bound<'_, PyAny>, seconds: f64, errno: i32) -> PyResult<()> {
        let py = socket.py();
        let deadline = self.deadline(socket, errno)?;
        let now = clock::now();
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Err(timed_out());
        }
        let until = clock::after(now, seconds).min(deadline.unwrap_or(u64::MAX));
        let hub = hub::current(py)?;
        let greenlet = Hub::waiting_greenlet(&hub)?;
        let parking = hub.get().park(py, &greenlet, Some(until));
        Hub::wait(&hub, &greenlet, parking).map(drop)
    }

    /// How many seconds are left of a limit that is known.
    pub fn seconds_left(self) -> Option<f64> {
        match self {
            Self::At(deadline) => Some(clock::seconds(deadline.saturating_sub(clock::now()))),
            Self::Never | Self::Unknown => None,
        }
    }

    /// When a wait ends at the latest. `errno` is as in [`wait`](Self::wait).
    pub fn deadline(&mut self, socket: &Bound<'_, PyAny>, errno: i32) -> PyResult<Option<u64>> {
        let waits = self.look_up(socket)?;
        match *self {
            Self::At(deadline) => Ok(Some(deadline)),
            _ if waits => Ok(None),
            _ => Err(errors::os_error(socket.py(), errno)),
        }
    }

    /// Finds out when a wait ends at the latest; false if the socket is non-blocking.
    pub fn look_up(&mut self, socket: &Bound<'_, PyAny>) -> PyResult<bool> {
        if !matches!(self, Self::Unknown) {
            return Ok(true);
        }
        let timeout = socket.getattr(intern!(socket.py(), "_green_timeout"))?;
        if timeout.is_none() {
            *self = Self::Never;
            return Ok(true);
        }
        let seconds: f64 = timeout.extract()?;
        if seconds <= 0.0 {
            return Ok(false);
        }
        *self = Self::At(clock::after(clock::now(), seconds));
        Ok(true)
    }
}

/// Whether operations on the socket never wait.
pub fn is_non_blocking(socket: &Bound<'_, PyAny>) -> PyResult<bool> {
    let timeout = socket.getattr(intern!(socket.py(), "_green_timeout"))?;
    Ok(!timeout.is_none() && timeout.extract::<f64>()? <= 0.0)
}

/// What to do after a failed read.
///
/// A socket that is not connected yet counts as one that has no data yet, and one whose peer has reset the
/// connection as one that has ended: Eventlet's rule. With `MSG_DONTWAIT` in `flags` there is no waiting.
#[inline]
pub fn after_failed_read(py: Python<'_>, errno: i32, flags: c_int) -> PyResult<Next> {
    match errno {
        libc::EAGAIN if flags & libc::MSG_DONTWAIT != 0 => Err(errors::os_error(py, errno)),
        libc::EINTR => py.check_signals().map(|()| Next::Retry),
        libc::EAGAIN | libc::ENOTCONN => Ok(Next::Wait),
        libc::ECONNRESET | libc::ESHUTDOWN | libc::EPIPE => Ok(Next::Ended),
        _ => Err(errors::os_error(py, errno)),
    }
}

/// Raises the error of a wait whose time is up.
pub fn timely(wake: Wake) -> PyResult<()> {
    match wake {
        Wake::TimedOut => Err(timed_out()),
        _ => Ok(()),
    }
}

/// What `socket.timeout` is since Python 3.10.
#[cold]
pub fn timed_out() -> PyErr {
    PyTimeoutError::new_err("timed out")
}
