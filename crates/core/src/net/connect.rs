//! Connecting, and the names that addresses may have.
//!
//! A host name is looked up by `eventlet.green._dns`, in another OS thread, before the system call is made;
//! a numeric host is left as it is. The connection is made by CPython's `connect_ex`, which returns the
//! errno of the non-blocking call; what is left is to wait and to ask the kernel how it went. It is asked
//! before the first wait as well: within a machine, TCP has connected when the call returns, although that
//! says otherwise.

use std::ffi::c_int;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::RawFd;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyString, PyTuple};

use super::buffer::errno;
use super::limit::{Limit, is_non_blocking};
use super::{base, fd};
use crate::hub::io::Direction;

/// Pauses between attempts to connect to a local socket whose queue is full: there is no event for it.
const FIRST_PAUSE: f64 = 0.001;
const LONGEST_PAUSE: f64 = 0.05;

/// `address` with its host as a number, if it has a host that is a name.
pub fn resolved<'py>(
    socket: &Bound<'py, PyAny>,
    address: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    static RESOLVE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let Ok(tuple) = address.cast::<PyTuple>() else {
        return Ok(address.clone());
    };
    let family = fd::kind(socket)?.family;
    if tuple.is_empty() || (family != libc::AF_INET && family != libc::AF_INET6) {
        return Ok(address.clone());
    }
    let host = tuple.get_item(0)?;
    let named = if let Ok(text) = host.cast::<PyString>() {
        text.to_str().is_ok_and(|text| !is_numeric(text))
    } else {
        host.is_instance_of::<PyBytes>()
    };
    if !named {
        return Ok(address.clone());
    }
    RESOLVE
        .import(socket.py(), "eventlet.green._dns", "resolve_address")?
        .call1((address, family))
}

/// Whether a host needs no looking up.
fn is_numeric(host: &str) -> bool {
    host.is_empty()
        || host == "<broadcast>"
        || host.parse::<Ipv4Addr>().is_ok()
        || host.parse::<Ipv6Addr>().is_ok()
}

/// Connects. Returns 0, or the errno of the failure.
pub fn connect(socket: &Bound<'_, PyAny>, address: &Bound<'_, PyAny>) -> PyResult<c_int> {
    let py = socket.py();
    let address = resolved(socket, address)?;
    let args = PyTuple::new(py, [address])?;
    let mut limit = Limit::new();
    let mut pause = FIRST_PAUSE;
    loop {
        let fd = fd::of(socket)?;
        let code: c_int = base::call(socket, intern!(py, "connect_ex"), &args, None)?.extract()?;
        match code {
            0 | libc::EISCONN => return Ok(0),
            libc::EINTR => py.check_signals()?,
            libc::EINPROGRESS | libc::EALREADY => {
                if is_non_blocking(socket)? {
                    return Ok(code);
                }
                return settle(socket, fd, &mut limit, code);
            }
            libc::EAGAIN => {
                if is_non_blocking(socket)? {
                    return Ok(code);
                }
                limit.pause(socket, pause, code)?;
                pause = (pause * 2.0).min(LONGEST_PAUSE);
            }
            _ => return Ok(code),
        }
    }
}

/// Waits until a connection that is being made is there, or has failed.
fn settle(
    socket: &Bound<'_, PyAny>,
    mut fd: RawFd,
    limit: &mut Limit,
    errno: c_int,
) -> PyResult<c_int> {
    loop {
        match state(fd) {
            Ok(true) => return Ok(0),
            Ok(false) => {}
            Err(code) => return Ok(code),
        }
        limit.wait(socket, fd, Direction::Write, errno)?;
        fd = fd::of(socket)?;
    }
}

/// Whether the socket is connected; the errno if it cannot be any more.
fn state(fd: RawFd) -> Result<bool, c_int> {
    let mut code: c_int = 0;
    let mut length = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: the option is an integer, and the length is that of one.
    let status = unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_ERROR,
            (&raw mut code).cast(),
            &raw mut length,
        )
    };
    if status != 0 {
        return Err(errno());
    }
    if code != 0 {
        return Err(code);
    }
    // SAFETY: all zeros is a valid value.
    let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: the storage is as long as `length` says.
    let status = unsafe { libc::getpeername(fd, (&raw mut storage).cast(), &raw mut length) };
    if status == 0 {
        return Ok(true);
    }
    match errno() {
        libc::ENOTCONN => Ok(false),
        code => Err(code),
    }
}
