//! One message for many connections, without waiting for any of them.
//!
//! Most connections get the same frame, which is made once, by one system call each. What does not leave at once is
//! added to what is [unsent](super::send) there, so it stays in order with what other green threads send.

use eventlet_websocket::{FrameHeader, MAX_HEADER, MessageKind, Opcode};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::base::WebSocketBase;
use super::io;
use super::send::Payload;
use crate::net::fd;

/// A message for all.
struct Message<'a> {
    payload: Payload<'a>,
    /// Its frame where it is neither masked nor compressed.
    frame: Vec<u8>,
    /// How many bytes may wait for a connection.
    limit: usize,
}

impl<'a> Message<'a> {
    fn new(payload: Payload<'a>, limit: usize) -> Self {
        let bytes = payload.bytes();
        let header = FrameHeader {
            fin: true,
            compressed: false,
            opcode: match payload.kind() {
                MessageKind::Binary => Opcode::Binary,
                MessageKind::Text => Opcode::Text,
            },
            mask: None,
            length: bytes.len() as u64,
        };
        let (head, length) = header.encode();
        let frame = [&head[..length], bytes].concat();
        Self {
            payload,
            frame,
            limit,
        }
    }

    /// Whether it may wait behind so many bytes. One message may, however long it is.
    fn may_wait(&self, unsent: usize) -> bool {
        unsent == 0 || unsent + MAX_HEADER + self.payload.bytes().len() <= self.limit
    }
}

/// Sends a message to all of `connections` without waiting or switching. Returns those that do not get it: they are
/// closed, within a message in fragments, or more than `limit` bytes would wait for them.
#[pyfunction]
pub fn websocket_broadcast<'py>(
    connections: &Bound<'py, PyAny>,
    message: &Bound<'py, PyAny>,
    limit: usize,
) -> PyResult<Bound<'py, PyList>> {
    let py = message.py();
    let message = Message::new(Payload::new(message)?, limit);
    // Nothing is sent if one of them is something else, and their collection may change meanwhile.
    let connections = connections
        .try_iter()?
        .map(|connection| match connection?.cast_into() {
            Ok(connection) => Ok(connection),
            Err(error) => {
                let class = error.into_inner().get_type();
                Err(PyTypeError::new_err(format!(
                    "the connections have to be of RFC6455WebSocket, not {}",
                    class.name()?
                )))
            }
        })
        .collect::<PyResult<Vec<Bound<'py, WebSocketBase>>>>()?;
    let missed = PyList::empty(py);
    for connection in connections {
        if !WebSocketBase::post(&connection, &message)? {
            missed.append(connection)?;
        }
    }
    Ok(missed)
}

impl WebSocketBase {
    /// Sends a message as far as that goes without waiting, and has the rest wait. Returns whether it is on its way.
    #[inline]
    fn post(slf: &Bound<'_, Self>, message: &Message<'_>) -> PyResult<bool> {
        let py = slf.py();
        let socket = slf.get().state.with(py, |s| {
            let ready = s.plain
                && s.unsent.is_empty()
                && s.lock.is_free()
                && s.codec.may_send()
                && s.codec
                    .plain_header(message.payload.kind(), message.payload.bytes().len())
                    .is_some();
            let socket = s.socket.as_ref().filter(|_| ready);
            socket.map(|socket| socket.clone_ref(py))
        });
        let Some(socket) = socket else {
            return Self::post_otherwise(slf, message);
        };
        let Ok(fd) = fd::of(socket.bind(py)) else {
            return Ok(false);
        };
        let sent = match io::send(fd, &message.frame, b"") {
            Ok(sent) if sent == message.frame.len() => return Ok(true),
            Ok(sent) => sent,
            Err(libc::EAGAIN | libc::EINTR) => 0,
            Err(_) => return Ok(false),
        };
        let mut rest = message.frame[sent..].to_vec();
        slf.get().state.with(py, |s| {
            // It was empty, unless asking for the descriptor has run somebody else's code.
            rest.append(&mut s.unsent);
            s.unsent = rest;
        });
        Self::start_flush(slf)?;
        Ok(true)
    }

    /// As [`post`](Self::post), where the frame is another one, somebody else is first, or the socket has methods of
    /// its own.
    #[cold]
    #[inline(never)]
    fn post_otherwise(slf: &Bound<'_, Self>, message: &Message<'_>) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        let key = this.key(py)?;
        let payload = &message.payload;
        let (taken, free, plain) = this.state.with(py, |s| {
            let taken =
                s.codec.may_send() && !s.codec.is_sending() && message.may_wait(s.unsent.len());
            if taken {
                let whole = (true, true);
                s.codec
                    .message(payload.kind(), payload.bytes(), whole, key, &mut s.unsent);
            }
            (taken, s.lock.is_free(), s.plain)
        });
        if !taken {
            return Ok(false);
        }
        if !free {
            // Whoever writes there sees to it afterwards.
            return Ok(true);
        }
        if plain && !this.write_unsent_now(py) {
            return Ok(false);
        }
        Self::start_flush(slf)?;
        Ok(true)
    }
}
