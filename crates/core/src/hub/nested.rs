//! Waiting in the hub itself.
//!
//! What runs on the hub's own stack cannot wait: nobody would be left to wake it. But a signal handler runs
//! wherever the signal finds the thread, and has no choice; if it wants to log, it needs a lock that a green
//! thread may hold. So for a lock the hub turns on the spot, on top of what it was doing, until the lock is
//! handed to it.
//!
//! The wait is parked like any other, and woken like any other: a green thread that finds it next in the
//! round switches to the hub's greenlet, which is here.

use pyo3::prelude::*;

use super::park::ParkId;
use super::{Hub, Wake};
use crate::errors;

impl Hub {
    /// Makes turns until the wait `id`, which the hub's own greenlet has announced, is over.
    #[cold]
    #[inline(never)]
    pub(crate) fn wait_here(slf: &Bound<'_, Self>, id: ParkId) -> PyResult<Wake> {
        let py = slf.py();
        let this = slf.get();
        let pending = || {
            this.scheduler
                .with(py, |s| s.parks.wake(id) == Some(Wake::Pending))
        };
        let mut result = Ok(());
        if this.hooks.wait || this.hooks.switch {
            // Its turns are made by somebody else.
            result = Err(errors::mainloop_error());
        }
        while result.is_ok() && pending() {
            result = Self::turn(slf, None);
        }
        let wake = this.unpark(py, id);
        result.map(|()| wake)
    }
}
