//! Heads that must be accepted, and what they mean.
//!
//! Every entry is fed whole, byte by byte, and at every split.

mod common;

use common::parse_every_way;
use eventlet_http1::TargetForm::{self, Absolute, Asterisk, Authority, Origin};
use eventlet_http1::Version::{self, Http10, Http11};
use eventlet_http1::{BodyLength, FieldKind, Head, HeadParser, Limits};

struct Valid {
    input: &'static [u8],
    method: &'static str,
    target: &'static [u8],
    form: TargetForm,
    path: &'static [u8],
    query: Option<&'static [u8]>,
    host: Option<&'static str>,
    version: Version,
    fields: usize,
    body: BodyLength,
    /// Any of: k keep-alive, a asked for it, e expects 100, u upgrade, h HEAD, c CONNECT.
    flags: &'static str,
}

/// `GET / HTTP/1.1` with nothing but a Host: what the entries below differ from.
const PLAIN: Valid = Valid {
    input: b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    method: "GET",
    target: b"/",
    form: Origin,
    path: b"/",
    query: None,
    host: Some("a"),
    version: Http11,
    fields: 1,
    body: BodyLength::None,
    flags: "k",
};

/// The same in HTTP/1.0 and without the Host.
const OLD: Valid = Valid {
    input: b"GET / HTTP/1.0\r\n\r\n",
    host: None,
    version: Http10,
    fields: 0,
    flags: "",
    ..PLAIN
};

const fn get(target: &'static [u8], input: &'static [u8]) -> Valid {
    Valid {
        input,
        target,
        path: target,
        ..PLAIN
    }
}

const fn field(input: &'static [u8]) -> Valid {
    Valid {
        input,
        fields: 2,
        ..PLAIN
    }
}

const fn flagged(flags: &'static str, input: &'static [u8]) -> Valid {
    Valid {
        flags,
        ..field(input)
    }
}

const fn host(host: &'static str, input: &'static [u8]) -> Valid {
    Valid {
        input,
        host: Some(host),
        ..PLAIN
    }
}

const fn old(flags: &'static str, input: &'static [u8]) -> Valid {
    Valid {
        input,
        flags,
        fields: 1,
        ..OLD
    }
}

const fn post(body: BodyLength, input: &'static [u8]) -> Valid {
    Valid {
        input,
        body,
        method: "POST",
        fields: 2,
        ..PLAIN
    }
}

#[rustfmt::skip]
const VALID: &[Valid] = &[
    PLAIN,
    OLD,
    // Empty lines before the request line
    Valid { input: b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", ..PLAIN },
    Valid { input: b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", ..PLAIN },
    // Methods
    Valid { input: b"get / HTTP/1.1\r\nHost: a\r\n\r\n", method: "get", ..PLAIN },
    Valid { input: b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", method: "HEAD", flags: "kh", ..PLAIN },
    Valid { input: b"head / HTTP/1.1\r\nHost: a\r\n\r\n", method: "head", ..PLAIN },
    Valid { input: b"UPDATEREDIRECTREF / HTTP/1.1\r\nHost: a\r\n\r\n", method: "UPDATEREDIRECTREF", ..PLAIN },
    Valid { input: b"!#$%&'*+-.^_`|~09azAZ / HTTP/1.1\r\nHost: a\r\n\r\n", method: "!#$%&'*+-.^_`|~09azAZ", ..PLAIN },
    Valid { input: b"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF / HTTP/1.1\r\nHost: a\r\n\r\n", method: "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF", ..PLAIN },
    // Targets
    get(b"/a/b%20c", b"GET /a/b%20c HTTP/1.1\r\nHost: a\r\n\r\n"),
    get(b"//evil/..//", b"GET //evil/..// HTTP/1.1\r\nHost: a\r\n\r\n"),
    get(b"/http://x/", b"GET /http://x/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    get(b"/\xc3\xa9\xff", b"GET /\xc3\xa9\xff HTTP/1.1\r\nHost: a\r\n\r\n"),
    get(b"/\"<>\\^`{|}%zz*", b"GET /\"<>\\^`{|}%zz* HTTP/1.1\r\nHost: a\r\n\r\n"),
    Valid { path: b"/p", query: Some(b"a=b&c=/d"), ..get(b"/p?a=b&c=/d", b"GET /p?a=b&c=/d HTTP/1.1\r\nHost: a\r\n\r\n") },
    Valid { path: b"/p", query: Some(b""), ..get(b"/p?", b"GET /p? HTTP/1.1\r\nHost: a\r\n\r\n") },
    Valid { path: b"/", query: Some(b"?\xe9"), ..get(b"/??\xe9", b"GET /??\xe9 HTTP/1.1\r\nHost: a\r\n\r\n") },
    Valid { form: Absolute, path: b"/p", host: Some("b:8"), ..get(b"http://b:8/p", b"GET http://b:8/p HTTP/1.1\r\nHost: a\r\n\r\n") },
    Valid { form: Absolute, path: b"/", host: Some("b"), ..get(b"HTTPS://b", b"GET HTTPS://b HTTP/1.1\r\nHost: a\r\n\r\n") },
    Valid { form: Absolute, path: b"/", query: Some(b"q/r"), host: Some("[::1]:8"), ..get(b"http://[::1]:8?q/r", b"GET http://[::1]:8?q/r HTTP/1.1\r\nHost: a\r\n\r\n") },
    Valid { form: Absolute, path: b"//", host: Some("b:"), ..get(b"http://b://", b"GET http://b:// HTTP/1.1\r\nHost: a\r\n\r\n") },
    Valid { form: Absolute, path: b"/", host: Some("b"), ..Valid { input: b"GET http://b/ HTTP/1.0\r\n\r\n", target: b"http://b/", ..OLD } },
    Valid { method: "OPTIONS", form: Asterisk, ..get(b"*", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n") },
    Valid { method: "OPTIONS", ..get(b"/*", b"OPTIONS /* HTTP/1.1\r\nHost: a\r\n\r\n") },
    Valid { method: "CONNECT", form: Authority, host: Some("b:443"), flags: "kc", ..get(b"b:443", b"CONNECT b:443 HTTP/1.1\r\nHost: a\r\n\r\n") },
    Valid { method: "CONNECT", form: Authority, host: Some("[::1]:1"), flags: "kc", ..get(b"[::1]:1", b"CONNECT [::1]:1 HTTP/1.1\r\nHost: a\r\n\r\n") },
    // Hosts
    host("", b"GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    host("", b"GET / HTTP/1.1\r\nHost: \t \r\n\r\n"),
    host("example.com:8080", b"GET / HTTP/1.1\r\nHost: example.com:8080\r\n\r\n"),
    host("a:", b"GET / HTTP/1.1\r\nHost: a:\r\n\r\n"),
    host("[2001:db8::1]:80", b"GET / HTTP/1.1\r\nhOsT: [2001:db8::1]:80\r\n\r\n"),
    host("my_service-1.x~%41", b"GET / HTTP/1.1\r\nHost:my_service-1.x~%41\r\n\r\n"),
    Valid { host: Some("b"), ..old("", b"GET / HTTP/1.0\r\nHost: b\r\n\r\n") },
    // Field lines
    field(b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n"),
    field(b"GET / HTTP/1.1\r\nHost: a\r\nX:y\r\n\r\n"),
    field(b"GET / HTTP/1.1\r\nHost:a\r\nX: \t y\tz \t \r\n\r\n"),
    field(b"GET / HTTP/1.1\r\nHost: a\r\nX_Y.Z!: :;,=\"\\\r\n\r\n"),
    field(b"GET / HTTP/1.1\r\nHost: a\r\nX: \x80\xff\xe9\r\n\r\n"),
    field(b"GET / HTTP/1.1\r\nHost: a\r\n1: x: y: z\r\n\r\n"),
    field(b"GET / HTTP/1.1\r\nX: a value of more than two words of eight bytes\r\nHost: a\r\n\r\n"),
    // Bodies
    post(BodyLength::Length(0), b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"),
    post(BodyLength::Length(5), b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"),
    post(BodyLength::Length(5), b"POST / HTTP/1.1\r\nHost: a\r\nCONTENT-LENGTH:005 \r\n\r\n"),
    post(BodyLength::Length(u64::MAX), b"POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 18446744073709551615\r\n\r\n"),
    post(BodyLength::Chunked, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
    post(BodyLength::Chunked, b"POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding:\tCHUNKED\t\r\n\r\n"),
    post(BodyLength::None, b"POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\n\r\n"),
    post(BodyLength::None, b"POST / HTTP/1.1\r\nHost: a\r\nX-Transfer-Encodin: chunked\r\n\r\n"),
    Valid { method: "POST", body: BodyLength::Length(7), ..old("", b"POST / HTTP/1.0\r\nContent-Length: 7\r\n\r\n") },
    // Connection
    flagged("", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    flagged("", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE ,y\r\n\r\n"),
    flagged("k", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n"),
    flagged("k", b"GET / HTTP/1.1\r\nHost: a\r\nConnection:\r\n\r\n"),
    flagged("ka", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n"),
    flagged("a", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n"),
    Valid { fields: 3, ..flagged("a", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n") },
    old("ka", b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
    old("", b"GET / HTTP/1.0\r\nConnection: close\r\n\r\n"),
    old("", b"GET / HTTP/1.0\r\nKeep-Alive: 300\r\n\r\n"),
    // Upgrade
    Valid { fields: 3, ..flagged("ku", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n") },
    Valid { fields: 3, ..flagged("kau", b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: keep-alive,upgrade\r\nHost: a\r\n\r\n") },
    flagged("k", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\r\n"),
    flagged("k", b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n"),
    Valid { fields: 2, ..old("", b"GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n") },
    // Expect
    Valid { fields: 3, flags: "ke", ..post(BodyLength::Length(5), b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n") },
    Valid { fields: 3, flags: "ke", ..post(BodyLength::Chunked, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nexpect: 100-Continue\r\n\r\n") },
    Valid { fields: 3, flags: "k", ..post(BodyLength::Length(0), b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n") },
    flagged("k", b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n"),
    Valid { method: "POST", fields: 2, body: BodyLength::Length(5), ..old("", b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n") },
];

fn flags(head: &Head) -> String {
    [
        (head.keep_alive(), 'k'),
        (head.keep_alive_asked(), 'a'),
        (head.expect_continue(), 'e'),
        (head.upgrade(), 'u'),
        (head.is_head(), 'h'),
        (head.is_connect(), 'c'),
    ]
    .into_iter()
    .filter_map(|(set, flag)| set.then_some(flag))
    .collect()
}

#[test]
fn valid_heads_are_understood() {
    assert!(VALID.len() >= 40, "{} entries", VALID.len());
    let limits = Limits::default();
    for valid in VALID {
        let input = valid.input;
        let text = String::from_utf8_lossy(input);
        let outcome = parse_every_way(input, &limits);
        let length = outcome.map(|head| head.map(|(length, _)| length));
        assert_eq!(length, Ok(Some(input.len())), "{text:?}");

        let mut parser = HeadParser::new();
        assert_eq!(parser.parse(input, &limits), Ok(Some(input.len())));
        let head = parser.head();
        let host = valid.host.map(str::as_bytes);
        assert_eq!(head.method(input), valid.method.as_bytes(), "{text:?}");
        assert_eq!(head.target(input), valid.target, "{text:?}");
        assert_eq!(head.form(), valid.form, "{text:?}");
        assert_eq!(head.path(input), valid.path, "{text:?}");
        assert_eq!(head.query(input), valid.query, "{text:?}");
        assert_eq!(head.host(input), host, "{text:?}");
        assert_eq!(head.version(), valid.version, "{text:?}");
        assert_eq!(head.fields().len(), valid.fields, "{text:?}");
        assert_eq!(head.body(), valid.body, "{text:?}");
        assert_eq!(flags(head), valid.flags, "{text:?}");
        let has_authority = matches!(valid.form, Absolute | Authority);
        assert_eq!(head.authority(input), host.filter(|_| has_authority));
        let line = [head.method(input), head.target(input)].join(&b' ');
        let line = [&line[..], b" ", head.version().as_str().as_bytes()].concat();
        assert_eq!(head.request_line(input), line, "{text:?}");
    }
}

/// A head is not complete before its last byte.
#[test]
fn truncated_heads_wait_for_more() {
    for valid in VALID {
        for end in 0..valid.input.len() {
            let outcome = HeadParser::new().parse(&valid.input[..end], &Limits::default());
            assert_eq!(outcome, Ok(None), "{end} bytes of {:?}", valid.input);
        }
    }
}

#[test]
fn fields_are_as_received() {
    let input = b"GET / HTTP/1.1\r\nHost: a\r\nCoNtEnT-lEnGtH:  7\t\r\nX-Y:\r\n\
        x-y: \t b\tc \r\nConnection:\r\nUpgrade: h2c\r\nExpect:100-continue\r\nHosts: b\r\n\r\n";
    let mut parser = HeadParser::new();
    let length = parser.parse(input, &Limits::default());
    assert_eq!(length, Ok(Some(input.len())));
    let head = parser.head();
    let headers: Vec<_> = head.headers(input).collect();
    let expected: &[(&[u8], &[u8])] = &[
        (b"Host", b"a"),
        (b"CoNtEnT-lEnGtH", b"7"),
        (b"X-Y", b""),
        (b"x-y", b"b\tc"),
        (b"Connection", b""),
        (b"Upgrade", b"h2c"),
        (b"Expect", b"100-continue"),
        (b"Hosts", b"b"),
    ];
    assert_eq!(headers, expected);
    let kinds: Vec<_> = head.fields().iter().map(|field| field.kind).collect();
    let expected = [
        FieldKind::Host,
        FieldKind::ContentLength,
        FieldKind::Other,
        FieldKind::Other,
        FieldKind::Connection,
        FieldKind::Upgrade,
        FieldKind::Expect,
        FieldKind::Other,
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn a_connection_is_idle_between_requests() {
    let limits = Limits::default();
    let mut parser = HeadParser::new();
    for (input, idle) in [
        (&b""[..], true),
        (b"\r", true),
        (b"\r\n", true),
        (b"\r\nG", false),
        (b"\r\nGET / HTTP/1.0\r\n", false),
    ] {
        assert_eq!(parser.parse(input, &limits), Ok(None));
        assert_eq!(parser.is_idle(), idle, "{input:?}");
    }
    parser.reset();
    assert!(parser.is_idle());
}

#[test]
fn pipelined_requests_follow_one_another() {
    let limits = Limits::default();
    let mut parser = HeadParser::new();
    let stream: Vec<u8> = VALID
        .iter()
        .flat_map(|valid| valid.input)
        .copied()
        .collect();
    let mut rest = &stream[..];
    for valid in VALID {
        // The end of the stream is far beyond this head.
        assert_eq!(parser.parse(rest, &limits), Ok(Some(valid.input.len())));
        assert_eq!(parser.head().method(rest), valid.method.as_bytes());
        assert_eq!(parser.head().fields().len(), valid.fields);
        assert_eq!(
            flags(parser.head()),
            valid.flags,
            "nothing is left of the one before"
        );
        rest = &rest[valid.input.len()..];
        parser.reset();
    }
    assert!(rest.is_empty());
}
