//! Keeps a response body to the length its head announced.
//!
//! One byte too many would be read as the start of the next response; one too few makes the client
//! take the start of the next response for data. The first is cut off here, the second can only be
//! met by closing the connection (RFC 9112 sections 6.3 and 9.6).

use super::BodyFraming;

/// Counts what an application yields.
#[derive(Clone, Copy, Debug)]
pub struct ResponseBody {
    framing: BodyFraming,
    taken: u64,
}

/// What to do with a block of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// How many of its bytes, from the first, to send.
    pub send: usize,
    /// How many exceed the announced length. Not counted where the response has no body at all: an
    /// application need not know that it answers a HEAD.
    pub surplus: usize,
}

/// What the end of the application's data means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The body is complete.
    Complete,
    /// Write [`encode::LAST_CHUNK`](super::encode::LAST_CHUNK); then it is complete.
    LastChunk,
    /// So many bytes of the announced length are missing: close the connection.
    Short(u64),
}

impl ResponseBody {
    /// A body with the given framing, nothing of it sent yet.
    pub fn new(framing: BodyFraming) -> Self {
        Self { framing, taken: 0 }
    }

    /// How the body is delimited.
    pub fn framing(&self) -> BodyFraming {
        self.framing
    }

    /// Bytes taken so far, without chunk framing.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Takes the next `available` bytes of the application.
    pub fn take(&mut self, available: usize) -> Taken {
        let (send, surplus) = match self.framing {
            BodyFraming::Chunked | BodyFraming::UntilClose => (available, 0),
            BodyFraming::NoBody => (0, 0),
            BodyFraming::Length(length) => {
                let left = usize::try_from(length - self.taken).unwrap_or(usize::MAX);
                let send = available.min(left);
                (send, available - send)
            }
        };
        self.taken += send as u64;
        Taken { send, surplus }
    }

    /// The application has no more data.
    pub fn finish(&self) -> Finish {
        match self.framing {
            BodyFraming::Chunked => Finish::LastChunk,
            BodyFraming::Length(length) if self.taken < length => {
                Finish::Short(length - self.taken)
            }
            BodyFraming::Length(_) | BodyFraming::NoBody | BodyFraming::UntilClose => {
                Finish::Complete
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_is_kept() {
        let mut body = ResponseBody::new(BodyFraming::Length(5));
        assert_eq!(body.finish(), Finish::Short(5));
        assert_eq!(
            body.take(3),
            Taken {
                send: 3,
                surplus: 0
            }
        );
        assert_eq!(body.finish(), Finish::Short(2));
        assert_eq!(
            body.take(4),
            Taken {
                send: 2,
                surplus: 2
            }
        );
        assert_eq!(body.finish(), Finish::Complete);
        assert_eq!(
            body.take(1),
            Taken {
                send: 0,
                surplus: 1
            }
        );
        assert_eq!(
            body.take(0),
            Taken {
                send: 0,
                surplus: 0
            }
        );
        assert_eq!(body.taken(), 5);
    }

    #[test]
    fn other_framings_take_all_or_nothing() {
        for (framing, send, finish) in [
            (BodyFraming::Chunked, 7, Finish::LastChunk),
            (BodyFraming::UntilClose, 7, Finish::Complete),
            (BodyFraming::NoBody, 0, Finish::Complete),
            (BodyFraming::Length(0), 0, Finish::Complete),
        ] {
            let mut body = ResponseBody::new(framing);
            assert_eq!(body.take(7).send, send);
            assert_eq!(body.finish(), finish);
            assert_eq!(body.framing(), framing);
        }
    }
}
