//! The two ends of a connection.

use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::Arc;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyString;
use rustix::net::SocketAddrAny;

use super::Connection;
use crate::wsgi::environ::Addresses;
use crate::wsgi::transport::Transport;

impl Connection {
    /// The two ends as strings, found out on the first call.
    pub(in crate::wsgi) fn addresses(&self, py: Python<'_>) -> PyResult<Arc<Addresses>> {
        if let Some(known) = self.state.with(py, |s| s.addresses.clone()) {
            return Ok(known);
        }
        let Transport::Descriptor(fd) = self.transport(py) else {
            return Err(PyOSError::new_err("the connection has no address"));
        };
        let (remote_addr, remote_port) = address(py, fd, |fd| rustix::net::getpeername(fd));
        let (server_name, server_port) = match &self.server.get().address {
            Some((name, port)) => (name.clone_ref(py), port.clone_ref(py)),
            None => address(py, fd, |fd| rustix::net::getsockname(fd).map(Some)),
        };
        let found = Arc::new(Addresses {
            remote_addr,
            remote_port,
            server_name,
            server_port,
        });
        self.state
            .with(py, |s| s.addresses = Some(Arc::clone(&found)));
        Ok(found)
    }
}

/// Host and port of one end of a connection; `unix` and nothing for a Unix socket.
fn address(
    py: Python<'_>,
    fd: RawFd,
    name: impl Fn(BorrowedFd<'_>) -> rustix::io::Result<Option<SocketAddrAny>>,
) -> (Py<PyString>, Py<PyString>) {
    // SAFETY: the descriptor is this connection's and open for the duration of the call.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let found = name(fd)
        .ok()
        .flatten()
        .and_then(|found| SocketAddr::try_from(found).ok());
    match found {
        Some(found) => (
            PyString::new(py, &found.ip().to_string()).unbind(),
            PyString::new(py, &found.port().to_string()).unbind(),
        ),
        None => (
            PyString::new(py, "unix").unbind(),
            PyString::new(py, "").unbind(),
        ),
    }
}
