//! Nanoseconds per request head, beside httparse (which checks less and interprets nothing) on the
//! same bytes.
//!
//! `cargo run --release --example parse_bench`

#![allow(clippy::print_stdout, reason = "its purpose")]

use std::hint::black_box;
use std::time::Instant;

use eventlet_http1::response::{self, AppHeaders, ResponseBody, Status, encode};
use eventlet_http1::{BodyDecoder, BodyLength, HeadParser, Limits, Version};

const WRK: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

const API: &[u8] = b"POST /v3/auth/tokens?nocatalog HTTP/1.1\r\n\
Host: keystone.example.com:5000\r\n\
User-Agent: python-requests/2.32.3\r\n\
Accept-Encoding: gzip, deflate\r\n\
Accept: application/json\r\n\
Connection: keep-alive\r\n\
Content-Type: application/json\r\n\
Content-Length: 152\r\n\
\r\n";

const BROWSER: &[u8] = b"GET /wiki/Green_threads?action=view&section=3 HTTP/1.1\r\n\
Host: www.example.org\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
Accept-Language: en-GB,en;q=0.8,de;q=0.5,fr;q=0.3\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
DNT: 1\r\n\
Connection: keep-alive\r\n\
Referer: https://www.example.org/wiki/Coroutine\r\n\
Cookie: session=6e8bc430-9c3a-11d9-9669-0800200c9a66; theme=light; consent=analytics%3D0%26ads%3D0\r\n\
Upgrade-Insecure-Requests: 1\r\n\
Sec-Fetch-Dest: document\r\n\
Sec-Fetch-Mode: navigate\r\n\
Sec-Fetch-Site: same-origin\r\n\
Sec-Fetch-User: ?1\r\n\
Priority: u=0, i\r\n\
\r\n";

const ROUNDS: u32 = 1_000_000;

fn main() {
    let limits = Limits::default();
    for (name, head) in [("wrk", WRK), ("api", API), ("browser", BROWSER)] {
        let mut parser = HeadParser::new();
        let ours = nanoseconds(|| {
            parser.reset();
            black_box(parser.parse(black_box(head), &limits)).expect("a valid head");
        });
        let theirs = nanoseconds(|| {
            let mut fields = [httparse::EMPTY_HEADER; 32];
            let mut request = httparse::Request::new(&mut fields);
            black_box(request.parse(black_box(head))).expect("a valid head");
        });
        println!(
            "head, {name:8} {:4} bytes {ours:7.1} ns, httparse {theirs:7.1} ns",
            head.len()
        );
    }

    let mut parser = HeadParser::new();
    let trickled = nanoseconds(|| {
        parser.reset();
        for end in 1..=BROWSER.len() {
            black_box(parser.parse(black_box(&BROWSER[..end]), &limits)).expect("a valid head");
        }
    });
    println!(
        "head, browser, byte by byte {:7.1} ns a byte",
        trickled / f64::from(BROWSER.len() as u32)
    );

    let mut chunks = Vec::new();
    for _ in 0..16 {
        encode::chunk(&mut chunks, &[b'x'; 1024]);
    }
    chunks.extend_from_slice(encode::LAST_CHUNK);
    let decoded = nanoseconds(|| {
        let mut decoder = BodyDecoder::new(BodyLength::Chunked);
        let mut at = 0;
        while !decoder.is_finished() {
            at += decoder
                .decode(black_box(&chunks[at..]), &limits)
                .expect("a valid body")
                .consumed;
        }
    });
    println!("body, 16 chunks of 1 KiB {decoded:7.1} ns");

    parser.reset();
    parser.parse(WRK, &limits).expect("a valid head");
    let request = parser.head().request_info();
    let mut out = Vec::new();
    let response = nanoseconds(|| {
        out.clear();
        let mut app = AppHeaders::default();
        let status = Status::parse(black_box(b"200 OK")).expect("a valid status");
        encode::status_line(&mut out, Version::Http11, status);
        let (name, value) = black_box((&b"Content-Type"[..], &b"text/plain"[..]));
        app.note(name, value).expect("a valid header");
        encode::header_line_capitalized(&mut out, name, value);
        let framing = response::framing(&request, status.code, &app, Some(13));
        encode::framing_lines(&mut out, &framing);
        out.extend_from_slice(encode::CRLF);
        black_box(ResponseBody::new(framing.body).take(13));
    });
    println!("response head, {} bytes {response:7.1} ns", out.len());
}

/// The fastest of five rounds.
fn nanoseconds(mut work: impl FnMut()) -> f64 {
    let rounds = ROUNDS / 20;
    (0..5)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..rounds {
                work();
            }
            start.elapsed().as_secs_f64() * 1e9 / f64::from(rounds)
        })
        .fold(f64::INFINITY, f64::min)
}
