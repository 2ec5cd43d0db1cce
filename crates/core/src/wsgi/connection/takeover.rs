//! Giving the connection to the application as a socket.

use std::os::fd::RawFd;

use pyo3::exceptions::PyOSError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::Connection;
use crate::wsgi::transport::{self, Transport};

impl Connection {
    /// The connection as a socket object, which owns the descriptor from now on.
    pub(in crate::wsgi) fn socket(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        static FROM_FD: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = slf.py();
        let this = slf.get();
        let fd = match this.transport(py) {
            Transport::Object(socket) | Transport::Tls { socket, .. } => {
                let taken = this
                    .state
                    .with(py, |s| std::mem::replace(&mut s.hijacked, true));
                if !taken {
                    // The limits so far were those of the request.
                    this.set_timeout(socket.bind(py))?;
                }
                return Ok(socket);
            }
            Transport::Protocol(protocol) => {
                this.state.with(py, |s| s.hijacked = true);
                return protocol.getattr(py, intern!(py, "connection"));
            }
            Transport::Descriptor(fd) => fd,
            Transport::Closed => return Err(transport::closed(py)),
        };
        let make = FROM_FD.import(py, "eventlet.greenio", "GreenSocket")?;
        let kwargs = pyo3::types::PyDict::new(py);
        kwargs.set_item(intern!(py, "fileno"), fd)?;
        let family = socket_option(fd, libc::SO_DOMAIN)?;
        let kind = socket_option(fd, libc::SO_TYPE)?;
        let socket = make.call((family, kind, 0), Some(&kwargs))?;
        if this.server.get().config.socket_timeout.is_some() {
            this.set_timeout(&socket)?;
        }
        let old = this.state.with(py, |s| {
            s.hijacked = true;
            std::mem::replace(&mut s.transport, Transport::Object(socket.clone().unbind()))
        });
        drop(old);
        Ok(socket.unbind())
    }

    /// Gives a socket the time limit that the server's user wants for all sockets of clients.
    fn set_timeout(&self, socket: &Bound<'_, PyAny>) -> PyResult<()> {
        let seconds = self.server.get().config.socket_timeout;
        socket
            .call_method1(intern!(socket.py(), "settimeout"), (seconds,))
            .map(drop)
    }
}

fn socket_option(fd: RawFd, option: libc::c_int) -> PyResult<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut size = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the option is an integer, whose address and size are given.
    let result = unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            option,
            (&raw mut value).cast(),
            &raw mut size,
        )
    };
    if result == 0 {
        Ok(value)
    } else {
        Err(PyOSError::new_err("not a socket"))
    }
}
