//! `recv`, in which the green threads of servers mostly wait: so it takes little of the stack.

use std::ffi::{CStr, c_int};

use pyo3::Borrowed;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::limit::{self, Limit, Next};
use super::{buffer, emptied, fd};
use crate::hub::entry::{Arguments, Step, WaitingCall};
use crate::hub::io::Direction;
use crate::hub::wait::{Begun, Readiness};
use crate::hub::{self, Hub};

/// `GreenSocket.recv(bufsize, flags=0)`.
pub struct Recv {
    socket: Py<PyAny>,
    wait: Readiness,
    limit: Limit,
    size: usize,
    flags: c_int,
}

impl Recv {
    /// Tries to receive.
    pub fn start(socket: Bound<'_, PyAny>, bufsize: isize, flags: c_int) -> PyResult<Step<Self>> {
        let Ok(size) = usize::try_from(bufsize) else {
            return Err(PyValueError::new_err("negative buffersize in recv"));
        };
        let mut limit = Limit::new();
        if size == 0 {
            limit.wait_untried(&socket, fd::of(&socket)?, Direction::Read)?;
        }
        let is_empty = emptied::is_empty(socket.py(), fd::of(&socket)?, size, flags)
            && limit.look_up(&socket)?;
        Self::attempt(socket, limit, size, flags, is_empty)
    }

    /// Receives, or begins to wait: at once if the socket is empty as far as is known.
    fn attempt(
        socket: Bound<'_, PyAny>,
        mut limit: Limit,
        size: usize,
        flags: c_int,
        mut is_empty: bool,
    ) -> PyResult<Step<Self>> {
        let py = socket.py();
        loop {
            let fd = fd::of(&socket)?;
            let errno = if std::mem::take(&mut is_empty) {
                libc::EAGAIN
            } else {
                match buffer::receive(py, fd, size, flags) {
                    Ok(bytes) => {
                        let bytes = bytes?;
                        emptied::note(py, fd, bytes.as_bytes().len(), size, flags);
                        return Ok(Step::Done(bytes.into_any().unbind()));
                    }
                    Err(errno) => errno,
                }
            };
            match limit::after_failed_read(py, errno, flags)? {
                Next::Retry => {}
                Next::Ended => return Ok(Step::Done(PyBytes::new(py, b"").into_any().unbind())),
                Next::Wait => {
                    let deadline = limit.deadline(&socket, errno)?;
                    match Readiness::begin(hub::current(py)?, fd, Direction::Read, deadline)? {
                        Begun::Over(wake) => limit::timely(wake)?,
                        Begun::Waits(wait, greenlet) => {
                            let call = Self {
                                socket: socket.unbind(),
                                wait,
                                limit,
                                size,
                                flags,
                            };
                            return Ok(Step::Wait(call, greenlet));
                        }
                    }
                }
            }
        }
    }
}

impl WaitingCall for Recv {
    const NAME: &CStr = c"recv";

    const DOC: &CStr = c"recv($self, bufsize, flags=0)
--

Receives at most `bufsize` bytes; `b\"\"` when the peer has closed or reset the connection.";

    fn begin(_py: Python<'_>, arguments: &Arguments<'_>) -> PyResult<Step<Self>> {
        let [bufsize, flags] = arguments.optional(["bufsize", "flags"])?;
        let bufsize = arguments.required(bufsize, "bufsize")?.extract()?;
        let flags = flags.map_or(Ok(0), Borrowed::extract)?;
        // SAFETY: any object will do.
        let socket = unsafe { arguments.receiver::<PyAny>() };
        Self::start(socket, bufsize, flags)
    }

    fn hub(&self) -> &Py<Hub> {
        self.wait.hub()
    }

    fn resume(self, py: Python<'_>, switched: PyResult<Bound<'_, PyAny>>) -> PyResult<Step<Self>> {
        let socket = self.socket.into_bound(py);
        limit::timely(self.wait.end(py, switched)?)?;
        Self::attempt(socket, self.limit, self.size, self.flags, false)
    }
}
