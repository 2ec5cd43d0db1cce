//! Sockets of the standard library's own classes: made before monkey patching, or by classes that were
//! derived before it.
//!
//! Such a socket blocks in the kernel, and its timeout is CPython's business. Each operation is tried with a
//! timeout of 0, which is set and taken back around the try: nothing else runs in between, unless a callback
//! of TLS lets it. If the operation would block, the waiting is done on the hub.

use pyo3::exceptions::PyBlockingIOError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::limit::Limit;
use super::{base, connect, fd, tls};
use crate::hub::io::Direction;
use crate::posix::hub_to_wait_on;

/// Calls `function(*args, **kwargs)`, an operation on `sock`, until it need not wait, and lets other green
/// threads run meanwhile.
///
/// It may wait for `timeout` seconds, or for ever if that is None; after that TimeoutError is raised. `write`
/// tells what a BlockingIOError of it waits for. Where waiting is not possible (`can_wait`), or if the timeout
/// is 0, it is just called.
#[pyfunction]
#[pyo3(signature = (sock, write, timeout, function, *args, **kwargs))]
pub fn call_early<'py>(
    sock: &Bound<'py, PyAny>,
    write: bool,
    timeout: Option<f64>,
    function: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = sock.py();
    if timeout == Some(0.0) || hub_to_wait_on(py)?.is_none() {
        return function.call(args, kwargs);
    }
    let blocking = if write {
        Direction::Write
    } else {
        Direction::Read
    };
    let mut limit = Limit::after(timeout);
    loop {
        let fd = fd::of(sock)?;
        let error = match without_waiting(sock, || function.call(args, kwargs))? {
            Ok(result) => return Ok(result),
            Err(error) => error,
        };
        let direction = if error.is_instance_of::<PyBlockingIOError>(py) {
            blocking
        } else if let Some(direction) = tls::wanted(py, &error)? {
            direction
        } else {
            return Err(error);
        };
        drop(error);
        limit.wait_level(sock, fd, direction)?;
    }
}

/// Makes a call while the timeout of the socket is 0.
fn without_waiting<'py>(
    socket: &Bound<'py, PyAny>,
    call: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<PyResult<Bound<'py, PyAny>>> {
    let py = socket.py();
    let class = base::class(py)?;
    let set = class.getattr(intern!(py, "settimeout"))?;
    let timeout = class.getattr(intern!(py, "gettimeout"))?.call1((socket,))?;
    set.call1((socket, 0.0))?;
    let result = call();
    match set.call1((socket, timeout)) {
        Ok(_) => {}
        // The call may have closed the socket, or given its descriptor away.
        Err(_) if fd::of(socket).is_err() => {}
        Err(error) => return Err(error),
    }
    Ok(result)
}

/// Returns `address` with its host as a number, if it has one that is a name. It is looked up without
/// blocking other green threads.
#[pyfunction]
pub fn resolved<'py>(
    sock: &Bound<'py, PyAny>,
    address: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    connect::resolved(sock, address)
}
