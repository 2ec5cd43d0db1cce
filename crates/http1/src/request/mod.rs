//! Request heads: what they are ([`Head`]) and how they are read ([`HeadParser`]).
//!
//! `parser.rs` finds the elements, `target.rs` and `host.rs` know the grammar of the request target
//! and of an authority, `fields.rs` knows what the few fields mean that decide how the message is
//! framed and what becomes of the connection.

mod fields;
mod head;
mod host;
mod parser;
mod target;

pub use fields::FieldKind;
pub use head::{BodyLength, Head, HeaderField, Span, Version};
pub use parser::HeadParser;
pub use target::TargetForm;
