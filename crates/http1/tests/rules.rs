//! What an operator may relax, and what becomes of the connection then.

mod common;

use common::parse_every_way;
use eventlet_http1::{BodyLength, HeadParser, Limits, RequestError, Rules};

/// The body and whether the connection may persist, with the given rules.
fn parsed(rules: Rules, input: &[u8]) -> Result<(BodyLength, bool), RequestError> {
    let limits = Limits {
        rules,
        ..Limits::default()
    };
    parse_every_way(input, &limits)?;
    let mut parser = HeadParser::new();
    assert_eq!(parser.parse(input, &limits)?, Some(input.len()));
    Ok((parser.head().body(), parser.head().keep_alive()))
}

#[test]
fn a_missing_host_may_be_let_pass() {
    let rules = Rules {
        require_host: false,
        ..Rules::default()
    };
    let input = b"GET / HTTP/1.1\r\n\r\n";
    assert_eq!(parsed(rules, input), Ok((BodyLength::None, true)));
    assert_eq!(
        parsed(Rules::default(), input),
        Err(RequestError::MissingHost)
    );
    let two = b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n";
    assert_eq!(parsed(rules, two), Err(RequestError::DuplicateHost));
}

#[test]
fn chunks_win_over_a_length_and_end_the_connection() {
    let rules = Rules {
        refuse_both_lengths: false,
        ..Rules::default()
    };
    let both = Ok((BodyLength::Chunked, false));
    let head = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes();
    let (chunked, length) = ("Transfer-Encoding: chunked\r\n", "Content-Length: 5\r\n");
    for fields in [format!("{chunked}{length}"), format!("{length}{chunked}")] {
        assert_eq!(parsed(rules, &head(&fields)), both);
        assert_eq!(
            parsed(Rules::default(), &head(&fields)),
            Err(RequestError::ContentLengthWithTransferEncoding)
        );
    }
    assert_eq!(
        parsed(rules, &head(&format!("{chunked}Content-Length: x\r\n"))),
        Err(RequestError::InvalidContentLength)
    );
    assert_eq!(
        parsed(rules, &head(&format!("{length}{length}{chunked}"))),
        Err(RequestError::DuplicateContentLength)
    );
    assert_eq!(
        parsed(
            rules,
            &head(&format!("{length}Transfer-Encoding: gzip\r\n"))
        ),
        Err(RequestError::UnknownTransferCoding)
    );
    assert_eq!(
        parsed(rules, &head(chunked)),
        Ok((BodyLength::Chunked, true))
    );
}

#[test]
fn chunks_in_http10_end_the_connection() {
    let rules = Rules {
        refuse_http10_chunked: false,
        ..Rules::default()
    };
    let input = b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(parsed(rules, input), Ok((BodyLength::Chunked, false)));
    assert_eq!(
        parsed(Rules::default(), input),
        Err(RequestError::TransferEncodingInHttp10)
    );
}
