//! The body of the running request.

use eventlet_http1::{BodyDecoder, BodyLength, RequestError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::{Connection, Fault};
use crate::wsgi::transport::{self, Patience, Transport};

impl Connection {
    /// Decodes the next part of the running request's body and appends it to `out`, reading if need be.
    ///
    /// Patience is for the next data, not for whatever the client may send instead of it.
    /// False at the end of the body, or of the connection.
    pub(in crate::wsgi) fn read_body(
        slf: &Bound<'_, Self>,
        out: &mut Vec<u8>,
        patience: &mut Patience,
    ) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        let limits = &this.server.get().config.limits;
        loop {
            let decoded = this.state.with(py, |s| {
                if s.body.is_finished() {
                    return Ok(Some(false));
                }
                let mut progress = false;
                let mut used = 0;
                while used < s.buffer.len() {
                    let decoded = s.body.decode(&s.buffer[used..], limits)?;
                    out.extend_from_slice(&s.buffer[used..][decoded.data.clone()]);
                    progress |= !decoded.data.is_empty();
                    used += decoded.consumed;
                    if decoded.finished || decoded.consumed == 0 {
                        break;
                    }
                }
                s.buffer.drain(..used);
                if progress {
                    Ok(Some(true))
                } else if s.body.is_finished() {
                    Ok(Some(false))
                } else {
                    Ok(None)
                }
            });
            match decoded {
                Ok(Some(more)) => return Ok(more),
                Ok(None) => {}
                Err(error) => {
                    this.state
                        .with(py, |s| s.fault = Some(Fault::Malformed(error)));
                    return Err(bad_body(py, error));
                }
            }
            let mut fresh = Vec::new();
            let needed = this.state.with(py, |s| s.body.needed());
            let count = this
                .transport(py)
                .read_for_body(py, patience, needed, &mut fresh)
                .inspect_err(|error| this.blame(py, error))?;
            if count == 0 {
                if this.body_length(py) == BodyLength::Chunked {
                    this.state.with(py, |s| s.fault = Some(Fault::Gone));
                    return Err(truncated(py));
                }
                return Ok(false);
            }
            this.state.with(py, |s| {
                // Of TLS no more than one record is read at a time, whatever else is there.
                let is_plain = matches!(s.transport, Transport::Descriptor(_));
                s.drained = is_plain && count < transport::READ_SIZE;
                s.buffer.extend_from_slice(&fresh);
            });
        }
    }

    /// How the body of the running request is delimited.
    pub(in crate::wsgi) fn body_length(&self, py: Python<'_>) -> BodyLength {
        self.state.with(py, |s| s.body_length)
    }

    /// Has the body of the running request, of which nothing has been read, delimited in another way.
    pub(in crate::wsgi) fn set_body_length(&self, py: Python<'_>, length: BodyLength) {
        self.state.with(py, |s| {
            s.body = BodyDecoder::new(length);
            s.body_length = length;
        });
    }

    /// After the end of a chunked body, has another one follow.
    pub(in crate::wsgi) fn continue_chunks(&self, py: Python<'_>) {
        self.state.with(py, |s| {
            if s.body_length == BodyLength::Chunked && s.body.is_finished() {
                s.body = BodyDecoder::new(BodyLength::Chunked);
            }
        });
    }

    /// What has been read and not used.
    pub(in crate::wsgi) fn take_buffered(&self, py: Python<'_>) -> Vec<u8> {
        self.state.with(py, |s| std::mem::take(&mut s.buffer))
    }

    /// Whether something has been read and not used.
    pub(in crate::wsgi) fn has_buffered(&self, py: Python<'_>) -> bool {
        self.state.with(py, |s| !s.buffer.is_empty())
    }

    /// Whether the running request's body has been read to its end.
    pub(in crate::wsgi) fn body_is_finished(&self, py: Python<'_>) -> bool {
        self.state.with(py, |s| s.body.is_finished())
    }
}

/// The error for a body that cannot be decoded: `eventlet.wsgi.ChunkReadError`.
#[cold]
fn bad_body(py: Python<'_>, error: RequestError) -> PyErr {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    made(
        CLASS
            .import(py, "eventlet.wsgi", "ChunkReadError")
            .and_then(|class| class.call1((error.to_string(),))),
    )
}

/// The error for a body in chunks that ends before its last one: `eventlet.wsgi.TruncatedBodyError`.
#[cold]
fn truncated(py: Python<'_>) -> PyErr {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    made(
        CLASS
            .import(py, "eventlet.wsgi", "TruncatedBodyError")
            .and_then(|class| class.call1(("the connection ended within the body",))),
    )
}

fn made(exception: PyResult<Bound<'_, PyAny>>) -> PyErr {
    match exception {
        Ok(value) => PyErr::from_value(value),
        Err(error) => error,
    }
}
