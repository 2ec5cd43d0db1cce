//! What came of a green thread, and what becomes of an exception that it has not caught.

use eventlet_greenlet as greenlet;
use pyo3::exceptions::{PyBaseException, PyKeyboardInterrupt, PySystemExit};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTraceback;

use crate::hub::Hub;

/// What came of a green thread.
pub(super) enum Outcome {
    Value(Py<PyAny>),
    /// The exception with the traceback that it ended with: each `raise` of it would make that longer.
    Failure(Py<PyBaseException>, Option<Py<PyTraceback>>),
}

impl Outcome {
    pub(super) fn new(py: Python<'_>, result: PyResult<Py<PyAny>>) -> Self {
        match result {
            Ok(value) => Self::Value(value),
            Err(error) => {
                let traceback = error.traceback(py).map(Bound::unbind);
                Self::Failure(error.into_value(py), traceback)
            }
        }
    }

    pub(super) fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Value(value) => Self::Value(value.clone_ref(py)),
            Self::Failure(error, traceback) => Self::Failure(
                error.clone_ref(py),
                traceback.as_ref().map(|traceback| traceback.clone_ref(py)),
            ),
        }
    }

    pub(super) fn deliver(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Failure(error, traceback) => {
                let error = error.into_bound(py);
                error.setattr(intern!(py, "__traceback__"), traceback)?;
                Err(PyErr::from_value(error.into_any()))
            }
        }
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Value(value) => visit.call(value),
            Self::Failure(error, traceback) => {
                visit.call(error)?;
                visit.call(traceback)
            }
        }
    }
}

/// What becomes of an exception that a green thread or a link has not caught.
///
/// The two that end programs are returned, for the main greenlet. `GreenletExit` is nobody's business, and
/// the rest is reported.
pub(super) fn uncaught(hub: &Bound<'_, Hub>, error: &PyErr) -> Option<PyErr> {
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
