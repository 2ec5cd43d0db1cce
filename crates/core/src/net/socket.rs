//! The methods of a green socket.

use std::ffi::c_int;
use std::os::fd::{IntoRawFd, RawFd};

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::buffer::{self, Data, Memory};
use super::limit::{Limit, Next};
use super::{address, base, connect, emptied, fd};
use crate::errors;
use crate::hub::io::Direction;

/// The native methods of `GreenSocket`, which also derives from `socket.socket`.
///
/// Those that may wait let other green threads run meanwhile. They raise TimeoutError when the socket's
/// timeout is over, BlockingIOError instead of waiting if it is 0, `IOClosed` when the socket is closed while
/// they wait, and OSError for what the system reports.
#[pyclass(frozen, subclass, module = "eventlet._core")]
pub struct SocketMethods;

#[pymethods]
impl SocketMethods {
    /// Receives into a writable buffer, at most `nbytes` (0: as much as fits). Returns how many bytes came;
    /// 0 when the peer has closed or reset the connection.
    #[pyo3(signature = (buffer, nbytes = 0, flags = 0))]
    pub(super) fn recv_into(
        slf: &Bound<'_, Self>,
        buffer: &Bound<'_, PyAny>,
        nbytes: isize,
        flags: c_int,
    ) -> PyResult<usize> {
        let Ok(nbytes) = usize::try_from(nbytes) else {
            return Err(PyValueError::new_err("negative buffersize in recv_into"));
        };
        let memory = Memory::writable(buffer, "recv_into")?;
        let size = if nbytes == 0 { memory.len() } else { nbytes };
        if size > memory.len() {
            return Err(PyValueError::new_err(
                "buffer too small for requested bytes",
            ));
        }
        let socket = slf.as_any();
        let mut limit = Limit::new();
        if size == 0 {
            limit.wait_untried(socket, fd::of(socket)?, Direction::Read)?;
        }
        let mut is_empty =
            emptied::is_empty(slf.py(), fd::of(socket)?, size, flags) && limit.look_up(socket)?;
        loop {
            let fd = fd::of(socket)?;
            let result = if std::mem::take(&mut is_empty) {
                Err(libc::EAGAIN)
            } else {
                // SAFETY: the buffer is writable, at least `size` long, and stays so until it is released.
                unsafe { buffer::receive_at(fd, memory.pointer(), size, flags) }
            };
            match result {
                Ok(count) => {
                    emptied::note(slf.py(), fd, count, size, flags);
                    return Ok(count);
                }
                Err(errno) => {
                    if limit.after_read(socket, fd, errno, flags)? == Next::Ended {
                        return Ok(0);
                    }
                }
            }
        }
    }

    /// Receives a message of at most `bufsize` bytes; returns it with the sender's address.
    #[pyo3(signature = (*args, **kwargs))]
    fn recvfrom<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let name = intern!(slf.py(), "recvfrom");
        wait_if_empty(slf.as_any(), args)?;
        base::call_waiting(slf.as_any(), name, args, kwargs, Direction::Read, 1)
    }

    /// Receives a message into a writable buffer; returns its size and the sender's address.
    #[pyo3(signature = (*args, **kwargs))]
    fn recvfrom_into<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let name = intern!(slf.py(), "recvfrom_into");
        wait_if_empty(slf.as_any(), args)?;
        base::call_waiting(slf.as_any(), name, args, kwargs, Direction::Read, 2)
    }

    /// Receives data and ancillary data; the arguments and the result are those of `socket.recvmsg`.
    #[pyo3(signature = (*args, **kwargs))]
    fn recvmsg<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let name = intern!(slf.py(), "recvmsg");
        base::call_waiting(slf.as_any(), name, args, kwargs, Direction::Read, 2)
    }

    /// Receives into buffers, with ancillary data; as `socket.recvmsg_into`.
    #[pyo3(signature = (*args, **kwargs))]
    fn recvmsg_into<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let name = intern!(slf.py(), "recvmsg_into");
        base::call_waiting(slf.as_any(), name, args, kwargs, Direction::Read, 2)
    }

    /// Sends what the kernel takes of `data`, at least one byte. Returns how many bytes that was.
    #[pyo3(signature = (data, flags = 0))]
    pub(super) fn send(
        slf: &Bound<'_, Self>,
        data: &Bound<'_, PyAny>,
        flags: c_int,
    ) -> PyResult<usize> {
        let data = Data::new(data)?;
        let socket = slf.as_any();
        let mut limit = Limit::new();
        loop {
            let fd = fd::of(socket)?;
            match buffer::send(fd, data.bytes(), flags) {
                Ok(count) => return Ok(count),
                Err(errno) => limit.after_write(socket, fd, errno, flags)?,
            }
        }
    }

    /// Sends all of `data`. The socket's timeout is for the whole of it; if it fails there is no telling
    /// how much was sent.
    #[pyo3(signature = (data, flags = 0))]
    pub(super) fn sendall(
        slf: &Bound<'_, Self>,
        data: &Bound<'_, PyAny>,
        flags: c_int,
    ) -> PyResult<()> {
        let data = Data::new(data)?;
        let socket = slf.as_any();
        let mut limit = Limit::new();
        let mut sent = 0;
        loop {
            let fd = fd::of(socket)?;
            match buffer::send(fd, &data.bytes()[sent..], flags) {
                Ok(count) => {
                    sent += count;
                    if sent >= data.bytes().len() {
                        return Ok(());
                    }
                    slf.py().check_signals()?;
                }
                Err(errno) => limit.after_write(socket, fd, errno, flags)?,
            }
        }
    }

    /// `sendto(data, address)` or `sendto(data, flags, address)`: sends a message. A host name in the
    /// address is looked up without blocking other green threads.
    #[pyo3(signature = (*args))]
    fn sendto<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let mut all: Vec<_> = args.iter().collect();
        if all.len() >= 2
            && let Some(address) = all.last_mut()
        {
            *address = connect::resolved(slf.as_any(), address)?;
        }
        let args = PyTuple::new(py, all)?;
        let name = intern!(py, "sendto");
        let flags = if args.len() == 3 { 1 } else { args.len() };
        base::call_waiting(slf.as_any(), name, &args, None, Direction::Write, flags)
    }

    /// Sends data and ancillary data; the arguments and the result are those of `socket.sendmsg`.
    #[pyo3(signature = (*args, **kwargs))]
    fn sendmsg<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let name = intern!(py, "sendmsg");
        let args = if args.len() >= 4 && !args.get_item(3)?.is_none() {
            let mut all: Vec<_> = args.iter().collect();
            all[3] = connect::resolved(slf.as_any(), &all[3])?;
            PyTuple::new(py, all)?
        } else {
            args.clone()
        };
        base::call_waiting(slf.as_any(), name, &args, kwargs, Direction::Write, 2)
    }

    /// Waits for a connection; returns a green socket and the peer's address.
    fn accept<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let py = slf.py();
        let (taken, address) = take_connection(slf)?;
        let kind = fd::kind(slf.as_any())?;
        // From here on it is up to the method to close it.
        let conn = slf.call_method1(
            intern!(py, "_accepted"),
            (
                kind.family,
                kind.socktype,
                kind.protocol,
                taken.into_raw_fd(),
            ),
        )?;
        let address = match address {
            Some(address) => address.into_bound(py),
            None => conn.call_method0(intern!(py, "getpeername"))?,
        };
        Ok((conn, address))
    }

    /// Waits for a connection; returns its descriptor, which the caller has to close, and the peer's
    /// address.
    fn _accept<'py>(slf: &Bound<'py, Self>) -> PyResult<(RawFd, Bound<'py, PyAny>)> {
        let py = slf.py();
        let (taken, address) = take_connection(slf)?;
        let address = address.unwrap_or_else(|| py.None());
        Ok((taken.into_raw_fd(), address.into_bound(py)))
    }

    /// Connects to an address. A host name is looked up without blocking other green threads.
    fn connect(slf: &Bound<'_, Self>, address: &Bound<'_, PyAny>) -> PyResult<()> {
        match connect::connect(slf.as_any(), address)? {
            0 => Ok(()),
            errno => Err(errors::os_error(slf.py(), errno)),
        }
    }

    /// As `connect`, but returns 0 or the errno where that would raise OSError.
    fn connect_ex(slf: &Bound<'_, Self>, address: &Bound<'_, PyAny>) -> PyResult<c_int> {
        let py = slf.py();
        match connect::connect(slf.as_any(), address) {
            Ok(errno) => Ok(errno),
            Err(error) if error.is_instance_of::<pyo3::exceptions::PyTimeoutError>(py) => {
                Ok(libc::EAGAIN)
            }
            Err(error) => Err(error),
        }
    }

    /// Waits until the socket can be read (or written, if `write`), after an operation would have blocked.
    #[pyo3(signature = (write))]
    fn _wait(slf: &Bound<'_, Self>, write: bool) -> PyResult<()> {
        let socket = slf.as_any();
        let direction = if write {
            Direction::Write
        } else {
            Direction::Read
        };
        Limit::new().wait(socket, fd::of(socket)?, direction, libc::EAGAIN)
    }

    /// The address with a host name replaced by what it stands for; looked up without blocking.
    fn _resolved<'py>(
        slf: &Bound<'py, Self>,
        address: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        connect::resolved(slf.as_any(), address)
    }
}

/// Eventlet's rule: who asks for nothing waits until there is something.
fn wait_if_empty(socket: &Bound<'_, PyAny>, args: &Bound<'_, PyTuple>) -> PyResult<()> {
    if args.is_empty() || args.get_item(0)?.is_truthy()? {
        return Ok(());
    }
    Limit::new().wait_untried(socket, fd::of(socket)?, Direction::Read)
}

fn take_connection(slf: &Bound<'_, SocketMethods>) -> PyResult<address::Taken> {
    let socket = slf.as_any();
    let mut limit = Limit::new();
    loop {
        let fd = fd::of(socket)?;
        match address::accept(slf.py(), fd) {
            Ok(taken) => return taken,
            Err(libc::EINTR) => slf.py().check_signals()?,
            Err(libc::EAGAIN) => limit.wait(socket, fd, Direction::Read, libc::EAGAIN)?,
            Err(errno) => return Err(errors::os_error(slf.py(), errno)),
        }
    }
}
