//! A small first piece for the Python stack of each green thread.
//!
//! Since 3.11 CPython keeps the frames of Python functions in a chain of "data stack chunks" of 16 KiB, of
//! which each greenlet has its own. Few of those bytes are ever touched, yet no two chunks can share a page:
//! so a parked green thread costs a page, and the frames of many lie at equal places of their pages, where
//! they displace each other from the processor's caches.
//!
//! A green thread that has just begun has no chunk yet. Giving it one of [`SIZE`] bytes at that moment makes
//! the difference: CPython takes it for the root of the chain, goes on to a chunk of its own when it is full,
//! and comes back. When the green thread ends, greenlet hands the whole chain to the arena allocator, which is
//! ours ([`arena`](crate::arena)), and names the size of each chunk.
//!
//! The three pointers to set are in CPython's thread state, a structure that is public and differs from one
//! version to the next. Where they are is not assumed but looked up, once, in the thread state of the running
//! program: three words that point to the start, into, and to the end of a chunk that tells its own size.
//! Where that finds nothing, or more than one place, everything stays as it was.

use std::alloc::{Layout, alloc, dealloc};
use std::ffi::c_void;
use std::sync::{Mutex, OnceLock};

use pyo3::ffi;
use pyo3::prelude::*;

/// Bytes of a first piece: no multiple of a page, so that it is never mistaken for a chunk of CPython's, and
/// so that pieces in a row do not all begin at equal places of a page.
pub const SIZE: usize = 2032;

/// How many free pieces are kept: 4 MiB.
const LIMIT: usize = 2048;

const LAYOUT: Layout = match Layout::from_size_align(SIZE, 16) {
    Ok(layout) => layout,
    Err(_) => panic!("a size and a power of two"),
};

/// The head of a chunk, as CPython's headers have it (`_PyStackChunk`).
#[repr(C)]
struct Chunk {
    previous: *mut Chunk,
    /// Bytes, this head included.
    size: usize,
    /// Words in use, while a later chunk is the current one.
    top: usize,
}

/// The pointers of a thread state to the chunk that its greenlet uses.
#[repr(C)]
struct DataStack {
    chunk: *mut Chunk,
    top: *mut *mut ffi::PyObject,
    limit: *mut *mut ffi::PyObject,
}

/// Where a [`DataStack`] is in a thread state, in bytes. None if that is not known.
static OFFSET: OnceLock<Option<usize>> = OnceLock::new();

/// A piece that nobody uses.
struct Piece(*mut c_void);

// SAFETY: the piece is memory that nobody uses; any thread may hand it out.
unsafe impl Send for Piece {}

static FREE: Mutex<Vec<Piece>> = Mutex::new(Vec::new());

/// Looks up what [`begin`] has to know. The arena allocator has to be ours.
pub fn install(py: Python<'_>) {
    OFFSET.get_or_init(|| find(py));
}

/// Gives the running greenlet a first piece, if it has run no Python function yet.
#[inline]
pub fn begin(_py: Python<'_>) {
    let Some(Some(offset)) = OFFSET.get() else {
        return;
    };
    // SAFETY: the GIL is held, so this is the thread state of the calling thread; `find` has seen that its
    // kind has a `DataStack` there, and nobody else writes to it while the GIL is held.
    let stack = unsafe {
        &mut *ffi::PyThreadState_Get()
            .byte_add(*offset)
            .cast::<DataStack>()
    };
    if !stack.chunk.is_null() {
        return;
    }
    let Some(piece) = take() else {
        return;
    };
    let chunk = piece.cast::<Chunk>();
    // SAFETY: the piece has room for the head and, behind it, for words up to `SIZE`, all of them aligned. The
    // first word of a root chunk is never used, by which CPython knows a frame whose end is the chunk's.
    unsafe {
        chunk.write(Chunk {
            previous: std::ptr::null_mut(),
            size: SIZE,
            top: 0,
        });
        let words = chunk.add(1).cast::<*mut ffi::PyObject>();
        stack.chunk = chunk;
        stack.top = words.add(1);
        stack.limit = chunk.byte_add(SIZE).cast();
    }
}

/// Takes back a piece that the arena allocator is told to free.
///
/// # Safety
///
/// It is one that [`begin`] has handed out, and nobody uses it any more.
pub unsafe fn free(piece: *mut c_void) {
    if let Ok(mut free) = FREE.try_lock()
        && free.len() < LIMIT
    {
        free.push(Piece(piece));
        return;
    }
    // SAFETY: it was allocated with this layout, and the caller gives it up.
    unsafe { dealloc(piece.cast(), LAYOUT) };
}

fn take() -> Option<*mut c_void> {
    // A try, not a wait: in a forked child the lock may belong to a thread that does not exist there.
    if let Ok(mut free) = FREE.try_lock()
        && let Some(piece) = free.pop()
    {
        return Some(piece.0);
    }
    // SAFETY: the size is not 0.
    let piece = unsafe { alloc(LAYOUT) }.cast::<c_void>();
    (!piece.is_null()).then_some(piece)
}

/// Looks for a [`DataStack`] in the thread state of the calling thread.
fn find(py: Python<'_>) -> Option<usize> {
    // What follows knows how many bytes there are to look at, and has been tried, with these versions.
    let size = match py.version_info() {
        version if cfg!(not(target_pointer_width = "64")) || version.major != 3 => return None,
        version => match version.minor {
            11 => 360,
            12 => 288,
            13 => 304,
            _ => return None,
        },
    };
    // SAFETY: the GIL is held.
    let state = unsafe { ffi::PyThreadState_Get() }.cast::<usize>();
    let mut found = (0..=size / 8 - 3).filter(|at| {
        // SAFETY: a thread state of this version has at least `size` bytes.
        let [chunk, top, limit] = unsafe { state.add(*at).cast::<[usize; 3]>().read() };
        is_data_stack(chunk, top, limit)
    });
    let at = found.next()?;
    found.next().is_none().then_some(at * 8)
}

/// Whether these are the pointers to a chunk of CPython's own.
fn is_data_stack(chunk: usize, top: usize, limit: usize) -> bool {
    let size = limit.wrapping_sub(chunk);
    let plausible = chunk != 0
        && chunk % 4096 == 0
        && size.is_power_of_two()
        && (1 << 14..=1 << 24).contains(&size)
        && (chunk..=limit).contains(&top);
    if !plausible {
        return false;
    }
    // SAFETY: three words of a thread state span a piece of memory of just such a size, and one of them
    // points into it. Nothing else that is in there does that, and if it is a chunk, its head is readable.
    unsafe { (*(chunk as *const Chunk)).size == size }
}
