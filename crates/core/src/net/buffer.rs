//! Memory of Python objects, as system calls read and write it.
//!
//! What is read goes through a block that belongs to the OS thread, and from there into a `bytes` object of
//! the size that came: a frame that parks must stay small (greenlet copies it), and a `bytes` of the size
//! that was asked for would mostly be thrown away. Nothing can run between the system call and the copy, so
//! the green threads of a thread can share the block.

use std::cell::UnsafeCell;
use std::ffi::c_int;
use std::io;
use std::os::fd::RawFd;

use pyo3::exceptions::{PyBufferError, PyMemoryError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Up to this size reads go through the thread's block.
const SCRATCH: usize = 64 * 1024;

thread_local! {
    static BLOCK: UnsafeCell<Vec<u8>> = const { UnsafeCell::new(Vec::new()) };
}

/// The errno of the system call that just failed.
#[inline]
pub fn errno() -> i32 {
    io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EIO)
}

/// `recv(2)` into memory of ours; never blocks.
///
/// The outer error is the errno.
#[inline]
pub fn receive(
    py: Python<'_>,
    fd: RawFd,
    size: usize,
    flags: c_int,
) -> Result<PyResult<Bound<'_, PyBytes>>, i32> {
    // SAFETY: `fill` gives memory with room for `size` bytes.
    fill(py, size, |pointer| unsafe {
        receive_at(fd, pointer, size, flags)
    })
}

/// The `bytes` that `read` has put at the address it is given, where there is room for `size`.
///
/// `read` returns how many bytes it has written, or an errno, which is the outer error. It may release the
/// GIL, but neither runs Python code nor switches.
#[inline]
pub fn fill(
    py: Python<'_>,
    size: usize,
    read: impl FnOnce(*mut u8) -> Result<usize, i32>,
) -> Result<PyResult<Bound<'_, PyBytes>>, i32> {
    if size > SCRATCH {
        return fill_much(py, size, read);
    }
    BLOCK.with(|block| {
        let block = block.get();
        // SAFETY: only this function touches the block, on its own thread, and it neither calls itself nor
        // runs Python code nor switches before it is done: making a `bytes` object is only an allocation.
        let pointer = unsafe {
            if (*block).capacity() < SCRATCH {
                (*block).reserve_exact(SCRATCH);
            }
            (*block).as_mut_ptr()
        };
        let count = read(pointer)?.min(size);
        // SAFETY: that many bytes have been written.
        Ok(Ok(PyBytes::new(py, unsafe {
            std::slice::from_raw_parts(pointer, count)
        })))
    })
}

#[cold]
fn fill_much(
    py: Python<'_>,
    size: usize,
    read: impl FnOnce(*mut u8) -> Result<usize, i32>,
) -> Result<PyResult<Bound<'_, PyBytes>>, i32> {
    let mut memory: Vec<u8> = Vec::new();
    if memory.try_reserve_exact(size).is_err() {
        return Ok(Err(PyMemoryError::new_err(())));
    }
    let count = read(memory.as_mut_ptr())?.min(size);
    // SAFETY: that many bytes have been written, and there is room for them.
    unsafe { memory.set_len(count) };
    Ok(Ok(PyBytes::new(py, &memory)))
}

/// `recv(2)`; never blocks.
///
/// # Safety
///
/// `size` bytes can be written at `pointer`.
#[inline]
pub unsafe fn receive_at(
    fd: RawFd,
    pointer: *mut u8,
    size: usize,
    flags: c_int,
) -> Result<usize, i32> {
    // SAFETY: the caller vouches for the memory.
    let count = unsafe { libc::recv(fd, pointer.cast(), size, flags | libc::MSG_DONTWAIT) };
    usize::try_from(count).map_err(|_| errno())
}

/// `send(2)`; never blocks.
#[inline]
pub fn send(fd: RawFd, data: &[u8], flags: c_int) -> Result<usize, i32> {
    // SAFETY: the slice is readable.
    let count = unsafe {
        libc::send(
            fd,
            data.as_ptr().cast(),
            data.len(),
            flags | libc::MSG_DONTWAIT,
        )
    };
    usize::try_from(count).map_err(|_| errno())
}

/// The memory of an object, kept in place until this is dropped.
///
/// The record is on the heap: the exporter may hold on to its address, and the frame may park.
pub struct Memory(Box<ffi::Py_buffer>);

impl Memory {
    fn get(object: &Bound<'_, PyAny>, flags: c_int) -> PyResult<Self> {
        let mut view = Box::new(ffi::Py_buffer::new());
        // SAFETY: the object is live and the record is ours; it is filled in if 0 is returned.
        if unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), &raw mut *view, flags) } == 0 {
            Ok(Self(view))
        } else {
            Err(PyErr::fetch(object.py()))
        }
    }

    /// To read from. Raises `TypeError` for what is not bytes-like.
    pub fn readable(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::get(object, ffi::PyBUF_SIMPLE)
    }

    /// To write to. Raises `TypeError` for what is not bytes-like, or is read-only.
    pub fn writable(object: &Bound<'_, PyAny>, function: &str) -> PyResult<Self> {
        let py = object.py();
        Self::get(object, ffi::PyBUF_WRITABLE).map_err(|error| {
            if !error.is_instance_of::<PyBufferError>(py)
                && !error.is_instance_of::<PyTypeError>(py)
            {
                return error;
            }
            let name = object
                .get_type()
                .name()
                .map_or_else(|_| "object".to_owned(), |name| name.to_string());
            PyTypeError::new_err(format!(
                "{function}() argument 1 must be read-write bytes-like object, not {name}"
            ))
        })
    }

    /// How many bytes.
    pub fn len(&self) -> usize {
        self.0.len.unsigned_abs()
    }

    /// Where they are; writable if it was asked for with [`writable`](Self::writable).
    pub fn pointer(&self) -> *mut u8 {
        self.0.buf.cast()
    }

    /// The bytes, for one system call: other code may change them at any time after that.
    pub fn bytes(&self) -> &[u8] {
        if self.len() == 0 {
            return &[];
        }
        // SAFETY: the exporter keeps the memory in place and readable until the record is released.
        unsafe { std::slice::from_raw_parts(self.pointer(), self.len()) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: filled in by `PyObject_GetBuffer` and released once. Only operations on
        // descriptors hold one, and they run with the GIL.
        unsafe { ffi::PyBuffer_Release(&raw mut *self.0) };
    }
}

/// What a caller wants to send.
pub enum Data<'a> {
    /// Of a `bytes` object, which does not change or move.
    Bytes(&'a [u8]),
    /// Of anything else.
    Memory(Memory),
}

impl<'a> Data<'a> {
    /// Of a bytes-like object.
    #[inline]
    pub fn new(object: &'a Bound<'_, PyAny>) -> PyResult<Self> {
        match object.cast_exact::<PyBytes>() {
            Ok(bytes) => Ok(Self::Bytes(bytes.as_bytes())),
            Err(_) => Memory::readable(object).map(Self::Memory),
        }
    }

    /// The bytes, for one system call.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Memory(memory) => memory.bytes(),
        }
    }
}
