//! TLS: CPython's `ssl` does it, the waiting is done here.
//!
//! An `SSLSocket` over a non-blocking descriptor raises `SSLWantReadError` or `SSLWantWriteError` once the
//! kernel has said `EAGAIN`, so the descriptor can be waited for like any other. Reading may need to write
//! and the other way round; the exception tells which it is.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyTuple, PyType};

use super::fd;
use super::limit::{Limit, is_non_blocking};
use crate::hub::io::Direction;

/// Calls `function(*args)` until it neither wants to read nor to write, waiting in between.
///
/// `sock` is the socket whose descriptor and timeout count. Raises TimeoutError when its timeout is over;
/// if it is non-blocking, what `function` raises.
#[pyfunction]
#[pyo3(signature = (sock, function, *args))]
pub fn retry_ssl<'py>(
    sock: &Bound<'py, PyAny>,
    function: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = sock.py();
    let mut limit = Limit::new();
    loop {
        let error = match function.call1(args) {
            Ok(result) => return Ok(result),
            Err(error) => error,
        };
        let Some(direction) = wanted(py, &error)? else {
            return Err(error);
        };
        if is_non_blocking(sock)? {
            return Err(error);
        }
        drop(error);
        limit.wait(sock, fd::of(sock)?, direction, libc::EAGAIN)?;
    }
}

fn wanted(py: Python<'_>, error: &PyErr) -> PyResult<Option<Direction>> {
    static READ: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    static WRITE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let class = error.get_type(py);
    if class.is(READ.import(py, "_ssl", "SSLWantReadError")?) {
        return Ok(Some(Direction::Read));
    }
    if class.is(WRITE.import(py, "_ssl", "SSLWantWriteError")?) {
        return Ok(Some(Direction::Write));
    }
    Ok(None)
}
