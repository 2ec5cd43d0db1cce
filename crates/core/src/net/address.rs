//! Taking a connection, and addresses as Python writes them.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use super::buffer::errno;

unsafe extern "C" {
    fn inet_ntop(
        family: c_int,
        address: *const c_void,
        text: *mut c_char,
        size: libc::socklen_t,
    ) -> *const c_char;
}

/// A new connection: its descriptor, non-blocking and closed on `exec`, and where it comes from as Python
/// writes that; None for families that are not known here.
pub type Taken = (OwnedFd, Option<Py<PyAny>>);

/// `accept(2)`.
///
/// The outer error is the errno. Kept out of line: the address is large, and the caller parks.
#[inline(never)]
pub fn accept(py: Python<'_>, fd: RawFd) -> Result<PyResult<Taken>, i32> {
    // SAFETY: all zeros is a valid value.
    let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    let taken = accept_raw(fd, &mut storage, &mut length)?;
    let address = match c_int::from(storage.ss_family) {
        libc::AF_INET => internet(py, &storage),
        libc::AF_INET6 => internet6(py, &storage),
        libc::AF_UNIX => local(py, &storage, length as usize),
        _ => return Ok(Ok((taken, None))),
    };
    Ok(address.map(|address| (taken, Some(address))))
}

/// An address as Python writes it: host and port, for IPv6 also flow information and scope.
pub fn to_python<'py>(py: Python<'py>, address: &SocketAddr) -> PyResult<Bound<'py, PyAny>> {
    let tuple = match address {
        SocketAddr::V4(v4) => {
            let octets = v4.ip().octets();
            let text = host(libc::AF_INET, octets.as_ptr().cast());
            (text, v4.port()).into_pyobject(py)?
        }
        SocketAddr::V6(v6) => {
            let octets = v6.ip().octets();
            let text = host(libc::AF_INET6, octets.as_ptr().cast());
            (text, v6.port(), v6.flowinfo(), v6.scope_id()).into_pyobject(py)?
        }
    };
    Ok(tuple.into_any())
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn accept_raw(
    fd: RawFd,
    storage: &mut libc::sockaddr_storage,
    length: &mut libc::socklen_t,
) -> Result<OwnedFd, i32> {
    // SAFETY: the storage is as long as `length` says.
    let taken = unsafe {
        libc::accept4(
            fd,
            std::ptr::from_mut(storage).cast(),
            length,
            libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
        )
    };
    if taken < 0 {
        return Err(errno());
    }
    // SAFETY: a new descriptor that nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(taken) })
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn accept_raw(
    fd: RawFd,
    storage: &mut libc::sockaddr_storage,
    length: &mut libc::socklen_t,
) -> Result<OwnedFd, i32> {
    // SAFETY: the storage is as long as `length` says.
    let taken = unsafe { libc::accept(fd, std::ptr::from_mut(storage).cast(), length) };
    if taken < 0 {
        return Err(errno());
    }
    // SAFETY: a new descriptor that nobody else knows.
    let taken = unsafe { OwnedFd::from_raw_fd(taken) };
    // SAFETY: these only change flags of a descriptor that is ours.
    let set = unsafe {
        let number = std::os::fd::AsRawFd::as_raw_fd(&taken);
        libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) == 0
            && libc::fcntl(number, libc::F_SETFL, libc::O_NONBLOCK) == 0
    };
    if set { Ok(taken) } else { Err(errno()) }
}

/// A numeric host, as the C library writes it.
fn host(family: c_int, address: *const c_void) -> String {
    // Longer than any address: INET6_ADDRSTRLEN is 46.
    let mut text = [0; 64];
    // SAFETY: the address is one of `family`, and the size is that of the buffer, which stays terminated.
    unsafe {
        inet_ntop(
            family,
            address,
            text.as_mut_ptr(),
            text.len() as libc::socklen_t,
        );
        CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned()
    }
}

fn internet(py: Python<'_>, storage: &libc::sockaddr_storage) -> PyResult<Py<PyAny>> {
    // SAFETY: the family says what the storage holds, and it is aligned for all of them.
    let address = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in>() };
    let text = host(libc::AF_INET, (&raw const address.sin_addr).cast());
    let tuple = (text, u16::from_be(address.sin_port)).into_pyobject(py)?;
    Ok(tuple.into_any().unbind())
}

fn internet6(py: Python<'_>, storage: &libc::sockaddr_storage) -> PyResult<Py<PyAny>> {
    // SAFETY: as in `internet`.
    let address = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in6>() };
    let text = host(libc::AF_INET6, (&raw const address.sin6_addr).cast());
    let tuple = (
        text,
        u16::from_be(address.sin6_port),
        u32::from_be(address.sin6_flowinfo),
        address.sin6_scope_id,
    )
        .into_pyobject(py)?;
    Ok(tuple.into_any().unbind())
}

/// A path; on Linux bytes if it begins with NUL (a name without a file).
fn local(py: Python<'_>, storage: &libc::sockaddr_storage, length: usize) -> PyResult<Py<PyAny>> {
    let offset = std::mem::offset_of!(libc::sockaddr_un, sun_path);
    let length = length.clamp(offset, size_of::<libc::sockaddr_un>()) - offset;
    // SAFETY: the kernel has written that many bytes behind the family.
    let path = unsafe {
        std::slice::from_raw_parts(std::ptr::from_ref(storage).cast::<u8>().add(offset), length)
    };
    if cfg!(target_os = "linux") && path.first() == Some(&0) {
        return Ok(PyBytes::new(py, path).into_any().unbind());
    }
    let end = path.iter().position(|byte| *byte == 0);
    let path = &path[..end.unwrap_or(path.len())];
    // SAFETY: the pointer and the length are those of the slice; the codec of file names takes any bytes.
    let text = unsafe {
        Bound::from_owned_ptr_or_err(
            py,
            pyo3::ffi::PyUnicode_DecodeFSDefaultAndSize(
                path.as_ptr().cast(),
                path.len() as pyo3::ffi::Py_ssize_t,
            ),
        )?
        .cast_into_unchecked::<PyString>()
    };
    Ok(text.into_any().unbind())
}
