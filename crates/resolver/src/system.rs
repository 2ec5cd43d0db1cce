//! Asking the C library. All of this blocks.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::mem::{MaybeUninit, offset_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ptr;

use crate::query::{AddressInfo, Answer, Failure, Hints, HostEntry, Outcome, Query};

/// Looks up what `query` asks for.
pub fn answer(query: &Query) -> Outcome {
    match query {
        Query::Addresses {
            host,
            service,
            hints,
        } => addresses(host.as_deref(), service.as_deref(), *hints).map(Answer::Addresses),
        Query::HostByName(name) => host::by_name(name).map(Answer::Host),
        Query::HostByAddress(address) => host::by_address(*address).map(Answer::Host),
        Query::Name { address, flags } => {
            name(address, *flags).map(|(host, service)| Answer::Name(host, service))
        }
    }
}

fn errno() -> c_int {
    io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EIO)
}

/// What a code of `getaddrinfo` or `getnameinfo` means.
fn address_failure(code: c_int) -> Failure {
    if code == libc::EAI_SYSTEM {
        Failure::System(errno())
    } else {
        Failure::Address(code)
    }
}

fn pointer(text: Option<&CStr>) -> *const c_char {
    text.map_or(ptr::null(), CStr::as_ptr)
}

/// `getaddrinfo(3)`. Addresses that are neither IPv4 nor IPv6 are left out.
fn addresses(
    host: Option<&CStr>,
    service: Option<&CStr>,
    hints: Hints,
) -> Result<Vec<AddressInfo>, Failure> {
    // SAFETY: all zeros is a valid value, the one that says nothing.
    let mut wanted: libc::addrinfo = unsafe { MaybeUninit::zeroed().assume_init() };
    wanted.ai_family = hints.family;
    wanted.ai_socktype = hints.socket_type;
    wanted.ai_protocol = hints.protocol;
    wanted.ai_flags = hints.flags;
    let mut list = ptr::null_mut();
    // SAFETY: the strings end with NUL or are NULL, and everything outlives the call.
    let code = unsafe {
        libc::getaddrinfo(
            pointer(host),
            pointer(service),
            &raw const wanted,
            &raw mut list,
        )
    };
    if code != 0 {
        return Err(address_failure(code));
    }
    let mut found = Vec::new();
    let mut next = list;
    // SAFETY: the list is the library's, whole, and ours until it is freed below; an address is as long as
    // its entry says.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ai_next;
        // SAFETY: as above.
        let address = unsafe { socket_address(entry.ai_addr, entry.ai_addrlen) };
        if let Some(address) = address {
            found.push(AddressInfo {
                family: entry.ai_family,
                socket_type: entry.ai_socktype,
                protocol: entry.ai_protocol,
                // SAFETY: as above.
                canonical_name: unsafe { text(entry.ai_canonname) },
                address,
            });
        }
    }
    // SAFETY: it comes from `getaddrinfo`, and nothing refers to it any more.
    unsafe { libc::freeaddrinfo(list) };
    Ok(found)
}

/// `getnameinfo(3)`.
fn name(address: &SocketAddr, flags: c_int) -> Result<(CString, CString), Failure> {
    // NI_MAXHOST and NI_MAXSERV.
    let mut host = [0; 1025];
    let mut service = [0; 32];
    let (storage, length) = raw_address(address);
    // SAFETY: the address is as long as `length` says, and so are the buffers, which the function ends with
    // NUL.
    let code = unsafe {
        libc::getnameinfo(
            (&raw const storage).cast(),
            length,
            host.as_mut_ptr(),
            host.len() as libc::socklen_t,
            service.as_mut_ptr(),
            service.len() as libc::socklen_t,
            flags,
        )
    };
    if code != 0 {
        return Err(address_failure(code));
    }
    // SAFETY: both end with NUL.
    Ok(unsafe {
        (
            CStr::from_ptr(host.as_ptr()).to_owned(),
            CStr::from_ptr(service.as_ptr()).to_owned(),
        )
    })
}

/// Copies a string that ends with NUL; None for NULL.
///
/// # Safety
///
/// It is one or the other.
unsafe fn text(pointer: *const c_char) -> Option<CString> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: as the caller promises.
    Some(unsafe { CStr::from_ptr(pointer) }.to_owned())
}

/// An address as the system writes it; None if it is of another family.
///
/// # Safety
///
/// It is NULL, or `length` bytes long.
unsafe fn socket_address(
    address: *const libc::sockaddr,
    length: libc::socklen_t,
) -> Option<SocketAddr> {
    let length = length as usize;
    let family_end = offset_of!(libc::sockaddr, sa_family) + size_of::<libc::sa_family_t>();
    if address.is_null() || length < family_end {
        return None;
    }
    // SAFETY: it is long enough to have a family.
    let family = c_int::from(unsafe { (*address).sa_family });
    match family {
        libc::AF_INET if length >= size_of::<libc::sockaddr_in>() => {
            // SAFETY: it is one, and long enough; it may lie anywhere.
            let raw = unsafe { address.cast::<libc::sockaddr_in>().read_unaligned() };
            let host = Ipv4Addr::from(u32::from_be(raw.sin_addr.s_addr));
            Some(SocketAddrV4::new(host, u16::from_be(raw.sin_port)).into())
        }
        libc::AF_INET6 if length >= size_of::<libc::sockaddr_in6>() => {
            // SAFETY: as above.
            let raw = unsafe { address.cast::<libc::sockaddr_in6>().read_unaligned() };
            let host = Ipv6Addr::from(raw.sin6_addr.s6_addr);
            let port = u16::from_be(raw.sin6_port);
            let flow = u32::from_be(raw.sin6_flowinfo);
            Some(SocketAddrV6::new(host, port, flow, raw.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// An address for the system, and its length.
fn raw_address(address: &SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: all zeros is a valid value.
    let mut storage: libc::sockaddr_storage = unsafe { MaybeUninit::zeroed().assume_init() };
    let place = &raw mut storage;
    let length = match address {
        SocketAddr::V4(v4) => {
            // SAFETY: the storage is large enough for both and aligned for both.
            let raw = unsafe { &mut *place.cast::<libc::sockaddr_in>() };
            raw.sin_family = libc::AF_INET as libc::sa_family_t;
            raw.sin_port = v4.port().to_be();
            raw.sin_addr.s_addr = u32::from(*v4.ip()).to_be();
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            // SAFETY: as above.
            let raw = unsafe { &mut *place.cast::<libc::sockaddr_in6>() };
            raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            raw.sin6_port = v6.port().to_be();
            raw.sin6_addr.s6_addr = v6.ip().octets();
            raw.sin6_flowinfo = v6.flowinfo().to_be();
            raw.sin6_scope_id = v6.scope_id();
            size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, length as libc::socklen_t)
}

/// The entry that one of the old functions has found.
///
/// # Safety
///
/// It is the library's, and whole.
unsafe fn host_entry(entry: &libc::hostent) -> HostEntry {
    // SAFETY: both are lists that end with NULL, of strings and of addresses of the length given.
    unsafe {
        let aliases = list(entry.h_aliases).filter_map(|alias| text(alias));
        let addresses = list(entry.h_addr_list).filter_map(|address| match entry.h_length {
            4 => Some(IpAddr::from(address.cast::<[u8; 4]>().read())),
            16 => Some(IpAddr::from(address.cast::<[u8; 16]>().read())),
            _ => None,
        });
        HostEntry {
            name: text(entry.h_name).unwrap_or_default(),
            aliases: aliases.collect(),
            addresses: addresses.collect(),
        }
    }
}

/// What a list of pointers that ends with NULL has in it; NULL is an empty one.
///
/// # Safety
///
/// It is such a list for as long as the iterator lives.
unsafe fn list(first: *mut *mut c_char) -> impl Iterator<Item = *mut c_char> {
    let mut next = first;
    std::iter::from_fn(move || {
        if next.is_null() {
            return None;
        }
        // SAFETY: the end has not been reached.
        let item = unsafe { next.read() };
        if item.is_null() {
            return None;
        }
        // SAFETY: as above.
        next = unsafe { next.add(1) };
        Some(item)
    })
}

/// The bytes of an address and its family.
fn packed(address: &IpAddr) -> (*const c_void, libc::socklen_t, c_int) {
    match address {
        IpAddr::V4(v4) => (ptr::from_ref(v4).cast(), 4, libc::AF_INET),
        IpAddr::V6(v6) => (ptr::from_ref(v6).cast(), 16, libc::AF_INET6),
    }
}

/// The functions that write where they are told to.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
mod host {
    use super::{
        CStr, Failure, HostEntry, IpAddr, MaybeUninit, c_char, c_int, c_void, host_entry, packed,
        ptr,
    };

    unsafe extern "C" {
        fn gethostbyname_r(
            name: *const c_char,
            entry: *mut libc::hostent,
            buffer: *mut c_char,
            size: libc::size_t,
            result: *mut *mut libc::hostent,
            h_errno: *mut c_int,
        ) -> c_int;

        fn gethostbyaddr_r(
            address: *const c_void,
            length: libc::socklen_t,
            family: c_int,
            entry: *mut libc::hostent,
            buffer: *mut c_char,
            size: libc::size_t,
            result: *mut *mut libc::hostent,
            h_errno: *mut c_int,
        ) -> c_int;
    }

    /// What is enough for most entries, and what no entry may exceed.
    const SIZE: usize = 8 * 1024;
    const LARGEST: usize = 1024 * 1024;

    pub fn by_name(name: &CStr) -> Result<HostEntry, Failure> {
        enlarging(|entry, buffer, size, result, h_errno| {
            // SAFETY: the name ends with NUL, and the rest is as `enlarging` makes it.
            unsafe { gethostbyname_r(name.as_ptr(), entry, buffer, size, result, h_errno) }
        })
    }

    pub fn by_address(address: IpAddr) -> Result<HostEntry, Failure> {
        let (bytes, length, family) = packed(&address);
        enlarging(|entry, buffer, size, result, h_errno| {
            // SAFETY: the address has the length of its family, and the rest is as `enlarging` makes it.
            unsafe { gethostbyaddr_r(bytes, length, family, entry, buffer, size, result, h_errno) }
        })
    }

    /// Calls a function with larger and larger buffers, until the entry fits.
    fn enlarging(
        call: impl Fn(
            *mut libc::hostent,
            *mut c_char,
            usize,
            *mut *mut libc::hostent,
            *mut c_int,
        ) -> c_int,
    ) -> Result<HostEntry, Failure> {
        let mut size = SIZE;
        loop {
            // As well aligned as memory from `malloc`, which is what the functions expect.
            let mut buffer = vec![0_u128; size / size_of::<u128>()];
            let mut entry = MaybeUninit::uninit();
            let mut result = ptr::null_mut();
            let mut h_errno = 0;
            let code = call(
                entry.as_mut_ptr(),
                buffer.as_mut_ptr().cast(),
                size,
                &raw mut result,
                &raw mut h_errno,
            );
            if code == libc::ERANGE && size < LARGEST {
                size *= 2;
                continue;
            }
            // SAFETY: it is NULL or the entry, which refers to the buffer; both are still there.
            return match unsafe { result.as_ref() } {
                // SAFETY: as above.
                Some(entry) => Ok(unsafe { host_entry(entry) }),
                None => Err(Failure::Host(h_errno)),
            };
        }
    }
}

/// The functions that write to one place for all threads, or one for each.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
mod host {
    use std::sync::{Mutex, PoisonError};

    use super::{CStr, Failure, HostEntry, IpAddr, c_char, c_int, c_void, host_entry, packed};

    unsafe extern "C" {
        fn gethostbyname(name: *const c_char) -> *mut libc::hostent;

        fn gethostbyaddr(
            address: *const c_void,
            length: libc::socklen_t,
            family: c_int,
        ) -> *mut libc::hostent;

        static mut h_errno: c_int;
    }

    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    pub fn by_name(name: &CStr) -> Result<HostEntry, Failure> {
        // SAFETY: the name ends with NUL.
        entry(|| unsafe { gethostbyname(name.as_ptr()) })
    }

    pub fn by_address(address: IpAddr) -> Result<HostEntry, Failure> {
        let (bytes, length, family) = packed(&address);
        // SAFETY: the address has the length of its family.
        entry(|| unsafe { gethostbyaddr(bytes, length, family) })
    }

    fn entry(call: impl Fn() -> *mut libc::hostent) -> Result<HostEntry, Failure> {
        let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: it is NULL or an entry of the library's, which nobody overwrites meanwhile.
        match unsafe { call().as_ref() } {
            // SAFETY: as above.
            Some(entry) => Ok(unsafe { host_entry(entry) }),
            // SAFETY: an integer that only these functions write.
            None => Err(Failure::Host(unsafe { h_errno })),
        }
    }
}
