//! The listening side: accepting connections, counting them, and ending in good order.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use eventlet_http1::{HeadParser, Limits, Rules};
use eventlet_proxy::header::Versions;
use eventlet_proxy::trusted::Trusted;
use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyString};
use slab::Slab;

use super::connection::{self, Connection};
use super::environ::EnvironBuilder;
use super::log::AccessLog;
use super::worker::Spare;
use crate::cell::GilCell;
use crate::hub::io::{self, Direction, Ready};
use crate::hub::scheduler::{Due, Task};
use crate::hub::{self, Hub, ParkId, Wake, wait};
use crate::{clock, errors};

/// How many connections are accepted before others get a turn.
const ACCEPT_BATCH: usize = 64;

/// How long accepting pauses when there is no place, or the system has no descriptor left.
const ACCEPT_PAUSE: u64 = 100_000_000;

/// How long nothing is said of a lack of descriptors or memory after that has been reported, in nanoseconds.
const COMPLAINT_PAUSE: u64 = 60_000_000_000;

/// How many messages for debugging are kept until they are written.
const WHISPERS: usize = 100;

/// What is logged of a connection that may not send a PROXY header.
const REFUSED: &str = "wsgi: refused a connection from somebody who is not a trusted proxy";

/// How many green threads without a request are kept for the next ones.
const SPARE_WORKERS: usize = 64;

/// What a server was told.
#[allow(clippy::struct_excessive_bools, reason = "each is one option")]
pub struct Config {
    /// Seconds that a connection may wait for its next request; `None` for ever.
    pub keepalive_timeout: Option<f64>,
    /// Whether connections persist at all.
    pub keepalive: bool,
    /// Seconds that one read outside a body may take.
    pub socket_timeout: Option<f64>,
    /// Seconds that a head may take from its first byte to its last, and that a new connection may take to
    /// begin one.
    pub head_timeout: Option<f64>,
    /// Seconds that a body may go without progress.
    pub body_timeout: Option<f64>,
    /// Seconds that a response may go without progress.
    pub send_timeout: Option<f64>,
    /// Which PROXY headers connections begin with, if they do.
    pub proxy_protocol: Option<Versions>,
    /// Whose PROXY headers and `X-Forwarded-*` fields are believed.
    pub trusted: Trusted,
    /// Whether it is the uwsgi protocol that is spoken.
    pub uwsgi: bool,
    /// How many requests a connection may make.
    pub max_requests: u64,
    /// Blocks of an application are gathered until there is this much, in bytes.
    pub minimum_chunk_size: usize,
    /// Whether a 500 shows the traceback.
    pub debug: bool,
    /// Whether header names are sent as `Foo-Bar`, however they were written.
    pub capitalize: bool,
    /// Whether the server keeps to HTTP/1.0.
    pub http10: bool,
    pub limits: Limits,
}

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

/// Connections whose last request lies before `turn` were idle at the moment `taken`.
#[derive(Clone, Copy)]
struct Census {
    turn: u64,
    taken: u64,
}

/// The end of accepting: what waits is still accepted.
struct Clearing {
    /// Those accepted since then are later than this turn.
    turn: u64,
    /// Called, in the hub, when nothing waits any more.
    done: Option<Py<PyAny>>,
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
                proxy_protocol: versions(proxy_protocol)?,
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
    /// Then it closes the connections that have no request running, waits for the others, and returns or
    /// raises.
    #[pyo3(signature = (fileno, secure = None))]
    fn serve(slf: &Bound<'_, Self>, fileno: RawFd, secure: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let handler: Arc<dyn Ready> = Arc::new(Acceptor(slf.clone().unbind()));
        this.state.with(py, |s| {
            s.listener = Some(fileno);
            s.handler = Some(handler);
            s.secure = secure;
        });
        // The number may have been that of another listener, which the poller still has in mind.
        io::next_generation(py, fileno);
        // The hub accepts: a request starts a green thread, and that is the hub's to do.
        let started = check_listens(py, fileno).and_then(|()| Self::accept_later(slf));
        let result = started.and_then(|()| Self::wait_until(slf, WsgiServer::is_stopping));
        this.stopping.store(true, Ordering::Relaxed);
        this.close_listener(py)?;
        Self::close_idle(slf);
        let drained = Self::wait_until(slf, |this| this.connection_count(py) == 0);
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
        let clearing = Clearing {
            turn: this.turn(),
            done: Some(done),
        };
        let old = this.state.with(slf.py(), |s| {
            s.listener = Some(fileno);
            s.clearing.replace(clearing)
        });
        drop(old);
        Self::accept_later(slf)
    }

    /// How many of the connections that `clear_backlog()` has accepted have not made a request yet; at least one
    /// while it accepts.
    fn newcomers(&self, py: Python<'_>) -> usize {
        let Some((turn, is_over)) = self.state.with(py, |s| {
            let clearing = s.clearing.as_ref()?;
            Some((clearing.turn, clearing.done.is_none()))
        }) else {
            return 0;
        };
        let open = self.connections(py);
        let fresh = open.iter().filter(|c| c.get().is_fresh(py, turn)).count();
        fresh + usize::from(!is_over)
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

    /// Closes the connections that have no request running, as at the end of `serve()`.
    ///
    /// For the connections of `serve_connection`; no request begins on any of them any more.
    fn drain(slf: &Bound<'_, Self>) {
        slf.get().stopping.store(true, Ordering::Relaxed);
        Self::close_idle(slf);
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
    /// Whether the server is coming to its end.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

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

    fn close_idle(slf: &Bound<'_, Self>) {
        let py = slf.py();
        for connection in slf.get().connections(py) {
            if connection.get().is_busy(py) {
                continue;
            }
            if let Err(error) = Connection::dismiss(connection.bind(py)) {
                errors::unraisable(py, error, None);
            }
        }
    }

    fn close_all(slf: &Bound<'_, Self>) {
        let py = slf.py();
        for connection in slf.get().connections(py) {
            Connection::close(connection.bind(py));
        }
    }

    /// Wakes whoever is in `serve()`, to look again.
    fn nudge(&self, py: Python<'_>) {
        if let Some((hub, id)) = self.state.with(py, |s| s.parked.take()) {
            hub.get().wake(py, id, Wake::Ready);
        }
    }

    /// Parks in `serve()` until `done`.
    fn wait_until(slf: &Bound<'_, Self>, done: impl Fn(&Self) -> bool) -> PyResult<()> {
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
                return Ok(());
            }
            let greenlet = Hub::waiting_greenlet(&hub)?;
            let parking = hub.get().park(py, &greenlet, None);
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

    fn close_listener(&self, py: Python<'_>) -> PyResult<()> {
        let (fd, waiting) = self
            .state
            .with(py, |s| (s.listener.take(), std::mem::take(&mut s.waiting)));
        if let Some(fd) = fd
            && waiting
        {
            let hub = hub::current(py)?;
            let waiter = hub
                .get()
                .io
                .with(py, |io| io.unwait_handler(fd, Direction::Read));
            drop(waiter);
        }
        Ok(())
    }

    /// Accepts what is there, then waits in the hub for more.
    fn accept(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let hub = hub::current(py)?;
        let (listener, waiting) = this
            .state
            .with(py, |s| (s.listener, std::mem::take(&mut s.waiting)));
        let Some(listener) = listener else {
            return Ok(());
        };
        if waiting {
            // There is nothing to take back if it was readiness that led here.
            let waiter = hub
                .get()
                .io
                .with(py, |io| io.unwait_handler(listener, Direction::Read));
            drop(waiter);
        }
        for _ in 0..ACCEPT_BATCH {
            if this.is_stopping() {
                return Ok(());
            }
            if this.connection_count(py) >= this.limit {
                if !has_pending(listener) {
                    return Self::rest(slf, &hub, listener);
                }
                if !Self::make_room(slf) {
                    // Goes on when a connection is closed; until then the backlog holds them.
                    this.crowd(&hub);
                    return Ok(());
                }
            }
            match accept_one(listener) {
                Ok(fd) if this.refuses(|| connection::peer(fd)) => {
                    this.whisper(py, || REFUSED.to_owned());
                    // SAFETY: the descriptor was just opened and nobody else has it.
                    unsafe { libc::close(fd) };
                }
                Ok(fd) => {
                    this.accepted.fetch_add(1, Ordering::Relaxed);
                    io::next_generation(py, fd);
                    let connection = Connection::over_descriptor(slf, fd).inspect_err(|_| {
                        // SAFETY: the descriptor was just opened and nobody else has it.
                        unsafe { libc::close(fd) };
                    })?;
                    // Its request is likely to be here already.
                    if let Err(error) = Connection::on_readable(connection.bind(py), &hub) {
                        // Some green thread's; the next connections have nothing to do with it.
                        Self::accept_later(slf)?;
                        return Err(error);
                    }
                    if !is_accepting(py)? {
                        Self::stop(slf);
                    }
                }
                Err(errno) => match errno {
                    libc::EAGAIN => {
                        return Self::rest(slf, &hub, listener);
                    }
                    // The client has gone, or something on the way has: accept(2) says to try again.
                    libc::EINTR
                    | libc::ECONNABORTED
                    | libc::EPROTO
                    | libc::ENETDOWN
                    | libc::ENOPROTOOPT
                    | libc::EHOSTDOWN
                    | libc::ENONET
                    | libc::EHOSTUNREACH
                    | libc::EOPNOTSUPP
                    | libc::ENETUNREACH
                    | libc::EPERM => {}
                    libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM => {
                        if !Self::make_room(slf) {
                            this.complain(py, errno);
                            this.crowd(&hub);
                            return Ok(());
                        }
                    }
                    errno => {
                        // The listener itself is broken.
                        this.state.with(py, |s| s.failure = Some(errno));
                        Self::stop(slf);
                        return Ok(());
                    }
                },
            }
        }
        Self::accept_later(slf)
    }

    fn accept_later(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let hub = hub::current(py)?;
        if let Some(target) = slf.get().state.with(py, |s| s.handler.clone()) {
            let handler = io::IoHandler {
                target,
                expired: false,
            };
            hub.get()
                .scheduler
                .with(py, |s| s.push(Task::Handle(handler)));
        }
        Ok(())
    }

    fn await_connection(
        slf: &Bound<'_, Self>,
        hub: &Bound<'_, Hub>,
        listener: RawFd,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let Some(handler) = this.state.with(py, |s| s.handler.clone()) else {
            return Ok(());
        };
        let generation = io::generation(py, listener);
        let waiter = io::Waiter::Handler(handler);
        let result = hub.get().io.with(py, |io| {
            io.wait(listener, Direction::Read, waiter, generation)
        });
        result.map_err(|(refused, _)| wait::refusal(py, listener, Direction::Read, refused))?;
        this.state.with(py, |s| s.waiting = true);
        Ok(())
    }

    /// Nobody waits to be accepted: waits for the next one, unless there is to be none.
    fn rest(slf: &Bound<'_, Self>, hub: &Bound<'_, Hub>, listener: RawFd) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.relax(py);
        let done = this.state.with(py, |s| {
            let done = s.clearing.as_mut()?.done.take();
            s.listener = None;
            Some(done)
        });
        let Some(done) = done else {
            return Self::await_connection(slf, hub, listener);
        };
        if let Some(done) = done
            && let Err(error) = done.call0(py)
        {
            errors::unraisable(py, error, None);
        }
        Ok(())
    }

    /// Out of descriptors or memory: says so, now and then.
    fn complain(&self, py: Python<'_>, errno: i32) {
        let now = clock::now();
        let is_news = self.state.with(py, |s| {
            let is_news = s.quiet_until <= now;
            if is_news {
                s.quiet_until = now + COMPLAINT_PAUSE;
            }
            is_news
        });
        if is_news {
            self.tell(
                py,
                format!(
                    "wsgi: cannot accept connections for now: {}; trying again every {} ms",
                    errors::strerror(errno),
                    ACCEPT_PAUSE / 1_000_000
                ),
            );
        }
    }

    /// Somebody waits and there is no place: from now on connections end with their next response, and those
    /// that are idle now and still are in a while make room.
    fn crowd(&self, hub: &Bound<'_, Hub>) {
        let py = hub.py();
        let now = clock::now();
        self.crowded.store(true, Ordering::Relaxed);
        let census = Census {
            turn: self.turn(),
            taken: now,
        };
        let target = self.state.with(py, |s| {
            if s.census.is_none_or(|census| census.is_over(now)) {
                s.census = Some(census);
            }
            if std::mem::replace(&mut s.paused, true) {
                None
            } else {
                s.handler.clone()
            }
        });
        if let Some(target) = target {
            let handler = Due::Handle(Box::new(io::IoHandler {
                target,
                expired: true,
            }));
            let deadline = now + ACCEPT_PAUSE;
            hub.get()
                .scheduler
                .with(py, |s| s.timers.insert(deadline, handler));
        }
    }

    /// Nobody waits.
    fn relax(&self, py: Python<'_>) {
        self.crowded.store(false, Ordering::Relaxed);
        self.state.with(py, |s| s.census = None);
    }

    /// Closes the connection that has been idle for longest, so that those who only hold a place do not keep
    /// out those who want to be served. False if there is none that may be closed.
    fn make_room(slf: &Bound<'_, Self>) -> bool {
        let py = slf.py();
        let this = slf.get();
        let Some(census) = this.state.with(py, |s| s.census) else {
            return false;
        };
        if !census.is_over(clock::now()) {
            return false;
        }
        let mut idle: Vec<_> = this
            .connections(py)
            .into_iter()
            .filter_map(|connection| {
                let since = connection.get().idle_since(py)?;
                (since < census.turn).then_some((since, connection))
            })
            .collect();
        idle.sort_unstable_by_key(|(since, _)| *since);
        for (_, connection) in idle {
            if !connection.get().has_unread(py) {
                Connection::close(connection.bind(py));
                return true;
            }
        }
        false
    }
}

impl Census {
    /// Whether those who were idle then have had time to show that they are not.
    fn is_over(self, now: u64) -> bool {
        now.saturating_sub(self.taken) >= ACCEPT_PAUSE
    }
}

/// Which PROXY headers `proxy_protocol=` stands for.
fn versions(option: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Versions>> {
    let Some(option) = option else {
        return Ok(None);
    };
    if let Ok(flag) = option.cast::<PyBool>() {
        return Ok(flag.is_true().then_some(Versions::Any));
    }
    match option.extract::<&str>() {
        Ok("v1") => Ok(Some(Versions::V1)),
        Ok("v2") => Ok(Some(Versions::V2)),
        _ => Err(PyValueError::new_err(format!(
            "proxy_protocol is True, False, 'v1' or 'v2', not {}",
            option.repr()?
        ))),
    }
}

/// Accepts in the hub.
struct Acceptor(Py<WsgiServer>);

impl Ready for Acceptor {
    fn ready(self: Arc<Self>, hub: &Bound<'_, Hub>) -> PyResult<()> {
        WsgiServer::accept(self.0.bind(hub.py()))
    }

    fn expired(self: Arc<Self>, hub: &Bound<'_, Hub>) -> PyResult<()> {
        self.0.get().state.with(hub.py(), |s| s.paused = false);
        self.ready(hub)
    }
}

/// What `eventlet.wsgi.is_accepting` says; programs clear it to have their servers end.
fn is_accepting(py: Python<'_>) -> PyResult<bool> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let module = MODULE.get_or_try_init(py, || py.import("eventlet.wsgi").map(Bound::unbind))?;
    module
        .bind(py)
        .getattr(intern!(py, "is_accepting"))?
        .is_truthy()
}

/// Whether a connection waits to be accepted.
fn has_pending(listener: RawFd) -> bool {
    let mut poll = libc::pollfd {
        fd: listener,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: the pointer is that of one live entry, as the count says; with no time it does not wait.
    unsafe { libc::poll(&raw mut poll, 1, 0) > 0 }
}

/// What `accept` would say, for a descriptor that is no listening socket.
fn check_listens(py: Python<'_>, fd: RawFd) -> PyResult<()> {
    let mut listens: libc::c_int = 0;
    let mut size = size_of_val(&listens) as libc::socklen_t;
    // SAFETY: the option is an integer, whose address and size are given.
    let result = unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_ACCEPTCONN,
            (&raw mut listens).cast(),
            &raw mut size,
        )
    };
    if result != 0 {
        return Err(errors::io_error(py, &std::io::Error::last_os_error()));
    }
    if listens == 0 {
        return Err(errors::os_error(py, libc::EINVAL));
    }
    Ok(())
}

/// One `accept4`; an errno on failure.
fn accept_one(listener: RawFd) -> Result<RawFd, i32> {
    // SAFETY: null pointers say that the address is not wanted.
    let fd = unsafe {
        libc::accept4(
            listener,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
        )
    };
    if fd >= 0 {
        let on: libc::c_int = 1;
        // SAFETY: the option is an integer, whose address and size are given. A Unix socket refuses it.
        unsafe {
            libc::setsockopt(
                fd,
                libc::IPPROTO_TCP,
                libc::TCP_NODELAY,
                (&raw const on).cast(),
                size_of_val(&on) as libc::socklen_t,
            );
        }
        return Ok(fd);
    }
    Err(std::io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EINVAL))
}
