//! Python objects for messages, into which the payload is unmasked without being copied in between.

use std::mem::MaybeUninit;
use std::slice;

use eventlet_websocket::{MessageKind, Whole};
use pyo3::ffi;
use pyo3::prelude::*;

/// The str or bytes for a message that is all there in `input`.
///
/// None for text that is not ASCII, or when there is no memory: the codec is to deal with it.
#[inline]
pub fn copied(py: Python<'_>, whole: &Whole, input: &[u8]) -> Option<Py<PyAny>> {
    let length = whole.payload.len();
    if length < 2 {
        // There is one object for each of these, which is not to be written to.
        return None;
    }
    let size = ffi::Py_ssize_t::try_from(length).ok()?;
    let (object, memory) = match whole.kind {
        MessageKind::Text => {
            // SAFETY: the GIL is held; the new str has `size` characters of one byte each, all ASCII.
            let object = unsafe { ffi::PyUnicode_New(size, 127) };
            // SAFETY: it returns a new reference or null.
            let object = unsafe { Bound::from_owned_ptr_or_err(py, object) }.ok()?;
            // SAFETY: it is a compact str, whose characters follow its head.
            let memory = unsafe { ffi::PyUnicode_DATA(object.as_ptr()) };
            (object, memory)
        }
        MessageKind::Binary => {
            // SAFETY: the GIL is held; without a source the new bytes object has `size` bytes of anything.
            let object = unsafe { ffi::PyBytes_FromStringAndSize(std::ptr::null(), size) };
            // SAFETY: it returns a new reference or null.
            let object = unsafe { Bound::from_owned_ptr_or_err(py, object) }.ok()?;
            // SAFETY: it is a bytes object.
            let memory = unsafe { ffi::PyBytes_AsString(object.as_ptr()) };
            (object, memory.cast())
        }
    };
    // SAFETY: the object has `length` bytes there, and nobody else has seen it yet.
    let target = unsafe { slice::from_raw_parts_mut(memory.cast::<MaybeUninit<u8>>(), length) };
    // If it gives up, the object is dropped unseen, with characters of anything in it.
    whole
        .copy_to(target, MaybeUninit::new, input)
        .then(|| object.unbind())
}
