//! Callbacks of those who wait for one of several things.
//!
//! They are called when a primitive may have become ready, without taking anything from it: whoever has been
//! called looks for himself, and may find that others were faster.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::cell::GilCell;
use crate::errors;

/// The callbacks of one primitive.
pub struct Watchers {
    any: AtomicBool,
    callbacks: GilCell<Vec<Py<PyAny>>>,
}

impl Watchers {
    /// None.
    pub const fn new() -> Self {
        Self {
            any: AtomicBool::new(false),
            callbacks: GilCell::new(Vec::new()),
        }
    }

    /// Adds a callback without arguments.
    pub fn add(&self, py: Python<'_>, callback: Py<PyAny>) {
        self.callbacks.with(py, |all| all.push(callback));
        self.any.store(true, Ordering::Relaxed);
    }

    /// Takes a callback back; whether it was there.
    pub fn remove(&self, py: Python<'_>, callback: &Bound<'_, PyAny>) -> bool {
        let removed = self.callbacks.with(py, |all| {
            let index = all.iter().position(|other| other.is(callback))?;
            let removed = all.remove(index);
            self.any.store(!all.is_empty(), Ordering::Relaxed);
            Some(removed)
        });
        removed.is_some()
    }

    /// Calls all of them, if there are any.
    #[inline]
    pub fn notify(&self, py: Python<'_>) {
        if self.any.load(Ordering::Relaxed) {
            self.call(py);
        }
    }

    #[cold]
    #[inline(never)]
    fn call(&self, py: Python<'_>) {
        let callbacks: Vec<_> = self
            .callbacks
            .with(py, |all| all.iter().map(|c| c.clone_ref(py)).collect());
        for callback in callbacks {
            if let Err(error) = callback.bind(py).call0() {
                errors::unraisable(py, error, Some(callback.bind(py)));
            }
        }
    }

    /// Shows the references to the garbage collector.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.callbacks
            .peek(|all| all.iter().try_for_each(|callback| visit.call(callback)))
            .unwrap_or(Ok(()))
    }

    /// Drops all.
    pub fn clear(&self, py: Python<'_>) {
        drop(self.callbacks.take(py));
    }
}
