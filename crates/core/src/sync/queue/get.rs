//! `get`, in which workers mostly wait: so it takes little of the stack.

use std::ffi::CStr;

use pyo3::Borrowed;
use pyo3::prelude::*;

use super::state::Get;
use super::wait::wake_putter;
use super::{LightQueue, standard_error};
use crate::hub::entry::{Arguments, Step, WaitingCall};
use crate::hub::{self, Hub, Wake};
use crate::sync::args::{Flag, deadline};
use crate::sync::waiters::{Place, Waiter, Woken};

/// `get(block=True, timeout=None)`.
pub struct GetCall {
    queue: Py<LightQueue>,
    place: Place,
}

impl GetCall {
    /// Gets an item, or begins to wait for one.
    pub(super) fn start(
        queue: &Bound<'_, LightQueue>,
        block: bool,
        timeout: Option<f64>,
    ) -> PyResult<Step<Self>> {
        let py = queue.py();
        let this = queue.get();
        if this.hooks.items || this.hooks.size {
            return Self::start_general(queue, block, timeout);
        }
        let counts = this.counts;
        match this.state.with(py, |s| s.try_get(counts)) {
            Get::Item(item, None) => Ok(Step::Done(item)),
            Get::Item(item, Some(putter)) => {
                wake_putter(py, putter, block);
                Ok(Step::Done(item))
            }
            Get::Nothing if block && hub::existing(py).is_none() => {
                // Making a hub runs Python code, and that lets other threads run: look again.
                hub::current(py)?;
                Self::start(queue, block, timeout)
            }
            Get::Nothing if block => Self::queue_up(queue, deadline(timeout), false),
            Get::Nothing => Err(standard_error(py, "Empty")),
            Get::General => Self::start_general(queue, block, timeout),
        }
    }

    /// Gets by way of the hooks.
    #[cold]
    fn start_general(
        queue: &Bound<'_, LightQueue>,
        block: bool,
        timeout: Option<f64>,
    ) -> PyResult<Step<Self>> {
        let py = queue.py();
        if block {
            // As in `start`.
            hub::current(py)?;
        }
        let length = LightQueue::length(queue)?;
        let claimed = queue.get().state.with(py, |s| {
            let spare = s.has_spare(length);
            s.promised += usize::from(spare);
            spare
        });
        if claimed && let Some(item) = LightQueue::take_general(queue)? {
            return Ok(Step::Done(item));
        }
        if block {
            Self::queue_up(queue, deadline(timeout), false)
        } else {
            Err(standard_error(py, "Empty"))
        }
    }

    /// Waits, after there was nothing in the native store or when called again: then at the `head` of the line.
    fn queue_up(
        queue: &Bound<'_, LightQueue>,
        deadline: Option<u64>,
        head: bool,
    ) -> PyResult<Step<Self>> {
        let py = queue.py();
        let hub = hub::current(py)?;
        let greenlet = Hub::waiting_greenlet(&hub)?;
        let id = hub.get().park(py, &greenlet, deadline).id;
        let waiter = Waiter {
            hub: hub.clone().unbind(),
            id,
        };
        queue.get().state.with(py, |s| {
            if head {
                s.getters.push_front(waiter);
            } else {
                s.getters.push(waiter);
            }
        });
        let call = Self {
            queue: queue.clone().unbind(),
            place: Place::new(hub.unbind(), id, deadline),
        };
        Ok(Step::Wait(call, greenlet))
    }
}

impl WaitingCall for GetCall {
    const NAME: &CStr = c"get";

    const DOC: &CStr = c"get($self, block=True, timeout=None)
--

Takes the next item out and returns it, waiting for one if necessary.

With `block` false it does not wait. `timeout` is the longest wait in seconds; None waits for ever.
Raises `Empty` when there is no item, or none in time, and `RuntimeError` if it would have to wait in
the hub.";

    fn begin(_py: Python<'_>, arguments: &Arguments<'_>) -> PyResult<Step<Self>> {
        let [block, timeout] = arguments.optional(["block", "timeout"])?;
        let Flag(block) = block.map_or(Ok(Flag(true)), Borrowed::extract)?;
        let timeout: Option<f64> = timeout.map_or(Ok(None), Borrowed::extract)?;
        // SAFETY: it is a method of queues.
        let queue = unsafe { arguments.receiver::<LightQueue>() };
        Self::start(&queue, block, timeout)
    }

    fn hub(&self) -> &Py<Hub> {
        self.place.hub()
    }

    fn resume(self, py: Python<'_>, switched: PyResult<Bound<'_, PyAny>>) -> PyResult<Step<Self>> {
        let queue = self.queue.into_bound(py);
        let state = &queue.get().state;
        let deadline = self.place.deadline();
        let rename =
            |hub: &Bound<'_, Hub>, old, new| state.with(py, |s| s.getters.rename(hub, old, new));
        let (hub, id, result) = match self.place.woken(py, switched, rename)? {
            Woken::Again(place, greenlet) => {
                let queue = queue.unbind();
                return Ok(Step::Wait(Self { queue, place }, greenlet));
            }
            Woken::Over(hub, id, result) => (hub, id, result),
        };
        let left = match result {
            Ok(Wake::Ready) => None,
            _ => state.with(py, |s| s.getters.remove(&hub, id)),
        };
        match (result, left) {
            (Ok(wake), None) => match LightQueue::fetch_promised(&queue)? {
                Some(item) => Ok(Step::Done(item)),
                None if wake == Wake::TimedOut => Err(standard_error(py, "Empty")),
                None => Self::queue_up(&queue, deadline, true),
            },
            (Ok(_), Some(left)) => {
                drop(left);
                LightQueue::leave(&queue, false)?;
                Err(standard_error(py, "Empty"))
            }
            (Err(error), left) => {
                let called = left.is_none();
                drop(left);
                LightQueue::leave(&queue, called)?;
                Err(error)
            }
        }
    }
}
