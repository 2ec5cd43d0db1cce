//! The standard library's own locks, made so that a green thread that waits lets others run.
//!
//! A program that is patched late has locks already: those of `logging`, of `threading`, of modules that made
//! theirs when they were imported. They are C objects of two types, `_thread.lock` and `_thread.RLock`. This
//! replaces methods of the types, so that all existing locks change at once, and none has to be found.
//!
//! From Python 3.13 on, `Thread.join` waits for a *handle* of the thread instead, another C object. Its type is
//! changed too: a green thread that joins looks from time to time. And so is that of `queue.SimpleQueue`, which
//! locks inside.
//!
//! | module | what it is |
//! |---|---|
//! | [`line`] | those who wait |
//! | [`lock`] | who has a lock |
//! | [`methods`] | the methods that replace those of the types |

mod line;
mod lock;
mod methods;

use eventlet_greenlet::Greenlet;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyType};

use self::methods::Ours;

pub use self::line::after_fork_in_child;

/// Makes the locks of the standard library let other green threads run while one waits, or undoes that.
///
/// It holds for all instances of `_thread.lock` and `_thread.RLock`, however old, for the handles by which OS
/// threads are joined, and for `queue.SimpleQueue`. For OS threads without a hub nothing changes.
#[pyfunction]
pub fn patch_lock_types(py: Python<'_>, on: bool) -> PyResult<()> {
    static OURS: PyOnceLock<Ours> = PyOnceLock::new();
    let types = types(py)?;
    lock::expect_unknown_owners(!Greenlet::current(py)?.is_main());
    let ours = OURS.get_or_try_init(py, || Ours::new(py))?;
    let mut changes = vec![
        (&types.plain.kind, &ours.plain),
        (&types.reentrant.kind, &ours.reentrant),
        (&types.queue, &ours.queue),
    ];
    changes.extend(types.handle.as_ref().map(|handle| (handle, &ours.handle)));
    for (kind, ours) in changes {
        let class = kind.class.bind(py);
        let dict = dictionary(class);
        for (name, original) in kind.methods.bind(py).iter() {
            let replacement = ours.bind(py).get_item(&name)?.filter(|_| on);
            dict.set_item(name, replacement.unwrap_or(original))?;
        }
        // SAFETY: it is a live type object.
        unsafe { ffi::PyType_Modified(class.as_type_ptr()) };
    }
    Ok(())
}

/// The names and values of a type, which even one that Python code cannot change has.
fn dictionary<'py>(class: &Bound<'py, PyType>) -> Bound<'py, PyDict> {
    // SAFETY: the type is live, ready and made on the heap, so this is its dictionary.
    unsafe {
        let dict = (*class.as_type_ptr()).tp_dict;
        Bound::from_borrowed_ptr(class.py(), dict).cast_into_unchecked()
    }
}

/// A type and its original methods.
struct Kind {
    class: Py<PyType>,
    /// Those that are replaced, under their names.
    methods: Py<PyDict>,
}

/// A type of locks.
struct Originals {
    kind: Kind,
    acquire: Py<PyAny>,
    release: Py<PyAny>,
    reinit: Py<PyAny>,
}

struct Types {
    plain: Originals,
    reentrant: Originals,
    is_owned: Py<PyAny>,
    release_save: Py<PyAny>,
    /// What threads are joined by, if that is not a lock.
    handle: Option<Kind>,
    queue: Kind,
}

impl Kind {
    fn new(class: &Bound<'_, PyType>, names: &[&str]) -> PyResult<Self> {
        let all = dictionary(class);
        let methods = PyDict::new(class.py());
        for name in names {
            if let Some(method) = all.get_item(name)? {
                methods.set_item(name, method)?;
            }
        }
        Ok(Self {
            class: class.clone().unbind(),
            methods: methods.unbind(),
        })
    }

    /// An original method that is replaced.
    fn method<'py>(&self, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        self.methods.bind(name.py()).as_any().get_item(name)
    }
}

impl Originals {
    fn new(class: &Bound<'_, PyType>, names: &[&str]) -> PyResult<Self> {
        let method = |name| class.getattr(name).map(Bound::unbind);
        Ok(Self {
            kind: Kind::new(class, names)?,
            acquire: method("acquire")?,
            release: method("release")?,
            reinit: method("_at_fork_reinit")?,
        })
    }
}

/// The types as they were when they were first asked for, which is before anybody could change them.
fn types(py: Python<'_>) -> PyResult<&Types> {
    static TYPES: PyOnceLock<Types> = PyOnceLock::new();
    TYPES.get_or_try_init(py, || {
        let thread = py.import("_thread")?;
        let plain = thread.call_method0("allocate_lock")?.get_type();
        let reentrant = thread.getattr("RLock")?.cast_into::<PyType>()?;
        let queue = py.import("_queue")?.getattr("SimpleQueue")?;
        let queue = queue.cast_into::<PyType>()?;
        let method = |class: &Bound<'_, PyType>, name| class.getattr(name).map(Bound::unbind);
        Ok(Types {
            plain: Originals::new(&plain, &PLAIN_METHODS)?,
            reentrant: Originals::new(&reentrant, &REENTRANT_METHODS)?,
            is_owned: method(&reentrant, "_is_owned")?,
            release_save: method(&reentrant, "_release_save")?,
            handle: match thread.getattr_opt("_ThreadHandle")? {
                Some(class) => Some(Kind::new(&class.cast_into()?, &["join"])?),
                None => None,
            },
            queue: Kind::new(&queue, &["get", "put", "put_nowait"])?,
        })
    })
}

const PLAIN_METHODS: [&str; 7] = [
    "__enter__",
    "__exit__",
    "_at_fork_reinit",
    "acquire",
    "acquire_lock",
    "release",
    "release_lock",
];

const REENTRANT_METHODS: [&str; 9] = [
    "__enter__",
    "__exit__",
    "_acquire_restore",
    "_at_fork_reinit",
    "_is_owned",
    "_recursion_count",
    "_release_save",
    "acquire",
    "release",
];

/// Adds the function to the module, and keeps the types as they are now.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    types(module.py())?;
    module.add_function(wrap_pyfunction!(patch_lock_types, module)?)
}
