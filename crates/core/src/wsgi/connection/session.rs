//! Connections whose requests are read in Python: by an `eventlet.wsgi.HttpProtocol`.
//!
//! A subclass of that may read the connection as it likes, so its files are the only way to the bytes, and
//! whoever reads them takes no more than is his: the class takes the lines of a head, and this server the
//! bytes of the body. What the head says, and all that follows from it, is found out here as for any other
//! connection.

use std::sync::Arc;

use eventlet_http1::BodyLength;
use eventlet_http1::response::Status;
use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::{Connection, Phase, preface};
use crate::cell::GilCell;
use crate::wsgi::environ::Addresses;
use crate::wsgi::exchange::{After, Exchange};
use crate::wsgi::server::WsgiServer;
use crate::wsgi::transport::{self, Transport};

create_exception!(
    eventlet._core,
    RequestRefused,
    PyException,
    "A head that is no request: status code, reason, and what is wrong with it."
);

/// The native part of an `HttpProtocol`.
#[pyclass(frozen, module = "eventlet._core")]
pub struct Session {
    connection: Py<Connection>,
    /// The request whose head has been read.
    exchange: GilCell<Option<Py<Exchange>>>,
}

#[pymethods]
impl Session {
    /// A session for `protocol`, which has the attributes `connection`, `rfile` and `wfile`.
    #[new]
    fn new(
        server: &Bound<'_, WsgiServer>,
        protocol: Py<PyAny>,
        local: (Py<PyString>, Py<PyString>),
    ) -> PyResult<Self> {
        let py = server.py();
        server
            .get()
            .accepted
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let none = PyString::new(py, "").unbind();
        let addresses = Addresses {
            remote_addr: none.clone_ref(py),
            remote_port: none,
            server_name: local.0,
            server_port: local.1,
            is_proxy: false,
        };
        let transport = Transport::Protocol(protocol);
        let connection = Connection::new(server, transport, false, Some(Arc::new(addresses)))?;
        Ok(Self {
            connection,
            exchange: GilCell::new(None),
        })
    }

    /// The head of a request has begun to come.
    fn begin_head(&self, py: Python<'_>) {
        self.connection.get().state.with(py, |s| {
            if s.phase == Phase::Idle {
                s.phase = Phase::Head;
            }
        });
    }

    /// Takes in the head of a request, from the client at `remote`: its environ, and whether the connection
    /// may persist.
    ///
    /// Raises `RequestRefused` if it is not the head of a request, no more and no less.
    fn begin(
        &self,
        py: Python<'_>,
        head: &[u8],
        remote: (Py<PyString>, Py<PyString>),
    ) -> PyResult<(Py<PyDict>, bool)> {
        let connection = self.connection.bind(py);
        connection.get().set_remote(py, remote);
        let server = connection.get().server.get();
        let mut parser = server.take_parser(py);
        let made = match parser.parse(head, &server.config.limits) {
            Ok(Some(length)) if length == head.len() => {
                Exchange::new(connection, parser.head(), head, length)
                    .map(|exchange| (exchange, parser.head().body()))
            }
            Ok(_) => Err(RequestRefused::new_err((
                400,
                "Bad Request",
                "not a complete request head",
            ))),
            Err(error) => Err(RequestRefused::new_err((
                error.status(),
                error.reason(),
                error.to_string(),
            ))),
        };
        server.return_parser(py, parser);
        let (exchange, body) = made?;
        connection.get().begin_request(py, body)?;
        let result = {
            let exchange = exchange.get();
            (exchange.environ(py), exchange.keep_alive())
        };
        let old = self.exchange.replace(py, Some(exchange));
        drop(old);
        Ok(result)
    }

    /// Runs the application with `environ` and sends its response: whether the connection persists, which it
    /// does not with `close`, and whether the client may still be sending.
    fn respond(&self, environ: &Bound<'_, PyDict>, close: bool) -> PyResult<(bool, bool)> {
        let py = environ.py();
        let Some(exchange) = self.exchange.take(py) else {
            return Ok((false, false));
        };
        let exchange = Exchange::adapted(exchange.into_bound(py), environ, close)?;
        let after = Exchange::run(&exchange)?;
        let connection = self.connection.get();
        connection.end_request(py);
        let persists = after == After::Persist && !connection.server.get().is_stopping();
        Ok((persists, after == After::Linger))
    }

    /// Answers what is not a request with a status and a line of text.
    fn refuse(&self, py: Python<'_>, code: u16, reason: &str, text: &str) -> PyResult<()> {
        let reason: Vec<u8> = reason
            .bytes()
            .filter(|byte| !byte.is_ascii_control())
            .collect();
        let status = Status {
            code,
            reason: &reason,
        };
        let connection = self.connection.get();
        let length = connection.answer_refusal(py, status, &format!("{text}\n"))?;
        connection.log_refusal(py, code, length)
    }

    /// Forgets the connection; the protocol closes it.
    fn close(&self, py: Python<'_>) {
        Connection::close(self.connection.bind(py));
        let old = self.exchange.take(py);
        drop(old);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.connection)?;
        self.exchange
            .peek(|exchange| visit.call(exchange))
            .unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        let old = self.exchange.take(py);
        drop(old);
    }
}

impl Connection {
    /// Where the client is, if the connection does not tell.
    fn set_remote(&self, py: Python<'_>, remote: (Py<PyString>, Py<PyString>)) {
        let trusted = &self.server.get().config.trusted;
        let is_proxy = !trusted.is_empty() && trusted.believes(preface::named(py, &remote.0));
        let old = self.state.with(py, |s| {
            let old = s.addresses.take()?;
            s.addresses = Some(Arc::new(Addresses {
                remote_addr: remote.0,
                remote_port: remote.1,
                server_name: old.server_name.clone_ref(py),
                server_port: old.server_port.clone_ref(py),
                is_proxy,
            }));
            Some(old)
        });
        drop(old);
    }

    /// A request is about to run.
    fn begin_request(&self, py: Python<'_>, body: BodyLength) -> PyResult<()> {
        let is_closed = self.state.with(py, |s| {
            if s.phase == Phase::Closed {
                return true;
            }
            s.phase = Phase::Busy;
            s.interruptible = false;
            s.fault = None;
            s.requests += 1;
            false
        });
        if is_closed {
            return Err(transport::closed(py));
        }
        self.set_body_length(py, body);
        Ok(())
    }

    /// No request is running any more.
    fn end_request(&self, py: Python<'_>) {
        self.state.with(py, |s| {
            if s.phase == Phase::Busy {
                s.phase = Phase::Idle;
            }
        });
    }
}
