//! Green sockets: the parts of `eventlet.greenio` and `eventlet.green.ssl` that are native.
//!
//! # Theory of operation
//!
//! A green socket *is* a `socket.socket`: `class GreenSocket(SocketMethods, socket.socket)`. CPython's object
//! owns the descriptor and is always non-blocking; [`socket::SocketMethods`] has no data of its own, only
//! methods, which come first in the method resolution order. Each of them
//!
//! 1. reads the descriptor's number from CPython's object ([`fd`]), every time: it is never cached, since
//!    anybody may close the socket while we wait, and the number may come back as somebody else's;
//! 2. makes the system call at once;
//! 3. only when that would block asks for the socket's timeout and parks on the hub ([`limit`]), then goes
//!    back to 1.
//!
//! So an operation that can be done is done without touching the hub, and one that cannot makes no Python
//! object and runs no Python code while it waits. What needs addresses or ancillary data parsed is left to
//! CPython's own methods ([`base`]), which raise `BlockingIOError`; the waiting is ours again.

mod address;
mod base;
pub(crate) mod buffer;
mod connect;
mod early;
pub(crate) mod emptied;
pub(crate) mod fd;
pub(crate) mod limit;
mod recv;
pub(crate) mod resolver;
mod socket;
pub mod tls;

use pyo3::prelude::*;

pub(crate) use socket::SocketMethods;
pub(crate) use tls::TlsMethods;

use crate::hub::entry;

/// Adds the classes and functions to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<socket::SocketMethods>()?;
    entry::add_method::<recv::Recv>(&module.py().get_type::<socket::SocketMethods>())?;
    module.add_class::<tls::TlsMethods>()?;
    resolver::add_to(module)?;
    module.add_function(wrap_pyfunction!(early::call_early, module)?)?;
    module.add_function(wrap_pyfunction!(early::resolved, module)?)?;
    module.add_function(wrap_pyfunction!(fd::init_sockets, module)?)?;
    module.add_function(wrap_pyfunction!(fd::notify_opened, module)?)?;
    module.add_function(wrap_pyfunction!(fd::notify_adopted, module)?)?;
    module.add_function(wrap_pyfunction!(fd::notify_closing, module)?)?;
    module.add_function(wrap_pyfunction!(fd::set_fd_owner, module)?)?;
    module.add_function(wrap_pyfunction!(fd::fd_owner, module)?)?;
    module.add_function(wrap_pyfunction!(tls::retry_ssl, module)?)
}
