//! Heads that must be refused, each with the rule it breaks.
//!
//! An entry is the section that forbids it (RFC 9112 unless another is named), the status, the error
//! and the bytes. Every entry is fed whole, byte by byte, and at every split.

mod common;

use common::parse_every_way;
use eventlet_http1::RequestError::{self, *};
use eventlet_http1::{HeadParser, Limits};

type Entry = (&'static str, u16, RequestError, &'static [u8]);

#[rustfmt::skip]
const MALFORMED: &[Entry] = &[
    // Not HTTP at all
    ("3.1", 400, InvalidMethod, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    ("3.1", 400, InvalidMethod, b"\x80\x2e\x01\x00\x02"),
    ("3.1", 400, InvalidMethod, b"\0\0\0\0"),
    ("3.1", 400, InvalidMethod, b"\x03\x00\x00\x13\x0e\xe0"),
    ("3.1", 400, InvalidMethod, b"\xef\xbb\xbfGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3", 400, InvalidRequestLine, b"SSH-2.0-OpenSSH_9.9\r\n"),
    ("3", 505, UnsupportedVersion, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("3.1", 400, InvalidMethod, b"{\"json\": true}"),
    ("3.1", 400, InvalidMethod, b"HTTP/1.1 200 OK\r\n\r\n"),
    // Empty lines before the request line
    ("2.2", 400, BareLf, b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("2.2", 400, BareCr, b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("2.2", 400, BareCr, b"\r\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("2.2", 400, BareLf, b"\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("2.2", 400, TooManyEmptyLines, b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("2.2", 400, InvalidMethod, b" \r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    // Method
    ("3", 400, InvalidMethod, b" GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3", 400, InvalidMethod, b"\tGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.1", 400, InvalidMethod, b"GE(T) / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.1", 400, InvalidMethod, b"GET: / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.1", 400, InvalidMethod, b"G\xc9T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.1", 400, InvalidMethod, b"GET\0 / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.1", 400, InvalidMethod, b"\"GET\" / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.1", 400, InvalidMethod, b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.1", 400, InvalidMethod, b"GET\x0b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.1", 400, InvalidMethod, b"/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3", 501, MethodTooLong, b"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3", 501, MethodTooLong, b"aGVsbG8gd29ybGQsIHRoaXMgaXMgbm90IEhUVFAgYXQgYWxs"),
    // Request line
    ("3", 400, InvalidRequestLine, b"GET\r\nHost: a\r\n\r\n"),
    ("3", 400, InvalidRequestLine, b"GET\nHost: a\r\n\r\n"),
    ("3", 400, InvalidRequestLine, b"GET /\r\n"),
    ("3", 400, InvalidRequestLine, b"GET /\n"),
    ("3", 400, InvalidRequestLine, b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3", 400, InvalidVersion, b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3", 400, InvalidTarget, b"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3", 400, InvalidTarget, b"GET /\x0cHTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3", 400, InvalidVersion, b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3", 400, InvalidRequestLine, b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
    ("3", 400, InvalidRequestLine, b"GET / HTTP/1.1\t\r\nHost: a\r\n\r\n"),
    ("3", 400, InvalidRequestLine, b"GET / HTTP/1.1 x\r\nHost: a\r\n\r\n"),
    ("2.2", 400, BareLf, b"GET / HTTP/1.1\nHost: a\n\n"),
    ("2.2", 400, BareCr, b"GET / HTTP/1.1\rHost: a\r\n\r\n"),
    ("2.2", 400, BareCr, b"GET / HTTP/1.1\r\rHost: a\r\n\r\n"),
    ("2.2", 400, BareCr, b"GET / HTTP/1.0\r\0"),
    ("3", 400, InvalidRequestLine, b"GET \r\nHost: a\r\n\r\n"),
    ("3", 400, InvalidVersion, b"GET / \r\nHost: a\r\n\r\n"),
    // Version
    ("2.3", 400, InvalidVersion, b"GET / http/1.1\r\nHost: a\r\n\r\n"),
    ("2.3", 400, InvalidVersion, b"GET / HTTP/11\r\nHost: a\r\n\r\n"),
    ("2.3", 400, InvalidVersion, b"GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
    ("2.3", 400, InvalidVersion, b"GET / HTTP/01.1\r\nHost: a\r\n\r\n"),
    ("2.3", 400, InvalidVersion, b"GET / HTTP/1,1\r\nHost: a\r\n\r\n"),
    ("2.3", 400, InvalidVersion, b"GET / HTTP/1.\r\nHost: a\r\n\r\n"),
    ("2.3", 400, InvalidVersion, b"GET / HTTP/.1\r\nHost: a\r\n\r\n"),
    ("2.3", 400, InvalidVersion, b"GET / HTTP/+1.1\r\nHost: a\r\n\r\n"),
    ("2.3", 400, InvalidVersion, b"GET / HTTP/1.1\x00\r\nHost: a\r\n\r\n"),
    ("2.3", 400, InvalidVersion, b"GET / HTTP/+.1\r\nHost: a\r\n\r\n"),
    ("2.3", 400, InvalidVersion, b"GET / HTTP/1.x\r\nHost: a\r\n\r\n"),
    ("2.3", 400, InvalidVersion, b"GET / HTTPS/1.1\r\nHost: a\r\n\r\n"),
    ("2.3", 400, InvalidVersion, b"GET / FTP/1.1\r\nHost: a\r\n\r\n"),
    ("2.3", 400, InvalidVersion, b"GET / HTTP 1.1\r\nHost: a\r\n\r\n"),
    ("9110 15.6.6", 505, UnsupportedVersion, b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    ("9110 15.6.6", 505, UnsupportedVersion, b"GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
    ("9110 15.6.6", 505, UnsupportedVersion, b"GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    ("9110 15.6.6", 505, UnsupportedVersion, b"GET / HTTP/9.1\r\nHost: a\r\n\r\n"),
    // Target
    ("3.2", 400, InvalidTarget, b"GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.2", 400, InvalidTarget, b"GET /a\x7fb HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.2", 400, InvalidTarget, b"GET /a\x1bb HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.2", 400, InvalidTarget, b"GET /a?b\x01 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.2", 400, InvalidTarget, b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.2", 400, InvalidTarget, b"GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.2", 400, InvalidTarget, b"GET # HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.2.1", 400, InvalidTarget, b"GET a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.2.1", 400, InvalidTarget, b"GET ?a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.2.1", 400, InvalidTarget, b"GET ../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.2.1", 400, InvalidTarget, b"GET \\a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.2.2", 400, InvalidTarget, b"GET http:/a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.2.2", 400, InvalidTarget, b"GET http:a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.2.2", 400, InvalidTarget, b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.2.2", 400, InvalidTarget, b"GET file:///etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("9110 4.2.1", 400, InvalidTarget, b"GET http:// HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("9110 4.2.1", 400, InvalidTarget, b"GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("9110 4.2.1", 400, InvalidTarget, b"GET http://:80/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("9110 4.2.1", 400, InvalidTarget, b"GET http://?q HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("9110 4.2.4", 400, InvalidTarget, b"GET http://user@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("9110 4.2.4", 400, InvalidTarget, b"GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.2.2", 400, InvalidTarget, b"GET http://a:b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.2.2", 400, InvalidTarget, b"GET http://a\\b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.2.3", 400, InvalidTarget, b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.2.3", 400, InvalidTarget, b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.2.3", 400, InvalidTarget, b"CONNECT a: HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.2.3", 400, InvalidTarget, b"CONNECT :80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.2.3", 400, InvalidTarget, b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.2.3", 400, InvalidTarget, b"CONNECT http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.2.3", 400, InvalidTarget, b"CONNECT a:80?q HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.2.3", 400, InvalidTarget, b"CONNECT a:99999 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.2.4", 400, InvalidTarget, b"GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.2.4", 400, InvalidTarget, b"OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.2.4", 400, InvalidTarget, b"OPTIONS *?q HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("3.2.4", 400, InvalidTarget, b"options * HTTP/1.1\r\nHost: a\r\n\r\n"),
    // Field lines
    ("5.1", 400, SpaceBeforeColon, b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
    ("5.1", 400, SpaceBeforeColon, b"GET / HTTP/1.1\r\nHost\t: a\r\n\r\n"),
    ("5.1", 400, SpaceBeforeColon, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\n"),
    ("5.1", 400, SpaceBeforeColon, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t:chunked\r\n\r\n"),
    ("5.1", 400, SpaceBeforeColon, b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n"),
    ("5.1", 400, InvalidFieldName, b"GET / HTTP/1.1\r\nHost: a\r\nnocolon\r\n\r\n"),
    ("5.1", 400, InvalidFieldName, b"GET / HTTP/1.1\r\nHost: a\r\nnocolon\n\r\n"),
    ("5.1", 400, InvalidFieldName, b"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n"),
    ("5.1", 400, InvalidFieldName, b"GET / HTTP/1.1\r\nHost: a\r\n:\r\n\r\n"),
    ("5.1", 400, InvalidFieldName, b"GET / HTTP/1.1\r\nHost: a\r\nX(Y): z\r\n\r\n"),
    ("5.1", 400, InvalidFieldName, b"GET / HTTP/1.1\r\nHost: a\r\nX[0]: z\r\n\r\n"),
    ("5.1", 400, InvalidFieldName, b"GET / HTTP/1.1\r\nHost: a\r\n\"X\": z\r\n\r\n"),
    ("5.1", 400, InvalidFieldName, b"GET / HTTP/1.1\r\nHost: a\r\nX\0Y: z\r\n\r\n"),
    ("5.1", 400, InvalidFieldName, b"GET / HTTP/1.1\r\nHost: a\r\nX\x7f: z\r\n\r\n"),
    ("5.1", 400, InvalidFieldName, b"GET / HTTP/1.1\r\nHost: a\r\nX\xe9: z\r\n\r\n"),
    ("5.1", 400, InvalidFieldName, b"GET / HTTP/1.1\r\nHost: a\r\nX\x0b: z\r\n\r\n"),
    ("5.1", 400, InvalidFieldName, b"GET / HTTP/1.1\r\nHost: a\r\n\x0bX: z\r\n\r\n"),
    ("5.1", 400, InvalidFieldName, b"GET / HTTP/1.1\r\nHost: a\r\nX=Y\r\n\r\n"),
    ("5.1", 400, InvalidFieldName, b"GET / HTTP/1.1\r\nHost: a\r\n\0\r\n\r\n"),
    ("5.2", 400, ObsoleteFold, b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n"),
    ("5.2", 400, ObsoleteFold, b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz\r\n\r\n"),
    ("5.2", 400, ObsoleteFold, b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n \r\n\r\n"),
    ("5.2", 400, InvalidTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n"),
    ("5.2", 400, ObsoleteFold, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n 0\r\n\r\n"),
    ("2.2", 400, ObsoleteFold, b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    ("2.2", 400, ObsoleteFold, b"GET / HTTP/1.1\r\n\tHost: a\r\n\r\n"),
    ("2.2", 400, BareLf, b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n"),
    ("2.2", 400, BareLf, b"GET / HTTP/1.1\r\nHost: a\r\nX: y\n\r\n"),
    ("2.2", 400, BareLf, b"GET / HTTP/1.1\r\nHost: a\r\nX:\n\r\n"),
    ("2.2", 400, BareLf, b"GET / HTTP/1.1\r\nHost: a\r\n\n"),
    ("2.2", 400, BareLf, b"GET / HTTP/1.1\r\nHost: a\r\nX: y\nContent-Length: 3\r\n\r\n"),
    ("2.2", 400, BareCr, b"GET / HTTP/1.1\r\nHost: a\r\nX: y\rz\r\n\r\n"),
    ("2.2", 400, BareCr, b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\r\n\r\n"),
    ("2.2", 400, BareCr, b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r z\r\n\r\n"),
    ("2.2", 400, BareCr, b"GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n"),
    ("2.2", 400, BareCr, b"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n"),
    ("9110 5.5", 400, InvalidFieldValue, b"GET / HTTP/1.1\r\nHost: a\r\nX: y\0z\r\n\r\n"),
    ("9110 5.5", 400, InvalidFieldValue, b"GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n"),
    ("9110 5.5", 400, InvalidFieldValue, b"GET / HTTP/1.1\r\nHost: a\r\nX: y\x0bz\r\n\r\n"),
    ("9110 5.5", 400, InvalidFieldValue, b"GET / HTTP/1.1\r\nHost: a\r\nX: \x1b[31m\r\n\r\n"),
    ("9110 5.5", 400, InvalidFieldValue, b"GET / HTTP/1.1\r\nHost: a\r\nX: a rather long value\x08\r\n\r\n"),
    ("9110 5.5", 400, InvalidFieldValue, b"GET / HTTP/1.1\r\nHost: a\r\nX:\x0c\r\n\r\n"),
    ("6.1", 400, InvalidFieldValue, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n"),
    // Host
    ("3.2", 400, MissingHost, b"GET / HTTP/1.1\r\n\r\n"),
    ("3.2", 400, MissingHost, b"GET http://a/ HTTP/1.1\r\n\r\n"),
    ("3.2", 400, MissingHost, b"CONNECT a:80 HTTP/1.1\r\n\r\n"),
    ("3.2", 400, MissingHost, b"GET / HTTP/1.1\r\nX-Host: a\r\nHos: a\r\n\r\n"),
    ("3.2", 400, DuplicateHost, b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    ("3.2", 400, DuplicateHost, b"GET / HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n"),
    ("3.2", 400, DuplicateHost, b"GET / HTTP/1.1\r\nHost:\r\nHost: b\r\n\r\n"),
    ("3.2", 400, DuplicateHost, b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
    ("3.2", 400, InvalidHost, b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    ("3.2", 400, InvalidHost, b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    ("3.2", 400, InvalidHost, b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    ("3.2", 400, InvalidHost, b"GET / HTTP/1.1\r\nHost: user@a\r\n\r\n"),
    ("3.2", 400, InvalidHost, b"GET / HTTP/1.1\r\nHost: a?b\r\n\r\n"),
    ("3.2", 400, InvalidHost, b"GET / HTTP/1.1\r\nHost: a#b\r\n\r\n"),
    ("3.2", 400, InvalidHost, b"GET / HTTP/1.1\r\nHost: http://a\r\n\r\n"),
    ("3.2", 400, InvalidHost, b"GET / HTTP/1.1\r\nHost: a:http\r\n\r\n"),
    ("3.2", 400, InvalidHost, b"GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n"),
    ("3.2", 400, InvalidHost, b"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"),
    ("3.2", 400, InvalidHost, b"GET / HTTP/1.1\r\nHost: :80\r\n\r\n"),
    ("3.2", 400, InvalidHost, b"GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n"),
    ("3.2", 400, InvalidHost, b"GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n"),
    ("3.2", 400, InvalidHost, b"GET / HTTP/1.1\r\nHost: <a>\r\n\r\n"),
    ("3.2", 400, InvalidHost, b"GET / HTTP/1.1\r\nHost: a%2\r\n\r\n"),
    ("3.2", 400, InvalidHost, b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
    ("3.2", 400, InvalidHost, b"GET / HTTP/1.1\r\nHost: ::1\r\n\r\n"),
    ("3.2", 400, InvalidHost, b"GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n"),
    ("3.2", 400, InvalidHost, b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n"),
    // Content-Length
    ("6.3", 400, InvalidContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n"),
    ("6.3", 400, InvalidContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n"),
    ("6.3", 400, InvalidContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n"),
    ("6.3", 400, InvalidContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 0\r\n\r\n"),
    ("6.3", 400, InvalidContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n"),
    ("6.3", 400, InvalidContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5_0\r\n\r\n"),
    ("6.3", 400, InvalidContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5.0\r\n\r\n"),
    ("6.3", 400, InvalidContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1e1\r\n\r\n"),
    ("6.3", 400, InvalidContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \"5\"\r\n\r\n"),
    ("6.3", 400, InvalidContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \xb2\r\n\r\n"),
    ("6.3", 400, InvalidContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \xd9\xa5\r\n\r\n"),
    ("6.3", 400, InvalidContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: five\r\n\r\n"),
    ("6.3", 400, InvalidContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5;\r\n\r\n"),
    ("6.3", 400, InvalidContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n"),
    ("6.3", 400, InvalidContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5,6\r\n\r\n"),
    ("6.3", 400, InvalidContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ,5\r\n\r\n"),
    ("6.3", 400, InvalidContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n"),
    ("6.3", 400, InvalidContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999999\r\n\r\n"),
    ("6.3", 400, InvalidContentLength, b"POST / HTTP/1.0\r\nContent-Length: x\r\n\r\n"),
    ("6.3", 400, DuplicateContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"),
    ("6.3", 400, DuplicateContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"),
    ("6.3", 400, DuplicateContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\ncontent-length: 6\r\n\r\n"),
    ("6.3", 400, DuplicateContentLength, b"POST / HTTP/1.0\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"),
    // Content-Length and Transfer-Encoding
    ("6.1", 400, ContentLengthWithTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("6.1", 400, ContentLengthWithTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
    ("6.1", 400, ContentLengthWithTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n"),
    ("6.1", 400, ContentLengthWithTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: gzip\r\n\r\n"),
    // Transfer-Encoding
    ("6.1", 501, UnknownTransferCoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"),
    ("6.1", 501, UnknownTransferCoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
    ("6.1", 501, UnknownTransferCoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n"),
    ("6.1", 501, UnknownTransferCoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n"),
    ("6.1", 501, UnknownTransferCoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n"),
    ("6.1", 501, UnknownTransferCoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunkedx\r\n\r\n"),
    ("6.1", 501, UnknownTransferCoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: foo;q=1\r\n\r\n"),
    ("6.1", 501, UnknownTransferCoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("6.3", 400, InvalidTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n"),
    ("6.3", 400, InvalidTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n"),
    ("6.1", 400, InvalidTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n"),
    ("6.1", 400, InvalidTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n"),
    ("6.1", 400, InvalidTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n"),
    ("6.1", 400, InvalidTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n"),
    ("6.1", 400, InvalidTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chun ked\r\n\r\n"),
    ("6.1", 400, InvalidTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \xa0chunked\r\n\r\n"),
    ("7.1", 400, InvalidTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n"),
    ("6.1", 400, DuplicateTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n"),
    ("6.1", 400, DuplicateTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("6.1", 400, DuplicateTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-encoding: identity\r\n\r\n"),
    ("6.1", 400, TransferEncodingInHttp10, b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("6.1", 400, TransferEncodingInHttp10, b"POST / HTTP/1.0\r\nTransfer-Encoding: foo\r\n\r\n"),
    // Expect
    ("9110 10.1.1", 417, UnknownExpectation, b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n"),
    ("9110 10.1.1", 417, UnknownExpectation, b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, foo\r\n\r\n"),
    ("9110 10.1.1", 417, UnknownExpectation, b"POST / HTTP/1.1\r\nHost: a\r\nExpect:\r\n\r\n"),
    ("9110 10.1.1", 417, UnknownExpectation, b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue;x\r\n\r\n"),
];

#[test]
fn malformed_heads_are_refused() {
    assert!(MALFORMED.len() >= 120, "{} entries", MALFORMED.len());
    for &(section, status, error, input) in MALFORMED {
        let text = String::from_utf8_lossy(input);
        let outcome = parse_every_way(input, &Limits::default());
        assert_eq!(outcome, Err(error), "RFC {section}: {text:?}");
        assert_eq!(error.status(), status, "RFC {section}: {text:?}");
    }
}

#[test]
fn no_two_entries_are_the_same() {
    let mut inputs: Vec<_> = MALFORMED.iter().map(|entry| entry.3).collect();
    inputs.sort_unstable();
    inputs.dedup();
    assert_eq!(inputs.len(), MALFORMED.len());
}

/// What can never become a request is refused at the byte that shows it, not at the next line end.
#[test]
fn garbage_is_refused_at_once() {
    let limits = Limits::default();
    for (input, error) in [
        (&b"\x16"[..], InvalidMethod),
        (b"\n", BareLf),
        (b"\r\r", BareCr),
        (b"GET  ", InvalidRequestLine),
        (b"GET /\x00", InvalidTarget),
        (b"GET / x", InvalidVersion),
        (b"GET / HTTP/2.0\r\n", UnsupportedVersion),
        (b"GET * HTTP/1.1\r\n", InvalidTarget),
        (b"GET / HTTP/1.1\r\nA ", SpaceBeforeColon),
        (b"GET / HTTP/1.1\r\n ", ObsoleteFold),
        (b"GET / HTTP/1.1\r\nA: \x00", InvalidFieldValue),
        (
            b"GET / HTTP/1.1\r\nContent-Length: x\r\n",
            InvalidContentLength,
        ),
    ] {
        let (last, before) = input.split_last().expect("not empty");
        let mut parser = HeadParser::new();
        assert_eq!(
            parser.parse(before, &limits),
            Ok(None),
            "{last:#x} of {input:?}"
        );
        assert_eq!(parser.parse(input, &limits), Err(error), "{input:?}");
    }
}

#[test]
fn errors_are_final_until_reset() {
    let limits = Limits::default();
    let mut parser = HeadParser::new();
    assert_eq!(parser.parse(b"\x16", &limits), Err(InvalidMethod));
    let valid = b"GET / HTTP/1.0\r\n\r\n";
    assert_eq!(parser.parse(valid, &limits), Err(InvalidMethod));
    parser.reset();
    assert_eq!(parser.parse(valid, &limits), Ok(Some(valid.len())));
}

#[test]
fn every_error_has_a_reason_and_a_text() {
    for &(_, status, error, _) in MALFORMED {
        assert!(!error.to_string().is_empty());
        let expected = match status {
            400 => "Bad Request",
            417 => "Expectation Failed",
            501 => "Not Implemented",
            505 => "HTTP Version Not Supported",
            _ => unreachable!("not in the table"),
        };
        assert_eq!(error.reason(), expected);
    }
    assert_eq!(RequestLineTooLong.reason(), "URI Too Long");
    assert_eq!(TooManyHeaders.reason(), "Request Header Fields Too Large");
}
