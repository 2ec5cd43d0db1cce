//! `LightQueue`, `Queue`, `LifoQueue` and `PriorityQueue`: items that some put in and others get out.
//!
//! # Theory of operation
//!
//! Three lines meet in a queue: the items in store, the *putters* whose items found no room, and the
//! *getters* who found no item. What getters can have is the supply: the items in store, then those that
//! putters still hold.
//!
//! A `put` stores its item and *calls* the first getter: takes it out of the line, wakes it, and counts it as
//! promised. The item stays in the store until the getter runs and fetches it; meanwhile it counts neither as
//! content nor against the room, and a later `get` sees only what is not promised. So items are had in the
//! order in which they were asked for, and a getter that is killed after it was called has nothing to put
//! back: it only passes the call on. A getter that was called and finds nothing, because the item was taken
//! back, returns to the head of the line.
//!
//! A putter waits with its item. Whoever makes room moves the item to the store and wakes the putter. In a
//! queue of size 0 there is never any room: getters take items from putters, and `put` returns once that has
//! happened. Even `put_nowait` then waits for the getter that it calls (which is ready to run), unless it is
//! called in the hub, where the item goes to the store all the same.
//!
//! Items are kept here, natively, until somebody asks for the attribute `queue`, which is a `deque` (or a
//! list) that programs may change: from then on it holds the items. Subclasses that define `_init`, `_get` or
//! `_put` keep them wherever they like. Both take the *general* path, in which every step may call Python;
//! a get then counts itself as promised first, so that no two take the same item.

mod general;
mod get;
mod kinds;
mod state;
mod wait;

use std::collections::VecDeque;

use pyo3::exceptions::PyIndexError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};
use pyo3::{PyTypeInfo, intern};

use self::general::Hooks;
use self::state::{Order, Put, State, Store};
use super::args::Flag;
use super::waiters::{self, Waiters};
use super::watchers::Watchers;
use crate::cell::GilCell;
use crate::hub::entry;

pub use self::get::GetCall;
pub use self::kinds::{LifoQueue, PriorityQueue, Queue};

/// `LightQueue(maxsize=None)`: a queue without `task_done` and `join`.
///
/// See `Queue` for what `maxsize` means.
#[pyclass(frozen, subclass, dict, weakref, module = "eventlet.queue")]
pub struct LightQueue {
    state: GilCell<State>,
    watchers: Watchers,
    order: Order,
    /// Whether items are counted until `task_done`.
    counts: bool,
    /// What the class of the instance defines itself.
    hooks: Hooks,
}

/// The size that `maxsize` stands for: None and negative numbers are no limit.
fn limit(maxsize: Option<i64>) -> Option<usize> {
    maxsize.and_then(|size| usize::try_from(size).ok())
}

/// Raises the standard library's `queue.Full` or `queue.Empty`.
#[cold]
fn standard_error(py: Python<'_>, name: &'static str) -> PyErr {
    let made = py
        .import("queue")
        .and_then(|module| module.getattr(name))
        .and_then(|class| class.call0());
    match made {
        Ok(value) => PyErr::from_value(value),
        Err(error) => error,
    }
}

#[pymethods]
impl LightQueue {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kw), text_signature = "(maxsize=None)")]
    fn py_new(
        cls: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kw: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        Self::new(cls, &Self::type_object(cls.py()), Order::Fifo, false)
    }

    #[pyo3(signature = (maxsize = None))]
    fn __init__(slf: &Bound<'_, Self>, maxsize: Option<i64>) -> PyResult<()> {
        let this = slf.get();
        this.state.with(slf.py(), |s| s.maxsize = limit(maxsize));
        if this.hooks.init {
            slf.call_method1(intern!(slf.py(), "_init"), (maxsize,))
                .map(drop)
        } else {
            this.init(slf.py(), maxsize)
        }
    }

    /// Hook: makes `queue`, an empty store for the items.
    #[pyo3(name = "_init", signature = (maxsize = None))]
    fn init(&self, py: Python<'_>, maxsize: Option<i64>) -> PyResult<()> {
        let _ = maxsize;
        let store = match self.order {
            Order::Fifo => Store::Fifo(VecDeque::new()),
            Order::Lifo => Store::Lifo(Vec::new()),
            Order::Heap => Store::Object(PyList::empty(py).into_any().unbind()),
        };
        let old = self
            .state
            .with(py, |s| std::mem::replace(&mut s.store, store));
        drop(old);
        Ok(())
    }

    /// Hook: takes the next item out of `queue`.
    #[pyo3(name = "_get")]
    fn fetch(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let object = self.state.with(py, |s| match &s.store {
            Store::Object(object) => Ok(object.clone_ref(py)),
            _ => Err(s.fetch_native()),
        });
        let object = match object {
            Ok(object) => object.into_bound(py),
            Err(Some(item)) => return Ok(item),
            Err(None) => return Err(PyIndexError::new_err("get from an empty queue")),
        };
        let item = match self.order {
            Order::Fifo => object.call_method0(intern!(py, "popleft"))?,
            Order::Lifo => object.call_method0(intern!(py, "pop"))?,
            Order::Heap => {
                static POP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
                POP.import(py, "heapq", "heappop")?.call1((object,))?
            }
        };
        Ok(item.unbind())
    }

    /// Hook: adds an item to `queue`.
    #[pyo3(name = "_put")]
    fn store(&self, py: Python<'_>, item: Py<PyAny>) -> PyResult<()> {
        let rest = self.state.with(py, |s| {
            if let Store::Object(object) = &s.store {
                return Some((object.clone_ref(py), item));
            }
            s.store_native(item);
            None
        });
        if let Some((object, item)) = rest {
            let object = object.into_bound(py);
            match self.order {
                Order::Fifo | Order::Lifo => object.call_method1(intern!(py, "append"), (item,))?,
                Order::Heap => {
                    static PUSH: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
                    PUSH.import(py, "heapq", "heappush")?
                        .call1((object, item))?
                }
            };
        }
        if self.counts {
            self.state.with(py, |s| s.unfinished += 1);
        }
        Ok(())
    }

    /// The items in store: a `deque`, or a list. Changing it changes the queue, but wakes nobody.
    #[getter]
    fn queue<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        loop {
            let (object, seen) = match self.contents(py) {
                Ok(items) => (self.container(py, &items)?, items.len()),
                Err(object) => return Ok(object.into_bound(py)),
            };
            // Making the container may have let somebody else run.
            let old = self.state.with(py, |s| {
                if s.stored() != Some(seen) {
                    return None;
                }
                let store = Store::Object(object.clone().unbind());
                Some(std::mem::replace(&mut s.store, store))
            });
            if let Some(old) = old {
                drop(old);
                return Ok(object);
            }
        }
    }

    #[setter]
    fn set_queue(&self, py: Python<'_>, queue: Py<PyAny>) {
        let old = self.state.with(py, |s| {
            std::mem::replace(&mut s.store, Store::Object(queue))
        });
        drop(old);
    }

    /// How many items it may hold; None for any number. Setting it is the same as `resize`.
    #[getter]
    fn maxsize(&self, py: Python<'_>) -> Option<usize> {
        self.state.with(py, |s| s.maxsize)
    }

    #[setter]
    fn set_maxsize(slf: &Bound<'_, Self>, maxsize: Option<i64>) -> PyResult<()> {
        Self::resize(slf, maxsize)
    }

    /// Changes how many items it may hold. Items that are there stay; putters that now find room go on.
    fn resize(slf: &Bound<'_, Self>, size: Option<i64>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.state.with(py, |s| s.maxsize = limit(size));
        Self::settle(slf)
    }

    /// How many items it holds.
    ///
    /// An item that has been promised to a green thread which waited for it does not count.
    fn qsize(&self, py: Python<'_>) -> PyResult<usize> {
        let (stored, object, promised) = self.state.with(py, |s| match &s.store {
            Store::Object(object) => (0, Some(object.clone_ref(py)), s.promised),
            _ => (s.stored().unwrap_or(0), None, s.promised),
        });
        let stored = object.map_or(Ok(stored), |object| object.bind(py).len())?;
        Ok(stored.saturating_sub(promised))
    }

    /// Whether `get` would wait, unless a putter has an item for it.
    fn empty(slf: &Bound<'_, Self>) -> PyResult<bool> {
        Ok(Self::content(slf)? == 0)
    }

    /// Whether `put` would wait. A queue of size 0 is always full, one without a limit never.
    fn full(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let content = Self::content(slf)?;
        let max = slf.get().state.with(slf.py(), |s| s.maxsize);
        Ok(max.is_some_and(|max| content >= max))
    }

    /// How many green threads wait in `put`.
    fn putting(&self, py: Python<'_>) -> usize {
        self.state.with(py, |s| s.putters.len())
    }

    /// How many green threads wait in `get`.
    fn getting(&self, py: Python<'_>) -> usize {
        self.state.with(py, |s| s.getters.len())
    }

    /// The green threads that wait in `put`, first come first, as a tuple.
    #[getter]
    fn putters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let all = self.state.with(py, |s| {
            s.putters
                .iter()
                .map(|putter| putter.waiter.clone_ref(py))
                .collect()
        });
        waiters::greenlets(py, all)
    }

    /// The green threads that wait in `get`, first come first, as a tuple.
    #[getter]
    fn getters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        waiters::greenlets(py, self.state.with(py, |s| s.getters.clone_ref(py)))
    }

    /// Puts an item in, waiting for room if necessary.
    ///
    /// With `block` false it does not wait for room. `timeout` is the longest wait in seconds; None waits for
    /// ever. Raises `Full` when there is no room, or none in time, and `RuntimeError` if it would have to wait
    /// in the hub. The item is not in the queue then.
    #[pyo3(
        signature = (item, block = Flag(true), timeout = None),
        text_signature = "($self, item, block=True, timeout=None)"
    )]
    fn put(
        slf: &Bound<'_, Self>,
        item: Py<PyAny>,
        block: Flag,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.hooks.items || this.hooks.size {
            return Self::put_general(slf, item, block.0, timeout);
        }
        let counts = this.counts;
        match this.state.with(py, |s| s.try_put(item, counts)) {
            Put::Stored(None) => {
                slf.get().watchers.notify(slf.py());
                Ok(())
            }
            Put::Stored(Some(getter)) => {
                getter.wake(py);
                Ok(())
            }
            Put::NoRoom(item) => Self::put_slow(slf, item, block.0, timeout),
            Put::General(item) => Self::put_general(slf, item, block.0, timeout),
        }
    }

    /// `put(item, block=False)`.
    fn put_nowait(slf: &Bound<'_, Self>, item: Py<PyAny>) -> PyResult<()> {
        if slf.get().hooks.put {
            return slf
                .call_method1(intern!(slf.py(), "put"), (item, false))
                .map(drop);
        }
        Self::put(slf, item, Flag(false), None)
    }

    /// `get(block=False)`.
    fn get_nowait(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        if slf.get().hooks.get {
            return Ok(slf
                .call_method1(intern!(slf.py(), "get"), (false,))?
                .unbind());
        }
        entry::finish(slf.py(), GetCall::start(slf, false, None)?)
    }

    /// `Queue[int]`, for annotations.
    #[classmethod]
    fn __class_getitem__<'py>(
        cls: &Bound<'py, PyType>,
        item: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let alias = cls.py().import("types")?.getattr("GenericAlias")?;
        alias.call1((cls, item))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let address = slf.as_ptr();
        let name = slf.get_type().name()?;
        Ok(format!("<{name} at {address:p} {}>", Self::format(slf)?))
    }

    fn __str__(slf: &Bound<'_, Self>) -> PyResult<String> {
        Ok(format!(
            "<{} {}>",
            slf.get_type().name()?,
            Self::format(slf)?
        ))
    }

    /// What `repr` and `str` tell, after the name.
    #[pyo3(name = "_format")]
    fn format(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let this = slf.get();
        let (maxsize, getting, putting, unfinished) = this.state.with(py, |s| {
            (s.maxsize, s.getters.len(), s.putters.len(), s.unfinished)
        });
        let mut parts = vec![match maxsize {
            Some(size) => format!("maxsize={size}"),
            None => "maxsize=None".to_owned(),
        }];
        let queue = match this.contents(py) {
            Ok(items) => this.container(py, &items)?,
            Err(object) => object.into_bound(py),
        };
        if queue.is_truthy()? {
            parts.push(format!("queue={}", queue.repr()?));
        }
        for (name, count) in [("getters", getting), ("putters", putting)] {
            if count > 0 {
                parts.push(format!("{name}[{count}]"));
            }
        }
        if unfinished > 0 {
            parts.push(format!("tasks={unfinished}"));
        }
        Ok(parts.join(" "))
    }

    /// Has `callback()` called whenever this may have become ready.
    fn _watch(&self, py: Python<'_>, callback: Py<PyAny>) {
        self.watchers.add(py, callback);
    }

    /// Takes a callback of `_watch` back. Returns whether it was there.
    fn _unwatch(&self, callback: &Bound<'_, PyAny>) -> bool {
        self.watchers.remove(callback.py(), callback)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.watchers.traverse(&visit)?;
        self.state
            .peek(|s| {
                match &s.store {
                    Store::Fifo(items) => items.iter().try_for_each(|item| visit.call(item))?,
                    Store::Lifo(items) => items.iter().try_for_each(|item| visit.call(item))?,
                    Store::Object(object) => visit.call(object)?,
                }
                for putter in &s.putters {
                    visit.call(&putter.item)?;
                    visit.call(&putter.waiter.hub)?;
                }
                s.getters.traverse(&visit)?;
                s.joiners.traverse(&visit)
            })
            .unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        let all = self.state.with(py, |s| {
            let store = std::mem::replace(&mut s.store, Store::Fifo(VecDeque::new()));
            let putters = std::mem::take(&mut s.putters);
            (store, putters, s.getters.take(), s.joiners.take())
        });
        drop(all);
        self.watchers.clear(py);
    }
}

impl LightQueue {
    fn new(
        cls: &Bound<'_, PyType>,
        base: &Bound<'_, PyType>,
        order: Order,
        counts: bool,
    ) -> PyResult<Self> {
        let store = match order {
            Order::Fifo => Store::Fifo(VecDeque::new()),
            Order::Lifo => Store::Lifo(Vec::new()),
            Order::Heap => Store::Object(PyList::empty(cls.py()).into_any().unbind()),
        };
        Ok(Self {
            state: GilCell::new(State {
                maxsize: None,
                store,
                getters: Waiters::default(),
                putters: VecDeque::new(),
                promised: 0,
                moving: 0,
                unfinished: 0,
                joiners: Waiters::default(),
            }),
            watchers: Watchers::new(),
            order,
            counts,
            hooks: Hooks::of(cls, base)?,
        })
    }

    /// The items of the native store, or the object that holds them.
    fn contents(&self, py: Python<'_>) -> Result<Vec<Py<PyAny>>, Py<PyAny>> {
        self.state.with(py, |s| match &s.store {
            Store::Fifo(items) => Ok(items.iter().map(|item| item.clone_ref(py)).collect()),
            Store::Lifo(items) => Ok(items.iter().map(|item| item.clone_ref(py)).collect()),
            Store::Object(object) => Err(object.clone_ref(py)),
        })
    }

    /// A Python container of the kind that `queue` is, with `items`.
    fn container<'py>(&self, py: Python<'py>, items: &[Py<PyAny>]) -> PyResult<Bound<'py, PyAny>> {
        static DEQUE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let list = PyList::new(py, items)?.into_any();
        match self.order {
            Order::Fifo => DEQUE.import(py, "collections", "deque")?.call1((list,)),
            Order::Lifo | Order::Heap => Ok(list),
        }
    }
}
