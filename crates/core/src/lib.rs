//! `eventlet._core`: the native half of Eventlet.
//!
//! | module | what it is |
//! |---|---|
//! | [`hub`] | the event loop of a thread: run queue, timers, descriptors |
//! | [`greenthread`] | `spawn`, `GreenThread`, `kill` |
//! | [`ident`] | numbers that tell green threads apart |
//! | [`local`] | attributes that each green thread has for itself |
//! | [`net`] | sockets |
//! | [`posix`] | pipes, terminals and other bare descriptors; `select` and `poll` |
//! | [`sync`] | primitives that green threads wait on |
//! | [`timeout`] | time limits: an exception after a while |
//! | [`websocket`] | WebSocket |
//! | [`wsgi`] | the WSGI server |
//! | [`arena`], [`datastack`] | what makes green threads cheap to start and small |
//! | [`cell`] | how state is shared under the GIL |
//!
//! Start reading at [`hub`].

mod arena;
mod call;
mod cell;
mod clock;
mod datastack;
mod errors;
mod greenthread;
mod hub;
mod ident;
mod local;
mod net;
mod posix;
mod sync;
mod timeout;
mod websocket;
mod wsgi;

use pyo3::prelude::*;

/// The native half of Eventlet. Everything public is re-exported by the `eventlet` package.
#[pymodule(gil_used = true)]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    eventlet_greenlet::init(py)?;
    arena::install(py);
    hub::add_to(module)?;
    greenthread::add_to(module)?;
    module.add_function(wrap_pyfunction!(ident::get_ident, module)?)?;
    local::add_to(module)?;
    net::add_to(module)?;
    posix::add_to(module)?;
    sync::add_to(module)?;
    module.add_function(wrap_pyfunction!(timeout::throw_after, module)?)?;
    websocket::add_to(module)?;
    wsgi::add_to(module)?;
    // PyO3 lists every name there, which says nothing that the stub does not.
    module.delattr("__all__")
}
