//! Buffers and system calls.

use std::cell::Cell;
use std::os::fd::RawFd;

use crate::net::buffer::errno;

/// The most that is read at once: a message of 64 KiB with its header, and then some.
pub const READ_SIZE: usize = 128 * 1024;

/// A buffer for writing that has grown beyond this is not kept, in bytes.
const KEPT: usize = 256 * 1024;

thread_local! {
    static INPUT: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
    static OUTPUT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Takes the thread's buffer for reading. Whoever has it may switch: others get a new one meanwhile.
pub fn take_input() -> Box<[u8]> {
    INPUT
        .take()
        .unwrap_or_else(|| vec![0; READ_SIZE].into_boxed_slice())
}

/// Gives it back.
pub fn return_input(buffer: Box<[u8]>) {
    INPUT.set(Some(buffer));
}

/// Takes the thread's buffer for writing, which is empty.
pub fn take_output() -> Vec<u8> {
    OUTPUT.take()
}

/// Gives it back.
pub fn return_output(mut buffer: Vec<u8>) {
    if buffer.capacity() <= KEPT {
        buffer.clear();
        OUTPUT.set(buffer);
    }
}

/// `recv(2)`; never blocks. An errno on failure.
#[inline]
pub fn receive(fd: RawFd, buffer: &mut [u8]) -> Result<usize, i32> {
    let (start, length) = (buffer.as_mut_ptr(), buffer.len());
    // SAFETY: the pointer and the length are those of a live, exclusively borrowed slice.
    let count = unsafe { libc::recv(fd, start.cast(), length, libc::MSG_DONTWAIT) };
    usize::try_from(count).map_err(|_| errno())
}

/// Sends two pieces at once; never blocks. An errno on failure.
#[inline]
pub fn send(fd: RawFd, first: &[u8], second: &[u8]) -> Result<usize, i32> {
    const FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let count = if second.is_empty() {
        // SAFETY: the pointer and the length are those of a live slice, which is only read.
        unsafe { libc::send(fd, first.as_ptr().cast(), first.len(), FLAGS) }
    } else {
        let mut vector = [first, second].map(|piece| libc::iovec {
            iov_base: piece.as_ptr().cast_mut().cast(),
            iov_len: piece.len(),
        });
        // SAFETY: all-zero bytes are a valid `msghdr` (integers and null pointers).
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = vector.as_mut_ptr();
        message.msg_iovlen = 2;
        // SAFETY: the message points to two entries that each describe a live slice that is only read.
        unsafe { libc::sendmsg(fd, &raw const message, FLAGS) }
    };
    usize::try_from(count).map_err(|_| errno())
}
