//! The end of a server: who is still waited for.
//!
//! | a connection that | |
//! |---|---|
//! | has a request running, or has sent the beginning of one | is waited for |
//! | has never made a request | gets [`FIRST_REQUEST_TIME`] to begin one |
//! | waits between requests | is closed, unless the next one is here and has not been read |
//! | has its last response and is still listened to | comes to its own end, which is near |
//!
//! Whoever keeps a connection between requests has to expect its end (RFC 9112 section 9.6) and asks again. Whoever
//! has just connected has no reason to.

use std::sync::atomic::Ordering;

use pyo3::prelude::*;

use super::WsgiServer;
use crate::hub::io::Direction;
use crate::wsgi::connection::Connection;
use crate::{clock, errors, hub};

/// How long a connection gets to begin its first request once the server stops, in seconds.
pub(super) const FIRST_REQUEST_TIME: f64 = 1.0;

impl WsgiServer {
    /// Accepts no more.
    pub(super) fn close_listener(&self, py: Python<'_>) -> PyResult<()> {
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

    /// Ends the connections, in good order: returns when there are none any more.
    pub(super) fn end_connections(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let is_over = |this: &Self| this.connection_count(py) == 0;
        let in_a_while = || clock::after(clock::now(), FIRST_REQUEST_TIME);
        Self::close_idle(slf, false);
        while !Self::wait_until(slf, is_over, Some(in_a_while()))? {
            // Again and again: one may get here late, from the handshake of TLS.
            Self::close_idle(slf, true);
        }
        Ok(())
    }

    /// Closes the connections that nothing is to be expected of; if it is `late`, nor of those that have made no
    /// request.
    pub(super) fn close_idle(slf: &Bound<'_, Self>, late: bool) {
        let py = slf.py();
        for connection in slf.get().connections(py) {
            if connection.get().is_needed(py, late) {
                continue;
            }
            if let Err(error) = Connection::dismiss(connection.bind(py)) {
                errors::unraisable(py, error, None);
            }
        }
    }

    /// Closes all connections, whatever they are doing.
    pub(super) fn close_all(slf: &Bound<'_, Self>) {
        let py = slf.py();
        for connection in slf.get().connections(py) {
            Connection::close(connection.bind(py));
        }
    }

    /// Whether the server is coming to its end.
    pub(in crate::wsgi) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}
