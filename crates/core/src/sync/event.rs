//! `Event`: one value, or one exception, sent once to everybody who waits for it.
//!
//! # Theory of operation
//!
//! `send` keeps the outcome and takes all waiters out of the line at once. A waiter that runs and is not in
//! the line any more was sent something, and picks it up. `reset` may come in between, and another `send`
//! after it: so a waiter remembers the epoch in which it began, and an outcome with waiters on their way is
//! kept under its epoch until the last of them has picked it up.

use std::ffi::CStr;

use pyo3::Borrowed;
use pyo3::exceptions::PyAssertionError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::waiters::{Waiter, Waiters};
use super::watchers::Watchers;
use crate::cell::GilCell;
use crate::clock;
use crate::greenthread::exception_from;
use crate::hub::entry::{Arguments, Step, WaitingCall};
use crate::hub::{self, Hub, ParkId, Wake};

/// A value that one green thread sends and any number wait for.
///
/// `send` never switches: the waiters run in the next turn of their hubs, in the order they came.
#[pyclass(frozen, subclass, dict, weakref, module = "eventlet.event")]
pub struct Event {
    state: GilCell<State>,
    watchers: Watchers,
}

enum Outcome {
    Value(Py<PyAny>),
    /// The arguments of a `throw`.
    Exception(Py<PyTuple>),
}

impl Outcome {
    fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Value(value) => Self::Value(value.clone_ref(py)),
            Self::Exception(args) => Self::Exception(args.clone_ref(py)),
        }
    }

    fn deliver(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Exception(args) => Err(exception_from(args.bind(py))),
        }
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Value(value) => visit.call(value),
            Self::Exception(args) => visit.call(args),
        }
    }
}

#[derive(Default)]
struct State {
    outcome: Option<Outcome>,
    waiters: Waiters,
    /// Waiters that have been woken for the present outcome and have not run yet.
    in_flight: usize,
    /// How often the event has been reset.
    epoch: u64,
    /// What was sent in earlier epochs, for the waiters of then that have not run yet.
    past: Vec<Past>,
}

struct Past {
    epoch: u64,
    outcome: Outcome,
    in_flight: usize,
}

impl State {
    /// The outcome for a woken waiter that began in `epoch`, and what to drop after the borrow.
    fn collect(&mut self, py: Python<'_>, epoch: u64) -> (Option<Outcome>, Option<Past>) {
        if epoch == self.epoch {
            self.in_flight = self.in_flight.saturating_sub(1);
            return (
                self.outcome.as_ref().map(|outcome| outcome.clone_ref(py)),
                None,
            );
        }
        let Some(index) = self.past.iter().position(|past| past.epoch == epoch) else {
            return (None, None);
        };
        let past = &mut self.past[index];
        let outcome = past.outcome.clone_ref(py);
        past.in_flight -= 1;
        let spent = (past.in_flight == 0).then(|| self.past.swap_remove(index));
        (Some(outcome), spent)
    }
}

#[pymethods]
impl Event {
    #[new]
    #[pyo3(signature = (*_args, **_kw))]
    fn new(_args: &Bound<'_, PyTuple>, _kw: Option<&Bound<'_, PyDict>>) -> Self {
        Self {
            state: GilCell::new(State::default()),
            watchers: Watchers::new(),
        }
    }

    /// Makes a sent event fresh again. Raises `AssertionError` if nothing has been sent.
    fn reset(&self, py: Python<'_>) -> PyResult<()> {
        let result = self.state.with(py, |s| match s.outcome.take() {
            None => Err(()),
            Some(outcome) if s.in_flight > 0 => {
                let past = Past {
                    epoch: s.epoch,
                    outcome,
                    in_flight: s.in_flight,
                };
                s.past.push(past);
                s.in_flight = 0;
                s.epoch += 1;
                Ok(None)
            }
            Some(outcome) => {
                s.epoch += 1;
                Ok(Some(outcome))
            }
        });
        match result {
            Ok(outcome) => {
                drop(outcome);
                Ok(())
            }
            Err(()) => Err(PyAssertionError::new_err(
                "Trying to re-reset() a fresh event.",
            )),
        }
    }

    /// Whether something has been sent.
    fn ready(&self, py: Python<'_>) -> bool {
        self.state.with(py, |s| s.outcome.is_some())
    }

    /// Whether an exception has been sent.
    fn has_exception(&self, py: Python<'_>) -> bool {
        self.state
            .with(py, |s| matches!(s.outcome, Some(Outcome::Exception(_))))
    }

    /// Whether a value has been sent.
    fn has_result(&self, py: Python<'_>) -> bool {
        self.state
            .with(py, |s| matches!(s.outcome, Some(Outcome::Value(_))))
    }

    /// What was sent (an exception is raised), or `notready` if nothing was.
    #[pyo3(signature = (notready = None))]
    fn poll(&self, py: Python<'_>, notready: Option<Py<PyAny>>) -> PyResult<Py<PyAny>> {
        match self.outcome(py) {
            Some(outcome) => outcome.deliver(py),
            None => Ok(notready.unwrap_or_else(|| py.None())),
        }
    }

    /// The value that was sent, or `notready` if it was none or an exception.
    #[pyo3(signature = (notready = None))]
    fn poll_result(&self, py: Python<'_>, notready: Option<Py<PyAny>>) -> Py<PyAny> {
        match self.outcome(py) {
            Some(Outcome::Value(value)) => value,
            _ => notready.unwrap_or_else(|| py.None()),
        }
    }

    /// Raises the exception that was sent; `notready` if it was none or a value.
    #[pyo3(signature = (notready = None))]
    fn poll_exception(&self, py: Python<'_>, notready: Option<Py<PyAny>>) -> PyResult<Py<PyAny>> {
        match self.outcome(py) {
            Some(outcome @ Outcome::Exception(_)) => outcome.deliver(py),
            _ => Ok(notready.unwrap_or_else(|| py.None())),
        }
    }

    /// Sends a value, or with `exc` an exception (an instance, a class, or the arguments of a `throw`).
    ///
    /// Raises `AssertionError` if something has been sent already.
    #[pyo3(signature = (result = None, exc = None))]
    fn send(
        &self,
        py: Python<'_>,
        result: Option<Py<PyAny>>,
        exc: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let outcome = match exc {
            None => Outcome::Value(result.unwrap_or_else(|| py.None())),
            Some(exc) => Outcome::Exception(match exc.cast_into::<PyTuple>() {
                Ok(args) => args.unbind(),
                Err(error) => PyTuple::new(py, [error.into_inner()])?.unbind(),
            }),
        };
        self.resolve(py, outcome)
    }

    /// Sends an exception; the arguments are those of `throw`.
    #[pyo3(signature = (*args))]
    fn send_exception(&self, py: Python<'_>, args: Py<PyTuple>) -> PyResult<()> {
        self.resolve(py, Outcome::Exception(args))
    }

    /// How many green threads wait.
    fn waiting(&self, py: Python<'_>) -> usize {
        self.state.with(py, |s| s.waiters.len())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let state = match slf.get().outcome(py) {
            None => "not sent".to_owned(),
            Some(Outcome::Value(value)) => format!("result={}", value.bind(py).repr()?),
            Some(Outcome::Exception(args)) => format!("exc={}", args.bind(py).repr()?),
        };
        let waiting = slf.get().waiting(py);
        let name = slf.get_type().name()?;
        Ok(format!(
            "<{name} at {:p} {state} _waiters[{waiting}]>",
            slf.as_ptr()
        ))
    }

    /// Has `callback()` called whenever this may have become ready.
    fn _watch(&self, py: Python<'_>, callback: Py<PyAny>) {
        self.watchers.add(py, callback);
    }

    /// Takes a callback of `_watch` back. Returns whether it was there.
    fn _unwatch(&self, callback: &Bound<'_, PyAny>) -> bool {
        self.watchers.remove(callback.py(), callback)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.watchers.traverse(&visit)?;
        self.state
            .peek(|s| {
                if let Some(outcome) = &s.outcome {
                    outcome.traverse(&visit)?;
                }
                for past in &s.past {
                    past.outcome.traverse(&visit)?;
                }
                s.waiters.traverse(&visit)
            })
            .unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        drop(self.state.take(py));
        self.watchers.clear(py);
    }
}

impl Event {
    fn outcome(&self, py: Python<'_>) -> Option<Outcome> {
        self.state.with(py, |s| {
            s.outcome.as_ref().map(|outcome| outcome.clone_ref(py))
        })
    }

    fn resolve(&self, py: Python<'_>, outcome: Outcome) -> PyResult<()> {
        let waiters = self.state.with(py, |s| {
            if s.outcome.is_some() {
                return Err(outcome);
            }
            s.outcome = Some(outcome);
            let waiters = s.waiters.take();
            s.in_flight = waiters.len();
            Ok(waiters)
        });
        match waiters {
            Ok(waiters) => {
                for waiter in waiters {
                    waiter.wake(py);
                }
                self.watchers.notify(py);
                Ok(())
            }
            Err(outcome) => {
                drop(outcome);
                Err(PyAssertionError::new_err(
                    "Trying to re-send() an already-triggered event.",
                ))
            }
        }
    }

    /// Ends a wait in the event's books; the outcome if it was sent to this waiter.
    fn leave(
        &self,
        py: Python<'_>,
        hub: &Bound<'_, Hub>,
        id: ParkId,
        epoch: u64,
    ) -> Option<Outcome> {
        let (waiter, (outcome, past)) = self.state.with(py, |s| match s.waiters.remove(hub, id) {
            Some(waiter) => (Some(waiter), (None, None)),
            None => (None, s.collect(py, epoch)),
        });
        drop((waiter, past));
        outcome
    }
}

/// `Event.wait(timeout=None, timeout_value=None)`.
pub struct Wait {
    event: Py<Event>,
    hub: Py<Hub>,
    id: ParkId,
    epoch: u64,
    deadline: Option<u64>,
    timeout_value: Option<Py<PyAny>>,
}

impl Wait {
    /// Joins the line, unless something has been sent.
    fn enter(
        event: Bound<'_, Event>,
        hub: Bound<'_, Hub>,
        deadline: Option<u64>,
        timeout_value: Option<Py<PyAny>>,
    ) -> PyResult<Step<Self>> {
        let py = event.py();
        // Making a hub runs Python code, and that lets other threads run: look again.
        if let Some(outcome) = event.get().outcome(py) {
            return outcome.deliver(py).map(Step::Done);
        }
        let greenlet = Hub::waiting_greenlet(&hub)?;
        let id = hub.get().park(py, &greenlet, deadline).id;
        let waiter = Waiter {
            hub: hub.clone().unbind(),
            id,
        };
        let epoch = event.get().state.with(py, |s| {
            s.waiters.push(waiter);
            s.epoch
        });
        let wait = Self {
            event: event.unbind(),
            hub: hub.unbind(),
            id,
            epoch,
            deadline,
            timeout_value,
        };
        Ok(Step::Wait(wait, greenlet))
    }
}

impl WaitingCall for Wait {
    const NAME: &CStr = c"wait";

    const DOC: &CStr = c"wait($self, timeout=None, timeout_value=None)
--

Waits until something is sent and returns it; an exception is raised.

After `timeout` seconds (None waits for ever) it gives up and returns `timeout_value`. Give an object
of your own there to tell a time that is up from None that was sent:

    LATE = object()
    if event.wait(5, LATE) is LATE: ...";

    fn begin(py: Python<'_>, arguments: &Arguments<'_>) -> PyResult<Step<Self>> {
        let [timeout, timeout_value] = arguments.optional(["timeout", "timeout_value"])?;
        let timeout: Option<f64> = timeout.map_or(Ok(None), Borrowed::extract)?;
        // SAFETY: it is a method of events.
        let event = unsafe { arguments.receiver::<Event>() };
        if let Some(outcome) = event.get().outcome(py) {
            return outcome.deliver(py).map(Step::Done);
        }
        let hub = hub::current(py)?;
        let deadline = timeout.map(|timeout| clock::after(clock::now(), timeout));
        let timeout_value = timeout_value.map(|value| value.to_owned().unbind());
        Self::enter(event, hub, deadline, timeout_value)
    }

    fn hub(&self) -> &Py<Hub> {
        &self.hub
    }

    fn resume(self, py: Python<'_>, switched: PyResult<Bound<'_, PyAny>>) -> PyResult<Step<Self>> {
        let hub = self.hub.into_bound(py);
        let event = self.event.into_bound(py);
        let wake = hub.get().unpark(py, self.id);
        match event.get().leave(py, &hub, self.id, self.epoch) {
            // Sent, and nothing else has happened to this green thread.
            Some(outcome) if switched.is_ok() => return outcome.deliver(py).map(Step::Done),
            _ => {}
        }
        switched?;
        if wake == Wake::TimedOut {
            return Ok(Step::Done(self.timeout_value.unwrap_or_else(|| py.None())));
        }
        Self::enter(event, hub, self.deadline, self.timeout_value)
    }
}
