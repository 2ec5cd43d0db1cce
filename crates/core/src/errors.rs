//! Errors of the operating system as Python sees them: `OSError` subclasses that carry their errno.

use std::io;

use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::ffi;
use pyo3::prelude::*;

/// The `OSError` (of the subclass that fits) for an errno, with the platform's message.
#[cold]
pub fn os_error(py: Python<'_>, errno: i32) -> PyErr {
    // Python maps errno to the subclass (ECONNRESET is ConnectionResetError) in the constructor.
    let message = strerror(errno);
    match py.get_type::<PyOSError>().call1((errno, message)) {
        Ok(value) => PyErr::from_value(value),
        Err(error) => error,
    }
}

/// As [`os_error`], for an error from Rust.
#[cold]
pub fn io_error(py: Python<'_>, error: &io::Error) -> PyErr {
    match error.raw_os_error() {
        Some(errno) => os_error(py, errno),
        None => PyOSError::new_err(error.to_string()),
    }
}

/// What the C library calls this errno.
pub fn strerror(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    // Rust appends " (os error N)", which Python shows anyway.
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// For a green thread that has no hub to wait on.
#[cold]
pub fn mainloop_error() -> PyErr {
    PyRuntimeError::new_err("do not call blocking functions from the mainloop")
}

/// Prints an exception that nobody can receive, the way CPython does for destructors.
#[cold]
pub fn unraisable(py: Python<'_>, error: PyErr, context: Option<&Bound<'_, PyAny>>) {
    error.restore(py);
    // SAFETY: an exception is set and the argument is a live object or NULL.
    unsafe { ffi::PyErr_WriteUnraisable(context.map_or(std::ptr::null_mut(), Bound::as_ptr)) };
}
