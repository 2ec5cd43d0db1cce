//! The framing of responses, and the bytes.

use std::num::NonZeroUsize;

use eventlet_http1::Version::{Http10, Http11};
use eventlet_http1::response::BodyFraming::{self, Chunked, Length, NoBody, UntilClose};
use eventlet_http1::response::ConnectionHeader::{self, AsGiven, Close, KeepAlive, Omit};
use eventlet_http1::response::{AppHeaders, Framing, RequestInfo, Status, encode, framing};

const GET: RequestInfo = RequestInfo {
    version: Http11,
    is_head: false,
    is_connect: false,
    keep_alive: true,
    keep_alive_asked: false,
};
const HEAD: RequestInfo = RequestInfo {
    is_head: true,
    ..GET
};
const CONNECT: RequestInfo = RequestInfo {
    is_connect: true,
    ..GET
};
const ASKED: RequestInfo = RequestInfo {
    keep_alive_asked: true,
    ..GET
};
const LAST: RequestInfo = RequestInfo {
    keep_alive: false,
    ..GET
};
const OLD: RequestInfo = RequestInfo {
    version: Http10,
    keep_alive: false,
    ..GET
};
const OLD_KEPT: RequestInfo = RequestInfo {
    version: Http10,
    ..GET
};
const OLD_ASKED: RequestInfo = RequestInfo {
    version: Http10,
    ..ASKED
};

const NONE: AppHeaders = AppHeaders {
    content_length: None,
    transfer_encoding: false,
    close: false,
    connection_options: false,
    date: false,
};
const SIZED: AppHeaders = AppHeaders {
    content_length: Some(5),
    ..NONE
};
const CODED: AppHeaders = AppHeaders {
    transfer_encoding: true,
    ..NONE
};
const CLOSING: AppHeaders = AppHeaders {
    close: true,
    ..NONE
};
const OPTIONS: AppHeaders = AppHeaders {
    connection_options: true,
    ..NONE
};

type Case = (
    (RequestInfo, u16, AppHeaders, Option<u64>),
    (BodyFraming, Option<u64>, bool, bool, ConnectionHeader),
);

/// Request, status, headers of the application, known length; then the body, the Content-Length
/// added, whether that of the application is dropped, whether the connection persists, and the
/// Connection header.
#[rustfmt::skip]
const CASES: &[Case] = &[
    // A length, from the application or known
    ((GET, 200, SIZED, None), (Length(5), None, false, true, Omit)),
    ((GET, 200, SIZED, Some(7)), (Length(5), None, false, true, Omit)),
    ((GET, 200, NONE, Some(7)), (Length(7), Some(7), false, true, Omit)),
    ((GET, 200, NONE, Some(0)), (Length(0), Some(0), false, true, Omit)),
    ((GET, 404, NONE, Some(7)), (Length(7), Some(7), false, true, Omit)),
    ((GET, 205, NONE, Some(0)), (Length(0), Some(0), false, true, Omit)),
    ((OLD, 200, NONE, Some(7)), (Length(7), Some(7), false, false, Close)),
    ((OLD_KEPT, 200, SIZED, None), (Length(5), None, false, true, KeepAlive)),
    ((OLD_ASKED, 200, SIZED, None), (Length(5), None, false, true, KeepAlive)),
    ((OLD_ASKED, 200, NONE, Some(7)), (Length(7), Some(7), false, true, KeepAlive)),
    // No length
    ((GET, 200, NONE, None), (Chunked, None, false, true, Omit)),
    ((GET, 200, CODED, None), (Chunked, None, false, true, Omit)),
    ((GET, 500, NONE, None), (Chunked, None, false, true, Omit)),
    ((LAST, 200, NONE, None), (Chunked, None, false, false, Close)),
    ((OLD, 200, NONE, None), (UntilClose, None, false, false, Close)),
    ((OLD, 200, CODED, None), (UntilClose, None, false, false, Close)),
    ((OLD_ASKED, 200, NONE, None), (UntilClose, None, false, false, Close)),
    // No body
    ((HEAD, 200, NONE, None), (NoBody, None, false, true, Omit)),
    ((HEAD, 200, SIZED, None), (NoBody, None, false, true, Omit)),
    ((HEAD, 200, NONE, Some(7)), (NoBody, Some(7), false, true, Omit)),
    ((HEAD, 200, NONE, Some(0)), (NoBody, None, false, true, Omit)),
    ((HEAD, 204, NONE, Some(7)), (NoBody, None, true, true, Omit)),
    ((HEAD, 304, NONE, Some(7)), (NoBody, None, false, true, Omit)),
    ((GET, 204, NONE, Some(7)), (NoBody, None, true, true, Omit)),
    ((GET, 204, SIZED, None), (NoBody, None, true, true, Omit)),
    ((GET, 304, SIZED, None), (NoBody, None, false, true, Omit)),
    ((GET, 304, NONE, Some(7)), (NoBody, None, false, true, Omit)),
    ((OLD_ASKED, 204, NONE, None), (NoBody, None, true, true, KeepAlive)),
    ((OLD, 304, NONE, None), (NoBody, None, false, false, Close)),
    ((GET, 100, SIZED, Some(7)), (NoBody, None, true, false, Close)),
    ((GET, 103, NONE, None), (NoBody, None, true, false, Close)),
    // Another protocol
    ((GET, 101, NONE, None), (UntilClose, None, true, false, AsGiven)),
    ((GET, 101, SIZED, Some(7)), (UntilClose, None, true, false, AsGiven)),
    ((CONNECT, 200, SIZED, Some(7)), (UntilClose, None, true, false, AsGiven)),
    ((CONNECT, 299, NONE, None), (UntilClose, None, true, false, AsGiven)),
    ((CONNECT, 407, NONE, Some(7)), (Length(7), Some(7), false, true, Omit)),
    ((CONNECT, 302, NONE, None), (Chunked, None, false, true, Omit)),
    // The connection
    ((LAST, 200, SIZED, None), (Length(5), None, false, false, Close)),
    ((GET, 200, CLOSING, None), (Chunked, None, false, false, Close)),
    ((ASKED, 200, CLOSING, Some(7)), (Length(7), Some(7), false, false, Close)),
    ((ASKED, 200, SIZED, None), (Length(5), None, false, true, KeepAlive)),
    ((GET, 426, OPTIONS, None), (Chunked, None, false, true, AsGiven)),
    ((LAST, 426, OPTIONS, None), (Chunked, None, false, false, Close)),
];

#[test]
fn responses_are_framed_one_way() {
    for (index, ((request, status, app, known), expected)) in CASES.iter().enumerate() {
        let found = framing(request, *status, app, *known);
        let found = (
            found.body,
            found.add_content_length,
            found.drop_content_length,
            found.keep_alive,
            found.connection_header,
        );
        assert_eq!(found, *expected, "case {index}, status {status}");
    }
}

#[test]
fn every_combination_delimits_its_body() {
    let requests = [GET, HEAD, CONNECT, ASKED, LAST, OLD, OLD_KEPT, OLD_ASKED];
    for request in requests {
        for app in [NONE, SIZED, CODED, CLOSING, OPTIONS] {
            for known in [None, Some(0), Some(7)] {
                for status in 100..=999 {
                    check_delimited(request, status, &app, known);
                }
            }
        }
    }
}

fn check_delimited(request: RequestInfo, status: u16, app: &AppHeaders, known: Option<u64>) {
    let found = framing(&request, status, app, known);
    let sent_length = found
        .add_content_length
        .or(app.content_length.filter(|_| !found.drop_content_length));
    match found.body {
        Length(length) => assert_eq!(sent_length, Some(length)),
        Chunked => assert!(request.version == Http11 && sent_length.is_none()),
        UntilClose => assert!(!found.keep_alive && sent_length.is_none()),
        NoBody => assert!(request.is_head || matches!(status, 100..=199 | 204 | 304)),
    }
    assert!(found.add_content_length.is_none() || app.content_length.is_none());
    assert!(!found.keep_alive || found.connection_header != Close);
    assert!(found.keep_alive || matches!(found.connection_header, Close | AsGiven));
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = b"<".to_vec();
    encode(&mut out);
    String::from_utf8(out).expect("ASCII in these tests")
}

#[test]
fn status_lines() {
    for (version, status, line) in [
        (Http11, "200 OK", "<HTTP/1.1 200 OK\r\n"),
        (Http10, "200 OK", "<HTTP/1.0 200 OK\r\n"),
        (Http11, "200 ok", "<HTTP/1.1 200 ok\r\n"),
        (Http11, "201 OK", "<HTTP/1.1 201 OK\r\n"),
        (Http11, "404 Not Found", "<HTTP/1.1 404 Not Found\r\n"),
        (Http11, "599", "<HTTP/1.1 599 \r\n"),
        (Http11, "100 ", "<HTTP/1.1 100 \r\n"),
    ] {
        let status = Status::parse(status.as_bytes()).expect("valid");
        let found = encoded(|out| encode::status_line(out, version, status));
        assert_eq!(found, line);
    }
}

#[test]
fn header_lines() {
    let line = |name: &str| encoded(|out| encode::header_line(out, name.as_bytes(), b"V v"));
    assert_eq!(line("x-Y"), "<x-Y: V v\r\n");
    let line =
        |name: &str| encoded(|out| encode::header_line_capitalized(out, name.as_bytes(), b"V v"));
    assert_eq!(line("content-type"), "<Content-Type: V v\r\n");
    assert_eq!(line("ETAG"), "<Etag: V v\r\n");
    assert_eq!(line("x_y-z1a--b"), "<X_y-Z1a--B: V v\r\n");
}

#[test]
fn framing_lines() {
    let plain = Framing {
        body: NoBody,
        add_content_length: None,
        drop_content_length: false,
        keep_alive: true,
        connection_header: Omit,
    };
    let lines = |framing| encoded(|out| encode::framing_lines(out, &framing));
    assert_eq!(lines(plain), "<");
    let found = lines(Framing {
        body: Length(7),
        add_content_length: Some(7),
        connection_header: KeepAlive,
        ..plain
    });
    assert_eq!(found, "<Content-Length: 7\r\nConnection: keep-alive\r\n");
    let found = lines(Framing {
        body: Chunked,
        connection_header: Close,
        ..plain
    });
    assert_eq!(
        found,
        "<Transfer-Encoding: chunked\r\nConnection: close\r\n"
    );
    let found = lines(Framing {
        body: UntilClose,
        connection_header: AsGiven,
        ..plain
    });
    assert_eq!(found, "<");
}

#[test]
fn numbers() {
    for number in [0, 1, 9, 10, 99, 100, 12_345, u64::MAX - 1, u64::MAX] {
        let found = encoded(|out| encode::decimal(out, number));
        assert_eq!(found, format!("<{number}"));
        let found = encoded(|out| encode::content_length(out, number));
        assert_eq!(found, format!("<Content-Length: {number}\r\n"));
    }
    for size in [1, 9, 10, 15, 16, 255, 256, 65_536, usize::MAX] {
        let line = encode::ChunkSize::new(NonZeroUsize::new(size).expect("not zero"));
        assert_eq!(line.as_bytes(), format!("{size:x}\r\n").as_bytes());
    }
}

#[test]
fn chunks() {
    let found = encoded(|out| {
        encode::chunk(out, b"hello, chunked world");
        encode::chunk(out, b"");
        encode::chunk(out, b"!");
        out.extend_from_slice(encode::LAST_CHUNK);
    });
    assert_eq!(found, "<14\r\nhello, chunked world\r\n1\r\n!\r\n0\r\n\r\n");
}
