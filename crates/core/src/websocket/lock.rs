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
    /// Whether nobody has it.
    #[inline]
    pub fn is_free(&self) -> bool {
        matches!(self, Self::Free)
    }

    /// Takes it if nobody has it.
    #[inline]
    pub fn try_take(&mut self) -> bool {
        let free = self.is_free();
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
            Some(semaphore) => Some(semaphore),
            None => self.share(py)?,
        };
        let Some(semaphore) = semaphore else {
            return Ok(());
        };
        semaphore.call_method0(py, intern!(py, "acquire")).map(drop)
    }

    /// Makes a semaphore of the lock, to wait for; none if the lock has been taken instead.
    #[cold]
    fn share(&self, py: Python<'_>) -> PyResult<Option<Py<Semaphore>>> {
        let semaphore = py.get_type::<Semaphore>().call1((0,))?;
        let semaphore = semaphore.cast_into::<Semaphore>()?.unbind();
        // Making it may have run other code, after which the lock may be free.
        Ok(self.state.with(py, |s| {
            if s.lock.try_take() {
                return None;
            }
            if let Lock::Shared(other) = &s.lock {
                return Some(other.clone_ref(py));
            }
            s.lock = Lock::Shared(semaphore.clone_ref(py));
            Some(semaphore.clone_ref(py))
        }))
    }

    /// Gives the lock to the next who waits, or up.
    pub(super) fn release(&self, py: Python<'_>) -> PyResult<()> {
        let shared = self.state.with(py, |s| {
            if let Lock::Shared(semaphore) = &s.lock {
                return Some(semaphore.clone_ref(py));
            }
            s.lock = Lock::Free;
            None
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
