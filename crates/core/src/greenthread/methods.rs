//! The methods of `GreenThread`.

use std::ffi::CStr;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::body::{Body, Call, body_of, call_link};
use super::kill::{cancel, kill};
use crate::hub::entry::{Arguments, Step, WaitingCall};
use crate::hub::{self, Hub, ParkId, Wake};
use crate::sync::waiters::Waiter;

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
pub(super) struct Join {
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
