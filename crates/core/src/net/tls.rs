//! TLS: CPython's `ssl` does it, the waiting is done here.
//!
//! An `SSLSocket` over a non-blocking descriptor raises `SSLWantReadError` or `SSLWantWriteError` once the
//! kernel has said `EAGAIN`, so the descriptor can be waited for like any other. Reading may need to write
//! and the other way round; the exception tells which it is.
//!
//! [`TlsMethods`] goes straight to the `_ssl` object below the socket: the standard library has up to four
//! Python frames between the two. It also avoids most of those exceptions, which cost more than the reading:
//! if the last read has emptied `OpenSSL`'s buffer (`_drained`), a glance at the kernel's buffer tells whether
//! there is anything to decrypt.

use std::os::fd::RawFd;

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyMemoryView, PySlice, PyTuple, PyType};

use super::buffer::{self, Data};
use super::fd;
use super::limit::{Limit, is_non_blocking};
use super::recv::Recv;
use super::socket::SocketMethods;
use crate::hub::entry;
use crate::hub::io::Direction;

/// A record holds no more than this, and one read returns no more than a record.
const RECORD: isize = 16 * 1024;

/// The native methods of `GreenSSLSocket`, which also derives from `ssl.SSLSocket` and `GreenSocket`.
///
/// Those that may wait let other green threads run meanwhile. They raise `TimeoutError` when the socket's
/// timeout is over, `SSLWantReadError` or `SSLWantWriteError` instead of waiting if it is 0, `IOClosed` when the
/// socket is closed while they wait, and `SSLError` for what `OpenSSL` reports. Before the handshake they do it;
/// without TLS (before `connect`, after `unwrap` or `shutdown`) `recv`, `recv_into`, `send` and `sendall` are
/// those of the plain socket.
#[pyclass(frozen, subclass, module = "eventlet._core")]
pub struct TlsMethods;

#[pymethods]
impl TlsMethods {
    /// Receives at most `buflen` bytes; `b""` at the end. `flags` has to be 0.
    #[pyo3(signature = (buflen = 1024, flags = 0))]
    fn recv<'py>(slf: &Bound<'py, Self>, buflen: isize, flags: i32) -> PyResult<Bound<'py, PyAny>> {
        let socket = slf.as_any();
        if layer(socket)?.is_none() {
            let py = slf.py();
            let step = Recv::start(socket.clone(), buflen, flags)?;
            return entry::finish(py, step).map(|data| data.into_bound(py));
        }
        refuse_flags(slf, flags, "recv")?;
        if !is_exact(socket) {
            return socket.call_method1(intern!(slf.py(), "read"), (buflen,));
        }
        read(socket, buflen, None)
    }

    /// Receives into a writable buffer, at most `nbytes` (None or 0: as much as fits). Returns how many bytes
    /// came, 0 at the end. `flags` has to be 0.
    #[pyo3(signature = (buffer, nbytes = None, flags = 0))]
    fn recv_into<'py>(
        slf: &Bound<'py, Self>,
        buffer: &Bound<'py, PyAny>,
        nbytes: Option<isize>,
        flags: i32,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, socket) = (slf.py(), slf.as_any());
        let nbytes = nbytes.unwrap_or(0);
        if layer(socket)?.is_none() {
            let plain = slf.as_any().cast::<SocketMethods>()?;
            let count = SocketMethods::recv_into(plain, buffer, nbytes, flags)?;
            return Ok(count.into_pyobject(py)?.into_any());
        }
        refuse_flags(slf, flags, "recv_into")?;
        if !is_exact(socket) {
            let nbytes = if nbytes == 0 {
                let view = PyMemoryView::from(buffer)?;
                view.getattr(intern!(py, "nbytes"))?.extract()?
            } else {
                nbytes
            };
            return socket.call_method1(intern!(py, "read"), (nbytes, buffer));
        }
        read(socket, nbytes, Some(buffer))
    }

    /// Reads at most `len` bytes and returns them, or into `buffer` and returns how many.
    #[pyo3(signature = (len = 1024, buffer = None))]
    fn read<'py>(
        slf: &Bound<'py, Self>,
        len: isize,
        buffer: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        read(slf.as_any(), len, buffer)
    }

    /// Writes what TLS takes of `data`, at least one byte of any. Returns how many bytes that was.
    fn write<'py>(slf: &Bound<'py, Self>, data: &Bound<'py, PyAny>) -> PyResult<usize> {
        write(slf.as_any(), data, &mut Limit::new())
    }

    /// Sends what TLS takes of `data`. Returns how many bytes that was. `flags` has to be 0.
    #[pyo3(signature = (data, flags = 0))]
    fn send<'py>(slf: &Bound<'py, Self>, data: &Bound<'py, PyAny>, flags: i32) -> PyResult<usize> {
        let socket = slf.as_any();
        if layer(socket)?.is_none() {
            return SocketMethods::send(socket.cast()?, data, flags);
        }
        refuse_flags(slf, flags, "send")?;
        write(socket, data, &mut Limit::new())
    }

    /// Sends all of `data`. The socket's timeout is for the whole of it; if it fails there is no telling
    /// how much was sent. `flags` has to be 0.
    #[pyo3(signature = (data, flags = 0))]
    fn sendall<'py>(slf: &Bound<'py, Self>, data: &Bound<'py, PyAny>, flags: i32) -> PyResult<()> {
        let socket = slf.as_any();
        if layer(socket)?.is_none() {
            // Eventlet's rule: nothing to send is no error, not even without a connection.
            if Data::new(data)?.bytes().is_empty() {
                return Ok(());
            }
            return SocketMethods::sendall(socket.cast()?, data, flags);
        }
        refuse_flags(slf, flags, "sendall")?;
        let mut limit = Limit::new();
        if is_exact(socket)
            && let Ok(bytes) = data.cast_exact::<PyBytes>()
        {
            let size = bytes.as_bytes().len();
            let sent = if size == 0 {
                0
            } else {
                write(socket, data, &mut limit)?
            };
            if sent >= size {
                return Ok(());
            }
            return send_rest(socket, data, sent, &mut limit);
        }
        send_rest(socket, data, 0, &mut limit)
    }
}

/// Sends what comes after the first `sent` bytes, record by record.
#[inline(never)]
fn send_rest(
    socket: &Bound<'_, PyAny>,
    data: &Bound<'_, PyAny>,
    mut sent: usize,
    limit: &mut Limit,
) -> PyResult<()> {
    let py = socket.py();
    let view = PyMemoryView::from(data)?.call_method1(intern!(py, "cast"), ("B",))?;
    let size = view.len()?;
    let exact = is_exact(socket);
    while sent < size {
        let slice = PySlice::new(py, isize::try_from(sent)?, isize::try_from(size)?, 1);
        let rest = view.get_item(slice)?;
        sent += if exact {
            write(socket, &rest, limit)?
        } else {
            socket
                .call_method1(intern!(py, "send"), (rest,))?
                .extract()?
        };
    }
    Ok(())
}

/// What `OpenSSL` keeps of the connection; none without TLS.
#[inline]
fn layer<'py>(socket: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let layer = socket.getattr(intern!(socket.py(), "_sslobj"))?;
    Ok((!layer.is_none()).then_some(layer))
}

/// Whether no method can have been overridden: `recv` of a subclass has to call its `read`, as it does in
/// the standard library.
#[inline]
fn is_exact(socket: &Bound<'_, PyAny>) -> bool {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS
        .import(socket.py(), "eventlet.green.ssl", "GreenSSLSocket")
        .is_ok_and(|class| socket.get_type().is(class))
}

#[inline]
fn refuse_flags(socket: &Bound<'_, TlsMethods>, flags: i32, method: &str) -> PyResult<()> {
    if flags == 0 {
        return Ok(());
    }
    Err(PyValueError::new_err(format!(
        "non-zero flags not allowed in calls to {method}() on {}",
        socket.get_type().repr()?
    )))
}

/// Reads from TLS; what is asked for is that of `_ssl._SSLSocket.read`.
fn read<'py>(
    socket: &Bound<'py, PyAny>,
    size: isize,
    buffer: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = socket.py();
    let drained = intern!(py, "_drained");
    let mut was_drained = socket.getattr(drained)?.is_truthy()?;
    let size = size.min(RECORD);
    let mut limit = Limit::new();
    let mut waited = was_drained && size != 0 && wait_if_empty(socket, &mut limit)?;
    loop {
        let Some(layer) = layer(socket)? else {
            if waited {
                // Another green thread has shut the connection down.
                return nothing(py, buffer);
            }
            return Err(PyValueError::new_err(
                "Read on closed or unwrapped SSL socket.",
            ));
        };
        let name = intern!(py, "read");
        let result = match buffer {
            Some(buffer) => layer.call_method1(name, (size, buffer)),
            None => layer.call_method1(name, (size,)),
        };
        drop(layer);
        match result {
            Ok(result) => {
                let is_drained = leaves_nothing(&result, size, buffer)?;
                if is_drained != was_drained {
                    socket.setattr(drained, is_drained)?;
                }
                return Ok(result);
            }
            Err(error) => {
                if was_drained {
                    was_drained = false;
                    socket.setattr(drained, false)?;
                }
                if !wait_for_layer(socket, error, &mut limit)? {
                    return nothing(py, buffer);
                }
                waited = true;
            }
        }
    }
}

/// What a read returns at the end.
#[cold]
fn nothing<'py>(
    py: Python<'py>,
    buffer: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    match buffer {
        Some(_) => Ok(0_usize.into_pyobject(py)?.into_any()),
        None => Ok(PyBytes::new(py, b"").into_any()),
    }
}

/// Whether a read that returned `result` has taken all that was decrypted. Not so at the end, where the next
/// read has to learn of it from `OpenSSL`.
#[inline]
fn leaves_nothing(
    result: &Bound<'_, PyAny>,
    size: isize,
    buffer: Option<&Bound<'_, PyAny>>,
) -> PyResult<bool> {
    let size = usize::try_from(size).unwrap_or(0);
    let (count, room) = match buffer {
        None => (result.len()?, size),
        Some(buffer) => {
            // For a buffer of larger items this is less than it holds, which does no harm.
            let room = buffer.len().unwrap_or(0);
            (
                result.extract()?,
                if size == 0 { room } else { room.min(size) },
            )
        }
    };
    Ok(0 < count && count < room)
}

/// Waits for data if the kernel has none, and tells whether it did. A non-blocking socket is left to
/// `OpenSSL`, whose error it gets.
#[inline]
fn wait_if_empty(socket: &Bound<'_, PyAny>, limit: &mut Limit) -> PyResult<bool> {
    let Ok(fd) = fd::of(socket) else {
        // Closed: what to say of that depends on the operation.
        return Ok(false);
    };
    if !is_empty(fd) || is_non_blocking(socket)? {
        return Ok(false);
    }
    limit.wait(socket, fd, Direction::Read, libc::EAGAIN)?;
    Ok(true)
}

#[inline]
fn is_empty(fd: RawFd) -> bool {
    let mut byte = 0_u8;
    // SAFETY: the byte is writable, and nothing runs until the call is over.
    let glance = unsafe { buffer::receive_at(fd, &raw mut byte, 1, libc::MSG_PEEK) };
    glance == Err(libc::EAGAIN)
}

/// Writes to TLS.
fn write(socket: &Bound<'_, PyAny>, data: &Bound<'_, PyAny>, limit: &mut Limit) -> PyResult<usize> {
    let py = socket.py();
    loop {
        let Some(layer) = layer(socket)? else {
            return Err(PyValueError::new_err(
                "Write on closed or unwrapped SSL socket.",
            ));
        };
        let result = layer.call_method1(intern!(py, "write"), (data,));
        drop(layer);
        match result {
            Ok(count) => return count.extract(),
            Err(error) => wait_for(socket, error, limit)?,
        }
    }
}

/// Waits for what the error of a read asks for. Returns false if the peer has hung up without a word, and
/// the socket is to take that for the end.
#[cold]
#[inline(never)]
fn wait_for_layer(socket: &Bound<'_, PyAny>, error: PyErr, limit: &mut Limit) -> PyResult<bool> {
    if is_ragged_end(socket, &error)? {
        return Ok(false);
    }
    wait_for(socket, error, limit).map(|()| true)
}

/// Whether the error of a read says that the peer has hung up without a word, and the socket is to take that for
/// the end.
pub fn is_ragged_end(socket: &Bound<'_, PyAny>, error: &PyErr) -> PyResult<bool> {
    static EOF: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = socket.py();
    Ok(
        error.is_instance(py, EOF.import(py, "_ssl", "SSLEOFError")?)
            && socket
                .getattr(intern!(py, "suppress_ragged_eofs"))?
                .is_truthy()?,
    )
}

/// Waits for what the error asks for. Raises it if it asks for nothing, or the socket is non-blocking.
#[cold]
#[inline(never)]
fn wait_for(socket: &Bound<'_, PyAny>, error: PyErr, limit: &mut Limit) -> PyResult<()> {
    match wanted(socket.py(), &error)? {
        Some(direction) if !is_non_blocking(socket)? => {
            drop(error);
            limit.wait(socket, fd::of(socket)?, direction, libc::EAGAIN)
        }
        _ => Err(error),
    }
}

/// Calls `function(*args)` until it neither wants to read nor to write, waiting in between.
///
/// `sock` is the socket whose descriptor and timeout count. Raises TimeoutError when its timeout is over;
/// if it is non-blocking, what `function` raises.
#[pyfunction]
#[pyo3(signature = (sock, function, *args))]
pub fn retry_ssl<'py>(
    sock: &Bound<'py, PyAny>,
    function: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    let mut limit = Limit::new();
    loop {
        match function.call1(args) {
            Ok(result) => return Ok(result),
            Err(error) => wait_for(sock, error, &mut limit)?,
        }
    }
}

/// The direction that the error of an operation on TLS asks to wait for.
pub fn wanted(py: Python<'_>, error: &PyErr) -> PyResult<Option<Direction>> {
    static READ: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    static WRITE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let class = error.get_type(py);
    if class.is(READ.import(py, "_ssl", "SSLWantReadError")?) {
        return Ok(Some(Direction::Read));
    }
    if class.is(WRITE.import(py, "_ssl", "SSLWantWriteError")?) {
        return Ok(Some(Direction::Write));
    }
    Ok(None)
}
