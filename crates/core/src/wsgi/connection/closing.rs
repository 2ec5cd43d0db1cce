//! The end of a connection: lingering, closing, and what says that the client has gone.

use pyo3::exceptions::{
    PyConnectionError, PyException, PyKeyboardInterrupt, PyOSError, PyTimeoutError,
};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;

use super::{Connection, Phase};
use crate::hub::io::{self, Direction};
use crate::wsgi::files;
use crate::wsgi::server::WsgiServer;
use crate::wsgi::transport::{self, Patience, Transport};
use crate::{clock, errors, hub};

/// How long a lingering connection is kept, in nanoseconds.
const LINGER_TIME: u64 = 2_000_000_000;

/// How much a lingering connection may still send, in bytes.
const LINGER_BYTES: usize = 1 << 20;

impl Connection {
    /// After the connection began to linger in its green thread: hands it to the hub.
    pub(super) fn settle(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let hub = hub::current(py)?;
        let this = slf.get();
        let Some(fd) = this.transport(py).descriptor() else {
            return Self::linger_in_place(slf);
        };
        while this.state.with(py, |s| s.phase == Phase::Lingering) {
            if Self::await_data(slf, &hub, fd)? {
                return Ok(());
            }
            let mut scratch = transport::take_scratch();
            let result = this.receive(py, &Transport::Descriptor(fd), fd, &mut scratch);
            transport::return_scratch(scratch);
            let is_over = match result? {
                None => false,
                Some(0) => true,
                Some(count) => this.has_lingered(py, count),
            };
            if is_over {
                Self::close(slf);
            }
        }
        Ok(())
    }

    /// Lingers in the green thread, with an object that the hub cannot wait for.
    #[cold]
    fn linger_in_place(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let mut patience = Patience::until(this.state.with(py, |s| s.deadline), None);
        let mut input = Vec::new();
        while this.state.with(py, |s| s.phase == Phase::Lingering) {
            input.clear();
            let is_over = match this.transport(py).read(py, &mut patience, &mut input) {
                Ok(0) => true,
                Ok(count) => this.has_lingered(py, count),
                Err(error) if is_disconnect(py, &error) => true,
                Err(error) => return Err(error),
            };
            if is_over {
                Self::close(slf);
            }
        }
        Ok(())
    }

    /// Counts what came while it lingers; true if that is enough.
    pub(super) fn has_lingered(&self, py: Python<'_>, count: usize) -> bool {
        self.state.with(py, |s| {
            s.lingered += count;
            s.lingered > LINGER_BYTES
        })
    }

    /// Stops sending and waits a little for the client to stop as well.
    pub(super) fn linger(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let this = slf.get();
        let transport = this.transport(py);
        // A connection that has been taken over may be somebody else's by now.
        let half_closed = !this.is_hijacked(py)
            && match &transport {
                Transport::Descriptor(fd) | Transport::Tls { fd, .. } if this.managed => {
                    if let Transport::Tls { layer, .. } = &transport {
                        say_goodbye(layer.bind(py));
                    }
                    // SAFETY: shutting down a descriptor of ours; an error means that the peer has gone.
                    unsafe { libc::shutdown(*fd, libc::SHUT_WR) };
                    true
                }
                Transport::Object(object) => object
                    .bind(py)
                    .call_method1(intern!(py, "shutdown"), (libc::SHUT_WR,))
                    .is_ok(),
                _ => false,
            };
        if !half_closed {
            Self::close(slf);
            return;
        }
        this.state.with(py, |s| {
            s.phase = Phase::Lingering;
            s.buffer = Vec::new();
            s.deadline = clock::now() + LINGER_TIME;
        });
    }

    /// Ends the connection, whatever it is doing. Does nothing the second time.
    pub(in crate::wsgi) fn close(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let this = slf.get();
        if let Some(hub) = hub::existing(py) {
            this.disarm(py, &hub);
        }
        let (transport, key, handler, objects) = this.state.with(py, |s| {
            s.phase = Phase::Closed;
            s.buffer = Vec::new();
            s.parser = None;
            (
                // Its green thread may go on; whatever it writes must not reach the next owner of the
                // number.
                std::mem::replace(&mut s.transport, Transport::Closed),
                s.key.take(),
                s.handler.take(),
                (s.exchange.take(), s.set_idle.take(), s.farewell.take()),
            )
        });
        match transport {
            Transport::Closed => {}
            Transport::Descriptor(fd) => {
                if let Some(hub) = hub::existing(py) {
                    let waiter = hub
                        .get()
                        .io
                        .with(py, |io| io.unwait_handler(fd, Direction::Read));
                    drop(waiter);
                    io::next_generation(py, fd);
                    hub.get().release(py, fd);
                }
                // SAFETY: the descriptor is this connection's, and nobody uses it after this.
                unsafe { libc::close(fd) };
            }
            Transport::Tls { fd, socket, layer } => {
                if let Some(hub) = hub::existing(py) {
                    let waiter = hub
                        .get()
                        .io
                        .with(py, |io| io.unwait_handler(fd, Direction::Read));
                    drop(waiter);
                }
                say_goodbye(layer.bind(py));
                close_object(socket.bind(py));
            }
            Transport::Object(object) => close_object(object.bind(py)),
            // It closes its socket itself.
            Transport::Protocol(protocol) => files::shut_down(protocol.bind(py)),
        }
        drop((handler, objects));
        if let Some(key) = key {
            WsgiServer::leave(this.server.bind(py), key);
        }
    }

    /// An error of the server's own, outside any request: reports it and closes the connection.
    pub(super) fn failed(slf: &Bound<'_, Self>, error: PyErr) -> PyResult<()> {
        let py = slf.py();
        Self::close(slf);
        if !error.is_instance_of::<PyException>(py) {
            return Err(error);
        }
        if !is_disconnect(py, &error) {
            errors::unraisable(py, error, Some(slf.as_any()));
        }
        Ok(())
    }
}

/// Whether an error says no more than that the client has gone, or takes too long.
pub(in crate::wsgi) fn is_disconnect(py: Python<'_>, error: &PyErr) -> bool {
    if error.is_instance_of::<PyConnectionError>(py) || error.is_instance_of::<PyTimeoutError>(py) {
        return true;
    }
    error.is_instance_of::<PyOSError>(py)
        && error
            .value(py)
            .getattr(intern!(py, "errno"))
            .and_then(|errno| errno.extract::<i32>())
            .is_ok_and(|errno| {
                matches!(
                    errno,
                    libc::EPIPE | libc::ECONNRESET | libc::ESHUTDOWN | libc::EBADF | libc::ENOTCONN
                )
            })
}

/// Sends the peer the end of TLS, so that it can tell it from a connection that was cut. What fails has been closed
/// already, or has no room for it.
fn say_goodbye(layer: &Bound<'_, PyAny>) {
    let py = layer.py();
    if let Err(error) = layer.call_method0(intern!(py, "shutdown")) {
        postpone(py, error);
    }
}

/// After an error where none can be raised: the interrupt of the program is to come again, all else is about a
/// client that has gone.
pub(super) fn postpone(py: Python<'_>, error: PyErr) {
    if error.is_instance_of::<PyKeyboardInterrupt>(py) {
        // SAFETY: it only notes that the signal has come; the GIL is held.
        unsafe { ffi::PyErr_SetInterrupt() };
    }
}

/// Shuts down and closes a socket-like object; what fails has been closed by the peer.
pub(super) fn close_object(object: &Bound<'_, PyAny>) {
    let py = object.py();
    let _gone = object.call_method1(intern!(py, "shutdown"), (libc::SHUT_RDWR,));
    if let Err(error) = object.call_method0(intern!(py, "close"))
        && !is_disconnect(py, &error)
    {
        errors::unraisable(py, error, Some(object));
    }
}
