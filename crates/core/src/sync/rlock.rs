//! `RLock`: a lock that its owner may take again.
//!
//! The owner is a greenlet, known by its number ([`crate::ident`]), so green threads of one OS thread exclude
//! each other as those of several do. Like a [semaphore](super::semaphore), the lock is never free while
//! somebody waits: the last `release` hands it to the first waiter. Until that one runs the lock has no owner,
//! but it is held.
//!
//! No change of the state calls Python, so finalizers and signal handlers may use a lock that the code which
//! they interrupt uses too.

use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::args::{Flag, lock_timeout};
use super::waiters::{Line, Waiter, Waiters, by_all_means, wait_for_turn};
use crate::cell::GilCell;
use crate::ident;

/// `RLock()`: what `threading.RLock` is, for green threads of any OS thread.
///
/// The green thread that holds it may acquire it again; it is free when it has been released as often. Those
/// who wait get it in the order in which they came.
#[pyclass(frozen, subclass, weakref, module = "eventlet.lock")]
pub struct RLock {
    state: GilCell<State>,
}

#[derive(Default)]
struct State {
    /// How often it was taken; 0 if it is free.
    count: u64,
    /// The number of the greenlet that holds it; 0 if it is free or has just been handed to somebody.
    owner: u64,
    /// The OS thread of the owner, or of the waiter that it was handed to if that is the caller's; 0 otherwise.
    thread: u64,
    waiters: Waiters,
}

impl State {
    /// Takes it for `me` if it is free or theirs.
    #[inline]
    fn take_for(&mut self, me: u64) -> bool {
        if self.owner == me {
            self.count += 1;
            return true;
        }
        let free = self.take();
        if free {
            self.own(me, 1);
        }
        free
    }

    /// Notes who holds it.
    #[inline]
    fn own(&mut self, me: u64, count: u64) {
        self.owner = me;
        self.thread = ident::thread();
        self.count = count;
    }

    /// Frees it, or hands it to the first waiter, who is to be woken after the borrow.
    #[inline]
    fn free(&mut self) -> Option<Waiter> {
        self.owner = 0;
        let heir = self.waiters.pop();
        self.count = u64::from(heir.is_some());
        let mine = heir.as_ref().is_some_and(|heir| heir.hub.get().is_mine());
        self.thread = if mine { ident::thread() } else { 0 };
        heir
    }
}

impl Line for State {
    #[inline]
    fn take(&mut self) -> bool {
        let free = self.count == 0;
        if free {
            self.count = 1;
        }
        free
    }

    fn waiters(&mut self) -> &mut Waiters {
        &mut self.waiters
    }

    fn serves_hub(&self) -> bool {
        true
    }
}

#[pymethods]
impl RLock {
    #[new]
    #[pyo3(signature = (*_args, **_kw), text_signature = "()")]
    fn py_new(_args: &Bound<'_, PyTuple>, _kw: Option<&Bound<'_, PyDict>>) -> Self {
        Self::new()
    }

    /// Takes the lock, waiting for it if another green thread has it. Returns whether the caller has it.
    ///
    /// With `blocking` false it does not wait. `timeout` is the longest wait in seconds; None and -1 wait
    /// for ever. Raises `ValueError` for another negative timeout, or for one that comes with `blocking`
    /// false, and `OverflowError` for one of centuries.
    #[pyo3(
        signature = (blocking = Flag(true), timeout = None),
        text_signature = "($self, blocking=True, timeout=-1)"
    )]
    pub fn acquire(&self, py: Python<'_>, blocking: Flag, timeout: Option<f64>) -> PyResult<bool> {
        let timeout = lock_timeout(blocking.0, timeout)?;
        let me = ident::current(py)?;
        if self.state.with(py, |s| s.take_for(me)) {
            return Ok(true);
        }
        if !blocking.0 {
            return Ok(false);
        }
        self.wait(py, me, timeout)
    }

    /// Releases the lock once. Raises `RuntimeError` if the caller does not hold it.
    pub fn release(&self, py: Python<'_>) -> PyResult<()> {
        let me = ident::current(py)?;
        let heir = self.state.with(py, |s| {
            if s.owner != me {
                return Err(());
            }
            if s.count > 1 {
                s.count -= 1;
                return Ok(None);
            }
            Ok(s.free())
        });
        wake(py, heir)
    }

    /// As `acquire` without arguments.
    pub fn __enter__(&self, py: Python<'_>) -> PyResult<bool> {
        let me = ident::current(py)?;
        if self.state.with(py, |s| s.take_for(me)) {
            return Ok(true);
        }
        self.wait(py, me, None)
    }

    #[pyo3(signature = (exc_type = None, exc_value = None, traceback = None, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: Option<&Bound<'_, PyAny>>,
        exc_value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let _ = (exc_type, exc_value, traceback);
        self.release(py)
    }

    /// Whether anybody holds it.
    fn locked(&self, py: Python<'_>) -> bool {
        self.state.with(py, |s| s.count > 0)
    }

    /// Whether the caller holds it.
    #[pyo3(name = "_is_owned")]
    pub fn is_owned(&self, py: Python<'_>) -> PyResult<bool> {
        let me = ident::current(py)?;
        Ok(self.state.with(py, |s| s.owner == me))
    }

    /// How often the caller holds it.
    fn _recursion_count(&self, py: Python<'_>) -> PyResult<u64> {
        let me = ident::current(py)?;
        Ok(self
            .state
            .with(py, |s| if s.owner == me { s.count } else { 0 }))
    }

    /// For `Condition`: releases it altogether. Returns what `_acquire_restore` takes.
    #[pyo3(name = "_release_save")]
    pub fn release_save(&self, py: Python<'_>) -> PyResult<(u64, u64)> {
        let me = ident::current(py)?;
        let mut count = 0;
        let heir = self.state.with(py, |s| {
            if s.owner != me {
                return Err(());
            }
            count = s.count;
            Ok(s.free())
        });
        wake(py, heir)?;
        Ok((count, me))
    }

    /// For `Condition`: takes it as often as it was held.
    ///
    /// The caller has the lock when this returns or raises: what is thrown into it while it waits is raised
    /// when it has got it.
    #[pyo3(name = "_acquire_restore")]
    pub fn acquire_restore(&self, py: Python<'_>, state: (u64, u64)) -> PyResult<()> {
        let me = ident::current(py)?;
        let mut thrown = Ok(());
        if !self.state.with(py, |s| s.take_for(me)) {
            thrown = by_all_means(py, || self.wait(py, me, None))?;
        }
        self.state.with(py, |s| s.own(me, state.0));
        thrown
    }

    /// In a forked child: unlocks it, unless a green thread that lives on in the child holds it.
    ///
    /// The caller itself is no such: it forked while it held the lock so that nobody else would.
    pub fn _at_fork_reinit(&self, py: Python<'_>) -> PyResult<()> {
        let me = ident::current(py)?;
        let (gone, heir) = self.state.with(py, |s| {
            let gone = s.waiters.take_others();
            let held = s.count > 0 && s.owner != me && s.thread == ident::thread();
            (gone, if held { None } else { s.free() })
        });
        drop(gone);
        wake(py, Ok(heir))
    }

    /// The green threads that wait, first come first, as a tuple.
    #[getter]
    fn _waiters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        super::waiters::greenlets(py, self.state.with(py, |s| s.waiters.clone_ref(py)))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let (count, owner) = slf.get().state.with(slf.py(), |s| (s.count, s.owner));
        let state = if count > 0 { "locked" } else { "unlocked" };
        let name = slf.get_type().fully_qualified_name()?;
        let address = slf.as_ptr();
        Ok(format!(
            "<{state} {name} object owner={owner} count={count} at {address:p}>"
        ))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.state
            .peek(|s| s.waiters.traverse(&visit))
            .unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        let waiters = self.state.with(py, |s| s.waiters.take());
        drop(waiters);
    }
}

impl RLock {
    /// A free lock.
    pub fn new() -> Self {
        Self {
            state: GilCell::new(State::default()),
        }
    }

    /// Waits for the lock; false if the time is up first.
    fn wait(&self, py: Python<'_>, me: u64, timeout: Option<f64>) -> PyResult<bool> {
        let got = wait_for_turn(py, &self.state, timeout, || self.give_back(py))?;
        if got {
            self.state.with(py, |s| s.own(me, 1));
        }
        Ok(got)
    }

    /// Hands on what the caller was handed.
    fn give_back(&self, py: Python<'_>) {
        if let Some(heir) = self.state.with(py, State::free) {
            heir.wake(py);
        }
    }
}

fn wake(py: Python<'_>, heir: Result<Option<Waiter>, ()>) -> PyResult<()> {
    match heir {
        Ok(None) => Ok(()),
        Ok(Some(heir)) => {
            heir.wake(py);
            Ok(())
        }
        Err(()) => Err(PyRuntimeError::new_err("cannot release un-acquired lock")),
    }
}
