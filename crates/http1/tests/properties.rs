//! What holds for every input.
//!
//! Inputs are random bytes, and random sequences of fragments that occur in requests: the latter get
//! deep into the grammar, right and wrong.

mod common;

use common::{decode_in_pieces, parse_in_pieces, reference_chunked};
use eventlet_http1::response::{
    AppHeaders, BodyFraming, Finish, HeaderRole, ResponseBody, Status, encode,
};
use eventlet_http1::{BodyDecoder, BodyLength, HeadParser, Limits, Rules, Version};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// What heads are made of.
const HEAD_FRAGMENTS: &[&str] = &[
    "GET",
    "POST",
    "OPTIONS",
    "CONNECT",
    " ",
    "  ",
    "/",
    "*",
    "?",
    "#",
    "http://",
    "a:80",
    "/p?q=1",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/2.0",
    "HTTP/",
    "1.",
    "\r\n",
    "\r\n\r\n",
    "\r",
    "\n",
    "\t",
    "\0",
    "Host",
    "Host: a\r\n",
    "Host: [::1]:8\r\n",
    ": ",
    ":",
    "Content-Length: 5\r\n",
    "Content-Length",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding",
    "chunked",
    "gzip",
    ",",
    "Connection: close\r\n",
    "Connection: keep-alive, Upgrade\r\n",
    "Upgrade: websocket\r\n",
    "Expect: 100-continue\r\n",
    "X: y\r\n",
    "X-Long: a value of more than a few words\r\n",
    "\u{e9}",
    "\x7f",
    "GET / HTTP/1.1\r\n",
    "GET /p HTTP/1.0\r\n",
    "a",
    "0",
    "5",
    "+5",
    "\x0b",
];

/// What chunked bodies are made of.
const CHUNK_FRAGMENTS: &[&str] = &[
    "0",
    "1",
    "5",
    "a",
    "F",
    "10",
    "\r\n",
    "\r\n",
    "\r\n",
    "\r",
    "\n",
    ";",
    ";x=y",
    ";x=\"y z\"",
    " ",
    "\t",
    "hello",
    "h",
    "0\r\n\r\n",
    "0\r\n",
    "5\r\nhello\r\n",
    "1;x\r\n!\r\n",
    "X: y\r\n",
    "X",
    ":",
    "+",
    "-",
    "0x",
    "_",
    "\0",
    "\x7f",
    "\u{e9}",
    "ffffffffffffffff",
    "00000000",
    "3\r\n\r\n0\r\n",
];

fn head_bytes() -> impl Strategy<Value = Vec<u8>> {
    fragments(HEAD_FRAGMENTS)
}

fn chunk_bytes() -> impl Strategy<Value = Vec<u8>> {
    fragments(CHUNK_FRAGMENTS)
}

fn fragments(list: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => vec(select(list), 0..24).prop_map(|parts| parts.concat().into_bytes()),
        1 => vec(any::<u8>(), 0..64),
    ]
}

/// A valid request line and fields, mostly; then anything.
fn plausible_head() -> impl Strategy<Value = Vec<u8>> {
    let line = select(
        &[
            "GET / HTTP/1.1\r\n",
            "POST /p?q HTTP/1.1\r\n",
            "GET / HTTP/1.0\r\n",
        ][..],
    );
    let fields = vec(
        select(
            &[
                "Host: a\r\n",
                "X: y\r\n",
                "Content-Length: 5\r\n",
                "Connection: close\r\n",
                "Transfer-Encoding: chunked\r\n",
                "Expect: 100-continue\r\n",
                "X:\r\n",
                "Accept: \t text/html ,*/*;q=0.8 \t\r\n",
                "Upgrade: h2c\r\n",
                "x_y: \u{e9}\r\n",
            ][..],
        ),
        0..8,
    );
    (line, fields, head_bytes()).prop_map(|(line, fields, rest)| {
        let mut head = line.as_bytes().to_vec();
        head.extend_from_slice(fields.concat().as_bytes());
        head.extend_from_slice(b"\r\n");
        head.extend_from_slice(&rest);
        head
    })
}

fn any_head() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![head_bytes(), plausible_head()]
}

/// Any places to cut `length` bytes at, in order.
fn cuts(places: &[prop::sample::Index], length: usize) -> Vec<usize> {
    let mut cuts: Vec<_> = places.iter().map(|place| place.index(length + 1)).collect();
    cuts.sort_unstable();
    cuts
}

fn small_limits() -> impl Strategy<Value = Limits> {
    (
        1..80_usize,
        1..60_usize,
        1..200_usize,
        0..6_usize,
        1..24_usize,
        0..24_usize,
        0..20_u64,
        1..40_usize,
        any::<[bool; 3]>(),
    )
        .prop_map(
            |(
                request_line,
                header_line,
                head,
                header_count,
                chunk_line,
                extensions,
                body,
                trailers,
                rules,
            )| {
                Limits {
                    rules: Rules {
                        require_host: rules[0],
                        refuse_both_lengths: rules[1],
                        refuse_http10_chunked: rules[2],
                    },
                    request_line,
                    header_line,
                    head,
                    header_count,
                    chunk_line,
                    chunk_extensions: extensions,
                    body,
                    trailers,
                }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 3000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn heads_do_not_depend_on_how_they_arrive(
        input in any_head(),
        places in vec(any::<prop::sample::Index>(), 0..6),
        limits in prop_oneof![Just(Limits::default()), small_limits()],
    ) {
        let whole = parse_in_pieces(&input, [], &limits);
        let pieces = parse_in_pieces(&input, cuts(&places, input.len()), &limits);
        prop_assert_eq!(&pieces, &whole);
        let bytewise = parse_in_pieces(&input, 0..input.len(), &limits);
        prop_assert_eq!(&bytewise, &whole);
    }

    #[test]
    fn bodies_do_not_depend_on_how_they_arrive(
        input in chunk_bytes(),
        places in vec(any::<prop::sample::Index>(), 0..6),
        limits in prop_oneof![Just(Limits::default()), small_limits()],
    ) {
        let whole = decode_in_pieces(BodyLength::Chunked, &input, [], &limits);
        let cuts = cuts(&places, input.len());
        let pieces = decode_in_pieces(BodyLength::Chunked, &input, cuts, &limits);
        prop_assert_eq!(&pieces, &whole);
        let bytewise = decode_in_pieces(BodyLength::Chunked, &input, 0..input.len(), &limits);
        prop_assert_eq!(&bytewise, &whole);
    }

    /// Whatever is sent, there is an answer by the time the head limit is reached.
    #[test]
    fn buffers_are_bounded(
        parts in vec(select(HEAD_FRAGMENTS), 100..200),
        start in select(&["", "GET ", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nX:"][..]),
        limits in small_limits(),
    ) {
        let input = [start.as_bytes(), parts.concat().as_bytes()].concat();
        let input = &input[..input.len().min(limits.head)];
        if input.len() == limits.head {
            prop_assert_ne!(parse_in_pieces(input, [], &limits), Ok(None));
        }
    }

    /// A head is decided by its own bytes: what follows it changes nothing.
    #[test]
    fn what_follows_a_head_is_not_part_of_it(input in any_head(), next in vec(any::<u8>(), 0..20)) {
        let limits = Limits::default();
        let alone = parse_in_pieces(&input, [], &limits);
        if alone != Ok(None) {
            let followed = [&input[..], &next].concat();
            prop_assert_eq!(parse_in_pieces(&followed, [], &limits), alone);
        }
    }

    /// What is accepted here reads the same to an independent parser.
    #[test]
    fn httparse_reads_the_same_head(input in any_head()) {
        let mut parser = HeadParser::new();
        if let Ok(Some(length)) = parser.parse(&input, &Limits::default()) {
            let head = parser.head();
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut theirs = httparse::Request::new(&mut fields);
            prop_assert_eq!(theirs.parse(&input), Ok(httparse::Status::Complete(length)));
            prop_assert_eq!(theirs.method.map(str::as_bytes), Some(head.method(&input)));
            prop_assert_eq!(theirs.path.map(str::as_bytes), Some(head.target(&input)));
            prop_assert_eq!(theirs.version == Some(1), head.version() == Version::Http11);
            let theirs: Vec<_> = theirs
                .headers
                .iter()
                .map(|field| (field.name.as_bytes(), field.value))
                .collect();
            let ours: Vec<_> = head.headers(&input).collect();
            prop_assert_eq!(theirs, ours);
        }
    }

    /// What is accepted frames its message in one way.
    #[test]
    fn accepted_heads_are_unambiguous(input in any_head()) {
        let mut parser = HeadParser::new();
        if let Ok(Some(length)) = parser.parse(&input, &Limits::default()) {
            let head = parser.head();
            let text: Vec<u8> = input[..length].to_ascii_lowercase();
            let count = |name: &[u8]| {
                head.headers(&input)
                    .filter(|(found, _)| found.eq_ignore_ascii_case(name))
                    .count()
            };
            let (lengths, codings) = (count(b"content-length"), count(b"transfer-encoding"));
            prop_assert!(lengths + codings <= 1);
            match head.body() {
                BodyLength::None => prop_assert_eq!(lengths + codings, 0),
                BodyLength::Length(_) => prop_assert_eq!(lengths, 1),
                BodyLength::Chunked => {
                    prop_assert_eq!(codings, 1);
                    prop_assert_eq!(head.version(), Version::Http11);
                }
            }
            prop_assert!(count(b"host") <= 1);
            prop_assert!(head.version() == Version::Http10 || count(b"host") == 1);
            prop_assert!(text.ends_with(b"\r\n\r\n"));
            prop_assert!(!text.contains(&0) && !text.contains(&0x7f));
            let ends = text.windows(2).filter(|pair| pair == b"\r\n").count();
            let breaks = text.iter().filter(|&byte| matches!(byte, b'\r' | b'\n')).count();
            prop_assert_eq!(breaks, 2 * ends);
        }
    }

    /// What is accepted as chunked, and only that, is what the grammar says.
    #[test]
    fn chunked_agrees_with_the_reference(input in chunk_bytes()) {
        let outcome = decode_in_pieces(BodyLength::Chunked, &input, [], &Limits::default());
        let ours = match outcome.end {
            Ok(Some(used)) => Some((outcome.data, used)),
            _ => None,
        };
        prop_assert_eq!(ours, reference_chunked(&input));
    }

    /// Who reads no more than is needed at a time never reads beyond the body, and gets all of it.
    #[test]
    fn what_is_needed_is_never_too_much(input in chunk_bytes()) {
        let mut decoder = BodyDecoder::new(BodyLength::Chunked);
        let limits = Limits::default();
        let (mut at, mut data) = (0, Vec::new());
        let valid = reference_chunked(&input);
        let end = loop {
            let needed = decoder.needed();
            prop_assert_eq!(needed == 0, decoder.is_finished());
            if needed == 0 {
                break Some(at);
            }
            let read = (input.len() - at).min(usize::try_from(needed).unwrap_or(usize::MAX));
            if read == 0 {
                break None;
            }
            let piece = &input[at..at + read];
            let mut used = 0;
            while used < read {
                let Ok(step) = decoder.decode(&piece[used..], &limits) else {
                    prop_assert_eq!(valid, None);
                    return Ok(());
                };
                data.extend_from_slice(&piece[used..][step.data]);
                used += step.consumed;
                prop_assert!(!step.finished || used == read);
            }
            at += read;
        };
        prop_assert_eq!(end.map(|end| (data, end)), valid);
    }

    #[test]
    fn chunks_survive_the_round_trip(
        blocks in vec(vec(any::<u8>(), 0..300), 0..8),
        places in vec(any::<prop::sample::Index>(), 0..6),
        next in vec(any::<u8>(), 0..20),
    ) {
        let mut body = ResponseBody::new(BodyFraming::Chunked);
        let mut wire = Vec::new();
        for block in &blocks {
            let taken = body.take(block.len());
            encode::chunk(&mut wire, &block[..taken.send]);
        }
        prop_assert_eq!(body.finish(), Finish::LastChunk);
        wire.extend_from_slice(encode::LAST_CHUNK);
        let length = wire.len();
        wire.extend_from_slice(&next);
        let cuts = cuts(&places, wire.len());
        let outcome = decode_in_pieces(BodyLength::Chunked, &wire, cuts, &Limits::default());
        prop_assert_eq!(outcome.end, Ok(Some(length)));
        prop_assert_eq!(outcome.data, blocks.concat());
    }

    #[test]
    fn sized_bodies_survive_the_round_trip(
        blocks in vec(vec(any::<u8>(), 0..50), 0..8),
        length in 0..300_u64,
    ) {
        let mut body = ResponseBody::new(BodyFraming::Length(length));
        let mut wire = Vec::new();
        let mut surplus = 0;
        for block in &blocks {
            let taken = body.take(block.len());
            wire.extend_from_slice(&block[..taken.send]);
            surplus += taken.surplus;
        }
        let all = blocks.concat();
        prop_assert_eq!(surplus as u64, (all.len() as u64).saturating_sub(length));
        prop_assert_eq!(body.taken(), wire.len() as u64);
        let outcome = decode_in_pieces(BodyLength::Length(length), &wire, [], &Limits::default());
        prop_assert_eq!(&outcome.data, &all[..wire.len()]);
        match body.finish() {
            Finish::Short(missing) => {
                prop_assert_eq!(missing, length - wire.len() as u64);
                prop_assert_eq!(outcome.end, Ok(None));
            }
            finish => {
                prop_assert_eq!(finish, Finish::Complete);
                prop_assert_eq!(outcome.end, Ok(Some(wire.len())));
            }
        }
    }

    /// What an application may send arrives as it was, and as nothing else.
    #[test]
    fn response_heads_survive_the_round_trip(
        code in 100..1000_u16,
        reason in vec(any::<u8>(), 0..20),
        headers in vec((vec(select(&b"aZ0-_:\r\n \0"[..]), 1..8), vec(any::<u8>(), 0..12)), 0..6),
    ) {
        let status = [code.to_string().as_bytes(), b" ", &reason].concat();
        let mut app = AppHeaders::default();
        let mut wire = Vec::new();
        let mut sent = Vec::new();
        if let Ok(status) = Status::parse(&status) {
            encode::status_line(&mut wire, Version::Http11, status);
        } else {
            prop_assert!(reason.iter().any(|&byte| byte != b'\t' && byte.is_ascii_control()));
            encode::status_line(&mut wire, Version::Http11, Status { code, reason: b"" });
        }
        for (name, value) in &headers {
            if app.note(name, value) == Ok(HeaderRole::Plain) {
                encode::header_line(&mut wire, name, value);
                sent.push((&name[..], trimmed(value)));
            }
        }
        wire.extend_from_slice(encode::CRLF);

        let mut fields = [httparse::EMPTY_HEADER; 8];
        let mut response = httparse::Response::new(&mut fields);
        prop_assert_eq!(response.parse(&wire), Ok(httparse::Status::Complete(wire.len())));
        prop_assert_eq!(response.code, Some(code));
        let received: Vec<_> = response
            .headers
            .iter()
            .map(|field| (field.name.as_bytes(), trimmed(field.value)))
            .collect();
        prop_assert_eq!(received, sent);
    }
}

fn trimmed(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().take_while(|byte| blank(byte)).count();
    let end = value[start..]
        .iter()
        .rev()
        .take_while(|byte| blank(byte))
        .count();
    &value[start..value.len() - end]
}
