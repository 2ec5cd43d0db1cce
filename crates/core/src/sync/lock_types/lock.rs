//! Who has a lock of the standard library.
//!
//! The C lock is what decides: it is free whenever C says so. An OS thread without a hub calls the original
//! methods, and does as it always did. One with a hub tries the original without blocking; if that fails the
//! green thread waits in [line](super::line).
//!
//! A *reentrant* lock belongs, for C, to an OS thread. The table of the lines adds which of its greenlets it is,
//! and how often that has taken the lock. What the table says is checked against C where it stands in somebody's
//! way, since it may be out of date: a lock may be released behind our back, or may be another one at the same
//! address. A lock that an OS thread took when the types were not changed yet counts as taken by the thread's
//! first greenlet; if it was not the first greenlet who changed them, as taken by each of them.

use std::sync::atomic::{AtomicBool, Ordering};

use eventlet_greenlet::Greenlet;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::line::Line;
use super::{Originals, Types, types};
use crate::hub;
use crate::ident;

/// A lock of the standard library, of either type.
pub(super) struct Lock<'a, 'py> {
    pub(super) object: &'a Bound<'py, PyAny>,
    pub(super) types: &'a Types,
    pub(super) reentrant: bool,
}

impl<'a, 'py> Lock<'a, 'py> {
    pub(super) fn plain(object: &'a Bound<'py, PyAny>) -> PyResult<Self> {
        let types = types(object.py())?;
        let reentrant = false;
        Ok(Self {
            object,
            types,
            reentrant,
        })
    }

    pub(super) fn reentrant(object: &'a Bound<'py, PyAny>) -> PyResult<Self> {
        let types = types(object.py())?;
        let reentrant = true;
        Ok(Self {
            object,
            types,
            reentrant,
        })
    }

    pub(super) fn py(&self) -> Python<'py> {
        self.object.py()
    }

    pub(super) fn originals(&self) -> &'a Originals {
        if self.reentrant {
            &self.types.reentrant
        } else {
            &self.types.plain
        }
    }

    /// The original `acquire`, which blocks the OS thread.
    pub(super) fn block(&self, blocking: bool, timeout: f64) -> PyResult<bool> {
        let acquire = self.originals().acquire.bind(self.py());
        acquire.call1((self.object, blocking, timeout))?.is_truthy()
    }

    /// The original `acquire`, without waiting.
    fn try_original(&self) -> PyResult<bool> {
        let acquire = self.originals().acquire.bind(self.py());
        acquire.call1((self.object, false))?.is_truthy()
    }

    /// The original `release`.
    pub(super) fn release_original(&self) -> PyResult<()> {
        let release = self.originals().release.bind(self.py());
        release.call1((self.object,)).map(drop)
    }

    /// Whether C says that this OS thread has it.
    pub(super) fn is_owned_original(&self) -> PyResult<bool> {
        let is_owned = self.types.is_owned.bind(self.py());
        is_owned.call1((self.object,))?.is_truthy()
    }

    /// Notes that the caller has it.
    fn own(&self, me: u64, count: u64) {
        self.line().with_entry(|entry| {
            entry.owner = me;
            entry.count = count;
            entry.thread = ident::thread();
        });
    }

    pub(super) fn holder(&self, me: u64) -> Holder {
        let found = self.line().look(|entry| {
            if entry.is_owned_by(me) {
                Holder::Me
            } else if entry.is_owned_here() {
                Holder::Neighbour
            } else {
                Holder::Unknown
            }
        });
        found.unwrap_or(Holder::Unknown)
    }

    /// As [`holder`](Self::holder), but a neighbour does have it.
    pub(super) fn true_holder(&self, me: u64) -> PyResult<Holder> {
        let holder = self.holder(me);
        if holder == Holder::Neighbour && !self.is_owned_original()? {
            self.line().with_entry(|entry| entry.count = 0);
            return Ok(Holder::Unknown);
        }
        Ok(holder)
    }

    /// Takes it if that takes no waiting.
    pub(super) fn take(&self, me: u64) -> PyResult<bool> {
        if !self.reentrant {
            return self.try_original();
        }
        match self.true_holder(me)? {
            Holder::Neighbour => return Ok(false),
            Holder::Me => {
                if self.try_original()? {
                    self.line().with_entry(|entry| entry.count += 1);
                    return Ok(true);
                }
                // Somebody has released it behind our back, and another OS thread has taken it.
                self.line().with_entry(|entry| entry.count = 0);
                return Ok(false);
            }
            Holder::Unknown => {}
        }
        if self.is_owned_original()? {
            return Ok(may_have_unknown(me) && self.try_original()?);
        }
        let taken = self.try_original()?;
        if taken {
            self.own(me, 1);
        }
        Ok(taken)
    }

    /// Takes it, for an OS thread that may have a hub.
    pub(super) fn acquire(&self, blocking: bool, timeout: Option<f64>) -> PyResult<bool> {
        let me = self.me()?;
        // Unless it is not about a turn, because this OS thread has it anyway.
        let queue = blocking
            && self.line().comes_after_neighbours()
            && !(self.reentrant && self.is_owned_original()?);
        if !queue && self.take(me)? {
            return Ok(true);
        }
        if !blocking {
            return Ok(false);
        }
        self.wait(me, timeout)
    }

    /// The number of the running greenlet, where that matters.
    pub(super) fn me(&self) -> PyResult<u64> {
        if self.reentrant {
            ident::current(self.py())
        } else {
            Ok(0)
        }
    }

    /// Waits for it in line.
    fn wait(&self, me: u64, timeout: Option<f64>) -> PyResult<bool> {
        let py = self.py();
        let (Ok(greenlet), Some(hub)) = (Greenlet::current(py), hub::existing(py)) else {
            let taken = self.block(true, timeout.unwrap_or(NEVER))?;
            return Ok(self.note(me, taken));
        };
        let taken = self.line().wait(&hub, &greenlet, timeout, || {
            Ok(self.take(me)?.then_some(()))
        })?;
        Ok(taken.is_some())
    }

    /// Those who wait for it.
    pub(super) fn line(&self) -> Line<'a, 'py> {
        Line(self.object)
    }

    /// Notes that the caller has it, if that is so.
    fn note(&self, me: u64, taken: bool) -> bool {
        if taken && self.reentrant {
            self.own(me, 1);
        }
        taken
    }

    /// Releases it once.
    pub(super) fn release(&self, me: u64) -> PyResult<()> {
        if self.reentrant {
            match self.true_holder(me)? {
                Holder::Me => self.line().with_entry(|entry| entry.count -= 1),
                Holder::Neighbour => return Err(not_yours()),
                Holder::Unknown => {}
            }
        }
        self.release_original()?;
        self.line().call_first();
        Ok(())
    }

    /// The original `_at_fork_reinit`. Those of this OS thread who wait get their turn.
    pub(super) fn reinit(&self) -> PyResult<()> {
        let py = self.py();
        let me = ident::current(py)?;
        // A green thread that lives on in the child goes on having it.
        if self.reentrant && self.true_holder(me)? == Holder::Neighbour {
            return Ok(());
        }
        self.originals().reinit.bind(py).call1((self.object,))?;
        self.line().with_entry(|entry| entry.count = 0);
        self.line().call_first();
        Ok(())
    }
}

/// Whether a greenlet may take again what was taken before anybody took notice.
pub(super) fn may_have_unknown(me: u64) -> bool {
    me == ident::thread() || ANYBODY.load(Ordering::Relaxed)
}

/// Sets whether green threads may have taken locks before anybody took notice.
pub(super) fn expect_unknown_owners(on: bool) {
    ANYBODY.store(on, Ordering::Relaxed);
}

static ANYBODY: AtomicBool = AtomicBool::new(false);

#[cold]
pub(super) fn not_yours() -> PyErr {
    PyRuntimeError::new_err("cannot release un-acquired lock")
}

/// The timeout that stands for none.
pub(super) const NEVER: f64 = -1.0;

/// Who has a reentrant lock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    Me,
    /// Another greenlet of this OS thread.
    Neighbour,
    /// Nobody, another OS thread, or this one without our knowledge.
    Unknown,
}
