//! Accepting connections, and what is done when there is no place for more.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::{REFUSED, WsgiServer};
use crate::hub::io::{self, Direction, Ready};
use crate::hub::scheduler::{Due, Task};
use crate::hub::{self, Hub, wait};
use crate::wsgi::connection::{self, Connection};
use crate::{clock, errors};

/// How many connections are accepted before others get a turn.
const ACCEPT_BATCH: usize = 64;

/// How long accepting pauses when there is no place, or the system has no descriptor left.
const ACCEPT_PAUSE: u64 = 100_000_000;

/// How long nothing is said of a lack of descriptors or memory after that has been reported, in nanoseconds.
const COMPLAINT_PAUSE: u64 = 60_000_000_000;

/// Connections whose last request lies before `turn` were idle at the moment `taken`.
#[derive(Clone, Copy)]
pub(super) struct Census {
    turn: u64,
    taken: u64,
}

/// The end of accepting: what waits is still accepted.
pub(super) struct Clearing {
    /// Called, in the hub, when nothing waits any more.
    pub(super) done: Option<Py<PyAny>>,
}

impl WsgiServer {
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

    /// Accepts in the next round of the hub.
    pub(super) fn accept_later(slf: &Bound<'_, Self>) -> PyResult<()> {
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

/// Accepts in the hub.
pub(super) struct Acceptor(Py<WsgiServer>);

impl Acceptor {
    pub(super) fn new(server: &Bound<'_, WsgiServer>) -> Self {
        Self(server.clone().unbind())
    }
}

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
pub(super) fn check_listens(py: Python<'_>, fd: RawFd) -> PyResult<()> {
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
