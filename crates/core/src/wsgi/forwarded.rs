//! What trusted proxies say of a request in `X-Forwarded-For`, `-Proto` and `-Host`.
//!
//! | field | what it sets |
//! |---|---|
//! | `X-Forwarded-For` | `REMOTE_ADDR`, and `REMOTE_PORT`: `0` if the field does not tell |
//! | `X-Forwarded-Proto` | `wsgi.url_scheme`, and `HTTPS` (`on`, or absent) |
//! | `X-Forwarded-Host` | `HTTP_HOST`, `SERVER_NAME` and `SERVER_PORT` |
//!
//! Of the first, the last address that is not a trusted proxy's counts, of the others the last member: it is what
//! the proxy next to us says. Fields that make no sense are as good as absent.

use eventlet_http1::Head;
use eventlet_proxy::forwarded;
use eventlet_proxy::trusted::Trusted;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::environ::latin1;

/// Puts into an environ what the head of a trusted proxy's request says.
pub fn apply(
    environ: &Bound<'_, PyDict>,
    head: &Head,
    buf: &[u8],
    trusted: &Trusted,
) -> PyResult<()> {
    let py = environ.py();
    let lines = |name: &[u8]| -> Vec<&[u8]> {
        head.headers(buf)
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    };
    if let Some(client) = forwarded::client(lines(b"x-forwarded-for"), trusted) {
        let port = client.port.unwrap_or(0);
        environ.set_item(intern!(py, "REMOTE_ADDR"), client.address.to_string())?;
        environ.set_item(intern!(py, "REMOTE_PORT"), port.to_string())?;
    }
    let scheme = forwarded::last(lines(b"x-forwarded-proto"));
    let scheme = scheme.map(<[u8]>::to_ascii_lowercase);
    match scheme.as_deref() {
        Some(b"https") => {
            environ.set_item(intern!(py, "wsgi.url_scheme"), intern!(py, "https"))?;
            environ.set_item(intern!(py, "HTTPS"), intern!(py, "on"))?;
        }
        Some(b"http") => {
            environ.set_item(intern!(py, "wsgi.url_scheme"), intern!(py, "http"))?;
            if environ.contains(intern!(py, "HTTPS"))? {
                environ.del_item(intern!(py, "HTTPS"))?;
            }
        }
        _ => {}
    }
    if let Some(value) = forwarded::last(lines(b"x-forwarded-host"))
        && let Some((name, port)) = forwarded::host(value)
    {
        environ.set_item(intern!(py, "HTTP_HOST"), latin1(py, value)?)?;
        environ.set_item(intern!(py, "SERVER_NAME"), name)?;
        let port = match port {
            Some(port) => port.to_string(),
            None => match environ.get_item(intern!(py, "wsgi.url_scheme"))? {
                Some(scheme) if scheme.eq("https")? => "443".to_owned(),
                _ => "80".to_owned(),
            },
        };
        environ.set_item(intern!(py, "SERVER_PORT"), port)?;
    }
    Ok(())
}
