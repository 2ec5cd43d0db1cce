//! The state of a connection, and what Python sees of it.

use eventlet_websocket::{Codec, Limits, MessageKind, Opcode, Phase, Role};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyTuple, PyType};

use super::handshake;
use super::lock::Lock;
use crate::cell::GilCell;
use crate::net::{SocketMethods, TlsMethods};

/// The native half of `eventlet.websocket.RFC6455WebSocket`.
#[pyclass(frozen, subclass, module = "eventlet._core")]
pub struct WebSocketBase {
    pub(super) state: GilCell<State>,
}

/// A frame by itself, as Python sees it: whether it is final, whether it says that it is compressed, its opcode and
/// its payload, unmasked.
pub(super) type FrameParts<'py> = (bool, bool, u8, Bound<'py, PyBytes>);

/// What there is of a connection.
pub(super) struct State {
    pub codec: Codec,
    pub socket: Option<Py<PyAny>>,
    /// Whether the socket is no more than its descriptor.
    pub plain: bool,
    /// Bytes that have been received; those before `start` have been gone over.
    pub input: Vec<u8>,
    pub start: usize,
    pub lock: Lock,
    /// The rest of a frame that has begun, or control frames that could not leave: they are first.
    pub unsent: Vec<u8>,
    /// A control frame that came up while somebody was writing. A newer one replaces it.
    pub waiting_control: Option<(Opcode, Vec<u8>)>,
    /// Whether a green thread has been started to write what is unsent.
    pub flushing: bool,
    /// Whether anything has been received since this was last asked.
    pub heard: bool,
    /// The code and the reason of the end, and the payload of the peer's closing frame.
    pub ended: Option<Box<Ended>>,
}

/// How a connection has ended.
pub(super) struct Ended {
    pub code: u16,
    pub reason: String,
    pub payload: Option<Vec<u8>>,
}

#[pymethods]
impl WebSocketBase {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self {
            state: GilCell::new(State {
                codec: Codec::new(Role::Server, Limits::default(), None),
                socket: None,
                plain: false,
                input: Vec::new(),
                start: 0,
                lock: Lock::Free,
                unsent: Vec::new(),
                waiting_control: None,
                flushing: false,
                heard: false,
                ended: None,
            }),
        }
    }

    /// Says which end this is, what was agreed upon, and how long frames and messages may be, in bytes.
    fn _configure(
        &self,
        py: Python<'_>,
        client: bool,
        extensions: Option<&Bound<'_, PyDict>>,
        max_frame_length: u64,
        max_message_length: u64,
    ) -> PyResult<()> {
        let role = if client { Role::Client } else { Role::Server };
        let limits = Limits {
            frame: max_frame_length,
            message: max_message_length,
        };
        let codec = Codec::new(role, limits, handshake::parameters(extensions)?);
        self.state.with(py, |s| s.codec = codec);
        Ok(())
    }

    /// Says what was agreed upon, if that is found out later.
    fn _set_extensions(
        &self,
        py: Python<'_>,
        extensions: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let parameters = handshake::parameters(extensions)?;
        self.state.with(py, |s| s.codec.set_deflate(parameters));
        Ok(())
    }

    /// The connection: a socket, or an object with the methods of one.
    #[getter]
    fn socket(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state
            .with(py, |s| s.socket.as_ref().map(|socket| socket.clone_ref(py)))
    }

    #[setter]
    fn set_socket(&self, socket: Bound<'_, PyAny>) -> PyResult<()> {
        let py = socket.py();
        let plain = is_plain(&socket)?;
        let socket = (!socket.is_none()).then(|| socket.unbind());
        let old = self.state.with(py, |s| {
            s.plain = plain;
            std::mem::replace(&mut s.socket, socket)
        });
        drop(old);
        Ok(())
    }

    /// Whether this is the client's end.
    #[getter]
    fn client(&self, py: Python<'_>) -> bool {
        self.state.with(py, |s| s.codec.role() == Role::Client)
    }

    /// The longest payload of a frame that is accepted, in bytes.
    #[getter]
    fn max_frame_length(&self, py: Python<'_>) -> u64 {
        self.state.with(py, |s| s.codec.limits_mut().frame)
    }

    #[setter]
    fn set_max_frame_length(&self, py: Python<'_>, value: u64) {
        self.state.with(py, |s| s.codec.limits_mut().frame = value);
    }

    /// The longest message that is accepted, decompressed, in bytes.
    #[getter]
    fn max_message_length(&self, py: Python<'_>) -> u64 {
        self.state.with(py, |s| s.codec.limits_mut().message)
    }

    #[setter]
    fn set_max_message_length(&self, py: Python<'_>, value: u64) {
        self.state
            .with(py, |s| s.codec.limits_mut().message = value);
    }

    /// Whether this end has said that it closes, or the connection is gone. Set to True, nothing is sent or
    /// received any more.
    #[getter]
    fn websocket_closed(&self, py: Python<'_>) -> bool {
        let phase = self.state.with(py, |s| s.codec.phase());
        matches!(phase, Phase::CloseSent | Phase::Closed)
    }

    #[setter]
    fn set_websocket_closed(&self, py: Python<'_>, value: bool) {
        if value {
            self.state.with(py, |s| s.codec.disconnected());
        }
    }

    /// Why the connection has ended: the code of the peer's closing frame (1005 if it had none), or of our own
    /// if the peer broke a rule, 1006 if it ended without one. None while it lasts.
    #[getter]
    fn close_code(&self, py: Python<'_>) -> Option<u16> {
        self.state.with(py, |s| s.ended.as_ref().map(|e| e.code))
    }

    /// The text that came with `close_code`.
    #[getter]
    fn close_reason(&self, py: Python<'_>) -> Option<String> {
        self.state
            .with(py, |s| s.ended.as_ref().map(|e| e.reason.clone()))
    }

    /// The payload of the peer's closing frame; None if there was none.
    #[getter]
    fn _remote_close_data<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        let payload = self
            .state
            .with(py, |s| s.ended.as_ref().and_then(|e| e.payload.clone()));
        payload.map(|payload| PyBytes::new(py, &payload))
    }

    /// What has been received and not been gone over. It may be set before the first message.
    #[getter]
    fn _buf<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let input = self.state.with(py, |s| s.input[s.start..].to_vec());
        PyBytes::new(py, &input)
    }

    #[setter(_buf)]
    fn set_buf(&self, py: Python<'_>, value: &[u8]) {
        let value = value.to_vec();
        self.state.with(py, |s| {
            s.input = value;
            s.start = 0;
        });
    }

    /// Whether a closing frame has been sent, and the peer's has not come.
    #[getter]
    fn _awaits_close(&self, py: Python<'_>) -> bool {
        self.state.with(py, |s| s.codec.phase() == Phase::CloseSent)
    }

    /// Notes that the connection has ended without a word.
    fn _disconnected(&self, py: Python<'_>) {
        self.disconnected(py);
    }

    /// Whether anything has been received since this was last asked.
    fn _take_heard(&self, py: Python<'_>) -> bool {
        self.state.with(py, |s| std::mem::take(&mut s.heard))
    }

    /// How many bytes the codec takes, besides the state of a compression in progress, and whether there is any.
    fn _memory(&self, py: Python<'_>) -> (usize, bool) {
        self.state.with(py, |s| {
            let buffers = s.input.capacity() + s.unsent.capacity();
            let rest = size_of::<State>() - size_of::<Codec>();
            let has_state = s.codec.has_deflate_state();
            (s.codec.memory() + rest + buffers, has_state)
        })
    }

    /// The frame for a message, or a control frame; it counts as sent. The arguments are those of `send`.
    #[pyo3(signature = (message, masked = false, continuation = false, r#final = true, control_code = None))]
    fn _pack_message<'py>(
        &self,
        message: &Bound<'py, PyAny>,
        masked: bool,
        continuation: bool,
        r#final: bool,
        control_code: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        self.pack(message, masked, (!continuation, r#final), control_code)
    }

    /// Sends bytes as they are, between two frames.
    fn _send(slf: &Bound<'_, Self>, frame: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::send_raw(slf, frame)
    }

    /// Sends a closing frame with this payload, if none has been sent.
    fn _send_close(slf: &Bound<'_, Self>, payload: &[u8]) -> PyResult<()> {
        Self::send_close(slf, payload)
    }

    /// Sends a ping without waiting: if it cannot leave now, a green thread sees to it.
    fn _try_ping(slf: &Bound<'_, Self>, payload: &[u8]) -> PyResult<()> {
        Self::send_control(slf, Opcode::Ping, payload)
    }

    /// Writes what could not leave, in the green thread that is started for it.
    fn _flush(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::flush(slf)
    }

    /// The next frame by itself: whether it is final, whether it says that it is compressed, its opcode and its
    /// payload, unmasked. None at the end of the connection.
    fn _next_frame<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<FrameParts<'py>>> {
        Self::next_frame(slf)
    }

    /// Takes in bytes that were received before this object was made.
    fn _feed(&self, py: Python<'_>, data: &[u8]) {
        let data = data.to_vec();
        self.state.with(py, |s| s.input.extend_from_slice(&data));
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.state
            .peek(|s| {
                visit.call(&s.socket)?;
                match &s.lock {
                    Lock::Shared(semaphore) => visit.call(semaphore),
                    _ => Ok(()),
                }
            })
            .unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        let taken = self
            .state
            .with(py, |s| (s.socket.take(), std::mem::take(&mut s.lock)));
        drop(taken);
    }
}

/// Whether a socket is no more than its descriptor: a green one whose class has the methods that all have.
fn is_plain(socket: &Bound<'_, PyAny>) -> PyResult<bool> {
    static GREEN: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = socket.py();
    if !socket.is_instance_of::<SocketMethods>() || socket.is_instance_of::<TlsMethods>() {
        return Ok(false);
    }
    let green = GREEN.import(py, "eventlet.greenio", "GreenSocket")?;
    let class = socket.get_type();
    if class.is(green) {
        return Ok(true);
    }
    for name in [
        intern!(py, "recv"),
        intern!(py, "send"),
        intern!(py, "sendall"),
    ] {
        if !class.getattr(name)?.is(&green.getattr(name)?) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The control frame that Eventlet's `control_code` stands for.
pub(super) fn control(code: u8) -> Option<Opcode> {
    Opcode::new(code).ok().filter(|opcode| opcode.is_control())
}

pub(super) fn kind(text: bool) -> MessageKind {
    if text {
        MessageKind::Text
    } else {
        MessageKind::Binary
    }
}
