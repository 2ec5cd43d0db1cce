"""Requests that no server may take, and some that are only odd: tables of bytes.

An entry of `MALFORMED` says which section of RFC 9112 (or another) forbids it and how it has to be
answered. Whoever reads past it reads bytes of the attacker's as a request: hence `MARKER`, which
the tests send after each entry and which no application may ever be shown.

The entries of `ODD` are well-formed, each in a way that some programs get wrong. They say which
requests an application has to be shown.
"""

from __future__ import annotations

from dataclasses import dataclass

#: What follows each entry in the stream.
MARKER = b"GET /smuggled HTTP/1.1\r\nHost: t\r\nX-Smuggled: yes\r\n\r\n"


@dataclass(frozen=True)
class Malformed:
    """A request, or some, of which the last is to be refused."""

    section: str
    status: int
    data: bytes
    #: Complete requests in front of the one that is wrong.
    before: int = 0
    #: The head is in order: it is the body that is wrong, which shows when it is read.
    in_body: bool = False


@dataclass(frozen=True)
class Odd:
    """Well-formed bytes, and the requests in them: method, target, body."""

    section: str
    data: bytes
    requests: tuple[tuple[str, str, bytes], ...]


def _head(line: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join([line, *fields, b"", b""])


def _get(*fields: bytes) -> bytes:
    return _head(b"GET /echo HTTP/1.1", b"Host: t", *fields)


def _post(*fields: bytes, body: bytes = b"") -> bytes:
    return _head(b"POST /echo HTTP/1.1", b"Host: t", *fields) + body


def _target(line: bytes) -> bytes:
    return _head(line, b"Host: t")


CHUNKED = b"Transfer-Encoding: chunked"
BODY = b"5\r\nhello\r\n0\r\n\r\n"

_REFUSED: list[tuple[str, int, list[bytes]]] = [
    # What is no HTTP at all.
    (
        "3.1",
        400,
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"\x80\x2e\x01\x00\x02\r\n\r\n",
            b"\0\0\0\0\r\n\r\n",
            b"\xef\xbb\xbf" + _get(),
            b'{"json": true}\r\n\r\n',
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ],
    ),
    ("3", 400, [b"SSH-2.0-OpenSSH_9.9\r\n", b"\x05\x01\x00"]),
    # Line ends.
    (
        "2.2",
        400,
        [
            b"\n" + _get(),
            b"\r" + _get(),
            b"\r\r\n" + _get(),
            b"\r\n\n" + _get(),
            b"\r\n\r\n\r\n" + _get(),
            b" \r\n" + _get(),
            b"GET /echo HTTP/1.1\nHost: t\n\n",
            b"GET /echo HTTP/1.1\nHost: t\r\n\r\n",
            b"GET /echo HTTP/1.1\rHost: t\r\n\r\n",
            b"GET /echo HTTP/1.1\r\rHost: t\r\n\r\n",
            b"GET /echo HTTP/1.1\r\nHost: t\n\r\n",
            b"GET /echo HTTP/1.1\r\nHost: t\r\n\n",
            b"GET /echo HTTP/1.1\r\nHost: t\nX: y\r\n\r\n",
            b"GET /echo HTTP/1.1\r\nHost: t\rX: y\r\n\r\n",
            b"GET /echo HTTP/1.1\r\nHost: t\r\n\r\r\n",
            b"GET /echo HTTP/1.1\r\nHost: t\r\n\rX: y\r\n\r\n",
            _get(b"X: y\rz"),
            _get(b"X: y\r"),
            _get(b"X: y\nContent-Length: 53"),
            _get(b"X: y\rTransfer-Encoding: chunked"),
            _post(b"Content-Length: 0\nContent-Length: 53"),
            _post(b"X: y\n" + CHUNKED, b"Content-Length: 5", body=BODY),
        ],
    ),
    # Methods.
    (
        "3.1",
        400,
        [
            b" " + _get(),
            b"\t" + _get(),
            _target(b"GE(T) /echo HTTP/1.1"),
            _target(b"GET: /echo HTTP/1.1"),
            _target(b"G\xc9T /echo HTTP/1.1"),
            _target(b"GET\0 /echo HTTP/1.1"),
            _target(b"GET\x0b/echo HTTP/1.1"),
            _target(b"GET\t/echo HTTP/1.1"),
            _target(b"/echo HTTP/1.1"),
        ],
    ),
    ("3.1", 501, [_target(b"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG /echo HTTP/1.1")]),
    # Request lines.
    (
        "3",
        400,
        [
            b"GET /echo\r\n",
            _target(b"GET /echo"),
            _target(b"GET"),
            _target(b"GET  /echo HTTP/1.1"),
            _target(b"GET /echo  HTTP/1.1"),
            _target(b"GET /echo\tHTTP/1.1"),
            _target(b"GET /echo\x0cHTTP/1.1"),
            _target(b"GET /echo\xa0HTTP/1.1"),
            _target(b"GET /a /b HTTP/1.1"),
            _target(b"GET /echo HTTP/1.1 "),
            _target(b"GET /echo HTTP/1.1\t"),
            _target(b"GET /echo HTTP/1.1 GET /echo HTTP/1.1"),
            _target(b"GET  HTTP/1.1"),
        ],
    ),
    # Versions.
    (
        "2.3",
        400,
        [
            _target(b"GET /echo http/1.1"),
            _target(b"GET /echo HTTP/11"),
            _target(b"GET /echo HTTP/1.10"),
            _target(b"GET /echo HTTP/01.1"),
            _target(b"GET /echo HTTP/1"),
            _target(b"GET /echo HTTP/1,1"),
            _target(b"GET /echo HTTP/-1.1"),
            _target(b"GET /echo HTTP /1.1"),
            _target(b"GET /echo HTTP/\xb9.1"),
            _target(b"GET /echo ICE/1.1"),
        ],
    ),
    (
        "9110 15.6.6",
        505,
        [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            _target(b"GET /echo HTTP/0.9"),
            _target(b"GET /echo HTTP/1.2"),
            _target(b"GET /echo HTTP/2.0"),
            _target(b"GET /echo HTTP/9.9"),
        ],
    ),
    # Targets.
    (
        "3.2",
        400,
        [
            _target(b"GET /\0 HTTP/1.1"),
            _target(b"GET /a\x7fb HTTP/1.1"),
            _target(b"GET /a#b HTTP/1.1"),
            _target(b"GET echo HTTP/1.1"),
            _target(b"GET \\echo HTTP/1.1"),
            _target(b"GET ?q HTTP/1.1"),
        ],
    ),
    (
        "3.2.2",
        400,
        [
            _target(b"GET http:/echo HTTP/1.1"),
            _target(b"GET http:echo HTTP/1.1"),
            _target(b"GET ftp://t/echo HTTP/1.1"),
            _target(b"GET file:///etc/passwd HTTP/1.1"),
            _target(b"GET http:// HTTP/1.1"),
            _target(b"GET http:///echo HTTP/1.1"),
            _target(b"GET http://:80/echo HTTP/1.1"),
            _target(b"GET http://user@t/echo HTTP/1.1"),
            _target(b"GET http://t:http/echo HTTP/1.1"),
            _target(b"GET http://t:99999/echo HTTP/1.1"),
            _target(b"GET http://t\\@u/echo HTTP/1.1"),
            _target(b"GET http://t#f/echo HTTP/1.1"),
        ],
    ),
    (
        "3.2.3",
        400,
        [
            _target(b"GET t:80 HTTP/1.1"),
            _target(b"CONNECT t HTTP/1.1"),
            _target(b"CONNECT t: HTTP/1.1"),
            _target(b"CONNECT :80 HTTP/1.1"),
            _target(b"CONNECT /echo HTTP/1.1"),
            _target(b"CONNECT http://t:80/ HTTP/1.1"),
            _target(b"CONNECT t:80?q HTTP/1.1"),
        ],
    ),
    (
        "3.2.4",
        400,
        [
            _target(b"GET * HTTP/1.1"),
            _target(b"OPTIONS ** HTTP/1.1"),
            _target(b"OPTIONS *?q HTTP/1.1"),
            _target(b"options * HTTP/1.1"),
        ],
    ),
    # Host.
    (
        "3.2",
        400,
        [
            b"GET /echo HTTP/1.1\r\n\r\n",
            b"GET http://t/echo HTTP/1.1\r\n\r\n",
            b"GET /echo HTTP/1.1\r\nX-Host: t\r\n\r\n",
            _get(b"Host: t"),
            _get(b"hOST: u"),
            b"GET /echo HTTP/1.1\r\nHost:\r\nHost: t\r\n\r\n",
            b"GET /echo HTTP/1.0\r\nHost: t\r\nHost: u\r\n\r\n",
            *(
                _head(b"GET /echo HTTP/1.1", b"Host: " + host)
                for host in (
                    b"a b",
                    b"a, b",
                    b"a/b",
                    b"user@t",
                    b"t?q",
                    b"t#f",
                    b"http://t",
                    b"t:http",
                    b"t:80:80",
                    b"t:65536",
                    b":80",
                    b"\xc3\xa9",
                    b"t\\u",
                    b"t%2",
                    b"[::1",
                    b"[::1]t",
                    b"::1",
                )
            ),
        ],
    ),
    # Field lines.
    (
        "5.1",
        400,
        [
            b"GET /echo HTTP/1.1\r\nHost : t\r\n\r\n",
            _post(b"Content-Length : 5", body=b"hello"),
            _post(b"Content-Length\t: 5", body=b"hello"),
            _post(b"Transfer-Encoding : chunked", body=BODY),
            _post(b"Transfer-Encoding\t:chunked", b"Content-Length: 5", body=BODY),
            _post(b"Content-Length\xa0: 5", body=b"hello"),
            _post(b"Content-Length\0: 5", body=b"hello"),
            _post(b"\0Content-Length: 5", body=b"hello"),
            _post(b"Content-Length\x0b: 5", body=b"hello"),
            _get(b"no colon"),
            _get(b"nocolon"),
            _get(b": x"),
            _get(b":"),
            _get(b"X(Y): z"),
            _get(b"X[0]: z"),
            _get(b'"X": z'),
            _get(b"X\xe9: z"),
            _get(b"X\x7f: z"),
            _get(b"GET /smuggled HTTP/1.1"),
        ],
    ),
    (
        "5.2",
        400,
        [
            b"GET /echo HTTP/1.1\r\n Host: t\r\n\r\n",
            b"GET /echo HTTP/1.1\r\nHost: t\r\n u\r\n\r\n",
            _get(b"X: y", b" z"),
            _get(b"X: y", b"\tz"),
            _get(b"X: y", b" "),
            _post(b"Content-Length: 5", b" 3", body=b"hello"),
            _post(b"Content-Length: 5", b"\t", body=b"hello"),
            _post(b"Transfer-Encoding:", b" chunked", body=BODY),
            _post(b"X: y", b" " + CHUNKED, b"Content-Length: 5", body=BODY),
            _post(CHUNKED, b" , identity", body=BODY),
        ],
    ),
    (
        "9110 5.5",
        400,
        [
            _get(b"X: y\0z"),
            _get(b"X: \x7f"),
            _get(b"X: y\x0bz"),
            _get(b"X: \x1b[31m"),
            _get(b"X:\x0c"),
            _post(b"Transfer-Encoding: \x0bchunked", body=BODY),
            _post(b"Transfer-Encoding: chunked\0", body=BODY),
            _post(b"Content-Length: 5\0", body=b"hello"),
        ],
    ),
    # Content-Length.
    (
        "6.3",
        400,
        [
            *(
                _post(b"Content-Length: " + length, body=b"hello")
                for length in (
                    b"",
                    b"+5",
                    b"-5",
                    b"-0",
                    b"5 3",
                    b"0x5",
                    b"1_0",
                    b"5.0",
                    b"5e0",
                    b'"5"',
                    b"\xb2",
                    b"\xd9\xa5",
                    b"five",
                    b"5;",
                    b"5, 5",
                    b"5,6",
                    b",5",
                    b"5,",
                    b"18446744073709551616",
                    b"18446744073709551621",
                    b"99999999999999999999999999999",
                )
            ),
            _post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"),
            _post(b"Content-Length: 5", b"Content-Length: 0", body=b"hello"),
            _post(b"Content-Length: 0", b"content-length: 5", body=b"hello"),
            b"POST /echo HTTP/1.0\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
            b"POST /echo HTTP/1.0\r\nContent-Length: x\r\n\r\nhello",
        ],
    ),
    # Both.
    (
        "6.1",
        400,
        [
            _post(b"Content-Length: 5", CHUNKED, body=BODY),
            _post(CHUNKED, b"Content-Length: 5", body=BODY),
            _post(CHUNKED, b"Content-Length: 0", body=BODY),
            _post(b"Content-Length: 15", CHUNKED, body=BODY),
            _post(b"CONTENT-LENGTH: 5", b"tRANSFER-eNCODING: CHUNKED", body=BODY),
            _post(b"Content-Length: 5", b"Transfer-Encoding: identity", body=b"hello"),
            _post(b"Content-Length: 5", b"Transfer-Encoding:", body=b"hello"),
            _get(b"Content-Length: 4", CHUNKED) + b"0\r\n\r\n",
        ],
    ),
    # Transfer-Encoding.
    (
        "6.1",
        501,
        [
            _post(b"Transfer-Encoding: " + coding, body=BODY)
            for coding in (
                b"gzip",
                b"gzip, chunked",
                b"identity",
                b"identity, chunked",
                b"xchunked",
                b"chunkedx",
                b"cow",
                b"'chunked'",
                b"gzip;q=1, chunked",
            )
        ]
        + [
            _post(b"Transfer-Encoding: gzip", CHUNKED, body=BODY),
            _post(b"Transfer-Encoding: identity", CHUNKED, body=BODY),
        ],
    ),
    (
        "6.3",
        400,
        [
            _post(b"Transfer-Encoding: " + coding, body=BODY)
            for coding in (
                b"",
                b",chunked",
                b"chunked,",
                b"chunked, gzip",
                b"chunked, identity",
                b"chunked, chunked",
                b"chunked chunked",
                b'"chunked"',
                b"chun ked",
                b"chunked;",
                b"chunked;q=1",
                b"\xa0chunked",
                b"chunked\xa0",
                b"chunk\xc3\xa9d",
                b"x: chunked",
            )
        ]
        + [
            _post(CHUNKED, CHUNKED, body=BODY),
            _post(CHUNKED, b"Transfer-encoding: identity", body=BODY),
            _post(CHUNKED, b"Transfer-Encoding: gzip", body=BODY),
            b"POST /echo HTTP/1.0\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + BODY,
            b"POST /echo HTTP/1.0\r\nHost: t\r\nConnection: keep-alive\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n" + BODY,
        ],
    ),
    # Expectations.
    (
        "9110 10.1.1",
        417,
        [
            _post(b"Expect: 200-ok", b"Content-Length: 5", body=b"hello"),
            _post(b"Expect: 100-continue, x", b"Content-Length: 5", body=b"hello"),
            _post(b"Expect:", b"Content-Length: 5", body=b"hello"),
        ],
    ),
    # Limits.
    ("3", 414, [_target(b"GET /" + b"a" * 8200 + b" HTTP/1.1"), b"GET /?" + b"a" * 8200]),
    (
        "5",
        431,
        [
            _get(b"X: " + b"y" * 8200),
            _get(b"X" * 8200 + b": y"),
            _get(*[b"X: " + b"y" * 4000] * 19),
            _get(*[b"X: y"] * 201),
        ],
    ),
]

_CHUNKS: list[tuple[str, int, list[bytes]]] = [
    (
        "7.1",
        400,
        [
            b"\r\n",
            b"\n",
            b" 5\r\nhello\r\n0\r\n\r\n",
            b"+5\r\nhello\r\n0\r\n\r\n",
            b"-5\r\nhello\r\n0\r\n\r\n",
            b"-1\r\nhello\r\n0\r\n\r\n",
            b"0x5\r\nhello\r\n0\r\n\r\n",
            b"1_0\r\nhello\r\n0\r\n\r\n",
            b"g\r\nhello\r\n0\r\n\r\n",
            b"5h\r\nhello\r\n0\r\n\r\n",
            b"5,\r\nhello\r\n0\r\n\r\n",
            b"5.0\r\nhello\r\n0\r\n\r\n",
            b'"5"\r\nhello\r\n0\r\n\r\n',
            b";x\r\nhello\r\n0\r\n\r\n",
            b"5\0\r\nhello\r\n0\r\n\r\n",
            b"\xd9\xa5\r\nhello\r\n0\r\n\r\n",
            b"10000000000000000\r\nhello\r\n0\r\n\r\n",
            b"10000000000000005\r\nhello\r\n0\r\n\r\n",
            b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
            b"5\r\nhello\r\n\r\n0\r\n\r\n",
            b"5\r\nhello0\r\n\r\n",
            b"5\r\nhello!\r\n0\r\n\r\n",
            b"5\r\nhelloXX0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"5\r\nhello\r0\r\n\r\n",
            b"5\r\nhello\r\r\n0\r\n\r\n",
            b"5\nhello\n0\n\n",
            b"5\nhello\r\n0\r\n\r\n",
            b"5\rhello\r\n0\r\n\r\n",
            b"5\r\nhello\r\n0\n\r\n",
            b"5\r\nhello\r\n0\n\n",
            b"5\r\nhello\r\n" + MARKER,
        ],
    ),
    (
        "7.1.1",
        400,
        [
            b"5 \r\nhello\r\n0\r\n\r\n",
            b"5 5\r\nhello\r\n0\r\n\r\n",
            b"5\tx\r\nhello\r\n0\r\n\r\n",
            b"5;x\nhello\r\n0\r\n\r\n",
            b"5;\nhello\r\n0\r\n\r\n",
            b'5;x="a\nb"\r\nhello\r\n0\r\n\r\n',
            b"5;x\rhello\r\n0\r\n\r\n",
            b"5;x\0\r\nhello\r\n0\r\n\r\n",
            b"5\r\nhello\r\n0;x\n\r\n",
            b"2;\nxx\r\n4c\r\n0\r\n\r\n",
            b"5;" + b"x" * 4100 + b"\r\nhello\r\n0\r\n\r\n",
            (b"1;" + b"x" * 4000 + b"\r\na\r\n") * 5 + b"0\r\n\r\n",
            b"0" * 4100 + b"5\r\nhello\r\n0\r\n\r\n",
        ],
    ),
    (
        "7.1.2",
        400,
        [
            b"0\r\n\n",
            b"0\r\n\rX",
            b"0\r\nX: y\n\r\n",
            b"0\r\nX: y\rZ: z\r\n\r\n",
            b"0\r\nX : y\r\n\r\n",
            b"0\r\nX\r\n\r\n",
            b"0\r\n: y\r\n\r\n",
            b"0\r\nX: y\r\n z\r\n\r\n",
            b"0\r\n X: y\r\n\r\n",
            b"0\r\nX: \0\r\n\r\n",
            b"0\r\n" + MARKER,
        ],
    ),
    ("7.1.2", 431, [b"0\r\nX: " + b"y" * 8200 + b"\r\n\r\n"]),
]

_VALID = _post(b"Content-Length: 5", body=b"hello")
_VALID_CHUNKED = _post(CHUNKED, body=BODY)

_PIPELINED: list[tuple[str, int, int, bytes]] = [
    ("2.2", 400, 1, _VALID + b"\n" + _get()),
    ("3.1", 400, 1, _VALID + b"hello" + b"\r\n\r\n"),
    ("3", 400, 1, _VALID + b" world\r\n\r\n"),
    ("3", 400, 1, _VALID_CHUNKED + b"0\r\n\r\n"),
    ("2.2", 400, 1, _VALID_CHUNKED + b"\r\n\r\n\r\n" + _get()),
    ("3.2", 400, 2, _get() + _VALID + b"GET /echo HTTP/1.1\r\n\r\n"),
    ("6.1", 400, 2, _VALID + _VALID_CHUNKED + _post(b"Content-Length: 5", CHUNKED, body=BODY)),
    ("6.3", 400, 2, _VALID_CHUNKED + _get() + _post(b"Content-Length: 5,5", body=b"hello")),
    ("6.1", 501, 1, _get() + _post(b"Transfer-Encoding: x", body=BODY)),
    ("9110 15.6.6", 505, 3, _get() * 3 + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("2.3", 400, 1, _get(b"Content-Length: 0") + b"hello world HTTP\r\n\r\n"),
]

#: Each is refused with its status, and the connection closed.
MALFORMED: list[Malformed] = [
    *(
        Malformed(section, status, data)
        for section, status, entries in _REFUSED
        for data in entries
    ),
    *(
        Malformed(section, status, _post(CHUNKED, body=body), in_body=True)
        for section, status, bodies in _CHUNKS
        for body in bodies
    ),
    *(
        Malformed(section, status, data, before=before)
        for section, status, before, data in _PIPELINED
    ),
]

#: Each is as good as any other request.
ODD: list[Odd] = [
    Odd("2.2", b"\r\n" + _get(), (("GET", "/echo", b""),)),
    Odd("2.2", _VALID + b"\r\n" + _get(), (("POST", "/echo", b"hello"), ("GET", "/echo", b""))),
    Odd("3.2.2", _head(b"GET http://u/a?q HTTP/1.1", b"Host: t"), (("GET", "/a?q", b""),)),
    Odd("3.2.2", _head(b"GET HTTP://u:80/a HTTP/1.1", b"Host: t"), (("GET", "/a", b""),)),
    Odd(
        "3.2", _head(b"GET /a//b/../c%2fd HTTP/1.1", b"Host: t"), (("GET", "/a//b/../c%2fd", b""),)
    ),
    Odd("3.2", _head(b"GET //t/a HTTP/1.1", b"Host: t"), (("GET", "//t/a", b""),)),
    Odd("3.1", _head(b"x-y_z!1 /a HTTP/1.1", b"Host: t"), (("x-y_z!1", "/a", b""),)),
    Odd("5.1", _get(b"X:", b"Y:z", b"Z: \t z \t"), (("GET", "/echo", b""),)),
    Odd("5.1", _post(b"Content-Length:\t5 \t", body=b"hello"), (("POST", "/echo", b"hello"),)),
    Odd("6.3", _post(b"Content-Length: 005", body=b"hello"), (("POST", "/echo", b"hello"),)),
    Odd("6.3", _get(b"Content-Length: 5") + b"hello", (("GET", "/echo", b"hello"),)),
    Odd("6.3", _get(CHUNKED) + BODY, (("GET", "/echo", b"hello"),)),
    Odd("6.3", _post(), (("POST", "/echo", b""),)),
    Odd(
        "6.3",
        _post(b"Content-Length: %d" % len(MARKER), body=MARKER),
        (("POST", "/echo", MARKER),),
    ),
    Odd("5.1", _post(b"Content_Length: 5", b"Content-Length: 0"), (("POST", "/echo", b""),)),
    Odd("5.1", _post(b"Transfer_Encoding: chunked"), (("POST", "/echo", b""),)),
    Odd("5.1", _post(b"X-Transfer-Encoding: chunked"), (("POST", "/echo", b""),)),
    Odd("7.4", _get(b"TE: trailers, chunked", b"Trailer: Host"), (("GET", "/echo", b""),)),
    Odd("6.1", _post(b"transfer-encoding:cHuNkEd ", body=BODY), (("POST", "/echo", b"hello"),)),
    Odd(
        "7.1",
        _post(CHUNKED, body=b"0005\r\nhello\r\nA\r\n, worlds!!\r\n000\r\n\r\n"),
        (("POST", "/echo", b"hello, worlds!!"),),
    ),
    Odd(
        "7.1",
        _post(CHUNKED, body=b"%X\r\n%s\r\n0\r\n\r\n" % (len(MARKER), MARKER)),
        (("POST", "/echo", MARKER),),
    ),
    Odd(
        "7.1.1",
        _post(CHUNKED, body=b'5;a=b;c="d e"\r\nhello\r\n0;end\r\n\r\n'),
        (("POST", "/echo", b"hello"),),
    ),
    Odd(
        "7.1.2",
        _post(CHUNKED, body=b"5\r\nhello\r\n0\r\nContent-Length: 9\r\nHost: u\r\n\r\n"),
        (("POST", "/echo", b"hello"),),
    ),
    Odd(
        "7.1.2",
        _post(CHUNKED, body=b"0\r\nTransfer-Encoding: x\r\n\r\n") + _get(),
        (("POST", "/echo", b""), ("GET", "/echo", b"")),
    ),
    Odd(
        "9.3",
        _get() * 3 + _VALID + _VALID_CHUNKED + _get(),
        (
            *((("GET", "/echo", b""),) * 3),
            ("POST", "/echo", b"hello"),
            ("POST", "/echo", b"hello"),
            ("GET", "/echo", b""),
        ),
    ),
    Odd(
        "9110 7.8",
        _get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"),
        (("GET", "/echo", b""),),
    ),
    Odd(
        "9110 10.1.1",
        _post(b"Expect: 100-Continue", b"Content-Length: 5", body=b"hello"),
        (("POST", "/echo", b"hello"),),
    ),
]

#: Each ends the stream of requests although nothing in it is wrong: what follows is no request.
LAST: list[Odd] = [
    Odd("9.6", _get(b"Connection: close"), (("GET", "/echo", b""),)),
    Odd("9.6", _get(b"Connection: keep-alive, Close"), (("GET", "/echo", b""),)),
    Odd("9.3", b"GET /echo HTTP/1.0\r\n\r\n", (("GET", "/echo", b""),)),
    Odd(
        "6.3",
        b"POST /echo HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello",
        (("POST", "/echo", b"hello"),),
    ),
    # What comes after is for whoever the application connects the client with.
    Odd("9110 9.3.6", _head(b"CONNECT t:80 HTTP/1.1", b"Host: t:80"), (("CONNECT", "t:80", b""),)),
]
