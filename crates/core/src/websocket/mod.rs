//! WebSocket: the parts of `eventlet.websocket` that are native.
//!
//! # Theory of operation
//!
//! [`WebSocketBase`] is what `RFC6455WebSocket` derives from. It joins a socket to a codec of the crate
//! `eventlet_websocket`, which knows the protocol and does no I/O:
//!
//! - [`wait`](wait::Wait) goes over what has been received up to the next message. Bytes come through a block that
//!   belongs to the OS thread and mostly hold whole messages, which are unmasked right into [Python
//!   objects](message); only what is left over is kept. So a connection that waits has its green thread, a codec and nothing else.
//! - [`send`](send) writes a message with one system call. What the peer does not take at once is waited for, with
//!   a [lock](lock) held so that the frames of several senders stay apart.
//! - [`broadcast`](broadcast) sends one message to many, and waits for nobody.
//! - Control frames are answered within `wait`, without waiting themselves: if the pong cannot leave now, a green
//!   thread is started that sees to it.
//!
//! What is rare is left to Python: how a connection is closed, time limits, sockets with methods of their own such
//! as those for TLS, which are called instead.

mod base;
mod broadcast;
mod handshake;
mod io;
mod lock;
mod message;
mod random;
mod send;
mod wait;

use pyo3::prelude::*;

use crate::hub::entry;

/// Adds the class and the functions to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<base::WebSocketBase>()?;
    let class = module.py().get_type::<base::WebSocketBase>();
    entry::add_method::<wait::Wait>(&class)?;
    entry::add_method::<send::Send>(&class)?;
    module.add_function(wrap_pyfunction!(handshake::websocket_accept, module)?)?;
    module.add_function(wrap_pyfunction!(handshake::websocket_agree, module)?)?;
    module.add_function(wrap_pyfunction!(broadcast::websocket_broadcast, module)?)?;
    module.add_function(wrap_pyfunction!(handshake::websocket_is_key, module)?)?;
    module.add_function(wrap_pyfunction!(handshake::websocket_key, module)?)?;
    module.add_function(wrap_pyfunction!(handshake::websocket_negotiate, module)?)
}
