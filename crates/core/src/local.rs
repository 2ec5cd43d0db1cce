//! `local`: attributes that each green thread has for itself.
//!
//! # Theory of operation
//!
//! A local has a dictionary for each greenlet that uses it. One of them is in the place where every object has
//! its `__dict__`: that of the greenlet that has used it last, the *owner*. An access looks whether that is the
//! running one, which it nearly always is, fetches the right dictionary if not, and goes on as for any other
//! object.
//!
//! A greenlet that uses locals has a [`Holder`] among its own attributes, which knows them. When a green thread
//! has ended, or any greenlet is freed, the holder takes its dictionaries out of the locals.
//!
//! Nothing here counts on a value staying where it is while Python runs, which happens whenever a reference is
//! dropped: the destructor of a value may use the same local, in this greenlet or, if it switches, in another.

use std::collections::HashMap;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Weak};

use eventlet_greenlet::Greenlet;
use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType, PyWeakrefReference};
use pyo3::{ffi, intern};

use crate::cell::GilCell;

/// An object whose attributes are different in each green thread, like `threading.local`.
///
/// The `__init__` of a subclass runs once in each green thread that uses the object, with the arguments that it
/// was made with. The attributes of a green thread end with it.
#[pyclass(
    frozen,
    subclass,
    dict,
    weakref,
    name = "local",
    module = "eventlet.corolocal"
)]
pub struct Local {
    link: Arc<Link>,
    /// The same, for the garbage collector: see [`crate::cell`].
    traced: GilCell<Option<Arc<Link>>>,
    /// What `__init__` is called with.
    arguments: GilCell<Option<Arguments>>,
}

type Arguments = (Py<PyTuple>, Option<Py<PyDict>>);

/// The side of a local that holders know.
struct Link {
    /// A weak reference to the owner. An address would not do: another greenlet may have it later.
    owner: GilCell<Option<Py<PyWeakrefReference>>>,
    /// The local; null when it is gone.
    object: AtomicPtr<ffi::PyObject>,
    /// The dictionaries, by the addresses of the holders.
    dicts: GilCell<HashMap<usize, Py<PyDict>>>,
}

/// The locals that a greenlet uses.
struct Holder {
    greenlet: Py<PyWeakrefReference>,
    links: GilCell<Vec<Weak<Link>>>,
}

/// Keeps the holder of a greenlet among its attributes.
#[pyclass(frozen, module = "eventlet._core")]
struct Keeper {
    holder: Arc<Holder>,
}

#[pymethods]
impl Local {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*args, **kw), text_signature = "(*args, **kw)")]
    fn py_new(
        cls: &Bound<'_, PyType>,
        args: Bound<'_, PyTuple>,
        kw: Option<Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let py = cls.py();
        let any = !args.is_empty() || kw.as_ref().is_some_and(|kw| !kw.is_empty());
        if any && !has_init(cls) {
            return Err(PyTypeError::new_err(
                "Initialization arguments are not supported",
            ));
        }
        let link = Arc::new(Link {
            owner: GilCell::new(None),
            object: AtomicPtr::new(null_mut()),
            dicts: GilCell::new(HashMap::new()),
        });
        // Whoever makes it calls `__init__` next, so it is not for us to do in this greenlet.
        let holder = Holder::of(&Greenlet::current(py)?, py)?;
        holder.dict(py, &link);
        let arguments = Some((args.unbind(), kw.map(Bound::unbind)));
        Ok(Self {
            traced: GilCell::new(Some(Arc::clone(&link))),
            link,
            arguments: GilCell::new(arguments),
        })
    }

    fn __getattribute__<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::enter(slf)?;
        // SAFETY: both are live objects; a new reference or NULL with an exception comes back.
        unsafe {
            let value = ffi::PyObject_GenericGetAttr(slf.as_ptr(), name.as_ptr());
            Bound::from_owned_ptr_or_err(slf.py(), value)
        }
    }

    fn __setattr__(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        Self::set(slf, name, value.as_ptr())
    }

    fn __delattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::set(slf, name, null_mut())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let arguments = self.arguments.peek(|arguments| match arguments {
            Some((args, kw)) => visit.call(args).and_then(|()| visit.call(kw)),
            None => Ok(()),
        });
        arguments.unwrap_or(Ok(()))?;
        let visit_all = |dicts: &HashMap<usize, Py<PyDict>>| {
            let mut all = dicts.values();
            all.try_for_each(|dict| visit.call(dict))
        };
        self.traced
            .peek(|link| link.as_ref().and_then(|link| link.dicts.peek(visit_all)))
            .flatten()
            .unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        drop((self.arguments.take(py), self.link.dicts.take(py)));
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.link.object.store(null_mut(), Ordering::Relaxed);
    }
}

impl Local {
    /// Gives the object the attributes of the running greenlet.
    #[inline]
    fn enter(slf: &Bound<'_, Self>) -> PyResult<()> {
        // While the interpreter shuts down there are no greenlets, and everybody sees the last one's.
        let Ok(current) = Greenlet::current(slf.py()) else {
            return Ok(());
        };
        if slf.get().link.is_owned_by(slf.py(), &current) {
            return Ok(());
        }
        Self::change_owner(slf, &current)
    }

    #[inline(never)]
    fn change_owner(slf: &Bound<'_, Self>, current: &Greenlet) -> PyResult<()> {
        let py = slf.py();
        let link = &slf.get().link;
        let holder = Holder::of(current, py)?;
        let (dict, new) = holder.dict(py, link);
        Self::install(slf, &holder, dict);
        if !new || !has_init(&slf.get_type()) {
            return Ok(());
        }
        if let Err(error) = Self::init(slf) {
            // The next access tries again.
            holder.leave(py, link);
            return Err(error);
        }
        // Others may have used it in the meantime.
        let (dict, _) = holder.dict(py, link);
        Self::install(slf, &holder, dict);
        Ok(())
    }

    /// Calls the `__init__` of the subclass.
    fn init(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let arguments = slf.get().arguments.with(py, |arguments| {
            let (args, kw) = arguments.as_ref()?;
            Some((args.clone_ref(py), kw.as_ref().map(|kw| kw.clone_ref(py))))
        });
        let Some((args, kw)) = arguments else {
            return Ok(());
        };
        let kw = kw.as_ref().map(|kw| kw.bind(py));
        let init = slf.get_type().getattr(intern!(py, "__init__"))?;
        let mut all = vec![slf.clone().into_any()];
        all.extend(args.bind(py).iter());
        init.call(PyTuple::new(py, all)?, kw).map(drop)
    }

    /// Makes a dictionary that of the object.
    fn install(slf: &Bound<'_, Self>, holder: &Holder, dict: Bound<'_, PyDict>) {
        let link = &slf.get().link;
        link.object.store(slf.as_ptr(), Ordering::Relaxed);
        let owner = Some(holder.greenlet.clone_ref(slf.py()));
        let last = link.owner.replace(slf.py(), owner);
        // SAFETY: the object is live and a `Local`.
        let old = unsafe { replace_dict(slf.py(), slf.as_ptr(), Some(dict)) };
        drop((last, old));
    }

    /// Sets an attribute, or deletes it if the value is null.
    fn set(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyAny>,
        value: *mut ffi::PyObject,
    ) -> PyResult<()> {
        let py = slf.py();
        Self::enter(slf)?;
        if let Ok(text) = name.cast::<PyString>()
            && text == "__dict__"
        {
            return Err(PyAttributeError::new_err(format!(
                "'{}' object attribute '__dict__' is read-only",
                slf.get_type().name()?
            )));
        }
        // SAFETY: the object and the name are live, the value is live or null; 0, or -1 with an exception,
        // comes back.
        let status = unsafe { ffi::PyObject_GenericSetAttr(slf.as_ptr(), name.as_ptr(), value) };
        if status == 0 {
            Ok(())
        } else {
            Err(PyErr::fetch(py))
        }
    }
}

impl Link {
    #[inline]
    fn is_owned_by(&self, py: Python<'_>, greenlet: &Greenlet) -> bool {
        self.owner.with(py, |owner| match owner {
            // SAFETY: it is a weak reference; what comes back is borrowed from whoever keeps it alive, and only
            // its address is looked at.
            Some(owner) => unsafe {
                #[allow(
                    deprecated,
                    reason = "what follows it returns a reference to be dropped"
                )]
                let object = ffi::PyWeakref_GetObject(owner.as_ptr());
                object == greenlet.object().as_ptr()
            },
            None => false,
        })
    }
}

impl Holder {
    /// The holder of a greenlet, made if it has none.
    fn of(greenlet: &Greenlet, py: Python<'_>) -> PyResult<Arc<Self>> {
        let attributes = greenlet.dict(py)?;
        let key = key(py);
        if let Some(keeper) = attributes.get_item(key)? {
            return Ok(Arc::clone(&keeper.cast::<Keeper>()?.get().holder));
        }
        let holder = Arc::new(Self {
            greenlet: PyWeakrefReference::new(greenlet.bind(py))?.unbind(),
            links: GilCell::new(Vec::new()),
        });
        let fresh = Bound::new(py, Keeper { holder })?;
        // Making it may have run anything, which may have given the greenlet one.
        // SAFETY: all three are live objects of the right kinds; what comes back is borrowed from the
        // dictionary.
        let keeper = unsafe {
            let kept = ffi::PyDict_SetDefault(attributes.as_ptr(), key.as_ptr(), fresh.as_ptr());
            Bound::from_borrowed_ptr_or_err(py, kept)?
        };
        Ok(Arc::clone(&keeper.cast::<Keeper>()?.get().holder))
    }

    /// The dictionary for a local, and whether it is new.
    fn dict<'py>(&self, py: Python<'py>, link: &Arc<Link>) -> (Bound<'py, PyDict>, bool) {
        let find = || {
            link.dicts.with(py, |dicts| {
                dicts.get(&self.key()).map(|dict| dict.clone_ref(py))
            })
        };
        if let Some(dict) = find() {
            return (dict.into_bound(py), false);
        }
        let fresh = PyDict::new(py);
        // Making it may have run anything, too.
        if let Some(dict) = find() {
            return (dict.into_bound(py), false);
        }
        let dict = fresh.clone().unbind();
        link.dicts.with(py, |dicts| dicts.insert(self.key(), dict));
        let link = Arc::downgrade(link);
        self.links.with(py, |links| {
            if links.len() == links.capacity() {
                links.retain(|link| link.strong_count() > 0);
                links.reserve(links.len() + 1);
            }
            links.push(link);
        });
        (fresh, true)
    }

    /// The address, which is nobody else's until all dictionaries are taken out.
    fn key(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    /// Takes the dictionary for a local out.
    fn leave(&self, py: Python<'_>, link: &Link) {
        let dict = link.dicts.with(py, |dicts| dicts.remove(&self.key()));
        let object = link.object.load(Ordering::Relaxed);
        let last = link.owner.with(py, |owner| {
            owner.take_if(|owner| owner.is(&self.greenlet) && !object.is_null())
        });
        let old = last.as_ref().and_then(|_| {
            // SAFETY: `object` is set by `install` to a live `Local` and reset when that is dropped.
            unsafe { replace_dict(py, object, None) }
        });
        drop((dict, last, old));
    }

    /// Takes all dictionaries out.
    fn end(&self, py: Python<'_>) {
        for link in self.links.take(py) {
            if let Some(link) = link.upgrade() {
                self.leave(py, &link);
            }
        }
    }
}

// Whoever made use of it after the keeper was gone is gone, too.
impl Drop for Holder {
    fn drop(&mut self) {
        Python::attach(|py| self.end(py));
    }
}

/// Takes from all locals what belongs to a green thread, which has ended.
pub fn end(py: Python<'_>, green_thread: &Greenlet) -> PyResult<()> {
    let Some(attributes) = green_thread.existing_dict(py) else {
        return Ok(());
    };
    if let Some(keeper) = attributes.get_item(key(py))? {
        attributes.del_item(key(py))?;
        keeper.cast::<Keeper>()?.get().holder.end(py);
    }
    Ok(())
}

/// Where the holder of a greenlet is among its attributes.
fn key(py: Python<'_>) -> &Bound<'_, PyString> {
    intern!(py, "_eventlet_locals")
}

/// Whether a class has an `__init__` of its own.
fn has_init(class: &Bound<'_, PyType>) -> bool {
    // SAFETY: both are live type objects.
    let (own, object) = unsafe {
        let class = class.as_type_ptr();
        ((*class).tp_init, ffi::PyBaseObject_Type.tp_init)
    };
    own.map(|init| init as usize) != object.map(|init| init as usize)
}

/// Puts another dictionary, or none, in the place of an object's `__dict__`; returns the one before, which is to
/// be dropped when nothing is left to do, since that may run anything.
///
/// # Safety
///
/// `object` is a live `Local`.
unsafe fn replace_dict<'py>(
    py: Python<'py>,
    object: *mut ffi::PyObject,
    dict: Option<Bound<'py, PyDict>>,
) -> Option<Bound<'py, PyAny>> {
    let dict = dict.map_or(null_mut(), |dict| dict.into_any().into_ptr());
    // SAFETY: the class has `dict`, so its type and those derived from it say at which positive offset the
    // pointer to the dictionary is. It owns a reference, or is null.
    unsafe {
        let offset = (*ffi::Py_TYPE(object)).tp_dictoffset;
        let place = object.byte_offset(offset).cast::<*mut ffi::PyObject>();
        Bound::from_owned_ptr_or_opt(py, place.replace(dict))
    }
}

/// Adds the class to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Local>()
}
