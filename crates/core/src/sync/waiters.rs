//! A queue of waiting green threads, of any hub.

use std::collections::VecDeque;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::hub::{Hub, ParkId, Wake};

/// One waiting green thread: which wait, on which hub.
pub struct Waiter {
    pub hub: Py<Hub>,
    pub id: ParkId,
}

impl Waiter {
    /// Ends the wait; a wait that is over already is left alone.
    #[inline]
    pub fn wake(self, py: Python<'_>) {
        self.hub.get().wake(py, self.id, Wake::Ready);
    }
}

/// Waiting green threads, in the order they came.
#[derive(Default)]
pub struct Waiters(VecDeque<Waiter>);

impl Waiters {
    /// Adds one at the end.
    #[inline]
    pub fn push(&mut self, waiter: Waiter) {
        self.0.push_back(waiter);
    }

    /// Takes out the wait `id` of `hub`, if it is still here: if it is not, it has been woken.
    ///
    /// The caller drops the result after its borrow.
    pub fn remove(&mut self, hub: &Bound<'_, Hub>, id: ParkId) -> Option<Waiter> {
        let index = self.0.iter().position(|w| w.id == id && w.hub.is(hub))?;
        self.0.remove(index)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes all of them out, to be woken after the borrow.
    pub fn take(&mut self) -> VecDeque<Waiter> {
        std::mem::take(&mut self.0)
    }

    /// Shows the references to the garbage collector.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.iter().try_for_each(|waiter| visit.call(&waiter.hub))
    }
}
