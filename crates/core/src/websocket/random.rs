//! Random bytes for masks: they have to be such that nobody can foresee them (RFC 6455 section 10.3).

use std::cell::RefCell;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

/// How many bytes are asked for at once; `getentropy` gives no more.
const STOCK: usize = 256;

thread_local! {
    static BYTES: RefCell<(usize, [u8; STOCK])> = const { RefCell::new((STOCK, [0; STOCK])) };
}

/// `N` random bytes, no more than [`STOCK`].
pub fn bytes<const N: usize>() -> PyResult<[u8; N]> {
    BYTES.with_borrow_mut(|(used, stock)| {
        if *used + N > STOCK {
            // SAFETY: the array is writable and of that size, which is the largest that is allowed.
            if unsafe { libc::getentropy(stock.as_mut_ptr().cast(), STOCK) } != 0 {
                return Err(PyOSError::new_err("the system has no random bytes"));
            }
            *used = 0;
        }
        let mut taken = [0; N];
        let range = *used..*used + N;
        taken.copy_from_slice(&stock[range.clone()]);
        // What has been used is not left in memory.
        stock[range].fill(0);
        *used += N;
        Ok(taken)
    })
}
