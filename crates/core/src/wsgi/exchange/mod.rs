//! A request and its response.
//!
//! An [`Exchange`] is made when the head of a request is complete. It is the `start_response` that the
//! application gets, and it is what the connection's green thread runs: call the application, send what it
//! yields, clean up.
//!
//! Head and body leave together: the head is encoded when `start_response` is called, which is where a bad
//! header can be refused, but it is sent with the first block of the body, when the framing is known.

mod failing;
mod sending;

use std::borrow::Cow;

use eventlet_http1::response::{
    AppHeaders, Framing, HeaderRole, RequestInfo, ResponseBody, Status, encode, framing,
};
use eventlet_http1::{Head, Version};
use pyo3::exceptions::{PyAssertionError, PyException, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use self::failing::is_time_limit;
use super::connection::Connection;
use super::forwarded;
use super::input::Input;
use super::log::{AccessLog, Entry};
use super::text::{Part, refused, with_latin1};
use super::transport::block_of;
use super::uwsgi::Packet;
use crate::cell::GilCell;
use crate::{clock, errors};

/// What becomes of the connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It waits for the next request.
    Persist,
    /// It is closed.
    Close,
    /// It is closed once the client has stopped sending.
    Linger,
}

/// One request with its response; the `start_response` of its application.
#[pyclass(frozen, weakref, module = "eventlet._core")]
pub struct Exchange {
    connection: Py<Connection>,
    environ: Py<PyDict>,
    input: Py<Input>,
    request: RequestInfo,
    /// Kept for the access log only.
    request_line: Box<[u8]>,
    started: u64,
    state: GilCell<State>,
}

#[derive(Default)]
struct State {
    /// Status line and headers of the application, encoded, without the empty line.
    head: Vec<u8>,
    /// Its Connection headers, which are sent only if they fit.
    connection_lines: Vec<u8>,
    app: AppHeaders,
    code: Option<u16>,
    /// Set when the head has been sent.
    framing: Option<Framing>,
    body: Option<ResponseBody>,
    /// Bytes sent.
    sent: u64,
    /// Blocks gathered until there is enough to send.
    pending: Vec<u8>,
}

/// `start_response`'s result: `write(data)`, for applications that send rather than yield.
#[pyclass(frozen, module = "eventlet._core")]
pub struct Writer(Py<Exchange>);

#[pymethods]
impl Writer {
    /// Sends a block of the body.
    fn __call__(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let exchange = self.0.bind(data.py());
        Exchange::send_block(exchange, &block_of(data)?)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}

#[pymethods]
impl Exchange {
    /// `start_response(status, response_headers, exc_info=None)` of PEP 3333.
    #[pyo3(signature = (status, response_headers, exc_info = None))]
    fn __call__(
        slf: &Bound<'_, Self>,
        status: &Bound<'_, PyAny>,
        response_headers: &Bound<'_, PyAny>,
        exc_info: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Writer> {
        let this = slf.get();
        let py = slf.py();
        if this.head_is_sent(py) {
            return Err(match exc_info {
                // Too late for another response; the application's own error says why it wanted one.
                Some(info) => raised(info)?,
                None => PyAssertionError::new_err("start_response() after the response has begun"),
            });
        }
        this.start_response(status, response_headers)?;
        Ok(Writer(slf.clone().unbind()))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.connection)?;
        visit.call(&self.environ)?;
        visit.call(&self.input)
    }
}

impl Exchange {
    /// The exchange for the request whose head is `bytes[..length]`.
    pub(super) fn new(
        connection: &Bound<'_, Connection>,
        head: &Head,
        bytes: &[u8],
        length: usize,
    ) -> PyResult<Py<Self>> {
        let py = connection.py();
        let server = connection.get().server.get();
        let addresses = connection.get().addresses(py)?;
        let environ = server.environ.build(py, head, bytes, length, &addresses)?;
        if addresses.is_proxy {
            forwarded::apply(&environ, head, bytes, &server.config.trusted)?;
        }
        let mut request = head.request_info();
        request.keep_alive &= connection.get().may_persist(py);
        if server.config.http10 {
            request.version = Version::Http10;
            request.keep_alive = false;
        }
        Self::make(connection, environ, Some(head), request, || {
            head.request_line(bytes).into()
        })
    }

    /// The exchange for the request in a packet of the uwsgi protocol.
    pub(super) fn from_packet(
        connection: &Bound<'_, Connection>,
        packet: &Packet<'_>,
    ) -> PyResult<Py<Self>> {
        let py = connection.py();
        let server = connection.get().server.get();
        let addresses = connection.get().addresses(py)?;
        let environ = server.environ.build_from_packet(py, packet, &addresses)?;
        environ.set_item(intern!(py, "eventlet.posthooks"), PyList::empty(py))?;
        Self::make(connection, environ, None, packet.request_info(), || {
            packet.request_line()
        })
    }

    fn make(
        connection: &Bound<'_, Connection>,
        environ: Bound<'_, PyDict>,
        head: Option<&Head>,
        request: RequestInfo,
        request_line: impl FnOnce() -> Box<[u8]>,
    ) -> PyResult<Py<Self>> {
        let py = connection.py();
        let input = Py::new(py, Input::new(connection.clone().unbind(), head))?;
        environ.set_item(intern!(py, "wsgi.input"), &input)?;
        environ.set_item(intern!(py, "eventlet.input"), &input)?;
        let set_idle = Connection::idle_setter(connection)?;
        environ.set_item(intern!(py, "eventlet.set_idle"), set_idle)?;
        let (request_line, started) = if connection.get().server.get().log.is_enabled() {
            (request_line(), clock::now())
        } else {
            (Box::default(), 0)
        };
        Py::new(
            py,
            Self {
                connection: connection.clone().unbind(),
                environ: environ.unbind(),
                input,
                request,
                request_line,
                started,
                state: GilCell::new(State::default()),
            },
        )
    }

    /// The same request with another environ, or on a connection that is to be closed.
    pub(super) fn adapted<'py>(
        slf: Bound<'py, Self>,
        environ: &Bound<'py, PyDict>,
        close: bool,
    ) -> PyResult<Bound<'py, Self>> {
        let py = slf.py();
        let this = slf.get();
        if this.environ.is(environ) && !close {
            return Ok(slf);
        }
        let mut request = this.request;
        request.keep_alive &= !close;
        Bound::new(
            py,
            Self {
                connection: this.connection.clone_ref(py),
                environ: environ.clone().unbind(),
                input: this.input.clone_ref(py),
                request,
                request_line: this.request_line.clone(),
                started: this.started,
                state: GilCell::new(State::default()),
            },
        )
    }

    /// What the application is to be called with.
    pub(super) fn environ(&self, py: Python<'_>) -> Py<PyDict> {
        self.environ.clone_ref(py)
    }

    /// Whether the connection may persist after the response.
    pub(super) fn keep_alive(&self) -> bool {
        self.request.keep_alive
    }

    /// Runs the application and sends its response.
    ///
    /// # Errors
    ///
    /// What is not an `Exception`: `GreenletExit`, `SystemExit`, `KeyboardInterrupt`.
    pub(super) fn run(slf: &Bound<'_, Self>) -> PyResult<After> {
        // This frame is copied with every green thread whose application waits: it has to be small.
        let result = Self::call_application(slf);
        Self::conclude(slf, result)
    }

    #[inline]
    fn call_application<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        let server = this.connection.get().server.get();
        server
            .requests
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        server.app.bind(py).call1((this.environ.bind(py), slf))
    }

    /// Does what follows the call of the application.
    #[inline(never)]
    fn conclude(slf: &Bound<'_, Self>, result: PyResult<Bound<'_, PyAny>>) -> PyResult<After> {
        let py = slf.py();
        let this = slf.get();
        let server = this.connection.get().server.get();
        let mut after = match result.and_then(|result| Self::respond(slf, &result)) {
            Ok(after) => after,
            Err(error) => Self::fail(slf, error)?,
        };
        let input = this.input.bind(py);
        input.get().end(py);
        Self::call_hooks(slf)?;
        if server.log.is_enabled() {
            this.write_log(py)?;
        }
        let connection = this.connection.get();
        if !input.get().may_continue(py) {
            // It was never asked for the body, so it may send it or not; who knows what comes next. One that
            // has begun has to be listened to; one that waits is told by the end of the connection.
            let has_begun = connection.has_unread(py) || connection.has_buffered(py);
            after = if has_begun {
                After::Linger
            } else {
                After::Close
            };
        } else if !connection.body_is_finished(py)
            && (after == After::Close || !Input::discard(input)?)
        {
            after = After::Linger;
        }
        Ok(after)
    }

    /// Sends what the application returned, and lets it clean up.
    fn respond(slf: &Bound<'_, Self>, result: &Bound<'_, PyAny>) -> PyResult<After> {
        let py = slf.py();
        let sent = Self::send_result(slf, result);
        // Whatever happened, the application gets to clean up.
        let closed = if is_plain(result) {
            Ok(())
        } else {
            match result.getattr_opt(intern!(py, "close")) {
                Ok(Some(close)) => close.call0().map(drop),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            }
        };
        let after = sent?;
        closed?;
        Ok(after)
    }

    /// Checks and encodes what the application says its response is.
    fn start_response(
        &self,
        status: &Bound<'_, PyAny>,
        headers: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = status.py();
        let config = &self.connection.get().server.get().config;
        let mut head = Vec::with_capacity(256);
        let mut connection_lines = Vec::new();
        let mut app = AppHeaders::default();
        let code = with_latin1(status, Part::Status, |status| {
            let parsed = Status::parse(status).map_err(|error| refused(error, status, b""))?;
            encode::status_line(&mut head, protocol_version(config.http10), parsed);
            Ok(parsed.code)
        })?;
        let line = if config.capitalize {
            encode::header_line_capitalized
        } else {
            encode::header_line
        };
        let mut add = |name: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>| {
            with_latin1(name, Part::Name, |name| {
                with_latin1(value, Part::Value, |value| {
                    let role = app.note(name, value).map_err(|e| refused(e, name, value))?;
                    match role {
                        HeaderRole::Connection => line(&mut connection_lines, name, value),
                        HeaderRole::TransferEncoding => {}
                        HeaderRole::ContentLength if no_length(self.request, code) => {}
                        _ => line(&mut head, name, value),
                    }
                    Ok(())
                })
            })
        };
        for header in headers.try_iter()? {
            let header = header?;
            if let Ok(pair) = header.cast::<PyTuple>()
                && pair.len() == 2
            {
                add(&pair.get_item(0)?, &pair.get_item(1)?)?;
            } else {
                let (name, value) = header
                    .extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()
                    .map_err(|_| PyTypeError::new_err("a header is a tuple (name, value)"))?;
                add(&name, &value)?;
            }
        }
        self.state.with(py, |s| {
            s.head = head;
            s.connection_lines = connection_lines;
            s.app = app;
            s.code = Some(code);
        });
        Ok(())
    }

    fn head_is_sent(&self, py: Python<'_>) -> bool {
        self.state.with(py, |s| s.framing.is_some())
    }

    /// Calls what the application put into `environ['eventlet.posthooks']`.
    fn call_hooks(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let environ = slf.get().environ.bind(py);
        let Some(hooks) = environ.get_item(intern!(py, "eventlet.posthooks"))? else {
            return Ok(());
        };
        if hooks.cast::<PyList>().is_ok_and(PyListMethods::is_empty) {
            return Ok(());
        }
        let report = |error: PyErr| {
            if !error.is_instance_of::<PyException>(py) && !is_time_limit(&error) {
                return Err(error);
            }
            errors::unraisable(py, error, Some(&hooks));
            Ok(())
        };
        // The response is out; what goes wrong from here on is the operator's to know.
        let hooks = match hooks.try_iter() {
            Ok(hooks) => hooks,
            Err(error) => return report(error),
        };
        for hook in hooks {
            if let Err(error) = hook.and_then(|hook| Self::call_hook(&hook, environ)) {
                report(error)?;
            }
        }
        Ok(())
    }

    /// Calls `hook`, which is `(function, args, kwargs)`, with the environ in front of its arguments.
    fn call_hook(hook: &Bound<'_, PyAny>, environ: &Bound<'_, PyDict>) -> PyResult<()> {
        let (function, args, kwargs): (Bound<'_, PyAny>, Bound<'_, PyAny>, Bound<'_, PyDict>) =
            hook.extract()?;
        let mut all = vec![environ.clone().into_any()];
        for arg in args.try_iter()? {
            all.push(arg?);
        }
        let all = PyTuple::new(hook.py(), all)?;
        function.call(all, Some(&kwargs)).map(drop)
    }

    fn write_log(&self, py: Python<'_>) -> PyResult<()> {
        let connection = self.connection.get();
        let server = connection.server.get();
        let addresses = connection.addresses(py)?;
        let environ = self.environ.bind(py);
        let (client_ip, client_port) = match connection.client_of_protocol(py) {
            Ok(Some((ip, port))) => (ip, Cow::Owned(port)),
            Ok(None) => {
                let peer = addresses.remote_addr.bind(py).to_str()?;
                let port = addresses.remote_port.bind(py).to_str()?;
                (server.log.client_ip(environ, peer), Cow::Borrowed(port))
            }
            Err(error) => return server.log.settle(py, Err(error)),
        };
        let (code, sent) = self.state.with(py, |s| (s.code, s.sent));
        let code = code.or_else(|| self.input.get().answered(py));
        AccessLog::request(
            connection.server.bind(py),
            &Entry {
                environ: Some(environ),
                client_ip: &client_ip,
                client_port: &client_port,
                request_line: &self.request_line,
                status_code: code.unwrap_or(200),
                body_length: sent,
                wall_seconds: clock::seconds(clock::now() - self.started),
            },
        )
    }
}

fn protocol_version(http10: bool) -> Version {
    if http10 {
        Version::Http10
    } else {
        Version::Http11
    }
}

/// Whether a response with this status must not say how long it is (RFC 9110 section 8.6).
fn no_length(request: RequestInfo, code: u16) -> bool {
    framing(&request, code, &AppHeaders::default(), None).drop_content_length
}

/// Whether a result is a list or a tuple, which have nothing to clean up.
fn is_plain(result: &Bound<'_, PyAny>) -> bool {
    result.is_exact_instance_of::<PyList>() || result.is_exact_instance_of::<PyTuple>()
}

/// The exception of an `exc_info` triple, with its traceback.
fn raised(info: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let (_, value, traceback): (Bound<'_, PyAny>, Bound<'_, PyAny>, Bound<'_, PyAny>) =
        info.extract()?;
    let value = value.call_method1(intern!(info.py(), "with_traceback"), (traceback,))?;
    Ok(PyErr::from_value(value))
}
