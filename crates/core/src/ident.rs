//! Numbers that tell green threads apart: what `threading.get_ident` answers.
//!
//! The first greenlet of an OS thread has the identity of that thread, so that a program without green
//! threads sees what it always saw. Every other greenlet gets the next number when somebody first asks for
//! it, and keeps it in its own dictionary: it goes when the greenlet goes, and is never given again. The
//! identities of OS threads are addresses, which counting from 1 does not reach.

use std::sync::atomic::{AtomicU64, Ordering};

use eventlet_greenlet::Greenlet;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyInt;
use pyo3::{ffi, intern};

static LAST: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" {
    fn PyThread_get_thread_ident() -> std::ffi::c_ulong;
}

/// The number of the running greenlet, or of `greenlet`: no other has it, or ever will have.
///
/// For the first greenlet of an OS thread it is the number that the system gives to the thread. Raises
/// TypeError for what is not a greenlet, and ValueError for the first greenlet of another OS thread that has
/// no hub.
#[pyfunction]
#[pyo3(signature = (greenlet = None), text_signature = "(greenlet=None)")]
pub fn get_ident<'py>(
    py: Python<'py>,
    greenlet: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyInt>> {
    let own = Greenlet::current(py)?;
    let asked = match greenlet {
        Some(object) => Greenlet::from_object(object)?,
        None => own.clone_ref(py),
    };
    if !asked.is_main() {
        return number(py, &asked);
    }
    if asked.is(&root(py, own)) {
        return Ok(thread().into_pyobject(py)?);
    }
    match asked.dict(py)?.get_item(key(py))? {
        Some(known) => Ok(known.cast_into()?),
        None => Err(PyValueError::new_err(
            "this is the first greenlet of another OS thread, of which nothing is known",
        )),
    }
}

/// As [`get_ident`], of the running greenlet.
///
/// While the interpreter shuts down, when there are no greenlets any more, it is the OS thread's.
#[inline]
pub fn current(py: Python<'_>) -> PyResult<u64> {
    match Greenlet::current(py) {
        Ok(greenlet) if !greenlet.is_main() => number(py, &greenlet)?.extract(),
        _ => Ok(thread()),
    }
}

/// Lets other OS threads ask for the number of the calling thread's first greenlet.
pub fn publish(py: Python<'_>) -> PyResult<()> {
    let main = root(py, Greenlet::current(py)?);
    main.dict(py)?.set_item(key(py), thread())
}

/// What the system calls the calling OS thread.
#[inline]
pub fn thread() -> u64 {
    // SAFETY: it asks the system for the identity of the thread, and has no conditions.
    let ident = unsafe { PyThread_get_thread_ident() };
    #[expect(
        clippy::useless_conversion,
        reason = "it is narrower on some platforms"
    )]
    u64::from(ident)
}

fn key(py: Python<'_>) -> &Bound<'_, pyo3::types::PyString> {
    intern!(py, "_eventlet_ident")
}

/// The number of a greenlet that is not the first of its thread.
#[inline]
fn number<'py>(py: Python<'py>, greenlet: &Greenlet) -> PyResult<Bound<'py, PyInt>> {
    let dict = greenlet.dict(py)?;
    if let Some(known) = dict.get_item(key(py))? {
        return Ok(known.cast_into()?);
    }
    let fresh = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    let fresh = fresh.into_pyobject(py)?;
    // Making the number may have run anything, which may have given this greenlet one.
    // SAFETY: all three are live objects of the right kinds; what comes back is borrowed from the dictionary.
    let kept = unsafe {
        let kept = ffi::PyDict_SetDefault(dict.as_ptr(), key(py).as_ptr(), fresh.as_ptr());
        Bound::from_borrowed_ptr_or_err(py, kept)?
    };
    Ok(kept.cast_into()?)
}

fn root(py: Python<'_>, mut greenlet: Greenlet) -> Greenlet {
    while let Some(parent) = greenlet.parent(py) {
        greenlet = parent;
    }
    greenlet
}
