//! `Condition`: waiting until somebody says that something has changed.
//!
//! A waiter takes a *ticket* and stands in line with it before it releases the lock, so that it misses nothing
//! that happens from then on. To notify is to take the first ticket out of the line. So a waiter whose ticket
//! is gone was notified, whatever else has happened to it; if it was killed it hands that on to the next. A
//! ticket is all there is at first: what the waiter parks on is added when it parks, since releasing a lock
//! that is not one of ours may run anything.

use std::collections::VecDeque;

use eventlet_greenlet::Greenlet;
use pyo3::exceptions::{PyDeprecationWarning, PyRuntimeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyTuple, PyType};
use pyo3::{PyTypeInfo, intern};

use super::args::deadline;
use super::rlock::RLock;
use super::semaphore::{Lock, Semaphore};
use super::waiters::{Waiter, wait_in_line};
use crate::cell::GilCell;
use crate::clock;
use crate::hub::{self, Hub, Wake};

/// `Condition(lock=None)`: what `threading.Condition` is, for green threads of any OS thread.
///
/// `lock` is any lock, by default a new `RLock`. Who waits is notified in the order in which they came.
#[pyclass(frozen, subclass, dict, weakref, module = "eventlet.lock")]
pub struct Condition {
    state: GilCell<State>,
    /// Whether the class replaces none of the methods that this one uses.
    plain: bool,
}

#[derive(Default)]
struct State {
    lock: Option<Guard>,
    next: u64,
    line: VecDeque<Place>,
}

/// Somebody who waits.
struct Place {
    ticket: u64,
    /// None while they have not parked yet.
    waiter: Option<Waiter>,
}

/// The lock.
enum Guard {
    Native(Py<RLock>),
    Plain(Py<Lock>),
    Other(Py<PyAny>),
}

/// What a lock that was released is taken again with.
enum Saved {
    Native((u64, u64)),
    Plain,
    Other(Py<PyAny>),
}

impl Guard {
    fn new(lock: Bound<'_, PyAny>) -> Self {
        let lock = match lock.cast_into_exact::<RLock>() {
            Ok(lock) => return Self::Native(lock.unbind()),
            Err(error) => error.into_inner(),
        };
        match lock.cast_into_exact::<Lock>() {
            Ok(lock) => Self::Plain(lock.unbind()),
            Err(error) => Self::Other(error.into_inner().unbind()),
        }
    }

    fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Native(lock) => Self::Native(lock.clone_ref(py)),
            Self::Plain(lock) => Self::Plain(lock.clone_ref(py)),
            Self::Other(lock) => Self::Other(lock.clone_ref(py)),
        }
    }

    fn object<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        match self {
            Self::Native(lock) => lock.bind(py).clone().into_any(),
            Self::Plain(lock) => lock.bind(py).clone().into_any(),
            Self::Other(lock) => lock.bind(py).clone(),
        }
    }

    fn is_owned(&self, py: Python<'_>) -> PyResult<bool> {
        match self {
            Self::Native(lock) => lock.get().is_owned(py),
            Self::Plain(lock) => Ok(lock.bind(py).as_super().get().locked(py)),
            Self::Other(lock) => {
                let lock = lock.bind(py);
                if let Some(answer) = lock.getattr_opt(intern!(py, "_is_owned"))? {
                    return answer.call0()?.is_truthy();
                }
                // All that can be told of such a lock is whether somebody has it.
                if lock
                    .call_method1(intern!(py, "acquire"), (false,))?
                    .is_truthy()?
                {
                    lock.call_method0(intern!(py, "release"))?;
                    return Ok(false);
                }
                Ok(true)
            }
        }
    }

    fn release_save(&self, py: Python<'_>) -> PyResult<Saved> {
        match self {
            Self::Native(lock) => lock.get().release_save(py).map(Saved::Native),
            Self::Plain(lock) => {
                lock.bind(py).as_super().get().release(py, None)?;
                Ok(Saved::Plain)
            }
            Self::Other(lock) => {
                let lock = lock.bind(py);
                if let Some(release) = lock.getattr_opt(intern!(py, "_release_save"))? {
                    return Ok(Saved::Other(release.call0()?.unbind()));
                }
                lock.call_method0(intern!(py, "release"))?;
                Ok(Saved::Plain)
            }
        }
    }

    fn acquire_restore(&self, py: Python<'_>, saved: Saved) -> PyResult<()> {
        match (self, saved) {
            (Self::Native(lock), Saved::Native(state)) => lock.get().acquire_restore(py, state),
            (Self::Plain(lock), _) => {
                let lock: &Semaphore = lock.bind(py).as_super().get();
                lock.acquire_by_all_means(py)
            }
            (_, Saved::Other(state)) => self
                .object(py)
                .call_method1(intern!(py, "_acquire_restore"), (state,))
                .map(drop),
            (_, _) => self
                .object(py)
                .call_method0(intern!(py, "acquire"))
                .map(drop),
        }
    }
}

impl Saved {
    fn into_object(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        match self {
            Self::Native(state) => Ok(state.into_pyobject(py)?.into_any()),
            Self::Plain => Ok(py.None().into_bound(py)),
            Self::Other(state) => Ok(state.into_bound(py)),
        }
    }

    fn from_object(lock: &Guard, object: Bound<'_, PyAny>) -> PyResult<Self> {
        match lock {
            Guard::Native(_) => object.extract().map(Self::Native),
            _ if object.is_none() => Ok(Self::Plain),
            _ => Ok(Self::Other(object.unbind())),
        }
    }
}

impl State {
    /// Takes a ticket and stands in line.
    fn enter(&mut self) -> u64 {
        let ticket = self.next;
        self.next += 1;
        let waiter = None;
        self.line.push_back(Place { ticket, waiter });
        ticket
    }

    /// The place of a ticket, if it was not notified.
    fn find(&mut self, ticket: u64) -> Option<usize> {
        let found = self
            .line
            .binary_search_by_key(&ticket, |place| place.ticket);
        found.ok()
    }

    /// Leaves the line; none if it was notified.
    fn leave(&mut self, ticket: u64) -> Option<Place> {
        let index = self.find(ticket)?;
        self.line.remove(index)
    }

    /// Notes what a waiter parks on; gives it back if it was notified.
    fn park(&mut self, ticket: u64, waiter: Waiter) -> Option<Waiter> {
        match self.find(ticket) {
            // There is none to drop, as it parks for the first time.
            Some(index) => self.line[index].waiter.replace(waiter),
            None => Some(waiter),
        }
    }
}

#[pymethods]
impl Condition {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kw), text_signature = "(lock=None)")]
    fn py_new(
        cls: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kw: Option<&Bound<'_, PyDict>>,
    ) -> Self {
        Self {
            state: GilCell::new(State::default()),
            plain: cls.is(Self::type_object(cls.py())),
        }
    }

    #[pyo3(signature = (lock = None))]
    fn __init__(&self, py: Python<'_>, lock: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let guard = match lock {
            Some(lock) => Guard::new(lock),
            None => Guard::Native(Py::new(py, RLock::new())?),
        };
        let old = self.state.with(py, |s| s.lock.replace(guard));
        drop(old);
        Ok(())
    }

    /// The lock.
    #[getter]
    fn _lock<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.guard(py)?.object(py))
    }

    /// Those who wait, first come first: a tuple of green threads, with None for one that is about to.
    #[getter]
    fn _waiters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let waiters: Vec<_> = self.state.with(py, |s| {
            let waiters = s.line.iter().map(|place| &place.waiter);
            waiters
                .map(|waiter| waiter.as_ref().map(|waiter| waiter.clone_ref(py)))
                .collect()
        });
        let greenlets = waiters
            .into_iter()
            .map(|waiter| waiter.and_then(|waiter| waiter.greenlet(py)));
        PyTuple::new(py, greenlets.collect::<Vec<_>>())
    }

    /// `acquire` of the lock.
    #[pyo3(signature = (*args, **kw))]
    fn acquire<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kw: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let guard = self.guard(py)?;
        if let Guard::Native(lock) = &guard
            && args.is_empty()
            && kw.is_none()
        {
            let entered = lock.get().__enter__(py)?;
            return Ok(entered.into_pyobject(py)?.to_owned().into_any());
        }
        let lock = guard.object(py);
        lock.call_method(intern!(py, "acquire"), args, kw)
    }

    /// `release` of the lock.
    fn release<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let lock = self.guard(py)?.object(py);
        lock.call_method0(intern!(py, "release"))
    }

    fn __enter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.guard(py)? {
            Guard::Native(lock) => {
                let entered = lock.get().__enter__(py)?;
                Ok(entered.into_pyobject(py)?.to_owned().into_any())
            }
            Guard::Plain(lock) if lock.bind(py).as_super().get().try_take(py) => {
                Ok(PyBool::new(py, true).to_owned().into_any())
            }
            lock => lock.object(py).call_method0(intern!(py, "__enter__")),
        }
    }

    #[pyo3(signature = (exc_type = None, exc_value = None, traceback = None, /))]
    fn __exit__<'py>(
        &self,
        py: Python<'py>,
        exc_type: Option<Bound<'py, PyAny>>,
        exc_value: Option<Bound<'py, PyAny>>,
        traceback: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match self.guard(py)? {
            Guard::Native(lock) => {
                lock.get().release(py)?;
                Ok(py.None().into_bound(py))
            }
            Guard::Plain(lock) => {
                lock.bind(py).as_super().get().release(py, None)?;
                Ok(py.None().into_bound(py))
            }
            Guard::Other(lock) => {
                let args = (exc_type, exc_value, traceback);
                lock.bind(py).call_method1(intern!(py, "__exit__"), args)
            }
        }
    }

    /// Whether the caller holds the lock; whether anybody does, for a lock that knows no more.
    fn _is_owned(&self, py: Python<'_>) -> PyResult<bool> {
        self.guard(py)?.is_owned(py)
    }

    /// Releases the lock altogether. Returns what `_acquire_restore` takes.
    fn _release_save<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.guard(py)?.release_save(py)?.into_object(py)
    }

    /// Takes the lock as often as it was held.
    fn _acquire_restore(&self, py: Python<'_>, state: Bound<'_, PyAny>) -> PyResult<()> {
        let guard = self.guard(py)?;
        let saved = Saved::from_object(&guard, state)?;
        guard.acquire_restore(py, saved)
    }

    /// In a forked child: `_at_fork_reinit` of the lock. Waiters of other OS threads are forgotten.
    fn _at_fork_reinit(&self, py: Python<'_>) -> PyResult<()> {
        let gone = self.state.with(py, |s| {
            let line = std::mem::take(&mut s.line);
            let (mine, gone): (VecDeque<_>, VecDeque<_>) = line.into_iter().partition(|place| {
                let waiter = place.waiter.as_ref();
                waiter.is_none_or(|waiter| waiter.hub.get().is_mine())
            });
            s.line = mine;
            gone
        });
        drop(gone);
        let lock = self.guard(py)?.object(py);
        lock.call_method0(intern!(py, "_at_fork_reinit")).map(drop)
    }

    /// Releases the lock, waits until somebody notifies, and takes the lock again. Returns whether somebody has.
    ///
    /// `timeout` is the longest wait in seconds; None waits for ever. Raises `RuntimeError` if the caller does
    /// not hold the lock, or is the hub, which cannot wait. The caller holds the lock again when this returns or
    /// raises.
    #[pyo3(signature = (timeout = None))]
    fn wait(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        // While the interpreter shuts down there is nothing to switch to, and nobody to wait for.
        let Ok(greenlet) = Greenlet::current(py) else {
            return Ok(false);
        };
        let hub = hub::current(py)?;
        Self::check_owned(slf, "cannot wait on un-acquired lock")?;
        Hub::waiting_greenlet(&hub)?;
        let ticket = this.state.with(py, State::enter);
        let saved = Self::released(slf).inspect_err(|_| this.leave(py, ticket))?;
        let result = Self::park(slf, &hub, &greenlet, ticket, timeout);
        let place = this.state.with(py, |s| s.leave(ticket));
        let notified = place.is_none();
        drop(place);
        let restored = Self::restored(slf, saved);
        if notified && (result.is_err() || restored.is_err()) {
            // Somebody else is to deal with what has changed.
            this.notify_first(py);
        }
        result?;
        restored?;
        Ok(notified)
    }

    /// Waits until `predicate()` is true, looking again whenever somebody notifies. Returns its last value.
    ///
    /// `timeout` is the longest wait in seconds; None waits for ever.
    #[pyo3(signature = (predicate, timeout = None))]
    fn wait_for<'py>(
        slf: &Bound<'py, Self>,
        predicate: &Bound<'py, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let deadline = deadline(timeout);
        loop {
            let value = predicate.call0()?;
            if value.is_truthy()? {
                return Ok(value);
            }
            let left = deadline.map(|deadline| clock::until(clock::now(), deadline).as_secs_f64());
            if left.is_some_and(|left| left <= 0.0) {
                return Ok(value);
            }
            if slf.get().plain {
                Self::wait(slf, left)?;
            } else {
                slf.call_method1(intern!(slf.py(), "wait"), (left,))?;
            }
        }
    }

    /// Notifies the first `n` of those who wait. Raises `RuntimeError` if the caller does not hold the lock.
    #[pyo3(signature = (n = 1))]
    fn notify(slf: &Bound<'_, Self>, n: i64) -> PyResult<()> {
        Self::check_owned(slf, "cannot notify on un-acquired lock")?;
        for _ in 0..n {
            if !slf.get().notify_first(slf.py()) {
                break;
            }
        }
        Ok(())
    }

    /// Notifies everybody who waits. Raises `RuntimeError` if the caller does not hold the lock.
    fn notify_all(slf: &Bound<'_, Self>) -> PyResult<()> {
        let waiting = slf.get().state.with(slf.py(), |s| s.line.len()) as i64;
        if slf.get().plain {
            return Self::notify(slf, waiting);
        }
        slf.call_method1(intern!(slf.py(), "notify"), (waiting,))
            .map(drop)
    }

    /// An old name of `notify_all`.
    #[pyo3(name = "notifyAll")]
    fn notify_all_by_its_old_name(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let warning = py.get_type::<PyDeprecationWarning>();
        PyErr::warn(
            py,
            &warning,
            c"notifyAll() is an old name of notify_all()",
            1,
        )?;
        Self::notify_all(slf)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let waiting = slf.get().state.with(slf.py(), |s| s.line.len());
        let lock = slf.get().guard(slf.py())?.object(slf.py()).repr()?;
        let name = slf.get_type().name()?;
        Ok(format!("<{name}({lock}, {waiting})>"))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.state
            .peek(|s| {
                match &s.lock {
                    Some(Guard::Native(lock)) => visit.call(lock)?,
                    Some(Guard::Plain(lock)) => visit.call(lock)?,
                    Some(Guard::Other(lock)) => visit.call(lock)?,
                    None => {}
                }
                let mut waiters = s.line.iter().filter_map(|place| place.waiter.as_ref());
                waiters.try_for_each(|waiter| visit.call(&waiter.hub))
            })
            .unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        drop(self.state.take(py));
    }
}

impl Condition {
    fn guard(&self, py: Python<'_>) -> PyResult<Guard> {
        let guard = self
            .state
            .with(py, |s| s.lock.as_ref().map(|lock| lock.clone_ref(py)));
        guard.ok_or_else(|| PyRuntimeError::new_err("Condition.__init__() was not called"))
    }

    fn check_owned(slf: &Bound<'_, Self>, otherwise: &'static str) -> PyResult<()> {
        let py = slf.py();
        let owned = if slf.get().plain {
            slf.get().guard(py)?.is_owned(py)?
        } else {
            slf.call_method0(intern!(py, "_is_owned"))?.is_truthy()?
        };
        if owned {
            Ok(())
        } else {
            Err(PyRuntimeError::new_err(otherwise))
        }
    }

    fn released(slf: &Bound<'_, Self>) -> PyResult<Saved> {
        let py = slf.py();
        if slf.get().plain {
            return slf.get().guard(py)?.release_save(py);
        }
        let state = slf.call_method0(intern!(py, "_release_save"))?;
        Ok(Saved::Other(state.unbind()))
    }

    fn restored(slf: &Bound<'_, Self>, saved: Saved) -> PyResult<()> {
        let py = slf.py();
        if slf.get().plain {
            return slf.get().guard(py)?.acquire_restore(py, saved);
        }
        let state = saved.into_object(py)?;
        slf.call_method1(intern!(py, "_acquire_restore"), (state,))
            .map(drop)
    }

    /// Parks until the ticket is notified or the time is up.
    fn park(
        slf: &Bound<'_, Self>,
        hub: &Bound<'_, Hub>,
        greenlet: &Greenlet,
        ticket: u64,
        timeout: Option<f64>,
    ) -> PyResult<Wake> {
        let py = slf.py();
        let this = slf.get();
        let deadline = deadline(timeout);
        let parking = hub.get().park(py, greenlet, deadline);
        let waiter = Waiter {
            hub: hub.clone().unbind(),
            id: parking.id,
        };
        if let Some(waiter) = this.state.with(py, |s| s.park(ticket, waiter)) {
            hub.get().unpark(py, parking.id);
            drop(waiter);
            return Ok(Wake::Ready);
        }
        let (_, result) = wait_in_line(hub, greenlet, parking, deadline, |_, new| {
            this.state.with(py, |s| {
                let index = s.find(ticket);
                let waiter = index.and_then(|index| s.line[index].waiter.as_mut());
                waiter.is_some_and(|waiter| {
                    waiter.id = new;
                    true
                })
            })
        });
        result
    }

    /// Gives up waiting; if it was notified meanwhile, that is for the next.
    fn leave(&self, py: Python<'_>, ticket: u64) {
        let place = self.state.with(py, |s| s.leave(ticket));
        if place.is_none() {
            self.notify_first(py);
        }
    }

    /// Notifies the first who waits; false if nobody does.
    fn notify_first(&self, py: Python<'_>) -> bool {
        match self.state.with(py, |s| s.line.pop_front()) {
            Some(place) => {
                if let Some(waiter) = place.waiter {
                    waiter.wake(py);
                }
                true
            }
            None => false,
        }
    }
}
