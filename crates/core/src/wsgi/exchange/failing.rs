//! What becomes of a request whose application fails, or whose client does.

use eventlet_http1::response::{Status, encode};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

use super::{After, Exchange, State, protocol_version};
use crate::wsgi::connection::{Fault, is_disconnect};

impl Exchange {
    /// After an exception of the application: reports it, and answers 500 if that is still possible.
    pub(super) fn fail(slf: &Bound<'_, Self>, error: PyErr) -> PyResult<After> {
        let py = slf.py();
        let this = slf.get();
        let connection = this.connection.get();
        let server = connection.server.get();
        if let Some(fault) = connection.fault(py)
            && is_client_error(py, &error)
        {
            return Self::answer_fault(slf, fault, &error);
        }
        if !error.is_instance_of::<PyException>(py) && !is_time_limit(&error) {
            return Err(error);
        }
        let text = format_error(py, &error)?;
        server.log.failure(py, text.trim_end())?;
        if this.head_is_sent(py) || connection.is_hijacked(py) {
            // The client is in the middle of a body; only the end of the connection tells it so.
            return Ok(After::Close);
        }
        let body = if server.config.debug {
            text
        } else {
            String::new()
        };
        let status = Status {
            code: 500,
            reason: b"Internal Server Error",
        };
        Self::answer(slf, status, &body)
    }

    /// After the client did something wrong and the application let the error pass: says so, if the
    /// client is there to hear it.
    fn answer_fault(slf: &Bound<'_, Self>, fault: Fault, error: &PyErr) -> PyResult<After> {
        let py = slf.py();
        let this = slf.get();
        if this.head_is_sent(py) || this.connection.get().is_hijacked(py) {
            return Ok(After::Close);
        }
        let status = match fault {
            Fault::Gone => return Ok(After::Close),
            Fault::Slow => Status {
                code: 408,
                reason: b"Request Timeout",
            },
            Fault::Malformed(error) => Status {
                code: error.status(),
                reason: error.reason().as_bytes(),
            },
        };
        Self::answer(slf, status, &format!("{}\n", error.value(py)))
    }

    /// Sends a response of the server's own, the last one on this connection.
    fn answer(slf: &Bound<'_, Self>, status: Status<'_>, body: &str) -> PyResult<After> {
        let py = slf.py();
        let this = slf.get();
        let server = this.connection.get().server.get();
        let old = this.state.with(py, |s| {
            let sent = s.sent;
            let old = std::mem::replace(
                s,
                State {
                    sent,
                    ..State::default()
                },
            );
            s.code = Some(status.code);
            s.app.close = true;
            encode::status_line(&mut s.head, protocol_version(server.config.http10), status);
            encode::header_line(&mut s.head, b"Content-Type", b"text/plain; charset=utf-8");
            old
        });
        drop(old);
        let sent = Self::send(slf, body.as_bytes(), Some(body.len() as u64), true);
        match sent {
            Ok(()) => Ok(After::Close),
            Err(error) if is_disconnect(py, &error) => Ok(After::Close),
            Err(error) => Err(error),
        }
    }
}

/// Whether an error is one that reading from or writing to the client raises.
fn is_client_error(py: Python<'_>, error: &PyErr) -> bool {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    is_disconnect(py, error)
        || CLASS
            .import(py, "eventlet.wsgi", "ChunkReadError")
            .and_then(|class| error.value(py).is_instance(class))
            .unwrap_or(false)
}

/// Whether it is an `eventlet.Timeout`, which is no `Exception` but ends a request like one.
pub(super) fn is_time_limit(error: &PyErr) -> bool {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    Python::attach(|py| {
        CLASS
            .import(py, "eventlet.timeout", "Timeout")
            .and_then(|class| error.value(py).is_instance(class))
            .unwrap_or(false)
    })
}

fn format_error(py: Python<'_>, error: &PyErr) -> PyResult<String> {
    let value = error.value(py);
    let lines = py.import("traceback")?.call_method1(
        "format_exception",
        (value.get_type(), value, error.traceback(py)),
    )?;
    PyString::new(py, "")
        .call_method1("join", (lines,))?
        .extract()
}
