//! What a wait reports.

/// One file descriptor that is ready, named by the token it was registered with.
///
/// A hang-up or an error ends the wait of whoever reads and of whoever writes, so either sets
/// both `readable` and `writable`: a waiter needs to look at one flag only, and learns the rest
/// from the system call it then makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each read by name"
)]
pub struct Event {
    /// The token given at registration.
    pub token: u64,
    /// A read would not block: there is input, the end of the stream, or an error to fetch.
    pub readable: bool,
    /// A write would not block, be it only because it fails.
    pub writable: bool,
    /// Both directions are closed, or nobody is left at the other end. Never set by `select`,
    /// which has no way to tell.
    pub hangup: bool,
    /// The peer sends no more: the end of the stream is there already, maybe behind input that has
    /// not been read, and no further edge will tell of it. Never set by `poll` and `select`, which
    /// report such a descriptor as readable again when it is re-armed.
    pub read_closed: bool,
    /// The peer has sent urgent data, at which a read of what came before it stops short. Only `epoll`
    /// tells, and only of an edge.
    pub urgent: bool,
    /// An error is pending, or the descriptor was closed behind the poller's back. `select` sets
    /// it for the latter only.
    pub error: bool,
}

impl Event {
    /// An event in which a hang-up or an error wakes both directions.
    #[expect(
        clippy::fn_params_excessive_bools,
        reason = "in the order of the fields"
    )]
    #[inline]
    pub(crate) fn new(
        token: u64,
        readable: bool,
        writable: bool,
        hangup: bool,
        error: bool,
    ) -> Event {
        let both = hangup || error;
        Event {
            token,
            readable: readable || both,
            writable: writable || both,
            hangup,
            read_closed: false,
            urgent: false,
            error,
        }
    }

    /// What the waiters of a descriptor are told when it turns out to be closed.
    pub(crate) fn closed(token: u64) -> Event {
        Event::new(token, true, true, false, true)
    }
}
