//! Queues that count what is unfinished, and those with another order.

use std::collections::VecDeque;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use pyo3::{PyClassInitializer, PyTypeInfo};

use super::LightQueue;
use super::state::Order;
use crate::hub::{self, Hub};
use crate::sync::waiters::{Waiter, wait_in_line};

/// `Queue(maxsize=None)`: items that green threads of any OS thread put in and get out, in order.
///
/// `maxsize` is how many items it may hold; None, or a negative number, is no limit. A queue of size 0 holds
/// none: `put` waits until somebody has taken the item from its hands. (The standard library's `Queue(0)`
/// has no limit.)
///
/// Green threads that wait are served in the order in which they came.
#[pyclass(frozen, subclass, extends = LightQueue, module = "eventlet.queue")]
pub struct Queue;

#[pymethods]
impl Queue {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kw), text_signature = "(maxsize=None)")]
    fn py_new(
        cls: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kw: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let base = LightQueue::new(cls, &Self::type_object(cls.py()), Order::Fifo, true)?;
        Ok(PyClassInitializer::from(base).add_subclass(Self))
    }

    /// How many items have been put in that `task_done` has not been called for.
    #[getter]
    fn unfinished_tasks(slf: &Bound<'_, Self>) -> i64 {
        slf.as_super().get().state.with(slf.py(), |s| s.unfinished)
    }

    #[setter]
    fn set_unfinished_tasks(slf: &Bound<'_, Self>, count: i64) {
        let this = slf.as_super().get();
        this.state.with(slf.py(), |s| s.unfinished = count);
        this.finish(slf.py());
    }

    /// For a subclass whose `_put` does not call the inherited one: counts an item.
    fn _put_bookkeeping(slf: &Bound<'_, Self>) {
        slf.as_super()
            .get()
            .state
            .with(slf.py(), |s| s.unfinished += 1);
    }

    /// Says that an item which was got is done with.
    ///
    /// Raises `ValueError` if that has been said for every item already.
    fn task_done(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.as_super().get();
        let left = this.state.with(py, |s| {
            let any = s.unfinished > 0;
            s.unfinished -= i64::from(any);
            any.then_some(s.unfinished)
        });
        match left {
            Some(0) => {
                this.finish(py);
                Ok(())
            }
            Some(_) => Ok(()),
            None => Err(PyValueError::new_err("task_done() called too many times")),
        }
    }

    /// Waits until `task_done` has been called for every item that was put in.
    fn join(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.as_super().get();
        // Before anything is looked at: making a hub runs Python code, and that lets other threads run.
        let hub = hub::current(py)?;
        if this.state.with(py, |s| s.unfinished == 0) {
            return Ok(());
        }
        let greenlet = Hub::waiting_greenlet(&hub)?;
        let parking = hub.get().park(py, &greenlet, None);
        let waiter = Waiter {
            hub: hub.clone().unbind(),
            id: parking.id,
        };
        this.state.with(py, |s| s.joiners.push(waiter));
        let (id, result) = wait_in_line(&hub, &greenlet, parking, None, |old, new| {
            this.state.with(py, |s| s.joiners.rename(&hub, old, new))
        });
        if result.is_err() {
            let left = this.state.with(py, |s| s.joiners.remove(&hub, id));
            drop(left);
        }
        result.map(drop)
    }
}

/// `LifoQueue(maxsize=None)`: a `Queue` that gives out the item that was put in last.
#[pyclass(frozen, subclass, extends = Queue, module = "eventlet.queue")]
pub struct LifoQueue;

#[pymethods]
impl LifoQueue {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kw), text_signature = "(maxsize=None)")]
    fn py_new(
        cls: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kw: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let base = LightQueue::new(cls, &Self::type_object(cls.py()), Order::Lifo, true)?;
        Ok(PyClassInitializer::from(base)
            .add_subclass(Queue)
            .add_subclass(Self))
    }
}

/// `PriorityQueue(maxsize=None)`: a `Queue` that gives out the smallest item, such as `(priority, data)`.
#[pyclass(frozen, subclass, extends = Queue, module = "eventlet.queue")]
pub struct PriorityQueue;

#[pymethods]
impl PriorityQueue {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kw), text_signature = "(maxsize=None)")]
    fn py_new(
        cls: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kw: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let base = LightQueue::new(cls, &Self::type_object(cls.py()), Order::Heap, true)?;
        Ok(PyClassInitializer::from(base)
            .add_subclass(Queue)
            .add_subclass(Self))
    }
}

impl LightQueue {
    /// Wakes those who wait for all items to be done with.
    fn finish(&self, py: Python<'_>) {
        let joiners = self.state.with(py, |s| {
            if s.unfinished == 0 {
                s.joiners.take()
            } else {
                VecDeque::new()
            }
        });
        for joiner in joiners {
            joiner.wake(py);
        }
    }
}
