//! The green threads that run requests, and how they are used again.
//!
//! Making a greenlet and ending it costs more than all that the server itself does for a short request. So one
//! that has run a request to its end waits for the next one instead, if that cannot be noticed.
//!
//! Programs tell green threads apart: they keep them, refer to them weakly, give them attributes, hang
//! greenlet-local data on them. One that was handed from request to request would hand all this on, too, from
//! one client to another. Therefore a green thread is kept only if the request left no trace: nobody has a
//! reference to it who had none at the start, strong or weak, and it has no attributes. The context variables
//! are set back. What is left to see of its past is its address, which a new one could have as well.
//!
//! A green thread that is done goes on with the next request that the hub has found, without a switch in between:
//! it takes what the hub would have given to another one.
//!
//! References can be counted because those that resume green threads, in the hub and in each other, keep none of
//! them while these run: see [`Scheduler::hand`](crate::hub::scheduler::Scheduler::hand). So it makes no difference
//! whether the request has waited. Whoever else has resumed it has had a reference, and as long as there is one
//! more than there was, the green thread is not used again.

use eventlet_greenlet::{Greenlet, greenlet_exit};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;

use super::connection::Connection;
use super::server::WsgiServer;
use crate::cell::GilCell;
use crate::hub::io::Ready;
use crate::hub::scheduler::{Scheduler, Task};
use crate::hub::{self, Hub, ParkId, Wake};
use crate::{datastack, local};

/// The function of a green thread that runs requests.
#[pyclass(frozen, module = "eventlet._core")]
pub struct Worker {
    server: Py<WsgiServer>,
    /// The connection whose request is to run next.
    next: GilCell<Option<Py<Connection>>>,
}

/// A green thread that waits for a request.
pub struct Spare {
    pub id: ParkId,
    green_thread: Greenlet,
    worker: Py<Worker>,
    hub: Py<Hub>,
}

#[pymethods]
impl Worker {
    /// Runs requests until there is no reason to wait for another.
    fn __call__(slf: &Bound<'_, Self>) -> PyResult<()> {
        // This frame is copied with every green thread whose application waits: it has to be small.
        let py = slf.py();
        Self::begin(py)?;
        while let Some(connection) = slf.get().next.take(py) {
            let references = Self::references(py)?;
            Connection::run(connection.bind(py))?;
            drop(connection);
            if !Self::has_another(slf, references)? {
                break;
            }
        }
        Self::end(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.server)?;
        self.next.peek(|next| visit.call(next)).unwrap_or(Ok(()))
    }
}

impl Worker {
    /// Runs the request that `connection` has ready, in a green thread that waits or in a new one.
    ///
    /// In the hub.
    pub(super) fn start(connection: &Bound<'_, Connection>, hub: &Bound<'_, Hub>) -> PyResult<()> {
        let py = hub.py();
        let server = connection.get().server.bind(py);
        let (worker, green_thread) = match server.get().take_worker(py) {
            Some(spare) => {
                // It is resumed here and now, so its wake-up is not queued.
                hub.get()
                    .scheduler
                    .with(py, |s| s.parks.mark(spare.id, Wake::Ready));
                (spare.worker.into_bound(py), spare.green_thread)
            }
            None => Self::new(server, hub)?,
        };
        let this = worker.get();
        let old = this.next.replace(py, Some(connection.clone().unbind()));
        drop(old);
        hub.get().counters.switches.add();
        let handed = hub.get().scheduler.with(py, |s| s.hand(green_thread));
        // SAFETY: the scheduler keeps it alive until it has been resumed, and the GIL is held. A new reference or
        // NULL with an exception comes back.
        unsafe { Bound::from_owned_ptr_or_err(py, handed.switch()) }.map(drop)
    }

    fn new<'py>(
        server: &Bound<'py, WsgiServer>,
        hub: &Bound<'py, Hub>,
    ) -> PyResult<(Bound<'py, Self>, Greenlet)> {
        let py = hub.py();
        let worker = Self {
            server: server.clone().unbind(),
            next: GilCell::new(None),
        };
        let worker = Bound::new(py, worker)?;
        let green_thread = Greenlet::new(py, worker.as_any(), &Hub::ensure_greenlet(hub)?)?;
        Ok((worker, green_thread))
    }

    /// What comes before the first request.
    #[inline(never)]
    fn begin(py: Python<'_>) -> PyResult<()> {
        let hub = hub::current(py)?;
        let handed = hub.get().scheduler.with(py, Scheduler::take_handed);
        if let Some(green_thread) = handed {
            drop(green_thread.into_object().into_bound(py));
        }
        datastack::begin(py);
        Ok(())
    }

    /// How many references there are to the running green thread; none if nobody can tell.
    #[inline(never)]
    fn references(py: Python<'_>) -> PyResult<Option<isize>> {
        Ok(Greenlet::current(py)?.unmarked_references())
    }

    /// Takes the next request, waiting for it; false if the green thread is to end. `references` is how many there
    /// were to it before the last one.
    #[inline(never)]
    fn has_another(slf: &Bound<'_, Self>, references: Option<isize>) -> PyResult<bool> {
        let py = slf.py();
        let green_thread = Greenlet::current(py)?;
        if references.is_none() || green_thread.unmarked_references() != references {
            return Ok(false);
        }
        green_thread
            .bind(py)
            .setattr(intern!(py, "gr_context"), py.None())?;
        Ok(Self::go_on(slf)? || Self::wait(slf, &green_thread)?)
    }

    #[inline(never)]
    fn end(py: Python<'_>) -> PyResult<()> {
        local::end(py, &Greenlet::current(py)?)
    }

    /// Looks for a request among what the hub would do next; false if that is something else.
    ///
    /// It saves two switches for each request of a busy server, and changes nothing about their order.
    fn go_on(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        let hub = hub::current(py)?;
        let of_server = |handler: &dyn Ready| Connection::is_of(handler, &this.server);
        while let Some(handler) = hub.get().scheduler.with(py, |s| s.take_ready(of_server)) {
            // As a switch to it would be: a sign to those who watch that the hub is not held up.
            hub.get().counters.switches.add();
            if let Some(connection) = Connection::take_up(&*handler, &hub)? {
                let old = this.next.replace(py, Some(connection));
                drop(old);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Waits for a request; false if there will be none.
    fn wait(slf: &Bound<'_, Self>, green_thread: &Greenlet) -> PyResult<bool> {
        let py = slf.py();
        let server = slf.get().server.get();
        let hub = hub::current(py)?;
        let parking = hub.get().park(py, green_thread, None);
        let id = parking.id;
        let spare = Spare {
            id,
            green_thread: green_thread.clone_ref(py),
            worker: slf.clone().unbind(),
            hub: hub.clone().unbind(),
        };
        if let Some(spare) = server.keep_worker(py, spare) {
            hub.get().unpark(py, parking.id);
            drop(spare);
            return Ok(false);
        }
        let result = Hub::wait(&hub, green_thread, parking);
        // It is there still if somebody else than `start` has resumed it.
        let stranger = server.remove_worker(py, id);
        drop(stranger);
        result?;
        Ok(true)
    }
}

impl Spare {
    /// Shows the references to the garbage collector.
    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(self.green_thread.object())?;
        visit.call(&self.worker)?;
        visit.call(&self.hub)
    }

    /// Ends a green thread that waits for a request, in the next round of its hub.
    pub(super) fn dismiss(self, py: Python<'_>) -> PyResult<()> {
        let exit = greenlet_exit(py).call0()?.unbind();
        self.hub
            .get()
            .scheduler
            .with(py, |s| s.push(Task::Throw(self.green_thread, exit)));
        Ok(())
    }
}
