//! The server: its connections, what they share, and its end in good order.

mod accepting;
mod config;
mod ending;

use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use eventlet_http1::{HeadParser, Limits, Rules};
use eventlet_proxy::trusted::Trusted;
use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use slab::Slab;

use self::accepting::{Acceptor, Census, Clearing, check_listens};
pub use self::config::Config;
use super::connection::{self, Connection};
use super::environ::EnvironBuilder;
use super::log::AccessLog;
use super::worker::Spare;
use crate::cell::GilCell;
use crate::hub::io::{self, Ready};
use crate::hub::{self, Hub, ParkId, Wake};
use crate::{clock, errors};

/// How many messages for debugging are kept until they are written.
const WHISPERS: usize = 100;

/// What is logged of a connection that may not send a PROXY header.
const REFUSED: &str = "wsgi: refused a connection from somebody who is not a trusted proxy";

/// How many green threads without a request are kept for the next ones.
const SPARE_WORKERS: usize = 64;

/// Serves a WSGI application on one listening socket.
///
/// `eventlet.wsgi.server` makes one and calls `serve()`.
#[pyclass(frozen, weakref, module = "eventlet._core")]
pub struct WsgiServer {
    pub(super) app: Py<PyAny>,
    pub(super) config: Config,
    pub(super) environ: EnvironBuilder,
    pub(super) log: AccessLog,
    /// The name to report where the listener is bound to all addresses: none, so each connection asks.
    pub(super) address: Option<(Py<PyString>, Py<PyString>)>,
    limit: usize,
    state: GilCell<State>,
    pub(super) requests: AtomicU64,
    pub(super) accepted: AtomicU64,
    /// Whether no connection is accepted any more, nor kept after a response.
    retiring: AtomicBool,
    stopping: AtomicBool,
    /// Whether somebody waits for a place among the connections.
    crowded: AtomicBool,
}

#[derive(Default)]
struct State {
    connections: Slab<Py<Connection>>,
    listener: Option<RawFd>,
    /// Whether the listener waits in the hub for connections.
    waiting: bool,
    handler: Option<Arc<dyn Ready>>,
    /// What makes a TLS socket of a descriptor.
    secure: Option<Py<PyAny>>,
    /// Who is in `serve()`.
    parked: Option<(Py<Hub>, ParkId)>,
    /// Until when it is known that descriptors or memory are lacking.
    quiet_until: u64,
    /// Set while the last connections are accepted.
    clearing: Option<Clearing>,
    /// Whether a timer will have it accept again.
    paused: bool,
    /// Up to which turn, and since when, those are known who have been idle while others wait.
    census: Option<Census>,
    /// Why `serve()` cannot go on.
    failure: Option<i32>,
    /// What `serve()` is to tell the operator; the hub cannot, as loggers may wait.
    messages: Vec<String>,
    /// What is of interest to those who look closely only.
    whispers: Vec<String>,
    parser: Option<Box<HeadParser>>,
    /// Green threads that have run requests and wait for others.
    workers: Vec<Spare>,
}

#[pymethods]
impl WsgiServer {
    #[new]
    #[pyo3(signature = (
        app, environ, *, address, log_info, log_output, log_format, log_x_forwarded_for,
        log_record, log_write, max_size,
        keepalive, keepalive_timeout, socket_timeout, minimum_chunk_size, debug, capitalize, http10,
        url_length_limit, header_line_limit, header_limit, rules,
        log_debug = None, head_timeout = None,
        body_timeout = None, send_timeout = None, max_requests_per_connection = None,
        max_body_size = None, max_header_count = None, proxy_protocol = None,
        trusted_proxies = Vec::new(), uwsgi = false,
    ))]
    #[allow(clippy::too_many_arguments, clippy::fn_params_excessive_bools)]
    fn new(
        app: Py<PyAny>,
        environ: &Bound<'_, PyDict>,
        address: Option<(Py<PyString>, Py<PyString>)>,
        log_info: Py<PyAny>,
        log_output: bool,
        log_format: Option<Py<PyString>>,
        log_x_forwarded_for: bool,
        log_record: Option<Py<PyAny>>,
        log_write: Option<Py<PyAny>>,
        max_size: usize,
        keepalive: bool,
        keepalive_timeout: Option<f64>,
        socket_timeout: Option<f64>,
        minimum_chunk_size: usize,
        debug: bool,
        capitalize: bool,
        http10: bool,
        url_length_limit: usize,
        header_line_limit: usize,
        header_limit: usize,
        rules: (bool, bool, bool),
        log_debug: Option<Py<PyAny>>,
        head_timeout: Option<f64>,
        body_timeout: Option<f64>,
        send_timeout: Option<f64>,
        max_requests_per_connection: Option<u64>,
        max_body_size: Option<u64>,
        max_header_count: Option<usize>,
        proxy_protocol: Option<&Bound<'_, PyAny>>,
        trusted_proxies: Vec<String>,
        uwsgi: bool,
    ) -> PyResult<Self> {
        let defaults = Limits::default();
        let (require_host, refuse_both_lengths, refuse_http10_chunked) = rules;
        let limits = Limits {
            rules: Rules {
                require_host,
                refuse_both_lengths,
                refuse_http10_chunked,
            },
            request_line: url_length_limit,
            header_line: header_line_limit,
            head: url_length_limit.saturating_add(header_limit),
            header_count: max_header_count.unwrap_or(defaults.header_count),
            body: max_body_size.unwrap_or(defaults.body),
            ..defaults
        };
        Ok(Self {
            app,
            config: Config {
                keepalive_timeout,
                keepalive,
                socket_timeout,
                head_timeout,
                body_timeout: socket_timeout.or(body_timeout),
                send_timeout: socket_timeout.or(send_timeout),
                proxy_protocol: config::versions(proxy_protocol)?,
                trusted: Trusted::new(trusted_proxies.iter().map(String::as_str))
                    .map_err(|error| PyValueError::new_err(error.to_string()))?,
                uwsgi,
                max_requests: max_requests_per_connection.unwrap_or(u64::MAX).max(1),
                minimum_chunk_size,
                debug,
                capitalize,
                http10,
                limits,
            },
            environ: EnvironBuilder::new(environ)?,
            log: AccessLog::new(
                log_info,
                log_debug,
                log_output,
                log_format,
                log_x_forwarded_for,
                log_record,
                log_write,
            ),
            address,
            limit: max_size.max(1),
            state: GilCell::new(State::default()),
            requests: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            retiring: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            crowded: AtomicBool::new(false),
        })
    }

    /// Accepts and serves connections of the listening descriptor `fileno`, over TLS if there is a `secure`: it is
    /// called with the descriptor of each connection and returns the TLS socket that owns it from then on. Until `stop()` is called or an
    /// exception is raised in the calling green thread.
    ///
    /// Then it closes the connections that wait for their next request, gives those that have made none
    /// `FIRST_REQUEST_TIME` to do so, waits for the others, and returns or raises.
    #[pyo3(signature = (fileno, secure = None))]
    fn serve(slf: &Bound<'_, Self>, fileno: RawFd, secure: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let handler: Arc<dyn Ready> = Arc::new(Acceptor::new(slf));
        this.state.with(py, |s| {
            s.listener = Some(fileno);
            s.handler = Some(handler);
            s.secure = secure;
        });
        // The number may have been that of another listener, which the poller still has in mind.
        io::next_generation(py, fileno);
        // The hub accepts: a request starts a green thread, and that is the hub's to do.
        let started = check_listens(py, fileno).and_then(|()| Self::accept_later(slf));
        let result = started.and_then(|()| Self::wait_until(slf, WsgiServer::is_stopping, None));
        this.stopping.store(true, Ordering::Relaxed);
        this.close_listener(py)?;
        let drained = Self::end_connections(slf);
        if drained.is_err() {
            // Told to hurry: whoever is still at work loses the connection.
            Self::close_all(slf);
        }
        let (handler, workers) = this
            .state
            .with(py, |s| (s.handler.take(), std::mem::take(&mut s.workers)));
        drop(handler);
        for worker in workers {
            worker.dismiss(py)?;
        }
        let failure = this.state.with(py, |s| s.failure.take());
        result.and(drained)?;
        match failure {
            Some(errno) => Err(errors::os_error(py, errno)),
            None => Ok(()),
        }
    }

    /// Has no more connections accepted, and each one that is open closed after its next response.
    ///
    /// For a server whose place another process takes: clients that keep their connections get to know that
    /// they end, instead of losing a request that is on its way. `serve()` goes on until `stop()`.
    fn retire(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().retiring.store(true, Ordering::Relaxed);
        slf.get().close_listener(slf.py())
    }

    /// Has what waits at the listening descriptor `fileno` accepted, then `done` called, in the hub, and nothing
    /// more accepted. Connections end with their next response. `stop()` is to follow.
    fn clear_backlog(slf: &Bound<'_, Self>, fileno: RawFd, done: Py<PyAny>) -> PyResult<()> {
        let this = slf.get();
        this.retiring.store(true, Ordering::Relaxed);
        let clearing = Clearing { done: Some(done) };
        let old = this.state.with(slf.py(), |s| {
            s.listener = Some(fileno);
            s.clearing.replace(clearing)
        });
        drop(old);
        Self::accept_later(slf)
    }

    /// Whether `clear_backlog()` is not done yet.
    fn is_clearing(&self, py: Python<'_>) -> bool {
        self.state.with(py, |s| {
            s.clearing.as_ref().is_some_and(|c| c.done.is_some())
        })
    }

    /// Makes `serve()` come to its end. May be called from the hub and from any green thread.
    fn stop(slf: &Bound<'_, Self>) {
        slf.get().stopping.store(true, Ordering::Relaxed);
        slf.get().nudge(slf.py());
    }

    /// Serves one connection that somebody else has accepted, in the calling green thread.
    ///
    /// `sock` is an object with the methods of a socket, `address` the peer's.
    fn serve_connection(
        slf: &Bound<'_, Self>,
        sock: Py<PyAny>,
        remote: (Py<PyString>, Py<PyString>),
        local: (Py<PyString>, Py<PyString>),
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.refuses(|| connection::named(py, &remote.0)) {
            sock.bind(py).call_method0(intern!(py, "close"))?;
            return this.log.debug(py, REFUSED);
        }
        this.accepted.fetch_add(1, Ordering::Relaxed);
        let connection = Connection::over_object(slf, sock, remote, local)?;
        Connection::run(connection.bind(py))
    }

    /// Seconds that a connection gets to begin its first request once the server stops.
    #[classattr]
    const FIRST_REQUEST_TIME: f64 = ending::FIRST_REQUEST_TIME;

    /// Closes the connections that wait for their next request, as at the end of `serve()`; if it is `late`, those
    /// that have made none, too.
    ///
    /// For the connections of `serve_connection` and of `Session`s; each ends with its next response.
    fn drain(slf: &Bound<'_, Self>, late: bool) {
        slf.get().stopping.store(true, Ordering::Relaxed);
        Self::close_idle(slf, late);
    }

    /// Writes the lines of the access log that have been gathered.
    fn flush_log(&self, py: Python<'_>) -> PyResult<()> {
        self.log.flush(py)
    }

    /// Logs a line about the server. What is wrong with the log is reported, and not raised.
    fn log_line(&self, py: Python<'_>, line: &str) -> PyResult<()> {
        self.log.error(py, line)
    }

    /// Figures: connections `accepted` so far and open `connections`, `requests` so far and `active`.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let open = self.connections(py);
        let active = open.iter().filter(|c| c.get().is_busy(py)).count();
        let stats = PyDict::new(py);
        stats.set_item("accepted", self.accepted.load(Ordering::Relaxed))?;
        stats.set_item("connections", open.len())?;
        stats.set_item("requests", self.requests.load(Ordering::Relaxed))?;
        stats.set_item("active", active)?;
        Ok(stats)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.app)?;
        self.environ.traverse(&visit)?;
        self.log.traverse(&visit)?;
        self.state
            .peek(|s| {
                for (_, connection) in &s.connections {
                    visit.call(connection)?;
                }
                for worker in &s.workers {
                    worker.traverse(&visit)?;
                }
                visit.call(&s.secure)?;
                visit.call(s.clearing.as_ref().and_then(|c| c.done.as_ref()))?;
                visit.call(s.parked.as_ref().map(|(hub, _)| hub))
            })
            .unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        drop(self.state.take(py));
    }
}

impl WsgiServer {
    /// Whether connections may wait for another request.
    pub(super) fn may_persist(&self) -> bool {
        self.config.keepalive && !self.is_retiring() && !self.crowded.load(Ordering::Relaxed)
    }

    /// What makes a TLS socket of a descriptor, if connections are to be secured.
    pub(super) fn securing(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state
            .with(py, |s| s.secure.as_ref().map(|secure| secure.clone_ref(py)))
    }

    /// Counts connections and requests: a clock that tells which of two things was first.
    pub(super) fn turn(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed) + self.requests.load(Ordering::Relaxed)
    }

    /// Whether connections end with their next response.
    pub(super) fn is_retiring(&self) -> bool {
        self.retiring.load(Ordering::Relaxed) || self.is_stopping()
    }

    /// Takes a green thread that waits for a request.
    pub(super) fn take_worker(&self, py: Python<'_>) -> Option<Spare> {
        self.state.with(py, |s| s.workers.pop())
    }

    /// Keeps a green thread that is about to wait for a request; gives it back if there are enough.
    pub(super) fn keep_worker(&self, py: Python<'_>, worker: Spare) -> Option<Spare> {
        self.state.with(py, |s| {
            if s.workers.len() >= SPARE_WORKERS || self.is_stopping() {
                return Some(worker);
            }
            s.workers.push(worker);
            None
        })
    }

    /// Takes out the green thread whose wait is `id`, if it is still there.
    pub(super) fn remove_worker(&self, py: Python<'_>, id: ParkId) -> Option<Spare> {
        self.state.with(py, |s| {
            let index = s.workers.iter().position(|worker| worker.id == id)?;
            Some(s.workers.swap_remove(index))
        })
    }

    /// A parser that nobody uses, or a new one.
    pub(super) fn take_parser(&self, py: Python<'_>) -> Box<HeadParser> {
        self.state.with(py, |s| s.parser.take()).unwrap_or_default()
    }

    /// Keeps a parser for the next head.
    pub(super) fn return_parser(&self, py: Python<'_>, mut parser: Box<HeadParser>) {
        parser.reset();
        self.state.with(py, |s| s.parser = Some(parser));
    }

    /// Enters a connection; the result is its key for [`leave`](Self::leave).
    pub(super) fn enter(&self, py: Python<'_>, connection: &Py<Connection>) -> usize {
        let connection = connection.clone_ref(py);
        self.state.with(py, |s| s.connections.insert(connection))
    }

    /// Forgets a connection that has been closed.
    pub(super) fn leave(slf: &Bound<'_, Self>, key: usize) {
        let py = slf.py();
        let this = slf.get();
        let (connection, resume) = this.state.with(py, |s| {
            let connection = s.connections.try_remove(key);
            let resume =
                s.listener.is_some() && !s.waiting && s.connections.len() + 1 == this.limit;
            (connection, resume)
        });
        drop(connection);
        if this.is_stopping() {
            this.nudge(py);
        } else if resume && let Err(error) = Self::accept_later(slf) {
            errors::unraisable(py, error, None);
        }
    }

    fn connection_count(&self, py: Python<'_>) -> usize {
        self.state.with(py, |s| s.connections.len())
    }

    fn connections(&self, py: Python<'_>) -> Vec<Py<Connection>> {
        self.state.with(py, |s| {
            s.connections.iter().map(|(_, c)| c.clone_ref(py)).collect()
        })
    }

    /// Wakes whoever is in `serve()`, to look again.
    fn nudge(&self, py: Python<'_>) {
        if let Some((hub, id)) = self.state.with(py, |s| s.parked.take()) {
            hub.get().wake(py, id, Wake::Ready);
        }
    }

    /// Parks in `serve()` until `done`; false if the deadline comes first.
    fn wait_until(
        slf: &Bound<'_, Self>,
        done: impl Fn(&Self) -> bool,
        deadline: Option<u64>,
    ) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        let hub = hub::current(py)?;
        loop {
            for message in this.state.with(py, |s| std::mem::take(&mut s.messages)) {
                this.log.error(py, &message)?;
            }
            for whisper in this.state.with(py, |s| std::mem::take(&mut s.whispers)) {
                this.log.debug(py, &whisper)?;
            }
            if done(this) {
                return Ok(true);
            }
            if deadline.is_some_and(|deadline| deadline <= clock::now()) {
                return Ok(false);
            }
            let greenlet = Hub::waiting_greenlet(&hub)?;
            let parking = hub.get().park(py, &greenlet, deadline);
            let parked = (hub.clone().unbind(), parking.id);
            let old = this.state.with(py, |s| s.parked.replace(parked));
            drop(old);
            let result = Hub::wait(&hub, &greenlet, parking);
            let old = this.state.with(py, |s| s.parked.take());
            drop(old);
            result?;
        }
    }

    /// Has `serve()` tell the operator something.
    fn tell(&self, py: Python<'_>, message: String) {
        self.state.with(py, |s| s.messages.push(message));
        self.nudge(py);
    }

    /// Has `serve()` say something at the level of debugging.
    pub(super) fn whisper(&self, py: Python<'_>, message: impl FnOnce() -> String) {
        if !self.log.has_debug() || self.state.with(py, |s| s.whispers.len()) >= WHISPERS {
            return;
        }
        let message = message();
        self.state.with(py, |s| s.whispers.push(message));
        self.nudge(py);
    }
}
