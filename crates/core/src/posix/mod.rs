//! Bare descriptors: what `os.read`, `os.write`, `select.select` and `select.poll` do with them.
//!
//! A descriptor of a pipe or a terminal belongs to others as well: to child processes, to the shell. So it
//! is never made non-blocking. The kernel is asked first whether an operation can be done, and it is only
//! begun if it can ([`file`]). Whoever waits for several descriptors at once does so on one that stands for
//! them all, and so is in nobody's way who waits for one of them ([`poll`]).
//!
//! There is nothing to be gained by waiting on a hub where there is none, and no way to do so in the hub
//! itself, where signal handlers run: there the system call is made, and blocks.

mod file;
mod poll;

use eventlet_greenlet::Greenlet;
use pyo3::prelude::*;

use crate::hub::{self, Hub};

/// The hub to wait on, if the caller can wait on one.
pub fn hub_to_wait_on(py: Python<'_>) -> PyResult<Option<Bound<'_, Hub>>> {
    let Some(hub) = hub::existing(py) else {
        return Ok(None);
    };
    let current = Greenlet::current(py)?;
    Ok(Some(hub).filter(|hub| !hub.get().is_hub_greenlet(py, &current)))
}

/// Whether the caller can wait: it is not the hub itself, and its thread has a hub.
///
/// Where it cannot, a call that blocks may as well do so: no green thread could run meanwhile, or the caller
/// is a signal handler that has interrupted the hub.
#[pyfunction]
fn can_wait(py: Python<'_>) -> PyResult<bool> {
    hub_to_wait_on(py).map(|hub| hub.is_some())
}

/// For a forked child that goes on with nothing but the caller: the thread has no hub until it needs one.
///
/// The old one is never freed, nor what waits on it: the green threads of the parent must neither run nor be
/// unwound here.
#[pyfunction]
fn abandon_hub(py: Python<'_>) {
    let Some(hub) = hub::set_current(py, None) else {
        return;
    };
    let poller = hub.get().io.with(py, |io| io.poller.take());
    drop(poller);
    std::mem::forget(hub);
}

/// The errno of the system call that just failed.
fn errno() -> i32 {
    std::io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EIO)
}

/// Adds the functions and classes to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(abandon_hub, module)?)?;
    module.add_function(wrap_pyfunction!(can_wait, module)?)?;
    module.add_function(wrap_pyfunction!(file::os_read, module)?)?;
    module.add_function(wrap_pyfunction!(file::os_read_into, module)?)?;
    module.add_function(wrap_pyfunction!(file::os_write, module)?)?;
    module.add_function(wrap_pyfunction!(poll::select, module)?)?;
    module.add_function(wrap_pyfunction!(poll::wait_readable, module)?)?;
    module.add_class::<poll::Poll>()
}
