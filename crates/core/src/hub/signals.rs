//! Signals that arrive while a hub sleeps.
//!
//! CPython runs the handlers of a program in the main thread, between two instructions; all that happens
//! when a signal arrives is that a flag is set. A hub looks at the flag before it sleeps, and a sleep that
//! the signal interrupts ends. That leaves two gaps: the signal may arrive after the look and before the
//! sleep, and the kernel may deliver it to another thread, whose sleep it does not interrupt. In both cases
//! the handler would run when something else happens to wake the hub.
//!
//! What closes them is CPython's wake-up descriptor, to which the number of each signal is written wherever
//! it is delivered. There is one for the process, and it belongs to the program: asyncio has its own, and so
//! have others. So ours takes its place only for the time of a sleep, when no Python code of the main thread
//! runs that could notice ([`Watch`]). What was written meanwhile is passed on to the program's.

use std::io::{ErrorKind, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicI32, Ordering};

use eventlet_reactor::{Interest, Poller, Trigger};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::cell::GilCell;
use crate::errors;

/// Marks the events of the wake-up descriptor; no descriptor has this number.
pub const TOKEN: u64 = u64::MAX - 1;

/// Ours takes the place of the program's wake-up descriptor until this ends.
///
/// It begins before the last look at the signals that have arrived.
pub struct Watch {
    program: RawFd,
}

impl Watch {
    /// Begins to watch, in the main thread, which has a hub that is [`register`]ed.
    pub fn begin(py: Python<'_>) -> PyResult<Self> {
        let ours = WRITER.load(Ordering::Relaxed);
        let mut program = set_wakeup_fd(py, ours)?;
        if program == ours {
            // A watch within a watch, in a handler that waits; or a handler has put ours back later.
            program = match PROGRAM.load(Ordering::Relaxed) {
                AWAKE => -1,
                program => program,
            };
        }
        PROGRAM.store(program, Ordering::Relaxed);
        Ok(Self { program })
    }

    /// Ends the watch; the answer can pass on what has arrived.
    pub fn end(self, py: Python<'_>) -> Watched {
        give_back(py, self.program);
        PROGRAM.store(AWAKE, Ordering::Relaxed);
        Watched(self.program)
    }
}

/// What is left of a watch: the wake-up descriptor of the program, or -1.
#[derive(Clone, Copy)]
pub struct Watched(RawFd);

impl Watched {
    /// Takes what has been written to our descriptor and writes it to the program's.
    #[cold]
    #[inline(never)]
    pub fn pass_on(self, py: Python<'_>) {
        let mut numbers = [0; 64];
        loop {
            let result = CHANNEL.with(py, |channel| match channel {
                Some((reader, _)) => reader.read(&mut numbers),
                None => Ok(0),
            });
            match result {
                Ok(0) => return,
                Ok(count) if self.0 >= 0 => {
                    // It does not block, which CPython demands; that it is full is as much a loss as if
                    // CPython had written. The main thread, which alone may set another, has not run since
                    // the sleep began.
                    // SAFETY: the buffer holds `count` bytes.
                    unsafe { libc::write(self.0, numbers.as_ptr().cast(), count) };
                }
                Err(error) if error.kind() != ErrorKind::Interrupted => return,
                Ok(_) | Err(_) => {}
            }
        }
    }
}

/// Lets `poller` report signals, with [`TOKEN`], if the calling thread is the one that handles them; returns
/// whether it is.
pub fn register(py: Python<'_>, poller: &mut Poller) -> PyResult<bool> {
    if !is_main_thread(py)? {
        return Ok(false);
    }
    let failed = |error| errors::io_error(py, &error);
    let present = CHANNEL.with(py, |channel| {
        channel.as_ref().map(|(reader, _)| reader.as_raw_fd())
    });
    let fd = match present {
        Some(fd) => fd,
        None => open(py).map_err(failed)?,
    };
    poller
        .add(fd, TOKEN, Interest::READABLE, Trigger::Level)
        .map_err(failed)?;
    Ok(true)
}

/// In a forked child: gives back what a sleeping main thread of the parent had taken, and forgets the
/// channel, which is the parent's too. The pollers that watch it are replaced anyway.
pub fn after_fork_in_child(py: Python<'_>) {
    let program = PROGRAM.swap(AWAKE, Ordering::Relaxed);
    if program != AWAKE {
        give_back(py, program);
    }
    WRITER.store(-1, Ordering::Relaxed);
    drop(CHANNEL.take(py));
}

/// Whether the calling thread runs the handlers of signals.
///
/// This is asked of the function that refuses all other threads, as what `threading` says may be about
/// green threads.
pub fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    match py
        .import("_signal")?
        .call_method1("signal", (libc::SIGINT, py.None()))
    {
        // It got as far as to look at the handler, which is none.
        Err(error) => Ok(error.is_instance_of::<PyTypeError>(py)),
        Ok(_) => Ok(true),
    }
}

fn open(py: Python<'_>) -> std::io::Result<RawFd> {
    let (reader, writer) = UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    writer.set_nonblocking(true)?;
    let fd = reader.as_raw_fd();
    WRITER.store(writer.as_raw_fd(), Ordering::Relaxed);
    drop(CHANNEL.replace(py, Some((reader, writer))));
    Ok(fd)
}

/// Sets the program's wake-up descriptor again.
fn give_back(py: Python<'_>, program: RawFd) {
    let given = set_wakeup_fd(py, program).and_then(|found| {
        // A handler that ran during the watch may have put another in its place.
        if found == WRITER.load(Ordering::Relaxed) {
            Ok(found)
        } else {
            set_wakeup_fd(py, found)
        }
    });
    // What the program has closed cannot be set, and then there is none.
    if given.is_err()
        && let Err(error) = set_wakeup_fd(py, -1)
    {
        errors::unraisable(py, error, None);
    }
}

/// Sets the descriptor that CPython writes the numbers of signals to, and returns the one before; -1 is none.
fn set_wakeup_fd(py: Python<'_>, fd: RawFd) -> PyResult<RawFd> {
    static FUNCTION: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    FUNCTION
        .import(py, "_signal", "set_wakeup_fd")?
        .call1((fd,))?
        .extract()
}

/// The end that a hub reads, and the end that CPython writes to; kept as long as the process.
///
/// They are sockets, because an eventfd does not take single bytes.
static CHANNEL: GilCell<Option<(UnixStream, UnixStream)>> = GilCell::new(None);

/// The end to write to, or -1.
static WRITER: AtomicI32 = AtomicI32::new(-1);

/// The wake-up descriptor of the program while ours is in its place, or [`AWAKE`].
static PROGRAM: AtomicI32 = AtomicI32::new(AWAKE);

const AWAKE: RawFd = RawFd::MIN;
