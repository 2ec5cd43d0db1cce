//! Responses: what an application may send, how it is framed, and the bytes.
//!
//! # Theory of operation
//!
//! ```text
//!   start_response(status, headers)
//!        |  Status::parse, AppHeaders::note      refuse what cannot go on the wire
//!        v
//!   framing(request, status, headers, length)    one way to delimit the body
//!        |
//!        v
//!   encode::status_line, header_line, ...        append to the connection's output
//!   ResponseBody::take                           never more than was announced
//!   ResponseBody::finish                         never less, or the connection closes
//! ```
//!
//! The server owns framing and the connection: what an application says about either is a wish
//! ([`AppHeaders`]), not a line to be copied ([`HeaderRole`]).

mod app;
mod body;
pub mod encode;
mod framing;

pub use app::{AppHeaders, HeaderRole, ResponseError, Status, check_header};
pub use body::{Finish, ResponseBody, Taken};
pub use framing::{BodyFraming, ConnectionHeader, Framing, RequestInfo, framing};
