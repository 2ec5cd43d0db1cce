//! `Semaphore`, `BoundedSemaphore` and `Lock`: units that green threads take and give back.
//!
//! # Theory of operation
//!
//! The state is a counter and a line of waiters, both in one cell. A unit that is given back while somebody
//! waits never becomes free: it is *handed* to the first waiter, in the same change of the state that takes
//! the waiter out of the line. Two things follow. Whoever comes later cannot snatch it, so units are had in
//! the order in which they were asked for. And a waiter that is no longer in the line when it runs owns a
//! unit, however it was resumed: if it was killed meanwhile, it hands the unit on, and nothing is lost.
//!
//! No change of the state calls Python. So `release` may run anywhere: in a destructor, during a garbage
//! collection, in a signal handler that interrupts another `release`, in another OS thread. A waiter
//! remembers its hub, and is woken through that hub's inbox if it is another thread's.

use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyTuple, PyType};
use pyo3::{PyClassInitializer, PyTypeInfo, intern};

use super::args::{LONGEST, lock_timeout};
use super::waiters::{self, Line, Place, Turn, Waiter, Waiters, by_all_means, wait_for_turn};
use super::watchers::Watchers;
use crate::cell::GilCell;

/// `Semaphore(value=1)`: `value` units that green threads of any OS thread share.
///
/// `acquire` takes a unit and waits while there is none; `release` gives one back. As a context manager it
/// does the one at the beginning and the other at the end. Units are had in the order in which they were
/// asked for.
#[pyclass(frozen, subclass, dict, weakref, module = "eventlet.semaphore")]
pub struct Semaphore {
    state: GilCell<State>,
    watchers: Watchers,
    kind: Kind,
    /// Whether `with` may skip looking for `acquire` and `release`, as no subclass replaces them.
    plain: bool,
}

/// What giving back a unit that nobody has taken means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It adds a unit.
    Counting,
    /// It is a mistake: `ValueError`.
    Bounded,
    /// It is a mistake: `RuntimeError`.
    Lock,
}

struct State {
    counter: i64,
    original: i64,
    serves_hub: bool,
    waiters: Waiters,
}

impl Line for State {
    #[inline]
    fn take(&mut self) -> bool {
        let free = self.counter > 0;
        if free {
            self.counter -= 1;
        }
        free
    }

    fn waiters(&mut self) -> &mut Waiters {
        &mut self.waiters
    }

    fn serves_hub(&self) -> bool {
        self.serves_hub
    }
}

impl State {
    /// Hands a free unit to the first waiter, who is to be woken after the borrow.
    #[inline]
    fn hand(&mut self) -> Option<Waiter> {
        if self.counter <= 0 {
            return None;
        }
        let waiter = self.waiters.pop();
        if waiter.is_some() {
            self.counter -= 1;
        }
        waiter
    }
}

/// Units as a number, from anything that `int()` understands.
fn units(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    let py = value.py();
    let number = py
        .get_type::<PyInt>()
        .call1((value,))
        .map_err(|error| {
            if error.is_instance_of::<PyValueError>(py) {
                PyTypeError::new_err(format!("the number of units is an integer: {error}"))
            } else {
                error
            }
        })?
        .extract::<i64>()?;
    if number < 0 {
        return Err(PyValueError::new_err(format!(
            "there cannot be {number} units, only 0 or more"
        )));
    }
    Ok(number)
}

#[pymethods]
impl Semaphore {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kw), text_signature = "(value=1)")]
    fn py_new(
        cls: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kw: Option<&Bound<'_, PyDict>>,
    ) -> Self {
        Self::new(Kind::Counting, cls.is(Self::type_object(cls.py())))
    }

    #[pyo3(signature = (value = None))]
    fn __init__(&self, py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let value = value.map_or(Ok(1), units)?;
        self.state.with(py, |s| {
            s.counter = value;
            s.original = value;
        });
        Ok(())
    }

    /// The free units. It may be set, and be negative: so many must be given back before one is free.
    #[getter]
    fn counter(&self, py: Python<'_>) -> i64 {
        self.state.with(py, |s| s.counter)
    }

    #[setter]
    fn set_counter(&self, py: Python<'_>, value: i64) {
        self.state.with(py, |s| s.counter = value);
        self.hand_out(py);
    }

    /// The free units, less those that are waited for.
    #[getter]
    fn balance(&self, py: Python<'_>) -> i64 {
        self.state.with(py, |s| s.counter - s.waiters.len() as i64)
    }

    /// The green threads that wait, first come first, as a tuple.
    #[getter]
    fn _waiters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        waiters::greenlets(py, self.state.with(py, |s| s.waiters.clone_ref(py)))
    }

    /// Whether `acquire` would wait.
    pub fn locked(&self, py: Python<'_>) -> bool {
        self.state.with(py, |s| s.counter <= 0)
    }

    /// Whether `release` would wait: never. A `CappedSemaphore` may answer otherwise.
    #[expect(clippy::unused_self, reason = "a method for Python")]
    fn bounded(&self) -> bool {
        false
    }

    /// Gives a unit back: to the first who waits, or for the next who asks. Returns True.
    ///
    /// `blocking` is there for the sake of `CappedSemaphore` and changes nothing.
    #[pyo3(signature = (blocking = None))]
    pub fn release(&self, py: Python<'_>, blocking: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let _ = blocking;
        let kind = self.kind;
        let waiter = self.state.with(py, |s| {
            let surplus = match kind {
                Kind::Counting => false,
                Kind::Bounded => s.counter >= s.original,
                Kind::Lock => s.counter > 0,
            };
            if surplus {
                return Err(());
            }
            s.counter += 1;
            Ok(s.hand())
        });
        match waiter {
            Ok(None) => {
                self.watchers.notify(py);
                Ok(true)
            }
            Ok(Some(waiter)) => {
                waiter.wake(py);
                Ok(true)
            }
            Err(()) => Err(surplus(kind)),
        }
    }

    #[pyo3(signature = (exc_type = None, exc_value = None, traceback = None, /))]
    fn __exit__(
        slf: &Bound<'_, Self>,
        exc_type: Option<&Bound<'_, PyAny>>,
        exc_value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let _ = (exc_type, exc_value, traceback);
        if slf.get().plain {
            slf.get().release(slf.py(), None)?;
        } else {
            slf.call_method0(intern!(slf.py(), "release"))?;
        }
        Ok(())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let (name, counter, waiting) = Self::describe(slf)?;
        let address = slf.as_ptr();
        Ok(format!("<{name} at {address:p} c={counter} _w[{waiting}]>"))
    }

    fn __str__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let (name, counter, waiting) = Self::describe(slf)?;
        Ok(format!("<{name} c={counter} _w[{waiting}]>"))
    }

    /// Has `callback()` called whenever this may have become ready.
    fn _watch(&self, py: Python<'_>, callback: Py<PyAny>) {
        self.watchers.add(py, callback);
    }

    /// Takes a callback of `_watch` back. Returns whether it was there.
    fn _unwatch(&self, callback: &Bound<'_, PyAny>) -> bool {
        self.watchers.remove(callback.py(), callback)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.watchers.traverse(&visit)?;
        self.state
            .peek(|s| s.waiters.traverse(&visit))
            .unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        let waiters = self.state.with(py, |s| s.waiters.take());
        drop(waiters);
        self.watchers.clear(py);
    }
}

impl Semaphore {
    fn new(kind: Kind, plain: bool) -> Self {
        Self {
            state: GilCell::new(State {
                counter: 1,
                original: 1,
                serves_hub: matches!(kind, Kind::Lock),
                waiters: Waiters::default(),
            }),
            watchers: Watchers::new(),
            kind,
            plain,
        }
    }

    fn describe(slf: &Bound<'_, Self>) -> PyResult<(String, i64, usize)> {
        let name = slf.get_type().name()?.to_string();
        let (counter, waiting) = slf
            .get()
            .state
            .with(slf.py(), |s| (s.counter, s.waiters.len()));
        Ok((name, counter, waiting))
    }

    /// Hands free units to waiters, for as long as there are both.
    fn hand_out(&self, py: Python<'_>) {
        while let Some(waiter) = self.state.with(py, State::hand) {
            waiter.wake(py);
        }
        self.watchers.notify(py);
    }

    /// Takes a unit, for a caller who cannot go on without: what is thrown into it meanwhile is raised when it
    /// has one.
    pub fn acquire_by_all_means(&self, py: Python<'_>) -> PyResult<()> {
        if self.state.with(py, State::take) {
            return Ok(());
        }
        by_all_means(py, || self.wait(py, None))?
    }

    /// Whether no subclass replaces the methods.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.plain
    }

    /// The time limit of a wait, from the arguments of `acquire`.
    #[inline]
    pub(super) fn limit(&self, blocking: bool, timeout: Option<f64>) -> PyResult<Option<f64>> {
        // Only locks have a longest timeout.
        let endless = |timeout: &f64| self.kind != Kind::Lock && *timeout > LONGEST;
        lock_timeout(blocking, timeout.filter(|timeout| !endless(timeout)))
    }

    /// Takes a unit; false if none is free.
    #[inline]
    pub(super) fn try_take(&self, py: Python<'_>) -> bool {
        self.state.with(py, State::take)
    }

    /// Begins to wait for a unit, for `timeout` seconds at the most.
    pub(super) fn queue_up(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Turn> {
        Place::take(py, &self.state, timeout, || self.give_back(py))
    }

    /// Goes on after a switch.
    pub(super) fn go_on(
        &self,
        py: Python<'_>,
        place: Place,
        switched: PyResult<Bound<'_, PyAny>>,
    ) -> PyResult<Turn> {
        place.go_on(py, &self.state, switched, || self.give_back(py))
    }

    /// Waits for a unit; false if the time is up first.
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        wait_for_turn(py, &self.state, timeout, || self.give_back(py))
    }

    /// Hands on a unit that the caller was handed and will not use.
    fn give_back(&self, py: Python<'_>) {
        self.state.with(py, |s| s.counter += 1);
        self.hand_out(py);
    }
}

#[cold]
fn surplus(kind: Kind) -> PyErr {
    match kind {
        Kind::Lock => PyRuntimeError::new_err("release unlocked lock"),
        _ => PyValueError::new_err("Semaphore released too many times"),
    }
}

/// `BoundedSemaphore(value=1)`: a semaphore that notices when it is given more units than were taken.
///
/// `release` raises `ValueError` then, since it is a mistake in the program.
#[pyclass(frozen, subclass, extends = Semaphore, module = "eventlet.semaphore")]
pub struct BoundedSemaphore;

#[pymethods]
impl BoundedSemaphore {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kw), text_signature = "(value=1)")]
    fn py_new(
        cls: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kw: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        let plain = cls.is(Self::type_object(cls.py()));
        PyClassInitializer::from(Semaphore::new(Kind::Bounded, plain)).add_subclass(Self)
    }

    /// The units there were at the beginning, and never are more.
    #[getter]
    fn original_counter(slf: &Bound<'_, Self>) -> i64 {
        slf.as_super().get().state.with(slf.py(), |s| s.original)
    }
}

/// `Lock()`: what `threading.Lock` is, for green threads of any OS thread.
///
/// Releasing one that is not locked raises `RuntimeError`. Whoever releases it need not be the one who
/// acquired it.
#[pyclass(frozen, subclass, extends = Semaphore, module = "eventlet.lock")]
pub struct Lock;

#[pymethods]
impl Lock {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kw), text_signature = "(value=1)")]
    fn py_new(
        cls: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kw: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        let plain = cls.is(Self::type_object(cls.py()));
        PyClassInitializer::from(Semaphore::new(Kind::Lock, plain)).add_subclass(Self)
    }

    /// An old name of `release`.
    fn release_lock(slf: &Bound<'_, Self>) -> PyResult<bool> {
        slf.as_super().get().release(slf.py(), None)
    }

    /// An old name of `locked`.
    fn locked_lock(slf: &Bound<'_, Self>) -> bool {
        slf.as_super().get().locked(slf.py())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let this = slf.as_super().get();
        let (locked, waiting) = this
            .state
            .with(slf.py(), |s| (s.counter <= 0, s.waiters.len()));
        let state = if locked { "locked" } else { "unlocked" };
        let name = slf.get_type().fully_qualified_name()?;
        let address = slf.as_ptr();
        Ok(format!(
            "<{state} {name} object at {address:p} _w[{waiting}]>"
        ))
    }

    /// In a forked child: unlocks it, whoever holds it.
    ///
    /// The green threads of this OS thread live on in the child, so those that wait get their turn. Other
    /// OS threads do not, so theirs are forgotten.
    fn _at_fork_reinit(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let this = slf.as_super().get();
        let gone = this.state.with(py, |s| {
            s.counter = 1;
            s.waiters.take_others()
        });
        drop(gone);
        this.hand_out(py);
    }
}
