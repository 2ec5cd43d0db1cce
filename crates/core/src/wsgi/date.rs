//! Dates as text, made once a second.

use std::time::{Duration, SystemTime};

use pyo3::prelude::*;

use crate::cell::GilCell;

struct Texts {
    second: i64,
    http: String,
    log: String,
}

static TEXTS: GilCell<Texts> = GilCell::new(Texts {
    second: i64::MIN,
    http: String::new(),
    log: String::new(),
});

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Lends the present date as HTTP writes it (RFC 9110 section 5.6.7).
pub fn with_http<R>(py: Python<'_>, f: impl FnOnce(&str) -> R) -> R {
    with_texts(py, |texts| f(&texts.http))
}

/// Lends the present local date as the access log writes it.
pub fn with_log<R>(py: Python<'_>, f: impl FnOnce(&str) -> R) -> R {
    with_texts(py, |texts| f(&texts.log))
}

fn with_texts<R>(py: Python<'_>, f: impl FnOnce(&Texts) -> R) -> R {
    let second = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse).tv_sec;
    TEXTS.with(py, |texts| {
        if texts.second != second {
            texts.second = second;
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(second.max(0).unsigned_abs());
            texts.http = httpdate::fmt_http_date(now);
            texts.log = local(second);
        }
        f(texts)
    })
}

/// `20/Nov/2026 13:37:00` in the local time zone.
fn local(second: i64) -> String {
    // SAFETY: all-zero bytes are a valid `tm` (integers, and a pointer that may be null).
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values of the right types; the function keeps neither.
    let converted = unsafe { libc::localtime_r(&raw const second, &raw mut parts) };
    if converted.is_null() {
        return "-".to_owned();
    }
    let month = usize::try_from(parts.tm_mon)
        .ok()
        .and_then(|month| MONTHS.get(month));
    format!(
        "{:02}/{}/{:04} {:02}:{:02}:{:02}",
        parts.tm_mday,
        month.unwrap_or(&"-"),
        i64::from(parts.tm_year) + 1900,
        parts.tm_hour,
        parts.tm_min,
        parts.tm_sec
    )
}
