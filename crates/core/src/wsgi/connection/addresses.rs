//! The two ends of a connection.

use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::Arc;

use eventlet_proxy::trusted::Peer;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyString;
use rustix::net::SocketAddrAny;

use super::Connection;
use crate::wsgi::environ::Addresses;

impl Connection {
    /// The two ends as strings, found out on the first call.
    pub(in crate::wsgi) fn addresses(&self, py: Python<'_>) -> PyResult<Arc<Addresses>> {
        if let Some(known) = self.state.with(py, |s| s.addresses.clone()) {
            return Ok(known);
        }
        let Some(fd) = self.transport(py).descriptor() else {
            return Err(PyOSError::new_err("the connection has no address"));
        };
        let client = address(fd, |fd| rustix::net::getpeername(fd));
        let (remote_addr, remote_port) = remote(py, client);
        let (server_name, server_port) = match &self.server.get().address {
            Some((name, port)) => (name.clone_ref(py), port.clone_ref(py)),
            None => remote(py, address(fd, |fd| rustix::net::getsockname(fd).map(Some))),
        };
        let trusted = &self.server.get().config.trusted;
        let found = Arc::new(Addresses {
            remote_addr,
            remote_port,
            server_name,
            server_port,
            is_proxy: !trusted.is_empty() && trusted.believes(as_peer(client)),
        });
        self.state
            .with(py, |s| s.addresses = Some(Arc::clone(&found)));
        Ok(found)
    }
}

/// Who is at the other end of a descriptor.
pub(in crate::wsgi) fn peer(fd: RawFd) -> Peer {
    as_peer(address(fd, |fd| rustix::net::getpeername(fd)))
}

fn as_peer(address: Option<SocketAddr>) -> Peer {
    address.map_or(Peer::Unix, |address| Peer::Ip(address.ip()))
}

/// Host and port as strings; `unix` and nothing for a Unix socket.
pub(super) fn remote(py: Python<'_>, address: Option<SocketAddr>) -> (Py<PyString>, Py<PyString>) {
    match address {
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

/// The address of one end of a connection; `None` for a Unix socket.
fn address(
    fd: RawFd,
    name: impl Fn(BorrowedFd<'_>) -> rustix::io::Result<Option<SocketAddrAny>>,
) -> Option<SocketAddr> {
    // SAFETY: the descriptor is this connection's and open for the duration of the call.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    name(fd)
        .ok()
        .flatten()
        .and_then(|found| SocketAddr::try_from(found).ok())
}
