//! The four forms of a request target (RFC 9112 section 3.2).
//!
//! ```text
//!   origin-form     /path?query                 every method but CONNECT
//!   absolute-form   http://authority/path?query every method but CONNECT
//!   authority-form  host:port                   CONNECT only
//!   asterisk-form   *                           OPTIONS only
//! ```

use super::head::Span;
use super::host;
use crate::RequestError;

/// The form of a request target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetForm {
    /// `http://host/path?query` (RFC 9112 section 3.2.2).
    Absolute,
    /// `*` (RFC 9112 section 3.2.4).
    Asterisk,
    /// `host:port` (RFC 9112 section 3.2.3).
    Authority,
    /// `/path?query` (RFC 9112 section 3.2.1).
    #[default]
    Origin,
}

/// A target in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) form: TargetForm,
    pub(super) authority: Option<Span>,
    pub(super) path: Span,
    pub(super) query: Option<Span>,
}

/// Takes `target` apart. `question` is the index of its first `?`.
pub(super) fn split(
    buf: &[u8],
    method: &[u8],
    target: Span,
    question: Option<u32>,
) -> Result<Target, RequestError> {
    let before_query = Span {
        end: question.unwrap_or(target.end),
        ..target
    };
    let parts = Target {
        form: TargetForm::Origin,
        authority: None,
        path: before_query,
        query: question.map(|at| Span {
            start: at + 1,
            ..target
        }),
    };
    if method == b"CONNECT" {
        return match host::parse(target.of(buf)) {
            Some(found) if found.has_host && found.has_port => Ok(Target {
                form: TargetForm::Authority,
                authority: Some(target),
                ..parts
            }),
            _ => Err(RequestError::InvalidTarget),
        };
    }
    match target.of(buf) {
        [b'/', ..] => Ok(parts),
        b"*" if method == b"OPTIONS" => Ok(Target {
            form: TargetForm::Asterisk,
            ..parts
        }),
        _ => absolute(buf, parts),
    }
}

/// Splits `http://authority/path`, given in `parts.path`.
fn absolute(buf: &[u8], parts: Target) -> Result<Target, RequestError> {
    let bytes = parts.path.of(buf);
    let scheme = ["http://", "https://"]
        .into_iter()
        .find(|scheme| {
            bytes
                .get(..scheme.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
        })
        .ok_or(RequestError::InvalidTarget)?;
    let start = scheme.len();
    let length = bytes[start..]
        .iter()
        .position(|&byte| byte == b'/')
        .unwrap_or(bytes.len() - start);
    // RFC 9110 section 4.2.1: an empty host must be rejected as invalid.
    if !host::parse(&bytes[start..start + length]).is_some_and(|found| found.has_host) {
        return Err(RequestError::InvalidTarget);
    }
    let start = parts.path.start + start as u32;
    let slash = start + length as u32;
    Ok(Target {
        form: TargetForm::Absolute,
        authority: Some(Span { start, end: slash }),
        path: Span {
            start: slash,
            ..parts.path
        },
        ..parts
    })
}
