//! How green threads take turns with a lock of the standard library.
//!
//! The C lock stays what decides: it is free whenever C says so. An OS thread without a hub calls the original
//! methods, and does as it always did. One with a hub tries the original without blocking; if that fails the
//! green thread parks, in a line that a table keeps under the address of the lock. A release wakes the first in
//! line, who tries again. So that it does not find the lock taken each time, a green thread which is willing to
//! wait does not overtake another of its OS thread. (To hand over the lock as our own do would not be right
//! here: code that knows these locks, as that of `Thread.join`, expects one to be free after its release.)
//!
//! A *reentrant* lock belongs, for C, to an OS thread. The table adds which of its greenlets it is, and how
//! often that has taken the lock. What the table says is checked against C where it stands in somebody's way,
//! since it may be out of date: a lock may be released behind our back, or may be another one at the same
//! address. A lock that an OS thread took when the types were not changed yet counts as taken by the thread's
//! first greenlet; if it was not the first greenlet who changed them, as taken by each of them.
//!
//! Not every release comes by here. C code may release a lock, as the end of an OS thread does with the one
//! that `Thread.join` waits for, and a method that was taken off a lock earlier is the original one. So the
//! first in line also looks for itself from time to time. The others do so less often; then they take the lock
//! if they can, as the first may be of an OS thread that is busy with something else.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use eventlet_greenlet::Greenlet;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::{Originals, Types, types};
use crate::cell::GilCell;
use crate::hub::{self, Hub, Wake};
use crate::sync::args::deadline;
use crate::sync::waiters::{Waiter, Waiters, wait_in_line};
use crate::{clock, ident};

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

    fn key(&self) -> usize {
        self.object.as_ptr() as usize
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

    /// Changes what is known of it.
    pub(super) fn with_entry<R>(&self, change: impl FnOnce(&mut Entry) -> R) -> R {
        let key = self.key();
        TABLE.with(self.py(), |table| {
            let entry = table.entry(key).or_default();
            let result = change(entry);
            if entry.is_idle() {
                table.remove(&key);
            }
            result
        })
    }

    /// Notes that the caller has it.
    fn own(&self, me: u64, count: u64) {
        self.with_entry(|entry| {
            entry.owner = me;
            entry.count = count;
            entry.thread = ident::thread();
        });
    }

    pub(super) fn holder(&self, me: u64) -> Holder {
        let key = self.key();
        TABLE.with(self.py(), |table| match table.get(&key) {
            Some(entry) if entry.is_owned_by(me) => Holder::Me,
            Some(entry) if entry.is_owned_here() => Holder::Neighbour,
            _ => Holder::Unknown,
        })
    }

    /// As [`holder`](Self::holder), but a neighbour does have it.
    pub(super) fn true_holder(&self, me: u64) -> PyResult<Holder> {
        let holder = self.holder(me);
        if holder == Holder::Neighbour && !self.is_owned_original()? {
            self.with_entry(|entry| entry.count = 0);
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
                    self.with_entry(|entry| entry.count += 1);
                    return Ok(true);
                }
                // Somebody has released it behind our back, and another OS thread has taken it.
                self.with_entry(|entry| entry.count = 0);
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
            && self.comes_after_neighbours()
            && !(self.reentrant && self.is_owned_original()?);
        if !queue && self.take(me)? {
            return Ok(true);
        }
        if !blocking {
            return Ok(false);
        }
        self.wait(me, timeout)
    }

    /// Whether another green thread of this OS thread comes first; in the hub nobody does.
    fn comes_after_neighbours(&self) -> bool {
        let py = self.py();
        let key = self.key();
        let mine = TABLE.with(py, |table| {
            let first = table.get(&key)?.waiters.first()?;
            Some(first.hub.get().is_mine())
        });
        mine == Some(true)
            && hub::existing(py).is_some_and(|hub| Hub::waiting_greenlet(&hub).is_ok())
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
        // The caller may have the only reference, and may give it up while this waits.
        let _alive = self.object.clone();
        let (Ok(greenlet), Some(hub)) = (Greenlet::current(py), hub::existing(py)) else {
            let taken = self.block(true, timeout.unwrap_or(NEVER))?;
            return Ok(self.note(me, taken));
        };
        let in_hub = hub.get().is_hub_greenlet(py, &greenlet);
        let deadline = deadline(timeout);
        let mut pause = SHORTEST;
        let mut parking = hub.get().park(py, &greenlet, earlier(deadline, pause));
        let waiter = Waiter {
            hub: hub.clone().unbind(),
            id: parking.id,
        };
        self.with_entry(|entry| {
            if in_hub {
                // What the hub was about to do waits with it.
                entry.waiters.push_front(waiter);
            } else {
                entry.waiters.push(waiter);
            }
        });
        loop {
            let (id, result) = if in_hub {
                (parking.id, Hub::wait_here(&hub, parking.id))
            } else {
                wait_in_line(&hub, &greenlet, parking, None, |old, new| {
                    self.with_entry(|entry| entry.waiters.rename(&hub, old, new))
                })
            };
            let first = self.with_entry(|entry| entry.waiters.position(&hub, id)) == Some(0);
            let late = deadline.is_some_and(|deadline| clock::now() >= deadline);
            let taken = match result {
                Ok(Wake::Ready) if !first => Ok(false),
                Ok(_) => self.take(me),
                Err(error) => Err(error),
            };
            if late || !matches!(taken, Ok(false)) {
                let left = self.with_entry(|entry| entry.waiters.remove(&hub, id));
                drop(left);
                if !matches!(taken, Ok(true)) {
                    // It may have been called, and is not going to do anything about it.
                    self.call_first();
                }
                return taken;
            }
            pause = if first {
                (pause * 2).min(LONGEST)
            } else {
                REMOTE
            };
            parking = hub.get().park(py, &greenlet, earlier(deadline, pause));
            let new = parking.id;
            self.with_entry(|entry| entry.waiters.rename(&hub, id, new));
        }
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
                Holder::Me => self.with_entry(|entry| entry.count -= 1),
                Holder::Neighbour => return Err(not_yours()),
                Holder::Unknown => {}
            }
        }
        self.release_original()?;
        self.call_first();
        Ok(())
    }

    /// Has the first in line look for itself.
    pub(super) fn call_first(&self) {
        let py = self.py();
        let key = self.key();
        let first = TABLE.with(py, |table| {
            let entry = table.get(&key)?;
            entry.waiters.first().map(|first| first.clone_ref(py))
        });
        if let Some(first) = first {
            first.wake(py);
        }
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
        self.with_entry(|entry| entry.count = 0);
        self.call_first();
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

/// The moment to look at a lock again: after `pause`, but at the deadline if that is earlier.
fn earlier(deadline: Option<u64>, pause: u64) -> Option<u64> {
    let next = clock::now() + pause;
    Some(deadline.map_or(next, |deadline| deadline.min(next)))
}

#[cold]
pub(super) fn not_yours() -> PyErr {
    PyRuntimeError::new_err("cannot release un-acquired lock")
}

/// How long, in nanoseconds, the first in line waits before it looks for itself: at first, and at most.
pub(super) const SHORTEST: u64 = 2_000_000;
pub(super) const LONGEST: u64 = 50_000_000;

/// How long the others wait before they look whether they are the first.
const REMOTE: u64 = 500_000_000;

/// The timeout that stands for none.
pub(super) const NEVER: f64 = -1.0;

/// What is known of a lock beyond what C knows.
#[derive(Default)]
pub(super) struct Entry {
    /// For a reentrant one, how often it was taken; 0 if it is free, for all that is known.
    pub(super) count: u64,
    /// The number of the greenlet that has it.
    owner: u64,
    /// The OS thread of that greenlet.
    thread: u64,
    waiters: Waiters,
}

impl Entry {
    /// Whether a greenlet of this OS thread has it, for all that is known.
    fn is_owned_here(&self) -> bool {
        self.count > 0 && self.thread == ident::thread()
    }

    fn is_owned_by(&self, me: u64) -> bool {
        self.is_owned_here() && self.owner == me
    }

    fn is_idle(&self) -> bool {
        self.count == 0 && self.waiters.is_empty()
    }
}

type Table = BTreeMap<usize, Entry>;

/// The locks that somebody waits for or, if they are reentrant, that a greenlet has.
static TABLE: GilCell<Table> = GilCell::new(BTreeMap::new());

/// Who has a reentrant lock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    Me,
    /// Another greenlet of this OS thread.
    Neighbour,
    /// Nobody, another OS thread, or this one without our knowledge.
    Unknown,
}

/// In a forked child: forgets who of other OS threads waited.
pub fn after_fork_in_child(py: Python<'_>) {
    let gone: Vec<_> = TABLE.with(py, |table| {
        let entries = table.values_mut();
        entries.map(|entry| entry.waiters.take_others()).collect()
    });
    drop(gone);
}
