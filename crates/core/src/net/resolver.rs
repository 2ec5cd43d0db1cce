//! Looking up names while other green threads run.
//!
//! The lookups are made by a [`Pool`] of native threads, one for the process, which never need the GIL; what
//! they find becomes Python's here, in the thread that waited for it. Checking arguments and finding out what
//! needs no lookup is done before, in `eventlet.green._dns`.
//!
//! A green thread waits as for anything else that another OS thread does: parked, until the hub finds a message
//! in its inbox. In a forked child there are no threads that could send one. There the pool is another one,
//! and everybody who waited is woken, finds no outcome, and asks again.

use std::ffi::{CStr, CString, OsStr, c_char, c_int};
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

use eventlet_resolver::pool::{Limits, Pool, Waiter};
use eventlet_resolver::query::{AddressInfo, Answer, Failure, Hints, HostEntry, Outcome, Query};
use eventlet_resolver::system;
use pyo3::exceptions::{PyRuntimeError, PyValueError, socket};
use pyo3::prelude::*;
use pyo3::types::PyList;
use slab::Slab;

use super::address;
use crate::cell::GilCell;
use crate::errors;
use crate::hub::inbox::{Inbox, Message};
use crate::hub::{self, Hub, ParkId, Wake};

/// How long a thread stays that has nothing to do.
const IDLE: Duration = Duration::from_secs(60);

unsafe extern "C" {
    fn hstrerror(code: c_int) -> *const c_char;
}

/// A green thread that waits for a lookup.
#[derive(Clone)]
struct Parked {
    inbox: Arc<Inbox>,
    id: ParkId,
}

impl Waiter for Parked {
    fn wake(&self) {
        self.inbox.send(Message::Wake(self.id, Wake::Ready));
    }
}

impl PartialEq for Parked {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && Arc::ptr_eq(&self.inbox, &other.inbox)
    }
}

static POOL: GilCell<Option<Arc<Pool<Parked>>>> = GilCell::new(None);

/// How many lookups may be under way at once.
static THREADS: GilCell<usize> = GilCell::new(1);

/// Everybody who waits, for a forked child: the books of the pool may be open there.
static WAITING: GilCell<Slab<Parked>> = GilCell::new(Slab::new());

fn pool(py: Python<'_>) -> Arc<Pool<Parked>> {
    let limits = Limits {
        threads: THREADS.with(py, |threads| *threads),
        idle: IDLE,
    };
    POOL.with(py, |pool| {
        pool.get_or_insert_with(|| Arc::new(Pool::new(limits, system::answer)))
            .clone()
    })
}

/// In a forked child: its lookups are its own.
pub fn after_fork_in_child(py: Python<'_>) {
    // Its lock may be held by a thread that is not here.
    std::mem::forget(POOL.take(py));
    let waiting: Vec<_> = WAITING.with(py, |waiting| {
        waiting.iter().map(|(_, w)| w.clone()).collect()
    });
    for parked in waiting {
        // The hubs of other threads went with their threads.
        if parked.inbox.is_mine() {
            parked.wake();
        }
    }
}

/// Looks up what `query` asks for.
///
/// # Errors
///
/// What is thrown into the green thread; `RuntimeError` in the hub itself.
fn look_up(py: Python<'_>, query: Query) -> PyResult<Outcome> {
    let hub = hub::current(py)?;
    loop {
        if let Some(outcome) = ask(&hub, query.clone())? {
            return Ok(outcome);
        }
    }
}

/// Asks once, and waits; None if somebody has resumed the green thread before there was an outcome.
fn ask(hub: &Bound<'_, Hub>, query: Query) -> PyResult<Option<Outcome>> {
    let py = hub.py();
    let greenlet = Hub::waiting_greenlet(hub)?;
    let parking = hub.get().park(py, &greenlet, None);
    let parked = Parked {
        inbox: hub.get().inbox.clone(),
        id: parking.id,
    };
    let place = WAITING.with(py, |waiting| waiting.insert(parked.clone()));
    let asked = pool(py).ask(query, parked.clone());
    let lookup = match asked {
        Ok(lookup) => lookup,
        Err(error) => {
            hub.get().unpark(py, parking.id);
            forget(py, place);
            return Err(errors::io_error(py, &error));
        }
    };
    let switched = Hub::wait(hub, &greenlet, parking);
    forget(py, place);
    match (switched, lookup.outcome()) {
        (Ok(_), Some(outcome)) => Ok(Some(outcome.clone())),
        (switched, _) => {
            // The pool of now: a forked child does not touch the one that was asked.
            pool(py).leave(&lookup, &parked);
            switched.map(|_| None)
        }
    }
}

fn forget(py: Python<'_>, place: usize) {
    let parked = WAITING.with(py, |waiting| waiting.try_remove(place));
    drop(parked);
}

/// The error that a failure is for Python. Everybody who waited gets one of their own.
fn failure(py: Python<'_>, failure: Failure) -> PyErr {
    match failure {
        Failure::System(errno) => errors::io_error(py, &io::Error::from_raw_os_error(errno)),
        Failure::Address(code) => {
            // SAFETY: the function takes any number.
            let message = unsafe { libc::gai_strerror(code) };
            // SAFETY: a constant, as below.
            socket::gaierror::new_err((code, unsafe { constant(message) }))
        }
        Failure::Host(code) => {
            // SAFETY: as above.
            let message = unsafe { hstrerror(code) };
            // SAFETY: as above.
            socket::herror::new_err((code, unsafe { constant(message) }))
        }
    }
}

/// A string of the C library's.
///
/// # Safety
///
/// It is NULL, or ends with NUL and stays.
unsafe fn constant(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned()
}

/// What an answer of the wrong kind would be.
fn unexpected() -> PyErr {
    PyRuntimeError::new_err("the resolver has answered another question")
}

/// A name as Python writes it.
fn text(name: &CStr) -> &OsStr {
    OsStr::from_bytes(name.to_bytes())
}

fn entry(py: Python<'_>, outcome: Outcome) -> PyResult<Bound<'_, PyAny>> {
    let found = match outcome {
        Ok(Answer::Host(found)) => found,
        Ok(_) => return Err(unexpected()),
        Err(error) => return Err(failure(py, error)),
    };
    let HostEntry {
        name,
        aliases,
        addresses,
    } = found;
    let aliases: Vec<_> = aliases.iter().map(|alias| text(alias)).collect();
    let addresses = addresses
        .iter()
        .map(|address| address::to_python(py, &SocketAddr::new(*address, 0))?.get_item(0))
        .collect::<PyResult<Vec<_>>>()?;
    Ok((text(&name), aliases, addresses)
        .into_pyobject(py)?
        .into_any())
}

/// As `_socket.getaddrinfo`, with `host` and `port` as the C library takes them.
///
/// Raises gaierror or OSError; ValueError for bytes with a NUL in them.
#[pyfunction]
#[pyo3(signature = (host, port, family = 0, r#type = 0, proto = 0, flags = 0))]
fn getaddrinfo<'py>(
    py: Python<'py>,
    host: Option<&[u8]>,
    port: Option<&[u8]>,
    family: c_int,
    r#type: c_int,
    proto: c_int,
    flags: c_int,
) -> PyResult<Bound<'py, PyList>> {
    let query = Query::Addresses {
        host: host.map(without_nul).transpose()?,
        service: port.map(without_nul).transpose()?,
        hints: Hints {
            family,
            socket_type: r#type,
            protocol: proto,
            flags,
        },
    };
    match look_up(py, query)? {
        Ok(Answer::Addresses(found)) => {
            let found = found.iter().map(|info| address_info(py, info));
            PyList::new(py, found.collect::<PyResult<Vec<_>>>()?)
        }
        Ok(_) => Err(unexpected()),
        Err(error) => Err(failure(py, error)),
    }
}

fn address_info<'py>(py: Python<'py>, info: &AddressInfo) -> PyResult<Bound<'py, PyAny>> {
    let name = info.canonical_name.as_deref().unwrap_or(c"");
    let tuple = (
        info.family,
        info.socket_type,
        info.protocol,
        text(name),
        address::to_python(py, &info.address)?,
    );
    Ok(tuple.into_pyobject(py)?.into_any())
}

/// What `gethostbyname(3)` says of a name: the proper name, others, and IPv4 addresses.
///
/// Raises herror or OSError; ValueError for bytes with a NUL in them.
#[pyfunction]
fn gethostbyname_ex<'py>(py: Python<'py>, hostname: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    entry(py, look_up(py, Query::HostByName(without_nul(hostname)?))?)
}

/// What `gethostbyaddr(3)` says of a numeric address: the proper name, others, and addresses.
///
/// Raises herror or OSError; ValueError if it is none.
#[pyfunction]
fn gethostbyaddr<'py>(py: Python<'py>, ip_address: &str) -> PyResult<Bound<'py, PyAny>> {
    entry(py, look_up(py, Query::HostByAddress(numeric(ip_address)?))?)
}

/// The names of a numeric address and a port.
///
/// Raises gaierror or OSError; ValueError if the address is none.
#[pyfunction]
fn getnameinfo<'py>(
    py: Python<'py>,
    ip_address: &str,
    port: u16,
    flowinfo: u32,
    scope_id: u32,
    flags: c_int,
) -> PyResult<Bound<'py, PyAny>> {
    let address = match numeric(ip_address)? {
        IpAddr::V4(v4) => SocketAddrV4::new(v4, port).into(),
        IpAddr::V6(v6) => SocketAddrV6::new(v6, port, flowinfo, scope_id).into(),
    };
    match look_up(py, Query::Name { address, flags })? {
        Ok(Answer::Name(host, service)) => {
            Ok((text(&host), text(&service)).into_pyobject(py)?.into_any())
        }
        Ok(_) => Err(unexpected()),
        Err(error) => Err(failure(py, error)),
    }
}

fn without_nul(bytes: &[u8]) -> PyResult<CString> {
    CString::new(bytes).map_err(|_| PyValueError::new_err("a name has no NUL in it"))
}

fn numeric(address: &str) -> PyResult<IpAddr> {
    address
        .parse()
        .map_err(|_| PyValueError::new_err(format!("{address:?} is not a numeric address")))
}

/// Sets how many lookups may be under way at once, before the first.
#[pyfunction]
fn set_resolver_threads(py: Python<'_>, threads: usize) {
    THREADS.replace(py, threads.max(1));
}

/// How many threads the resolver has, how many lookups are under way, how many of those have not been begun,
/// and how many green threads wait for them. For tests.
#[pyfunction]
fn resolver_activity(py: Python<'_>) -> (usize, usize, usize, usize) {
    let activity = pool(py).activity();
    (
        activity.threads,
        activity.under_way,
        activity.in_line,
        activity.waiters,
    )
}

/// Adds the functions to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(getaddrinfo, module)?)?;
    module.add_function(wrap_pyfunction!(gethostbyname_ex, module)?)?;
    module.add_function(wrap_pyfunction!(gethostbyaddr, module)?)?;
    module.add_function(wrap_pyfunction!(getnameinfo, module)?)?;
    module.add_function(wrap_pyfunction!(set_resolver_threads, module)?)?;
    module.add_function(wrap_pyfunction!(resolver_activity, module)?)
}
