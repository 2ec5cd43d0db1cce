//! Timers: calls that the hub makes later.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use eventlet_greenlet::Greenlet;
use eventlet_reactor::TimerKey;
use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::Hub;
use super::scheduler::{Due, Task};
use crate::call::call;
use crate::cell::GilCell;
use crate::clock;

/// Whether timers keep the stack of whoever makes them.
pub static STACKS: AtomicBool = AtomicBool::new(false);

/// A call that the hub makes after some time.
///
/// `Timer(seconds, cb, *args, **kw)` describes the call and schedules nothing; `schedule()` or
/// `hub.add_timer(timer)` does. `called` is true once it has run or was cancelled, `pending` the opposite.
#[pyclass(frozen, subclass, weakref, module = "eventlet.hubs.timer")]
pub struct Timer {
    seconds: f64,
    /// Tells which of two timers was made first.
    serial: u64,
    state: GilCell<State>,
}

struct State {
    action: Option<Action>,
    called: bool,
    key: Option<(TimerKey, Py<Hub>)>,
    scheduled: u64,
    /// The round of the hub in which it was scheduled.
    round: u64,
    /// A local timer does nothing once this greenlet is dead.
    guard: Option<Greenlet>,
    /// Where it was made, if that is wanted.
    stack: Option<String>,
}

enum Action {
    Call {
        function: Py<PyAny>,
        args: Py<PyTuple>,
        kwargs: Option<Py<PyDict>>,
    },
    Throw {
        greenlet: Greenlet,
        exception: Py<PyAny>,
    },
}

impl Action {
    fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Call {
                function,
                args,
                kwargs,
            } => Self::Call {
                function: function.clone_ref(py),
                args: args.clone_ref(py),
                kwargs: kwargs.as_ref().map(|kwargs| kwargs.clone_ref(py)),
            },
            Self::Throw {
                greenlet,
                exception,
            } => Self::Throw {
                greenlet: greenlet.clone_ref(py),
                exception: exception.clone_ref(py),
            },
        }
    }
}

#[pymethods]
impl Timer {
    #[new]
    #[pyo3(signature = (seconds, cb, *args, **kw))]
    fn py_new(
        py: Python<'_>,
        seconds: f64,
        cb: Py<PyAny>,
        args: Py<PyTuple>,
        kw: Option<Py<PyDict>>,
    ) -> PyResult<Self> {
        let timer = Self::call(seconds, cb, args, kw, None);
        timer.trace(py)?;
        Ok(timer)
    }

    /// The delay that was asked for, in seconds.
    #[getter]
    fn seconds(&self) -> f64 {
        self.seconds
    }

    /// The call: `(cb, args, kw)`, or `None` once it has been made.
    #[getter]
    fn tpl<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let action = self
            .state
            .with(py, |s| s.action.as_ref().map(|a| a.clone_ref(py)));
        Ok(match action {
            None => None,
            Some(Action::Call {
                function,
                args,
                kwargs,
            }) => {
                let kwargs = kwargs.map_or_else(|| PyDict::new(py), |kwargs| kwargs.into_bound(py));
                Some((function, args, kwargs).into_pyobject(py)?)
            }
            Some(Action::Throw {
                greenlet,
                exception,
            }) => {
                let throw = greenlet.bind(py).getattr("throw")?;
                Some((throw, (exception,), PyDict::new(py)).into_pyobject(py)?)
            }
        })
    }

    /// Whether it has run or was cancelled.
    #[getter]
    fn called(&self, py: Python<'_>) -> bool {
        self.state.with(py, |s| s.called)
    }

    /// Whether it is still to run.
    #[getter]
    fn pending(&self, py: Python<'_>) -> bool {
        self.state.with(py, |s| {
            !s.called && s.guard.as_ref().is_none_or(|g| !g.is_dead())
        })
    }

    /// When it is due, on the hub's clock, in seconds.
    #[getter]
    fn scheduled_time(&self, py: Python<'_>) -> f64 {
        clock::seconds(self.state.with(py, |s| s.scheduled))
    }

    /// The greenlet whose death silences a local timer.
    #[getter]
    fn greenlet(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state
            .with(py, |s| s.guard.as_ref().map(|g| g.object().clone_ref(py)))
    }

    /// A timer for the same call that has not been scheduled.
    fn copy(slf: &Bound<'_, Self>) -> PyResult<Py<Self>> {
        let py = slf.py();
        let this = slf.get();
        let Some(action) = this
            .state
            .with(py, |s| s.action.as_ref().map(|a| a.clone_ref(py)))
        else {
            return Err(PyValueError::new_err(
                "the timer has run; there is no call to copy",
            ));
        };
        Py::new(py, Self::new(this.seconds, action, None))
    }

    /// Adds it to the hub of this thread; returns the timer.
    fn schedule<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        let hub = super::current(slf.py())?;
        Hub::face(&hub)?.call_method1(intern!(slf.py(), "add_timer"), (slf,))?;
        Ok(slf.clone())
    }

    /// Prevents the call, if it has not been made yet.
    pub fn cancel(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let (called, action, key, scheduled, round) = slf.get().state.with(py, |s| {
            let called = std::mem::replace(&mut s.called, true);
            let action = s.action.take();
            (called, action, s.key.take(), s.scheduled, s.round)
        });
        drop(action);
        if let Some((key, hub)) = key {
            let removed = hub
                .get()
                .scheduler
                .with(py, |s| s.cancel(key, scheduled, round));
            drop(removed);
            return Ok(());
        }
        // It may be in the books of a hub that the program has written.
        match super::existing(py) {
            Some(hub) if !called && hub.get().guest.is_some() => Hub::face(&hub)?
                .call_method1(intern!(py, "timer_canceled"), (slf,))
                .map(drop),
            _ => Ok(()),
        }
    }

    #[pyo3(signature = (*_args))]
    fn __call__(slf: &Bound<'_, Self>, _args: &Bound<'_, PyTuple>) -> PyResult<()> {
        Self::fire(slf)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let call = match slf.get().tpl(py)? {
            Some(call) => call.repr()?.to_string(),
            None => "done".to_owned(),
        };
        let stack = slf.get().state.with(py, |s| s.stack.clone());
        let stack = stack.map_or_else(String::new, |stack| format!("\n{stack}"));
        Ok(format!(
            "{}({}, {call}){stack}",
            slf.get_type().name()?,
            slf.get().seconds
        ))
    }

    /// Timers have an order so that they can share a heap with other things; any will do.
    fn __lt__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> bool {
        match other.cast::<Self>() {
            Ok(other) => slf.get().serial < other.get().serial,
            Err(_) => slf.as_ptr() < other.as_ptr(),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.state
            .peek(|s| {
                match &s.action {
                    Some(Action::Call {
                        function,
                        args,
                        kwargs,
                    }) => {
                        visit.call(function)?;
                        visit.call(args)?;
                        visit.call(kwargs)?;
                    }
                    Some(Action::Throw {
                        greenlet,
                        exception,
                    }) => {
                        visit.call(greenlet.object())?;
                        visit.call(exception)?;
                    }
                    None => {}
                }
                if let Some((_, hub)) = &s.key {
                    visit.call(hub)?;
                }
                visit.call(s.guard.as_ref().map(Greenlet::object))
            })
            .unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        let _dropped_here = self
            .state
            .with(py, |s| (s.action.take(), s.key.take(), s.guard.take()));
    }
}

impl Timer {
    fn new(seconds: f64, action: Action, guard: Option<Greenlet>) -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        Self {
            seconds,
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            state: GilCell::new(State {
                action: Some(action),
                called: false,
                key: None,
                scheduled: 0,
                round: 0,
                guard,
                stack: None,
            }),
        }
    }

    /// A timer that calls a function.
    pub fn call(
        seconds: f64,
        function: Py<PyAny>,
        args: Py<PyTuple>,
        kwargs: Option<Py<PyDict>>,
        guard: Option<Greenlet>,
    ) -> Self {
        Self::new(
            seconds,
            Action::Call {
                function,
                args,
                kwargs,
            },
            guard,
        )
    }

    /// A timer that raises `exception`, an instance or a class, in `greenlet`.
    pub fn throw(seconds: f64, greenlet: Greenlet, exception: Py<PyAny>) -> Self {
        Self::new(
            seconds,
            Action::Throw {
                greenlet,
                exception,
            },
            None,
        )
    }

    /// Keeps the stack of whoever makes the timer, if that is wanted.
    pub fn trace(&self, py: Python<'_>) -> PyResult<()> {
        if STACKS.load(Ordering::Relaxed) {
            let lines = py.import("traceback")?.call_method0("format_stack")?;
            let stack: Vec<String> = lines.extract()?;
            self.state.with(py, |s| s.stack = Some(stack.concat()));
        }
        Ok(())
    }

    /// When it is due, in seconds.
    pub fn due(&self, py: Python<'_>) -> f64 {
        clock::seconds(self.state.with(py, |s| s.scheduled))
    }

    /// Puts it into `hub`'s queue.
    pub fn enqueue(slf: &Bound<'_, Self>, hub: &Bound<'_, Hub>) {
        let py = slf.py();
        let this = slf.get();
        let now = clock::now();
        let timer = slf.clone().unbind();
        let waits = this.state.with(py, |s| {
            s.key.as_ref().is_some_and(|(_, other)| other.is(hub))
        });
        if waits {
            return;
        }
        if this.seconds > 0.0 {
            let deadline = clock::after(now, this.seconds);
            let (key, round) = hub.get().scheduler.with(py, |s| {
                (s.timers.insert(deadline, Due::Fire(timer)), s.rounds)
            });
            let old = this.state.with(py, |s| {
                s.scheduled = deadline;
                s.round = round;
                s.key.replace((key, hub.clone().unbind()))
            });
            drop(old);
        } else {
            this.state.with(py, |s| s.scheduled = now);
            hub.get().scheduler.with(py, |s| s.push(Task::Fire(timer)));
        }
        hub.get().nudge(py);
    }

    /// Makes the call, once.
    pub fn fire(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let (action, key, guard) = slf.get().state.with(py, |s| {
            if s.called {
                return (None, None, None);
            }
            s.called = true;
            (s.action.take(), s.key.take(), s.guard.take())
        });
        drop(key);
        if guard.is_some_and(|greenlet| greenlet.is_dead()) {
            return Ok(());
        }
        match action {
            None => Ok(()),
            Some(Action::Call {
                function,
                args,
                kwargs,
            }) => call(py, &function, &args, kwargs.as_ref()).map(drop),
            Some(Action::Throw {
                greenlet,
                exception,
            }) => throw(py, &greenlet, exception),
        }
    }
}

/// A timer that does nothing if the greenlet that made it has ended by then.
#[pyclass(frozen, subclass, extends = Timer, module = "eventlet.hubs.timer")]
pub struct LocalTimer;

#[pymethods]
impl LocalTimer {
    #[new]
    #[pyo3(signature = (seconds, cb, *args, **kw))]
    fn py_new(
        py: Python<'_>,
        seconds: f64,
        cb: Py<PyAny>,
        args: Py<PyTuple>,
        kw: Option<Py<PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let timer = Timer::call(seconds, cb, args, kw, Some(Greenlet::current(py)?));
        timer.trace(py)?;
        Ok(PyClassInitializer::from(timer).add_subclass(Self))
    }
}

/// Raises `exception` in `greenlet` from the hub; a dead one feels nothing.
pub fn throw(py: Python<'_>, greenlet: &Greenlet, exception: Py<PyAny>) -> PyResult<()> {
    if greenlet.is_dead() {
        return Ok(());
    }
    greenlet
        .throw(py, error_from(exception.into_bound(py)))
        .map(drop)
}

/// The error that `raise object` would raise.
pub fn error_from(object: Bound<'_, PyAny>) -> PyErr {
    match object.cast_into::<PyType>() {
        Ok(class) => PyErr::from_type(class, ()),
        Err(error) => PyErr::from_value(error.into_inner()),
    }
}
