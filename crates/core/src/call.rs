//! Calls of Python functions from the bottom of a green thread's stack, or the hub's.
//!
//! Until Python 3.13, an OS thread that wants the GIL when the interpreter has ended is ended by
//! `pthread_exit`. That unwinds the stack of the green thread that happens to run, and ends the process when
//! it comes to a frame that catches panics; what lies below, moreover, is no stack that anybody has called
//! from. The process is about to exit anyway, so a thread that is unwound as far as a call made here sleeps
//! until it does, as it does from Python 3.14 on.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// Calls a function. Returns a new reference, or NULL with an exception set, as CPython does: anything else
/// would need room on the stack of every green thread that parks.
#[inline]
pub fn call_raw(
    _py: Python<'_>,
    function: &Py<PyAny>,
    args: &Py<PyTuple>,
    kwargs: Option<&Py<PyDict>>,
) -> *mut ffi::PyObject {
    let kwargs = kwargs.map_or(std::ptr::null_mut(), Py::as_ptr);
    // SAFETY: the GIL is held, and the caller's references are live for the time of the call; the arguments
    // are a tuple and the keywords a dict or NULL.
    unsafe { call_pointers(function.as_ptr(), args.as_ptr(), kwargs) }
}

/// As [`call_raw`], for references that are kept elsewhere.
///
/// # Safety
///
/// The GIL is held, and the references are live for the time of the call: a function, a tuple, and a dict or
/// NULL.
#[inline]
pub unsafe fn call_pointers(
    function: *mut ffi::PyObject,
    args: *mut ffi::PyObject,
    kwargs: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let end = ThreadEnd;
    // Seen through, the function would be one that cannot be unwound: so `ffi` declares it.
    let call = std::hint::black_box(ffi::PyObject_Call as Callee);
    // SAFETY: the two types differ only in that a function of the new one may be unwound.
    let call = unsafe { std::mem::transmute::<Callee, UnwindingCallee>(call) };
    // SAFETY: it is called as the caller promises.
    let result = unsafe { call(function, args, kwargs) };
    std::mem::forget(end);
    result
}

/// As [`call_raw`], with a result as Rust has it.
pub fn call<'py>(
    py: Python<'py>,
    function: &Py<PyAny>,
    args: &Py<PyTuple>,
    kwargs: Option<&Py<PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let result = call_raw(py, function, args, kwargs);
    // SAFETY: it is a new reference, or NULL with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, result) }
}

/// As [`call`], without arguments.
pub fn call0<'py>(function: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = function.py();
    call(
        py,
        function.as_unbound(),
        PyTuple::empty(py).as_unbound(),
        None,
    )
}

type Callee = unsafe extern "C" fn(
    *mut ffi::PyObject,
    *mut ffi::PyObject,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;

type UnwindingCallee = unsafe extern "C-unwind" fn(
    *mut ffi::PyObject,
    *mut ffi::PyObject,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;

/// Stops an OS thread whose stack is being unwound because the interpreter has ended.
struct ThreadEnd;

impl Drop for ThreadEnd {
    #[cold]
    fn drop(&mut self) {
        loop {
            std::thread::sleep(std::time::Duration::from_secs(3600));
        }
    }
}
