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

mod addresses;
mod body;
mod closing;
mod deadline;
mod preface;
mod reading;
mod running;
mod sending;
mod session;
mod takeover;
mod tls;

use std::os::fd::RawFd;
use std::sync::Arc;

use eventlet_http1::{BodyDecoder, BodyLength, HeadParser, RequestError};
use eventlet_reactor::TimerKey;
use eventlet_uwsgi::PacketError;
use pyo3::exceptions::PyTimeoutError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

pub(super) use self::addresses::peer;
pub(super) use self::closing::is_disconnect;
pub(super) use self::preface::named;
pub use self::session::{RequestRefused, Session};
use super::environ::Addresses;
use super::exchange::Exchange;
use super::server::WsgiServer;
use super::transport::{self, PIECES, Transport};
use crate::cell::GilCell;
use crate::errors;
use crate::hub::Hub;
use crate::hub::io::Ready;

/// A connection of a [`WsgiServer`]; calling it runs its requests, which is what its green thread does.
#[pyclass(frozen, weakref, module = "eventlet._core")]
pub struct Connection {
    pub(super) server: Py<WsgiServer>,
    /// Whether it waits for requests in the hub rather than in a green thread of its own.
    managed: bool,
    state: GilCell<State>,
}

#[allow(clippy::struct_excessive_bools, reason = "each is one fact")]
struct State {
    phase: Phase,
    transport: Transport,
    /// Bytes that have been read and not used.
    buffer: Vec<u8>,
    /// Whether the last read left nothing behind. The kernel reports only what comes after that.
    drained: bool,
    parser: Option<Box<HeadParser>>,
    body: BodyDecoder,
    body_length: BodyLength,
    /// The request that is to run next.
    exchange: Option<Py<Exchange>>,
    addresses: Option<Arc<Addresses>>,
    /// The bound method `set_idle`, made on the first request.
    set_idle: Option<Py<PyAny>>,
    /// Whether the handshake of TLS is to come first.
    awaits_tls: bool,
    /// Whether a PROXY header is to come first.
    awaits_proxy: bool,
    /// How many requests it has made.
    requests: u64,
    /// When it made the last one, or began, on the clock of [`WsgiServer::turn`].
    turn: u64,
    key: Option<usize>,
    handler: Option<Arc<dyn Ready>>,
    timer: Option<TimerKey>,
    /// When the timer goes off, which is never after the deadline; `u64::MAX` without a timer.
    armed: u64,
    deadline: u64,
    lingered: usize,
    /// When the head that has begun has to be complete.
    head_deadline: u64,
    /// Why there is no request.
    refusal: Option<Refusal>,
    /// What the client did wrong while its request was running.
    fault: Option<Fault>,
    /// Whether the server may close the connection although a request is running.
    interruptible: bool,
    /// What the application wants to do then.
    farewell: Option<Py<PyAny>>,
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
    /// It took longer than it may.
    Slow,
    /// Its body cannot be decoded, or is too large.
    Malformed(RequestError),
}

/// What is answered without asking the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// What came is not a request.
    Malformed(RequestError),
    /// What came is not a packet of the uwsgi protocol.
    Packet(PacketError),
    /// The head of a request did not come in time.
    Slow,
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
    ///
    /// `farewell`, if there is one, is called before that, in a green thread of its own.
    #[pyo3(signature = (farewell = None))]
    fn set_idle(slf: &Bound<'_, Self>, farewell: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        slf.get().make_interruptible(py, farewell);
        if slf.get().server.get().is_stopping() {
            // Those that could be closed have been.
            return Self::dismiss_later(slf);
        }
        Ok(())
    }

    /// Calls the farewell of the application, then closes the connection.
    fn _say_farewell(slf: &Bound<'_, Self>) -> PyResult<()> {
        let farewell = slf.get().state.with(slf.py(), |s| s.farewell.take());
        let said = farewell.map_or(Ok(()), |farewell| farewell.call0(slf.py()).map(drop));
        Self::close(slf);
        said
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.server)?;
        self.state
            .peek(|s| {
                match &s.transport {
                    Transport::Object(object) | Transport::Protocol(object) => {
                        visit.call(object)?;
                    }
                    Transport::Tls { socket, layer, .. } => {
                        visit.call(socket)?;
                        visit.call(layer)?;
                    }
                    Transport::Descriptor(_) | Transport::Closed => {}
                }
                visit.call(&s.set_idle)?;
                visit.call(&s.farewell)?;
                visit.call(&s.exchange)
            })
            .unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        let taken = self.state.with(py, |s| {
            (s.exchange.take(), s.set_idle.take(), s.farewell.take())
        });
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
        let config = &server.get().config;
        let awaits_proxy = config.proxy_protocol.is_some();
        let awaits_tls = managed && server.get().securing(py).is_some();
        let has_preface = awaits_proxy || awaits_tls;
        let connection = Py::new(
            py,
            Self {
                server: server.clone().unbind(),
                managed,
                state: GilCell::new(State {
                    phase: if has_preface {
                        Phase::Head
                    } else {
                        Phase::Idle
                    },
                    transport,
                    buffer: Vec::new(),
                    drained: true,
                    parser: None,
                    body: BodyDecoder::new(BodyLength::None),
                    body_length: BodyLength::None,
                    exchange: None,
                    addresses,
                    set_idle: None,
                    awaits_tls,
                    awaits_proxy,
                    requests: 0,
                    turn: server.get().turn().saturating_sub(1),
                    key: None,
                    handler: None,
                    timer: None,
                    armed: u64::MAX,
                    deadline: u64::MAX,
                    lingered: 0,
                    head_deadline: if has_preface {
                        deadline::after_now(config.head_timeout)
                    } else {
                        u64::MAX
                    },
                    refusal: None,
                    fault: None,
                    interruptible: false,
                    farewell: None,
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
        let trusted = &server.get().config.trusted;
        let addresses = Addresses {
            is_proxy: !trusted.is_empty()
                && trusted.believes(preface::named(server.py(), &remote.0)),
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

    /// Whether the server, which stops, has to wait for it: for a request that is running or on its way. A first one
    /// is thought to be on its way until it is `late`.
    pub(super) fn is_needed(&self, py: Python<'_>, late: bool) -> bool {
        let (phase, hopeful) = self.state.with(py, |s| (s.phase, s.requests == 0 && !late));
        match phase {
            Phase::Idle => hopeful || self.has_unread(py),
            // What comes before a request is none.
            Phase::Head if self.state.with(py, |s| s.awaits_tls || s.awaits_proxy) => {
                hopeful || self.has_unread(py)
            }
            Phase::Head | Phase::Lingering => true,
            Phase::Busy => self.state.with(py, |s| {
                // It is in the middle of a handshake; or of a request that is cut short when the stop begins, at once.
                let goes_on = if s.requests == 0 { hopeful } else { late };
                goes_on || !s.interruptible || s.refusal.is_some()
            }),
            Phase::Closed => false,
        }
    }

    /// Lets the server close it although a request is running, after `farewell`.
    pub(super) fn make_interruptible(&self, py: Python<'_>, farewell: Option<Py<PyAny>>) {
        let old = self.state.with(py, |s| {
            s.interruptible = true;
            std::mem::replace(&mut s.farewell, farewell)
        });
        drop(old);
    }

    /// Closes it because the server stops: at once, unless the application has something to say.
    pub(super) fn dismiss(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.get().state.with(slf.py(), |s| s.farewell.is_none()) {
            Self::close(slf);
            return Ok(());
        }
        Self::dismiss_later(slf)
    }

    /// The same in a green thread of its own.
    fn dismiss_later(slf: &Bound<'_, Self>) -> PyResult<()> {
        static SPAWN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = slf.py();
        let say = slf.getattr(intern!(py, "_say_farewell"))?;
        let spawn = SPAWN.import(py, "eventlet.greenthread", "spawn_n")?;
        spawn.call1((say,)).map(drop)
    }

    /// Whether it has been closed.
    pub(super) fn is_closed(&self, py: Python<'_>) -> bool {
        self.state.with(py, |s| s.phase == Phase::Closed)
    }

    /// Whether the application has taken the connection over with `get_socket()`.
    pub(super) fn is_hijacked(&self, py: Python<'_>) -> bool {
        self.state.with(py, |s| s.hijacked)
    }

    /// Where the protocol class that reads the requests says the client is; none if it has no opinion.
    pub(super) fn client_of_protocol(&self, py: Python<'_>) -> PyResult<Option<(String, String)>> {
        let protocol = self.state.with(py, |s| match &s.transport {
            Transport::Protocol(protocol) => Some(protocol.clone_ref(py)),
            _ => None,
        });
        match protocol {
            Some(protocol) => protocol
                .call_method0(py, intern!(py, "_own_client_address"))?
                .extract(py),
            None => Ok(None),
        }
    }

    /// What the client did wrong during the running request.
    pub(super) fn fault(&self, py: Python<'_>) -> Option<Fault> {
        self.state.with(py, |s| s.fault)
    }

    /// Whether another request may follow the one that is about to run.
    pub(super) fn may_persist(&self, py: Python<'_>) -> bool {
        let server = self.server.get();
        let limit = server.config.max_requests;
        server.may_persist()
            && (limit == u64::MAX || self.state.with(py, |s| s.requests + 1 < limit))
    }

    /// Whether it waits for a request and has sent nothing of one; since when, in turns of the server.
    pub(super) fn idle_since(&self, py: Python<'_>) -> Option<u64> {
        self.state.with(py, |s| {
            let waits = s.phase == Phase::Idle
                || (s.phase == Phase::Head && (s.awaits_tls || s.awaits_proxy));
            let is_idle = self.managed && waits && s.buffer.is_empty();
            is_idle.then_some(s.turn)
        })
    }

    /// Whether the client has sent something that has not been read.
    pub(super) fn has_unread(&self, py: Python<'_>) -> bool {
        self.transport(py)
            .number(py)
            .is_some_and(transport::has_unread)
    }

    fn blame(&self, py: Python<'_>, error: &PyErr) {
        let fault = if error.is_instance_of::<PyTimeoutError>(py) {
            self.whisper(py, "was too slow in the middle of a request");
            Fault::Slow
        } else if is_disconnect(py, error) {
            Fault::Gone
        } else {
            return;
        };
        self.state.with(py, |s| s.fault = Some(fault));
    }

    /// Says at the level of debugging what became of the client.
    fn whisper(&self, py: Python<'_>, what: &str) {
        let log = &self.server.get().log;
        if !log.has_debug() {
            return;
        }
        let result = self.addresses(py).and_then(|addresses| {
            let (host, port) = (&addresses.remote_addr, &addresses.remote_port);
            log.debug(py, &format!("({host} {port}) {what}"))
        });
        if let Err(error) = result {
            errors::unraisable(py, error, None);
        }
    }

    /// Sends all pieces in order, in the running request's green thread.
    pub(super) fn write(&self, py: Python<'_>, pieces: [&[u8]; PIECES]) -> PyResult<()> {
        let timeout = self.server.get().config.send_timeout;
        self.transport(py)
            .write(py, timeout, pieces)
            .inspect_err(|error| self.blame(py, error))
    }

    /// A handle on what it reads from and writes to.
    pub(super) fn transport(&self, py: Python<'_>) -> Transport {
        self.state.with(py, |s| s.transport.clone_ref(py))
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
}

/// The hub's way to a connection.
struct Handler(Py<Connection>);

impl Ready for Handler {
    fn ready(self: Arc<Self>, hub: &Bound<'_, Hub>) -> PyResult<()> {
        Connection::on_readable(self.0.bind(hub.py()), hub)
    }

    fn expired(self: Arc<Self>, hub: &Bound<'_, Hub>) -> PyResult<()> {
        Connection::on_timer(self.0.bind(hub.py()), hub)
    }
}
