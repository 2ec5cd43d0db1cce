//! `wait`, in which the green threads of connections mostly are: so it takes little of the stack.

use std::borrow::Cow;
use std::ffi::CStr;
use std::os::fd::RawFd;

use eventlet_websocket::{Error, Event, MessageKind, Opcode, Phase, close};
use pyo3::Borrowed;
use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

use super::base::{Ended, FrameParts, WebSocketBase};
use super::{io, message};
use crate::hub::entry::{Arguments, Step, WaitingCall};
use crate::hub::io::Direction;
use crate::hub::wait::{Begun, Readiness};
use crate::hub::{self, Hub};
use crate::net::limit::{self, Limit, Next};
use crate::net::{emptied, fd};

/// `RFC6455WebSocket.wait(timeout=None)`.
pub struct Wait {
    websocket: Py<WebSocketBase>,
    readiness: Readiness,
    limit: Limit,
}

/// What a look at received bytes has brought.
enum Outcome {
    /// What `wait` returns.
    Message(Py<PyAny>),
    /// Nothing yet.
    More,
    /// Something to do first.
    Act(Action),
}

enum Action {
    Closed(Ended),
    Failed(Error),
    Pong(Vec<u8>),
}

/// What a look at the socket has brought.
enum Read {
    /// Bytes, of which this is the outcome.
    Some(Outcome),
    /// The end.
    End,
    /// Nothing; the errno is why.
    Nothing(RawFd, i32),
}

impl Wait {
    fn advance(websocket: Bound<'_, WebSocketBase>, mut limit: Limit) -> PyResult<Step<Self>> {
        let py = websocket.py();
        let this = websocket.get();
        let mut outcome = this.look_at_rest(py);
        loop {
            match outcome {
                Outcome::Message(message) => return Ok(Step::Done(message)),
                Outcome::Act(action) => {
                    if WebSocketBase::act(&websocket, action)? {
                        return Ok(Step::Done(py.None()));
                    }
                    outcome = this.look_at_rest(py);
                }
                Outcome::More => {
                    let (socket, plain, over) = this.state.with(py, |s| {
                        let socket = s.socket.as_ref().map(|socket| socket.clone_ref(py));
                        (
                            socket,
                            s.plain,
                            s.ended.is_some() || s.codec.phase() == Phase::Closed,
                        )
                    });
                    if over {
                        return Ok(Step::Done(py.None()));
                    }
                    let Some(socket) = socket else {
                        return Err(PyRuntimeError::new_err("the WebSocket has no socket"));
                    };
                    let socket = socket.into_bound(py);
                    let read = if plain {
                        this.read(&socket, &mut limit)?
                    } else {
                        this.read_object(&socket, limit)?
                    };
                    outcome = match read {
                        Read::Some(outcome) => outcome,
                        Read::End => {
                            this.disconnected(py);
                            return Ok(Step::Done(py.None()));
                        }
                        Read::Nothing(fd, errno) => {
                            let deadline = limit.deadline(&socket, errno)?;
                            let hub = hub::current(py)?;
                            match Readiness::begin(hub, fd, Direction::Read, deadline)? {
                                Begun::Over(wake) => limit::timely(wake)?,
                                Begun::Waits(readiness, greenlet) => {
                                    let call = Self {
                                        websocket: websocket.unbind(),
                                        readiness,
                                        limit,
                                    };
                                    return Ok(Step::Wait(call, greenlet));
                                }
                            }
                            Outcome::More
                        }
                    };
                }
            }
        }
    }
}

impl WaitingCall for Wait {
    const NAME: &CStr = c"wait";

    const DOC: &CStr = c"wait($self, timeout=None)
--

Waits for a message: a str for text, bytes for binary; None when the connection is closed.

`timeout` is the longest wait in seconds. Raises TimeoutError when it is over, or the socket's own is; the
connection is as good as before then, as it is after any other exception that ends the wait. Pings are answered
on the way, so somebody should wait most of the time. If the peer breaks a rule, the connection is closed with
the code for that, which `close_code` tells.";

    fn begin(_py: Python<'_>, arguments: &Arguments<'_>) -> PyResult<Step<Self>> {
        let [timeout] = arguments.optional(["timeout"])?;
        let timeout: Option<f64> = timeout.map_or(Ok(None), Borrowed::extract)?;
        let limit = match timeout {
            Some(_) => Limit::after(timeout),
            None => Limit::new(),
        };
        // SAFETY: it is a method of this class.
        let websocket = unsafe { arguments.receiver::<WebSocketBase>() };
        Self::advance(websocket, limit)
    }

    fn hub(&self) -> &Py<Hub> {
        self.readiness.hub()
    }

    fn resume(self, py: Python<'_>, switched: PyResult<Bound<'_, PyAny>>) -> PyResult<Step<Self>> {
        let websocket = self.websocket.into_bound(py);
        match self.readiness.end(py, switched) {
            Ok(wake) => limit::timely(wake)?,
            Err(error) if is_closed(py, &error) => {
                websocket.get().disconnected(py);
                return Ok(Step::Done(py.None()));
            }
            Err(error) => return Err(error),
        }
        Self::advance(websocket, self.limit)
    }
}

impl WebSocketBase {
    /// Goes over what is left of an earlier read.
    #[inline]
    fn look_at_rest(&self, py: Python<'_>) -> Outcome {
        let rest = self.state.with(py, |s| {
            (s.start < s.input.len()).then(|| (std::mem::take(&mut s.input), s.start))
        });
        let Some((mut input, start)) = rest else {
            return Outcome::More;
        };
        let (used, outcome) = self.look_at(py, &mut input[start..]);
        let start = start + used;
        if start < input.len() {
            self.state.with(py, |s| {
                s.input = input;
                s.start = start;
            });
        } else {
            self.state.with(py, |s| s.start = 0);
        }
        outcome
    }

    /// Goes over received bytes up to the next event; returns how many that are.
    #[inline]
    fn look_at(&self, py: Python<'_>, input: &mut [u8]) -> (usize, Outcome) {
        let length = input.len();
        let mut used = 0;
        loop {
            let rest = &mut input[used..];
            if let Some(whole) = self.state.with(py, |s| s.codec.whole(rest))
                && let Some(message) = message::copied(py, &whole, rest)
            {
                return (used + whole.payload.end, Outcome::Message(message));
            }
            let result = self.state.with(py, move |s| s.codec.decode(rest));
            let (count, event) = match result {
                Ok(found) => found,
                Err(error) => return (length, Outcome::Act(Action::Failed(error))),
            };
            used += count;
            let outcome = match event {
                Some(Event::Message { kind, payload }) => {
                    let message = match kind {
                        MessageKind::Binary => PyBytes::new(py, &payload).into_any(),
                        // SAFETY: the codec has checked that text is UTF-8.
                        MessageKind::Text => unsafe {
                            PyString::new(py, std::str::from_utf8_unchecked(&payload)).into_any()
                        },
                    };
                    Outcome::Message(message.unbind())
                }
                Some(Event::Ping(payload)) => Outcome::Act(Action::Pong(payload.into_owned())),
                // That something came has been noted. There may be any number of them.
                Some(Event::Pong(_)) if used < length => continue,
                None | Some(Event::Pong(_)) => Outcome::More,
                Some(Event::Close { status, payload }) => {
                    let (code, reason) = status.unwrap_or((close::NO_STATUS, Cow::Borrowed("")));
                    Outcome::Act(Action::Closed(Ended {
                        code,
                        reason: reason.into_owned(),
                        payload: Some(payload.into_owned()),
                    }))
                }
            };
            return (used, outcome);
        }
    }

    /// Receives without waiting, and goes over what has come.
    #[inline]
    fn read(&self, socket: &Bound<'_, PyAny>, limit: &mut Limit) -> PyResult<Read> {
        let py = socket.py();
        let Ok(fd) = fd::of(socket) else {
            // Closed by another green thread.
            return Ok(Read::End);
        };
        if emptied::is_empty(py, fd, io::READ_SIZE, 0) && limit.look_up(socket)? {
            return Ok(Read::Nothing(fd, libc::EAGAIN));
        }
        let mut buffer = io::take_input();
        let result = io::receive(fd, &mut buffer);
        let received = *result.as_ref().unwrap_or(&0);
        emptied::note(py, fd, received, buffer.len(), 0);
        let read = match result {
            Ok(0) => Read::End,
            Ok(count) => {
                let (used, outcome) = self.look_at(py, &mut buffer[..count]);
                self.state.with(py, |s| {
                    s.heard = true;
                    if used < count {
                        s.input.extend_from_slice(&buffer[used..count]);
                    }
                });
                Read::Some(outcome)
            }
            Err(errno) => Read::Nothing(fd, errno),
        };
        io::return_input(buffer);
        let Read::Nothing(_, errno) = read else {
            return Ok(read);
        };
        Ok(match limit::after_failed_read(py, errno, 0)? {
            Next::Ended => Read::End,
            Next::Retry => Read::Some(Outcome::More),
            Next::Wait => read,
        })
    }

    /// As [`read`](Self::read), for a socket with methods of its own; waits.
    #[cold]
    #[inline(never)]
    fn read_object(&self, socket: &Bound<'_, PyAny>, limit: Limit) -> PyResult<Read> {
        let py = socket.py();
        let received = match limit.seconds_left() {
            None => socket.call_method1(intern!(py, "recv"), (RECEIVE_SIZE,)),
            Some(seconds) => py
                .import(intern!(py, "eventlet.websocket._rfc6455"))?
                .call_method1(intern!(py, "receive"), (socket, RECEIVE_SIZE, seconds)),
        };
        let received = match received {
            Ok(received) => received.cast_into::<PyBytes>()?,
            Err(error) if is_closed(py, &error) => return Ok(Read::End),
            Err(error) => return Err(error),
        };
        if received.as_bytes().is_empty() {
            return Ok(Read::End);
        }
        let mut input = received.as_bytes().to_vec();
        let (used, outcome) = self.look_at(py, &mut input);
        self.state.with(py, |s| {
            s.heard = true;
            s.input.extend_from_slice(&input[used..]);
        });
        Ok(Read::Some(outcome))
    }

    /// The next frame by itself, with a `recv` of the socket for each part of it.
    pub(super) fn next_frame<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<FrameParts<'py>>> {
        let py = slf.py();
        let this = slf.get();
        loop {
            let mut input = this.state.with(py, |s| {
                let mut input = std::mem::take(&mut s.input);
                input.drain(..std::mem::take(&mut s.start));
                input
            });
            let decoded = this.state.with(py, |s| s.codec.decode_raw(&mut input));
            let (used, frame) = decoded.map_err(|error| {
                let (code, reason) = (error.close_code(), error.to_string());
                failed_connection(py, code, &reason)
            })?;
            input.drain(..used);
            if !input.is_empty() {
                this.state.with(py, |s| s.input = input);
            }
            if let Some(frame) = frame {
                let header = frame.header;
                let payload = PyBytes::new(py, &frame.payload);
                let opcode = header.opcode as u8;
                return Ok(Some((header.fin, header.compressed, opcode, payload)));
            }
            let socket = this
                .state
                .with(py, |s| s.socket.as_ref().map(|socket| socket.clone_ref(py)));
            let Some(socket) = socket else {
                return Err(PyRuntimeError::new_err("the WebSocket has no socket"));
            };
            let received = socket
                .bind(py)
                .call_method1(intern!(py, "recv"), (RECEIVE_SIZE,))?
                .cast_into::<PyBytes>()?;
            if received.as_bytes().is_empty() {
                return Ok(None);
            }
            let received = received.as_bytes().to_vec();
            this.state
                .with(py, |s| s.input.extend_from_slice(&received));
        }
    }

    /// The peer has gone without a word, or the socket has been closed here.
    pub(super) fn disconnected(&self, py: Python<'_>) {
        self.state.with(py, |s| {
            s.codec.disconnected();
            s.ended.get_or_insert_with(|| {
                Box::new(Ended {
                    code: close::ABNORMAL,
                    reason: String::new(),
                    payload: None,
                })
            });
        });
    }

    /// Does what has to be done at once. Returns whether the connection is over.
    #[cold]
    #[inline(never)]
    fn act(slf: &Bound<'_, Self>, action: Action) -> PyResult<bool> {
        let py = slf.py();
        let (code, reason, ended) = match action {
            Action::Pong(payload) => {
                Self::send_control(slf, Opcode::Pong, &payload)?;
                return Ok(false);
            }
            Action::Closed(ended) => {
                // The answer has the same code. Without one it is a normal end.
                let code = if ended.code == close::NO_STATUS {
                    close::NORMAL
                } else {
                    ended.code
                };
                (code, String::new(), ended)
            }
            Action::Failed(error) => {
                let ended = Ended {
                    code: error.close_code(),
                    reason: error.to_string(),
                    payload: None,
                };
                (ended.code, ended.reason.clone(), ended)
            }
        };
        slf.get().state.with(py, |s| {
            s.input = Vec::new();
            s.start = 0;
            s.ended = Some(Box::new(ended));
        });
        let kwargs = PyDict::new(py);
        kwargs.set_item(intern!(py, "close_data"), (code, reason))?;
        slf.call_method(intern!(py, "close"), (), Some(&kwargs))?;
        Ok(true)
    }
}

/// The most that is asked of a socket with methods of its own, in bytes.
const RECEIVE_SIZE: usize = 64 * 1024;

#[cold]
fn failed_connection(py: Python<'_>, code: u16, reason: &str) -> PyErr {
    let made = py
        .import("eventlet.websocket")
        .and_then(|module| module.getattr("FailedConnectionError"))
        .and_then(|class| class.call1((code, reason)));
    match made {
        Ok(value) => PyErr::from_value(value),
        Err(error) => error,
    }
}

/// Whether an error says that the socket has been closed at this end.
fn is_closed(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyOSError>(py)
        && error
            .value(py)
            .getattr(intern!(py, "errno"))
            .and_then(|errno| errno.extract::<i32>())
            .is_ok_and(|errno| matches!(errno, libc::EBADF | libc::ECONNRESET))
}
