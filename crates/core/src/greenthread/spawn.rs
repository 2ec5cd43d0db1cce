//! `spawn` and its kin.

use std::sync::atomic::{AtomicBool, Ordering};

use eventlet_greenlet::Greenlet;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};
use pyo3::{ffi, intern};

use super::body::{Body, Call};
use crate::clock;
use crate::hub::scheduler::{Due, Task};
use crate::hub::{self, Hub};

/// A greenlet of the class that `spawn` returns, not yet started.
fn new_green_thread(
    hub: &Bound<'_, Hub>,
    call: Call,
    guard: Option<Greenlet>,
) -> PyResult<(Greenlet, Py<Body>)> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = hub.py();
    let class = CLASS.import(py, "eventlet.greenthread", "GreenThread")?;
    let body = Body::new(hub, call, guard)?;
    let greenlet = Greenlet::of_type(class, body.bind(py), &Hub::ensure_greenlet(hub)?)?;
    greenlet.bind(py).setattr(intern!(py, "_body"), &body)?;
    inherit_context(&greenlet, py)?;
    if SPAWN_STACKS.load(Ordering::Relaxed) {
        note_spawn(&greenlet, py)?;
    }
    Ok((greenlet, body))
}

/// Has the green thread remember who spawned it.
#[cold]
#[inline(never)]
fn note_spawn(greenlet: &Greenlet, py: Python<'_>) -> PyResult<()> {
    static NOTE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    NOTE.import(py, "eventlet.greenthread", "_note_spawn")?
        .call1((greenlet.bind(py),))
        .map(drop)
}

/// Sets whether green threads that are spawned from now on remember the stack of the spawner.
#[pyfunction]
pub fn set_spawn_stacks(on: bool) {
    SPAWN_STACKS.store(on, Ordering::Relaxed);
}

static SPAWN_STACKS: AtomicBool = AtomicBool::new(false);

/// Hands down a copy of the spawner's context variables.
fn inherit_context(greenlet: &Greenlet, py: Python<'_>) -> PyResult<()> {
    // SAFETY: the GIL is held; a new reference or NULL with an exception comes back.
    let context = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent())? };
    greenlet
        .bind(py)
        .setattr(intern!(py, "gr_context"), context)
}

/// Runs `func(*args, **kwargs)` in a green thread of its own, beginning in the next turn of the hub.
///
/// Returns the `GreenThread`, whose `wait()` gives the result. The green thread gets a copy of the caller's
/// context variables.
#[pyfunction]
#[pyo3(signature = (func, *args, **kwargs))]
pub fn spawn(
    py: Python<'_>,
    func: Py<PyAny>,
    args: Py<PyTuple>,
    kwargs: Option<Py<PyDict>>,
) -> PyResult<Bound<'_, PyAny>> {
    let hub = hub::current(py)?;
    let (greenlet, _) = new_green_thread(
        &hub,
        Call {
            function: func,
            args,
            kwargs,
        },
        None,
    )?;
    let object = greenlet.bind(py).clone();
    hub.get()
        .scheduler
        .with(py, |s| s.push(Task::Start(greenlet)));
    hub.get().queued(py);
    Ok(object)
}

/// As `spawn`, for calls whose result nobody wants: a plain greenlet, a little cheaper.
#[pyfunction]
#[pyo3(signature = (func, *args, **kwargs))]
pub fn spawn_n(
    py: Python<'_>,
    func: Py<PyAny>,
    args: Py<PyTuple>,
    kwargs: Option<Py<PyDict>>,
) -> PyResult<Bound<'_, PyAny>> {
    let hub = hub::current(py)?;
    let body = Body::new(
        &hub,
        Call {
            function: func,
            args,
            kwargs,
        },
        None,
    )?;
    let parent = Hub::ensure_greenlet(&hub)?;
    let greenlet = Greenlet::new(py, body.bind(py).as_any(), &parent)?;
    inherit_context(&greenlet, py)?;
    let object = greenlet.bind(py).clone();
    hub.get()
        .scheduler
        .with(py, |s| s.push(Task::Start(greenlet)));
    hub.get().queued(py);
    Ok(object)
}

/// As `spawn`, beginning after `seconds`. `cancel()` prevents it until then.
#[pyfunction]
#[pyo3(signature = (seconds, func, *args, **kwargs))]
pub fn spawn_after(
    py: Python<'_>,
    seconds: f64,
    func: Py<PyAny>,
    args: Py<PyTuple>,
    kwargs: Option<Py<PyDict>>,
) -> PyResult<Bound<'_, PyAny>> {
    start_later(
        py,
        seconds,
        Call {
            function: func,
            args,
            kwargs,
        },
        None,
    )
}

/// As `spawn_after`, but the call is not made if the calling green thread has ended by then.
#[pyfunction]
#[pyo3(signature = (seconds, func, *args, **kwargs))]
pub fn spawn_after_local(
    py: Python<'_>,
    seconds: f64,
    func: Py<PyAny>,
    args: Py<PyTuple>,
    kwargs: Option<Py<PyDict>>,
) -> PyResult<Bound<'_, PyAny>> {
    let guard = Some(Greenlet::current(py)?);
    start_later(
        py,
        seconds,
        Call {
            function: func,
            args,
            kwargs,
        },
        guard,
    )
}

fn start_later(
    py: Python<'_>,
    seconds: f64,
    call: Call,
    guard: Option<Greenlet>,
) -> PyResult<Bound<'_, PyAny>> {
    let hub = hub::current(py)?;
    let (greenlet, body) = new_green_thread(&hub, call, guard)?;
    let object = greenlet.bind(py).clone();
    if seconds > 0.0 {
        let deadline = clock::after(clock::now(), seconds);
        let key = hub
            .get()
            .scheduler
            .with(py, |s| s.timers.insert(deadline, Due::Start(greenlet)));
        body.get().state.with(py, |s| s.timer = Some(key));
    } else {
        hub.get()
            .scheduler
            .with(py, |s| s.push(Task::Start(greenlet)));
    }
    hub.get().queued(py);
    Ok(object)
}
