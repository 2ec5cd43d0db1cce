//! A request and its response.
//!
//! An [`Exchange`] is made when the head of a request is complete. It is the `start_response` that the
//! application gets, and it is what the connection's green thread runs: call the application, send what it
//! yields, clean up.
//!
//! Head and body leave together: the head is encoded when `start_response` is called, which is where a bad
//! header can be refused, but it is sent with the first block of the body, when the framing is known.

use std::num::NonZeroUsize;

use eventlet_http1::response::{
    AppHeaders, BodyFraming, ConnectionHeader, Finish, Framing, HeaderRole, RequestInfo,
    ResponseBody, Status, encode, framing,
};
use eventlet_http1::{Head, Version};
use pyo3::exceptions::{PyAssertionError, PyException, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use super::connection::{Connection, Fault, is_disconnect};
use super::date;
use super::file::{Extent, FileWrapper};
use super::forwarded;
use super::input::Input;
use super::log::{AccessLog, Entry};
use super::text::{Part, refused, with_latin1};
use super::transport::{PIECES, block_of};
use super::uwsgi::Packet;
use crate::cell::GilCell;
use crate::{clock, errors};

/// Blocks up to this size are copied behind the head rather than sent from where they are, in bytes.
const COPY_LIMIT: usize = 16 * 1024;

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

    /// Sends the body that the application returned.
    fn send_result(slf: &Bound<'_, Self>, result: &Bound<'_, PyAny>) -> PyResult<After> {
        let py = slf.py();
        let this = slf.get();
        if let Some(only) = only_block(result) {
            // The usual case: all of the body in one piece.
            let block = block_of(&only)?;
            let data = block.as_bytes();
            let known = Some(data.len() as u64 + this.pending_length(py));
            Self::send(slf, data, known, true)?;
            return this.finish(py);
        }
        let known = match result.cast_exact::<FileWrapper>() {
            Err(_) => known_length(result)?,
            Ok(file) => match file.get().extent(py)? {
                Some(file) if this.may_send_file(py) => return this.send_file(py, &file),
                Some(file) => Some(file.length + this.pending_length(py)),
                None => None,
            },
        };
        let minimum = this.minimum_chunk_size(py)?;
        for block in result.try_iter()? {
            let block = block?;
            let block = block_of(&block)?;
            let data = block.as_bytes();
            if data.is_empty() {
                continue;
            }
            let pending = this.state.with(py, |s| s.pending.len());
            if pending + data.len() < minimum {
                this.state.with(py, |s| s.pending.extend_from_slice(data));
            } else {
                Self::send(slf, data, known, false)?;
            }
        }
        Self::send(slf, b"", known, true)?;
        this.finish(py)
    }

    /// Whether the body can be a file as it is, with nothing before it.
    fn may_send_file(&self, py: Python<'_>) -> bool {
        let is_next = self.state.with(py, |s| {
            s.code.is_some() && s.framing.is_none() && s.pending.is_empty()
        });
        is_next && self.connection.get().takes_files(py)
    }

    /// Sends a file as the whole body.
    fn send_file(&self, py: Python<'_>, file: &Extent) -> PyResult<After> {
        let head = self.head(py, Some(file.length))?;
        self.input.get().begin_response(py);
        let length = usize::try_from(file.length).unwrap_or(usize::MAX);
        let count = self.state.with(py, |s| {
            s.body.as_mut().map_or(0, |body| body.take(length).send)
        });
        let connection = self.connection.get();
        let sent = if count == 0 {
            connection.write(py, [&head, b"", b""])?;
            0
        } else {
            connection.write_file(py, &head, file, count as u64)?
        };
        self.state.with(py, |s| s.sent += head.len() as u64 + sent);
        if sent < count as u64 {
            // It has become shorter; only the end of the connection tells the client so.
            return Ok(After::Close);
        }
        self.finish(py)
    }

    /// Sends a block at once, for `write()`.
    fn send_block(slf: &Bound<'_, Self>, block: &Bound<'_, PyBytes>) -> PyResult<()> {
        Self::send(slf, block.as_bytes(), None, false)
    }

    /// Sends what was gathered and `data`, preceded by the head if that is still to go, and with `last`
    /// followed by what ends the body.
    ///
    /// `known` is the length of the whole body, if that is certain.
    fn send(slf: &Bound<'_, Self>, data: &[u8], known: Option<u64>, last: bool) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let mut first = Vec::new();
        let (pending, is_new, is_silent) = this.state.with(py, |s| {
            let pending = std::mem::take(&mut s.pending);
            (pending, s.framing.is_none(), s.code.is_none())
        });
        if is_silent && this.is_handled(py)? {
            return Ok(());
        }
        if is_new {
            first = this.head(py, known)?;
            this.input.get().begin_response(py);
        }
        // Blocks that were gathered come first; they are few bytes.
        let joined;
        let data = if pending.is_empty() {
            data
        } else {
            joined = [&pending[..], data].concat();
            &joined
        };
        let (take, framing) = this.state.with(py, |s| {
            let Some(body) = s.body.as_mut() else {
                return (0, BodyFraming::NoBody);
            };
            (body.take(data.len()).send, body.framing())
        });
        let data = &data[..take];
        let mut tail: &[u8] = b"";
        if framing == BodyFraming::Chunked {
            if let Some(size) = NonZeroUsize::new(data.len()) {
                first.extend_from_slice(encode::ChunkSize::new(size).as_bytes());
                tail = if last { b"\r\n0\r\n\r\n" } else { encode::CRLF };
            } else if last {
                tail = encode::LAST_CHUNK;
            }
        }
        let total = first.len() + data.len() + tail.len();
        if total == 0 {
            return Ok(());
        }
        let pieces: [&[u8]; PIECES] = if data.len() <= COPY_LIMIT {
            first.extend_from_slice(data);
            first.extend_from_slice(tail);
            [&first, b"", b""]
        } else {
            [&first, data, tail]
        };
        this.connection.get().write(py, pieces)?;
        this.state.with(py, |s| s.sent += total as u64);
        Ok(())
    }

    /// The complete head, and the decision on the framing.
    fn head(&self, py: Python<'_>, known: Option<u64>) -> PyResult<Vec<u8>> {
        let config = &self.connection.get().server.get().config;
        let mut request = self.request;
        // A client that waits to be told to send its body may do so after the response, or not.
        request.keep_alive &= self.input.get().may_continue(py);
        let head = self.state.with(py, |s| {
            let code = s.code?;
            let framing = framing(&request, code, &s.app, known);
            let mut head = std::mem::take(&mut s.head);
            if !s.app.date {
                date::with_http(py, |date| {
                    encode::header_line(&mut head, b"Date", date.as_bytes());
                });
            }
            if framing.connection_header == ConnectionHeader::AsGiven {
                head.extend_from_slice(&s.connection_lines);
            }
            encode::framing_lines(&mut head, &framing);
            if framing.connection_header == ConnectionHeader::KeepAlive
                && let Some(seconds) = config.keepalive_timeout
                && seconds >= 1.0
            {
                head.extend_from_slice(b"Keep-Alive: timeout=");
                encode::decimal(&mut head, seconds as u64);
                head.extend_from_slice(encode::CRLF);
            }
            head.extend_from_slice(encode::CRLF);
            s.body = Some(ResponseBody::new(framing.body));
            s.framing = Some(framing);
            Some(head)
        });
        head.ok_or_else(|| {
            PyAssertionError::new_err("the application sent data before start_response()")
        })
    }

    /// What the end of the body means for the connection.
    fn finish(&self, py: Python<'_>) -> PyResult<After> {
        let (framing, finish) = self.state.with(py, |s| {
            (s.framing, s.body.as_ref().map(ResponseBody::finish))
        });
        Ok(match (framing, finish) {
            (Some(framing), Some(Finish::Complete | Finish::LastChunk)) if framing.keep_alive => {
                After::Persist
            }
            _ => After::Close,
        })
    }

    /// After an exception of the application: reports it, and answers 500 if that is still possible.
    fn fail(slf: &Bound<'_, Self>, error: PyErr) -> PyResult<After> {
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

    /// Whether somebody else has answered although the application has not called `start_response`:
    /// through the socket itself, as WebSocket does.
    #[cold]
    fn is_handled(&self, py: Python<'_>) -> PyResult<bool> {
        static LOCAL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let local = LOCAL.import(py, "eventlet.wsgi", "WSGI_LOCAL")?;
        let name = intern!(py, "already_handled");
        let flag = local.getattr_opt(name)?;
        let is_set = flag.map_or(Ok(false), |flag| flag.is_truthy())?;
        if is_set {
            local.setattr(name, false)?;
        }
        Ok(is_set || self.connection.get().is_hijacked(py))
    }

    fn head_is_sent(&self, py: Python<'_>) -> bool {
        self.state.with(py, |s| s.framing.is_some())
    }

    fn pending_length(&self, py: Python<'_>) -> u64 {
        self.state.with(py, |s| s.pending.len() as u64)
    }

    /// How much is gathered before it is sent; the application may set it for one response.
    fn minimum_chunk_size(&self, py: Python<'_>) -> PyResult<usize> {
        let key = intern!(py, "eventlet.minimum_write_chunk_size");
        match self.environ.bind(py).get_item(key)? {
            Some(size) => Ok(usize::try_from(size.extract::<i64>()?).unwrap_or(0)),
            None => Ok(self.connection.get().server.get().config.minimum_chunk_size),
        }
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
        let peer = addresses.remote_addr.bind(py).to_str()?;
        let environ = self.environ.bind(py);
        let client_ip = server.log.client_ip(environ, peer);
        let (code, sent) = self.state.with(py, |s| (s.code, s.sent));
        AccessLog::request(
            connection.server.bind(py),
            &Entry {
                environ: Some(environ),
                client_ip: &client_ip,
                client_port: addresses.remote_port.bind(py).to_str()?,
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

/// The one block of a list or tuple that has only one.
fn only_block<'py>(result: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    if let Ok(list) = result.cast_exact::<PyList>() {
        return if list.len() == 1 {
            list.get_item(0).ok()
        } else {
            None
        };
    }
    let tuple = result.cast_exact::<PyTuple>().ok()?;
    if tuple.len() == 1 {
        tuple.get_item(0).ok()
    } else {
        None
    }
}

/// The length of a body that is there in full: of a list or tuple of bytes, or of anything empty.
fn known_length(result: &Bound<'_, PyAny>) -> PyResult<Option<u64>> {
    if result.cast::<PyList>().is_err() && result.cast::<PyTuple>().is_err() {
        let is_sized = result.hasattr(intern!(result.py(), "__len__"))?;
        return Ok((is_sized && result.len()? == 0).then_some(0));
    }
    let mut total = 0;
    for block in result.try_iter()? {
        total += block?.len()? as u64;
    }
    Ok(Some(total))
}

/// The exception of an `exc_info` triple, with its traceback.
fn raised(info: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let (_, value, traceback): (Bound<'_, PyAny>, Bound<'_, PyAny>, Bound<'_, PyAny>) =
        info.extract()?;
    let value = value.call_method1(intern!(info.py(), "with_traceback"), (traceback,))?;
    Ok(PyErr::from_value(value))
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
fn is_time_limit(error: &PyErr) -> bool {
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
