//! The beginning of a connection that is to be secured: the handshake, in the connection's own green thread.
//!
//! Until the first byte comes, the connection waits in the hub like any other. The handshake waits for the client,
//! so it is done in a green thread, in the time that a head may take. Afterwards the hub has the connection again:
//! to decrypt what has come needs no green thread.

use std::os::fd::RawFd;

use eventlet_proxy::header::{self, Progress};
use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;

use super::closing::close_object;
use super::{Connection, Phase};
use crate::hub::io::Direction;
use crate::wsgi::transport::{self, Patience, Transport};

impl Connection {
    /// Does the handshake; false if the connection is over.
    pub(super) fn shake_hands(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        let Transport::Descriptor(fd) = this.transport(py) else {
            return Ok(false);
        };
        // Found out while the descriptor is ours.
        let known = this.addresses(py)?;
        drop(known);
        let (deadline, awaits_proxy) = this.state.with(py, |s| (s.head_deadline, s.awaits_proxy));
        let mut patience = Patience::until(deadline, None);
        let result = if awaits_proxy {
            Self::read_preface(slf, fd, &mut patience)
        } else {
            Ok(())
        };
        match result.and_then(|()| Self::secure(slf, fd, &mut patience)) {
            Ok(is_open) => Ok(is_open),
            Err(error) if error.is_instance_of::<PyException>(py) => {
                // Whatever is wrong, it is the client that will tell, if anybody does.
                this.whisper(py, &format!("failed to agree on TLS: {}", error.value(py)));
                Self::close(slf);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn secure(slf: &Bound<'_, Self>, fd: RawFd, patience: &mut Patience) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        let Some(secure) = this.server.get().securing(py) else {
            return Ok(false);
        };
        // The descriptor belongs to the socket from the call on, even if that fails.
        let is_open = this.state.with(py, |s| {
            let is_open = matches!(s.transport, Transport::Descriptor(_));
            s.transport = Transport::Closed;
            is_open
        });
        if !is_open {
            return Ok(false);
        }
        let socket = secure.bind(py).call1((fd,))?;
        if !this.put(py, Transport::Object(socket.clone().unbind())) {
            close_object(&socket);
            return Ok(false);
        }
        socket.call_method1(intern!(py, "settimeout"), (patience.left(),))?;
        socket.call_method0(intern!(py, "do_handshake"))?;
        let layer = socket.getattr(intern!(py, "_sslobj"))?.unbind();
        let transport = Transport::Tls {
            fd,
            socket: socket.unbind(),
            layer,
        };
        Ok(this.put(py, transport))
    }

    /// Takes a transport over, unless the connection has been closed.
    fn put(&self, py: Python<'_>, transport: Transport) -> bool {
        let (is_open, old) = self.state.with(py, |s| {
            if s.phase == Phase::Closed {
                return (false, transport);
            }
            s.awaits_tls = false;
            // The client may have sent its request along with the last of the handshake.
            s.drained = false;
            (true, std::mem::replace(&mut s.transport, transport))
        });
        drop(old);
        is_open
    }

    /// Reads the PROXY header, and not a byte more: what follows is for TLS.
    fn read_preface(slf: &Bound<'_, Self>, fd: RawFd, patience: &mut Patience) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let versions = this.server.get().config.proxy_protocol.unwrap_or_default();
        let mut header = Vec::with_capacity(64);
        loop {
            let missing = match header::parse(&header, versions) {
                Ok(Progress::Incomplete(missing)) => missing,
                Ok(Progress::Complete(_, said)) => {
                    this.state.with(py, |s| s.awaits_proxy = false);
                    return this.introduce(py, said);
                }
                Err(error) => {
                    return Err(pyo3::exceptions::PyConnectionError::new_err(
                        error.to_string(),
                    ));
                }
            };
            let known = header.len();
            header.resize(known + missing, 0);
            match transport::receive(fd, &mut header[known..]) {
                Ok(Some(0)) => return Err(transport::closed(py)),
                Ok(Some(count)) => header.truncate(known + count),
                Ok(None) => {
                    header.truncate(known);
                    transport::wait(py, fd, Direction::Read, patience)?;
                }
                Err(error) => return Err(crate::errors::io_error(py, &error)),
            }
        }
    }
}
