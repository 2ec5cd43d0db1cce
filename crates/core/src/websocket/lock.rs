//! Who may write: one green thread at a time, the others in the order in which they came.
//!
//! Mostly nobody competes, and the lock is a flag. The first who has to wait makes a semaphore of it.

use pyo3::intern;
use pyo3::prelude::*;

use super::base::WebSocketBase;
use crate::sync::semaphore::Semaphore;

/// The state of the lock.
#[derive(Default)]
pub enum Lock {
    /// Nobody writes.
    #[default]
    Free,
    /// Somebody does.
    Held,
    /// Somebody does, or is about to, and there are or were others.
    Shared(Py<Semaphore>),
}

impl Lock {
    /// Takes it if nobody has it.
    #[inline]
    pub fn try_take(&mut self) -> bool {
        let free = matches!(self, Self::Free);
        if free {
            *self = Self::Held;
        }
        free
    }
}

impl WebSocketBase {
    /// Takes the lock, waiting for it.
    pub(super) fn acquire(&self, py: Python<'_>) -> PyResult<()> {
        if self.state.with(py, |s| s.lock.try_take()) {
            return Ok(());
        }
        let shared = self.state.with(py, |s| match &s.lock {
            Lock::Shared(semaphore) => Some(semaphore.clone_ref(py)),
            _ => None,
        });
        let semaphore = match shared {
            Some(semaphore) => semaphore,
            None => {
                let semaphore = py.get_type::<Semaphore>().call1((0,))?;
                let semaphore = semaphore.cast_into::<Semaphore>()?.unbind();
                // Making it may have run other code, after which nobody may hold the lock, or it be shared.
                let (taken, shared) = self.state.with(py, |s| {
                    if s.lock.try_take() {
                        return (true, None);
                    }
                    match &s.lock {
                        Lock::Shared(other) => (false, Some(other.clone_ref(py))),
                        _ => {
                            s.lock = Lock::Shared(semaphore.clone_ref(py));
                            (false, None)
                        }
                    }
                });
                if taken {
                    return Ok(());
                }
                shared.unwrap_or(semaphore)
            }
        };
        semaphore.call_method0(py, intern!(py, "acquire")).map(drop)
    }

    /// Gives the lock to the next who waits, or up.
    pub(super) fn release(&self, py: Python<'_>) -> PyResult<()> {
        let shared = self.state.with(py, |s| match &s.lock {
            Lock::Shared(semaphore) => Some(semaphore.clone_ref(py)),
            _ => {
                s.lock = Lock::Free;
                None
            }
        });
        let Some(semaphore) = shared else {
            return Ok(());
        };
        semaphore.get().release(py, None)?;
        if !semaphore.get().locked(py) {
            // Nobody has been given it, so nobody waits.
            let old = self.state.with(py, |s| std::mem::take(&mut s.lock));
            drop(old);
        }
        Ok(())
    }
}
