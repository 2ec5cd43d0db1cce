//! Reading and parsing, in the hub or in the green thread of the connection.

use std::any::Any;
use std::os::fd::RawFd;

use eventlet_http1::{BodyDecoder, BodyLength, RequestError};
use eventlet_uwsgi::Limits as PacketLimits;
use pyo3::exceptions::{PyException, PyTimeoutError};
use pyo3::prelude::*;

use super::deadline::SILENT;
use super::{Connection, Handler, Next, Phase, Refusal};
use crate::hub::io::{self, Direction, Ready, Refused};
use crate::hub::{self, Hub};
use crate::wsgi::exchange::Exchange;
use crate::wsgi::server::WsgiServer;
use crate::wsgi::transport::{self, Patience, Transport};
use crate::wsgi::uwsgi::Packet;
use crate::wsgi::worker::Worker;

/// Variables of a packet that are not headers: what web servers send, and some that their operators add.
const CGI_VARIABLES: usize = 100;

impl Connection {
    /// Data has come, or may have. In the hub.
    ///
    /// # Errors
    ///
    /// Not its own: those of whichever green thread comes back to the hub with one.
    pub(in crate::wsgi) fn on_readable(
        slf: &Bound<'_, Self>,
        hub: &Bound<'_, Hub>,
    ) -> PyResult<()> {
        match Self::look_for_request(slf, hub) {
            Ok(true) => Worker::start(slf, hub),
            Ok(false) => Ok(()),
            Err(error) => Self::failed(slf, error),
        }
    }

    /// Data has come, or may have, to what the hub knows as `handler`. In a green thread that runs requests.
    ///
    /// The connection, if there is a request to run now.
    ///
    /// # Errors
    ///
    /// What ends programs.
    pub(in crate::wsgi) fn take_up(
        handler: &dyn Ready,
        hub: &Bound<'_, Hub>,
    ) -> PyResult<Option<Py<Self>>> {
        let Some(Handler(connection)) = (handler as &dyn Any).downcast_ref() else {
            return Ok(None);
        };
        let slf = connection.bind(hub.py());
        match Self::look_for_request(slf, hub) {
            Ok(true) => Ok(Some(slf.clone().unbind())),
            Ok(false) => Ok(None),
            Err(error) => Self::failed(slf, error).map(|()| None),
        }
    }

    /// Whether what the hub knows as `handler` is a connection of `server`.
    pub(in crate::wsgi) fn is_of(handler: &dyn Ready, server: &Py<WsgiServer>) -> bool {
        (handler as &dyn Any)
            .downcast_ref()
            .is_some_and(|Handler(connection)| connection.get().server.is(server))
    }

    /// Reads what there is; true if a request has come.
    fn look_for_request(slf: &Bound<'_, Self>, hub: &Bound<'_, Hub>) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        loop {
            let (phase, transport, awaits_tls) = this
                .state
                .with(py, |s| (s.phase, s.transport.clone_ref(py), s.awaits_tls));
            let Some(fd) = transport.descriptor() else {
                return Ok(false);
            };
            if phase == Phase::Busy {
                // There is one if it was found before it was this connection's turn.
                return Ok(this.state.with(py, |s| s.exchange.is_some()));
            }
            if phase == Phase::Closed {
                return Ok(false);
            }
            if awaits_tls {
                return Self::await_handshake(slf, hub, fd);
            }
            // The end of a connection is about bytes, whatever they mean.
            let transport = if phase == Phase::Lingering {
                Transport::Descriptor(fd)
            } else {
                transport
            };
            let mut scratch = transport::take_scratch();
            let next = match this.receive(py, &transport, fd, &mut scratch) {
                Ok(None) => Ok(Next::Wait),
                Err(error) => Err(error),
                Ok(Some(0)) => {
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

    /// Before the handshake: true once there is something to begin it with.
    fn await_handshake(slf: &Bound<'_, Self>, hub: &Bound<'_, Hub>, fd: RawFd) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        if transport::is_empty(fd) {
            this.state.with(py, |s| s.drained = true);
            if Self::await_data(slf, hub, fd)? {
                return Ok(false);
            }
        }
        this.state.with(py, |s| {
            s.phase = Phase::Busy;
            s.interruptible = true;
        });
        Ok(true)
    }

    /// Reads once without waiting. `None` means there is nothing yet, 0 the end, whatever has brought it about.
    ///
    /// # Errors
    ///
    /// What ends programs: an interrupt may come while `OpenSSL` is at work.
    pub(super) fn receive(
        &self,
        py: Python<'_>,
        transport: &Transport,
        fd: RawFd,
        buffer: &mut [u8],
    ) -> PyResult<Option<usize>> {
        if let Transport::Tls { layer, .. } = transport {
            let result = transport::receive_tls(layer.bind(py), fd, buffer);
            // There may be more, in this record or the next, until a look at it says otherwise.
            self.state
                .with(py, |s| s.drained = matches!(result, Ok(None)));
            return match result {
                Err(error) if error.is_instance_of::<PyException>(py) => Ok(Some(0)),
                other => other,
            };
        }
        let result = transport::receive(fd, buffer);
        let full = matches!(result, Ok(Some(count)) if count == buffer.len());
        self.state.with(py, |s| s.drained = !full);
        Ok(result.unwrap_or(Some(0)))
    }

    /// Waits in the hub for data; false if there is some already.
    pub(super) fn await_data(
        slf: &Bound<'_, Self>,
        hub: &Bound<'_, Hub>,
        fd: RawFd,
    ) -> PyResult<bool> {
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
        let waits = hub.get().io.with(py, |io| {
            io.wait_handler(fd, Direction::Read, handler, generation)
        });
        match waits {
            // It waits already: data came in the very turn in which its time was up, and both were noticed.
            Err((Refused::Busy, _)) => Ok(true),
            Err((refused, _)) => Err(hub::wait::refusal(py, fd, Direction::Read, refused)),
            Ok(waits) => Ok(waits),
        }
    }

    /// Takes in `input` after what is in the buffer, and looks for a request at the start of it all.
    pub(super) fn digest(slf: &Bound<'_, Self>, input: &[u8]) -> PyResult<Next> {
        let py = slf.py();
        let this = slf.get();
        let server = this.server.get();
        let (awaits_proxy, parser) = this.state.with(py, |s| (s.awaits_proxy, s.parser.take()));
        if awaits_proxy {
            return Self::digest_preface(slf, input);
        }
        let mut buffer = this.state.with(py, |s| std::mem::take(&mut s.buffer));
        if server.config.uwsgi {
            buffer.extend_from_slice(input);
            return Self::digest_packet(slf, buffer);
        }
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
                    if parser.is_idle() {
                        s.phase = Phase::Idle;
                    } else if s.phase != Phase::Head {
                        s.phase = Phase::Head;
                        s.head_deadline = this.new_head_deadline();
                    }
                    s.buffer = buffer;
                    s.parser = Some(parser);
                    Next::Wait
                }))
            }
            Ok(Some(length)) => {
                let head = parser.head();
                let exchange = Exchange::new(slf, head, bytes, length);
                let body = head.body();
                let rest = if buffer.is_empty() {
                    input[length..].to_vec()
                } else {
                    buffer.drain(..length);
                    buffer
                };
                server.return_parser(py, parser);
                Ok(this.begin(py, exchange?, body, rest))
            }
            Err(error) => {
                server.return_parser(py, parser);
                this.refuse_later(py, Refusal::Malformed(error));
                Ok(Next::Run)
            }
        }
    }

    /// Looks for a packet of the uwsgi protocol at the start of `buffer`.
    fn digest_packet(slf: &Bound<'_, Self>, mut buffer: Vec<u8>) -> PyResult<Next> {
        let py = slf.py();
        let this = slf.get();
        let limits = &this.server.get().config.limits;
        let packet_limits = PacketLimits {
            size: limits.head,
            count: limits.header_count.saturating_add(CGI_VARIABLES),
        };
        match eventlet_uwsgi::parse(&buffer, &packet_limits) {
            Ok(None) => Ok(this.state.with(py, |s| {
                if s.phase == Phase::Closed {
                    return Next::Over;
                }
                if s.phase != Phase::Head && !buffer.is_empty() {
                    s.phase = Phase::Head;
                    s.head_deadline = this.new_head_deadline();
                }
                s.buffer = buffer;
                Next::Wait
            })),
            Ok(Some(length)) => {
                let body = eventlet_uwsgi::content_length(&buffer[..length]).unwrap_or(0);
                if body > limits.body {
                    this.refuse_later(py, Refusal::Malformed(RequestError::BodyTooLarge));
                    return Ok(Next::Run);
                }
                let exchange = Exchange::from_packet(slf, &Packet::new(&buffer[..length]))?;
                buffer.drain(..length);
                Ok(this.begin(py, exchange, BodyLength::Length(body), buffer))
            }
            Err(error) => {
                this.refuse_later(py, Refusal::Packet(error));
                Ok(Next::Run)
            }
        }
    }

    /// Has a request run next, whose body is to be decoded from `rest` and what comes after it.
    fn begin(
        &self,
        py: Python<'_>,
        exchange: Py<Exchange>,
        body: BodyLength,
        rest: Vec<u8>,
    ) -> Next {
        let turn = self.server.get().turn();
        // Making all these objects may have run other code, which may have closed this.
        let (next, old) = self.state.with(py, |s| {
            if s.phase == Phase::Closed {
                return (Next::Over, (Some(exchange), None));
            }
            s.phase = Phase::Busy;
            s.interruptible = false;
            s.requests += 1;
            s.turn = turn;
            s.fault = None;
            s.buffer = rest;
            s.body = BodyDecoder::new(body);
            s.body_length = body;
            (Next::Run, (s.exchange.replace(exchange), s.farewell.take()))
        });
        drop(old);
        next
    }

    /// Has the green thread that is started next give an answer that is none of the application's.
    ///
    /// The answer is logged, and loggers may wait.
    pub(super) fn refuse_later(&self, py: Python<'_>, refusal: Refusal) {
        self.state.with(py, |s| {
            s.phase = Phase::Busy;
            s.interruptible = true;
            s.refusal = Some(refusal);
        });
    }

    /// Leaves the connection to the hub, unless the next bytes are here already.
    pub(super) fn more_at_once(slf: &Bound<'_, Self>) -> PyResult<Next> {
        let py = slf.py();
        let this = slf.get();
        let hub = hub::current(py)?;
        loop {
            let transport = this.transport(py);
            let Some(fd) = transport.descriptor() else {
                return Ok(Next::Over);
            };
            if Self::await_data(slf, &hub, fd)? {
                return Ok(Next::Wait);
            }
            let mut scratch = transport::take_scratch();
            let next = match this.receive(py, &transport, fd, &mut scratch) {
                Ok(None) => Ok(Next::Wait),
                Err(error) => Err(error),
                Ok(Some(0)) => {
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
    pub(super) fn read_blocking(slf: &Bound<'_, Self>) -> PyResult<Next> {
        let py = slf.py();
        let this = slf.get();
        let phase = this.state.with(py, |s| s.phase);
        let mut patience = match phase {
            Phase::Idle => Patience::new(this.idle_limit(py)),
            _ => Patience::until(this.head_deadline(py), None),
        };
        let mut input = Vec::new();
        let count = match this.transport(py).read(py, &mut patience, &mut input) {
            Ok(count) => count,
            Err(error) if error.is_instance_of::<PyTimeoutError>(py) && phase == Phase::Head => {
                if this.head_is_late(py) {
                    this.refuse_later(py, Refusal::Slow);
                    return Ok(Next::Run);
                }
                this.whisper(py, SILENT);
                0
            }
            Err(error) if error.is_instance_of::<PyTimeoutError>(py) => 0,
            Err(error) => return Err(error),
        };
        if count == 0 || this.is_closed(py) {
            Self::close(slf);
            return Ok(Next::Over);
        }
        Self::digest(slf, &input)
    }
}
