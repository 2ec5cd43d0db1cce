//! The general path: items in a Python object, or wherever a subclass keeps them.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::LightQueue;
use super::state::Store;

/// Methods that a subclass has replaced.
#[derive(Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each method")]
pub(super) struct Hooks {
    pub(super) init: bool,
    /// `_get` or `_put`.
    pub(super) items: bool,
    pub(super) size: bool,
    pub(super) get: bool,
    pub(super) put: bool,
}

impl Hooks {
    pub(super) fn of(cls: &Bound<'_, PyType>, base: &Bound<'_, PyType>) -> PyResult<Self> {
        if cls.is(base) {
            return Ok(Self::default());
        }
        let differs = |name: &str| Ok::<_, PyErr>(!cls.getattr(name)?.is(base.getattr(name)?));
        Ok(Self {
            init: differs("_init")?,
            items: differs("_get")? || differs("_put")?,
            size: differs("qsize")?,
            get: differs("get")?,
            put: differs("put")?,
        })
    }
}

impl LightQueue {
    /// How many items it holds, promised ones left out, in the way that a subclass may have defined.
    pub(super) fn content(slf: &Bound<'_, Self>) -> PyResult<usize> {
        if slf.get().hooks.size {
            slf.call_method0(intern!(slf.py(), "qsize"))?.extract()
        } else {
            slf.get().qsize(slf.py())
        }
    }

    /// How many items are in store, promised ones included.
    pub(super) fn length(slf: &Bound<'_, Self>) -> PyResult<usize> {
        let py = slf.py();
        let this = slf.get();
        if this.hooks.size {
            return slf.call_method0(intern!(py, "qsize"))?.extract();
        }
        let stored = this.state.with(py, |s| match &s.store {
            Store::Object(object) => Err(object.clone_ref(py)),
            _ => Ok(s.stored().unwrap_or(0)),
        });
        stored.or_else(|object| object.bind(py).len())
    }

    /// Puts by way of the hooks.
    #[cold]
    pub(super) fn put_general(
        slf: &Bound<'_, Self>,
        item: Py<PyAny>,
        block: bool,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let length = Self::length(slf)?;
        let room = this.state.with(py, |s| {
            let room = s.putters.is_empty() && s.has_room(length);
            s.moving += usize::from(room);
            room
        });
        if !room {
            return Self::put_slow(slf, item, block, timeout);
        }
        let result = Self::hook_put(slf, item);
        this.state.with(py, |s| s.moving -= 1);
        result?;
        Self::settle(slf)?;
        this.watchers.notify(py);
        Ok(())
    }

    /// Takes an item by way of the hooks, for somebody who has been promised one.
    pub(super) fn take_general(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        let this = slf.get();
        let taken = (|| {
            if Self::length(slf)? > 0 {
                return Self::hook_get(slf).map(Some);
            }
            let Some(putter) = this.state.with(py, |s| s.putters.pop_front()) else {
                return Ok(None);
            };
            let moved = Self::hook_put(slf, putter.item).and_then(|()| Self::hook_get(slf));
            putter.waiter.wake_from(py);
            moved.map(Some)
        })();
        this.state.with(py, |s| s.promised -= 1);
        Self::settle(slf)?;
        taken
    }

    pub(super) fn hook_put(slf: &Bound<'_, Self>, item: Py<PyAny>) -> PyResult<()> {
        if slf.get().hooks.items {
            slf.call_method1(intern!(slf.py(), "_put"), (item,))
                .map(drop)
        } else {
            slf.get().store(slf.py(), item)
        }
    }

    pub(super) fn hook_get(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        if slf.get().hooks.items {
            Ok(slf.call_method0(intern!(slf.py(), "_get"))?.unbind())
        } else {
            slf.get().fetch(slf.py())
        }
    }

    /// Lets putters move up, calls getters, and refuses putters that wait in vain, until all is at rest.
    pub(super) fn settle(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        loop {
            let length = Self::length(slf)?;
            let (putter, getter) = this.state.with(py, |s| {
                if s.putters.is_empty() || !s.has_room(length) {
                    return (None, s.call_getter(length));
                }
                s.moving += 1;
                (s.putters.pop_front(), None)
            });
            match (putter, getter) {
                (Some(putter), _) => {
                    let moved = Self::hook_put(slf, putter.item);
                    this.state.with(py, |s| s.moving -= 1);
                    // Not before the item is in its place: another OS thread may go on at once.
                    putter.waiter.wake(py);
                    moved?;
                }
                (None, Some(getter)) => getter.wake(py),
                (None, None) => {
                    let refused = this.state.with(py, |s| s.refused(py, length));
                    for putter in refused {
                        putter.wake(py);
                    }
                    return Ok(());
                }
            }
        }
    }
}
