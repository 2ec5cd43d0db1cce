//! Running the requests of a connection in a green thread.

use eventlet_http1::Version;
use eventlet_http1::response::{Status, encode};
use eventlet_uwsgi::PacketError;
use pyo3::prelude::*;

use super::closing::is_disconnect;
use super::{Connection, Next, Phase, Refusal};
use crate::hub;
use crate::hub::io::IoHandler;
use crate::hub::scheduler::Task;
use crate::wsgi::date;
use crate::wsgi::exchange::{After, Exchange};
use crate::wsgi::log::{AccessLog, Entry};
use crate::wsgi::transport::{self, Transport};

/// How many pipelined requests run before others get a turn.
const PIPELINE_BATCH: u32 = 32;

/// How long a client has to take an answer that is none to a request, in seconds.
const ANSWER_TIME: f64 = 2.0;

impl Connection {
    /// Runs requests until there is none left, in the connection's green thread.
    pub(in crate::wsgi) fn run(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::run_requests(slf).or_else(|error| Self::end(slf, error))
    }

    /// Closes the connection because of an error.
    #[inline(never)]
    fn end(slf: &Bound<'_, Self>, error: PyErr) -> PyResult<()> {
        Self::close(slf);
        // The end of the client is no error of the server.
        if is_disconnect(slf.py(), &error) {
            Ok(())
        } else {
            Err(error)
        }
    }

    fn run_requests(slf: &Bound<'_, Self>) -> PyResult<()> {
        // This frame is copied with every green thread whose application waits: it has to be small.
        let mut batch = 0;
        let mut after = None;
        while let Some(exchange) = Self::next_exchange(slf, after, &mut batch)? {
            after = Some(Exchange::run(exchange.bind(slf.py()))?);
        }
        Ok(())
    }

    /// Does what follows a request, and finds the next; none if the connection has ended, or waits in the hub.
    #[inline(never)]
    fn next_exchange(
        slf: &Bound<'_, Self>,
        mut after: Option<After>,
        batch: &mut u32,
    ) -> PyResult<Option<Py<Exchange>>> {
        let py = slf.py();
        let this = slf.get();
        if this.state.with(py, |s| s.awaits_tls) && !Self::shake_hands(slf)? {
            return Ok(None);
        }
        loop {
            if let Some(after) = after.take() {
                let has_more = this.state.with(py, |s| !s.buffer.is_empty());
                match after {
                    After::Persist if !this.server.get().is_stopping() => {}
                    // The client was not told, and has sent its next request.
                    After::Persist if has_more || this.has_unread(py) => {}
                    // What the client has sent already would turn the end into a reset.
                    After::Close | After::Persist if !has_more => {
                        Self::close(slf);
                        return Ok(None);
                    }
                    _ => {
                        Self::linger(slf);
                        return Self::settle(slf).map(|()| None);
                    }
                }
            } else if let Some(refusal) = this.state.with(py, |s| s.refusal.take()) {
                Self::refuse(slf, refusal)?;
                return Self::settle(slf).map(|()| None);
            } else if let Some(exchange) = this.state.with(py, |s| s.exchange.take()) {
                return Ok(Some(exchange));
            }
            let has_more = this.state.with(py, |s| {
                if s.buffer.is_empty() && s.phase == Phase::Busy {
                    s.phase = Phase::Idle;
                }
                !s.buffer.is_empty()
            });
            if has_more {
                *batch += 1;
                if *batch % PIPELINE_BATCH == 0 {
                    hub::wait::sleep(py, 0.0)?;
                }
                match Self::digest(slf, b"")? {
                    Next::Run => continue,
                    Next::Over => return Ok(None),
                    Next::Wait => {}
                }
            }
            if this.managed && this.transport(py).descriptor().is_some() {
                match Self::more_at_once(slf)? {
                    Next::Run => {
                        if Self::queue(slf)? {
                            return Ok(None);
                        }
                        continue;
                    }
                    Next::Wait | Next::Over => return Ok(None),
                }
            }
            match Self::read_blocking(slf)? {
                Next::Run | Next::Wait => {}
                Next::Over => return Ok(None),
            }
        }
    }

    /// Has the hub come back to a request that was there at once; false if it is not one.
    ///
    /// The connection has had its turn, and a client that is quick enough would never be without one.
    fn queue(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        let hub = hub::current(py)?;
        let handler = slf.get().state.with(py, |s| {
            let is_request = s.phase == Phase::Busy && s.exchange.is_some();
            s.handler.clone().filter(|_| is_request)
        });
        let Some(target) = handler else {
            return Ok(false);
        };
        let expired = false;
        let task = Task::Handle(IoHandler { target, expired });
        hub.get().scheduler.with(py, |s| s.push(task));
        hub.get().queued(py);
        Ok(true)
    }

    /// Answers what is not a request, and ends the connection.
    fn refuse(slf: &Bound<'_, Self>, refusal: Refusal) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let (code, reason, text) = match refusal {
            Refusal::Malformed(error) => (error.status(), error.reason(), format!("{error}\n")),
            Refusal::Packet(error) => {
                let (code, reason) = match error {
                    PacketError::TooLarge | PacketError::TooMany => {
                        (431, "Request Header Fields Too Large")
                    }
                    _ => (400, "Bad Request"),
                };
                (code, reason, format!("{error}\n"))
            }
            Refusal::Slow => (408, "Request Timeout", String::new()),
        };
        let status = Status {
            code,
            reason: reason.as_bytes(),
        };
        let length = this.answer_refusal(py, status, &text)?;
        if refusal == Refusal::Slow {
            this.whisper(py, "did not send the head of a request in time");
        } else {
            this.log_refusal(py, code, length)?;
        }
        Self::linger(slf);
        Ok(())
    }

    /// Sends the answer to what is not a request; how many bytes it has.
    pub(super) fn answer_refusal(
        &self,
        py: Python<'_>,
        status: Status<'_>,
        text: &str,
    ) -> PyResult<usize> {
        let mut answer = Vec::with_capacity(256);
        encode::status_line(&mut answer, Version::Http11, status);
        date::with_http(py, |date| {
            encode::header_line(&mut answer, b"Date", date.as_bytes());
        });
        encode::header_line(&mut answer, b"Content-Type", b"text/plain; charset=utf-8");
        encode::content_length(&mut answer, text.len() as u64);
        encode::header_line(&mut answer, b"Connection", b"close");
        answer.extend_from_slice(encode::CRLF);
        answer.extend_from_slice(text.as_bytes());
        match self.transport(py) {
            // A fresh connection has room for an answer this short; one that has not is not owed any.
            Transport::Descriptor(fd) => drop(transport::send(fd, [&answer, b"", b""])),
            object @ (Transport::Object(_) | Transport::Protocol(_) | Transport::Tls { .. }) => {
                object.write(py, Some(ANSWER_TIME), [&answer, b"", b""])?;
            }
            Transport::Closed => {}
        }
        Ok(answer.len())
    }

    /// Logs what was not a request, and was answered with so many bytes.
    pub(super) fn log_refusal(&self, py: Python<'_>, code: u16, length: usize) -> PyResult<()> {
        let server = self.server.get();
        if !server.log.is_enabled() {
            return Ok(());
        }
        let addresses = self.addresses(py)?;
        AccessLog::request(
            self.server.bind(py),
            &Entry {
                environ: None,
                client_ip: addresses.remote_addr.bind(py).to_str()?,
                client_port: addresses.remote_port.bind(py).to_str()?,
                request_line: b"-",
                status_code: code,
                body_length: length as u64,
                wall_seconds: 0.0,
            },
        )
    }
}
