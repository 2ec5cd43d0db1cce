//! `kill` and `cancel`: exceptions raised in green threads.

use eventlet_greenlet::{self as greenlet, Greenlet};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};

use super::body::{Body, find_body};
use crate::hub::inbox::Message;
use crate::hub::scheduler::Task;
use crate::hub::{self, Hub, Wake};

/// The error that `throw(*args)` raises: nothing, an instance, a class, or class, value and traceback.
pub fn exception_from(args: &Bound<'_, PyTuple>) -> PyErr {
    match try_exception_from(args) {
        Ok(error) | Err(error) => error,
    }
}

fn try_exception_from(args: &Bound<'_, PyTuple>) -> PyResult<PyErr> {
    let py = args.py();
    let Ok(first) = args.get_item(0) else {
        return Ok(PyErr::from_type(greenlet::greenlet_exit(py), ()));
    };
    let value = args.get_item(1).ok().filter(|value| !value.is_none());
    let traceback = args
        .get_item(2)
        .ok()
        .filter(|traceback| !traceback.is_none());
    let error = match first.cast_into::<PyType>() {
        Ok(class) => match value {
            None => PyErr::from_value(class.call0()?),
            Some(value) if value.is_instance(&class)? => PyErr::from_value(value),
            Some(value) => match value.cast_into::<PyTuple>() {
                Ok(args) => PyErr::from_value(class.call1(args)?),
                Err(error) => PyErr::from_value(class.call1((error.into_inner(),))?),
            },
        },
        Err(error) => PyErr::from_value(error.into_inner()),
    };
    if let Some(traceback) = traceback {
        error
            .value(py)
            .setattr(intern!(py, "__traceback__"), traceback)?;
    }
    Ok(error)
}

/// Raises an exception in a green thread and lets it handle that before the caller goes on.
///
/// `throw_args` are those of `greenlet.throw`; without them it is GreenletExit, which ends the green thread
/// quietly. One that has not begun never will, and its `wait()` raises the exception. One that has ended is
/// left alone.
#[pyfunction]
#[pyo3(signature = (g, *throw_args))]
pub fn kill(g: &Bound<'_, PyAny>, throw_args: &Bound<'_, PyTuple>) -> PyResult<()> {
    let py = g.py();
    let target = Greenlet::from_object(g.clone())?;
    if target.is_dead() {
        return Ok(());
    }
    let error = exception_from(throw_args);
    let body = find_body(g);
    let hub = hub::current(py)?;
    if let Some(body) = &body
        && !body.get().hub.get().is_mine()
    {
        let value = error.into_value(py).into_any();
        body.get()
            .hub
            .get()
            .inbox
            .send(Message::Throw(target, value));
        return Ok(());
    }
    let current = Greenlet::current(py)?;
    if target.is(&current) {
        return Err(error);
    }
    if hub.get().is_hub_greenlet(py, &current) {
        return throw_from_hub(&hub, &target, error);
    }
    let (exception, fatal) = if target.is_started() {
        (error, None)
    } else {
        // The links run here, where they may wait.
        let fatal = body.and_then(|body| Body::abandon(&body, g, error));
        (PyErr::from_type(greenlet::greenlet_exit(py), ()), fatal)
    };
    let exception = exception.into_value(py).into_any();
    // The target runs next, and the caller right after it has parked or ended: both go to the front of the
    // round. The throw itself is the hub's, since a green thread that has not begun starts by it.
    let parking = hub.get().park(py, &current, None);
    hub.get().scheduler.with(py, |s| {
        s.parks.mark(parking.id, Wake::Ready);
        s.push_front(Task::Wake(parking.id));
        s.push_front(Task::Throw(target, exception));
    });
    Hub::wait(&hub, &current, parking)?;
    fatal.map_or(Ok(()), Err)
}

/// Raises `error` in a green thread, from the hub's own greenlet.
///
/// One that has not begun dies quietly; what it died of is kept for those who wait for it.
pub fn throw_from_hub(hub: &Bound<'_, Hub>, target: &Greenlet, error: PyErr) -> PyResult<()> {
    let py = hub.py();
    if target.is_dead() {
        return Ok(());
    }
    if target.is_started() {
        return target.throw(py, error).map(drop);
    }
    let green_thread = target.bind(py);
    let fatal = match find_body(green_thread) {
        Some(body) => Body::abandon(&body, green_thread, error),
        None => None,
    };
    // It comes back here when it dies, whoever its parent was going to be.
    target.set_parent(py, &Hub::ensure_greenlet(hub)?)?;
    target.throw(py, PyErr::from_type(greenlet::greenlet_exit(py), ()))?;
    fatal.map_or(Ok(()), Err)
}

/// Kills a green thread if it has not begun to run; does nothing otherwise.
#[pyfunction]
#[pyo3(signature = (g, *throw_args))]
pub fn cancel(g: &Bound<'_, PyAny>, throw_args: &Bound<'_, PyTuple>) -> PyResult<()> {
    let target = Greenlet::from_object(g.clone())?;
    if target.is_started() {
        Ok(())
    } else {
        kill(g, throw_args)
    }
}
