//! Limits: exact to the byte, and enforced before the end of the element has arrived.

mod common;

use common::{HeadOutcome, decode_every_way, parse_every_way};
use eventlet_http1::RequestError::*;
use eventlet_http1::{BodyLength, HeadParser, Limits, Rules};

/// Small enough to feed at every split.
fn limits() -> Limits {
    Limits {
        rules: Rules::default(),
        request_line: 60,
        header_line: 50,
        head: 300,
        header_count: 10,
        chunk_line: 20,
        chunk_extensions: 40,
        body: 1000,
        trailers: 60,
    }
}

fn outcome(input: &str) -> HeadOutcome {
    parse_every_way(input.as_bytes(), &limits())
}

fn accepted(input: &str) {
    let length = outcome(input).map(|head| head.map(|(length, _)| length));
    assert_eq!(length, Ok(Some(input.len())), "{input:?}");
}

#[test]
fn request_line() {
    // "GET /" and " HTTP/1.0" are 14 bytes.
    let line = |path: usize| format!("GET /{} HTTP/1.0\r\n\r\n", "a".repeat(path));
    accepted(&line(46));
    assert_eq!(outcome(&line(47)), Err(RequestLineTooLong));
    assert_eq!(outcome(&line(500)), Err(RequestLineTooLong));
    assert_eq!(RequestLineTooLong.status(), 414);
    // The end of the line never arrives.
    let endless = "a".repeat(500);
    assert_eq!(outcome(&format!("GET /{endless}")), Err(RequestLineTooLong));
    assert_eq!(
        outcome(&format!("GET /?{endless}")),
        Err(RequestLineTooLong)
    );
    // The line counts, not the empty ones before it.
    accepted(&format!("\r\n\r\n{}", line(46)));
    assert_eq!(
        outcome(&format!("\r\n\r\n{}", line(47))),
        Err(RequestLineTooLong)
    );
    // Wrong before it is too long: the first error wins, however the bytes arrive.
    assert_eq!(outcome(&format!("GET /\x01{endless}")), Err(InvalidTarget));
}

#[test]
fn header_line() {
    let head = |value: usize| format!("GET / HTTP/1.0\r\nX: {}\r\n\r\n", "v".repeat(value));
    accepted(&head(47));
    assert_eq!(outcome(&head(48)), Err(HeaderLineTooLong));
    assert_eq!(outcome(&head(200)), Err(HeaderLineTooLong));
    assert_eq!(HeaderLineTooLong.status(), 431);
    for start in ["X: ", "", "X:"] {
        for filler in ["v", " "] {
            let endless = filler.repeat(200);
            let input = format!("GET / HTTP/1.0\r\n{start}{endless}");
            let expected = match (start, filler) {
                ("", " ") => ObsoleteFold,
                _ => HeaderLineTooLong,
            };
            assert_eq!(outcome(&input), Err(expected), "{input:?}");
        }
    }
    // Trailing white space is part of the line.
    let padded = format!("GET / HTTP/1.0\r\nX: v{}\r\n\r\n", " ".repeat(47));
    assert_eq!(outcome(&padded), Err(HeaderLineTooLong));
}

#[test]
fn head() {
    // 18 bytes of request line and empty line, 46 of each field line.
    let line = |value: usize| format!("X: {}\r\n", "v".repeat(value));
    let head = |last: usize| {
        let lines = line(41).repeat(6);
        format!("GET / HTTP/1.0\r\n{lines}{}\r\n", line(last))
    };
    assert_eq!(head(1).len(), 300);
    accepted(&head(1));
    assert_eq!(outcome(&head(2)), Err(HeadTooLarge));
    assert_eq!(outcome(&head(40)), Err(HeadTooLarge));
    assert_eq!(HeadTooLarge.status(), 431);
    // Empty lines before the request line count as well.
    assert_eq!(outcome(&format!("\r\n{}", head(1))), Err(HeadTooLarge));
    // What follows the head does not.
    let followed = format!("{}{}", head(1), "x".repeat(500));
    let length = outcome(&followed).map(|head| head.map(|(length, _)| length));
    assert_eq!(length, Ok(Some(300)));
}

#[test]
fn header_count() {
    let head = |count: usize| format!("GET / HTTP/1.0\r\n{}\r\n", "X: v\r\n".repeat(count));
    accepted(&head(10));
    assert_eq!(outcome(&head(11)), Err(TooManyHeaders));
    assert_eq!(TooManyHeaders.status(), 431);
}

#[test]
fn defaults() {
    let limits = Limits::default();
    let mut parser = HeadParser::new();
    let path = "a".repeat(8192 - 14);
    let line = format!("GET /{path} HTTP/1.0\r\n");
    assert_eq!(parser.parse(line.as_bytes(), &limits), Ok(None));
    parser.reset();
    let line = format!("GET /{path}a HTTP/1.0\r\n");
    assert_eq!(
        parser.parse(line.as_bytes(), &limits),
        Err(RequestLineTooLong)
    );
    parser.reset();
    let head = format!("GET / HTTP/1.0\r\n{}\r\n", "X: v\r\n".repeat(200));
    assert_eq!(parser.parse(head.as_bytes(), &limits), Ok(Some(head.len())));
    parser.reset();
    let head = format!("GET / HTTP/1.0\r\n{}\r\n", "X: v\r\n".repeat(201));
    assert_eq!(parser.parse(head.as_bytes(), &limits), Err(TooManyHeaders));
    parser.reset();
    let lines = format!("X: {}\r\n", "v".repeat(8000)).repeat(9);
    let head = format!("GET / HTTP/1.0\r\n{lines}\r\n");
    assert_eq!(parser.parse(head.as_bytes(), &limits), Err(HeadTooLarge));
}

/// Whatever the limits are set to, nothing overflows and nothing is accepted beyond them.
#[test]
fn extremes() {
    let head = "GET / HTTP/1.0\r\nX: v\r\n\r\n";
    let none = Limits {
        rules: Rules::default(),
        request_line: 0,
        header_line: 0,
        head: 0,
        header_count: 0,
        chunk_line: 0,
        chunk_extensions: 0,
        body: 0,
        trailers: 0,
    };
    assert_eq!(parse_every_way(head.as_bytes(), &none), Err(HeadTooLarge));
    let all = Limits {
        rules: Rules::default(),
        request_line: usize::MAX,
        header_line: usize::MAX,
        head: usize::MAX,
        header_count: usize::MAX,
        chunk_line: usize::MAX,
        chunk_extensions: usize::MAX,
        body: u64::MAX,
        trailers: usize::MAX,
    };
    assert!(matches!(
        parse_every_way(head.as_bytes(), &all),
        Ok(Some((24, _)))
    ));
    let body = b"1;x\r\na\r\n0\r\nX: y\r\n\r\n";
    let chunked = BodyLength::Chunked;
    assert_eq!(decode_every_way(chunked, body, &all).end, Ok(Some(19)));
    assert_eq!(
        decode_every_way(chunked, body, &none).end,
        Err(ChunkLineTooLong)
    );
}

#[test]
fn chunk_lines() {
    let end = |input: &str| decode_every_way(BodyLength::Chunked, input.as_bytes(), &limits()).end;
    let chunk = |extension: usize| format!("1;{}\r\na\r\n", "x".repeat(extension));
    assert_eq!(end(&chunk(18)), Ok(None));
    assert_eq!(end(&chunk(19)), Err(ChunkLineTooLong));
    assert_eq!(
        end(&format!("1;{}", "x".repeat(500))),
        Err(ChunkLineTooLong)
    );
    assert_eq!(end(&format!("1{}", " ".repeat(500))), Err(ChunkLineTooLong));
    assert_eq!(end(&format!("{}1\r\na\r\n", "0".repeat(19))), Ok(None));
    assert_eq!(end(&"0".repeat(500)), Err(ChunkLineTooLong));
    // 40 bytes of extensions in all, their semicolons included; sizes are free.
    assert_eq!(end(&chunk(9).repeat(4)), Ok(None));
    assert_eq!(end(&chunk(9).repeat(5)), Err(ChunkExtensionsTooLong));
    assert_eq!(end(&"1\r\na\r\n".repeat(50)), Ok(None));
}

#[test]
fn sized_bodies() {
    let post = |length: &str| format!("POST / HTTP/1.0\r\nContent-Length: {length}\r\n\r\n");
    accepted(&post("1000"));
    assert_eq!(outcome(&post("1001")), Err(BodyTooLarge));
    assert_eq!(outcome(&post("18446744073709551615")), Err(BodyTooLarge));
    assert_eq!(BodyTooLarge.status(), 413);
    // What else is wrong with the head comes first.
    let head = post("1001").replace("\r\n\r\n", "\r\nX\0\r\n\r\n");
    assert_eq!(outcome(&head), Err(InvalidFieldName));
}

#[test]
fn chunked_bodies() {
    let decode = |input: &str| decode_every_way(BodyLength::Chunked, input.as_bytes(), &limits());
    let chunk = |size: usize| format!("{size:x}\r\n{}\r\n", "x".repeat(size));
    assert_eq!(decode(&chunk(1000)).end, Ok(None));
    assert_eq!(
        decode(&format!("{}0\r\n\r\n", chunk(100).repeat(10)))
            .data
            .len(),
        1000
    );
    // The size of a chunk is enough to tell, and what came before it is delivered.
    assert_eq!(decode("3e9").end, Err(BodyTooLarge));
    let outcome = decode(&format!("{}1", chunk(100).repeat(10)));
    assert_eq!((outcome.data.len(), outcome.end), (1000, Err(BodyTooLarge)));
    assert_eq!(
        decode("1\r\na\r\nffffffffffffffff\r\n").end,
        Err(BodyTooLarge)
    );
}

#[test]
fn trailers() {
    let end = |trailers: &str| {
        let input = format!("0\r\n{trailers}");
        let outcome = decode_every_way(BodyLength::Chunked, input.as_bytes(), &limits());
        outcome.end.map(|end| end == Some(input.len()))
    };
    assert_eq!(end("X: y\r\n\r\n"), Ok(true));
    let line = |value: usize| format!("X: {}\r\n", "v".repeat(value));
    assert_eq!(end(&format!("{}\r\n", line(47))), Ok(true));
    assert_eq!(end(&line(48)), Err(HeaderLineTooLong));
    assert_eq!(end(&"n".repeat(51)), Err(HeaderLineTooLong));
    // 60 bytes in all, counted up to the LF of the empty line.
    assert_eq!(end(&format!("{}{}\r\n", line(30), line(18))), Ok(true));
    assert_eq!(
        end(&format!("{}{}\r\n", line(30), line(19))),
        Err(TrailersTooLarge)
    );
    assert_eq!(end(&format!("{}\r\n", "a:\r\n".repeat(10))), Ok(true));
    assert_eq!(end(&"a:\r\n".repeat(11)), Err(TooManyHeaders));
    assert_eq!(TrailersTooLarge.status(), 431);
}

/// The caller never needs more than the head limit to get an answer.
#[test]
fn endless_input_is_refused_within_the_head_limit() {
    let limits = limits();
    for unit in [
        "a",
        " ",
        "GET / HTTP/1.1\r\n",
        "X: y\r\n",
        "\r\n",
        "/",
        ":",
        "%",
    ] {
        for start in [
            "",
            "GET ",
            "GET /",
            "GET / HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\nX: ",
        ] {
            let input = start.to_owned() + &unit.repeat(limits.head);
            let input = &input.as_bytes()[..limits.head];
            let outcome = parse_every_way(input, &limits);
            assert_ne!(outcome, Ok(None), "{start:?} {unit:?}");
        }
    }
}
