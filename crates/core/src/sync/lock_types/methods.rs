//! The methods that replace those of the standard library's locks and queues.

use eventlet_greenlet::Greenlet;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{ffi, intern};

use super::line::{LONGEST, Line, SHORTEST};
use super::lock::{Holder, Lock, NEVER, may_have_unknown, not_yours};
use super::types;
use crate::hub;
use crate::hub::wait::sleep;
use crate::sync::args::{Flag, deadline, lock_timeout};
use crate::sync::waiters::by_all_means;
use crate::{clock, ident};

/// The methods that replace the original ones, under their names.
pub(super) struct Ours {
    pub(super) plain: Py<PyDict>,
    pub(super) reentrant: Py<PyDict>,
    pub(super) handle: Py<PyDict>,
    pub(super) queue: Py<PyDict>,
}

impl Ours {
    pub(super) fn new(py: Python<'_>) -> PyResult<Self> {
        let methods = |functions: Vec<Bound<'_, PyAny>>| {
            let dict = PyDict::new(py);
            for function in functions {
                let name = function.getattr("__name__")?;
                // SAFETY: the function is live; a new reference or NULL with an exception comes back.
                let method = unsafe {
                    let method = PyInstanceMethod_New(function.as_ptr());
                    Bound::from_owned_ptr_or_err(py, method)?
                };
                dict.set_item(name, method)?;
            }
            PyResult::Ok(dict)
        };
        let plain = methods(vec![
            wrap_pyfunction!(plain_acquire, py)?.into_any(),
            wrap_pyfunction!(plain_enter, py)?.into_any(),
            wrap_pyfunction!(plain_exit, py)?.into_any(),
            wrap_pyfunction!(plain_release, py)?.into_any(),
            wrap_pyfunction!(plain_reinit, py)?.into_any(),
        ])?;
        for (old, new) in [("acquire_lock", "acquire"), ("release_lock", "release")] {
            plain.set_item(old, plain.get_item(new)?)?;
        }
        let reentrant = methods(vec![
            wrap_pyfunction!(reentrant_acquire, py)?.into_any(),
            wrap_pyfunction!(reentrant_acquire_restore, py)?.into_any(),
            wrap_pyfunction!(reentrant_count, py)?.into_any(),
            wrap_pyfunction!(reentrant_enter, py)?.into_any(),
            wrap_pyfunction!(reentrant_exit, py)?.into_any(),
            wrap_pyfunction!(reentrant_is_owned, py)?.into_any(),
            wrap_pyfunction!(reentrant_reinit, py)?.into_any(),
            wrap_pyfunction!(reentrant_release, py)?.into_any(),
            wrap_pyfunction!(reentrant_release_save, py)?.into_any(),
        ])?;
        let queue = methods(vec![
            wrap_pyfunction!(queue_get, py)?.into_any(),
            wrap_pyfunction!(queue_put, py)?.into_any(),
            wrap_pyfunction!(queue_put_nowait, py)?.into_any(),
        ])?;
        Ok(Self {
            plain: plain.unbind(),
            reentrant: reentrant.unbind(),
            handle: methods(vec![wrap_pyfunction!(handle_join, py)?.into_any()])?.unbind(),
            queue: queue.unbind(),
        })
    }
}

unsafe extern "C" {
    fn PyInstanceMethod_New(function: *mut ffi::PyObject) -> *mut ffi::PyObject;
}

#[pyfunction]
#[pyo3(name = "acquire", signature = (lock, blocking = Flag(true), timeout = NEVER))]
#[pyo3(text_signature = "(lock, blocking=True, timeout=-1)")]
fn plain_acquire(lock: &Bound<'_, PyAny>, blocking: Flag, timeout: f64) -> PyResult<bool> {
    acquire(&Lock::plain(lock)?, blocking.0, timeout)
}

#[pyfunction]
#[pyo3(name = "__enter__")]
fn plain_enter(lock: &Bound<'_, PyAny>) -> PyResult<bool> {
    acquire(&Lock::plain(lock)?, true, NEVER)
}

#[pyfunction]
#[pyo3(name = "release")]
fn plain_release(lock: &Bound<'_, PyAny>) -> PyResult<()> {
    Lock::plain(lock)?.release(0)
}

#[pyfunction]
#[pyo3(name = "__exit__", signature = (lock, *_args))]
fn plain_exit(lock: &Bound<'_, PyAny>, _args: &Bound<'_, PyTuple>) -> PyResult<()> {
    Lock::plain(lock)?.release(0)
}

#[pyfunction]
#[pyo3(name = "_at_fork_reinit")]
fn plain_reinit(lock: &Bound<'_, PyAny>) -> PyResult<()> {
    Lock::plain(lock)?.reinit()
}

#[pyfunction]
#[pyo3(name = "acquire", signature = (lock, blocking = Flag(true), timeout = NEVER))]
#[pyo3(text_signature = "(lock, blocking=True, timeout=-1)")]
fn reentrant_acquire(lock: &Bound<'_, PyAny>, blocking: Flag, timeout: f64) -> PyResult<bool> {
    acquire(&Lock::reentrant(lock)?, blocking.0, timeout)
}

#[pyfunction]
#[pyo3(name = "__enter__")]
fn reentrant_enter(lock: &Bound<'_, PyAny>) -> PyResult<bool> {
    acquire(&Lock::reentrant(lock)?, true, NEVER)
}

#[pyfunction]
#[pyo3(name = "release")]
fn reentrant_release(lock: &Bound<'_, PyAny>) -> PyResult<()> {
    let lock = Lock::reentrant(lock)?;
    lock.release(lock.me()?)
}

#[pyfunction]
#[pyo3(name = "__exit__", signature = (lock, *_args))]
fn reentrant_exit(lock: &Bound<'_, PyAny>, _args: &Bound<'_, PyTuple>) -> PyResult<()> {
    reentrant_release(lock)
}

#[pyfunction]
#[pyo3(name = "_is_owned")]
fn reentrant_is_owned(lock: &Bound<'_, PyAny>) -> PyResult<bool> {
    is_owned(&Lock::reentrant(lock)?)
}

#[pyfunction]
#[pyo3(name = "_recursion_count")]
fn reentrant_count<'py>(lock: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = lock.py();
    let lock = Lock::reentrant(lock)?;
    if !is_owned(&lock)? {
        return Ok(0_u64.into_pyobject(py)?.into_any());
    }
    let kind = &lock.types.reentrant.kind;
    let original = kind.method(intern!(py, "_recursion_count"))?;
    original.call1((lock.object,))
}

/// Whether the caller has a reentrant lock.
fn is_owned(lock: &Lock<'_, '_>) -> PyResult<bool> {
    let me = lock.me()?;
    if !lock.is_owned_original()? {
        return Ok(false);
    }
    Ok(match lock.holder(me) {
        Holder::Me => true,
        Holder::Neighbour => false,
        Holder::Unknown => may_have_unknown(me),
    })
}

#[pyfunction]
#[pyo3(name = "_release_save")]
fn reentrant_release_save<'py>(lock: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = lock.py();
    let lock = Lock::reentrant(lock)?;
    match lock.true_holder(lock.me()?)? {
        Holder::Neighbour => return Err(not_yours()),
        Holder::Me => lock.line().with_entry(|entry| entry.count = 0),
        Holder::Unknown => {}
    }
    let saved = lock.types.release_save.bind(py).call1((lock.object,))?;
    lock.line().call_first();
    Ok(saved)
}

#[pyfunction]
#[pyo3(name = "_acquire_restore")]
fn reentrant_acquire_restore(lock: &Bound<'_, PyAny>, state: Bound<'_, PyAny>) -> PyResult<()> {
    let py = lock.py();
    let lock = Lock::reentrant(lock)?;
    let (count, _): (u64, u64) = state.extract()?;
    let thrown = by_all_means(py, || lock.acquire(true, None))?;
    let me = lock.me()?;
    for _ in 1..count {
        lock.take(me)?;
    }
    thrown
}

#[pyfunction]
#[pyo3(name = "_at_fork_reinit")]
fn reentrant_reinit(lock: &Bound<'_, PyAny>) -> PyResult<()> {
    Lock::reentrant(lock)?.reinit()
}

#[pyfunction]
#[pyo3(name = "join", signature = (handle, timeout = None, /))]
fn handle_join(handle: &Bound<'_, PyAny>, timeout: Option<f64>) -> PyResult<()> {
    let py = handle.py();
    let Some(kind) = &types(py)?.handle else {
        return Err(PyTypeError::new_err("not the handle of a thread"));
    };
    let ident = handle.getattr(intern!(py, "ident"))?;
    // Who joins himself is told so.
    if hub::existing(py).is_some() && !ident.eq(ident::thread())? {
        // A negative one is none.
        let deadline = deadline(timeout.filter(|timeout| *timeout >= 0.0));
        let mut pause = SHORTEST;
        loop {
            let done = handle.call_method0(intern!(py, "is_done"))?;
            if done.is_truthy()? {
                break;
            }
            let now = clock::now();
            let next = deadline.map_or(now + pause, |deadline| deadline.min(now + pause));
            if next <= now {
                return Ok(());
            }
            sleep(py, clock::until(now, next).as_secs_f64())?;
            pause = (pause * 2).min(LONGEST);
        }
    }
    let original = kind.method(intern!(py, "join"))?;
    original.call1((handle, timeout)).map(drop)
}

#[pyfunction]
#[pyo3(name = "get", signature = (queue, block = Flag(true), timeout = None))]
#[pyo3(text_signature = "(queue, block=True, timeout=None)")]
fn queue_get<'py>(
    queue: &Bound<'py, PyAny>,
    block: Flag,
    timeout: Option<f64>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = queue.py();
    let original = types(py)?.queue.method(intern!(py, "get"))?;
    let (Ok(greenlet), Some(hub)) = (Greenlet::current(py), hub::existing(py)) else {
        return original.call1((queue, block.0, timeout));
    };
    if block.0 && timeout.is_some_and(|timeout| timeout < 0.0) {
        return Err(PyValueError::new_err(
            "'timeout' must be a non-negative number",
        ));
    }
    let take = || match original.call1((queue, false)) {
        Ok(item) => Ok(Some(item)),
        Err(error) if error.is_instance(py, empty(py)?) => Ok(None),
        Err(error) => Err(error),
    };
    let line = Line(queue);
    let mut item = None;
    if !block.0 || !line.comes_after_neighbours() {
        item = take()?;
    }
    if item.is_none() && block.0 {
        item = line.wait(&hub, &greenlet, timeout, take)?;
    }
    match item {
        Some(item) => Ok(item),
        None => Err(PyErr::from_value(empty(py)?.call0()?)),
    }
}

/// The class `queue.Empty`.
fn empty(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    CLASS.import(py, "_queue", "Empty")
}

#[pyfunction]
#[pyo3(name = "put", signature = (queue, item, block = None, timeout = None))]
#[pyo3(text_signature = "(queue, item, block=True, timeout=None)")]
fn queue_put(
    queue: &Bound<'_, PyAny>,
    item: &Bound<'_, PyAny>,
    block: Option<&Bound<'_, PyAny>>,
    timeout: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    // It never waits, as the original does not.
    let _ = (block, timeout);
    queue_put_nowait(queue, item)
}

#[pyfunction]
#[pyo3(name = "put_nowait")]
fn queue_put_nowait(queue: &Bound<'_, PyAny>, item: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = queue.py();
    let original = types(py)?.queue.method(intern!(py, "put"))?;
    original.call1((queue, item))?;
    Line(queue).call_first();
    Ok(())
}

fn acquire(lock: &Lock<'_, '_>, blocking: bool, timeout: f64) -> PyResult<bool> {
    if !lock.reentrant && hub::existing(lock.py()).is_none() {
        return lock.block(blocking, timeout);
    }
    let timeout = lock_timeout(blocking, Some(timeout))?;
    lock.acquire(blocking, timeout)
}
