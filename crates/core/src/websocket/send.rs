//! `send`, and what else leaves through the socket.
//!
//! What belongs together is encoded and written by one green thread, which holds the lock. If it is interrupted
//! when a part has left, or when what follows would refer to what it has compressed, the rest is kept (`unsent`)
//! and leaves before anything else; a green thread is started for it. So a message is sent in full or not at all,
//! and the connection stays usable.

use std::ffi::CStr;

use eventlet_websocket::{Codec, MessageKind, Opcode, Role};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyString};

use super::base::{WebSocketBase, control, kind};
use super::{io, random};
use crate::errors;
use crate::hub::Hub;
use crate::hub::entry::{Arguments, Step, WaitingCall};
use crate::hub::io::Direction;
use crate::net::buffer::Data;
use crate::net::fd;
use crate::net::limit::Limit;

/// Messages up to this size are copied behind their header rather than sent from where they are, in bytes.
const COPY_LIMIT: usize = 4 * 1024;

/// `RFC6455WebSocket.send(message, continuation=False, final=True, control_code=None, masked=None)`.
///
/// It never is a call that waits: what waits is below, in functions of its own.
pub struct Send;

impl WaitingCall for Send {
    const NAME: &CStr = c"send";

    const DOC: &CStr =
        c"send($self, message, continuation=False, final=True, control_code=None, masked=None)
--

Sends a message: a str as text, anything bytes-like as binary. Waits while the peer takes nothing.

`final` and `continuation` send a message in fragments: all but the last with `final` false, all but the first
with `continuation`. `control_code` is 8 to close, 9 for a ping, 10 for a pong. `masked` is ignored. Raises OSError
when the connection is closed (BrokenPipeError) or broken, TimeoutError when the socket's timeout is over, TypeError
for what is neither text nor bytes. Several green threads may send; a message of one is never within another's.";

    fn begin(py: Python<'_>, arguments: &Arguments<'_>) -> PyResult<Step<Self>> {
        let [message, continuation, last, code, _masked] =
            arguments.optional(["message", "continuation", "final", "control_code", "masked"])?;
        let message = arguments.required(message, "message")?.to_owned();
        // SAFETY: it is a method of this class.
        let websocket = unsafe { arguments.receiver::<WebSocketBase>() };
        if continuation.is_none() && last.is_none() && code.is_none() {
            if !WebSocketBase::send_at_once(&websocket, &message)? {
                WebSocketBase::send_message(&websocket, &message, (true, true))?;
            }
            return Ok(Step::Done(py.None()));
        }
        let continuation = continuation.map_or(Ok(false), |flag| flag.is_truthy())?;
        let last = last.map_or(Ok(true), |flag| flag.is_truthy())?;
        match code.filter(|code| !code.is_none()) {
            Some(code) => {
                let opcode = control_code(&code.to_owned())?;
                WebSocketBase::check_control(&message, (!continuation, last))?;
                WebSocketBase::send_opcode(&websocket, opcode, &message)?;
            }
            None => WebSocketBase::send_message(&websocket, &message, (!continuation, last))?,
        }
        Ok(Step::Done(py.None()))
    }

    fn hub(&self) -> &Py<Hub> {
        unreachable!("it does not wait")
    }

    fn resume(self, _py: Python<'_>, _: PyResult<Bound<'_, PyAny>>) -> PyResult<Step<Self>> {
        unreachable!("it does not wait")
    }
}

impl WebSocketBase {
    /// The frame for a message, or a control frame; it counts as sent.
    pub(super) fn pack<'py>(
        &self,
        message: &Bound<'py, PyAny>,
        masked: bool,
        place: (bool, bool),
        code: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let py = message.py();
        let key = if masked { Some(random::bytes()?) } else { None };
        let mut out = Vec::new();
        if let Some(code) = code.filter(|code| !code.is_none()) {
            let opcode = control_code(code)?;
            Self::check_control(message, place)?;
            Codec::control(opcode, Payload::new(message)?.bytes(), key, &mut out);
        } else {
            let payload = Payload::new(message)?;
            self.state.with(py, |s| {
                s.codec
                    .message(payload.kind(), payload.bytes(), place, key, &mut out);
            });
        }
        Ok(PyBytes::new(py, &out))
    }

    /// Sends bytes as they are, between two frames.
    pub(super) fn send_raw(slf: &Bound<'_, Self>, frame: &Bound<'_, PyAny>) -> PyResult<()> {
        let frame = Data::new(frame)?.bytes().to_vec();
        Self::with_lock(slf, |slf| Self::write(slf, &frame, b"", true))
    }

    /// Sends a closing frame with this payload, if none has been sent.
    pub(super) fn send_close(slf: &Bound<'_, Self>, payload: &[u8]) -> PyResult<()> {
        Self::with_lock(slf, |slf| {
            let this = slf.get();
            let key = this.key(slf.py())?;
            let mut out = Vec::new();
            this.state
                .with(slf.py(), |s| s.codec.close(payload, key, &mut out));
            if out.is_empty() {
                return Ok(());
            }
            Self::write(slf, &out, b"", true)
        })
    }

    /// Writes what is unsent, in the green thread that is started for it.
    pub(super) fn flush(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().state.with(slf.py(), |s| s.flushing = false);
        match Self::with_lock(slf, |_| Ok(())) {
            // Whoever uses the connection next hears of it.
            Err(error) if error.is_instance_of::<PyOSError>(slf.py()) => Ok(()),
            result => result,
        }
    }
}

/// What is sent: the memory of an object that does not change.
pub(super) enum Payload<'a> {
    Bytes(&'a [u8]),
    Copy(Vec<u8>),
    Text(&'a str),
}

impl<'a> Payload<'a> {
    #[inline]
    pub(super) fn new(message: &'a Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(text) = message.cast::<PyString>() {
            return text.to_str().map(Self::Text);
        }
        match Data::new(message) {
            Ok(Data::Bytes(bytes)) => Ok(Self::Bytes(bytes)),
            // Somebody may change it while this waits.
            Ok(memory) => Ok(Self::Copy(memory.bytes().to_vec())),
            Err(_) => {
                let class = message.get_type();
                Err(PyTypeError::new_err(format!(
                    "a message is a str or bytes-like, not {}",
                    class.name()?
                )))
            }
        }
    }

    pub(super) fn kind(&self) -> MessageKind {
        kind(matches!(self, Self::Text(_)))
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Copy(bytes) => bytes,
            Self::Text(text) => text.as_bytes(),
        }
    }
}

impl WebSocketBase {
    /// Sends a message if that takes a single system call. Returns whether it did.
    #[inline]
    fn send_at_once(slf: &Bound<'_, Self>, message: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        let payload = Payload::new(message)?;
        let bytes = payload.bytes();
        let (socket, header) = this.state.with(py, |s| {
            let ready = s.plain && s.unsent.is_empty() && s.codec.may_send();
            let header = if ready {
                s.codec.plain_header(payload.kind(), bytes.len())
            } else {
                None
            };
            let socket = match (&s.socket, &header) {
                (Some(socket), Some(_)) if s.lock.try_take() => Some(socket.clone_ref(py)),
                _ => None,
            };
            (socket, header)
        });
        let (Some(socket), Some(header)) = (socket, header) else {
            return Ok(false);
        };
        let socket = socket.into_bound(py);
        let (head, length) = header.encode();
        let head = &head[..length];
        let total = length + bytes.len();
        let sent = match fd::of(&socket) {
            Ok(fd) if bytes.len() <= COPY_LIMIT => {
                let mut out = io::take_output();
                out.extend_from_slice(head);
                out.extend_from_slice(bytes);
                let sent = io::send(fd, &out, b"");
                io::return_output(out);
                sent
            }
            Ok(fd) => io::send(fd, head, bytes),
            Err(error) => {
                Self::unlock(slf)?;
                return Err(error);
            }
        };
        let result = match sent {
            Ok(count) if count == total => Ok(true),
            Ok(count) => Self::write_from(slf, head, bytes, count, true).map(|()| true),
            Err(libc::EAGAIN) => Self::write_from(slf, head, bytes, 0, false).map(|()| true),
            Err(libc::EINTR) => {
                let checked = py.check_signals();
                checked.and_then(|()| Self::write_from(slf, head, bytes, 0, false).map(|()| true))
            }
            Err(errno) => Err(errors::os_error(py, errno)),
        };
        Self::unlock(slf)?;
        result
    }

    /// Sends a message, or a fragment of one, waiting for what has to be waited for.
    #[inline(never)]
    fn send_message(
        slf: &Bound<'_, Self>,
        message: &Bound<'_, PyAny>,
        place: (bool, bool),
    ) -> PyResult<()> {
        let payload = Payload::new(message)?;
        Self::with_lock(slf, |slf| {
            let py = slf.py();
            let this = slf.get();
            let key = this.key(py)?;
            let mut out = io::take_output();
            let depends = this.state.with(py, |s| {
                if !s.codec.may_send() {
                    return None;
                }
                s.codec
                    .message(payload.kind(), payload.bytes(), place, key, &mut out);
                Some(s.codec.depends_on_sent())
            });
            let Some(depends) = depends else {
                io::return_output(out);
                return Err(errors::os_error(py, libc::EPIPE));
            };
            let result = Self::write(slf, &out, b"", depends);
            io::return_output(out);
            result
        })
    }

    /// Sends a control frame, waiting for what has to be waited for.
    fn send_opcode(
        slf: &Bound<'_, Self>,
        opcode: Opcode,
        message: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let payload = Payload::new(message)?;
        if opcode == Opcode::Close {
            return Self::send_close(slf, payload.bytes());
        }
        Self::with_lock(slf, |slf| {
            let this = slf.get();
            if !this.state.with(slf.py(), |s| s.codec.may_send()) {
                return Err(errors::os_error(slf.py(), libc::EPIPE));
            }
            let key = this.key(slf.py())?;
            let mut out = Vec::new();
            Codec::control(opcode, payload.bytes(), key, &mut out);
            Self::write(slf, &out, b"", false)
        })
    }

    fn check_control(message: &Bound<'_, PyAny>, place: (bool, bool)) -> PyResult<()> {
        let py = message.py();
        if place != (true, true) {
            return Err(protocol_error(py, "a control frame cannot be a fragment"));
        }
        if Payload::new(message)?.bytes().len() > eventlet_websocket::MAX_CONTROL_PAYLOAD {
            return Err(protocol_error(py, "a control frame has at most 125 bytes"));
        }
        Ok(())
    }

    /// Sends a ping or a pong without waiting.
    ///
    /// While somebody else writes it is left to them, and only the last one: RFC 6455 section 5.5.3.
    pub(super) fn send_control(
        slf: &Bound<'_, Self>,
        opcode: Opcode,
        payload: &[u8],
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let (may_send, plain, locked) = this.state.with(py, |s| {
            let may_send = s.codec.may_send();
            let locked = may_send && s.lock.try_take();
            if may_send && !locked {
                s.waiting_control = Some((opcode, payload.to_vec()));
            }
            (may_send, s.plain, locked)
        });
        if !may_send || !locked {
            return Ok(());
        }
        let key = match this.key(py) {
            Ok(key) => key,
            Err(error) => {
                Self::unlock(slf)?;
                return Err(error);
            }
        };
        this.state.with(py, |s| {
            Codec::control(opcode, payload, key, &mut s.unsent);
        });
        if plain {
            this.write_unsent_now(py);
        }
        Self::unlock(slf)
    }

    /// Writes what is unsent as far as that goes without waiting. With the lock held, or without a switch since it
    /// was free. Returns whether there is still a connection.
    pub(super) fn write_unsent_now(&self, py: Python<'_>) -> bool {
        let (socket, mut unsent) = self.state.with(py, |s| {
            let socket = s.socket.as_ref().map(|socket| socket.clone_ref(py));
            (socket, std::mem::take(&mut s.unsent))
        });
        let Some(socket) = socket else { return false };
        let sent = match fd::of(socket.bind(py)) {
            Ok(fd) => io::send(fd, &unsent, b""),
            Err(_) => Err(libc::EBADF),
        };
        match sent {
            Ok(count) => {
                unsent.drain(..count);
            }
            Err(libc::EAGAIN | libc::EINTR) => {}
            // Whoever reads or writes next hears of it.
            Err(_) => return false,
        }
        if !unsent.is_empty() {
            self.state.with(py, |s| s.unsent = unsent);
        }
        true
    }

    /// Runs `write` with the lock held, after what is unsent has left.
    fn with_lock(
        slf: &Bound<'_, Self>,
        write: impl FnOnce(&Bound<'_, Self>) -> PyResult<()>,
    ) -> PyResult<()> {
        slf.get().acquire(slf.py())?;
        let result = Self::write_unsent(slf).and_then(|()| write(slf));
        let unlocked = Self::unlock(slf);
        result.and(unlocked)
    }

    /// Writes what is unsent, and what is added to it meanwhile. With the lock held.
    #[inline]
    fn write_unsent(slf: &Bound<'_, Self>) -> PyResult<()> {
        loop {
            let unsent = slf
                .get()
                .state
                .with(slf.py(), |s| std::mem::take(&mut s.unsent));
            if unsent.is_empty() {
                return Ok(());
            }
            Self::write(slf, &unsent, b"", true)?;
        }
    }

    /// Gives the lock up, having sent the control frame that came up meanwhile.
    #[inline]
    fn unlock(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let (control, unsent) = this
            .state
            .with(py, |s| (s.waiting_control.take(), !s.unsent.is_empty()));
        if control.is_some() || unsent {
            return Self::unlock_with(slf, control);
        }
        this.release(py)
    }

    #[cold]
    #[inline(never)]
    fn unlock_with(slf: &Bound<'_, Self>, control: Option<(Opcode, Vec<u8>)>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if let Some((opcode, payload)) = control
            && let Ok(key) = this.key(py)
        {
            let plain = this.state.with(py, |s| {
                Codec::control(opcode, &payload, key, &mut s.unsent);
                s.plain
            });
            if plain {
                this.write_unsent_now(py);
            }
        }
        this.release(py)?;
        Self::start_flush(slf)
    }

    /// Starts a green thread that writes what is unsent, if there is anything and none has been started.
    pub(super) fn start_flush(slf: &Bound<'_, Self>) -> PyResult<()> {
        static SPAWN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = slf.py();
        let start = slf.get().state.with(py, |s| {
            let start = !s.unsent.is_empty() && !s.flushing;
            s.flushing |= start;
            start
        });
        if start {
            let flush = slf.getattr(intern!(py, "_flush"))?;
            SPAWN
                .import(py, "eventlet.greenthread", "spawn_n")?
                .call1((flush,))?;
        }
        Ok(())
    }

    /// Writes all of two pieces, waiting while the peer takes nothing. With the lock held.
    ///
    /// If it is interrupted when some of it has left, or if `must`, the rest is kept.
    fn write(slf: &Bound<'_, Self>, first: &[u8], second: &[u8], must: bool) -> PyResult<()> {
        let py = slf.py();
        let (socket, plain) = slf.get().state.with(py, |s| {
            let socket = s.socket.as_ref().map(|socket| socket.clone_ref(py));
            (socket, s.plain)
        });
        if plain {
            return Self::write_from(slf, first, second, 0, must);
        }
        let Some(socket) = socket else {
            return Err(PyRuntimeError::new_err("the WebSocket has no socket"));
        };
        let socket = socket.bind(py);
        let data = PyBytes::new(py, &[first, second].concat());
        let result = socket.call_method1(intern!(py, "sendall"), (data,));
        if let Err(error) = &result
            && !error.is_instance_of::<PyOSError>(py)
        {
            // Nobody knows how much has left, so nothing can follow.
            slf.get().state.with(py, |s| s.codec.disconnected());
        }
        result.map(drop)
    }

    /// As [`write`](Self::write) for a plain socket, when the first `sent` bytes have left.
    #[cold]
    #[inline(never)]
    fn write_from(
        slf: &Bound<'_, Self>,
        first: &[u8],
        second: &[u8],
        mut sent: usize,
        must: bool,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let mut limit = Limit::new();
        let total = first.len() + second.len();
        loop {
            let rest = &first[sent.min(first.len())..];
            let more = &second[sent.saturating_sub(first.len())..];
            let socket = this
                .state
                .with(py, |s| s.socket.as_ref().map(|socket| socket.clone_ref(py)));
            let Some(socket) = socket else {
                return Err(PyRuntimeError::new_err("the WebSocket has no socket"));
            };
            let socket = socket.bind(py);
            let Ok(fd) = fd::of(socket) else {
                return Err(errors::os_error(py, libc::EPIPE));
            };
            let errno = match io::send(fd, rest, more) {
                Ok(count) => {
                    sent += count;
                    if sent == total {
                        return Ok(());
                    }
                    continue;
                }
                Err(errno) => errno,
            };
            let waited = match errno {
                libc::EINTR => py.check_signals(),
                libc::EAGAIN => limit.wait(socket, fd, Direction::Write, errno),
                _ => return Err(errors::os_error(py, errno)),
            };
            if let Err(error) = waited {
                if fd::of(socket).is_err() {
                    // Another green thread has closed it.
                    return Err(errors::os_error(py, libc::EPIPE));
                }
                if sent > 0 || must {
                    let mut unsent = [rest, more].concat();
                    this.state.with(py, |s| {
                        // Behind it is what has been added meanwhile.
                        unsent.append(&mut s.unsent);
                        s.unsent = unsent;
                    });
                }
                return Err(error);
            }
        }
    }

    /// A key to mask with, if this end does.
    pub(super) fn key(&self, py: Python<'_>) -> PyResult<Option<[u8; 4]>> {
        let masks = self.state.with(py, |s| s.codec.role() == Role::Client);
        if masks {
            random::bytes().map(Some)
        } else {
            Ok(None)
        }
    }
}

fn control_code(code: &Bound<'_, PyAny>) -> PyResult<Opcode> {
    let number = code.extract::<u8>().unwrap_or(0);
    control(number).ok_or_else(|| protocol_error(code.py(), "unknown control opcode"))
}

#[cold]
fn protocol_error(py: Python<'_>, message: &'static str) -> PyErr {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let made = CLASS
        .import(py, "eventlet.websocket", "ProtocolError")
        .and_then(|class| class.call1((message,)));
    match made {
        Ok(value) => PyErr::from_value(value),
        Err(error) => error,
    }
}
