//! Sending the body that an application returned, and the head before it.

use std::num::NonZeroUsize;

use eventlet_http1::response::{
    BodyFraming, ConnectionHeader, Finish, ResponseBody, encode, framing,
};
use pyo3::exceptions::PyAssertionError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyList, PyTuple};

use super::{After, Exchange};
use crate::wsgi::date;
use crate::wsgi::file::{Extent, FileWrapper};
use crate::wsgi::transport::{PIECES, block_of};

/// Blocks up to this size are copied behind the head rather than sent from where they are, in bytes.
const COPY_LIMIT: usize = 16 * 1024;

impl Exchange {
    /// Sends the body that the application returned.
    pub(super) fn send_result(slf: &Bound<'_, Self>, result: &Bound<'_, PyAny>) -> PyResult<After> {
        let py = slf.py();
        let this = slf.get();
        if let Some(only) = only_block(result) {
            // The usual case: all of the body in one piece.
            let block = block_of(&only)?;
            let data = block.as_bytes();
            let known = Some(data.len() as u64 + this.pending_length(py));
            Self::send(slf, data, known, true)?;
            return this.finish(py);
        }
        let known = match result.cast_exact::<FileWrapper>() {
            Err(_) => known_length(result)?,
            Ok(file) => match file.get().extent(py)? {
                Some(file) if this.may_send_file(py) => return this.send_file(py, &file),
                Some(file) => Some(file.length + this.pending_length(py)),
                None => None,
            },
        };
        let minimum = this.minimum_chunk_size(py)?;
        for block in result.try_iter()? {
            let block = block?;
            let block = block_of(&block)?;
            let data = block.as_bytes();
            if data.is_empty() {
                continue;
            }
            let pending = this.state.with(py, |s| s.pending.len());
            if pending + data.len() < minimum {
                this.state.with(py, |s| s.pending.extend_from_slice(data));
            } else {
                Self::send(slf, data, known, false)?;
            }
        }
        Self::send(slf, b"", known, true)?;
        this.finish(py)
    }

    /// Whether the body can be a file as it is, with nothing before it.
    fn may_send_file(&self, py: Python<'_>) -> bool {
        let is_next = self.state.with(py, |s| {
            s.code.is_some() && s.framing.is_none() && s.pending.is_empty()
        });
        is_next && self.connection.get().takes_files(py)
    }

    /// Sends a file as the whole body.
    fn send_file(&self, py: Python<'_>, file: &Extent) -> PyResult<After> {
        let head = self.head(py, Some(file.length))?;
        self.input.get().begin_response(py);
        let length = usize::try_from(file.length).unwrap_or(usize::MAX);
        let count = self.state.with(py, |s| {
            s.body.as_mut().map_or(0, |body| body.take(length).send)
        });
        let connection = self.connection.get();
        let sent = if count == 0 {
            connection.write(py, [&head, b"", b""])?;
            0
        } else {
            connection.write_file(py, &head, file, count as u64)?
        };
        self.state.with(py, |s| s.sent += head.len() as u64 + sent);
        if sent < count as u64 {
            // It has become shorter; only the end of the connection tells the client so.
            return Ok(After::Close);
        }
        self.finish(py)
    }

    /// Sends a block at once, for `write()`.
    pub(super) fn send_block(slf: &Bound<'_, Self>, block: &Bound<'_, PyBytes>) -> PyResult<()> {
        Self::send(slf, block.as_bytes(), None, false)
    }

    /// Sends what was gathered and `data`, preceded by the head if that is still to go, and with `last`
    /// followed by what ends the body.
    ///
    /// `known` is the length of the whole body, if that is certain.
    pub(super) fn send(
        slf: &Bound<'_, Self>,
        data: &[u8],
        known: Option<u64>,
        last: bool,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let mut first = Vec::new();
        let (pending, is_new, is_silent) = this.state.with(py, |s| {
            let pending = std::mem::take(&mut s.pending);
            (pending, s.framing.is_none(), s.code.is_none())
        });
        if is_silent && this.is_handled(py)? {
            return Ok(());
        }
        if is_new {
            first = this.head(py, known)?;
            this.input.get().begin_response(py);
        }
        // Blocks that were gathered come first; they are few bytes.
        let joined;
        let data = if pending.is_empty() {
            data
        } else {
            joined = [&pending[..], data].concat();
            &joined
        };
        let (take, framing) = this.state.with(py, |s| {
            let Some(body) = s.body.as_mut() else {
                return (0, BodyFraming::NoBody);
            };
            (body.take(data.len()).send, body.framing())
        });
        let data = &data[..take];
        let mut tail: &[u8] = b"";
        if framing == BodyFraming::Chunked {
            if let Some(size) = NonZeroUsize::new(data.len()) {
                first.extend_from_slice(encode::ChunkSize::new(size).as_bytes());
                tail = if last { b"\r\n0\r\n\r\n" } else { encode::CRLF };
            } else if last {
                tail = encode::LAST_CHUNK;
            }
        }
        let total = first.len() + data.len() + tail.len();
        if total == 0 {
            return Ok(());
        }
        let pieces: [&[u8]; PIECES] = if data.len() <= COPY_LIMIT {
            first.extend_from_slice(data);
            first.extend_from_slice(tail);
            [&first, b"", b""]
        } else {
            [&first, data, tail]
        };
        this.connection.get().write(py, pieces)?;
        this.state.with(py, |s| s.sent += total as u64);
        Ok(())
    }

    /// The complete head, and the decision on the framing.
    fn head(&self, py: Python<'_>, known: Option<u64>) -> PyResult<Vec<u8>> {
        let config = &self.connection.get().server.get().config;
        let mut request = self.request;
        // A client that waits to be told to send its body may do so after the response, or not.
        request.keep_alive &= self.input.get().may_continue(py);
        let head = self.state.with(py, |s| {
            let code = s.code?;
            let framing = framing(&request, code, &s.app, known);
            let mut head = std::mem::take(&mut s.head);
            if !s.app.date {
                date::with_http(py, |date| {
                    encode::header_line(&mut head, b"Date", date.as_bytes());
                });
            }
            if framing.connection_header == ConnectionHeader::AsGiven {
                head.extend_from_slice(&s.connection_lines);
            }
            encode::framing_lines(&mut head, &framing);
            if framing.connection_header == ConnectionHeader::KeepAlive
                && let Some(seconds) = config.keepalive_timeout
                && seconds >= 1.0
            {
                head.extend_from_slice(b"Keep-Alive: timeout=");
                encode::decimal(&mut head, seconds as u64);
                head.extend_from_slice(encode::CRLF);
            }
            head.extend_from_slice(encode::CRLF);
            s.body = Some(ResponseBody::new(framing.body));
            s.framing = Some(framing);
            Some(head)
        });
        head.ok_or_else(|| {
            PyAssertionError::new_err("the application sent data before start_response()")
        })
    }

    /// What the end of the body means for the connection.
    fn finish(&self, py: Python<'_>) -> PyResult<After> {
        let (framing, finish) = self.state.with(py, |s| {
            (s.framing, s.body.as_ref().map(ResponseBody::finish))
        });
        Ok(match (framing, finish) {
            (Some(framing), Some(Finish::Complete | Finish::LastChunk)) if framing.keep_alive => {
                After::Persist
            }
            _ => After::Close,
        })
    }

    /// Whether somebody else has answered although the application has not called `start_response`:
    /// through the socket itself, as WebSocket does.
    #[cold]
    fn is_handled(&self, py: Python<'_>) -> PyResult<bool> {
        static LOCAL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let local = LOCAL.import(py, "eventlet.wsgi", "WSGI_LOCAL")?;
        let name = intern!(py, "already_handled");
        let flag = local.getattr_opt(name)?;
        let is_set = flag.map_or(Ok(false), |flag| flag.is_truthy())?;
        if is_set {
            local.setattr(name, false)?;
        }
        Ok(is_set || self.connection.get().is_hijacked(py))
    }

    fn pending_length(&self, py: Python<'_>) -> u64 {
        self.state.with(py, |s| s.pending.len() as u64)
    }

    /// How much is gathered before it is sent; the application may set it for one response.
    fn minimum_chunk_size(&self, py: Python<'_>) -> PyResult<usize> {
        let key = intern!(py, "eventlet.minimum_write_chunk_size");
        match self.environ.bind(py).get_item(key)? {
            Some(size) => Ok(usize::try_from(size.extract::<i64>()?).unwrap_or(0)),
            None => Ok(self.connection.get().server.get().config.minimum_chunk_size),
        }
    }
}

/// The one block of a list or tuple that has only one.
fn only_block<'py>(result: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    if let Ok(list) = result.cast_exact::<PyList>() {
        return if list.len() == 1 {
            list.get_item(0).ok()
        } else {
            None
        };
    }
    let tuple = result.cast_exact::<PyTuple>().ok()?;
    if tuple.len() == 1 {
        tuple.get_item(0).ok()
    } else {
        None
    }
}

/// The length of a body that is there in full: of a list or tuple of bytes, or of anything empty.
fn known_length(result: &Bound<'_, PyAny>) -> PyResult<Option<u64>> {
    if result.cast::<PyList>().is_err() && result.cast::<PyTuple>().is_err() {
        let is_sized = result.hasattr(intern!(result.py(), "__len__"))?;
        return Ok((is_sized && result.len()? == 0).then_some(0));
    }
    let mut total = 0;
    for block in result.try_iter()? {
        total += block?.len()? as u64;
    }
    Ok(Some(total))
}
