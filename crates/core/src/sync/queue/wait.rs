//! Waiting for room or for an item.

use eventlet_greenlet::Greenlet;
use pyo3::prelude::*;

use super::state::Putter;
use super::{LightQueue, standard_error};
use crate::errors;
use crate::hub::{self, Hub, ParkId};
use crate::sync::args::deadline;
use crate::sync::waiters::{Waiter, wait_in_line};

impl LightQueue {
    /// Puts after the native store had no room.
    #[cold]
    #[inline(never)]
    pub(super) fn put_slow(
        slf: &Bound<'_, Self>,
        item: Py<PyAny>,
        block: bool,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let hub = hub::current(py)?;
        let greenlet = Greenlet::current(py)?;
        if hub.get().is_hub_greenlet(py, &greenlet) {
            return Self::put_in_hub(slf, item, block);
        }
        let deadline = if block { deadline(timeout) } else { None };
        let parking = hub.get().park(py, &greenlet, deadline);
        let putter = Putter {
            waiter: Waiter {
                hub: hub.clone().unbind(),
                id: parking.id,
            },
            item,
            block,
        };
        // For a store that is a Python object the length was taken just before, by `put_general`; the native
        // one may have changed while the hub was looked for.
        let length = Self::length(slf)?;
        let entered = this.state.with(py, |s| {
            let native = s.stored().is_some() && !this.hooks.items;
            if native && s.putters.is_empty() && s.has_room(length) {
                s.store_native(putter.item);
                s.unfinished += i64::from(this.counts);
                return Ok((false, s.call_getter(length + 1)));
            }
            if !block && s.getters.is_empty() {
                return Err(putter);
            }
            s.putters.push_back(putter);
            Ok((true, s.call_getter(length)))
        });
        let (waits, getter) = match entered {
            Ok(entered) => entered,
            Err(putter) => {
                hub.get().unpark(py, parking.id);
                drop(putter);
                return Err(standard_error(py, "Full"));
            }
        };
        match getter {
            Some(getter) => getter.wake(py),
            None => this.watchers.notify(py),
        }
        if !waits {
            hub.get().unpark(py, parking.id);
            return Ok(());
        }
        let (id, result) = wait_in_line(&hub, &greenlet, parking, deadline, |old, new| {
            this.state.with(py, |s| {
                let putter = s.putters.iter_mut().find(|p| p.waiter.is(&hub, old));
                putter.map(|putter| putter.waiter.id = new).is_some()
            })
        });
        let left = this.remove_putter(py, &hub, id);
        match (result, left) {
            (Ok(_), None) => Ok(()),
            // Nobody has taken the item: the time is up, or the getter that it called is gone.
            (Ok(_), Some(_)) => Err(standard_error(py, "Full")),
            (Err(error), _) => Err(error),
        }
    }

    fn remove_putter(&self, py: Python<'_>, hub: &Bound<'_, Hub>, id: ParkId) -> Option<Putter> {
        self.state.with(py, |s| {
            let index = s.putters.iter().position(|p| p.waiter.is(hub, id))?;
            s.putters.remove(index)
        })
    }

    /// A put in the hub's own greenlet, which cannot wait, after there was no room.
    #[cold]
    fn put_in_hub(slf: &Bound<'_, Self>, item: Py<PyAny>, block: bool) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if block {
            return Err(errors::mainloop_error());
        }
        if this.state.with(py, |s| s.getters.is_empty()) {
            return Err(standard_error(py, "Full"));
        }
        Self::hook_put(slf, item)?;
        Self::settle(slf)
    }

    /// After a getter has given up: passes its call on, and tells putters that counted on it.
    #[cold]
    pub(super) fn leave(slf: &Bound<'_, Self>, called: bool) -> PyResult<()> {
        let py = slf.py();
        if called {
            slf.get().state.with(py, |s| s.promised -= 1);
        }
        Self::settle(slf)
    }

    /// Fetches what a getter that has been called was promised; `None` if it was taken back.
    pub(super) fn fetch_promised(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        let this = slf.get();
        if !this.hooks.items && !this.hooks.size {
            let counts = this.counts;
            let taken = this.state.with(py, |s| {
                s.stored()?;
                s.promised -= 1;
                Some(s.take_native(counts))
            });
            match taken {
                Some(Some((item, putter))) => {
                    if let Some(putter) = putter {
                        putter.wake(py);
                    }
                    return Ok(Some(item));
                }
                Some(None) => return Ok(None),
                None => {}
            }
        }
        Self::take_general(slf)
    }
}

/// Wakes a putter whose item has been taken.
#[inline]
pub(super) fn wake_putter(py: Python<'_>, putter: Waiter, block: bool) {
    if block {
        putter.wake(py);
    } else {
        // Only a get that does not wait can be the hub's.
        putter.wake_from(py);
    }
}
