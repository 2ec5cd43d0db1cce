//! The system calls a poller can be built on.

use std::fmt;

use crate::sys;

/// A family of readiness system calls.
///
/// Every variant exists on every platform, so that a name from a configuration can be parsed
/// anywhere; [`Backend::available`] tells which ones work here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Backend {
    /// `epoll`: Linux. The cost of a wait does not depend on how many descriptors are idle.
    Epoll,
    /// `kqueue`: macOS and the BSDs. Scales like `epoll`.
    Kqueue,
    /// `poll`: everywhere. Each wait costs time in proportion to the descriptors registered.
    Poll,
    /// `select`: everywhere, for descriptors below `FD_SETSIZE` (1024) only.
    Select,
}

impl Backend {
    /// The backends of this platform, best first.
    pub const fn available() -> &'static [Backend] {
        sys::AVAILABLE
    }

    /// The one to take when nothing else is asked for.
    pub const fn best() -> Backend {
        Backend::available()[0]
    }

    /// The name of the system call, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Backend::Epoll => "epoll",
            Backend::Kqueue => "kqueue",
            Backend::Poll => "poll",
            Backend::Select => "select",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
