//! A free list under CPython's arena allocator.
//!
//! Since 3.11 CPython keeps the frames of Python functions in "data stack chunks" of 16 KiB. Every greenlet
//! that runs Python code gets one of its own, straight from `mmap`, and gives it back at the end: two
//! system calls and a page fault that cost several times as much as all else a short green thread does.
//! The arena allocator is the public hook through which those chunks are requested, so keeping the freed
//! ones here makes green threads cheap without touching CPython's internals.
//!
//! Only blocks of that one size are kept, and only so many; every other request goes to the allocator that
//! was there before. Blocks keep their pages while they are on the list, which is the point.

use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use pyo3::ffi;
use pyo3::prelude::*;

use crate::datastack;

/// The size of a data stack chunk (`DATA_STACK_CHUNK_SIZE`), unchanged since CPython 3.11.
const BLOCK_SIZE: usize = 16 * 1024;

/// How many free blocks are kept unless the environment says otherwise: 32 MiB at the most.
const DEFAULT_LIMIT: usize = 2048;

/// Names the most blocks to keep; 0 leaves CPython's allocator alone.
const VARIABLE: &str = "EVENTLET_ARENA_CACHE";

struct Cache {
    previous: ffi::PyObjectArenaAllocator,
    limit: usize,
    free: Mutex<Vec<Block>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

struct Block(*mut c_void);

// SAFETY: a block on the free list is memory that nobody uses; any thread may hand it out.
unsafe impl Send for Block {}
// SAFETY: `previous` is three plain pointers that are never changed after installation, and CPython calls
// allocators from any thread, so they tolerate that; the rest is atomics and a mutex.
unsafe impl Sync for Cache {}
// SAFETY: as above; the value is put into a static once and stays there.
unsafe impl Send for Cache {}

static CACHE: OnceLock<Option<Cache>> = OnceLock::new();

/// What `hub.stats()` shows of the cache.
pub struct Counters {
    pub free: usize,
    pub hits: u64,
    pub misses: u64,
}

/// Installs the cache, once a process.
pub fn install(py: Python<'_>) {
    CACHE.get_or_init(|| {
        let limit = std::env::var(VARIABLE)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(DEFAULT_LIMIT);
        if limit == 0 {
            return None;
        }
        let mut previous = ffi::PyObjectArenaAllocator {
            ctx: std::ptr::null_mut(),
            alloc: None,
            free: None,
        };
        // SAFETY: the GIL is held and the argument is a valid place for three pointers.
        unsafe { ffi::PyObject_GetArenaAllocator(&raw mut previous) };
        if previous.alloc.is_none() || previous.free.is_none() {
            return None;
        }
        Some(Cache {
            previous,
            limit,
            free: Mutex::new(Vec::new()),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        })
    });
    if matches!(CACHE.get(), Some(Some(_))) {
        let mut ours = ffi::PyObjectArenaAllocator {
            ctx: std::ptr::null_mut(),
            alloc: Some(alloc),
            free: Some(free),
        };
        // SAFETY: the GIL is held; both functions follow the allocator's contract for blocks of either
        // origin, as a cached block came from the previous allocator in the first place.
        unsafe { ffi::PyObject_SetArenaAllocator(&raw mut ours) };
        datastack::install(py);
    }
}

/// The counters, or `None` if the cache is off.
pub fn counters() -> Option<Counters> {
    let cache = CACHE.get()?.as_ref()?;
    Some(Counters {
        free: cache.free.try_lock().map_or(0, |free| free.len()),
        hits: cache.hits.load(Ordering::Relaxed),
        misses: cache.misses.load(Ordering::Relaxed),
    })
}

extern "C" fn alloc(_ctx: *mut c_void, size: usize) -> *mut c_void {
    let Some(Some(cache)) = CACHE.get() else {
        return std::ptr::null_mut();
    };
    if size == BLOCK_SIZE {
        // A try, not a wait: in a forked child the lock may belong to a thread that does not exist there.
        if let Ok(mut free) = cache.free.try_lock()
            && let Some(block) = free.pop()
        {
            cache.hits.fetch_add(1, Ordering::Relaxed);
            return block.0;
        }
        cache.misses.fetch_add(1, Ordering::Relaxed);
    }
    match cache.previous.alloc {
        Some(function) => function(cache.previous.ctx, size),
        None => std::ptr::null_mut(),
    }
}

extern "C" fn free(_ctx: *mut c_void, pointer: *mut c_void, size: usize) {
    let Some(Some(cache)) = CACHE.get() else {
        return;
    };
    if size == datastack::SIZE {
        // SAFETY: CPython asks for no block of that size, so it is a piece of a green thread that has ended.
        unsafe { datastack::free(pointer) };
        return;
    }
    if size == BLOCK_SIZE
        && let Ok(mut free) = cache.free.try_lock()
        && free.len() < cache.limit
    {
        free.push(Block(pointer));
        return;
    }
    if let Some(function) = cache.previous.free {
        function(cache.previous.ctx, pointer, size);
    }
}
