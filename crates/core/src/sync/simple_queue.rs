//! `SimpleQueue`: items without a limit, that may be put in from anywhere.
//!
//! As in the other [queues](super::queue), an item that is put in while somebody waits is *promised* to the
//! first waiter and stays in the store until that one runs, so one that is killed has nothing to put back.
//! A put calls no Python, and so may interrupt another put or a get: in a finalizer, in a signal handler.

use std::collections::VecDeque;

use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::args::Flag;
use super::waiters::{Line, Waiter, Waiters, wait_for_turn};
use crate::cell::GilCell;

/// `SimpleQueue()`: what `queue.SimpleQueue` is, for green threads of any OS thread.
///
/// Items come out in the order in which they were put in, and are had in the order in which they were asked
/// for.
#[pyclass(frozen, subclass, weakref, module = "eventlet.queue")]
pub struct SimpleQueue {
    state: GilCell<State>,
}

#[derive(Default)]
struct State {
    items: VecDeque<Py<PyAny>>,
    /// How many of the items belong to waiters that have been woken and have not come yet.
    promised: usize,
    getters: Waiters,
}

impl State {
    /// How many items nobody has been promised.
    #[inline]
    fn spare(&self) -> usize {
        self.items.len().saturating_sub(self.promised)
    }

    /// Promises an item to the first waiter, who is to be woken after the borrow.
    #[inline]
    fn promise(&mut self) -> Option<Waiter> {
        let waiter = if self.spare() > 0 {
            self.getters.pop()
        } else {
            None
        };
        self.promised += usize::from(waiter.is_some());
        waiter
    }
}

impl Line for State {
    #[inline]
    fn take(&mut self) -> bool {
        let any = self.spare() > 0;
        self.promised += usize::from(any);
        any
    }

    fn waiters(&mut self) -> &mut Waiters {
        &mut self.getters
    }
}

#[pymethods]
impl SimpleQueue {
    #[new]
    #[pyo3(signature = (*_args, **_kw), text_signature = "()")]
    fn py_new(_args: &Bound<'_, PyTuple>, _kw: Option<&Bound<'_, PyDict>>) -> Self {
        Self {
            state: GilCell::new(State::default()),
        }
    }

    /// Puts an item in. It never waits: `block` and `timeout` are there because other queues have them.
    #[pyo3(
        signature = (item, block = None, timeout = None),
        text_signature = "($self, item, block=True, timeout=None)"
    )]
    fn put(
        &self,
        py: Python<'_>,
        item: Py<PyAny>,
        block: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) {
        let _ = (block, timeout);
        let getter = self.state.with(py, |s| {
            s.items.push_back(item);
            s.promise()
        });
        if let Some(getter) = getter {
            getter.wake(py);
        }
    }

    /// As `put`.
    fn put_nowait(&self, py: Python<'_>, item: Py<PyAny>) {
        self.put(py, item, None, None);
    }

    /// Takes the next item out and returns it, waiting for one if necessary.
    ///
    /// With `block` false it does not wait. `timeout` is the longest wait in seconds; None waits for ever.
    /// Raises `Empty` when there is no item, or none in time, `ValueError` for a negative timeout, and
    /// `RuntimeError` if it would have to wait in the hub.
    #[pyo3(
        signature = (block = Flag(true), timeout = None),
        text_signature = "($self, block=True, timeout=None)"
    )]
    fn get(&self, py: Python<'_>, block: Flag, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        if block.0 && timeout.is_some_and(|timeout| timeout < 0.0) {
            return Err(PyValueError::new_err(
                "'timeout' must be a non-negative number",
            ));
        }
        let item = self.state.with(py, |s| {
            if s.spare() > 0 {
                s.items.pop_front()
            } else {
                None
            }
        });
        match item {
            Some(item) => Ok(item),
            None if block.0 => self.wait(py, timeout),
            None => Err(empty(py)),
        }
    }

    /// `get(block=False)`.
    fn get_nowait(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.get(py, Flag(false), None)
    }

    /// Whether `get` would wait.
    fn empty(&self, py: Python<'_>) -> bool {
        self.qsize(py) == 0
    }

    /// How many items it holds, without those that somebody is about to get.
    fn qsize(&self, py: Python<'_>) -> usize {
        self.state.with(py, |s| s.spare())
    }

    /// `SimpleQueue[int]`, for annotations.
    #[classmethod]
    fn __class_getitem__<'py>(
        cls: &Bound<'py, PyType>,
        item: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let alias = cls.py().import("types")?.getattr("GenericAlias")?;
        alias.call1((cls, item))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.state
            .peek(|s| {
                s.items.iter().try_for_each(|item| visit.call(item))?;
                s.getters.traverse(&visit)
            })
            .unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        drop(self.state.take(py));
    }
}

impl SimpleQueue {
    #[cold]
    #[inline(never)]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        let promised = wait_for_turn(py, &self.state, timeout, || self.renounce(py))?;
        let item = self.state.with(py, |s| {
            s.promised -= usize::from(promised && s.promised > 0);
            if promised { s.items.pop_front() } else { None }
        });
        item.ok_or_else(|| empty(py))
    }

    /// Gives up an item that the caller was promised, for the next one.
    fn renounce(&self, py: Python<'_>) {
        let next = self.state.with(py, |s| {
            s.promised = s.promised.saturating_sub(1);
            s.promise()
        });
        if let Some(next) = next {
            next.wake(py);
        }
    }
}

/// Raises `queue.Empty`.
#[cold]
fn empty(py: Python<'_>) -> PyErr {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let made = CLASS.import(py, "_queue", "Empty");
    match made.and_then(PyAnyMethods::call0) {
        Ok(value) => PyErr::from_value(value),
        Err(error) => error,
    }
}
