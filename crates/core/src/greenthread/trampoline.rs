//! The function that greenlet calls in a new green thread: the bottom of its stack.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{Borrowed, ffi};

use super::body::{Begin, Body};
use crate::call::call_pointers;
use crate::hub::entry::guarded;

/// A `vectorcallfunc`, but for one thing: it may be unwound.
pub(super) type Run = unsafe extern "C-unwind" fn(
    *mut ffi::PyObject,
    *const *mut ffi::PyObject,
    usize,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;

/// What greenlet calls in a new green thread: its frame is at the bottom of the stack that is copied whenever
/// the green thread parks, so there is next to nothing in it.
///
/// Nothing here panics but what is called, and that comes no farther than there. The function can be unwound
/// all the same, or that would not end where [`call_pointers`] ends it.
pub(super) unsafe extern "C-unwind" fn run(
    body: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this for bodies only, with the GIL held and the arguments of a vectorcall.
    let begun = unsafe { run_begin(body, args, count, names) };
    if !begun.own {
        return begun.result;
    }
    // SAFETY: as above; the call has begun, and its result is given on.
    unsafe { run_end(body, make_call(body)) }
}

/// What [`run`] does next: make the body's own call, or return.
#[repr(C)]
struct Begun {
    own: bool,
    result: *mut ffi::PyObject,
}

impl Begun {
    fn over(result: *mut ffi::PyObject) -> Self {
        Self { own: false, result }
    }
}

#[inline(never)]
unsafe extern "C" fn run_begin(
    body: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: usize,
    names: *mut ffi::PyObject,
) -> Begun {
    let raise = Begun::over(std::ptr::null_mut());
    guarded(raise, |py| {
        // SAFETY: the caller passes a body, which is alive during the call.
        let slf = unsafe { Bound::from_borrowed_ptr(py, body).cast_into_unchecked::<Body>() };
        // SAFETY: this takes the number out of `count`, where a flag may be, too.
        let count = unsafe { ffi::PyVectorcall_NARGS(count) };
        if count > 0 || !names.is_null() {
            // SAFETY: the arguments are those of the call.
            let result = unsafe { call_with(&slf, args, count, names) };
            return Begun::over(returned(py, result));
        }
        let result = match Body::begin(&slf) {
            Ok(Begin::Own) => {
                return Begun {
                    own: true,
                    result: std::ptr::null_mut(),
                };
            }
            Ok(Begin::Other) => Body::call(&slf, &PyTuple::empty(py)),
            Ok(Begin::Nothing) => Ok(()),
            Err(error) => Body::end(&slf, Err(error)),
        };
        Begun::over(returned(py, result))
    })
}

/// As `__call__`.
///
/// # Safety
///
/// The arguments are those of a vectorcall.
#[cold]
#[inline(never)]
unsafe fn call_with(
    body: &Bound<'_, Body>,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> PyResult<()> {
    let py = body.py();
    if !names.is_null() {
        return Err(PyTypeError::new_err("no keyword arguments are taken"));
    }
    // SAFETY: so many arguments were passed, which are alive during the call.
    let args =
        (0..count as usize).map(|index| unsafe { Bound::from_borrowed_ptr(py, *args.add(index)) });
    Body::__call__(body, &PyTuple::new(py, args.collect::<Vec<_>>())?)
}

#[inline(never)]
unsafe extern "C" fn run_end(
    body: *mut ffi::PyObject,
    result: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guarded(std::ptr::null_mut(), |py| {
        // SAFETY: the caller passes a body, which is alive during the call.
        let slf = unsafe { Bound::from_borrowed_ptr(py, body).cast_into_unchecked::<Body>() };
        returned(py, Body::end_own(&slf, result))
    })
}

/// What a native function returns to CPython.
fn returned(py: Python<'_>, result: PyResult<()>) -> *mut ffi::PyObject {
    match result {
        Ok(()) => py.None().into_ptr(),
        Err(error) => {
            error.restore(py);
            std::ptr::null_mut()
        }
    }
}

/// Makes the call of a body. Returns a new reference, or NULL with an exception set, as CPython does: anything
/// else would need room on the stack of every green thread that parks.
///
/// # Safety
///
/// `body` is one whose call has begun, in the running green thread: it is not taken out before it is over.
#[expect(
    clippy::inline_always,
    reason = "a frame of its own is what it is to save"
)]
#[inline(always)]
pub(super) unsafe fn make_call(body: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the caller passes a body, and the GIL is held, as only green threads make calls.
    let body =
        unsafe { Borrowed::from_ptr(Python::assume_attached(), body).cast_unchecked::<Body>() };
    let parts = body.get().state.peek(|s| {
        s.call.as_ref().map(|call| {
            let kwargs = call.kwargs.as_ref();
            let kwargs = kwargs.map_or(std::ptr::null_mut(), Py::as_ptr);
            (call.function.as_ptr(), call.args.as_ptr(), kwargs)
        })
    });
    let Some(Some((function, args, kwargs))) = parts else {
        return std::ptr::null_mut();
    };
    // SAFETY: the GIL is held; the references stay in the body until the call is over, the arguments are a tuple
    // and the keywords a dict or NULL.
    unsafe { call_pointers(function, args, kwargs) }
}
