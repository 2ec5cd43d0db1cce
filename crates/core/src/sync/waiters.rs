//! A queue of waiting green threads, of any hub.

use std::collections::VecDeque;

use eventlet_greenlet::Greenlet;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::hub::wait::Parking;
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

    /// As [`wake`](Self::wake), but a caller that is the waiter's own hub lets it run at once when the
    /// caller is done, instead of in the next round.
    #[cold]
    pub fn wake_from(self, py: Python<'_>) {
        let hub = self.hub.get();
        let from_hub = Greenlet::current(py).is_ok_and(|current| hub.is_hub_greenlet(py, &current));
        if from_hub {
            hub.scheduler
                .with(py, |s| s.wake_front(self.id, Wake::Ready));
        } else {
            self.wake(py);
        }
    }

    /// Whether this is the wait `id` of `hub`.
    #[inline]
    pub fn is(&self, hub: &Bound<'_, Hub>, id: ParkId) -> bool {
        self.id == id && self.hub.is(hub)
    }

    /// The green thread, while it waits.
    pub fn greenlet(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.hub.get().scheduler.with(py, |s| {
            s.parks
                .greenlet(self.id)
                .map(|greenlet| greenlet.object().clone_ref(py))
        })
    }

    /// Another handle for the same wait.
    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            hub: self.hub.clone_ref(py),
            id: self.id,
        }
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

    /// Adds one at the head, for a green thread that had its turn and found nothing.
    pub fn push_front(&mut self, waiter: Waiter) {
        self.0.push_front(waiter);
    }

    /// Takes out the one that came first.
    #[inline]
    pub fn pop(&mut self) -> Option<Waiter> {
        self.0.pop_front()
    }

    /// Takes out the wait `id` of `hub`, if it is still here: if it is not, it has been woken.
    ///
    /// The caller drops the result after its borrow.
    pub fn remove(&mut self, hub: &Bound<'_, Hub>, id: ParkId) -> Option<Waiter> {
        let index = self.0.iter().position(|w| w.is(hub, id))?;
        self.0.remove(index)
    }

    /// Gives the wait `old` of `hub` another id, in its place; false if it is not here any more.
    pub fn rename(&mut self, hub: &Bound<'_, Hub>, old: ParkId, new: ParkId) -> bool {
        match self.0.iter_mut().find(|w| w.is(hub, old)) {
            Some(waiter) => {
                waiter.id = new;
                true
            }
            None => false,
        }
    }

    /// How many wait.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes all of them out, to be woken after the borrow.
    pub fn take(&mut self) -> VecDeque<Waiter> {
        std::mem::take(&mut self.0)
    }

    /// Handles for all of them.
    pub fn clone_ref(&self, py: Python<'_>) -> Vec<Waiter> {
        self.0.iter().map(|waiter| waiter.clone_ref(py)).collect()
    }

    /// Shows the references to the garbage collector.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.iter().try_for_each(|waiter| visit.call(&waiter.hub))
    }
}

/// The green threads behind `waiters`, as a tuple.
pub fn greenlets(py: Python<'_>, waiters: Vec<Waiter>) -> PyResult<Bound<'_, PyTuple>> {
    let found: Vec<_> = waiters
        .into_iter()
        .filter_map(|waiter| waiter.greenlet(py))
        .collect();
    PyTuple::new(py, found)
}

/// Waits, for a green thread that has taken its place in a line under the id of `parking`.
///
/// One that is resumed by nobody in particular (somebody called its `switch`) goes on waiting in the same
/// place: `rename(old, new)` puts another id there, or returns false if its turn has come already.
///
/// Returns the last id and how the wait ended; `Ready` tells that its turn came.
#[inline]
pub fn wait_in_line(
    hub: &Bound<'_, Hub>,
    greenlet: &Greenlet,
    mut parking: Parking,
    deadline: Option<u64>,
    rename: impl Fn(ParkId, ParkId) -> bool,
) -> (ParkId, PyResult<Wake>) {
    loop {
        let id = parking.id;
        match Hub::wait(hub, greenlet, parking) {
            Ok((Wake::Pending | Wake::Closed, _)) => {
                let py = hub.py();
                parking = hub.get().park(py, greenlet, deadline);
                if !rename(id, parking.id) {
                    hub.get().unpark(py, parking.id);
                    return (id, Ok(Wake::Ready));
                }
            }
            Ok((wake, _)) => return (id, Ok(wake)),
            Err(error) => return (id, Err(error)),
        }
    }
}
