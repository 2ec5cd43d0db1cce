//! Native functions that wait, with next to nothing on the stack.
//!
//! When a green thread parks, its part of the C stack is copied out, and in again when it goes on. With a
//! function that PyO3 wraps, half of that would be ours: buffers for arguments, frames that catch panics, room
//! for errors and for what inlined branches need. So the functions that green threads mostly wait in are
//! [`WaitingCall`]s. The interpreter calls [`enter`], and that is the only frame of ours which is there during the
//! switch. It holds the state of the wait; all the rest happens in functions that have returned by then:
//! [`begin`] before the switch, [`resume`] after it.
//!
//! No panic comes as far as `enter`, so it need not catch any.

use std::any::Any;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};

use eventlet_greenlet::{Greenlet, GreenletRef};
use pyo3::exceptions::PyTypeError;
use pyo3::panic::PanicException;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};
use pyo3::{Borrowed, ffi};

use super::Hub;

/// A call that waits, or rather its state while it does. It is moved about, and nobody may point into it.
pub trait WaitingCall: Sized {
    /// What Python calls the function.
    const NAME: &CStr;

    /// The docstring, beginning with the signature for `inspect`.
    const DOC: &CStr;

    /// Does what comes before the first wait.
    fn begin(py: Python<'_>, arguments: &Arguments<'_>) -> PyResult<Step<Self>>;

    /// The hub that the green thread waits on.
    fn hub(&self) -> &Py<Hub>;

    /// Goes on after a wait. `switched` is what the green thread was resumed with, or could not wait for.
    ///
    /// To end the wait in the books of the hub is up to the implementation.
    fn resume(self, py: Python<'_>, switched: PyResult<Bound<'_, PyAny>>) -> PyResult<Step<Self>>;
}

/// What a call does next.
pub enum Step<C> {
    /// It returns.
    Done(Py<PyAny>),
    /// It waits; this is the running greenlet.
    Wait(C, Greenlet),
}

/// What the interpreter passes to a function.
pub struct Arguments<'py> {
    py: Python<'py>,
    function: &'static CStr,
    receiver: *mut ffi::PyObject,
    positional: *const *mut ffi::PyObject,
    count: usize,
    /// The names of further ones, behind the positional; a tuple, or NULL if there are none.
    names: *mut ffi::PyObject,
}

impl<'py> Arguments<'py> {
    /// What a method was called on.
    ///
    /// # Safety
    ///
    /// The call belongs to a function that is a method of `T` and nothing else.
    #[inline]
    pub unsafe fn receiver<T>(&self) -> Bound<'py, T> {
        // SAFETY: the interpreter has checked the type before the call, and holds a reference during it.
        unsafe { Bound::from_borrowed_ptr(self.py, self.receiver).cast_into_unchecked() }
    }

    /// The arguments for parameters with these names, all of which may be left out.
    ///
    /// # Errors
    ///
    /// `TypeError` if there are others.
    #[inline]
    pub fn optional<const N: usize>(
        &self,
        names: [&str; N],
    ) -> PyResult<[Option<Borrowed<'_, 'py, PyAny>>; N]> {
        let mut found = [None; N];
        if self.count > N {
            return Err(self.too_many(N));
        }
        for (index, place) in found.iter_mut().enumerate().take(self.count) {
            *place = Some(self.at(index));
        }
        if !self.names.is_null() {
            self.named(&names, &mut found)?;
        }
        Ok(found)
    }

    /// An argument for a parameter that may not be left out, from [`optional`](Self::optional).
    ///
    /// # Errors
    ///
    /// `TypeError` if it was.
    #[inline]
    pub fn required<'a>(
        &self,
        argument: Option<Borrowed<'a, 'py, PyAny>>,
        name: &str,
    ) -> PyResult<Borrowed<'a, 'py, PyAny>> {
        argument.ok_or_else(|| self.missing(name))
    }

    #[inline]
    fn at(&self, index: usize) -> Borrowed<'_, 'py, PyAny> {
        // SAFETY: the caller stays below the number of arguments, and the interpreter holds references to all
        // of them during the call.
        unsafe { Borrowed::from_ptr(self.py, *self.positional.add(index)) }
    }

    #[cold]
    #[inline(never)]
    fn named<'a>(
        &'a self,
        names: &[&str],
        found: &mut [Option<Borrowed<'a, 'py, PyAny>>],
    ) -> PyResult<()> {
        let function = self.function.to_string_lossy();
        // SAFETY: it is a tuple, and alive during the call.
        let given = unsafe { Bound::from_borrowed_ptr(self.py, self.names) };
        for (offset, name) in given.try_iter()?.enumerate() {
            let name = name?.cast_into::<PyString>()?;
            let name = name.to_cow()?;
            let Some(index) = names.iter().position(|known| *known == name) else {
                return Err(PyTypeError::new_err(format!(
                    "{function}() got an unexpected keyword argument '{name}'"
                )));
            };
            if found[index].is_some() {
                return Err(PyTypeError::new_err(format!(
                    "{function}() got multiple values for argument '{name}'"
                )));
            }
            found[index] = Some(self.at(self.count + offset));
        }
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn missing(&self, name: &str) -> PyErr {
        let function = self.function.to_string_lossy();
        PyTypeError::new_err(format!("{function}() missing required argument '{name}'"))
    }

    #[cold]
    #[inline(never)]
    fn too_many(&self, most: usize) -> PyErr {
        let function = self.function.to_string_lossy();
        let count = self.count;
        let plural = if most == 1 { "" } else { "s" };
        PyTypeError::new_err(format!(
            "{function}() takes at most {most} argument{plural} ({count} given)"
        ))
    }
}

/// Makes a call for a native function, which waits on a stack of any depth.
pub fn finish<C: WaitingCall>(py: Python<'_>, mut step: Step<C>) -> PyResult<Py<PyAny>> {
    loop {
        step = match step {
            Step::Done(result) => return Ok(result),
            Step::Wait(call, greenlet) => {
                let switched = Hub::switch_out(call.hub().bind(py), &greenlet);
                call.resume(py, switched)?
            }
        }
    }
}

/// Adds a function to the module.
pub fn add_function<C: WaitingCall>(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let name = module.name()?;
    // SAFETY: the definition lives for ever, and fits the function.
    let function = unsafe {
        let function =
            ffi::PyCFunction_NewEx(definition::<C>(), std::ptr::null_mut(), name.as_ptr());
        Bound::from_owned_ptr_or_err(py, function)?
    };
    module.add(&*C::NAME.to_string_lossy(), function)
}

/// Adds a method to a class.
pub fn add_method<C: WaitingCall>(class: &Bound<'_, PyType>) -> PyResult<()> {
    let py = class.py();
    // SAFETY: the definition lives for ever, and fits the function.
    let method = unsafe {
        let method = ffi::PyDescr_NewMethod(class.as_type_ptr(), definition::<C>());
        Bound::from_owned_ptr_or_err(py, method)?
    };
    class.setattr(&*C::NAME.to_string_lossy(), method)
}

fn definition<C: WaitingCall>() -> *mut ffi::PyMethodDef {
    Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: C::NAME.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer {
            PyCFunctionFastWithKeywords: enter::<C>,
        },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: C::DOC.as_ptr(),
    }))
}

/// What the interpreter calls.
///
/// The place of the state is passed down, but only to functions that have returned when the stack is switched.
unsafe extern "C" fn enter<C: WaitingCall>(
    receiver: *mut ffi::PyObject,
    positional: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let mut place = MaybeUninit::<C>::uninit();
    // SAFETY: the interpreter makes the call as it is meant to be made, with the GIL held.
    let mut next = unsafe { begin::<C>(&mut place, receiver, positional, count, names) };
    while !next.greenlet.is_none() {
        // SAFETY: the hub keeps it alive until it has been resumed, and the GIL is held.
        let switched = unsafe { next.greenlet.switch() };
        // SAFETY: a greenlet to switch to comes with a state that waits; the result is a switch's.
        next = unsafe { resume::<C>(&mut place, switched) };
    }
    next.result
}

/// What [`enter`] does next: switch to a greenlet, or return.
#[repr(C)]
struct Next {
    greenlet: GreenletRef,
    result: *mut ffi::PyObject,
}

impl Next {
    /// To return with the exception that is set.
    const RAISE: Self = Self {
        greenlet: GreenletRef::NONE,
        result: std::ptr::null_mut(),
    };
}

#[inline(never)]
unsafe extern "C" fn begin<C: WaitingCall>(
    place: &mut MaybeUninit<C>,
    receiver: *mut ffi::PyObject,
    positional: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> Next {
    guarded(Next::RAISE, |py| {
        let arguments = Arguments {
            py,
            function: C::NAME,
            receiver,
            positional,
            count: count as usize,
            names,
        };
        proceed(py, place, C::begin(py, &arguments))
    })
}

#[inline(never)]
unsafe extern "C" fn resume<C: WaitingCall>(
    place: &mut MaybeUninit<C>,
    switched: *mut ffi::PyObject,
) -> Next {
    guarded(Next::RAISE, |py| {
        // SAFETY: the caller promises a state, which is taken out, and a new reference or NULL with an
        // exception set.
        let (call, switched) = unsafe {
            let call = place.assume_init_read();
            (call, Bound::from_owned_ptr_or_err(py, switched))
        };
        proceed(py, place, call.resume(py, switched))
    })
}

/// Finds out who runs while a call waits.
#[inline]
fn proceed<C: WaitingCall>(
    py: Python<'_>,
    place: &mut MaybeUninit<C>,
    mut step: PyResult<Step<C>>,
) -> Next {
    loop {
        let (call, switched) = match step {
            Ok(Step::Wait(call, greenlet)) => {
                let hub = call.hub().bind(py);
                let switched = if hub.get().hooks.switch {
                    Hub::switch_by_hook(hub)
                } else {
                    match Hub::next(hub, &greenlet) {
                        Ok(next) if next.is_none() => Ok(py.None().into_bound(py)),
                        Ok(next) => {
                            place.write(call);
                            drop(greenlet.into_object().into_bound(py));
                            return Next {
                                greenlet: next,
                                result: std::ptr::null_mut(),
                            };
                        }
                        Err(error) => Err(error),
                    }
                };
                (call, switched)
            }
            Ok(Step::Done(result)) => {
                return Next {
                    greenlet: GreenletRef::NONE,
                    result: result.into_ptr(),
                };
            }
            Err(error) => {
                error.restore(py);
                return Next::RAISE;
            }
        };
        step = call.resume(py, switched);
    }
}

/// Runs native code that CPython has called. A panic becomes a `PanicException`; `raise` is returned then.
///
/// References that are dropped meanwhile, other than through `Bound`, may outlive the call a little: PyO3 does
/// not count this as being attached, and where nothing else does keeps them until the module is next called.
#[inline]
pub fn guarded<R>(raise: R, code: impl FnOnce(Python<'_>) -> R) -> R {
    // SAFETY: CPython calls with the GIL held.
    let py = unsafe { Python::assume_attached() };
    match catch_unwind(AssertUnwindSafe(|| code(py))) {
        Ok(result) => result,
        Err(cause) => {
            panicked(&*cause).restore(py);
            raise
        }
    }
}

#[cold]
#[inline(never)]
fn panicked(cause: &(dyn Any + Send)) -> PyErr {
    let text = cause
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| cause.downcast_ref::<&str>().copied());
    PanicException::new_err(text.unwrap_or("panic from Rust code").to_owned())
}
