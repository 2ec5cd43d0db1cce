//! A connection: reading requests, running them one after the other, ending.
//!
//! | phase | what there is | who acts |
//! |---|---|---|
//! | `Idle` | nothing of a request | the hub, when data comes |
//! | `Head` | the beginning of a head | the hub |
//! | `Busy` | a request is running | its green thread |
//! | `Lingering` | the last response is out; what still comes is thrown away | the hub |
//! | `Closed` | nothing | nobody |
//!
//! Lingering is for a connection that is closed although the client may still be sending: closing at once
//! would make the kernel answer with a reset, which can destroy the response on its way (RFC 9112 section
//! 9.6).

use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::Arc;

use eventlet_http1::response::{Status, encode};
use eventlet_http1::{BodyDecoder, HeadParser, RequestError, Version};
use eventlet_reactor::TimerKey;
use pyo3::exceptions::{PyConnectionError, PyException, PyOSError, PyTimeoutError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;
use rustix::net::SocketAddrAny;

use super::date;
use super::environ::Addresses;
use super::exchange::{After, Exchange};
use super::input::Input;
use super::log::Entry;
use super::server::WsgiServer;
use super::transport::{self, PIECES, Transport};
use super::worker::Worker;
use crate::cell::GilCell;
use crate::hub::io::{self, Direction, IoHandler, Ready};
use crate::hub::scheduler::Due;
use crate::hub::{self, Hub};
use crate::{clock, errors};

/// How many pipelined requests run before others get a turn.
const PIPELINE_BATCH: u32 = 32;

/// How long a lingering connection is kept, in nanoseconds.
const LINGER_TIME: u64 = 2_000_000_000;

/// How much a lingering connection may still send, in bytes.
const LINGER_BYTES: usize = 1 << 20;

/// A connection of a [`WsgiServer`]; calling it runs its requests, which is what its green thread does.
#[pyclass(frozen, weakref, module = "eventlet._core")]
pub struct Connection {
    pub(super) server: Py<WsgiServer>,
    /// Whether it waits for requests in the hub rather than in a green thread of its own.
    managed: bool,
    state: GilCell<State>,
}

struct State {
    phase: Phase,
    transport: Transport,
    /// Bytes that have been read and not used.
    buffer: Vec<u8>,
    /// Whether the last read left nothing behind. The kernel reports only what comes after that.
    drained: bool,
    parser: Option<Box<HeadParser>>,
    body: BodyDecoder,
    /// The request that is to run next.
    exchange: Option<Py<Exchange>>,
    addresses: Option<Arc<Addresses>>,
    /// The bound method `set_idle`, made on the first request.
    set_idle: Option<Py<PyAny>>,
    key: Option<usize>,
    handler: Option<Arc<dyn Ready>>,
    timer: Option<TimerKey>,
    /// When the timer goes off, which is never after the deadline; `u64::MAX` without a timer.
    armed: u64,
    deadline: u64,
    lingered: usize,
    /// What the bytes were if not a request.
    refusal: Option<RequestError>,
    /// What the client did wrong while its request was running.
    fault: Option<Fault>,
    /// Whether the server may close the connection although a request is running.
    interruptible: bool,
    /// Whether the application has taken the connection over.
    hijacked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Head,
    Busy,
    Lingering,
    Closed,
}

/// What a client may do wrong while its request is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It has gone.
    Gone,
    /// It took longer than `socket_timeout` allows.
    Slow,
    /// Its body cannot be decoded.
    Malformed,
}

/// What the bytes so far call for.
enum Next {
    /// More bytes.
    Wait,
    /// A request, or the refusal of one, is ready to run in a green thread.
    Run,
    /// Nothing: the connection was closed meanwhile.
    Over,
}

#[pymethods]
impl Connection {
    /// Tells the server that the connection may be closed at any time although a request is running: it
    /// waits for something that may never come. (`environ['eventlet.set_idle']`.)
    pub(super) fn set_idle(&self, py: Python<'_>) {
        self.state.with(py, |s| s.interruptible = true);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.server)?;
        self.state
            .peek(|s| {
                if let Transport::Object(object) = &s.transport {
                    visit.call(object)?;
                }
                visit.call(&s.set_idle)?;
                visit.call(&s.exchange)
            })
            .unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        let taken = self
            .state
            .with(py, |s| (s.exchange.take(), s.set_idle.take()));
        drop(taken);
    }
}

impl Connection {
    fn new(
        server: &Bound<'_, WsgiServer>,
        transport: Transport,
        managed: bool,
        addresses: Option<Arc<Addresses>>,
    ) -> PyResult<Py<Self>> {
        let py = server.py();
        let connection = Py::new(
            py,
            Self {
                server: server.clone().unbind(),
                managed,
                state: GilCell::new(State {
                    phase: Phase::Idle,
                    transport,
                    buffer: Vec::new(),
                    drained: true,
                    parser: None,
                    body: BodyDecoder::new(eventlet_http1::BodyLength::None),
                    exchange: None,
                    addresses,
                    set_idle: None,
                    key: None,
                    handler: None,
                    timer: None,
                    armed: u64::MAX,
                    deadline: u64::MAX,
                    lingered: 0,
                    refusal: None,
                    fault: None,
                    interruptible: false,
                    hijacked: false,
                }),
            },
        )?;
        let key = server.get().enter(py, &connection);
        let handler: Option<Arc<dyn Ready>> =
            managed.then(|| Arc::new(Handler(connection.clone_ref(py))) as Arc<dyn Ready>);
        connection.get().state.with(py, |s| {
            s.key = Some(key);
            s.handler = handler;
        });
        Ok(connection)
    }

    /// A connection that the hub has accepted.
    pub(super) fn over_descriptor(server: &Bound<'_, WsgiServer>, fd: RawFd) -> PyResult<Py<Self>> {
        Self::new(server, Transport::Descriptor(fd), true, None)
    }

    /// A connection that somebody else has accepted.
    pub(super) fn over_object(
        server: &Bound<'_, WsgiServer>,
        sock: Py<PyAny>,
        remote: (Py<PyString>, Py<PyString>),
        local: (Py<PyString>, Py<PyString>),
    ) -> PyResult<Py<Self>> {
        let addresses = Addresses {
            remote_addr: remote.0,
            remote_port: remote.1,
            server_name: local.0,
            server_port: local.1,
        };
        Self::new(
            server,
            Transport::Object(sock),
            false,
            Some(Arc::new(addresses)),
        )
    }

    /// Whether a request is running that is to finish.
    pub(super) fn is_busy(&self, py: Python<'_>) -> bool {
        self.state
            .with(py, |s| s.phase == Phase::Busy && !s.interruptible)
    }

    /// Whether it has been closed.
    pub(super) fn is_closed(&self, py: Python<'_>) -> bool {
        self.state.with(py, |s| s.phase == Phase::Closed)
    }

    /// Whether the application has taken the connection over with `get_socket()`.
    pub(super) fn is_hijacked(&self, py: Python<'_>) -> bool {
        self.state.with(py, |s| s.hijacked)
    }

    /// What the client did wrong during the running request.
    pub(super) fn fault(&self, py: Python<'_>) -> Option<Fault> {
        self.state.with(py, |s| s.fault)
    }

    fn blame(&self, py: Python<'_>, error: &PyErr) {
        let fault = if error.is_instance_of::<PyTimeoutError>(py) {
            Fault::Slow
        } else if is_disconnect(py, error) {
            Fault::Gone
        } else {
            return;
        };
        self.state.with(py, |s| s.fault = Some(fault));
    }

    /// Sends all pieces in order, in the running request's green thread.
    pub(super) fn write(&self, py: Python<'_>, pieces: [&[u8]; PIECES]) -> PyResult<()> {
        let timeout = self.server.get().config.socket_timeout;
        self.transport(py)
            .write(py, timeout, pieces)
            .inspect_err(|error| self.blame(py, error))
    }

    /// A handle on what it reads from and writes to.
    pub(super) fn transport(&self, py: Python<'_>) -> Transport {
        self.state.with(py, |s| s.transport.clone_ref(py))
    }

    /// The two ends as strings, found out on the first call.
    pub(super) fn addresses(&self, py: Python<'_>) -> PyResult<Arc<Addresses>> {
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

    /// `set_idle` as an object for the environ.
    pub(super) fn idle_setter(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let this = slf.get();
        if let Some(known) = this
            .state
            .with(py, |s| s.set_idle.as_ref().map(|o| o.clone_ref(py)))
        {
            return Ok(known);
        }
        let bound = slf.getattr(intern!(py, "set_idle"))?.unbind();
        let old = this
            .state
            .with(py, |s| s.set_idle.replace(bound.clone_ref(py)));
        drop(old);
        Ok(bound)
    }

    /// Data has come, or may have. In the hub.
    ///
    /// # Errors
    ///
    /// Not its own: those of whichever green thread comes back to the hub with one.
    pub(super) fn on_readable(slf: &Bound<'_, Self>, hub: &Bound<'_, Hub>) -> PyResult<()> {
        match Self::look_for_request(slf, hub) {
            Ok(true) => Worker::start(slf, hub),
            Ok(false) => Ok(()),
            Err(error) => Self::failed(slf, error),
        }
    }

    /// Reads what there is; true if a request has come.
    fn look_for_request(slf: &Bound<'_, Self>, hub: &Bound<'_, Hub>) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        loop {
            let (phase, transport) = this
                .state
                .with(py, |s| (s.phase, s.transport.clone_ref(py)));
            let Transport::Descriptor(fd) = transport else {
                return Ok(false);
            };
            if phase == Phase::Closed || phase == Phase::Busy {
                return Ok(false);
            }
            let mut scratch = transport::take_scratch();
            let next = match this.receive(py, fd, &mut scratch) {
                Ok(None) => Ok(Next::Wait),
                Ok(Some(0)) | Err(_) => {
                    transport::return_scratch(scratch);
                    Self::close(slf);
                    return Ok(false);
                }
                Ok(Some(count)) if phase == Phase::Lingering => {
                    if this.has_lingered(py, count) {
                        transport::return_scratch(scratch);
                        Self::close(slf);
                        return Ok(false);
                    }
                    Ok(Next::Wait)
                }
                Ok(Some(count)) => Self::digest(slf, &scratch[..count]),
            };
            // Before anything else runs, so that nobody has to make another buffer.
            transport::return_scratch(scratch);
            match next? {
                Next::Run => return Ok(true),
                Next::Wait => {
                    if Self::await_data(slf, hub, fd)? {
                        return Ok(false);
                    }
                }
                Next::Over => return Ok(false),
            }
        }
    }

    /// Reads once without waiting. `None` means there is nothing yet.
    fn receive(
        &self,
        py: Python<'_>,
        fd: RawFd,
        buffer: &mut [u8],
    ) -> std::io::Result<Option<usize>> {
        let result = transport::receive(fd, buffer);
        let full = matches!(result, Ok(Some(count)) if count == buffer.len());
        self.state.with(py, |s| s.drained = !full);
        result
    }

    /// Waits in the hub for data; false if there is some already.
    fn await_data(slf: &Bound<'_, Self>, hub: &Bound<'_, Hub>, fd: RawFd) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        let (drained, handler) = this.state.with(py, |s| (s.drained, s.handler.clone()));
        if !drained {
            return Ok(false);
        }
        let Some(handler) = handler else {
            return Ok(true);
        };
        this.set_deadline(py, hub);
        let generation = io::generation(py, fd);
        hub.get()
            .io
            .with(py, |io| {
                io.wait_handler(fd, Direction::Read, handler, generation)
            })
            .map_err(|(refused, _)| hub::wait::refusal(py, fd, Direction::Read, refused))
    }

    /// How long the connection may stay as it is.
    ///
    /// There is one timer, which is not moved when the deadline moves away: it looks at it when it goes
    /// off.
    fn set_deadline(&self, py: Python<'_>, hub: &Bound<'_, Hub>) {
        let (phase, armed, deadline) = self.state.with(py, |s| (s.phase, s.armed, s.deadline));
        let limit = match phase {
            Phase::Idle => self.idle_limit(),
            Phase::Head => self.head_limit(),
            _ => None,
        };
        let deadline = match (phase, limit) {
            // Set once, when the lingering began.
            (Phase::Lingering, _) => deadline,
            (_, Some(limit)) => clock::after(clock::now(), limit),
            (_, None) => u64::MAX,
        };
        self.state.with(py, |s| s.deadline = deadline);
        if deadline < armed {
            self.disarm(py, hub);
            self.arm(py, hub, deadline);
        }
    }

    /// Seconds that it may be without a request.
    fn idle_limit(&self) -> Option<f64> {
        let config = &self.server.get().config;
        config.keepalive_timeout.or(config.socket_timeout)
    }

    /// Seconds that the next part of a head, or of a body that nobody wants, may take.
    pub(super) fn head_limit(&self) -> Option<f64> {
        let config = &self.server.get().config;
        config.socket_timeout.or(config.keepalive_timeout)
    }

    fn disarm(&self, py: Python<'_>, hub: &Bound<'_, Hub>) {
        let timer = self.state.with(py, |s| {
            s.armed = u64::MAX;
            s.timer.take()
        });
        if let Some(timer) = timer {
            let due = hub.get().scheduler.with(py, |s| s.timers.cancel(timer));
            drop(due);
        }
    }

    fn arm(&self, py: Python<'_>, hub: &Bound<'_, Hub>, deadline: u64) {
        let Some(target) = self.state.with(py, |s| s.handler.clone()) else {
            return;
        };
        let due = Due::Handle(Box::new(IoHandler {
            target,
            expired: true,
        }));
        let key = hub
            .get()
            .scheduler
            .with(py, |s| s.timers.insert(deadline, due));
        self.state.with(py, |s| {
            s.timer = Some(key);
            s.armed = deadline;
        });
    }

    /// The timer has gone off. In the hub.
    fn on_timer(slf: &Bound<'_, Self>, hub: &Bound<'_, Hub>) {
        let py = slf.py();
        let this = slf.get();
        let (phase, deadline) = this.state.with(py, |s| {
            s.timer = None;
            s.armed = u64::MAX;
            (s.phase, s.deadline)
        });
        match phase {
            Phase::Busy | Phase::Closed => {}
            _ if deadline == u64::MAX => {}
            _ if deadline <= clock::now() => Self::close(slf),
            _ => this.arm(py, hub, deadline),
        }
    }

    /// Takes in `input` after what is in the buffer, and looks for a request at the start of it all.
    fn digest(slf: &Bound<'_, Self>, input: &[u8]) -> PyResult<Next> {
        let py = slf.py();
        let this = slf.get();
        let server = this.server.get();
        let (mut buffer, parser) = this
            .state
            .with(py, |s| (std::mem::take(&mut s.buffer), s.parser.take()));
        let mut parser = parser.unwrap_or_else(|| server.take_parser(py));
        let bytes = if buffer.is_empty() {
            input
        } else {
            buffer.extend_from_slice(input);
            &buffer
        };
        match parser.parse(bytes, &server.config.limits) {
            Ok(None) => {
                if buffer.is_empty() {
                    buffer.extend_from_slice(input);
                }
                Ok(this.state.with(py, |s| {
                    if s.phase == Phase::Closed {
                        return Next::Over;
                    }
                    // Empty lines between requests are not the beginning of one.
                    s.phase = if parser.is_idle() {
                        Phase::Idle
                    } else {
                        Phase::Head
                    };
                    s.buffer = buffer;
                    s.parser = Some(parser);
                    Next::Wait
                }))
            }
            Ok(Some(length)) => {
                let head = parser.head();
                let exchange = Exchange::new(slf, head, bytes, length);
                let body = BodyDecoder::new(head.body());
                let rest = if buffer.is_empty() {
                    input[length..].to_vec()
                } else {
                    buffer.drain(..length);
                    buffer
                };
                server.return_parser(py, parser);
                let exchange = exchange?;
                // Making all these objects may have run other code, which may have closed this.
                let (next, old) = this.state.with(py, |s| {
                    if s.phase == Phase::Closed {
                        return (Next::Over, Some(exchange));
                    }
                    s.phase = Phase::Busy;
                    s.interruptible = false;
                    s.fault = None;
                    s.buffer = rest;
                    s.body = body;
                    (Next::Run, s.exchange.replace(exchange))
                });
                drop(old);
                Ok(next)
            }
            Err(error) => {
                server.return_parser(py, parser);
                // The answer is logged, and loggers may wait; so it is given in a green thread.
                this.state.with(py, |s| {
                    s.phase = Phase::Busy;
                    s.interruptible = true;
                    s.refusal = Some(error);
                });
                Ok(Next::Run)
            }
        }
    }

    /// Answers what is not a request, and ends the connection.
    fn refuse(slf: &Bound<'_, Self>, error: RequestError) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let server = this.server.get();
        let text = format!("{error}\n");
        let mut answer = Vec::with_capacity(256);
        let status = Status {
            code: error.status(),
            reason: error.reason().as_bytes(),
        };
        encode::status_line(&mut answer, Version::Http11, status);
        date::with_http(py, |date| {
            encode::header_line(&mut answer, b"Date", date.as_bytes());
        });
        encode::header_line(&mut answer, b"Content-Type", b"text/plain; charset=utf-8");
        encode::content_length(&mut answer, text.len() as u64);
        encode::header_line(&mut answer, b"Connection", b"close");
        answer.extend_from_slice(encode::CRLF);
        answer.extend_from_slice(text.as_bytes());
        match this.transport(py) {
            // A fresh connection has room for an answer this short; one that has not is not owed any.
            Transport::Descriptor(fd) => drop(transport::send(fd, [&answer, b"", b""])),
            object @ Transport::Object(_) => {
                object.write(py, server.config.socket_timeout, [&answer, b"", b""])?;
            }
            Transport::Closed => return Ok(()),
        }
        if server.log.is_enabled() {
            let addresses = this.addresses(py)?;
            server.log.request(
                py,
                &Entry {
                    environ: None,
                    client_ip: addresses.remote_addr.bind(py).to_str()?,
                    client_port: addresses.remote_port.bind(py).to_str()?,
                    request_line: b"-",
                    status_code: error.status(),
                    body_length: answer.len() as u64,
                    wall_seconds: 0.0,
                },
            )?;
        }
        Self::linger(slf);
        Ok(())
    }

    /// Runs requests until there is none left, in the connection's green thread.
    pub(super) fn run(slf: &Bound<'_, Self>) -> PyResult<()> {
        let result = Self::run_requests(slf);
        if let Err(error) = result {
            let py = slf.py();
            Self::close(slf);
            // The end of the client is no error of the server.
            return if is_disconnect(py, &error) {
                Ok(())
            } else {
                Err(error)
            };
        }
        Ok(())
    }

    fn run_requests(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let mut batch = 0;
        loop {
            if let Some(error) = this.state.with(py, |s| s.refusal.take()) {
                Self::refuse(slf, error)?;
                return Self::settle(slf);
            }
            if let Some(exchange) = this.state.with(py, |s| s.exchange.take()) {
                let exchange = exchange.bind(py);
                let after = Exchange::run(exchange)?;
                let has_more = this.state.with(py, |s| !s.buffer.is_empty());
                match after {
                    After::Persist if !this.server.get().is_stopping() => {}
                    // What the client has sent already would turn the end into a reset.
                    After::Close | After::Persist if !has_more => {
                        Self::close(slf);
                        return Ok(());
                    }
                    _ => {
                        Self::linger(slf);
                        return Self::settle(slf);
                    }
                }
            }
            let has_more = this.state.with(py, |s| {
                if s.buffer.is_empty() && s.phase == Phase::Busy {
                    s.phase = Phase::Idle;
                }
                !s.buffer.is_empty()
            });
            if has_more {
                batch += 1;
                if batch % PIPELINE_BATCH == 0 {
                    hub::wait::sleep(py, 0.0)?;
                }
                match Self::digest(slf, b"")? {
                    Next::Run => continue,
                    Next::Over => return Ok(()),
                    Next::Wait => {}
                }
            }
            if this.managed && matches!(this.transport(py), Transport::Descriptor(_)) {
                match Self::more_at_once(slf)? {
                    Next::Run => continue,
                    Next::Wait | Next::Over => return Ok(()),
                }
            }
            match Self::read_blocking(slf)? {
                Next::Run | Next::Wait => {}
                Next::Over => return Ok(()),
            }
        }
    }

    /// Leaves the connection to the hub, unless the next bytes are here already.
    fn more_at_once(slf: &Bound<'_, Self>) -> PyResult<Next> {
        let py = slf.py();
        let this = slf.get();
        let hub = hub::current(py)?;
        loop {
            let Transport::Descriptor(fd) = this.transport(py) else {
                return Ok(Next::Over);
            };
            if Self::await_data(slf, &hub, fd)? {
                return Ok(Next::Wait);
            }
            let mut scratch = transport::take_scratch();
            let next = match this.receive(py, fd, &mut scratch) {
                Ok(None) => Ok(Next::Wait),
                Ok(Some(0)) | Err(_) => {
                    transport::return_scratch(scratch);
                    Self::close(slf);
                    return Ok(Next::Over);
                }
                Ok(Some(count)) => Self::digest(slf, &scratch[..count]),
            };
            transport::return_scratch(scratch);
            match next? {
                Next::Wait => {}
                other => return Ok(other),
            }
        }
    }

    /// Reads in the green thread until there is a request.
    fn read_blocking(slf: &Bound<'_, Self>) -> PyResult<Next> {
        let py = slf.py();
        let this = slf.get();
        let phase = this.state.with(py, |s| s.phase);
        let timeout = match phase {
            Phase::Idle => this.idle_limit(),
            _ => this.head_limit(),
        };
        let mut input = Vec::new();
        let count = match this.transport(py).read(py, timeout, &mut input) {
            Ok(count) => count,
            Err(error) if error.is_instance_of::<PyTimeoutError>(py) => 0,
            Err(error) => return Err(error),
        };
        if count == 0 || this.is_closed(py) {
            Self::close(slf);
            return Ok(Next::Over);
        }
        Self::digest(slf, &input)
    }

    /// After the connection began to linger in its green thread: hands it to the hub.
    fn settle(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let hub = hub::current(py)?;
        let this = slf.get();
        let Transport::Descriptor(fd) = this.transport(py) else {
            return Ok(());
        };
        while this.state.with(py, |s| s.phase == Phase::Lingering) {
            if Self::await_data(slf, &hub, fd)? {
                return Ok(());
            }
            let mut scratch = transport::take_scratch();
            let result = this.receive(py, fd, &mut scratch);
            transport::return_scratch(scratch);
            let is_over = match result {
                Ok(None) => false,
                Ok(Some(0)) | Err(_) => true,
                Ok(Some(count)) => this.has_lingered(py, count),
            };
            if is_over {
                Self::close(slf);
            }
        }
        Ok(())
    }

    /// Counts what came while it lingers; true if that is enough.
    fn has_lingered(&self, py: Python<'_>, count: usize) -> bool {
        self.state.with(py, |s| {
            s.lingered += count;
            s.lingered > LINGER_BYTES
        })
    }

    /// Stops sending and waits a little for the client to stop as well.
    fn linger(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let this = slf.get();
        let transport = this.transport(py);
        let (Transport::Descriptor(fd), true) = (transport, this.managed) else {
            Self::close(slf);
            return;
        };
        // SAFETY: shutting down a descriptor of ours; an error means that the peer has gone.
        unsafe { libc::shutdown(fd, libc::SHUT_WR) };
        this.state.with(py, |s| {
            s.phase = Phase::Lingering;
            s.buffer = Vec::new();
            s.deadline = clock::now() + LINGER_TIME;
        });
    }

    /// Ends the connection, whatever it is doing. Does nothing the second time.
    pub(super) fn close(slf: &Bound<'_, Self>) {
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
                (s.exchange.take(), s.set_idle.take()),
            )
        });
        match transport {
            Transport::Closed => return,
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
            Transport::Object(object) => close_object(object.bind(py)),
        }
        drop((handler, objects));
        if let Some(key) = key {
            WsgiServer::leave(this.server.bind(py), key);
        }
    }

    /// An error of the server's own, outside any request: reports it and closes the connection.
    fn failed(slf: &Bound<'_, Self>, error: PyErr) -> PyResult<()> {
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

    /// Decodes the next part of the running request's body and appends it to `out`, reading if need be.
    ///
    /// False at the end of the body, or of the connection.
    pub(super) fn read_body(
        slf: &Bound<'_, Self>,
        out: &mut Vec<u8>,
        timeout: Option<f64>,
    ) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        let limits = &this.server.get().config.limits;
        loop {
            let decoded = this.state.with(py, |s| {
                if s.body.is_finished() {
                    return Ok(Some(false));
                }
                let mut progress = false;
                let mut used = 0;
                while used < s.buffer.len() {
                    let decoded = s.body.decode(&s.buffer[used..], limits)?;
                    out.extend_from_slice(&s.buffer[used..][decoded.data.clone()]);
                    progress |= !decoded.data.is_empty();
                    used += decoded.consumed;
                    if decoded.finished || decoded.consumed == 0 {
                        break;
                    }
                }
                s.buffer.drain(..used);
                if progress {
                    Ok(Some(true))
                } else if s.body.is_finished() {
                    Ok(Some(false))
                } else {
                    Ok(None)
                }
            });
            match decoded {
                Ok(Some(more)) => return Ok(more),
                Ok(None) => {}
                Err(error) => {
                    this.state.with(py, |s| s.fault = Some(Fault::Malformed));
                    return Err(bad_body(py, error));
                }
            }
            let mut fresh = Vec::new();
            let count = this
                .transport(py)
                .read(py, timeout, &mut fresh)
                .inspect_err(|error| this.blame(py, error))?;
            if count == 0 {
                return Ok(false);
            }
            this.state.with(py, |s| {
                s.drained = count < transport::READ_SIZE;
                s.buffer.extend_from_slice(&fresh);
            });
        }
    }

    /// What has been read and not used.
    pub(super) fn take_buffered(&self, py: Python<'_>) -> Vec<u8> {
        self.state.with(py, |s| std::mem::take(&mut s.buffer))
    }

    /// Whether the running request's body has been read to its end.
    pub(super) fn body_is_finished(&self, py: Python<'_>) -> bool {
        self.state.with(py, |s| s.body.is_finished())
    }

    /// The connection as a socket object, which owns the descriptor from now on.
    pub(super) fn socket(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        static FROM_FD: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = slf.py();
        let this = slf.get();
        let fd = match this.transport(py) {
            Transport::Object(object) => {
                this.state.with(py, |s| s.hijacked = true);
                return Ok(object);
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
        let old = this.state.with(py, |s| {
            s.hijacked = true;
            std::mem::replace(&mut s.transport, Transport::Object(socket.clone().unbind()))
        });
        drop(old);
        Ok(socket.unbind())
    }

    /// The object that reads the running request's body.
    pub(super) fn input(slf: &Bound<'_, Self>, expect_continue: bool) -> PyResult<Py<Input>> {
        Py::new(slf.py(), Input::new(slf.clone().unbind(), expect_continue))
    }
}

/// The hub's way to a connection.
struct Handler(Py<Connection>);

impl Ready for Handler {
    fn ready(self: Arc<Self>, hub: &Bound<'_, Hub>) -> PyResult<()> {
        Connection::on_readable(self.0.bind(hub.py()), hub)
    }

    fn expired(self: Arc<Self>, hub: &Bound<'_, Hub>) -> PyResult<()> {
        Connection::on_timer(self.0.bind(hub.py()), hub);
        Ok(())
    }
}

/// Whether an error says no more than that the client has gone, or takes too long.
pub(super) fn is_disconnect(py: Python<'_>, error: &PyErr) -> bool {
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

/// The error for a body that cannot be decoded: `eventlet.wsgi.ChunkReadError`.
fn bad_body(py: Python<'_>, error: RequestError) -> PyErr {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let made = CLASS
        .import(py, "eventlet.wsgi", "ChunkReadError")
        .and_then(|class| class.call1((error.to_string(),)));
    match made {
        Ok(value) => PyErr::from_value(value),
        Err(error) => error,
    }
}

/// Shuts down and closes a socket-like object; what fails has been closed by the peer.
fn close_object(object: &Bound<'_, PyAny>) {
    let py = object.py();
    let _gone = object.call_method1(intern!(py, "shutdown"), (libc::SHUT_RDWR,));
    if let Err(error) = object.call_method0(intern!(py, "close"))
        && !is_disconnect(py, &error)
    {
        errors::unraisable(py, error, Some(object));
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
