//! Binding to greenlet's C API.
//!
//! greenlet publishes twelve C functions and objects in a capsule, `greenlet._C_API`. This crate
//! is the only place that knows about it; everybody else sees [`Greenlet`], a checked handle.
//!
//! # What a switch means
//!
//! [`Greenlet::switch`] and [`Greenlet::throw`] leave the calling greenlet. Its C stack, Rust frames
//! included, is copied away and other greenlets run on the same addresses. When the call returns
//! *anything* may have happened: objects may have been mutated, descriptors closed, the process forked.
//! It may also never return: a greenlet that nobody resumes is abandoned when the interpreter ends, and
//! its frames are not unwound. So a caller of these two functions must hold no borrow of shared state,
//! must have stored no pointer to its own locals anywhere, and must not rely on `Drop` alone for
//! anything that has to happen.
//!
//! The table in the capsule carries no version or length. It has not changed since greenlet 2.0, so the
//! package's version is checked instead, once, by [`init`].

use std::ffi::{CStr, c_int, c_void};
use std::sync::OnceLock;

use pyo3::exceptions::{PyImportError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict, PyTuple, PyType};
use pyo3::{ffi, intern};

/// The oldest greenlet whose table and behaviour this binding was written against.
pub const MINIMUM_VERSION: (u32, u32, u32) = (3, 2, 2);

const CAPSULE: &CStr = c"greenlet._C_API";

/// The functions behind the capsule, in the order of its table.
#[repr(C)]
struct Table {
    greenlet_type: *mut ffi::PyTypeObject,
    error: *mut ffi::PyObject,
    exit: *mut ffi::PyObject,
    new: unsafe extern "C" fn(*mut ffi::PyObject, *mut ffi::PyObject) -> *mut ffi::PyObject,
    get_current: unsafe extern "C" fn() -> *mut ffi::PyObject,
    throw: unsafe extern "C" fn(
        *mut ffi::PyObject,
        *mut ffi::PyObject,
        *mut ffi::PyObject,
        *mut ffi::PyObject,
    ) -> *mut ffi::PyObject,
    switch: unsafe extern "C" fn(
        *mut ffi::PyObject,
        *mut ffi::PyObject,
        *mut ffi::PyObject,
    ) -> *mut ffi::PyObject,
    set_parent: unsafe extern "C" fn(*mut ffi::PyObject, *mut ffi::PyObject) -> c_int,
    is_main: unsafe extern "C" fn(*mut ffi::PyObject) -> c_int,
    is_started: unsafe extern "C" fn(*mut ffi::PyObject) -> c_int,
    is_active: unsafe extern "C" fn(*mut ffi::PyObject) -> c_int,
    get_parent: unsafe extern "C" fn(*mut ffi::PyObject) -> *mut ffi::PyObject,
}

/// Where the table lives; greenlet keeps it in static storage for the life of the process.
struct TablePtr(*const Table);

// SAFETY: the table is written once, before `init` reads the capsule, and only read afterwards.
unsafe impl Send for TablePtr {}
// SAFETY: as above.
unsafe impl Sync for TablePtr {}

static TABLE: OnceLock<TablePtr> = OnceLock::new();

#[inline]
fn table() -> &'static Table {
    let Some(pointer) = TABLE.get() else {
        uninitialised();
    };
    // SAFETY: `init` stored the address of greenlet's static table, checked for its version.
    unsafe { &*pointer.0 }
}

#[cold]
fn uninitialised() -> ! {
    panic!("eventlet_greenlet::init has not been called");
}

/// Imports greenlet, checks its version and keeps its table.
///
/// # Errors
///
/// `ImportError` if greenlet is missing or older than [`MINIMUM_VERSION`].
pub fn init(py: Python<'_>) -> PyResult<()> {
    if TABLE.get().is_some() {
        return Ok(());
    }
    let module = py.import("greenlet").map_err(|cause| {
        let error = PyImportError::new_err(
            "eventlet needs the package greenlet: install it with 'pip install greenlet'",
        );
        error.set_cause(py, Some(cause));
        error
    })?;
    let text: String = module.getattr("__version__")?.extract()?;
    if parse_version(&text).is_none_or(|version| version < MINIMUM_VERSION) {
        let (major, minor, patch) = MINIMUM_VERSION;
        return Err(PyImportError::new_err(format!(
            "eventlet needs greenlet {major}.{minor}.{patch} or newer, but greenlet {text} is \
             installed: upgrade it with 'pip install -U greenlet'"
        )));
    }
    let pointer = PyCapsule::import_pointer(py, CAPSULE)?;
    TABLE.get_or_init(|| TablePtr(pointer.as_ptr().cast::<Table>().cast_const()));
    Ok(())
}

/// The first three numbers of a version; what follows them (`rc1`, `.dev0`) is ignored.
fn parse_version(text: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = text.splitn(4, '.').map(|part| {
        let digits = part
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(part.len());
        part[..digits].parse::<u32>().ok()
    });
    let major = numbers.next()??;
    let minor = numbers.next().flatten().unwrap_or(0);
    let patch = numbers.next().flatten().unwrap_or(0);
    Some((major, minor, patch))
}

/// A greenlet of the calling thread or of another one.
///
/// Switching to a greenlet of another OS thread fails with greenlet's own error.
#[derive(Debug)]
#[repr(transparent)]
pub struct Greenlet(Py<PyAny>);

impl Greenlet {
    /// The greenlet that is running.
    ///
    /// # Errors
    ///
    /// `RuntimeError` while the interpreter is shutting down.
    #[inline]
    pub fn current(py: Python<'_>) -> PyResult<Self> {
        // SAFETY: the slot takes no arguments and returns a new reference or NULL with an exception.
        let object = unsafe { Bound::from_owned_ptr_or_err(py, (table().get_current)())? };
        Ok(Self(object.unbind()))
    }

    /// A plain greenlet that will call `run`, as a child of `parent`.
    pub fn new(py: Python<'_>, run: &Bound<'_, PyAny>, parent: &Self) -> PyResult<Self> {
        Self::of_type(&greenlet_type(py), run, parent)
    }

    /// A greenlet of a subclass that will call `run`, as a child of `parent`. Its `__init__` is not called.
    ///
    /// This does what the constructor does, without its parsing of arguments, which costs more than all the
    /// rest.
    ///
    /// # Errors
    ///
    /// `TypeError` if the class is not a subclass of greenlet, or cannot be instantiated.
    pub fn of_type(
        class: &Bound<'_, PyType>,
        run: &Bound<'_, PyAny>,
        parent: &Self,
    ) -> PyResult<Self> {
        let py = class.py();
        let type_object = class.as_type_ptr();
        // SAFETY: both are live type objects.
        if unsafe { ffi::PyType_IsSubtype(type_object, table().greenlet_type) } == 0 {
            return Err(PyTypeError::new_err("a subclass of greenlet is required"));
        }
        // SAFETY: greenlet's `tp_new`, inherited by the subclass, takes any arguments and makes an object
        // that has not begun, as a child of the running greenlet.
        let object = unsafe {
            let Some(new) = (*type_object).tp_new else {
                return Err(PyTypeError::new_err("the class cannot be instantiated"));
            };
            Bound::from_owned_ptr_or_err(
                py,
                new(
                    type_object,
                    PyTuple::empty(py).as_ptr(),
                    std::ptr::null_mut(),
                ),
            )?
        };
        object.setattr(intern!(py, "run"), run)?;
        let greenlet = Self(object.unbind());
        if !greenlet.parent_is(py, parent) {
            greenlet.set_parent(py, parent)?;
        }
        Ok(greenlet)
    }

    /// Takes `object` for a greenlet if it is one.
    ///
    /// # Errors
    ///
    /// `TypeError` if it is something else.
    pub fn from_object(object: Bound<'_, PyAny>) -> PyResult<Self> {
        if is_greenlet(&object) {
            Ok(Self(object.unbind()))
        } else {
            Err(PyTypeError::new_err(format!(
                "a greenlet is required, not {}",
                object.get_type().name()?
            )))
        }
    }

    /// Resumes this greenlet with no value and suspends the caller until somebody resumes it.
    ///
    /// Returns what the caller was resumed with; raises what was thrown into it. See the crate's
    /// documentation for what may have happened meanwhile.
    #[inline]
    pub fn switch<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        // SAFETY: `self.0` is a greenlet; NULL arguments stand for none; a new reference or NULL with an
        // exception comes back, whoever resumed us.
        unsafe {
            Bound::from_owned_ptr_or_err(
                py,
                (table().switch)(self.0.as_ptr(), std::ptr::null_mut(), std::ptr::null_mut()),
            )
        }
    }

    /// Resumes this greenlet with `args`, which a fresh greenlet passes to its function.
    #[inline]
    pub fn switch_with<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        // SAFETY: as in `switch`, and the arguments are a tuple as the slot requires.
        unsafe {
            Bound::from_owned_ptr_or_err(
                py,
                (table().switch)(self.0.as_ptr(), args.as_ptr(), std::ptr::null_mut()),
            )
        }
    }

    /// Resumes this greenlet by raising `error` in it.
    pub fn throw<'py>(&self, py: Python<'py>, error: PyErr) -> PyResult<Bound<'py, PyAny>> {
        let raised = Raised::new(py, error);
        // SAFETY: type, value and traceback are live objects of the right kinds (the traceback may be
        // NULL); the slot takes its own references.
        unsafe {
            Bound::from_owned_ptr_or_err(
                py,
                (table().throw)(
                    self.0.as_ptr(),
                    raised.class.as_ptr(),
                    raised.value.as_ptr(),
                    raised
                        .traceback
                        .map_or(std::ptr::null_mut(), |traceback| traceback.as_ptr()),
                ),
            )
        }
    }

    /// Whether this is the first greenlet of its thread.
    pub fn is_main(&self) -> bool {
        // SAFETY: `self.0` is a greenlet; the slot only reads it.
        unsafe { (table().is_main)(self.0.as_ptr()) != 0 }
    }

    /// Whether it has begun to run (a dead greenlet has).
    #[inline]
    pub fn is_started(&self) -> bool {
        // SAFETY: `self.0` is a greenlet; the slot only reads it.
        unsafe { (table().is_started)(self.0.as_ptr()) != 0 }
    }

    /// Whether it has begun to run and has not ended.
    #[inline]
    pub fn is_active(&self) -> bool {
        // SAFETY: `self.0` is a greenlet; the slot only reads it.
        unsafe { (table().is_active)(self.0.as_ptr()) != 0 }
    }

    /// Whether it has ended.
    pub fn is_dead(&self) -> bool {
        self.is_started() && !self.is_active()
    }

    /// The greenlet that continues when this one ends.
    pub fn parent(&self, py: Python<'_>) -> Option<Self> {
        // SAFETY: `self.0` is a greenlet; a new reference or NULL, without an exception, comes back.
        let parent =
            unsafe { Bound::from_owned_ptr_or_opt(py, (table().get_parent)(self.0.as_ptr())) };
        parent.map(|object| Self(object.unbind()))
    }

    /// Whether `other` is the greenlet that continues when this one ends.
    #[inline]
    pub fn parent_is(&self, py: Python<'_>, other: &Self) -> bool {
        self.parent(py).is_some_and(|parent| parent.is(other))
    }

    /// As [`parent_is`](Self::parent_is).
    #[inline]
    pub fn parent_is_ref(&self, py: Python<'_>, other: GreenletRef) -> bool {
        self.parent(py).is_some_and(|parent| other.is(&parent))
    }

    /// Makes `parent` the greenlet that continues when this one ends.
    ///
    /// # Errors
    ///
    /// `ValueError` for a cycle or a greenlet of another thread; `AttributeError` for a main greenlet.
    pub fn set_parent(&self, py: Python<'_>, parent: &Self) -> PyResult<()> {
        // SAFETY: both are greenlets; the slot returns 0, or -1 with an exception set.
        let status = unsafe { (table().set_parent)(self.0.as_ptr(), parent.0.as_ptr()) };
        if status == 0 {
            Ok(())
        } else {
            Err(PyErr::fetch(py))
        }
    }

    /// Identity.
    #[inline]
    pub fn is(&self, other: &Self) -> bool {
        self.0.as_ptr() == other.0.as_ptr()
    }

    /// The greenlet without a reference to it.
    #[inline]
    pub fn borrow(&self) -> GreenletRef {
        GreenletRef(self.0.as_ptr())
    }

    /// Identity with any object.
    #[inline]
    pub fn is_object(&self, other: &Bound<'_, PyAny>) -> bool {
        self.0.as_ptr() == other.as_ptr()
    }

    /// How many references there are to it, this handle included, as long as it is a plain greenlet that
    /// nobody refers to weakly and that has no attributes; `None` otherwise.
    ///
    /// If the number is what it was before, nobody has learned of the greenlet since, or they have forgotten.
    pub fn unmarked_references(&self) -> Option<isize> {
        let object = self.0.as_ptr();
        let class = table().greenlet_type;
        // SAFETY: the handle keeps the object alive. Where its exact type is greenlet's own, the two offsets
        // of that type say where in it the pointers to its dictionary and its weak references are.
        unsafe {
            if ffi::Py_TYPE(object) != class {
                return None;
            }
            let slot = |offset: ffi::Py_ssize_t| {
                (offset > 0).then(|| *object.byte_offset(offset).cast::<*mut ffi::PyObject>())
            };
            // Some versions of CPython make the dictionary along with the object.
            let attributes = slot((*class).tp_dictoffset)?;
            if !attributes.is_null() && ffi::PyDict_Size(attributes) != 0 {
                return None;
            }
            if !slot((*class).tp_weaklistoffset)?.is_null() {
                return None;
            }
            Some(ffi::Py_REFCNT(object))
        }
    }

    /// Its attributes.
    #[inline]
    pub fn dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        // SAFETY: `self.0` is a greenlet, whose type says where the pointer to its dictionary is; the slot is
        // filled if it is empty, and a new reference or NULL with an exception comes back. It is a dictionary,
        // as greenlet lets nobody put anything else there.
        unsafe {
            let dict = ffi::PyObject_GenericGetDict(self.0.as_ptr(), std::ptr::null_mut());
            Ok(Bound::from_owned_ptr_or_err(py, dict)?.cast_into_unchecked())
        }
    }

    /// Its attributes, if it has had any.
    #[inline]
    pub fn existing_dict<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyDict>> {
        let object = self.0.as_ptr();
        // SAFETY: `self.0` is a greenlet, whose type says at which positive offset the pointer to its dictionary
        // is, which may be null.
        unsafe {
            let offset = (*ffi::Py_TYPE(object)).tp_dictoffset;
            let dict = *object.byte_offset(offset).cast::<*mut ffi::PyObject>();
            Some(Bound::from_borrowed_ptr_or_opt(py, dict)?.cast_into_unchecked())
        }
    }

    /// Another reference to the same greenlet.
    #[inline]
    #[must_use]
    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        Self(self.0.clone_ref(py))
    }

    /// The Python object.
    #[inline]
    pub fn object(&self) -> &Py<PyAny> {
        &self.0
    }

    /// The Python object, bound to the interpreter.
    #[inline]
    pub fn bind<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.0.bind(py)
    }

    /// Gives up the handle for the Python object.
    pub fn into_object(self) -> Py<PyAny> {
        self.0
    }
}

/// An exception in the three parts that greenlet takes.
struct Raised<'py> {
    class: Bound<'py, PyAny>,
    value: Bound<'py, PyAny>,
    traceback: Option<Bound<'py, PyAny>>,
}

impl<'py> Raised<'py> {
    /// Makes the exception if there is only its class and its arguments so far.
    ///
    /// PyO3 would release the GIL for that. A thread that ends throws into its greenlets, and may be past
    /// the point where it gets the GIL back.
    #[allow(deprecated, reason = "what replaces them is not in all versions")]
    fn new(py: Python<'py>, error: PyErr) -> Self {
        error.restore(py);
        let [mut class, mut value, mut traceback] = [std::ptr::null_mut(); 3];
        // SAFETY: the GIL is held and an exception is set. Two new references come back, and one more or
        // NULL; an exception that cannot be made is replaced by the one that says why.
        unsafe {
            ffi::PyErr_Fetch(&raw mut class, &raw mut value, &raw mut traceback);
            ffi::PyErr_NormalizeException(&raw mut class, &raw mut value, &raw mut traceback);
            Self {
                class: Bound::from_owned_ptr(py, class),
                value: Bound::from_owned_ptr(py, value),
                traceback: Bound::from_owned_ptr_or_opt(py, traceback),
            }
        }
    }
}

/// A greenlet that something else keeps alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct GreenletRef(*mut ffi::PyObject);

impl GreenletRef {
    /// Nobody: not a greenlet at all.
    pub const NONE: Self = Self(std::ptr::null_mut());

    /// Whether this is nobody.
    #[inline]
    pub fn is_none(self) -> bool {
        self.0.is_null()
    }

    /// Whether this is `greenlet`.
    #[inline]
    pub fn is(self, greenlet: &Greenlet) -> bool {
        self.0 == greenlet.0.as_ptr()
    }

    /// Resumes this greenlet as [`Greenlet::switch`] does. Returns a new reference, or NULL with an exception
    /// set, as CPython does: to wrap it takes room on the stack, which is copied at each switch.
    ///
    /// # Safety
    ///
    /// The GIL is held, [`init`] has succeeded, and the greenlet is alive until it has been resumed: greenlet
    /// runs no Python code before that.
    #[inline]
    pub unsafe fn switch(self) -> *mut ffi::PyObject {
        // SAFETY: `init` has stored the table. The rest is what the caller promises, and as in
        // `Greenlet::switch`.
        unsafe {
            let table = &*TABLE.get().unwrap_unchecked().0;
            (table.switch)(self.0, std::ptr::null_mut(), std::ptr::null_mut())
        }
    }
}

/// Whether `object` is a greenlet or an instance of a subclass.
#[inline]
pub fn is_greenlet(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: both pointers are live; the type is greenlet's static type.
    unsafe { ffi::PyObject_TypeCheck(object.as_ptr(), table().greenlet_type) != 0 }
}

/// The class `greenlet.greenlet`.
pub fn greenlet_type(py: Python<'_>) -> Bound<'_, PyType> {
    // SAFETY: the slot holds a static type object, which is immortal for our purposes.
    unsafe {
        Bound::from_borrowed_ptr(py, table().greenlet_type.cast::<ffi::PyObject>())
            .cast_into_unchecked()
    }
}

/// The class `greenlet.GreenletExit`.
pub fn greenlet_exit(py: Python<'_>) -> Bound<'_, PyType> {
    // SAFETY: the slot holds an exception class that greenlet keeps alive.
    unsafe { Bound::from_borrowed_ptr(py, table().exit).cast_into_unchecked() }
}

/// The class `greenlet.error`.
pub fn greenlet_error(py: Python<'_>) -> Bound<'_, PyType> {
    // SAFETY: the slot holds an exception class that greenlet keeps alive.
    unsafe { Bound::from_borrowed_ptr(py, table().error).cast_into_unchecked() }
}

// The capsule's table is read as `Table`: twelve pointers, nothing else.
const _: () = assert!(size_of::<Table>() == 12 * size_of::<*const c_void>());

#[cfg(test)]
mod tests {
    use super::parse_version;

    #[test]
    fn versions() {
        assert_eq!(parse_version("3.2.2"), Some((3, 2, 2)));
        assert_eq!(parse_version("3.5"), Some((3, 5, 0)));
        assert_eq!(parse_version("4.0.0rc1"), Some((4, 0, 0)));
        assert_eq!(parse_version("3.10.1.dev0"), Some((3, 10, 1)));
        assert_eq!(parse_version("unknown"), None);
        assert_eq!(parse_version(""), None);
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(parse_version("3.10.0") > Some((3, 2, 2)));
        assert!(parse_version("3.2.1") < Some((3, 2, 2)));
    }
}
