//! Operations that CPython's own socket does, with the waiting done here.
//!
//! It parses addresses and ancillary data, audits and checks arguments; being non-blocking, it raises
//! `BlockingIOError` where it would have waited. These are not the hot paths.

use std::ffi::c_int;

use pyo3::exceptions::{PyBlockingIOError, PyOSError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

use super::fd;
use super::limit::{Limit, is_non_blocking};
use crate::hub::io::Direction;

/// `_socket.socket`.
pub fn class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS.import(py, "_socket", "socket")
}

/// Calls the method `name` of CPython's socket, once.
pub fn call<'py>(
    socket: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = socket.py();
    let (target, native) = fd::target(socket)?;
    if !native {
        return target.getattr(name)?.call(args, kwargs);
    }
    let mut all = Vec::with_capacity(args.len() + 1);
    all.push(target);
    all.extend(args.iter());
    class(py)?
        .getattr(name)?
        .call(PyTuple::new(py, all)?, kwargs)
}

/// The same, waiting and trying again for as long as it would block and the socket's timeout allows.
///
/// `flags` is the place of the flags among the arguments: with `MSG_DONTWAIT` in them there is no waiting.
pub fn call_waiting<'py>(
    socket: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
    direction: Direction,
    flags: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let mut limit = Limit::new();
    loop {
        // Before the call: afterwards the socket may be closed, and the error would be misleading.
        let fd = fd::of(socket)?;
        let error = match call(socket, name, args, kwargs) {
            Ok(result) => return Ok(result),
            Err(error) => error,
        };
        let errno = would_block(socket.py(), &error, direction)?;
        match errno {
            Some(errno) if !is_non_blocking(socket)? && !forbids_waiting(args, kwargs, flags)? => {
                drop(error);
                limit.wait(socket, fd, direction, errno)?;
            }
            _ => return Err(error),
        }
    }
}

fn forbids_waiting(
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
    place: usize,
) -> PyResult<bool> {
    let flags = match args.get_item(place) {
        Ok(flags) => Some(flags),
        Err(_) => match kwargs {
            Some(kwargs) => kwargs.get_item("flags")?,
            None => None,
        },
    };
    let flags: c_int = flags.map_or(Ok(0), |flags| flags.extract())?;
    Ok(flags & libc::MSG_DONTWAIT != 0)
}

/// The errno, if the operation can be tried again later.
fn would_block(py: Python<'_>, error: &PyErr, direction: Direction) -> PyResult<Option<i32>> {
    if error.is_instance_of::<PyBlockingIOError>(py) {
        return Ok(Some(libc::EAGAIN));
    }
    // Eventlet's rule: a socket that is not connected yet has no data yet.
    if direction == Direction::Read && error.is_instance_of::<PyOSError>(py) {
        let errno: Option<i32> = error.value(py).getattr(intern!(py, "errno"))?.extract()?;
        return Ok(errno.filter(|errno| *errno == libc::ENOTCONN));
    }
    Ok(None)
}
