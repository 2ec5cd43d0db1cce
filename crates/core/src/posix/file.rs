//! Reading and writing a descriptor, of whatever kind.

use std::ffi::c_int;
use std::os::fd::RawFd;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::{errno, hub_to_wait_on};
use crate::errors;
use crate::hub::Hub;
use crate::hub::io::{self, Direction};
use crate::net::buffer::{Data, Memory, fill};

/// Reads at most `length` bytes from a descriptor; `b""` at the end of the file.
///
/// Other green threads run while there is nothing. Raises OSError for what the system reports;
/// BlockingIOError if there is nothing and the program has made the descriptor non-blocking; `IOClosed` if
/// the descriptor is closed meanwhile; RuntimeError if another green thread reads there.
#[pyfunction]
#[pyo3(signature = (fd, length, /))]
pub fn os_read(py: Python<'_>, fd: RawFd, length: isize) -> PyResult<Bound<'_, PyBytes>> {
    let Ok(length) = usize::try_from(length) else {
        return Err(errors::os_error(py, libc::EINVAL));
    };
    loop {
        wait_until_ready(py, fd, Direction::Read)?;
        match fill(py, length, |pointer| read_at(py, fd, pointer, length)) {
            Ok(bytes) => return bytes,
            Err(errno) => {
                let waits = io::owner(py, fd) != 0;
                after_failure(py, fd, Direction::Read, errno, waits)?;
            }
        }
    }
}

/// Reads from a descriptor into a writable buffer, as much as fits. Returns how many bytes that was, 0 at the
/// end of the file; waits and raises as `os_read`.
#[pyfunction]
#[pyo3(signature = (fd, buffer, /))]
pub fn os_read_into(py: Python<'_>, fd: RawFd, buffer: &Bound<'_, PyAny>) -> PyResult<usize> {
    let memory = Memory::writable(buffer, "readinto")?;
    loop {
        wait_until_ready(py, fd, Direction::Read)?;
        match read_at(py, fd, memory.pointer(), memory.len()) {
            Ok(count) => return Ok(count),
            Err(errno) => {
                let waits = io::owner(py, fd) != 0;
                after_failure(py, fd, Direction::Read, errno, waits)?;
            }
        }
    }
}

/// Writes bytes to a descriptor; returns how many: all, unless the program has made it non-blocking.
///
/// Other green threads run while nothing more is taken. What goes to a pipe or a terminal is cut into pieces
/// that the kernel has promised to take. Raises as `os_read`.
#[pyfunction]
#[pyo3(signature = (fd, data, /))]
pub fn os_write(py: Python<'_>, fd: RawFd, data: &Bound<'_, PyAny>) -> PyResult<usize> {
    let data = Data::new(data)?;
    let mut done = 0;
    loop {
        let green = wait_until_ready(py, fd, Direction::Write)?;
        // Looked at after each wait: another green thread may have changed them, or the memory.
        let rest = data.bytes().get(done..).unwrap_or_default();
        let blocking = is_blocking(fd);
        let piece = if green && blocking {
            Piece::of(fd, rest.len())
        } else {
            Piece::Whole
        };
        match piece.write(py, fd, rest) {
            Ok(count) => {
                done += count;
                if !blocking || count == 0 || done >= data.bytes().len() {
                    return Ok(done);
                }
            }
            Err(errno) => {
                let waits = matches!(piece, Piece::Socket) || io::owner(py, fd) != 0;
                after_failure(py, fd, Direction::Write, errno, waits)?;
            }
        }
    }
}

/// Waits until an operation on `fd` would not block. Returns false if there is no hub to wait on: then
/// blocking is what remains.
///
/// A descriptor that the program has made non-blocking is not waited for.
fn wait_until_ready(py: Python<'_>, fd: RawFd, direction: Direction) -> PyResult<bool> {
    let Some(hub) = hub_to_wait_on(py)? else {
        return Ok(false);
    };
    while !is_ready(fd, direction) {
        if !is_blocking(fd) && io::owner(py, fd) == 0 {
            // The system call says that it would block.
            break;
        }
        wait(&hub, fd, direction)?;
    }
    Ok(true)
}

#[cold]
#[inline(never)]
fn wait(hub: &Bound<'_, Hub>, fd: RawFd, direction: Direction) -> PyResult<()> {
    Hub::wait_level(hub, fd, direction, None).map(drop)
}

/// Deals with a system call that has failed; returns if it is to be made again.
///
/// `waits` tells whether one that would block is waited for.
#[cold]
fn after_failure(
    py: Python<'_>,
    fd: RawFd,
    direction: Direction,
    errno: i32,
    waits: bool,
) -> PyResult<()> {
    if errno == libc::EINTR {
        return py.check_signals();
    }
    // Somebody was quicker, or the descriptor is one whose readiness says little.
    if errno == libc::EAGAIN
        && waits
        && let Some(hub) = hub_to_wait_on(py)?
    {
        return wait(&hub, fd, direction);
    }
    Err(errors::os_error(py, errno))
}

/// Whether an operation would return at once: with data, with an error, or at the end.
///
/// So says `poll(2)`, for anything but a pipe, a terminal or a socket without fail.
fn is_ready(fd: RawFd, direction: Direction) -> bool {
    let events = match direction {
        Direction::Read => libc::POLLIN,
        Direction::Write => libc::POLLOUT,
    };
    let mut entry = libc::pollfd {
        fd,
        events,
        revents: 0,
    };
    // SAFETY: there is one entry; the call does not wait.
    let found = unsafe { libc::poll(&raw mut entry, 1, 0) };
    // An error is one of the call, not of the descriptor: let the operation find out.
    found != 0
}

fn is_blocking(fd: RawFd) -> bool {
    // SAFETY: F_GETFL only reads flags.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    flags == -1 || flags & libc::O_NONBLOCK == 0
}

/// `read(2)`, with the GIL released: a file may be on a slow disk.
fn read_at(py: Python<'_>, fd: RawFd, pointer: *mut u8, size: usize) -> Result<usize, i32> {
    let address = pointer as usize;
    py.detach(|| {
        // SAFETY: both callers own `size` bytes there, which nobody of this thread can touch meanwhile.
        let count = unsafe { libc::read(fd, address as *mut libc::c_void, size) };
        usize::try_from(count).map_err(|_| errno())
    })
}

/// How much of the data is written at once.
#[derive(Clone, Copy)]
enum Piece {
    /// Everything: the kernel takes it, or what of it it likes.
    Whole,
    /// At most so many bytes, which do not block once the descriptor is ready.
    Bytes(usize),
    /// What a socket takes now.
    Socket,
}

impl Piece {
    /// For a descriptor in blocking mode, which must not block.
    fn of(fd: RawFd, length: usize) -> Self {
        if length <= TERMINAL_PIECE {
            return Self::Whole;
        }
        match kind(fd) {
            Some(libc::S_IFIFO) => Self::Bytes(libc::PIPE_BUF),
            Some(libc::S_IFSOCK) => Self::Socket,
            // SAFETY: it only asks what the descriptor is.
            Some(libc::S_IFCHR) if unsafe { libc::isatty(fd) } == 1 => Self::Bytes(TERMINAL_PIECE),
            _ => Self::Whole,
        }
    }

    fn write(self, py: Python<'_>, fd: RawFd, data: &[u8]) -> Result<usize, i32> {
        let data = match self {
            Self::Bytes(most) => &data[..data.len().min(most)],
            Self::Socket | Self::Whole => data,
        };
        let count = py.detach(|| match self {
            Self::Socket => {
                let flags: c_int = libc::MSG_DONTWAIT;
                // SAFETY: the slice is readable.
                unsafe { libc::send(fd, data.as_ptr().cast(), data.len(), flags) }
            }
            // SAFETY: the slice is readable.
            _ => unsafe { libc::write(fd, data.as_ptr().cast(), data.len()) },
        });
        usize::try_from(count).map_err(|_| errno())
    }
}

/// What kind of file it is.
fn kind(fd: RawFd) -> Option<libc::mode_t> {
    let mut status = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: there is room for the result, which is there if 0 is returned.
    unsafe {
        if libc::fstat(fd, status.as_mut_ptr()) != 0 {
            return None;
        }
        Some(status.assume_init().st_mode & libc::S_IFMT)
    }
}

/// What a terminal takes that says it is ready: it has room for a block of 256 bytes then, and a line's end
/// may become two. A pipe that is ready takes more.
const TERMINAL_PIECE: usize = 128;
