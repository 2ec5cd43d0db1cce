//! Which descriptor a socket object stands for at this moment.
//!
//! CPython's socket object begins with four integers: descriptor, family, type, protocol. They are read
//! where they are: one load, and the descriptor reads -1 as soon as the socket is closed. That layout is not
//! part of any published interface, so [`init_sockets`] compares it with what a real socket says of itself,
//! once, and if they differ everything goes through `fileno()`.
//!
//! A green socket that stands for another one (`GreenSocket(other)`) has no descriptor of its own. It names
//! the other in `_original`.

use std::ffi::c_int;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyType};
use pyo3::{ffi, intern};

use crate::errors;
use crate::hub;

/// The head of CPython's `PySocketSockObject`.
#[repr(C)]
struct Head {
    object: ffi::PyObject,
    fd: c_int,
    family: c_int,
    socktype: c_int,
    protocol: c_int,
}

/// What a socket was made with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    pub family: c_int,
    pub socktype: c_int,
    pub protocol: c_int,
}

/// `_socket.socket`, once it is known.
static BASE: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(std::ptr::null_mut());
/// The class that most sockets have; an instance of it needs no further check.
static GREEN: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(std::ptr::null_mut());
/// Whether the layout is the one above.
static DIRECT: AtomicBool = AtomicBool::new(false);

/// Whether `object` is an instance of `_socket.socket`.
#[inline]
fn is_base(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: both are live type objects; `BASE` is leaked, so it outlives everything.
    unsafe {
        let class = ffi::Py_TYPE(object.as_ptr());
        if class == GREEN.load(Ordering::Relaxed) {
            return true;
        }
        let base = BASE.load(Ordering::Relaxed);
        !base.is_null() && ffi::PyType_IsSubtype(class, base) != 0
    }
}

/// The head of a socket object, if it is one and its layout is known.
#[inline]
fn head<'a>(object: &'a Bound<'_, PyAny>) -> Option<&'a Head> {
    if !is_base(object) || !DIRECT.load(Ordering::Relaxed) {
        return None;
    }
    // SAFETY: the object is a `_socket.socket` or an instance of a subclass, whose memory begins with the
    // fields of `Head`: `init_sockets` has checked that.
    Some(unsafe { &*object.as_ptr().cast::<Head>() })
}

/// The number of the descriptor.
///
/// # Errors
///
/// `OSError` with `EBADF` if the socket is closed.
#[inline]
pub fn of(socket: &Bound<'_, PyAny>) -> PyResult<RawFd> {
    match head(socket) {
        Some(head) if head.fd >= 0 => Ok(head.fd),
        _ => of_other(socket),
    }
}

/// The same for sockets that stand for others, closed ones, and unknown layouts.
#[cold]
#[inline(never)]
fn of_other(socket: &Bound<'_, PyAny>) -> PyResult<RawFd> {
    let owner = owner(socket)?;
    let fd = match head(&owner) {
        Some(head) => head.fd,
        None => owner
            .call_method0(intern!(socket.py(), "fileno"))?
            .extract()?,
    };
    if fd < 0 {
        return Err(errors::os_error(socket.py(), libc::EBADF));
    }
    Ok(fd)
}

/// The object that owns the descriptor: the socket itself, or the one it stands for.
pub fn owner<'py>(socket: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = socket.py();
    let mut owner = socket.clone();
    while let Some(next) = owner
        .getattr_opt(intern!(py, "_original"))?
        .filter(|next| !next.is_none())
    {
        owner = next;
    }
    Ok(owner)
}

/// As [`owner`], quick for a socket that has its own descriptor. The flag tells whether CPython's own
/// methods can be called on it.
#[inline]
pub fn target<'py>(socket: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyAny>, bool)> {
    let owner = match head(socket) {
        Some(head) if head.fd >= 0 => socket.clone(),
        _ => owner(socket)?,
    };
    let native = is_base(&owner);
    Ok((owner, native))
}

/// What the socket was made with.
pub fn kind(socket: &Bound<'_, PyAny>) -> PyResult<Kind> {
    let py = socket.py();
    let (owner, _) = target(socket)?;
    if let Some(head) = head(&owner) {
        return Ok(Kind {
            family: head.family,
            socktype: head.socktype,
            protocol: head.protocol,
        });
    }
    Ok(Kind {
        family: owner.getattr(intern!(py, "family"))?.extract()?,
        socktype: owner.getattr(intern!(py, "type"))?.extract()?,
        protocol: owner.getattr(intern!(py, "proto"))?.extract()?,
    })
}

/// Tells the module which classes sockets have. Called once, by `eventlet.greenio`.
///
/// `base` is `_socket.socket`, `green` is `GreenSocket`, `probe` an open socket of any kind.
/// Returns whether the descriptor can be read without a call.
#[pyfunction]
pub fn init_sockets(
    base: &Bound<'_, PyType>,
    green: &Bound<'_, PyType>,
    probe: &Bound<'_, PyAny>,
) -> PyResult<bool> {
    let py = base.py();
    // Leaked on purpose: the classes live as long as the process.
    BASE.store(base.clone().into_ptr().cast(), Ordering::Relaxed);
    GREEN.store(std::ptr::null_mut(), Ordering::Relaxed);
    DIRECT.store(false, Ordering::Relaxed);
    if !is_base(probe) || !green.is_subclass(base)? {
        return Ok(false);
    }
    let said = (
        probe.call_method0(intern!(py, "fileno"))?.extract()?,
        Kind {
            family: probe.getattr(intern!(py, "family"))?.extract()?,
            socktype: probe.getattr(intern!(py, "type"))?.extract()?,
            protocol: probe.getattr(intern!(py, "proto"))?.extract()?,
        },
    );
    let size: usize = base.getattr(intern!(py, "__basicsize__"))?.extract()?;
    if size < size_of::<Head>() {
        return Ok(false);
    }
    // SAFETY: the object is at least as large as `Head`, and any bits are integers.
    let head = unsafe { &*probe.as_ptr().cast::<Head>() };
    let read = (
        head.fd,
        Kind {
            family: head.family,
            socktype: head.socktype,
            protocol: head.protocol,
        },
    );
    let same = said == read;
    if same {
        GREEN.store(green.clone().into_ptr().cast(), Ordering::Relaxed);
        DIRECT.store(true, Ordering::Relaxed);
    }
    Ok(same)
}

/// Notes that a descriptor has just been opened as `fileno`: what is known of the number is out of date.
///
/// `owner` is the identity of the green socket that has made it non-blocking, 0 if nobody has. A
/// `mark_as_reopened` that somebody has put in place of the hub's own is called as well.
#[pyfunction]
#[pyo3(signature = (fileno, owner = 0))]
pub fn notify_opened(py: Python<'_>, fileno: RawFd, owner: usize) -> PyResult<()> {
    hub::closing(py, fileno);
    hub::io::set_owner(py, fileno, owner);
    let Some(hub) = hub::existing(py) else {
        return Ok(());
    };
    let method = hub.getattr(intern!(py, "mark_as_reopened"))?;
    if method.is_instance_of::<PyCFunction>() && method.getattr(intern!(py, "__self__"))?.is(&hub) {
        return Ok(());
    }
    method.call1((fileno,)).map(drop)
}

/// Notes that a green socket stands for another one from now on, whose descriptor is `fileno`.
///
/// Nobody may have told us of it so far, so what is known of the number may be about an earlier owner.
#[pyfunction]
pub fn notify_adopted(py: Python<'_>, fileno: RawFd) {
    let waited =
        hub::existing(py).is_some_and(|hub| hub.get().io.with(py, |io| io.is_waited(fileno)));
    if !waited {
        hub::io::next_generation(py, fileno);
    }
}

/// Notes who has made a descriptor non-blocking: a program that uses it by its number still expects it to
/// wait. `owner` is as for `notify_opened`.
#[pyfunction]
pub fn set_fd_owner(py: Python<'_>, fileno: RawFd, owner: usize) {
    hub::io::set_owner(py, fileno, owner);
}

/// Who has made the descriptor non-blocking; 0 for nobody that we know of.
#[pyfunction]
pub fn fd_owner(py: Python<'_>, fileno: RawFd) -> usize {
    hub::io::owner(py, fileno)
}

/// Notes that `fileno` is about to be closed or given away: whoever waits for it, in any thread, gets
/// `IOClosed`.
#[pyfunction]
pub fn notify_closing(py: Python<'_>, fileno: RawFd) {
    if fileno >= 0 {
        hub::closing(py, fileno);
    }
}
