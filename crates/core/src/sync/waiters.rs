//! A queue of waiting green threads, of any hub, and how they wait for their turn in it.

use std::collections::VecDeque;

use eventlet_greenlet::Greenlet;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::args::deadline;
use crate::cell::GilCell;
use crate::errors;
use crate::hub::wait::Parking;
use crate::hub::{self, Hub, ParkId, Wake};

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

    /// Adds one at the head: a green thread that had its turn and found nothing, or the hub.
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
        let index = self.position(hub, id)?;
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

    /// How many are before the wait `id` of `hub`, if it is here.
    pub fn position(&self, hub: &Bound<'_, Hub>, id: ParkId) -> Option<usize> {
        self.0.iter().position(|w| w.is(hub, id))
    }

    /// The one that came first.
    pub fn first(&self) -> Option<&Waiter> {
        self.0.front()
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

    /// Takes out those of other OS threads, which a forked child does not have.
    pub fn take_others(&mut self) -> VecDeque<Waiter> {
        let (mine, others) = self.take().into_iter().partition(|w| w.hub.get().is_mine());
        self.0 = mine;
        others
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

/// The state of something that green threads get one after the other.
///
/// What becomes free while somebody waits is *handed* to the first waiter, in the same change of the state that
/// takes the waiter out of the line. So a waiter that is in the line no more when it runs has been handed
/// something, however it was resumed.
pub trait Line {
    /// Takes what is free; false if nothing is.
    fn take(&mut self) -> bool;

    /// Those who wait.
    fn waiters(&mut self) -> &mut Waiters;

    /// Whether the hub may wait for it, turning meanwhile: signal handlers need locks.
    fn serves_hub(&self) -> bool {
        false
    }
}

/// Waits until the caller is handed something; false if the time, in seconds, is up first.
///
/// `give_back` is called if the caller is not going to use what it was handed, as something was thrown into it.
///
/// # Errors
///
/// `RuntimeError` in the hub, unless the line serves it; what was thrown into the green thread.
pub fn wait_for_turn<L: Line>(
    py: Python<'_>,
    line: &GilCell<L>,
    timeout: Option<f64>,
    give_back: impl Fn(),
) -> PyResult<bool> {
    let mut turn = Place::take(py, line, timeout, &give_back)?;
    loop {
        turn = match turn {
            Turn::Over(got) => return Ok(got),
            Turn::Waits(place, greenlet) => {
                let switched = Hub::switch_out(place.hub.bind(py), &greenlet);
                place.go_on(py, line, switched, &give_back)?
            }
        };
    }
}

/// The place in a line of a green thread that waits for its turn.
pub struct Place {
    hub: Py<Hub>,
    id: ParkId,
    deadline: Option<u64>,
}

/// How far the wait has come.
pub enum Turn {
    /// It is over: whether the green thread has been handed something, or the time was up.
    Over(bool),
    /// The green thread, the running one, has to give way.
    Waits(Place, Greenlet),
}

/// How a green thread in a line was resumed.
pub enum Woken<'py> {
    /// By nobody in particular: it waits on.
    Again(Place, Greenlet),
    /// Its wait is over. `Ready` tells that its turn came.
    Over(Bound<'py, Hub>, ParkId, PyResult<Wake>),
}

impl Place {
    /// A place that was taken under the id of a wait.
    #[inline]
    pub fn new(hub: Py<Hub>, id: ParkId, deadline: Option<u64>) -> Self {
        Self { hub, id, deadline }
    }

    /// When the wait ends at the latest.
    #[inline]
    pub fn deadline(&self) -> Option<u64> {
        self.deadline
    }

    /// Begins to wait, as [`wait_for_turn`] does. The hub waits here.
    ///
    /// # Errors
    ///
    /// Those of `wait_for_turn`.
    pub fn take<L: Line>(
        py: Python<'_>,
        line: &GilCell<L>,
        timeout: Option<f64>,
        give_back: impl Fn(),
    ) -> PyResult<Turn> {
        // While the interpreter shuts down there is nothing to switch to, and nobody to wait for.
        let Ok(greenlet) = Greenlet::current(py) else {
            return Ok(Turn::Over(false));
        };
        let hub = hub::current(py)?;
        let in_hub = hub.get().is_hub_greenlet(py, &greenlet);
        if in_hub && !line.with(py, |l| l.serves_hub()) {
            return Err(errors::mainloop_error());
        }
        let deadline = deadline(timeout);
        let parking = hub.get().park(py, &greenlet, deadline);
        let id = parking.id;
        let waiter = Waiter {
            hub: hub.clone().unbind(),
            id,
        };
        // Finding the hub may have run Python code, which may have freed something.
        let spare = line.with(py, |l| {
            if l.take() {
                return Some(waiter);
            }
            if in_hub {
                // What the hub was about to do waits with it.
                l.waiters().push_front(waiter);
            } else {
                l.waiters().push(waiter);
            }
            None
        });
        if spare.is_some() {
            hub.get().unpark(py, id);
            return Ok(Turn::Over(true));
        }
        if in_hub {
            let result = Hub::wait_here(&hub, id);
            return leave(line, &hub, id, result, give_back).map(Turn::Over);
        }
        let hub = hub.unbind();
        Ok(Turn::Waits(Self { hub, id, deadline }, greenlet))
    }

    /// The hub that the green thread waits on.
    pub fn hub(&self) -> &Py<Hub> {
        &self.hub
    }

    /// Goes on after a switch. `give_back` is as for [`wait_for_turn`].
    ///
    /// # Errors
    ///
    /// What was thrown into the green thread.
    pub fn go_on<L: Line>(
        self,
        py: Python<'_>,
        line: &GilCell<L>,
        switched: PyResult<Bound<'_, PyAny>>,
        give_back: impl Fn(),
    ) -> PyResult<Turn> {
        let rename =
            |hub: &Bound<'_, Hub>, old, new| line.with(py, |l| l.waiters().rename(hub, old, new));
        match self.woken(py, switched, rename)? {
            Woken::Again(place, greenlet) => Ok(Turn::Waits(place, greenlet)),
            Woken::Over(hub, id, result) => {
                leave(line, &hub, id, result, give_back).map(Turn::Over)
            }
        }
    }

    /// Ends the wait after a switch, or goes on with it as [`wait_in_line`] does.
    ///
    /// # Errors
    ///
    /// `RuntimeError` while the interpreter shuts down.
    #[inline]
    pub fn woken<'py>(
        self,
        py: Python<'py>,
        switched: PyResult<Bound<'_, PyAny>>,
        rename: impl Fn(&Bound<'_, Hub>, ParkId, ParkId) -> bool,
    ) -> PyResult<Woken<'py>> {
        let hub = self.hub.into_bound(py);
        let wake = hub.get().unpark(py, self.id);
        if switched.is_err() || matches!(wake, Wake::Ready | Wake::TimedOut) {
            return Ok(Woken::Over(hub, self.id, switched.map(|_| wake)));
        }
        let greenlet = Greenlet::current(py)?;
        let id = hub.get().park(py, &greenlet, self.deadline).id;
        if !rename(&hub, self.id, id) {
            hub.get().unpark(py, id);
            return Ok(Woken::Over(hub, self.id, Ok(Wake::Ready)));
        }
        let place = Self {
            hub: hub.unbind(),
            id,
            deadline: self.deadline,
        };
        Ok(Woken::Again(place, greenlet))
    }
}

/// Leaves the line at the end of a wait; whether it was its turn.
#[inline]
fn leave<L: Line>(
    line: &GilCell<L>,
    hub: &Bound<'_, Hub>,
    id: ParkId,
    result: PyResult<Wake>,
    give_back: impl Fn(),
) -> PyResult<bool> {
    if matches!(result, Ok(Wake::Ready)) {
        return Ok(true);
    }
    let left = line.with(hub.py(), |l| l.waiters().remove(hub, id));
    match (result, left) {
        (Ok(_), left) => Ok(left.is_none()),
        (Err(error), Some(_)) => Err(error),
        (Err(error), None) => {
            give_back();
            Err(error)
        }
    }
}

/// Makes `attempt`s, which wait without a limit, until one succeeds, for a caller who cannot go on without:
/// what is thrown into it meanwhile is raised in the end, the last thing if there are several.
///
/// # Errors
///
/// In the first place, why it cannot wait at all.
pub fn by_all_means(
    py: Python<'_>,
    attempt: impl Fn() -> PyResult<bool>,
) -> PyResult<PyResult<()>> {
    let mut thrown = Ok(());
    loop {
        match attempt() {
            Ok(true) => return Ok(thrown),
            // The interpreter shuts down.
            Ok(false) => return Ok(Ok(())),
            Err(error) if can_wait(py) => thrown = Err(error),
            Err(error) => return Err(error),
        }
    }
}

/// Whether the caller is a green thread whose hub runs.
fn can_wait(py: Python<'_>) -> bool {
    hub::existing(py)
        .is_some_and(|hub| !hub.get().is_closed() && Hub::waiting_greenlet(&hub).is_ok())
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
