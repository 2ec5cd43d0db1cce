//! Requests that a web server in front of us sends by the uwsgi protocol.
//!
//! It has parsed the request; its variables are those of CGI, and go into the environ as they are. The response is
//! that of HTTP/1.0: it ends with the connection.

use eventlet_http1::Version;
use eventlet_http1::response::RequestInfo;
use eventlet_uwsgi::vars;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::environ::{Addresses, EnvironBuilder, latin1};

/// A request in a packet.
pub struct Packet<'b> {
    bytes: &'b [u8],
}

impl<'b> Packet<'b> {
    /// The request in a packet that has been found to be one.
    pub fn new(bytes: &'b [u8]) -> Self {
        Self { bytes }
    }

    /// What the framing of the response depends on.
    pub fn request_info(&self) -> RequestInfo {
        RequestInfo {
            version: Version::Http10,
            is_head: self.last(b"REQUEST_METHOD") == Some(b"HEAD"),
            is_connect: false,
            keep_alive: false,
            keep_alive_asked: false,
        }
    }

    /// The request line, for the log.
    pub fn request_line(&self) -> Box<[u8]> {
        let word = |name| self.last(name).unwrap_or(b"-");
        let line = [
            word(b"REQUEST_METHOD"),
            word(b"REQUEST_URI"),
            word(b"SERVER_PROTOCOL"),
        ];
        // A web server lets no control characters through; whoever else speaks to us must not forge lines.
        line.join(&b' ')
            .into_iter()
            .map(|byte| if byte.is_ascii_control() { b'?' } else { byte })
            .collect()
    }

    fn last(&self, wanted: &[u8]) -> Option<&'b [u8]> {
        vars(self.bytes)
            .filter(|(name, _)| *name == wanted)
            .last()
            .map(|(_, value)| value)
    }
}

impl EnvironBuilder {
    /// The environ of the request in a packet; the body is added later.
    ///
    /// A header that came more than once is a list, as with HTTP; of other variables the last counts. Names with a
    /// dot are ours and the application's.
    pub fn build_from_packet<'py>(
        &self,
        py: Python<'py>,
        packet: &Packet<'_>,
        addresses: &Addresses,
    ) -> PyResult<Bound<'py, PyDict>> {
        let environ = self.empty(py)?;
        environ.set_item(intern!(py, "REQUEST_METHOD"), intern!(py, "GET"))?;
        environ.set_item(intern!(py, "PATH_INFO"), intern!(py, ""))?;
        environ.set_item(intern!(py, "QUERY_STRING"), intern!(py, ""))?;
        environ.set_item(intern!(py, "CONTENT_TYPE"), intern!(py, "text/plain"))?;
        environ.set_item(intern!(py, "REMOTE_ADDR"), &addresses.remote_addr)?;
        environ.set_item(intern!(py, "REMOTE_PORT"), &addresses.remote_port)?;
        environ.set_item(intern!(py, "SERVER_NAME"), &addresses.server_name)?;
        environ.set_item(intern!(py, "SERVER_PORT"), &addresses.server_port)?;
        let mut raw = Vec::new();
        for (name, value) in vars(packet.bytes) {
            let is_header = name.starts_with(b"HTTP_");
            let is_empty = value.is_empty() && !matches!(name, b"PATH_INFO" | b"QUERY_STRING");
            if name.is_empty() || name.contains(&b'.') || (is_empty && !is_header) {
                // An empty variable is one that the web server has no value for.
                continue;
            }
            let key = latin1(py, name)?;
            let text = latin1(py, value)?;
            if is_header {
                raw.push(PyTuple::new(py, [header_name(py, name), text.clone()])?);
                if let Some(earlier) = environ.get_item(&key)? {
                    let joined = format!("{},{}", earlier.cast::<PyString>()?, text);
                    environ.set_item(key, joined)?;
                    continue;
                }
            }
            environ.set_item(key, text)?;
        }
        environ.set_item(intern!(py, "headers_raw"), PyTuple::new(py, raw)?)?;
        let path = packet
            .last(b"REQUEST_URI")
            .or_else(|| packet.last(b"PATH_INFO"))
            .unwrap_or_default();
        let path = path.split(|&byte| byte == b'?').next().unwrap_or_default();
        environ.set_item(intern!(py, "RAW_PATH_INFO"), latin1(py, path)?)?;
        let is_https = match packet.last(b"HTTPS") {
            Some(value) => value.eq_ignore_ascii_case(b"on") || value == b"1",
            None => packet.last(b"REQUEST_SCHEME") == Some(b"https"),
        };
        if is_https {
            environ.set_item(intern!(py, "wsgi.url_scheme"), intern!(py, "https"))?;
            environ.set_item(intern!(py, "HTTPS"), intern!(py, "on"))?;
        }
        Ok(environ)
    }
}

/// A header's name as a client may have written it: `HTTP_X_FOO` is `X-Foo`.
fn header_name<'py>(py: Python<'py>, key: &[u8]) -> Bound<'py, PyString> {
    let mut name = String::with_capacity(key.len());
    let mut is_first = true;
    for &byte in &key[b"HTTP_".len()..] {
        name.push(match byte {
            b'_' => '-',
            _ if is_first => char::from(byte.to_ascii_uppercase()),
            _ => char::from(byte.to_ascii_lowercase()),
        });
        is_first = byte == b'_';
    }
    PyString::new(py, &name)
}
