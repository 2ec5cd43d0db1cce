//! The hub: one event loop per OS thread.
//!
//! # Theory of operation
//!
//! A hub is a greenlet that runs [`Hub::run`] and everything that decides who runs next. Green threads are
//! its children: when one ends, the hub continues. Its loop is a sequence of *turns*:
//!
//! 1. take in what other threads have sent ([`inbox`]);
//! 2. open a round: due timers and what was queued since the last one ([`scheduler`]);
//! 3. poll the descriptors, without waiting if the round has anything in it ([`io`]);
//! 4. run the round.
//!
//! A green thread waits by making a [`park::Park`], leaving its id with whatever will wake it, and calling
//! [`Hub::switch_out`], which switches to the next green thread of the round or to the hub ([`wait`]).
//!
//! A hub that a program has written in Python has a native one for a guest, behind which it does the turns
//! ([`guest`]). A class that derives from the native one and replaces some of its methods has those called
//! ([`Hooks`]).
//!
//! The state is in cells that belong to the holder of the GIL. The rule that keeps this sound, here and in
//! all of this crate: **no borrow is alive while Python code runs or greenlets switch**. Values are moved
//! out, the borrow ends, and only then they are called or dropped.

mod close;
pub mod entry;
mod guest;
pub mod inbox;
pub mod io;
pub mod listener;
mod nested;
mod numbers;
pub mod park;
mod python;
pub mod scheduler;
mod signals;
pub mod timer;
mod turn;
mod views;
pub mod wait;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use eventlet_greenlet::{Greenlet, GreenletRef};
use eventlet_reactor::{Backend, Event, Poller};
use pyo3::PyTypeInfo;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use self::guest::Guest;
use self::inbox::Inbox;
use self::io::Io;
use self::scheduler::Scheduler;
use crate::cell::GilCell;
use crate::{clock, errors};

pub use self::park::{ParkId, Wake};

/// Counters that a hub keeps for `stats()`.
#[derive(Default)]
pub struct Counters {
    pub switches: Counter,
    pub turns: Counter,
    pub polls: Counter,
    pub spawned: Counter,
    pub finished: Counter,
}

/// A number that only goes up; written with the GIL held, read by anyone.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    #[inline]
    pub fn add(&self) {
        // The GIL is held, so a load and a store do what a locked add would, at a fraction of the cost.
        self.0
            .store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The event loop of one OS thread.
///
/// `Hub(backend=None)`: `backend` is `"epoll"`, `"poll"`, `"select"` or `"kqueue"`; by default the best that
/// the platform has. Programs do not make hubs: `eventlet.hubs.get_hub()` answers the thread's own.
#[pyclass(frozen, subclass, weakref, module = "eventlet._core")]
pub struct Hub {
    pub(crate) scheduler: GilCell<Scheduler>,
    pub(crate) io: GilCell<Io>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) counters: Counters,
    greenlet: GilCell<Option<Greenlet>>,
    /// The greenlet that ran the loop before, or the host's: somebody may be about to switch to it.
    kept: GilCell<Option<Greenlet>>,
    /// What a poll has found; kept for its memory, empty between polls.
    events: GilCell<Vec<Event>>,
    backend: Backend,
    running: AtomicBool,
    /// Whether it is `greenlet` that runs the loop, and so cannot have ended.
    alive: AtomicBool,
    /// Whether it sleeps in its poll, or is about to: nobody of its thread holds anybody up then.
    asleep: AtomicBool,
    /// Whether its poller reports signals.
    handles_signals: AtomicBool,
    /// Whether the loop has lent the processor to a green thread, with nothing of its own left half done.
    lent: AtomicBool,
    stopping: AtomicBool,
    closed: AtomicBool,
    debug_exceptions: AtomicBool,
    debug_blocking: AtomicBool,
    /// Whether waking somebody takes more than queueing them: the hub is closed, or a guest.
    special: AtomicBool,
    hooks: Hooks,
    /// The class of the listeners that `add` makes, if it is not `FdListener`.
    listener_class: GilCell<Option<Py<PyAny>>>,
    /// The hub in Python that this one is behind.
    guest: Option<Guest>,
}

/// What the class of a hub defines itself, instead of the native methods.
#[derive(Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each method")]
struct Hooks {
    /// `add` or `remove`.
    io: bool,
    run: bool,
    switch: bool,
    wait: bool,
}

impl Hooks {
    fn of(cls: &Bound<'_, PyType>) -> PyResult<Self> {
        let base = Hub::type_object(cls.py());
        let differs = |name: &str| Ok::<_, PyErr>(!cls.getattr(name)?.is(base.getattr(name)?));
        Ok(Self {
            io: differs("add")? || differs("remove")?,
            run: differs("run")?,
            switch: differs("switch")?,
            wait: differs("wait")?,
        })
    }
}

impl Hub {
    fn with_backend(backend: Option<&str>, hooks: Hooks, guest: Option<Guest>) -> PyResult<Self> {
        let backend = match backend {
            None => Backend::best(),
            Some(name) => {
                let found = Backend::available()
                    .iter()
                    .find(|backend| backend.name() == name);
                *found.ok_or_else(|| {
                    let names: Vec<_> = Backend::available().iter().map(|b| b.name()).collect();
                    PyValueError::new_err(format!(
                        "this platform has no {name:?} hub; it has {}",
                        names.join(", ")
                    ))
                })?
            }
        };
        Python::attach(|py| {
            let failed = |error: std::io::Error| errors::io_error(py, &error);
            let inbox = Inbox::new().map_err(failed)?;
            let mut poller = Poller::new(backend).map_err(failed)?;
            inbox.register(&mut poller).map_err(failed)?;
            // A guest does not sleep.
            let handles_signals = guest.is_none() && signals::register(py, &mut poller)?;
            Ok(Self {
                scheduler: GilCell::new(Scheduler::new(clock::now())),
                io: GilCell::new(Io::new(poller)),
                inbox,
                counters: Counters::default(),
                greenlet: GilCell::new(None),
                kept: GilCell::new(None),
                events: GilCell::new(Vec::new()),
                backend,
                running: AtomicBool::new(false),
                alive: AtomicBool::new(false),
                asleep: AtomicBool::new(false),
                handles_signals: AtomicBool::new(handles_signals),
                lent: AtomicBool::new(false),
                stopping: AtomicBool::new(false),
                closed: AtomicBool::new(false),
                debug_exceptions: AtomicBool::new(true),
                debug_blocking: AtomicBool::new(false),
                special: AtomicBool::new(guest.is_some()),
                hooks,
                listener_class: GilCell::new(None),
                guest,
            })
        })
    }

    /// The greenlet that runs the loop, made anew if the last one has ended.
    #[inline]
    pub(crate) fn ensure_greenlet(slf: &Bound<'_, Self>) -> PyResult<Greenlet> {
        let py = slf.py();
        let this = slf.get();
        let present = this
            .greenlet
            .with(py, |g| g.as_ref().map(|g| g.clone_ref(py)));
        match present {
            Some(greenlet) if this.alive.load(Ordering::Relaxed) || !greenlet.is_dead() => {
                Ok(greenlet)
            }
            dead => Self::renew_greenlet(slf, dead),
        }
    }

    /// As [`ensure_greenlet`](Self::ensure_greenlet), without a reference: the hub keeps it alive until a switch
    /// that follows at once, even if it ends before that.
    #[inline]
    fn loop_greenlet(slf: &Bound<'_, Self>) -> PyResult<GreenletRef> {
        let this = slf.get();
        if this.alive.load(Ordering::Relaxed) {
            let own = this
                .greenlet
                .with(slf.py(), |g| g.as_ref().map(Greenlet::borrow));
            if let Some(own) = own {
                return Ok(own);
            }
        }
        Self::keep_greenlet(slf)
    }

    #[cold]
    #[inline(never)]
    fn keep_greenlet(slf: &Bound<'_, Self>) -> PyResult<GreenletRef> {
        let py = slf.py();
        let greenlet = Self::ensure_greenlet(slf)?;
        let borrowed = greenlet.borrow();
        drop(slf.get().kept.replace(py, Some(greenlet)));
        Ok(borrowed)
    }

    #[cold]
    #[inline(never)]
    fn renew_greenlet(slf: &Bound<'_, Self>, dead: Option<Greenlet>) -> PyResult<Greenlet> {
        let py = slf.py();
        if slf.get().closed.load(Ordering::Relaxed) {
            return Err(close::closed_error());
        }
        if let Some(guest) = &slf.get().guest {
            return guest.greenlet(py);
        }
        if !slf.get().is_mine() {
            return Err(PyRuntimeError::new_err(
                "the hub belongs to another thread, where it has not run yet",
            ));
        }
        // An error that ends the loop must surface in the main greenlet, whoever happened to wait first.
        let mut root = Greenlet::current(py)?;
        while let Some(parent) = root.parent(py) {
            root = parent;
        }
        let fresh = Greenlet::new(py, slf.getattr("run")?.as_any(), &root)?;
        if let Some(dead) = dead {
            // The children of the old greenlet continue in their parent when they end, dead or not; this
            // leads them to the new one.
            dead.set_parent(py, &fresh)?;
        }
        let old = slf.get().greenlet.replace(py, Some(fresh.clone_ref(py)));
        drop(slf.get().kept.replace(py, old));
        Ok(fresh)
    }

    /// Whether `greenlet` is the one that runs the loop.
    #[inline]
    pub(crate) fn is_hub_greenlet(&self, py: Python<'_>, greenlet: &Greenlet) -> bool {
        let own = self
            .greenlet
            .with(py, |own| own.as_ref().map(|own| own.is(greenlet)));
        own.unwrap_or_else(|| self.is_host_greenlet(py, greenlet))
    }

    /// Whether this hub belongs to the calling thread.
    #[inline]
    pub(crate) fn is_mine(&self) -> bool {
        self.inbox.is_mine()
    }

    /// Whether its thread has another hub now, or ends.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// After something was queued: lets a hub of another thread, which may be asleep, look at it.
    #[inline]
    pub(crate) fn nudge(&self, py: Python<'_>) {
        if !self.is_mine() {
            self.inbox.wake();
        } else if self.guest.is_some() {
            self.arm_or_report(py);
        }
    }

    /// After something was queued by this thread: a guest has its host look at it.
    #[inline]
    pub(crate) fn queued(&self, py: Python<'_>) {
        if self.guest.is_some() {
            self.arm_or_report(py);
        }
    }

    /// Wakes a parked green thread, from any thread that holds the GIL.
    #[inline]
    pub(crate) fn wake(&self, py: Python<'_>, id: ParkId, wake: Wake) {
        if self.special.load(Ordering::Relaxed) {
            self.wake_specially(py, id, wake);
        } else if self.is_mine() {
            self.scheduler.with(py, |s| s.wake(id, wake));
        } else {
            self.inbox.send(inbox::Message::Wake(id, wake));
        }
    }

    #[cold]
    #[inline(never)]
    fn wake_specially(&self, py: Python<'_>, id: ParkId, wake: Wake) {
        if self.closed.load(Ordering::Relaxed) {
            self.hand_over(py, id, wake);
        } else if self.is_mine() {
            self.scheduler.with(py, |s| s.wake(id, wake));
            self.arm_or_report(py);
        } else {
            self.inbox.send(inbox::Message::Wake(id, wake));
        }
    }
}

thread_local! {
    // A reference that the thread owns, or null while it has no hub. It has no destructor: that would run
    // when the interpreter is gone in the main thread, and `close` sees to the hubs of the others.
    static CURRENT: Cell<*mut pyo3::ffi::PyObject> = const { Cell::new(std::ptr::null_mut()) };
}

/// Makes `hub` the hub of this thread and returns the one that was.
pub fn set_current(py: Python<'_>, hub: Option<Py<Hub>>) -> Option<Py<Hub>> {
    let pointer = hub.map_or(std::ptr::null_mut(), Py::into_ptr);
    let old = CURRENT.replace(pointer);
    // SAFETY: the pointer is null or a reference that this function was given, which is given back.
    let old = unsafe { Bound::from_owned_ptr_or_opt(py, old) };
    // SAFETY: it is a `Hub`, as this function takes nothing else.
    old.map(|old| unsafe { old.cast_into_unchecked() }.unbind())
}

/// The hub of this thread, made if there is none.
///
/// # Errors
///
/// What `eventlet.hubs` raises when it cannot make one, such as for an unknown `EVENTLET_HUB`.
#[inline]
pub fn current(py: Python<'_>) -> PyResult<Bound<'_, Hub>> {
    let pointer = CURRENT.get();
    if pointer.is_null() {
        return make_current(py);
    }
    // SAFETY: `CURRENT` owns a reference to what it points to, and that is a `Hub` because `set_current`
    // takes nothing else.
    Ok(unsafe { Bound::from_borrowed_ptr(py, pointer).cast_into_unchecked() })
}

/// The hub of this thread, if there is one.
pub fn existing(py: Python<'_>) -> Option<Bound<'_, Hub>> {
    if CURRENT.get().is_null() {
        None
    } else {
        current(py).ok()
    }
}

/// Notes that the number `fd` changes hands: it is about to be closed, or was just opened. Whoever waits
/// for it, on any hub, is told that it was closed.
pub fn closing(py: Python<'_>, fd: std::os::fd::RawFd) {
    let generation = io::next_generation(py, fd);
    let own = existing(py);
    let own = own.as_ref().map(Bound::get);
    if let Some(hub) = own {
        hub.release(py, fd);
        hub.tell_host(py, fd);
    }
    inbox::broadcast_closed(own.map(|hub| &*hub.inbox), fd, generation);
}

#[cold]
#[inline(never)]
fn make_current(py: Python<'_>) -> PyResult<Bound<'_, Hub>> {
    static USE_HUB: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    USE_HUB.import(py, "eventlet.hubs", "use_hub")?.call0()?;
    match CURRENT.get() {
        pointer if pointer.is_null() => Err(PyRuntimeError::new_err(
            "eventlet.hubs.use_hub() made no hub",
        )),
        // SAFETY: as in `current`.
        pointer => Ok(unsafe { Bound::from_borrowed_ptr(py, pointer).cast_into_unchecked() }),
    }
}

/// Adds the hub's classes and functions to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    python::add_to(module)
}
