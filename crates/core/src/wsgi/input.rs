//! `wsgi.input`: the body of a request as a file to read.

use eventlet_http1::response::{check_header, encode};
use eventlet_http1::{BodyLength, Head};
use pyo3::exceptions::PyException;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use super::connection::Connection;
use super::text::{Part, refused, with_latin1};
use super::transport::{PIECES, Patience};
use crate::cell::GilCell;

/// The most of an unread body that is read and thrown away to keep the connection, in bytes.
const DISCARD_LIMIT: usize = 1 << 20;

/// The body of a request.
///
/// Reading waits for the client, so it belongs into the request's green thread. A client that asked to be
/// told before it sends (`Expect: 100-continue`) is told on the first read.
#[pyclass(frozen, weakref, module = "eventlet._core")]
pub struct Input {
    connection: Py<Connection>,
    state: GilCell<State>,
}

struct State {
    /// Decoded bytes; those before `start` have been read.
    decoded: Vec<u8>,
    start: usize,
    expectation: Expectation,
    continue_headers: Vec<u8>,
    /// Whether `continue_headers` has been sent at least once.
    continued: bool,
    /// Whether the response has begun, so that no other can precede it.
    responding: bool,
    /// The request is over; there is nothing to read any more.
    ended: bool,
    /// With which status the application has answered through the socket.
    answered: Option<u16>,
    position: u64,
}

/// Whether the client waits to be told to go on before it sends the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expectation {
    /// It does not, or has been told.
    None,
    /// It does.
    Waits,
    /// It may, but cannot be told: it speaks HTTP/1.0.
    MayWait,
}

#[pymethods]
impl Input {
    /// Reads up to `size` bytes; without it, or if it is negative, all of the body.
    ///
    /// Returns fewer bytes only at the end of the body. Raises `ChunkReadError` if the body is malformed,
    /// TimeoutError if the client takes too long.
    #[pyo3(signature = (size = None, /))]
    fn read<'py>(slf: &Bound<'py, Self>, size: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        let wanted = match size {
            Some(size) if size >= 0 => usize::try_from(size).unwrap_or(usize::MAX),
            _ => usize::MAX,
        };
        Self::fill(slf, |decoded| decoded.len() >= wanted)?;
        Ok(slf.get().take(slf.py(), wanted))
    }

    /// Reads a line, its newline included, or up to `size` bytes of it.
    #[pyo3(signature = (size = None, /))]
    fn readline<'py>(slf: &Bound<'py, Self>, size: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        let limit = match size {
            Some(size) if size >= 0 => usize::try_from(size).unwrap_or(usize::MAX),
            _ => usize::MAX,
        };
        let mut searched = 0;
        let mut end = None;
        Self::fill(slf, |decoded| {
            let found = memchr::memchr(b'\n', &decoded[searched.min(decoded.len())..]);
            end = found.map(|index| searched + index + 1);
            searched = decoded.len();
            end.is_some() || decoded.len() >= limit
        })?;
        Ok(slf
            .get()
            .take(slf.py(), end.unwrap_or(usize::MAX).min(limit)))
    }

    /// Reads lines until the end, or until there are `hint` bytes.
    #[pyo3(signature = (hint = None, /))]
    fn readlines<'py>(slf: &Bound<'py, Self>, hint: Option<i64>) -> PyResult<Bound<'py, PyList>> {
        let limit = hint
            .filter(|hint| *hint > 0)
            .and_then(|hint| usize::try_from(hint).ok());
        let lines = PyList::empty(slf.py());
        let mut total = 0;
        loop {
            let line = Self::readline(slf, None)?;
            if line.as_bytes().is_empty() {
                return Ok(lines);
            }
            total += line.as_bytes().len();
            lines.append(line)?;
            if limit.is_some_and(|limit| total >= limit) {
                return Ok(lines);
            }
        }
    }

    fn __iter__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
        slf.clone()
    }

    fn __next__<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let line = Self::readline(slf, None)?;
        Ok((!line.as_bytes().is_empty()).then_some(line))
    }

    /// How many bytes of the body have been read.
    #[getter]
    fn position(&self, py: Python<'_>) -> u64 {
        self.state.with(py, |s| s.position)
    }

    /// Takes what the client has sent after the head and the server has read already.
    ///
    /// For applications that go on with `get_socket()`: the socket does not have these bytes any more.
    fn take_buffered<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.connection.get().take_buffered(py))
    }

    /// The connection as a socket. The server closes it when the application has returned.
    fn get_socket(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Connection::socket(slf.get().connection.bind(slf.py()))
    }

    /// Says with which status the application has answered through the socket, for the access log.
    fn note_answer(&self, py: Python<'_>, status_code: u16) {
        self.state.with(py, |s| s.answered = Some(status_code));
    }

    /// Sets headers for the `100 Continue` response: pairs of strings, as for `start_response`.
    #[pyo3(signature = (headers, capitalize_response_headers = true))]
    fn set_hundred_continue_response_headers(
        &self,
        headers: &Bound<'_, PyAny>,
        capitalize_response_headers: bool,
    ) -> PyResult<()> {
        let mut encoded = Vec::new();
        let line = if capitalize_response_headers {
            encode::header_line_capitalized
        } else {
            encode::header_line
        };
        for header in headers.try_iter()? {
            let (name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = header?.extract()?;
            with_latin1(&name, Part::Name, |name| {
                with_latin1(&value, Part::Value, |value| {
                    check_header(name, value).map_err(|error| refused(error, name, value))?;
                    line(&mut encoded, name, value);
                    Ok(())
                })
            })?;
        }
        self.state
            .with(headers.py(), |s| s.continue_headers = encoded);
        Ok(())
    }

    /// Sends a `100 Continue` response now, unless the final response has begun or the client speaks
    /// HTTP/1.0, which has none. It may be sent more than once, with other headers.
    ///
    /// After the end of a chunked body it asks for another one, which is read as the continuation of the
    /// first.
    fn send_hundred_continue_response(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let connection = this.connection.get();
        let headers = this.state.with(py, |s| {
            if s.responding || s.expectation == Expectation::MayWait {
                return None;
            }
            s.expectation = Expectation::None;
            s.continued = true;
            Some(std::mem::take(&mut s.continue_headers))
        });
        let Some(headers) = headers else {
            return Ok(());
        };
        connection.continue_chunks(py);
        let mut response = b"HTTP/1.1 100 Continue\r\n".to_vec();
        response.extend_from_slice(&headers);
        response.extend_from_slice(b"\r\n");
        let pieces: [&[u8]; PIECES] = [&response, b"", b""];
        connection.write(py, pieces)
    }

    /// Whether a `100 Continue` response has been sent.
    #[getter]
    fn is_hundred_continue_response_sent(&self, py: Python<'_>) -> bool {
        self.state.with(py, |s| s.continued)
    }

    /// Whether the client waits for a `100 Continue` response and has got none.
    #[getter]
    fn should_send_hundred_continue(&self, py: Python<'_>) -> bool {
        !self.may_continue(py)
    }

    /// Whether the body comes in chunks. To be set only before any of it has been read.
    #[getter]
    fn chunked_input(&self, py: Python<'_>) -> bool {
        self.connection.get().body_length(py) == BodyLength::Chunked
    }

    #[setter]
    fn set_chunked_input(&self, py: Python<'_>, chunked: bool) {
        if chunked != self.chunked_input(py) {
            let length = if chunked {
                BodyLength::Chunked
            } else {
                BodyLength::None
            };
            self.connection.get().set_body_length(py, length);
        }
    }

    /// The length of the body that the client has announced, in bytes; None if it comes in chunks. To be
    /// set only before any of it has been read.
    #[getter]
    fn content_length(&self, py: Python<'_>) -> Option<u64> {
        match self.connection.get().body_length(py) {
            BodyLength::None => Some(0),
            BodyLength::Length(length) => Some(length),
            BodyLength::Chunked => None,
        }
    }

    #[setter]
    fn set_content_length(&self, py: Python<'_>, length: Option<u64>) {
        let length = match length {
            Some(length) => BodyLength::Length(length),
            None if self.chunked_input(py) => BodyLength::Chunked,
            None => BodyLength::None,
        };
        self.connection.get().set_body_length(py, length);
    }

    /// Not None if the client waits to be told to send the body. To be set, to any file, to say that it
    /// does.
    #[getter]
    fn wfile(slf: &Bound<'_, Self>) -> Option<Py<PyAny>> {
        let waits = !slf.get().may_continue(slf.py());
        waits.then(|| slf.clone().into_any().unbind())
    }

    #[setter]
    fn set_wfile(&self, py: Python<'_>, file: Option<&Bound<'_, PyAny>>) {
        let expectation = match file {
            Some(_) => Expectation::Waits,
            None => Expectation::None,
        };
        self.state.with(py, |s| s.expectation = expectation);
    }

    /// The status line of a `100 Continue` response. What is assigned is ignored: there is but one.
    #[getter]
    #[allow(clippy::unused_self, reason = "an attribute of instances")]
    fn wfile_line(&self) -> &'static [u8] {
        b"HTTP/1.1 100 Continue\r\n"
    }

    #[setter]
    #[allow(clippy::unused_self, reason = "an attribute of instances")]
    fn set_wfile_line(&self, _line: Option<&Bound<'_, PyAny>>) {}

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.connection)
    }
}

impl Input {
    /// With which status the application has answered through the socket, if it says.
    pub(super) fn answered(&self, py: Python<'_>) -> Option<u16> {
        self.state.with(py, |s| s.answered)
    }

    /// The body of the request that `connection` runs. Without a head, nobody asks for leave to send it.
    pub(super) fn new(connection: Py<Connection>, head: Option<&Head>) -> Self {
        let expectation = if head.is_some_and(Head::expect_continue) {
            Expectation::Waits
        } else if head.is_some_and(Head::may_withhold_body) {
            Expectation::MayWait
        } else {
            Expectation::None
        };
        Self {
            connection,
            state: GilCell::new(State {
                decoded: Vec::new(),
                start: 0,
                expectation,
                continue_headers: Vec::new(),
                continued: false,
                responding: false,
                ended: false,
                answered: None,
                position: 0,
            }),
        }
    }

    /// Decodes until `enough` of what has not been read, or the end.
    fn fill(slf: &Bound<'_, Self>, mut enough: impl FnMut(&[u8]) -> bool) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let connection = this.connection.bind(py);
        let timeout = connection.get().server.get().config.body_timeout;
        loop {
            let (satisfied, expectation, responding) = this.state.with(py, |s| {
                let satisfied = s.ended || enough(&s.decoded[s.start..]);
                (satisfied, s.expectation, s.responding)
            });
            if satisfied || connection.get().body_is_finished(py) {
                return Ok(());
            }
            if expectation != Expectation::None {
                if expectation == Expectation::Waits && !responding {
                    Self::send_hundred_continue_response(slf)?;
                }
                this.state.with(py, |s| s.expectation = Expectation::None);
            }
            let mut fresh = Vec::new();
            let more = Connection::read_body(connection, &mut fresh, &mut Patience::new(timeout))?;
            this.state.with(py, |s| {
                if s.start > 0 {
                    s.decoded.drain(..s.start);
                    s.start = 0;
                }
                if s.decoded.is_empty() {
                    s.decoded = fresh;
                } else {
                    s.decoded.extend_from_slice(&fresh);
                }
            });
            if !more {
                return Ok(());
            }
        }
    }

    /// Takes up to `count` of the decoded bytes.
    fn take<'py>(&self, py: Python<'py>, count: usize) -> Bound<'py, PyBytes> {
        // The bytes leave the state first: making an object may run the garbage collector.
        let (taken, range) = self.state.with(py, |s| {
            let end = s.start + count.min(s.decoded.len() - s.start);
            let range = s.start..end;
            s.position += range.len() as u64;
            s.start = 0;
            (std::mem::take(&mut s.decoded), range)
        });
        let bytes = PyBytes::new(py, &taken[range.clone()]);
        if range.end < taken.len() {
            self.state.with(py, |s| {
                s.start = range.end;
                s.decoded = taken;
            });
        }
        bytes
    }

    /// False if the client was promised an answer to its `Expect` and got none.
    pub(super) fn may_continue(&self, py: Python<'_>) -> bool {
        self.state.with(py, |s| s.expectation == Expectation::None)
    }

    /// The response is about to begin.
    pub(super) fn begin_response(&self, py: Python<'_>) {
        self.state.with(py, |s| s.responding = true);
    }

    /// Reads the rest of the body and throws it away; false if that cannot be done in reasonable bounds.
    pub(super) fn discard(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        let connection = slf.get().connection.bind(py);
        // The request is over; a client that sends no more must not keep the server from ending.
        connection.get().make_interruptible(py, None);
        // For all of it: one that trickles would be read for ever otherwise.
        let mut patience = Patience::new(connection.get().server.get().config.body_timeout);
        let mut discarded = 0;
        while !connection.get().body_is_finished(py) {
            let mut fresh = Vec::new();
            match Connection::read_body(connection, &mut fresh, &mut patience) {
                Ok(true) => {}
                Ok(false) => return Ok(connection.get().body_is_finished(py)),
                // Whatever is wrong with the body, the response has been sent; there is no other.
                Err(error) if error.is_instance_of::<PyException>(py) => {
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
            discarded += fresh.len();
            if discarded > DISCARD_LIMIT {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The request is over: reading gives nothing from now on, whoever still holds this object.
    pub(super) fn end(&self, py: Python<'_>) {
        self.state.with(py, |s| {
            s.ended = true;
            s.decoded = Vec::new();
            s.start = 0;
        });
    }
}
