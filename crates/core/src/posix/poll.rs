//! Waiting for several descriptors at once: `select.select` and `select.poll`.
//!
//! What is ready is what `poll(2)` says. If nothing is, a descriptor of the kernel's is made that becomes
//! readable when one of them is (`epoll` or `kqueue`, which can be polled themselves), and the green thread
//! waits for that one. The hub does not see the others, so it makes no difference to it who else waits for
//! them, and all it is asked to tell is when one of them is closed.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, RawFd};

use pyo3::exceptions::{PyKeyError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;

use super::{errno, hub_to_wait_on};
use crate::cell::GilCell;
use crate::hub::io::{self, Direction};
use crate::hub::wait::{io_closed, sleep};
use crate::hub::{Hub, Wake};
use crate::{clock, errors};

/// Waits until one of several descriptors is ready.
///
/// The first three arguments are sequences of descriptors, or objects with `fileno()`: to read, to write, and
/// with exceptional conditions. `timeout` is in seconds, None waits for ever. Returns three lists, of all that
/// are ready; they are empty when the time is up.
///
/// Other green threads run meanwhile, at least once. Raises TypeError and ValueError for what is no
/// descriptor, OSError for one that is not open, and `IOClosed` if one is closed meanwhile.
#[pyfunction]
#[pyo3(signature = (rlist, wlist, xlist, timeout = None, /))]
pub fn select<'py>(
    py: Python<'py>,
    rlist: &Bound<'py, PyAny>,
    wlist: &Bound<'py, PyAny>,
    xlist: &Bound<'py, PyAny>,
    timeout: Option<&Bound<'py, PyAny>>,
) -> PyResult<(Found<'py>, Found<'py>, Found<'py>)> {
    let deadline = deadline(timeout)?;
    let mut wanted = BTreeMap::new();
    let mut lists = Vec::with_capacity(3);
    for (list, events) in [
        (rlist, libc::POLLIN),
        (wlist, libc::POLLOUT),
        (xlist, libc::POLLPRI),
    ] {
        let objects: Found<'py> = list
            .try_iter()
            .map_err(|_| PyTypeError::new_err("arguments 1-3 must be sequences"))?
            .collect::<PyResult<_>>()?;
        let mut entries = Vec::with_capacity(objects.len());
        for object in objects {
            let fd = descriptor(&object)?;
            *wanted.entry(fd).or_insert(0) |= events;
            entries.push((fd, object));
        }
        lists.push(entries);
    }
    let mut set: Vec<_> = wanted
        .iter()
        .map(|(fd, events)| entry(*fd, *events))
        .collect();
    wait_for_any(py, &mut set, deadline, Asked::Only)?;
    if set.iter().any(|entry| entry.revents & libc::POLLNVAL != 0) {
        return Err(if set.iter().any(|entry| entry.revents == CLOSED) {
            io_closed(py)
        } else {
            errors::os_error(py, libc::EBADF)
        });
    }
    let mut lists = lists.into_iter().zip([READABLE, WRITABLE, libc::POLLPRI]);
    let mut ready = || {
        let (entries, events) = lists.next().unwrap_or_default();
        let is_ready = |fd: RawFd| {
            set.binary_search_by_key(&fd, |entry| entry.fd)
                .is_ok_and(|index| set[index].revents & events != 0)
        };
        let ready = entries.into_iter().filter(|(fd, _)| is_ready(*fd));
        ready.map(|(_, object)| object).collect::<Found<'py>>()
    };
    Ok((ready(), ready(), ready()))
}

/// Objects that stand for descriptors.
type Found<'py> = Vec<Bound<'py, PyAny>>;

/// Waits until a descriptor can be read, also if another green thread waits for it.
///
/// `timeout` is in seconds, None waits for ever. Returns True when it can, False when the time is up; raises
/// `IOClosed` if it is closed meanwhile, OSError if it is not open.
#[pyfunction]
#[pyo3(signature = (fileno, timeout = None))]
pub fn wait_readable(
    py: Python<'_>,
    fileno: RawFd,
    timeout: Option<&Bound<'_, PyAny>>,
) -> PyResult<bool> {
    let deadline = deadline(timeout)?;
    if let Some(hub) = hub_to_wait_on(py)?
        && !hub
            .get()
            .io
            .with(py, |io| io.is_busy(fileno, Direction::Read))
    {
        let wake = Hub::wait_level(&hub, fileno, Direction::Read, deadline)?;
        return Ok(wake != Wake::TimedOut);
    }
    let mut set = [entry(fileno, libc::POLLIN)];
    wait_for_any(py, &mut set, deadline, Asked::All)?;
    match set[0].revents {
        CLOSED => Err(io_closed(py)),
        events if events & libc::POLLNVAL != 0 => Err(errors::os_error(py, libc::EBADF)),
        events => Ok(events != 0),
    }
}

/// What `select.poll()` returns: descriptors, each with what it is polled for.
#[pyclass(frozen, name = "poll", module = "eventlet.green.select")]
pub struct Poll {
    wanted: GilCell<BTreeMap<RawFd, u16>>,
}

#[pymethods]
impl Poll {
    #[new]
    fn new() -> Self {
        Self {
            wanted: GilCell::new(BTreeMap::new()),
        }
    }

    /// Polls a descriptor, or an object with `fileno()`, from now on; for what `eventmask` says, by default
    /// POLLIN, POLLPRI and POLLOUT. One that is polled already gets the new mask.
    #[pyo3(signature = (fd, eventmask = ALL, /))]
    fn register(&self, fd: &Bound<'_, PyAny>, eventmask: u16) -> PyResult<()> {
        let fileno = descriptor(fd)?;
        self.wanted
            .with(fd.py(), |wanted| wanted.insert(fileno, eventmask));
        Ok(())
    }

    /// Changes what a descriptor is polled for. Raises `FileNotFoundError` if it is not.
    #[pyo3(signature = (fd, eventmask, /))]
    fn modify(&self, fd: &Bound<'_, PyAny>, eventmask: u16) -> PyResult<()> {
        let py = fd.py();
        let fileno = descriptor(fd)?;
        let known = self.wanted.with(py, |wanted| {
            wanted
                .get_mut(&fileno)
                .map(|events| *events = eventmask)
                .is_some()
        });
        if known {
            Ok(())
        } else {
            Err(errors::os_error(py, libc::ENOENT))
        }
    }

    /// Polls a descriptor no longer. Raises `KeyError` if it was not polled.
    #[pyo3(signature = (fd, /))]
    fn unregister(&self, fd: &Bound<'_, PyAny>) -> PyResult<()> {
        let fileno = descriptor(fd)?;
        match self.wanted.with(fd.py(), |wanted| wanted.remove(&fileno)) {
            Some(_) => Ok(()),
            None => Err(PyKeyError::new_err(fileno)),
        }
    }

    /// Waits until one of the descriptors is ready; returns all that are, each with its events.
    ///
    /// `timeout` is in milliseconds; None or less than 0 waits for ever. The list is empty when the time is
    /// up. Other green threads run meanwhile, at least once. A descriptor that is not open, or is closed
    /// meanwhile, is reported with POLLNVAL.
    #[pyo3(signature = (timeout = None, /))]
    fn poll(
        &self,
        py: Python<'_>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<(RawFd, u16)>> {
        let deadline = match timeout {
            None => None,
            Some(timeout) => {
                let milliseconds: f64 = timeout
                    .extract()
                    .map_err(|_| PyTypeError::new_err("timeout must be a real number or None"))?;
                (milliseconds >= 0.0).then(|| clock::after(clock::now(), milliseconds / 1000.0))
            }
        };
        let mut set: Vec<_> = self.wanted.with(py, |wanted| {
            let wanted = wanted.iter();
            wanted
                .map(|(fd, events)| entry(*fd, *events as i16))
                .collect()
        });
        wait_for_any(py, &mut set, deadline, Asked::All)?;
        Ok(set
            .iter()
            .filter(|entry| entry.revents != 0)
            .map(|entry| (entry.fd, entry.revents as u16 & !CLOSED_MARK))
            .collect())
    }
}

/// Which events end a wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// All that `poll(2)` reports, so also errors and hang-ups.
    All,
    /// Those that `select(2)` would report for what was asked.
    Only,
}

impl Asked {
    fn is_met(self, entry: libc::pollfd) -> bool {
        if self == Self::All || entry.revents & libc::POLLNVAL != 0 {
            return entry.revents != 0;
        }
        let met =
            |asked: i16, events: i16| entry.events & asked != 0 && entry.revents & events != 0;
        met(libc::POLLIN, READABLE)
            || met(libc::POLLOUT, WRITABLE)
            || met(libc::POLLPRI, libc::POLLPRI)
    }
}

/// Waits until one of the entries is ready, or `deadline` is over, and fills in what is known of each.
///
/// One that was closed meanwhile is [`CLOSED`].
fn wait_for_any(
    py: Python<'_>,
    set: &mut [libc::pollfd],
    deadline: Option<u64>,
    asked: Asked,
) -> PyResult<()> {
    let Some(hub) = hub_to_wait_on(py)? else {
        return block(py, set, deadline, asked);
    };
    let mut given_way = false;
    loop {
        let ready = look(py, set, asked)?;
        let over = deadline.is_some_and(|deadline| deadline <= clock::now());
        if given_way && (ready || over) {
            return Ok(());
        }
        given_way = true;
        if ready || over {
            // Somebody who polls in a loop must not keep the others from running.
            sleep(py, 0.0)?;
        } else if wait(&hub, set, deadline)? == Wake::Closed {
            return Ok(());
        }
    }
}

/// Sees who is ready, without waiting.
fn look(py: Python<'_>, set: &mut [libc::pollfd], asked: Asked) -> PyResult<bool> {
    // SAFETY: the slice has that many entries; the call does not wait.
    while unsafe { libc::poll(set.as_mut_ptr(), set.len() as libc::nfds_t, 0) } < 0 {
        match errno() {
            libc::EINTR => py.check_signals()?,
            errno => return Err(errors::os_error(py, errno)),
        }
    }
    Ok(set.iter().any(|entry| asked.is_met(*entry)))
}

/// Waits on the hub. Marks those that were closed meanwhile, if the result says that there are any.
#[inline(never)]
fn wait(hub: &Bound<'_, Hub>, set: &mut [libc::pollfd], deadline: Option<u64>) -> PyResult<Wake> {
    let py = hub.py();
    if set.is_empty() {
        let greenlet = Hub::waiting_greenlet(hub)?;
        let parking = hub.get().park(py, &greenlet, deadline);
        return Hub::wait(hub, &greenlet, parking).map(|(wake, _)| wake);
    }
    let generations: Vec<_> = set
        .iter()
        .map(|entry| io::generation(py, entry.fd))
        .collect();
    let combined = combine(set).map_err(|errno| errors::os_error(py, errno))?;
    let wake = Hub::wait_set(hub, combined.as_raw_fd(), set, deadline)?;
    drop(combined);
    if wake != Wake::Closed {
        return Ok(wake);
    }
    let mut closed = false;
    for (entry, generation) in set.iter_mut().zip(generations) {
        if io::generation(py, entry.fd) == generation {
            entry.revents = 0;
        } else {
            entry.revents = CLOSED;
            closed = true;
        }
    }
    Ok(if closed { Wake::Closed } else { Wake::Ready })
}

/// A descriptor that can be read when one of `set` is ready. None of them is now; one with events that
/// nobody asked for would make it readable at once, and is left out.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn combine(set: &[libc::pollfd]) -> Result<impl AsRawFd + use<>, i32> {
    use std::os::fd::{FromRawFd, OwnedFd};

    // SAFETY: the descriptor is new and belongs to nobody else.
    let combined = unsafe {
        let fd = libc::epoll_create1(libc::EPOLL_CLOEXEC);
        if fd < 0 {
            return Err(errno());
        }
        OwnedFd::from_raw_fd(fd)
    };
    for entry in set.iter().filter(|entry| entry.revents == 0) {
        let mut event = libc::epoll_event {
            events: u32::from(entry.events as u16),
            u64: 0,
        };
        // SAFETY: the record is read during the call.
        let result = unsafe {
            libc::epoll_ctl(
                combined.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                entry.fd,
                &raw mut event,
            )
        };
        // A file of a kind that is always ready, or never, cannot be added (EPERM).
        if result != 0 && errno() != libc::EPERM {
            return Err(errno());
        }
    }
    Ok(combined)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn combine(set: &[libc::pollfd]) -> Result<impl AsRawFd + use<>, i32> {
    use eventlet_reactor::{Backend, Interest, Poller, Trigger};

    struct Combined(Poller);

    impl AsRawFd for Combined {
        fn as_raw_fd(&self) -> RawFd {
            self.0.as_raw_fd().unwrap_or(-1)
        }
    }

    let failed = |error: std::io::Error| error.raw_os_error().unwrap_or(libc::EIO);
    let mut poller = Poller::new(Backend::best()).map_err(failed)?;
    for entry in set.iter().filter(|entry| entry.revents == 0) {
        let mut interest = Interest::NONE;
        if entry.events & (libc::POLLIN | libc::POLLPRI) != 0 {
            interest |= Interest::READABLE;
        }
        if entry.events & libc::POLLOUT != 0 {
            interest |= Interest::WRITABLE;
        }
        poller
            .add(entry.fd, 0, interest, Trigger::Level)
            .map_err(failed)?;
    }
    Ok(Combined(poller))
}

/// Waits without a hub, with the GIL released.
#[cold]
#[inline(never)]
fn block(
    py: Python<'_>,
    set: &mut [libc::pollfd],
    deadline: Option<u64>,
    asked: Asked,
) -> PyResult<()> {
    while !look(py, set, asked)? {
        // One with events that nobody asked for would end each wait at once. A number below 0 is ignored.
        let mut others = set.to_vec();
        for entry in others.iter_mut().filter(|entry| entry.revents != 0) {
            entry.fd = -1;
        }
        let milliseconds = match deadline {
            None => -1,
            Some(deadline) => match clock::until(clock::now(), deadline) {
                left if left.is_zero() => return Ok(()),
                left => i32::try_from(left.as_micros().div_ceil(1000)).unwrap_or(i32::MAX),
            },
        };
        let result = py.detach(|| {
            let count = others.len() as libc::nfds_t;
            // SAFETY: the vector has that many entries.
            let found = unsafe { libc::poll(others.as_mut_ptr(), count, milliseconds) };
            if found < 0 { Err(errno()) } else { Ok(()) }
        });
        match result {
            Ok(()) => {}
            Err(libc::EINTR) => py.check_signals()?,
            Err(errno) => return Err(errors::os_error(py, errno)),
        }
    }
    Ok(())
}

fn entry(fd: RawFd, events: i16) -> libc::pollfd {
    libc::pollfd {
        fd,
        events,
        revents: 0,
    }
}

/// The descriptor of an object, as `select` finds it.
fn descriptor(object: &Bound<'_, PyAny>) -> PyResult<RawFd> {
    // SAFETY: the object is live.
    match unsafe { ffi::PyObject_AsFileDescriptor(object.as_ptr()) } {
        -1 => Err(PyErr::fetch(object.py())),
        fd => Ok(fd),
    }
}

/// The deadline for a timeout in seconds.
fn deadline(timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Option<u64>> {
    let Some(timeout) = timeout else {
        return Ok(None);
    };
    let seconds: f64 = timeout
        .extract()
        .map_err(|_| PyTypeError::new_err("timeout must be a float or None"))?;
    if seconds.is_nan() {
        return Err(PyValueError::new_err("Invalid value NaN (not a number)"));
    }
    if seconds < 0.0 {
        return Err(PyValueError::new_err("timeout must be non-negative"));
    }
    Ok(Some(clock::after(clock::now(), seconds)))
}

/// What makes `select` call a descriptor readable.
const READABLE: i16 = libc::POLLIN | libc::POLLHUP | libc::POLLERR;
/// What makes `select` call a descriptor writable.
const WRITABLE: i16 = libc::POLLOUT | libc::POLLERR;
/// What `poll.register` asks for if nothing is said.
const ALL: u16 = (libc::POLLIN | libc::POLLPRI | libc::POLLOUT) as u16;
/// No event of the kernel's: it tells one that was closed during the wait from one that was closed before.
const CLOSED_MARK: u16 = 0x8000;
/// What is reported of a descriptor that was closed during the wait.
const CLOSED: i16 = libc::POLLNVAL | CLOSED_MARK as i16;
