//! How a response is delimited and what becomes of the connection.
//!
//! The rules, in the order of RFC 9112 section 6.3, first match wins:
//!
//! ```text
//!   101, or 2xx to CONNECT   until close: what follows the head is another protocol
//!   HEAD, 1xx, 204, 304      no body
//!   Content-Length given     that many bytes
//!   length known             that many bytes, and the server adds Content-Length
//!   HTTP/1.1                 chunked
//!   HTTP/1.0                 until close
//! ```

use super::AppHeaders;
use crate::Version;

/// What the response depends on in the request; see [`Head::request_info`](crate::Head).
///
/// A server that talks HTTP/1.0 only, or is about to stop, sets `version` or `keep_alive` itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is one fact")]
pub struct RequestInfo {
    /// The version of the request.
    pub version: Version,
    /// The method is HEAD.
    pub is_head: bool,
    /// The method is CONNECT.
    pub is_connect: bool,
    /// The connection may persist.
    pub keep_alive: bool,
    /// The client sent `Connection: keep-alive`.
    pub keep_alive_asked: bool,
}

/// How the body of a response is delimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyFraming {
    /// `Transfer-Encoding: chunked`, which the server has to write.
    Chunked,
    /// Content-Length.
    Length(u64),
    /// No body: what the application yields is discarded.
    #[default]
    NoBody,
    /// The end of the connection.
    UntilClose,
}

/// Which Connection header goes into the head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnectionHeader {
    /// Those of the application as they are, none of the server.
    AsGiven,
    /// `Connection: close` instead of those of the application.
    Close,
    /// `Connection: keep-alive` instead of those of the application.
    KeepAlive,
    /// None; those of the application are dropped.
    #[default]
    Omit,
}

/// The framing of one response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    /// How the body is delimited.
    pub body: BodyFraming,
    /// The Content-Length that the server adds.
    pub add_content_length: Option<u64>,
    /// The Content-Length of the application must not be sent.
    pub drop_content_length: bool,
    /// The connection persists after this response, if its body turns out complete.
    pub keep_alive: bool,
    /// Which Connection header to send.
    pub connection_header: ConnectionHeader,
}

/// Decides the framing of a response with the given status code.
///
/// `known_length` is the length of the whole body if the server can tell, as for a list of one
/// block.
pub fn framing(
    request: &RequestInfo,
    status: u16,
    app: &AppHeaders,
    known_length: Option<u64>,
) -> Framing {
    let switches = status == 101 || (request.is_connect && matches!(status, 200..=299));
    // RFC 9110 section 8.6: no Content-Length in 1xx and 204, nor in 2xx to CONNECT.
    let no_length = switches || matches!(status, 100..=199 | 204);
    let body = if switches {
        BodyFraming::UntilClose
    } else if request.is_head || no_length || status == 304 {
        BodyFraming::NoBody
    } else if let Some(length) = app.content_length.or(known_length) {
        BodyFraming::Length(length)
    } else if request.version == Version::Http11 {
        BodyFraming::Chunked
    } else {
        BodyFraming::UntilClose
    };
    let add_content_length = match body {
        _ if app.content_length.is_some() => None,
        BodyFraming::Length(length) => Some(length),
        // What HEAD would have got as a GET, if the application took the trouble to make it
        // (RFC 9110 section 9.3.2). An empty body is no evidence.
        BodyFraming::NoBody if request.is_head && !no_length && status != 304 => {
            known_length.filter(|&length| length > 0)
        }
        _ => None,
    };
    // An interim response instead of a final one leaves the client waiting for more.
    let keep_alive = request.keep_alive
        && !app.close
        && body != BodyFraming::UntilClose
        && !matches!(status, 100..=199);
    let connection_header = if switches {
        ConnectionHeader::AsGiven
    } else if !keep_alive {
        ConnectionHeader::Close
    } else if app.connection_options {
        ConnectionHeader::AsGiven
    } else if request.version == Version::Http10 || request.keep_alive_asked {
        ConnectionHeader::KeepAlive
    } else {
        ConnectionHeader::Omit
    };
    Framing {
        body,
        add_content_length,
        drop_content_length: no_length,
        keep_alive,
        connection_header,
    }
}
