//! The end of a hub.
//!
//! A hub and its greenlet refer to each other, and half of that is on the greenlet's C stack, where the
//! garbage collector cannot look. So a hub that has run is not freed by itself: its greenlet has to be
//! ended. This happens when the thread gets another hub and when the thread ends. The main thread is left
//! out of the latter, as the interpreter is hardly usable by then and the process ends anyway.

use std::sync::atomic::Ordering;

use eventlet_greenlet::{Greenlet, greenlet_exit};
use eventlet_reactor::TimerQueue;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use pyo3::{ffi, intern};

use super::scheduler::Task;
use super::signals::is_main_thread;
use super::{Hub, ParkId, Wake, existing, set_current};
use crate::{clock, errors, ident};

impl Hub {
    /// Ends the hub's greenlet and drops its queue, timers and listeners.
    ///
    /// The caller is a greenlet of the same thread; if it is a child of the hub, it becomes one of
    /// `successor`. Those that are parked stay so; what wakes them now hands them to the thread's next hub.
    /// A hub that runs a callback at this moment cannot be ended and is left as it is.
    pub(super) fn close(
        slf: &Bound<'_, Self>,
        successor: Option<&Bound<'_, Self>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let current = Greenlet::current(py)?;
        if !this.is_mine() || this.is_hub_greenlet(py, &current) {
            return Ok(());
        }
        this.closed.store(true, Ordering::Relaxed);
        this.special.store(true, Ordering::Relaxed);
        this.leave_host(py);
        let own = this.greenlet.take(py);
        // Dropped last, as that may run anything.
        let contents = this.take_queues(py);
        if let Some(own) = own {
            let heir = match successor {
                Some(successor) => Self::ensure_greenlet(successor)?,
                None => root(py, &current),
            };
            let mut child = current.clone_ref(py);
            while let Some(parent) = child.parent(py) {
                if parent.is(&own) {
                    child.set_parent(py, &heir)?;
                    break;
                }
                child = parent;
            }
            if !own.is_dead() {
                own.set_parent(py, &current)?;
                own.throw(py, PyErr::from_type(greenlet_exit(py), ()))?;
            }
            own.set_parent(py, &heir)?;
        }
        drop((contents, this.kept.take(py)));
        Ok(())
    }

    /// Takes out all that waits to run; the caller drops it outside of any borrow.
    pub(super) fn take_queues(&self, py: Python<'_>) -> impl Sized + use<> {
        let scheduled = self.scheduler.with(py, |s| {
            let timers = std::mem::replace(&mut s.timers, TimerQueue::new(clock::now()));
            (s.clear(), timers)
        });
        (scheduled, self.io.with(py, super::io::Io::clear))
    }

    /// Raises `GreenletExit` in everybody who is parked on this hub, which is closed.
    ///
    /// A parked green thread refers to itself from its own stack, so it would never be freed otherwise.
    fn end_parked(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let current = Greenlet::current(py)?;
        let parked: Vec<_> = slf.get().scheduler.with(py, |s| {
            let parked = s.parks.greenlets();
            parked.map(|greenlet| greenlet.clone_ref(py)).collect()
        });
        for greenlet in parked {
            if greenlet.is_dead() || greenlet.is_main() {
                continue;
            }
            greenlet.set_parent(py, &current)?;
            if let Err(error) = greenlet.throw(py, PyErr::from_type(greenlet_exit(py), ())) {
                errors::unraisable(py, error, Some(greenlet.bind(py)));
            }
        }
        Ok(())
    }

    /// Wakes a green thread that is parked on this hub, which is closed: it goes on in the next one.
    #[cold]
    pub(super) fn hand_over(&self, py: Python<'_>, id: ParkId, wake: Wake) {
        let greenlet = self.scheduler.with(py, |s| {
            let marked = s.parks.mark(id, wake);
            let greenlet = s.parks.greenlet(id).filter(|_| marked);
            greenlet.map(|greenlet| greenlet.clone_ref(py))
        });
        if let Some(greenlet) = greenlet
            && let Some(hub) = existing(py)
            && let Ok(switch) = greenlet.bind(py).getattr(intern!(py, "switch"))
        {
            let call = Task::Call(switch.unbind());
            hub.get().scheduler.with(py, |s| s.push(call));
            hub.get().nudge(py);
        }
    }
}

fn root(py: Python<'_>, greenlet: &Greenlet) -> Greenlet {
    let mut root = greenlet.clone_ref(py);
    while let Some(parent) = root.parent(py) {
        root = parent;
    }
    root
}

/// For those who wait on a hub that is no more.
#[cold]
pub(super) fn closed_error() -> PyErr {
    PyRuntimeError::new_err("the hub is closed: its thread has another one, or is ending")
}

/// Lives in the dictionary of a thread's state, so it is dropped when the thread ends.
#[pyclass(frozen, module = "eventlet._core")]
struct ThreadEnd {
    thread: u64,
}

impl Drop for ThreadEnd {
    fn drop(&mut self) {
        // In a forked child, the thread that is left drops what belongs to the others.
        if self.thread != ident::thread() {
            return;
        }
        Python::attach(|py| {
            if is_finalizing(py) {
                drop(set_current(py, None));
            } else {
                end_hub(py);
            }
        });
    }
}

/// Ends the hub of the calling thread, if it has one, and with it the green threads that it has: for a thread
/// that is about to end. It happens by itself when a thread has ended, but nobody can wait for that.
#[pyfunction]
pub fn end_hub(py: Python<'_>) {
    let Some(hub) = existing(py) else { return };
    if let Err(error) = Hub::close(&hub, None).and_then(|()| Hub::end_parked(&hub)) {
        errors::unraisable(py, error, Some(hub.as_any()));
    }
    // Until here it was the current one, so that nothing could make another.
    drop(set_current(py, None));
}

/// Whether the interpreter is shutting down, when there is nothing left to tidy up for.
fn is_finalizing(py: Python<'_>) -> bool {
    static FUNCTION: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    FUNCTION
        .import(py, "sys", "is_finalizing")
        .and_then(|function| function.call0()?.extract())
        .unwrap_or(true)
}

/// Has the hub of this thread closed when the thread ends.
pub(super) fn at_thread_end(py: Python<'_>) -> PyResult<()> {
    if is_main_thread(py)? {
        return Ok(());
    }
    // SAFETY: the GIL is held; a borrowed reference or NULL, without an exception, comes back.
    let state = unsafe { Bound::from_borrowed_ptr_or_opt(py, ffi::PyThreadState_GetDict()) };
    match state {
        Some(state) => {
            let state = state.cast::<PyDict>()?;
            let key = intern!(py, "eventlet._core");
            if state.contains(key)? {
                return Ok(());
            }
            let thread = ident::thread();
            state.set_item(key, ThreadEnd { thread })
        }
        None => Ok(()),
    }
}
