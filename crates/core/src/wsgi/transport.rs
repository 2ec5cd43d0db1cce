//! What a connection reads from and writes to.

use std::io;
use std::os::fd::RawFd;

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyConnectionAbortedError, PyOSError, PyTimeoutError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PySlice};

use super::files;
use crate::hub::io::{self as hub_io, Direction};
use crate::hub::{self, Hub, Wake};
use crate::net::tls;
use crate::{clock, errors};

/// The most that is read at once.
pub const READ_SIZE: usize = 64 * 1024;

/// A TLS record holds no more than this.
const RECORD: usize = 16 * 1024;

/// How many pieces are written at once: a head or the size of a chunk, a block, the end of a chunk.
pub const PIECES: usize = 3;

thread_local! {
    static SCRATCH: std::cell::Cell<Option<Box<[u8]>>> = const { std::cell::Cell::new(None) };
}

/// Takes the thread's read buffer. Whoever has it may park: others get a new one meanwhile.
pub fn take_scratch() -> Box<[u8]> {
    SCRATCH
        .take()
        .unwrap_or_else(|| vec![0; READ_SIZE].into_boxed_slice())
}

/// Gives the read buffer back.
pub fn return_scratch(scratch: Box<[u8]>) {
    SCRATCH.set(Some(scratch));
}

/// One `recv` that does not wait. `None` means there is nothing yet.
pub fn receive(fd: RawFd, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    let (start, length) = (buffer.as_mut_ptr(), buffer.len());
    retried(|| {
        // SAFETY: the pointer and the length are those of a live, exclusively borrowed slice.
        unsafe { libc::recv(fd, start.cast(), length, libc::MSG_DONTWAIT) }
    })
}

/// Whether there is something to receive.
pub fn has_unread(fd: RawFd) -> bool {
    glance(fd) > 0
}

/// Whether there is nothing to receive, not even the end.
pub fn is_empty(fd: RawFd) -> bool {
    glance(fd) < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EAGAIN)
}

fn glance(fd: RawFd) -> isize {
    let mut byte = 0_u8;
    // SAFETY: the pointer is that of a live byte, and no more than it is asked for.
    unsafe {
        libc::recv(
            fd,
            (&raw mut byte).cast(),
            1,
            libc::MSG_DONTWAIT | libc::MSG_PEEK,
        )
    }
}

/// Sends several pieces at once without waiting. `None` means the peer takes nothing now.
pub fn send(fd: RawFd, pieces: [&[u8]; PIECES]) -> io::Result<Option<usize>> {
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    if let [only, b"", b""] = pieces {
        return retried(|| {
            // SAFETY: the pointer and the length are those of a live slice, which is only read.
            unsafe { libc::send(fd, only.as_ptr().cast(), only.len(), flags) }
        });
    }
    let mut vector = pieces.map(|piece| libc::iovec {
        iov_base: piece.as_ptr().cast_mut().cast(),
        iov_len: piece.len(),
    });
    // SAFETY: all-zero bytes are a valid `msghdr` (integers and null pointers).
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = vector.as_mut_ptr();
    message.msg_iovlen = PIECES as _;
    retried(|| {
        // SAFETY: the message points to an array whose entries each describe a live slice that is only
        // read.
        unsafe { libc::sendmsg(fd, &raw const message, flags) }
    })
}

/// Makes a system call that transfers bytes, again if a signal interrupts it; `None` for `EAGAIN`.
fn retried(call: impl Fn() -> isize) -> io::Result<Option<usize>> {
    loop {
        let count = call();
        if count >= 0 {
            return Ok(Some(count.unsigned_abs()));
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EAGAIN) => return Ok(None),
            _ => return Err(error),
        }
    }
}

/// How long a client may take for something that may take several reads.
///
/// The time runs from the first wait on.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Seconds; `None` for ever.
    timeout: Option<f64>,
    deadline: Option<u64>,
}

impl Patience {
    /// So many seconds.
    pub fn new(timeout: Option<f64>) -> Self {
        Self {
            timeout,
            deadline: None,
        }
    }

    /// Until a moment, `u64::MAX` for ever; but no longer than so many seconds.
    pub fn until(deadline: u64, timeout: Option<f64>) -> Self {
        let deadline = match timeout {
            Some(timeout) => deadline.min(clock::after(clock::now(), timeout)),
            None => deadline,
        };
        Self {
            timeout: None,
            deadline: (deadline != u64::MAX).then_some(deadline),
        }
    }

    /// When it is over.
    fn deadline(&mut self) -> Option<u64> {
        if self.deadline.is_none() {
            self.deadline = self
                .timeout
                .map(|timeout| clock::after(clock::now(), timeout));
        }
        self.deadline
    }

    /// Seconds left.
    pub fn left(&mut self) -> Option<f64> {
        self.deadline()
            .map(|deadline| clock::seconds(deadline.saturating_sub(clock::now())))
    }
}

/// A connection's two ends of bytes.
pub enum Transport {
    /// A descriptor, non-blocking by way of its flags for each call.
    Descriptor(RawFd),
    /// A descriptor with TLS over it.
    Tls {
        fd: RawFd,
        /// The `GreenSSLSocket`, to which the descriptor belongs.
        socket: Py<PyAny>,
        /// What `OpenSSL` keeps of it. It does not wait: it says what it would wait for.
        layer: Py<PyAny>,
    },
    /// An object with the methods of a socket.
    Object(Py<PyAny>),
    /// The files of an `HttpProtocol`, which reads some of the bytes itself.
    Protocol(Py<PyAny>),
    /// Nothing any more.
    Closed,
}

impl Transport {
    /// Another handle on the same connection.
    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Descriptor(fd) => Self::Descriptor(*fd),
            Self::Tls { fd, socket, layer } => Self::Tls {
                fd: *fd,
                socket: socket.clone_ref(py),
                layer: layer.clone_ref(py),
            },
            Self::Object(object) => Self::Object(object.clone_ref(py)),
            Self::Protocol(protocol) => Self::Protocol(protocol.clone_ref(py)),
            Self::Closed => Self::Closed,
        }
    }

    /// The descriptor that the hub can wait for.
    pub fn descriptor(&self) -> Option<RawFd> {
        match self {
            Self::Descriptor(fd) | Self::Tls { fd, .. } => Some(*fd),
            Self::Object(_) | Self::Protocol(_) | Self::Closed => None,
        }
    }

    /// The descriptor below, whatever may be done with it.
    pub fn number(&self, py: Python<'_>) -> Option<RawFd> {
        let number = match self {
            Self::Descriptor(_) | Self::Tls { .. } => return self.descriptor(),
            Self::Object(object) => object.bind(py).call_method0(intern!(py, "fileno")),
            Self::Protocol(protocol) => protocol
                .bind(py)
                .getattr(intern!(py, "connection"))
                .and_then(|connection| connection.call_method0(intern!(py, "fileno"))),
            Self::Closed => return None,
        };
        // What is no socket need not have one.
        number.and_then(|number| number.extract()).ok()
    }

    /// Reads what there is, waiting for it while there is patience. 0 is the end.
    pub fn read(
        &self,
        py: Python<'_>,
        patience: &mut Patience,
        append_to: &mut Vec<u8>,
    ) -> PyResult<usize> {
        match self {
            Self::Descriptor(fd) => read_descriptor(py, *fd, patience, append_to),
            Self::Tls { fd, socket, layer } => {
                read_tls(socket.bind(py), layer.bind(py), *fd, patience, append_to)
            }
            Self::Object(object) => {
                let object = object.bind(py);
                let left = patience.left();
                if left == Some(0.0) {
                    return Err(too_slow());
                }
                object.call_method1(intern!(py, "settimeout"), (left,))?;
                let data = object.call_method1(intern!(py, "recv"), (READ_SIZE,))?;
                let data = data.cast_into::<PyBytes>()?;
                append_to.extend_from_slice(data.as_bytes());
                Ok(data.as_bytes().len())
            }
            // Who reads knows how much is his, and asks for just that.
            Self::Protocol(_) | Self::Closed => Err(closed(py)),
        }
    }

    /// As [`read`](Self::read), where `needed` bytes are still to come of the body: if others read the
    /// connection, too, what is beyond them is theirs.
    pub fn read_for_body(
        &self,
        py: Python<'_>,
        patience: &mut Patience,
        needed: u64,
        append_to: &mut Vec<u8>,
    ) -> PyResult<usize> {
        let Self::Protocol(protocol) = self else {
            return self.read(py, patience, append_to);
        };
        let left = patience.left();
        if left == Some(0.0) {
            return Err(too_slow());
        }
        files::read(protocol.bind(py), left, needed, append_to)
    }

    /// Writes all pieces in order, waiting for the peer up to `timeout` seconds at a time: it has them again
    /// with each part that it takes.
    pub fn write(
        &self,
        py: Python<'_>,
        timeout: Option<f64>,
        pieces: [&[u8]; PIECES],
    ) -> PyResult<()> {
        match self {
            Self::Descriptor(fd) => write_descriptor(py, *fd, timeout, pieces),
            Self::Tls { fd, layer, .. } => {
                let data = PyBytes::new(py, &pieces.concat());
                write_tls(layer.bind(py), *fd, timeout, &data)
            }
            Self::Object(object) => {
                let object = object.bind(py);
                object.call_method1(intern!(py, "settimeout"), (timeout,))?;
                // Joined, so that the head and a short body share a packet, or a TLS record.
                let data = PyBytes::new(py, &pieces.concat());
                write_object(object, &data)
            }
            Self::Protocol(protocol) => files::write(protocol.bind(py), timeout, pieces),
            Self::Closed => Err(closed(py)),
        }
    }
}

/// Reads once; the buffer is on the heap and taken by nobody else while this frame may be parked.
fn read_descriptor(
    py: Python<'_>,
    fd: RawFd,
    patience: &mut Patience,
    append_to: &mut Vec<u8>,
) -> PyResult<usize> {
    loop {
        let mut scratch = take_scratch();
        let result = receive(fd, &mut scratch);
        if let Ok(Some(count)) = result {
            append_to.extend_from_slice(&scratch[..count]);
        }
        return_scratch(scratch);
        match result {
            Ok(Some(count)) => return Ok(count),
            Ok(None) => wait(py, fd, Direction::Read, patience)?,
            Err(error) => return Err(errors::io_error(py, &error)),
        }
    }
}

fn write_descriptor(
    py: Python<'_>,
    fd: RawFd,
    timeout: Option<f64>,
    mut pieces: [&[u8]; PIECES],
) -> PyResult<()> {
    until_taken(py, fd, timeout, || {
        let Some(mut count) = send(fd, pieces)? else {
            return Ok(None);
        };
        for piece in &mut pieces {
            let taken = count.min(piece.len());
            *piece = &piece[taken..];
            count -= taken;
        }
        Ok(Some(pieces.iter().all(|piece| piece.is_empty())))
    })
}

/// Sends the head of a response whose body follows at once: the kernel may wait for it.
pub fn send_head(py: Python<'_>, fd: RawFd, timeout: Option<f64>, head: &[u8]) -> PyResult<()> {
    #[cfg(target_os = "linux")]
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT | libc::MSG_MORE;
    #[cfg(not(target_os = "linux"))]
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    let mut rest = head;
    until_taken(py, fd, timeout, || {
        let sent = retried(|| {
            // SAFETY: the pointer and the length are those of a live slice, which is only read.
            unsafe { libc::send(fd, rest.as_ptr().cast(), rest.len(), flags) }
        })?;
        Ok(sent.map(|sent| {
            rest = &rest[sent..];
            rest.is_empty()
        }))
    })
}

/// Sends `count` bytes of a regular file from `offset` on; how many of them there were.
pub fn send_file(
    py: Python<'_>,
    fd: RawFd,
    timeout: Option<f64>,
    file: RawFd,
    offset: u64,
    count: u64,
) -> PyResult<u64> {
    let mut sent = 0;
    let mut refused = false;
    until_taken(py, fd, timeout, || {
        let part = usize::try_from(count - sent).unwrap_or(usize::MAX);
        match copy_file(fd, file, offset + sent, part) {
            Ok(None) => Ok(None),
            Ok(Some(taken)) => {
                sent += taken as u64;
                Ok(Some(sent == count || taken == 0))
            }
            Err(error) if sent == 0 && is_unable(&error) => {
                refused = true;
                Ok(Some(true))
            }
            Err(error) => Err(error),
        }
    })?;
    while refused && sent < count {
        let mut block = vec![0; READ_SIZE];
        let part = usize::try_from(count - sent).map_or(READ_SIZE, |left| left.min(READ_SIZE));
        let read = read_file(file, offset + sent, &mut block[..part])
            .map_err(|error| errors::io_error(py, &error))?;
        if read == 0 {
            break;
        }
        write_descriptor(py, fd, timeout, [&block[..read], b"", b""])?;
        sent += read as u64;
    }
    Ok(sent)
}

/// Has the kernel copy from a file to a socket, without waiting. `None` means the peer takes nothing now.
#[cfg(target_os = "linux")]
fn copy_file(fd: RawFd, file: RawFd, offset: u64, count: usize) -> io::Result<Option<usize>> {
    let Ok(offset) = libc::off64_t::try_from(offset) else {
        return Ok(Some(0));
    };
    retried(|| {
        let mut offset = offset;
        // SAFETY: the offset is a live integer; the descriptors are numbers, which the kernel checks.
        unsafe { libc::sendfile64(fd, file, &raw mut offset, count) }
    })
}

/// Has the kernel copy from a file to a socket, where it can.
#[cfg(not(target_os = "linux"))]
fn copy_file(_fd: RawFd, _file: RawFd, _offset: u64, _count: usize) -> io::Result<Option<usize>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether the kernel cannot copy from this file.
fn is_unable(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP)
    ) || error.kind() == io::ErrorKind::Unsupported
}

/// Reads from a place in a file; 0 is its end.
fn read_file(file: RawFd, offset: u64, block: &mut [u8]) -> io::Result<usize> {
    let Ok(offset) = libc::off_t::try_from(offset) else {
        return Ok(0);
    };
    let (start, length) = (block.as_mut_ptr(), block.len());
    let read = retried(|| {
        // SAFETY: the pointer and the length are those of a live, exclusively borrowed slice.
        unsafe { libc::pread(file, start.cast(), length, offset) }
    })?;
    Ok(read.unwrap_or(0))
}

/// Calls `step`, which sends without waiting, until it says that all has been sent: `None` means that the peer
/// takes nothing now.
fn until_taken(
    py: Python<'_>,
    fd: RawFd,
    timeout: Option<f64>,
    mut step: impl FnMut() -> io::Result<Option<bool>>,
) -> PyResult<()> {
    loop {
        match step() {
            Ok(Some(true)) => return Ok(()),
            Ok(Some(false)) => {}
            Ok(None) => wait_for_room(py, fd, Direction::Write, timeout)?,
            Err(error) => return Err(errors::io_error(py, &error)),
        }
    }
}

/// Reads what has been decrypted once, without waiting. `None` means there is nothing yet.
pub fn receive_tls(
    layer: &Bound<'_, PyAny>,
    fd: RawFd,
    buffer: &mut [u8],
) -> PyResult<Option<usize>> {
    let py = layer.py();
    // To look at the kernel's buffer is cheaper than the exception that says the same.
    let pending: usize = layer.call_method0(intern!(py, "pending"))?.extract()?;
    if pending == 0 && is_empty(fd) {
        return Ok(None);
    }
    match layer.call_method1(intern!(py, "read"), (buffer.len().min(RECORD),)) {
        Ok(data) => {
            let data = data.cast_into::<PyBytes>()?;
            let data = data.as_bytes();
            buffer[..data.len()].copy_from_slice(data);
            Ok(Some(data.len()))
        }
        Err(error) => match tls::wanted(py, &error)? {
            Some(Direction::Read) => Ok(None),
            _ => Err(error),
        },
    }
}

fn read_tls(
    socket: &Bound<'_, PyAny>,
    layer: &Bound<'_, PyAny>,
    fd: RawFd,
    patience: &mut Patience,
    append_to: &mut Vec<u8>,
) -> PyResult<usize> {
    let py = layer.py();
    loop {
        match layer.call_method1(intern!(py, "read"), (RECORD,)) {
            Ok(data) => {
                let data = data.cast_into::<PyBytes>()?;
                append_to.extend_from_slice(data.as_bytes());
                return Ok(data.as_bytes().len());
            }
            Err(error) => match tls::wanted(py, &error)? {
                Some(direction) => wait(py, fd, direction, patience)?,
                // A client that hangs up often says nothing before; the request tells whether it is complete.
                None if tls::is_ragged_end(socket, &error)? => return Ok(0),
                None => return Err(broken(py, error)),
            },
        }
    }
}

fn write_tls(
    layer: &Bound<'_, PyAny>,
    fd: RawFd,
    timeout: Option<f64>,
    data: &Bound<'_, PyBytes>,
) -> PyResult<()> {
    let py = layer.py();
    let size = data.as_bytes().len();
    let mut sent = 0;
    while sent < size {
        match layer.call_method1(intern!(py, "write"), (rest_of(data, sent)?,)) {
            Ok(count) => sent += count.extract::<usize>()?,
            // It may have written a good part of it all the same.
            Err(error) => match tls::wanted(py, &error)? {
                Some(direction) => wait_for_room(py, fd, direction, timeout)?,
                None => return Err(broken(py, error)),
            },
        }
    }
    Ok(())
}

/// The error for a connection whose TLS has failed, if only because the peer has gone without a word.
#[cold]
fn broken(py: Python<'_>, error: PyErr) -> PyErr {
    if error.is_instance_of::<PyOSError>(py) {
        PyConnectionAbortedError::new_err(error.value(py).to_string())
    } else {
        error
    }
}

/// What comes after the first `sent` bytes.
fn rest_of<'py>(data: &Bound<'py, PyBytes>, sent: usize) -> PyResult<Bound<'py, PyAny>> {
    let py = data.py();
    if sent == 0 {
        return Ok(data.clone().into_any());
    }
    let end = isize::try_from(data.as_bytes().len())?;
    PyMemoryView::from(data)?.get_item(PySlice::new(py, isize::try_from(sent)?, end, 1))
}

/// Writes to an object until it has taken all.
fn write_object(object: &Bound<'_, PyAny>, data: &Bound<'_, PyBytes>) -> PyResult<()> {
    let py = object.py();
    let size = data.as_bytes().len();
    let fd = object
        .call_method0(intern!(py, "fileno"))
        .and_then(|fd| fd.extract::<RawFd>())
        .unwrap_or(-1);
    let mut sent = 0;
    while sent < size {
        let before = queued(fd);
        match object.call_method1(intern!(py, "send"), (rest_of(data, sent)?,)) {
            Ok(count) => sent += count.extract::<usize>()?,
            Err(error)
                if error.is_instance_of::<PyTimeoutError>(py) && is_less(queued(fd), before) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits until more can be written, or until the peer has taken nothing at all for `timeout` seconds.
///
/// The kernel tells that there is room again only when a good part of its buffer is free, which may be megabytes,
/// for which a slow client needs minutes. So it is asked how much the peer has not acknowledged.
fn wait_for_room(
    py: Python<'_>,
    fd: RawFd,
    direction: Direction,
    timeout: Option<f64>,
) -> PyResult<()> {
    let before = queued(fd);
    match wait(py, fd, direction, &mut Patience::new(timeout)) {
        Err(error) if error.is_instance_of::<PyTimeoutError>(py) && is_less(queued(fd), before) => {
            Ok(())
        }
        result => result,
    }
}

fn is_less(now: Option<libc::c_int>, before: Option<libc::c_int>) -> bool {
    matches!((now, before), (Some(now), Some(before)) if now < before)
}

/// How many bytes the peer has not acknowledged yet, where the system tells.
#[cfg(target_os = "linux")]
fn queued(fd: RawFd) -> Option<libc::c_int> {
    let mut count: libc::c_int = 0;
    // SAFETY: the pointer is that of a live integer, which is what this request fills in.
    let result = unsafe { libc::ioctl(fd, libc::TIOCOUTQ, &raw mut count) };
    (result == 0).then_some(count)
}

/// How many bytes the peer has not acknowledged yet, where the system tells.
#[cfg(not(target_os = "linux"))]
fn queued(_fd: RawFd) -> Option<libc::c_int> {
    None
}

/// Waits for a descriptor while there is patience.
pub fn wait(
    py: Python<'_>,
    fd: RawFd,
    direction: Direction,
    patience: &mut Patience,
) -> PyResult<()> {
    let hub = hub::current(py)?;
    let generation = hub_io::generation(py, fd);
    let wake = Hub::wait_ready(&hub, fd, direction, patience.deadline())?;
    if hub_io::generation(py, fd) != generation {
        // Closed between being woken and being here; the number may be somebody else's.
        return Err(closed(py));
    }
    match wake {
        Wake::TimedOut => Err(too_slow()),
        _ => Ok(()),
    }
}

/// The error for a client that takes too long.
#[cold]
fn too_slow() -> PyErr {
    PyTimeoutError::new_err("timed out")
}

/// The error for a connection that the server has closed.
#[cold]
pub fn closed(py: Python<'_>) -> PyErr {
    errors::os_error(py, libc::ECONNABORTED)
}

/// The bytes of what an application yields: bytes as they are, other buffers copied.
pub fn block_of<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let py = object.py();
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(bytes.clone());
    }
    if let Ok(text) = object.cast::<pyo3::types::PyString>() {
        // PEP 3333 wants bytes. Text that is plain ASCII can only mean one thing.
        let encoded = text.call_method1(intern!(py, "encode"), (intern!(py, "ascii"),))?;
        return Ok(encoded.cast_into::<PyBytes>()?);
    }
    let view = PyMemoryView::from(object).map_err(|_| {
        pyo3::exceptions::PyTypeError::new_err(format!(
            "a WSGI application yields bytes, not {}",
            object
                .get_type()
                .name()
                .map_or_else(|_| "that".to_owned(), |name| name.to_string())
        ))
    })?;
    let buffer = PyBuffer::<u8>::get(&view)?;
    Ok(PyBytes::new(py, &buffer.to_vec(py)?))
}
