//! What a green thread runs: a call, who waits for what comes of it, and the links to be called then.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use eventlet_greenlet::{self as greenlet, Greenlet};
use eventlet_reactor::TimerKey;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{ffi, intern};

use super::outcome::{Outcome, uncaught};
use super::trampoline::{Run, make_call, run};
use crate::cell::GilCell;
use crate::hub::{self, Hub};
use crate::sync::waiters::Waiters;
use crate::{datastack, local};

/// A call to make.
pub(super) struct Call {
    pub(super) function: Py<PyAny>,
    pub(super) args: Py<PyTuple>,
    pub(super) kwargs: Option<Py<PyDict>>,
}

impl Call {
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.function)?;
        visit.call(&self.args)?;
        visit.call(&self.kwargs)
    }
}

/// What a green thread runs, and what came of it.
#[pyclass(frozen, weakref, module = "eventlet._core")]
pub struct Body {
    /// Where CPython finds [`run`]; see [`set_up`](Body::set_up).
    vectorcall: Run,
    pub(super) hub: Py<Hub>,
    pub(super) state: GilCell<State>,
}

/// How a green thread begins.
pub(super) enum Begin {
    /// With the call that its body was made for.
    Own,
    /// With one that it is told now.
    Other,
    /// Not at all.
    Nothing,
}

#[derive(Default)]
pub(super) struct State {
    /// The call to make. It stays here while it lasts.
    pub(super) call: Option<Call>,
    /// Whether that has begun.
    begun: bool,
    /// The green thread does not begin if this greenlet is dead by then.
    guard: Option<Greenlet>,
    /// Its start, if that is still to come.
    pub(super) timer: Option<TimerKey>,
    pub(super) outcome: Option<Outcome>,
    pub(super) waiters: Waiters,
    pub(super) links: VecDeque<Call>,
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
    pub(super) fn __call__(slf: &Bound<'_, Self>, args: &Bound<'_, PyTuple>) -> PyResult<()> {
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
    pub(super) fn begin(slf: &Bound<'_, Self>) -> PyResult<Begin> {
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
    pub(super) fn call(slf: &Bound<'_, Self>, args: &Bound<'_, PyTuple>) -> PyResult<()> {
        let result = args.extract().and_then(|call| {
            let (function, args, kwargs): (Bound<'_, PyAny>, Bound<'_, PyTuple>, _) = call;
            Ok(function.call(args, Some(&kwargs))?.unbind())
        });
        Self::end(slf, result)
    }

    /// Deals with what came of its own call: a reference, which it takes over, or NULL with an exception set.
    pub(super) fn end_own(slf: &Bound<'_, Self>, result: *mut ffi::PyObject) -> PyResult<()> {
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
    pub(super) fn end(slf: &Bound<'_, Self>, result: PyResult<Py<PyAny>>) -> PyResult<()> {
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

    pub(super) fn new(
        hub: &Bound<'_, Hub>,
        call: Call,
        guard: Option<Greenlet>,
    ) -> PyResult<Py<Self>> {
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
    pub(super) fn abandon(
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

pub(super) fn call_link(green_thread: &Bound<'_, PyAny>, link: &Call) -> PyResult<()> {
    let py = green_thread.py();
    let mut args = vec![green_thread.clone()];
    args.extend(link.args.bind(py).iter());
    let kwargs = link.kwargs.as_ref().map(|kwargs| kwargs.bind(py));
    link.function
        .bind(py)
        .call(PyTuple::new(py, args)?, kwargs)
        .map(drop)
}

/// The body of a green thread, whichever kind it is.
pub(super) fn find_body<'py>(green_thread: &Bound<'py, PyAny>) -> Option<Bound<'py, Body>> {
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

pub(super) fn body_of<'py>(green_thread: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Body>> {
    let body = green_thread.getattr(intern!(green_thread.py(), "_body"))?;
    Ok(body.cast_into::<Body>()?)
}
