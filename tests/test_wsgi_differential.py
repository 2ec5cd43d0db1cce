"""The WSGI server beside h11 and the standard library's: the same bytes, the same requests.

Where they differ there has to be a reason in a table, which says what the others do differently. A
difference without one fails. The bytes are those of support/malformed.py, and variations of them
that a seed determines: EVENTLET_TEST_SEED and EVENTLET_TEST_VARIATIONS make other runs.
"""

import contextlib
import os
import re
import socket
from collections import Counter
from itertools import pairwise
from random import Random

import pytest

import eventlet
from eventlet import wsgi
from support.malformed import LAST, MALFORMED, MARKER, ODD

peers = pytest.importorskip("support.http_peers", reason="h11 is not installed")

SEED = int(os.environ.get("EVENTLET_TEST_SEED", 1))
VARIATIONS = int(os.environ.get("EVENTLET_TEST_VARIATIONS", 2500))

LOOKS = {"h11": peers.look_h11, "http.server": peers.look_stdlib}

#: What is likely to matter to a parser.
PIECES = [
    *(bytes([byte]) for byte in b'\r\n\t :,;=/*?#%0159aAfx\0\x0b\x7f\x80\xff"'),
    b"\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b"\r\n ",
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"Host: u\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Expect: 100-continue\r\n",
    b"X: y\r\n",
    b"hello",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    MARKER,
]

#: Why others differ: a pattern of what we see at the first difference, one of what they see there,
#: and the reason.
REASONS = {
    "h11": [
        (
            "^over$",
            "^cut|^refused",
            "nothing comes back where a head is cut off",
        ),
        ("^refused", "^cut", "it looks at a head, and at a chunk's line, when it is there in full"),
        ("^refused", "^refused", "there is more than one fault, and it names another one"),
        ("", "^refused 400: no request line received", "it takes no empty line before a request"),
        (
            "^request",
            r"^refused 400: illegal request line: .*\\x[89a-f]",
            "it takes no bytes above 127 in targets",
        ),
        ("^request", ", then refused", "it checks trailers for what they would mean in a head"),
        ("^re", "^over: the request was the last", "it keeps no connection of HTTP/1.0"),
        ("LF without CR", "^request", "it takes an LF alone for the end of a line"),
        ("begins with white space", "^request", "it joins folded lines"),
        ("invalid request target", "^request", "it does not look into targets"),
        ("invalid Host", "^request", "it does not look into Host"),
        ("version not supported", "^request", "it takes every version that is well-formed"),
        ("both Content-Length and", "^request", "it lets Transfer-Encoding win"),
        ("more than one Content-Length", "^request", "it takes equal lengths for one"),
        ("invalid Content-Length", "^request", "it has no limit for lengths, and joins lists"),
        ("Transfer-Encoding in HTTP/1.0", "^request", "it takes chunks from old clients, too"),
        ("invalid Transfer-Encoding", "^request", "it joins folded lines"),
        ("unknown expectation", "^request", "it leaves expectations to the program"),
        ("invalid header field value", "^request", "it takes most control characters in values"),
        ("invalid chunk extension", "^request", "it takes white space after a size"),
        ("then refused 400: CR without", "^request", "it takes a CR in a chunk extension"),
        ("too (long|large|many)", "^request", "its one limit is that of the head as a whole"),
    ],
    "http.server": [
        ("^over$", "", "nothing comes back where a head is cut off: it takes that for the whole"),
        ("", "lost: it knows no Transfer-Encoding$", "it knows no Transfer-Encoding"),
        ("", "^over: an empty line", "an empty line ends its conversation"),
        ("^refused", "^refused", "there is more than one fault, and it names another one"),
        ("^request", r"^request .*( |\\t)'\)", "it leaves white space at the end of a value"),
        ("^request [^ ]+ //", "^request [^ ]+ /[^/]", "it makes one of the slashes at the start"),
        (
            "(LF without CR|CR without LF|header field|begins with white space)",
            "^request",
            "its parser for fields is that for mail, which takes whatever comes",
        ),
        (
            "invalid request (method|line|target)",
            "^request",
            "it splits request lines at any white space, and takes any words",
        ),
        (" Host$", "^request", "it does not look at Host"),
        ("HTTP version", "^request", "it takes any version below 2.0"),
        ("Content-Length$", "^request", "it leaves bodies to the program"),
        ("unknown expectation", "^request", "it leaves other expectations to the program"),
        ("too (long|large|many)", "^request", "its limits are other ones"),
        ("the request was the last", "", "it knows `close` only where it stands alone"),
    ],
}


@pytest.fixture(scope="module")
def ours():
    """A function as those of support/http_peers.py, for the server of this package."""
    current = peers.Seen()

    def app(env, start):
        query = "?" + env["QUERY_STRING"] if env["QUERY_STRING"] else ""
        head = (env["REQUEST_METHOD"], env["RAW_PATH_INFO"] + query, env["headers_raw"])
        at = len(current.requests)
        current.requests.append(peers.request(*head, None))
        body = env["wsgi.input"].read()
        if len(body) >= int(env.get("CONTENT_LENGTH", 0)):
            current.requests[at] = peers.request(*head, body)
        start("200 OK", [("Content-Length", "0")])
        return []

    listener = eventlet.listen(("127.0.0.1", 0))
    address = listener.getsockname()
    server = eventlet.spawn(wsgi.server, listener, app, log_output=False, debug=False)

    def look(data, cuts=()):
        nonlocal current
        current = peers.Seen()
        with eventlet.connect(address) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            received = b""
            # Whoever sends more than the server reads may find the connection closed.
            with contextlib.suppress(OSError):
                for start, end in pairwise([0, *cuts, len(data)]):
                    sock.sendall(data[start:end])
                    if end < len(data):
                        # The server has its turn, and so sees the pieces as they were sent.
                        eventlet.sleep(0)
                        eventlet.sleep(0)
                sock.shutdown(socket.SHUT_WR)
            with contextlib.suppress(OSError):
                while part := sock.recv(65536):
                    received += part
        last = received.rpartition(b"HTTP/1.1 ")[2]
        status, _, rest = last.partition(b" ")
        if status not in {b"", b"100", b"200"}:
            reason = rest.partition(b"\r\n\r\n")[2].decode().strip()
            current.end = f"refused {status.decode()}: {reason}"
        elif current.requests and current.requests[-1].body is None:
            current.end = "cut: in a body"
        elif b"\r\nConnection: close" in last:
            current.end = "over: the request was the last"
        return current

    yield look
    server.kill()


def vary(random, tables):
    """Bytes made of an entry of the tables by a few changes."""
    data = bytearray(random.choice(tables))
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        at = random.randrange(len(data) + 1)
        if random.random() < 0.5:
            # Where it matters more: at the ends of lines and words.
            ends = [match.start() for match in re.finditer(rb"[\r\n :]", bytes(data))]
            at = random.choice(ends) if ends else at
        match random.randrange(6):
            case 0 | 1:
                data[at:at] = random.choice(PIECES)
            case 2:
                del data[at : at + random.choice((1, 1, 2, 5))]
            case 3:
                data[at : at + 1] = random.choice(PIECES)
            case 4:
                lines = bytes(data).split(b"\r\n")
                lines.insert(random.randrange(len(lines)), random.choice(lines))
                data = bytearray(b"\r\n".join(lines))
            case 5:
                data += random.choice(tables)
    return bytes(data)


def difference(ours, theirs):
    """The first difference between what two servers saw: what each of them has there."""
    for mine, other in zip(ours.requests, theirs.requests, strict=False):
        if mine != other:
            return describe(ours, mine), describe(theirs, other)
    count = min(len(ours.requests), len(theirs.requests))
    more_ours, more_theirs = ours.requests[count:], theirs.requests[count:]
    if more_ours or more_theirs:
        return (
            describe(ours, more_ours[0]) if more_ours else ours.end,
            describe(theirs, more_theirs[0]) if more_theirs else theirs.end,
        )
    if ours.end.partition(":")[0] != theirs.end.partition(":")[0]:
        return ours.end, theirs.end
    return None


def describe(seen, request):
    """A request that others see differently; what became of it if it is the last."""
    body = f", then {seen.end}" if request.body is None else f" {request.body!r}"
    return f"request {request.method} {request.target} {request.fields}{body}"


def explained(peer, ours, theirs):
    """The reason for a difference, if there is one in the table."""
    for mine, other, reason in REASONS[peer]:
        if re.search(mine, ours) and re.search(other, theirs):
            return reason
    return None


def variations(count):
    """The tables, and variations of their short entries."""
    tables = [entry.data for table in (MALFORMED, ODD, LAST) for entry in table]
    short = [data for data in tables if len(data) < 1000]
    random = Random(SEED)
    return tables + [vary(random, short) for _ in range(count)]


@pytest.mark.parametrize("peer", LOOKS)
def test_differences_have_reasons(ours, peer):
    used = Counter()
    unexplained = []
    every = variations(VARIATIONS)
    for data in every:
        found = difference(ours(data), LOOKS[peer](data))
        if found is not None:
            reason = explained(peer, *found)
            used[reason] += 1
            if reason is None:
                unexplained.append((data, *found))
    shown = "\n".join(
        f"{data[:400]!r}\n  ours:   {mine[:300]}\n  theirs: {other[:300]}"
        for data, mine, other in unexplained[:20]
    )
    assert not unexplained, f"{len(unexplained)} of {len(every)}:\n{shown}"


def test_the_pieces_do_not_matter(ours):
    """What the server sees depends on the bytes, not on how they arrive."""
    random = Random(SEED)
    wrong = []
    for data in variations(VARIATIONS // 2):
        if len(data) > 1:
            cuts = sorted({random.randrange(1, len(data)) for _ in range(random.choice((1, 2, 4)))})
            whole, pieces = ours(data), ours(data, cuts)
            if whole != pieces:
                wrong.append((data, cuts, whole.end, pieces.end))
    assert not wrong, (len(wrong), wrong[:5])
