//! The environ of a request.
//!
//! Everything that is the same for all requests of a server is in a template that is copied. What comes
//! from the header section is often the same from one request to the next as well, byte for byte: the
//! clients of a service look alike, and one that keeps its connection sends the same fields again and again.
//! So the template with those fields in it is kept for the last few header sections, and a request whose
//! section is among them costs one comparison instead of a string for every name and value.

use eventlet_http1::{BodyLength, FieldKind, Head};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use crate::cell::GilCell;

/// How many header sections are remembered.
const SECTIONS: usize = 8;

/// Longer ones are not: they carry cookies and the like, which differ from client to client.
const SECTION_LIMIT: usize = 2048;

/// How many names of fields are kept as strings.
const NAMES: usize = 256;

/// Makes environs for one server.
pub struct EnvironBuilder {
    template: Py<PyDict>,
    state: GilCell<State>,
}

#[derive(Default)]
struct State {
    sections: Vec<Section>,
    /// Which section is replaced next.
    turn: usize,
    names: std::collections::HashMap<Box<[u8]>, Name>,
}

struct Section {
    bytes: Box<[u8]>,
    template: Py<PyDict>,
}

/// A field name as strings: as received, and as a key of the environ (`None` if it must not be one).
struct Name {
    raw: Py<PyString>,
    key: Option<Py<PyString>>,
}

/// What the connection knows of its two ends.
pub struct Addresses {
    pub remote_addr: Py<PyString>,
    pub remote_port: Py<PyString>,
    pub server_name: Py<PyString>,
    pub server_port: Py<PyString>,
    /// Whether the client is a proxy whose `X-Forwarded-*` fields are believed.
    pub is_proxy: bool,
}

impl EnvironBuilder {
    /// A builder whose environs all begin as `template`.
    ///
    /// Keys that every request sets are put into the template, so that a copy has room for them.
    pub fn new(template: &Bound<'_, PyDict>) -> PyResult<Self> {
        let py = template.py();
        for key in [
            intern!(py, "REQUEST_METHOD"),
            intern!(py, "PATH_INFO"),
            intern!(py, "RAW_PATH_INFO"),
            intern!(py, "REMOTE_ADDR"),
            intern!(py, "REMOTE_PORT"),
            intern!(py, "SERVER_NAME"),
            intern!(py, "SERVER_PORT"),
            intern!(py, "wsgi.input"),
            intern!(py, "eventlet.input"),
            intern!(py, "eventlet.posthooks"),
            intern!(py, "eventlet.set_idle"),
        ] {
            template.set_item(key, py.None())?;
        }
        Ok(Self {
            template: template.clone().unbind(),
            state: GilCell::new(State::default()),
        })
    }

    /// The environ of the request whose head `buf` starts with; the body and the hooks are added later.
    pub fn build<'py>(
        &self,
        py: Python<'py>,
        head: &Head,
        buf: &[u8],
        length: usize,
        addresses: &Addresses,
    ) -> PyResult<Bound<'py, PyDict>> {
        let environ = self.with_fields(py, head, buf, length)?;
        environ.set_item(intern!(py, "REQUEST_METHOD"), method(py, head.method(buf)))?;
        let raw = latin1(py, head.path(buf))?;
        let path = head.path(buf);
        if memchr::memchr(b'%', path).is_some() {
            environ.set_item(
                intern!(py, "PATH_INFO"),
                latin1(py, &percent_decoded(path))?,
            )?;
        } else {
            environ.set_item(intern!(py, "PATH_INFO"), &raw)?;
        }
        environ.set_item(intern!(py, "RAW_PATH_INFO"), raw)?;
        if let Some(query) = head.query(buf) {
            environ.set_item(intern!(py, "QUERY_STRING"), latin1(py, query)?)?;
        }
        if let Some(authority) = head.authority(buf) {
            // It wins over the Host field (RFC 9112 section 3.2.2).
            environ.set_item(intern!(py, "HTTP_HOST"), latin1(py, authority)?)?;
        }
        environ.set_item(intern!(py, "REMOTE_ADDR"), &addresses.remote_addr)?;
        environ.set_item(intern!(py, "REMOTE_PORT"), &addresses.remote_port)?;
        environ.set_item(intern!(py, "SERVER_NAME"), &addresses.server_name)?;
        environ.set_item(intern!(py, "SERVER_PORT"), &addresses.server_port)?;
        environ.set_item(intern!(py, "eventlet.posthooks"), PyList::empty(py))?;
        Ok(environ)
    }

    /// What the environs of all requests have in common.
    pub(super) fn empty<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.template.bind(py).copy()
    }

    /// A copy of the template with the request's fields in it.
    fn with_fields<'py>(
        &self,
        py: Python<'py>,
        head: &Head,
        buf: &[u8],
        length: usize,
    ) -> PyResult<Bound<'py, PyDict>> {
        let section = &buf[head.request_line(buf).len()..length];
        // The request line starts the head unless empty lines came before it; then nothing is reused.
        let reusable = section.len() <= SECTION_LIMIT && buf.starts_with(head.method(buf));
        if reusable {
            let known = self.state.with(py, |s| {
                s.sections
                    .iter()
                    .find(|known| *known.bytes == *section)
                    .map(|known| known.template.clone_ref(py))
            });
            if let Some(template) = known {
                return template.bind(py).copy();
            }
        }
        let fields = self.template.bind(py).copy()?;
        self.add_fields(&fields, head, buf)?;
        if reusable {
            let fresh = Section {
                bytes: section.into(),
                template: fields.clone().unbind(),
            };
            let old = self.state.with(py, |s| {
                if s.sections.len() < SECTIONS {
                    s.sections.push(fresh);
                    return None;
                }
                let turn = s.turn;
                s.turn = (turn + 1) % SECTIONS;
                Some(std::mem::replace(&mut s.sections[turn], fresh))
            });
            drop(old);
            return fields.copy();
        }
        Ok(fields)
    }

    fn add_fields(&self, environ: &Bound<'_, PyDict>, head: &Head, buf: &[u8]) -> PyResult<()> {
        let py = environ.py();
        let mut raw = Vec::with_capacity(head.fields().len());
        environ.set_item(intern!(py, "CONTENT_TYPE"), intern!(py, "text/plain"))?;
        for field in head.fields() {
            let (name, key) = self.name(py, field.name.of(buf))?;
            let value = latin1(py, field.value.of(buf))?;
            raw.push(PyTuple::new(py, [name.as_any(), value.as_any()])?);
            if field.kind == FieldKind::ContentLength {
                if head.body() == BodyLength::Chunked {
                    // It means nothing then (RFC 9112 section 6.3), so nobody is to see it.
                    continue;
                }
                environ.set_item(intern!(py, "CONTENT_LENGTH"), value)?;
                continue;
            }
            if field.kind == FieldKind::TransferEncoding {
                // Without a length, frameworks take only such a body for one that has an end.
                environ.set_item(intern!(py, "wsgi.input_terminated"), true)?;
            }
            let Some(key) = key else { continue };
            if key.as_any().is(intern!(py, "CONTENT_TYPE").as_any()) {
                environ.set_item(key, value)?;
                continue;
            }
            match environ.get_item(&key)? {
                // A field that comes more than once is a list (RFC 9110 section 5.3).
                Some(earlier) => {
                    let joined = format!("{},{}", earlier.cast::<PyString>()?, value);
                    environ.set_item(key, joined)?;
                }
                None => environ.set_item(key, value)?,
            }
        }
        environ.set_item(intern!(py, "headers_raw"), PyTuple::new(py, raw)?)
    }

    /// The strings for a field name.
    #[allow(clippy::type_complexity)]
    fn name<'py>(
        &self,
        py: Python<'py>,
        name: &[u8],
    ) -> PyResult<(Bound<'py, PyString>, Option<Bound<'py, PyString>>)> {
        let known = self.state.with(py, |s| {
            s.names.get(name).map(|known| {
                (
                    known.raw.clone_ref(py),
                    known.key.as_ref().map(|key| key.clone_ref(py)),
                )
            })
        });
        if let Some((raw, key)) = known {
            return Ok((raw.into_bound(py), key.map(|key| key.into_bound(py))));
        }
        let raw = latin1(py, name)?;
        let key = environ_key(py, name);
        let entry = Name {
            raw: raw.clone().unbind(),
            key: key.as_ref().map(|key| key.clone().unbind()),
        };
        let refused = self.state.with(py, |s| {
            // Names that nobody uses twice must not grow without bound.
            if s.names.len() >= NAMES {
                return Some(entry);
            }
            s.names.insert(name.into(), entry)
        });
        drop(refused);
        Ok((raw, key))
    }

    /// Shows the references to the garbage collector.
    pub fn traverse(&self, visit: &pyo3::gc::PyVisit<'_>) -> Result<(), pyo3::gc::PyTraverseError> {
        visit.call(&self.template)?;
        self.state
            .peek(|s| {
                s.sections
                    .iter()
                    .try_for_each(|section| visit.call(&section.template))
            })
            .unwrap_or(Ok(()))
    }
}

/// The key for a field: `HTTP_` and the name in upper case with underscores.
///
/// A name that has an underscore itself is left out, as it could not be told from one with a hyphen.
fn environ_key<'py>(py: Python<'py>, name: &[u8]) -> Option<Bound<'py, PyString>> {
    if name.contains(&b'_') {
        return None;
    }
    if name.eq_ignore_ascii_case(b"content-type") {
        return Some(intern!(py, "CONTENT_TYPE").clone());
    }
    let mut key = String::with_capacity(name.len() + 5);
    key.push_str("HTTP_");
    key.extend(name.iter().map(|&byte| match byte {
        b'-' => '_',
        byte => char::from(byte.to_ascii_uppercase()),
    }));
    Some(PyString::intern(py, &key))
}

/// The method as a string; the usual ones are there already.
fn method<'py>(py: Python<'py>, name: &[u8]) -> Bound<'py, PyString> {
    match name {
        b"GET" => intern!(py, "GET").clone(),
        b"HEAD" => intern!(py, "HEAD").clone(),
        b"POST" => intern!(py, "POST").clone(),
        b"PUT" => intern!(py, "PUT").clone(),
        b"DELETE" => intern!(py, "DELETE").clone(),
        b"PATCH" => intern!(py, "PATCH").clone(),
        b"OPTIONS" => intern!(py, "OPTIONS").clone(),
        // A method is a token, hence ASCII.
        other => PyString::new(py, &String::from_utf8_lossy(other)),
    }
}

/// A string with one character for each byte, as PEP 3333 wants it.
pub fn latin1<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    // SAFETY: pointer and length are those of a live slice; a new reference or NULL comes back.
    unsafe {
        let object = ffi::PyUnicode_DecodeLatin1(
            bytes.as_ptr().cast(),
            bytes.len() as ffi::Py_ssize_t,
            std::ptr::null(),
        );
        Ok(Bound::from_owned_ptr_or_err(py, object)?.cast_into_unchecked())
    }
}

/// `%41` becomes `A`; anything else that starts with a percent sign stays as it is.
fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        if *byte == b'%'
            && let (Some(high), Some(low)) = (digit(tail.first()), digit(tail.get(1)))
        {
            decoded.push((high * 16 + low) as u8);
            rest = &tail[2..];
        } else {
            decoded.push(*byte);
            rest = tail;
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::percent_decoded;

    #[test]
    fn percent_signs() {
        assert_eq!(percent_decoded(b"/a%20b%2Fc"), b"/a b/c");
        assert_eq!(percent_decoded(b"%e2%82%ac"), b"\xe2\x82\xac");
        assert_eq!(percent_decoded(b"100%"), b"100%");
        assert_eq!(percent_decoded(b"%zz%4"), b"%zz%4");
        assert_eq!(percent_decoded(b"%%41"), b"%A");
    }
}
