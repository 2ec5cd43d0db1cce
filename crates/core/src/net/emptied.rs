//! What is known of a socket after it has been read.
//!
//! A read that brings less than was asked for has emptied a TCP socket, and the kernel reports what comes after it.
//! As long as it has not, there is no need to try again: a server that has answered a request waits for the next
//! one with one system call less.

use std::ffi::c_int;
use std::os::fd::RawFd;

use pyo3::prelude::*;

use crate::hub::{self, io};

/// Sizes beyond it, in bytes, are always tried: there may be no memory for so much, which shows at once then.
const LARGE: usize = 1 << 24;

/// Whether a read would find nothing, as far as the hub was told.
#[inline]
pub fn is_empty(py: Python<'_>, fd: RawFd, size: usize, flags: c_int) -> bool {
    flags == 0
        && (1..=LARGE).contains(&size)
        && hub::existing(py).is_some_and(|hub| {
            let generation = io::generation(py, fd);
            hub.get().io.with(py, |io| io.is_empty(fd, generation))
        })
}

/// Remembers a read that brought `count` of `size` bytes.
#[inline]
pub fn note(py: Python<'_>, fd: RawFd, count: usize, size: usize, flags: c_int) {
    if let Some(hub) = hub::existing(py) {
        let generation = io::generation(py, fd);
        let short = 0 < count && count < size && flags == 0;
        hub.get()
            .io
            .with(py, |io| io.note_read(fd, generation, short));
    }
}
