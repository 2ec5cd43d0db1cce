//! Listeners: callbacks for a descriptor, as `hub.add` takes them.

use std::os::fd::RawFd;

use eventlet_greenlet::Greenlet;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::cell::GilCell;

/// A registration of `hub.add`.
///
/// `cb(fileno)` is called in the hub when the descriptor is ready, `tb(exception)` when it was closed, and
/// `mark_as_closed()` when the descriptor turns out to be somebody else's. `greenlet` is the one that
/// registered it. `spent` is true once it has been removed.
#[pyclass(frozen, subclass, weakref, module = "eventlet.hubs.hub")]
pub struct FdListener {
    evtype: Py<PyAny>,
    fileno: RawFd,
    state: GilCell<State>,
}

struct State {
    cb: Option<Py<PyAny>>,
    tb: Option<Py<PyAny>>,
    mark_as_closed: Option<Py<PyAny>>,
    greenlet: Option<Py<PyAny>>,
    spent: bool,
    /// Whether it is part of the hub's own works, and none of the program's listeners.
    hidden: bool,
}

#[pymethods]
impl FdListener {
    #[new]
    pub fn new(
        py: Python<'_>,
        evtype: Py<PyAny>,
        fileno: RawFd,
        cb: Option<Py<PyAny>>,
        tb: Option<Py<PyAny>>,
        mark_as_closed: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let greenlet = Greenlet::current(py)?.into_object();
        Ok(Self::with_greenlet(
            evtype,
            fileno,
            cb,
            tb,
            mark_as_closed,
            greenlet,
        ))
    }

    #[getter]
    fn evtype(&self, py: Python<'_>) -> Py<PyAny> {
        self.evtype.clone_ref(py)
    }

    #[getter]
    pub fn fileno(&self) -> RawFd {
        self.fileno
    }

    #[getter(cb)]
    fn py_cb(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        static NOTHING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        match self.cb(py) {
            Some(cb) => Ok(cb),
            // A hub may have found it ready before somebody took it back.
            None => NOTHING
                .import(py, "eventlet.hubs.hub", "_do_nothing")
                .map(|nothing| nothing.clone().unbind()),
        }
    }

    #[getter]
    pub fn tb(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state
            .with(py, |s| s.tb.as_ref().map(|object| object.clone_ref(py)))
    }

    #[getter]
    pub fn mark_as_closed(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |s| {
            s.mark_as_closed.as_ref().map(|object| object.clone_ref(py))
        })
    }

    #[getter]
    fn greenlet(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |s| {
            s.greenlet.as_ref().map(|object| object.clone_ref(py))
        })
    }

    #[getter]
    pub fn spent(&self, py: Python<'_>) -> bool {
        self.state.with(py, |s| s.spent)
    }

    #[setter]
    pub fn set_spent(&self, py: Python<'_>, spent: bool) {
        self.state.with(py, |s| s.spent = spent);
    }

    /// Whether it is part of the hub's own works, which the hub does not show.
    #[getter(_hidden)]
    pub fn hidden(&self, py: Python<'_>) -> bool {
        self.state.with(py, |s| s.hidden)
    }

    #[setter(_hidden)]
    pub fn set_hidden(&self, py: Python<'_>, hidden: bool) {
        self.state.with(py, |s| s.hidden = hidden);
    }

    /// Makes the callback do nothing from now on, and calls `mark_as_closed`.
    #[pyo3(name = "defang")]
    fn py_defang(&self, py: Python<'_>) -> PyResult<()> {
        let (cb, mark_as_closed) = self.state.with(py, |s| {
            s.spent = true;
            (s.cb.take(), s.mark_as_closed.take())
        });
        drop(cb);
        match mark_as_closed {
            Some(mark_as_closed) => mark_as_closed.bind(py).call0().map(drop),
            None => Ok(()),
        }
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let this = slf.get();
        let show = |object: Option<Py<PyAny>>| match object {
            Some(object) => object.bind(py).repr().map(|text| text.to_string()),
            None => Ok("None".to_owned()),
        };
        Ok(format!(
            "{}({}, {}, {}, {})",
            slf.get_type().name()?,
            this.evtype.bind(py).repr()?,
            this.fileno,
            show(this.cb(py))?,
            show(this.tb(py))?,
        ))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.evtype)?;
        self.state
            .peek(|s| {
                visit.call(&s.cb)?;
                visit.call(&s.tb)?;
                visit.call(&s.mark_as_closed)?;
                visit.call(&s.greenlet)
            })
            .unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        let _dropped_here = self.state.with(py, |s| {
            (
                s.cb.take(),
                s.tb.take(),
                s.mark_as_closed.take(),
                s.greenlet.take(),
            )
        });
    }
}

impl FdListener {
    /// What to call when the descriptor is ready.
    pub fn cb(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state
            .with(py, |s| s.cb.as_ref().map(|object| object.clone_ref(py)))
    }

    /// Makes all callbacks do nothing from now on.
    pub fn defang(&self, py: Python<'_>) {
        let _dropped_here = self.state.with(py, |s| {
            s.spent = true;
            (s.cb.take(), s.tb.take(), s.mark_as_closed.take())
        });
    }

    /// As the constructor, for a greenlet that may not be the running one.
    pub fn with_greenlet(
        evtype: Py<PyAny>,
        fileno: RawFd,
        cb: Option<Py<PyAny>>,
        tb: Option<Py<PyAny>>,
        mark_as_closed: Option<Py<PyAny>>,
        greenlet: Py<PyAny>,
    ) -> Self {
        Self {
            evtype,
            fileno,
            state: GilCell::new(State {
                cb,
                tb,
                mark_as_closed,
                greenlet: Some(greenlet),
                spent: false,
                hidden: false,
            }),
        }
    }

    /// Which way data goes.
    pub fn direction(&self, py: Python<'_>) -> PyResult<super::io::Direction> {
        let text: &str = &self.evtype.bind(py).extract::<String>()?;
        super::io::Direction::from_name(text)
    }
}
