//! The WSGI server.
//!
//! # Theory of operation
//!
//! A [`server::WsgiServer`] accepts connections in the hub, as many as are waiting. A
//! [`connection::Connection`] reads and parses there too, so a connection that waits for a request has no
//! green thread and no buffer. When the head of a request is complete, the connection makes an
//! [`exchange::Exchange`] (the environ, and the `start_response` that goes with it) and starts a green
//! thread, which calls the application, writes the response and, if the next request is in the buffer
//! already, goes on with that. Then the green thread ends and the connection waits in the hub again.
//!
//! So does a connection with TLS over it, once the handshake has been done in a green thread. Those over objects
//! of the user, and those of a `custom_pool`, live in one green thread each instead, which runs the very same code
//! and waits where the other would end; see [`transport::Transport`].
//!
//! What comes before the first request, a PROXY header or the handshake, has the time of a head, and so has a
//! connection that begins with nothing at all. The only timer of a connection is in the hub; it is not moved when
//! its deadline moves away, but looks at it when it goes off.
//!
//! The protocol itself, what is a request, what must be refused, how a response is delimited, is in the
//! crate `eventlet-http1`; nothing is decided here a second time.

pub mod connection;
pub mod date;
pub mod environ;
pub mod exchange;
pub mod file;
pub mod files;
pub mod forwarded;
pub mod input;
pub mod log;
pub mod server;
pub mod text;
pub mod transport;
pub mod uwsgi;
pub mod worker;

use pyo3::prelude::*;

/// Adds the server's classes to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<server::WsgiServer>()?;
    module.add_class::<connection::Connection>()?;
    module.add_class::<connection::Session>()?;
    module.add(
        "RequestRefused",
        module.py().get_type::<connection::RequestRefused>(),
    )?;
    module.add_class::<exchange::Exchange>()?;
    module.add_class::<exchange::Writer>()?;
    module.add_class::<file::FileWrapper>()?;
    module.add_class::<input::Input>()?;
    module.add_class::<log::RequestRecord>()?;
    module.add_class::<worker::Worker>()?;
    module.add_function(wrap_pyfunction!(text::encode_header_line, module)?)
}
