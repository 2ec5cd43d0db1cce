//! Running the requests of a connection in a green thread.

use eventlet_http1::response::{Status, encode};
use eventlet_http1::{RequestError, Version};
use pyo3::prelude::*;

use super::closing::is_disconnect;
use super::{Connection, Next, Phase};
use crate::hub;
use crate::wsgi::date;
use crate::wsgi::exchange::{After, Exchange};
use crate::wsgi::log::Entry;
use crate::wsgi::transport::{self, Transport};

/// How many pipelined requests run before others get a turn.
const PIPELINE_BATCH: u32 = 32;

impl Connection {
    /// Runs requests until there is none left, in the connection's green thread.
    pub(in crate::wsgi) fn run(slf: &Bound<'_, Self>) -> PyResult<()> {
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

    /// Answers what is not a request, and ends the connection.
    fn refuse(slf: &Bound<'_, Self>, error: RequestError) -> PyResult<()> {
        let status = Status {
            code: error.status(),
            reason: error.reason().as_bytes(),
        };
        Self::answer_refusal(slf, status, &error.to_string())?;
        Self::linger(slf);
        Ok(())
    }

    /// Sends the answer to what is not a request, with a line of text, and logs it.
    pub(super) fn answer_refusal(
        slf: &Bound<'_, Self>,
        status: Status<'_>,
        text: &str,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let server = this.server.get();
        let text = format!("{text}\n");
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
        match this.transport(py) {
            // A fresh connection has room for an answer this short; one that has not is not owed any.
            Transport::Descriptor(fd) => drop(transport::send(fd, [&answer, b"", b""])),
            object @ (Transport::Object(_) | Transport::Protocol(_)) => {
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
                    status_code: status.code,
                    body_length: answer.len() as u64,
                    wall_seconds: 0.0,
                },
            )?;
        }
        Ok(())
    }
}
