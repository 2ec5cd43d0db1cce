//! Green threads: `spawn`, what comes of them, and how they are killed.
//!
//! A green thread is a greenlet whose function is a [`Body`]. The body is the trampoline at the bottom of
//! the green thread's stack: it calls the user's function, keeps what came of it, wakes whoever waits for
//! that and calls the links. Nothing that the function raises passes it, but for the two exceptions that end
//! programs.
//!
//! `GreenThread`, a subclass of `greenlet.greenlet`, is defined in Python. Its methods are native all the
//! same: it also inherits from [`GreenThreadBase`], a class without any data, whose methods find the body
//! through a slot of the instance.

use std::collections::VecDeque;
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, Ordering};

use eventlet_greenlet::{self as greenlet, Greenlet};
use eventlet_reactor::TimerKey;
use pyo3::exceptions::{PyBaseException, PyKeyboardInterrupt, PySystemExit, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTraceback, PyTuple, PyType};
use pyo3::{Borrowed, ffi, intern};

use crate::call::call_pointers;
use crate::cell::GilCell;
use crate::hub::entry::{self, Arguments, Step, WaitingCall, guarded};
use crate::hub::inbox::Message;
use crate::hub::scheduler::{Due, Task};
use crate::hub::{self, Hub, ParkId, Wake};
use crate::local;
use crate::sync::waiters::{Waiter, Waiters};
use crate::{clock, datastack};

/// A call to make.
struct Call {
    function: Py<PyAny>,
    args: Py<PyTuple>,
    kwargs: Option<Py<PyDict>>,
}

impl Call {
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.function)?;
        visit.call(&self.args)?;
        visit.call(&self.kwargs)
    }
}

/// What came of a green thread.
enum Outcome {
    Value(Py<PyAny>),
    /// The exception with the traceback that it ended with: each `raise` of it would make that longer.
    Failure(Py<PyBaseException>, Option<Py<PyTraceback>>),
}

impl Outcome {
    fn new(py: Python<'_>, result: PyResult<Py<PyAny>>) -> Self {
        match result {
            Ok(value) => Self::Value(value),
            Err(error) => {
                let traceback = error.traceback(py).map(Bound::unbind);
                Self::Failure(error.into_value(py), traceback)
            }
        }
    }

    fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Value(value) => Self::Value(value.clone_ref(py)),
            Self::Failure(error, traceback) => Self::Failure(
                error.clone_ref(py),
                traceback.as_ref().map(|traceback| traceback.clone_ref(py)),
            ),
        }
    }

    fn deliver(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Failure(error, traceback) => {
                let error = error.into_bound(py);
                error.setattr(intern!(py, "__traceback__"), traceback)?;
                Err(PyErr::from_value(error.into_any()))
            }
        }
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Value(value) => visit.call(value),
            Self::Failure(error, traceback) => {
                visit.call(error)?;
                visit.call(traceback)
            }
        }
    }
}

/// What a green thread runs, and what came of it.
#[pyclass(frozen, weakref, module = "eventlet._core")]
pub struct Body {
    /// Where CPython finds [`run`]; see [`set_up`](Body::set_up).
    vectorcall: Run,
    hub: Py<Hub>,
    state: GilCell<State>,
}

/// A `vectorcallfunc`, but for one thing: it may be unwound.
type Run = unsafe extern "C-unwind" fn(
    *mut ffi::PyObject,
    *const *mut ffi::PyObject,
    usize,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;

/// How a green thread begins.
enum Begin {
    /// With the call that its body was made for.
    Own,
    /// With one that it is told now.
    Other,
    /// Not at all.
    Nothing,
}

#[derive(Default)]
struct State {
    /// The call to make. It stays here while it lasts.
    call: Option<Call>,
    /// Whether that has begun.
    begun: bool,
    /// The green thread does not begin if this greenlet is dead by then.
    guard: Option<Greenlet>,
    /// Its start, if that is still to come.
    timer: Option<TimerKey>,
    outcome: Option<Outcome>,
    waiters: Waiters,
    links: VecDeque<Call>,
}

#[pymethods]
impl Body {
    /// A body without a call; it takes `(function, args, kwargs)` when it is started.
    #[new]
    fn py_new(py: Python<'_>) -> PyResult<Self> {
        let hub = hub::current(py)?;
        hub.get().counters.spawned.add();
        Ok(Self {
            vectorcall: run,
            hub: hub.unbind(),
            state: GilCell::new(State::default()),
        })
    }

    /// Makes the call that it was made for, or that `args` contain. This is for `GreenThread.main` and green
    /// threads that are started by hand; the hub's begin with [`run`].
    #[pyo3(signature = (*args))]
    fn __call__(slf: &Bound<'_, Self>, args: &Bound<'_, PyTuple>) -> PyResult<()> {
        match Self::begin(slf) {
            Ok(Begin::Own) => {
                // SAFETY: it has begun and is not over.
                let result = unsafe { make_call(slf.as_ptr()) };
                Self::end_own(slf, result)
            }
            Ok(Begin::Other) => Self::call(slf, args),
            Ok(Begin::Nothing) => Ok(()),
            Err(error) => Self::end(slf, Err(error)),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.hub)?;
        self.state
            .peek(|s| {
                if let Some(call) = &s.call {
                    call.traverse(&visit)?;
                }
                visit.call(s.guard.as_ref().map(Greenlet::object))?;
                if let Some(outcome) = &s.outcome {
                    outcome.traverse(&visit)?;
                }
                for link in &s.links {
                    link.traverse(&visit)?;
                }
                s.waiters.traverse(&visit)
            })
            .unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        drop(self.state.take(py));
    }
}

impl Body {
    /// What the green thread that has just begun is to do.
    ///
    /// # Errors
    ///
    /// `GreenletExit` if it is not to do anything any more.
    fn begin(slf: &Bound<'_, Self>) -> PyResult<Begin> {
        let py = slf.py();
        datastack::begin(py);
        let (begin, guard) = slf.get().state.with(py, |s| {
            s.timer = None;
            let begin = if s.outcome.is_some() {
                // Killed, and a link that was called for that gave way before the greenlet was ended too.
                Begin::Nothing
            } else if s.call.is_some() && !std::mem::replace(&mut s.begun, true) {
                Begin::Own
            } else {
                Begin::Other
            };
            (begin, s.guard.take())
        });
        if matches!(begin, Begin::Nothing) || !guard.is_some_and(|greenlet| greenlet.is_dead()) {
            Ok(begin)
        } else {
            Err(PyErr::from_type(greenlet::greenlet_exit(py), ()))
        }
    }

    /// Makes the call that `args` contain.
    fn call(slf: &Bound<'_, Self>, args: &Bound<'_, PyTuple>) -> PyResult<()> {
        let result = args.extract().and_then(|call| {
            let (function, args, kwargs): (Bound<'_, PyAny>, Bound<'_, PyTuple>, _) = call;
            Ok(function.call(args, Some(&kwargs))?.unbind())
        });
        Self::end(slf, result)
    }

    /// Deals with what came of its own call: a reference, which it takes over, or NULL with an exception set.
    fn end_own(slf: &Bound<'_, Self>, result: *mut ffi::PyObject) -> PyResult<()> {
        let py = slf.py();
        // SAFETY: the pointer is a new reference or NULL with an exception set, and is not used again.
        let result = unsafe { Bound::from_owned_ptr_or_err(py, result) };
        // The call's references end with it, so nothing but the outcome outlives it.
        drop(slf.get().state.with(py, |s| s.call.take()));
        Self::end(slf, result.map(Bound::unbind))
    }

    /// Keeps the outcome and reports what nobody has caught.
    ///
    /// # Errors
    ///
    /// The exceptions that end programs, on their way to the main greenlet.
    fn end(slf: &Bound<'_, Self>, result: PyResult<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let fatal = match &result {
            Ok(_) => None,
            Err(error) => uncaught(slf.get().hub.bind(py), error),
        };
        let green_thread = Greenlet::current(py)?;
        let in_link = Self::finish(slf, green_thread.bind(py), result);
        local::end(py, &green_thread)?;
        fatal.or(in_link).map_or(Ok(()), Err)
    }

    fn new(hub: &Bound<'_, Hub>, call: Call, guard: Option<Greenlet>) -> PyResult<Py<Self>> {
        hub.get().counters.spawned.add();
        let state = State {
            call: Some(call),
            guard,
            ..State::default()
        };
        let body = Self {
            vectorcall: run,
            hub: hub.clone().unbind(),
            state: GilCell::new(state),
        };
        let body = Py::new(hub.py(), body)?;
        Self::set_up(&body);
        Ok(body)
    }

    /// Tells CPython, once, where in a body it finds the function to call.
    #[inline]
    fn set_up(body: &Py<Self>) {
        static DONE: AtomicBool = AtomicBool::new(false);
        if !DONE.swap(true, Ordering::Relaxed) {
            let field = &raw const body.get().vectorcall;
            let offset = field as isize - body.as_ptr() as isize;
            // SAFETY: the GIL is held, the class is ours and has no subclasses. All its instances have the
            // field, which is never NULL or changed, at this offset.
            unsafe {
                let class = ffi::Py_TYPE(body.as_ptr());
                (*class).tp_vectorcall_offset = offset;
                (*class).tp_flags |= ffi::Py_TPFLAGS_HAVE_VECTORCALL;
            }
        }
    }

    /// Keeps the outcome, wakes the waiters and calls the links.
    ///
    /// Returns the exception of a link that ends the program.
    fn finish(
        slf: &Bound<'_, Self>,
        green_thread: &Bound<'_, PyAny>,
        result: PyResult<Py<PyAny>>,
    ) -> Option<PyErr> {
        let py = slf.py();
        let outcome = Outcome::new(py, result);
        let this = slf.get();
        let hub = this.hub.bind(py);
        hub.get().counters.finished.add();
        let (waiters, old) = this.state.with(py, |s| {
            let old = s.outcome.replace(outcome);
            (s.waiters.take(), old)
        });
        drop(old);
        for waiter in waiters {
            waiter.wake(py);
        }
        let mut fatal = None;
        while let Some(link) = this.state.with(py, |s| s.links.pop_front()) {
            if let Err(error) = call_link(green_thread, &link) {
                fatal = uncaught(hub, &error).or(fatal);
            }
        }
        fatal
    }

    /// Ends a green thread that has not begun, as if it had raised `error` at once.
    ///
    /// Does nothing if it has ended already. Returns the exception of a link that ends the program.
    fn abandon(
        slf: &Bound<'_, Self>,
        green_thread: &Bound<'_, PyAny>,
        error: PyErr,
    ) -> Option<PyErr> {
        let py = slf.py();
        let this = slf.get();
        let (ended, call, timer) = this
            .state
            .with(py, |s| (s.outcome.is_some(), s.call.take(), s.timer.take()));
        let due = timer.and_then(|key| this.hub.get().scheduler.with(py, |s| s.timers.cancel(key)));
        drop((call, due));
        if ended {
            return None;
        }
        Self::finish(slf, green_thread, Err(error))
    }
}

/// What greenlet calls in a new green thread: its frame is at the bottom of the stack that is copied whenever
/// the green thread parks, so there is next to nothing in it.
///
/// Nothing here panics but what is called, and that comes no farther than there. The function can be unwound
/// all the same, or that would not end where [`call_pointers`] ends it.
unsafe extern "C-unwind" fn run(
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
unsafe fn make_call(body: *mut ffi::PyObject) -> *mut ffi::PyObject {
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

fn call_link(green_thread: &Bound<'_, PyAny>, link: &Call) -> PyResult<()> {
    let py = green_thread.py();
    let mut args = vec![green_thread.clone()];
    args.extend(link.args.bind(py).iter());
    let kwargs = link.kwargs.as_ref().map(|kwargs| kwargs.bind(py));
    link.function
        .bind(py)
        .call(PyTuple::new(py, args)?, kwargs)
        .map(drop)
}

/// What becomes of an exception that a green thread or a link has not caught.
///
/// The two that end programs are returned, for the main greenlet. `GreenletExit` is nobody's business, and
/// the rest is reported.
fn uncaught(hub: &Bound<'_, Hub>, error: &PyErr) -> Option<PyErr> {
    let py = hub.py();
    if error.is_instance_of::<PyKeyboardInterrupt>(py) || error.is_instance_of::<PySystemExit>(py) {
        return Some(error.clone_ref(py));
    }
    if !error.is_instance(py, &greenlet::greenlet_exit(py)) {
        report(hub, error);
    }
    None
}

/// Shows an exception that ends a green thread, the way the hub is set to.
fn report(hub: &Bound<'_, Hub>, error: &PyErr) {
    let py = hub.py();
    let value = error.value(py).clone();
    let traceback = error.traceback(py).map(Bound::into_any);
    let info = (value.get_type().into_any(), value.into_any(), traceback);
    Hub::report(hub, "squelch_generic_exception", None, info);
}

/// The native methods of `GreenThread`.
#[pyclass(frozen, subclass, module = "eventlet._core")]
pub struct GreenThreadBase;

#[pymethods]
impl GreenThreadBase {
    /// Raises an exception in the green thread (GreenletExit unless given) and lets it handle that.
    #[pyo3(signature = (*throw_args))]
    fn kill(slf: &Bound<'_, Self>, throw_args: &Bound<'_, PyTuple>) -> PyResult<()> {
        kill(slf.as_any(), throw_args)
    }

    /// Kills the green thread if it has not begun to run; does nothing otherwise.
    #[pyo3(signature = (*throw_args))]
    fn cancel(slf: &Bound<'_, Self>, throw_args: &Bound<'_, PyTuple>) -> PyResult<()> {
        cancel(slf.as_any(), throw_args)
    }

    /// Calls `func(green_thread, *args, **kw)` when the green thread ends; at once if it has ended.
    #[pyo3(signature = (func, *args, **kw))]
    fn link(
        slf: &Bound<'_, Self>,
        func: Py<PyAny>,
        args: Py<PyTuple>,
        kw: Option<Py<PyDict>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let body = body_of(slf.as_any())?;
        let link = Call {
            function: func,
            args,
            kwargs: kw,
        };
        let ended = body.get().state.with(py, |s| {
            if s.outcome.is_some() {
                return Some(link);
            }
            s.links.push_back(link);
            None
        });
        ended.map_or(Ok(()), |link| call_link(slf.as_any(), &link))
    }

    /// Takes a link back. Returns whether it was there.
    #[pyo3(signature = (func, *args, **kw))]
    fn unlink(
        slf: &Bound<'_, Self>,
        func: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kw: Option<Bound<'_, PyDict>>,
    ) -> PyResult<bool> {
        let py = slf.py();
        let body = body_of(slf.as_any())?;
        // Comparing calls Python, so it works on a copy; the links may change meanwhile.
        let links = body.get().state.with(py, |s| {
            s.links
                .iter()
                .map(|link| {
                    let kwargs = link.kwargs.as_ref().map(|kwargs| kwargs.clone_ref(py));
                    (link.function.clone_ref(py), link.args.clone_ref(py), kwargs)
                })
                .collect::<Vec<_>>()
        });
        for (function, linked, kwargs) in links {
            let kwargs = kwargs.map_or_else(|| PyDict::new(py), |kwargs| kwargs.into_bound(py));
            let kw = kw.clone().unwrap_or_else(|| PyDict::new(py));
            if function.bind(py).eq(func)? && linked.bind(py).eq(args)? && kwargs.eq(kw)? {
                let removed = body.get().state.with(py, |s| {
                    let at = s
                        .links
                        .iter()
                        .position(|link| link.function.is(&function) && link.args.is(&linked))?;
                    s.links.remove(at)
                });
                return Ok(removed.is_some());
            }
        }
        Ok(false)
    }
}

/// `GreenThread.wait()`.
struct Join {
    body: Py<Body>,
    hub: Py<Hub>,
    id: ParkId,
}

impl Join {
    /// Joins those who wait for the outcome, unless there is one.
    fn enter(body: Bound<'_, Body>, hub: Bound<'_, Hub>) -> PyResult<Step<Self>> {
        let py = body.py();
        let outcome = body.get().state.with(py, |s| {
            s.outcome.as_ref().map(|outcome| outcome.clone_ref(py))
        });
        if let Some(outcome) = outcome {
            return outcome.deliver(py).map(Step::Done);
        }
        let greenlet = Hub::waiting_greenlet(&hub)?;
        let id = hub.get().park(py, &greenlet, None).id;
        let waiter = Waiter {
            hub: hub.clone().unbind(),
            id,
        };
        body.get().state.with(py, |s| s.waiters.push(waiter));
        let wait = Self {
            body: body.unbind(),
            hub: hub.unbind(),
            id,
        };
        Ok(Step::Wait(wait, greenlet))
    }
}

impl WaitingCall for Join {
    const NAME: &CStr = c"wait";

    const DOC: &CStr = c"wait($self)
--

Waits until the green thread has ended; returns its result or raises its exception.";

    fn begin(py: Python<'_>, arguments: &Arguments<'_>) -> PyResult<Step<Self>> {
        let [] = arguments.optional([])?;
        // SAFETY: any object will do.
        let body = body_of(&unsafe { arguments.receiver::<PyAny>() })?;
        Self::enter(body, hub::current(py)?)
    }

    fn hub(&self) -> &Py<Hub> {
        &self.hub
    }

    fn resume(self, py: Python<'_>, switched: PyResult<Bound<'_, PyAny>>) -> PyResult<Step<Self>> {
        let hub = self.hub.into_bound(py);
        let body = self.body.into_bound(py);
        let wake = hub.get().unpark(py, self.id);
        if wake != Wake::Ready || switched.is_err() {
            let left = body
                .get()
                .state
                .with(py, |s| s.waiters.remove(&hub, self.id));
            drop(left);
        }
        switched?;
        Self::enter(body, hub)
    }
}

/// The body of a green thread, whichever kind it is.
fn find_body<'py>(green_thread: &Bound<'py, PyAny>) -> Option<Bound<'py, Body>> {
    let py = green_thread.py();
    for name in [intern!(py, "_body"), intern!(py, "run")] {
        if let Ok(Some(object)) = green_thread.getattr_opt(name)
            && let Ok(body) = object.cast_into::<Body>()
        {
            return Some(body);
        }
    }
    None
}

fn body_of<'py>(green_thread: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Body>> {
    let body = green_thread.getattr(intern!(green_thread.py(), "_body"))?;
    Ok(body.cast_into::<Body>()?)
}

/// The error that `throw(*args)` raises: nothing, an instance, a class, or class, value and traceback.
pub fn exception_from(args: &Bound<'_, PyTuple>) -> PyErr {
    match try_exception_from(args) {
        Ok(error) | Err(error) => error,
    }
}

fn try_exception_from(args: &Bound<'_, PyTuple>) -> PyResult<PyErr> {
    let py = args.py();
    let Ok(first) = args.get_item(0) else {
        return Ok(PyErr::from_type(greenlet::greenlet_exit(py), ()));
    };
    let value = args.get_item(1).ok().filter(|value| !value.is_none());
    let traceback = args
        .get_item(2)
        .ok()
        .filter(|traceback| !traceback.is_none());
    let error = match first.cast_into::<PyType>() {
        Ok(class) => match value {
            None => PyErr::from_value(class.call0()?),
            Some(value) if value.is_instance(&class)? => PyErr::from_value(value),
            Some(value) => match value.cast_into::<PyTuple>() {
                Ok(args) => PyErr::from_value(class.call1(args)?),
                Err(error) => PyErr::from_value(class.call1((error.into_inner(),))?),
            },
        },
        Err(error) => PyErr::from_value(error.into_inner()),
    };
    if let Some(traceback) = traceback {
        error
            .value(py)
            .setattr(intern!(py, "__traceback__"), traceback)?;
    }
    Ok(error)
}

/// A greenlet of the class that `spawn` returns, not yet started.
fn new_green_thread(
    hub: &Bound<'_, Hub>,
    call: Call,
    guard: Option<Greenlet>,
) -> PyResult<(Greenlet, Py<Body>)> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = hub.py();
    let class = CLASS.import(py, "eventlet.greenthread", "GreenThread")?;
    let body = Body::new(hub, call, guard)?;
    let greenlet = Greenlet::of_type(class, body.bind(py), &Hub::ensure_greenlet(hub)?)?;
    greenlet.bind(py).setattr(intern!(py, "_body"), &body)?;
    inherit_context(&greenlet, py)?;
    if SPAWN_STACKS.load(Ordering::Relaxed) {
        note_spawn(&greenlet, py)?;
    }
    Ok((greenlet, body))
}

/// Has the green thread remember who spawned it.
#[cold]
#[inline(never)]
fn note_spawn(greenlet: &Greenlet, py: Python<'_>) -> PyResult<()> {
    static NOTE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    NOTE.import(py, "eventlet.greenthread", "_note_spawn")?
        .call1((greenlet.bind(py),))
        .map(drop)
}

/// Sets whether green threads that are spawned from now on remember the stack of the spawner.
#[pyfunction]
pub fn set_spawn_stacks(on: bool) {
    SPAWN_STACKS.store(on, Ordering::Relaxed);
}

static SPAWN_STACKS: AtomicBool = AtomicBool::new(false);

/// Hands down a copy of the spawner's context variables.
fn inherit_context(greenlet: &Greenlet, py: Python<'_>) -> PyResult<()> {
    // SAFETY: the GIL is held; a new reference or NULL with an exception comes back.
    let context = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent())? };
    greenlet
        .bind(py)
        .setattr(intern!(py, "gr_context"), context)
}

/// Runs `func(*args, **kwargs)` in a green thread of its own, beginning in the next turn of the hub.
///
/// Returns the `GreenThread`, whose `wait()` gives the result. The green thread gets a copy of the caller's
/// context variables.
#[pyfunction]
#[pyo3(signature = (func, *args, **kwargs))]
pub fn spawn(
    py: Python<'_>,
    func: Py<PyAny>,
    args: Py<PyTuple>,
    kwargs: Option<Py<PyDict>>,
) -> PyResult<Bound<'_, PyAny>> {
    let hub = hub::current(py)?;
    let (greenlet, _) = new_green_thread(
        &hub,
        Call {
            function: func,
            args,
            kwargs,
        },
        None,
    )?;
    let object = greenlet.bind(py).clone();
    hub.get()
        .scheduler
        .with(py, |s| s.push(Task::Start(greenlet)));
    hub.get().queued(py);
    Ok(object)
}

/// As `spawn`, for calls whose result nobody wants: a plain greenlet, a little cheaper.
#[pyfunction]
#[pyo3(signature = (func, *args, **kwargs))]
pub fn spawn_n(
    py: Python<'_>,
    func: Py<PyAny>,
    args: Py<PyTuple>,
    kwargs: Option<Py<PyDict>>,
) -> PyResult<Bound<'_, PyAny>> {
    let hub = hub::current(py)?;
    let body = Body::new(
        &hub,
        Call {
            function: func,
            args,
            kwargs,
        },
        None,
    )?;
    let parent = Hub::ensure_greenlet(&hub)?;
    let greenlet = Greenlet::new(py, body.bind(py).as_any(), &parent)?;
    inherit_context(&greenlet, py)?;
    let object = greenlet.bind(py).clone();
    hub.get()
        .scheduler
        .with(py, |s| s.push(Task::Start(greenlet)));
    hub.get().queued(py);
    Ok(object)
}

/// As `spawn`, beginning after `seconds`. `cancel()` prevents it until then.
#[pyfunction]
#[pyo3(signature = (seconds, func, *args, **kwargs))]
pub fn spawn_after(
    py: Python<'_>,
    seconds: f64,
    func: Py<PyAny>,
    args: Py<PyTuple>,
    kwargs: Option<Py<PyDict>>,
) -> PyResult<Bound<'_, PyAny>> {
    start_later(
        py,
        seconds,
        Call {
            function: func,
            args,
            kwargs,
        },
        None,
    )
}

/// As `spawn_after`, but the call is not made if the calling green thread has ended by then.
#[pyfunction]
#[pyo3(signature = (seconds, func, *args, **kwargs))]
pub fn spawn_after_local(
    py: Python<'_>,
    seconds: f64,
    func: Py<PyAny>,
    args: Py<PyTuple>,
    kwargs: Option<Py<PyDict>>,
) -> PyResult<Bound<'_, PyAny>> {
    let guard = Some(Greenlet::current(py)?);
    start_later(
        py,
        seconds,
        Call {
            function: func,
            args,
            kwargs,
        },
        guard,
    )
}

fn start_later(
    py: Python<'_>,
    seconds: f64,
    call: Call,
    guard: Option<Greenlet>,
) -> PyResult<Bound<'_, PyAny>> {
    let hub = hub::current(py)?;
    let (greenlet, body) = new_green_thread(&hub, call, guard)?;
    let object = greenlet.bind(py).clone();
    if seconds > 0.0 {
        let deadline = clock::after(clock::now(), seconds);
        let key = hub
            .get()
            .scheduler
            .with(py, |s| s.timers.insert(deadline, Due::Start(greenlet)));
        body.get().state.with(py, |s| s.timer = Some(key));
    } else {
        hub.get()
            .scheduler
            .with(py, |s| s.push(Task::Start(greenlet)));
    }
    hub.get().queued(py);
    Ok(object)
}

/// Raises an exception in a green thread and lets it handle that before the caller goes on.
///
/// `throw_args` are those of `greenlet.throw`; without them it is GreenletExit, which ends the green thread
/// quietly. One that has not begun never will, and its `wait()` raises the exception. One that has ended is
/// left alone.
#[pyfunction]
#[pyo3(signature = (g, *throw_args))]
pub fn kill(g: &Bound<'_, PyAny>, throw_args: &Bound<'_, PyTuple>) -> PyResult<()> {
    let py = g.py();
    let target = Greenlet::from_object(g.clone())?;
    if target.is_dead() {
        return Ok(());
    }
    let error = exception_from(throw_args);
    let body = find_body(g);
    let hub = hub::current(py)?;
    if let Some(body) = &body
        && !body.get().hub.get().is_mine()
    {
        let value = error.into_value(py).into_any();
        body.get()
            .hub
            .get()
            .inbox
            .send(Message::Throw(target, value));
        return Ok(());
    }
    let current = Greenlet::current(py)?;
    if target.is(&current) {
        return Err(error);
    }
    if hub.get().is_hub_greenlet(py, &current) {
        return throw_from_hub(&hub, &target, error);
    }
    let (exception, fatal) = if target.is_started() {
        (error, None)
    } else {
        // The links run here, where they may wait.
        let fatal = body.and_then(|body| Body::abandon(&body, g, error));
        (PyErr::from_type(greenlet::greenlet_exit(py), ()), fatal)
    };
    let exception = exception.into_value(py).into_any();
    // The target runs next, and the caller right after it has parked or ended: both go to the front of the
    // round. The throw itself is the hub's, since a green thread that has not begun starts by it.
    let parking = hub.get().park(py, &current, None);
    hub.get().scheduler.with(py, |s| {
        s.parks.mark(parking.id, Wake::Ready);
        s.push_front(Task::Wake(parking.id));
        s.push_front(Task::Throw(target, exception));
    });
    Hub::wait(&hub, &current, parking)?;
    fatal.map_or(Ok(()), Err)
}

/// Raises `error` in a green thread, from the hub's own greenlet.
///
/// One that has not begun dies quietly; what it died of is kept for those who wait for it.
pub fn throw_from_hub(hub: &Bound<'_, Hub>, target: &Greenlet, error: PyErr) -> PyResult<()> {
    let py = hub.py();
    if target.is_dead() {
        return Ok(());
    }
    if target.is_started() {
        return target.throw(py, error).map(drop);
    }
    let green_thread = target.bind(py);
    let fatal = match find_body(green_thread) {
        Some(body) => Body::abandon(&body, green_thread, error),
        None => None,
    };
    // It comes back here when it dies, whoever its parent was going to be.
    target.set_parent(py, &Hub::ensure_greenlet(hub)?)?;
    target.throw(py, PyErr::from_type(greenlet::greenlet_exit(py), ()))?;
    fatal.map_or(Ok(()), Err)
}

/// Kills a green thread if it has not begun to run; does nothing otherwise.
#[pyfunction]
#[pyo3(signature = (g, *throw_args))]
pub fn cancel(g: &Bound<'_, PyAny>, throw_args: &Bound<'_, PyTuple>) -> PyResult<()> {
    let target = Greenlet::from_object(g.clone())?;
    if target.is_started() {
        Ok(())
    } else {
        kill(g, throw_args)
    }
}

/// Adds the classes and functions to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Body>()?;
    module.add_class::<GreenThreadBase>()?;
    entry::add_method::<Join>(&module.py().get_type::<GreenThreadBase>())?;
    module.add_function(wrap_pyfunction!(set_spawn_stacks, module)?)?;
    module.add_function(wrap_pyfunction!(spawn, module)?)?;
    module.add_function(wrap_pyfunction!(spawn_n, module)?)?;
    module.add_function(wrap_pyfunction!(spawn_after, module)?)?;
    module.add_function(wrap_pyfunction!(spawn_after_local, module)?)?;
    module.add_function(wrap_pyfunction!(kill, module)?)?;
    module.add_function(wrap_pyfunction!(cancel, module)?)
}
