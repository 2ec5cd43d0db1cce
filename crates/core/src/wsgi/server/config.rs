//! What a server is told.

use eventlet_http1::Limits;
use eventlet_proxy::header::Versions;
use eventlet_proxy::trusted::Trusted;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBool;

/// What a server was told.
#[allow(clippy::struct_excessive_bools, reason = "each is one option")]
pub struct Config {
    /// Seconds that a connection may wait for its next request; `None` for ever.
    pub keepalive_timeout: Option<f64>,
    /// Whether connections persist at all.
    pub keepalive: bool,
    /// Seconds that one read outside a body may take.
    pub socket_timeout: Option<f64>,
    /// Seconds that a head may take from its first byte to its last, and that a new connection may take to
    /// begin one.
    pub head_timeout: Option<f64>,
    /// Seconds that a body may go without progress.
    pub body_timeout: Option<f64>,
    /// Seconds that a response may go without progress.
    pub send_timeout: Option<f64>,
    /// Which PROXY headers connections begin with, if they do.
    pub proxy_protocol: Option<Versions>,
    /// Whose PROXY headers and `X-Forwarded-*` fields are believed.
    pub trusted: Trusted,
    /// Whether it is the uwsgi protocol that is spoken.
    pub uwsgi: bool,
    /// How many requests a connection may make.
    pub max_requests: u64,
    /// Blocks of an application are gathered until there is this much, in bytes.
    pub minimum_chunk_size: usize,
    /// Whether a 500 shows the traceback.
    pub debug: bool,
    /// Whether header names are sent as `Foo-Bar`, however they were written.
    pub capitalize: bool,
    /// Whether the server keeps to HTTP/1.0.
    pub http10: bool,
    pub limits: Limits,
}

/// Which PROXY headers `proxy_protocol=` stands for.
pub(super) fn versions(option: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Versions>> {
    let Some(option) = option else {
        return Ok(None);
    };
    if let Ok(flag) = option.cast::<PyBool>() {
        return Ok(flag.is_true().then_some(Versions::Any));
    }
    match option.extract::<&str>() {
        Ok("v1") => Ok(Some(Versions::V1)),
        Ok("v2") => Ok(Some(Versions::V2)),
        _ => Err(PyValueError::new_err(format!(
            "proxy_protocol is True, False, 'v1' or 'v2', not {}",
            option.repr()?
        ))),
    }
}
