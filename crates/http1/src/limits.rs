//! How much of a peer's input is looked at before it is refused, and what may be relaxed.
//!
//! A limit is checked against the position in the stream, before the end of the element has been
//! received: whatever a peer sends, the caller never has to buffer more than [`Limits::head`] bytes
//! and one read to learn the outcome. RFC 9112 section 3 wants at least 8000 octets for a request
//! line; RFC 9110 section 5.4 leaves the limits on fields to the server.

/// Bounds on the size of the parts of a request. Lines are counted without their CRLF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Which of the rules that an operator may relax are in force.
    pub rules: Rules,
    /// Longest request line, in bytes. Beyond it: 414.
    pub request_line: usize,
    /// Longest field line, in a head or a trailer section, in bytes. Beyond it: 431.
    pub header_line: usize,
    /// Longest head from the first byte of the request to the empty line, both included. Beyond
    /// it: 431. Never more than 4 GiB, whatever the value: spans are 32 bits wide.
    pub head: usize,
    /// Most field lines in a head, or in a trailer section. Beyond it: 431.
    pub header_count: usize,
    /// Longest line that announces a chunk, extensions included, in bytes. Beyond it: 400.
    pub chunk_line: usize,
    /// Most bytes of chunk extensions in one body. Beyond it: 400.
    ///
    /// Without it a peer may send any amount of data that counts towards no body size
    /// (RFC 9112 section 7.1.1).
    pub chunk_extensions: usize,
    /// Most bytes of data in a body. Beyond it: 413, by the Content-Length before any of it is read, or
    /// by the size of the chunk that would exceed it.
    pub body: u64,
    /// Longest trailer section from the last chunk to the empty line, in bytes. Beyond it: 431.
    pub trailers: usize,
}

/// Rules that may be relaxed for clients that cannot be changed. By default all are in force.
///
/// None of them makes it a matter of opinion where a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// An HTTP/1.1 request without Host is refused (RFC 9112 section 3.2). Otherwise it is served.
    pub require_host: bool,
    /// Content-Length beside Transfer-Encoding is refused (RFC 9112 section 6.1 allows that).
    /// Otherwise the Content-Length means nothing, and the connection closes after the response, as
    /// that section demands.
    pub refuse_both_lengths: bool,
    /// Transfer-Encoding in HTTP/1.0 is refused. Otherwise the body is in chunks, and the connection
    /// closes after the response (RFC 9112 section 6.1).
    pub refuse_http10_chunked: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            require_host: true,
            refuse_both_lengths: true,
            refuse_http10_chunked: true,
        }
    }
}

impl Default for Limits {
    /// Eventlet's documented limits (8192, 8192, 65536) where it has one.
    ///
    /// `header_count` is 200: most servers stop at 100, yet `OpenStack` Swift accepts 90 metadata
    /// fields on top of the usual ones and has to raise the limit of `http.client` for it.
    /// Bodies may be of any size: they are not held in memory.
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            request_line: 8192,
            header_line: 8192,
            head: 65_536,
            header_count: 200,
            chunk_line: 4096,
            chunk_extensions: 16_384,
            body: u64::MAX,
            trailers: 8192,
        }
    }
}
