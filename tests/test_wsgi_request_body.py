"""Bodies of requests: reading them in every way, leaving them, and `100 Continue`."""

import io
import json

import pytest

from support.wsgi_site import chunked

TEXT = b"one\ntwo\n\nfour without end"

CALLS = [
    ["f.read()", "f.read()"],
    ["f.read(-1)"],
    ["f.read(None)"],
    ["f.read(0)", "f.read(4)", "f.read(1000)", "f.read(1)"],
    ["f.readline()", "f.readline(2)", "f.readline(100)", "f.readline()", "f.readline()"],
    ["f.readline(0)", "f.readline(-1)", "f.readline(None)"],
    ["f.readlines()"],
    ["f.readlines(5)", "f.readlines(0)"],
    ["list(f)"],
    ["next(f)", "f.read(2)", "f.readline()", "list(f)", "f.read()"],
]


@pytest.mark.parametrize("way", ["length", "chunked", "one byte a chunk", "byte by byte"])
@pytest.mark.parametrize("calls", CALLS, ids=" ".join)
def test_reading_a_body(site, calls, way):
    file = io.BytesIO(TEXT)
    expected = repr([eval(call, {"f": file}) for call in calls])
    head = f"POST /body HTTP/1.1\r\nHost: test\r\nX-Calls: {json.dumps(calls)}\r\n"
    with site.connect() as client:
        if way == "length":
            client.send(f"{head}Content-Length: {len(TEXT)}\r\n\r\n")
            client.send(TEXT)
        else:
            client.send(f"{head}Transfer-Encoding: chunked\r\n\r\n")
            blocks = [TEXT[:6], TEXT[6:]]
            if way != "chunked":
                blocks = [TEXT[at : at + 1] for at in range(len(TEXT))]
            data = chunked(*blocks)
            step = 1 if way == "byte by byte" else len(data)
            for at in range(0, len(data), step):
                client.send(data[at : at + step])
        assert client.response().body.decode() == expected
        assert client.get().body == b"Hello!"


def test_chunk_extensions_and_trailers_are_read_over(site):
    with site.connect() as client:
        client.send(
            "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
            "2;a=b\r\nab\r\n0\r\nX-Trailer: 1\r\n\r\n"
        )
        assert client.response().body == b"ab"
        assert client.get().body == b"Hello!"


def test_a_request_without_a_body_reads_as_empty(site):
    calls = ["f.read()", "f.readline()", "f.readlines()", "list(f)", "f.read(5)"]
    response = site.get("/body", headers=[("X-Calls", json.dumps(calls))])
    assert response.body == repr([b"", b"", [], [], b""]).encode()


def test_big_body(site):
    body = bytes(range(256)) * 80_000
    with site.connect() as client:
        assert client.post("/echo", body).body == body
        client.send(b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(chunked(*(body[at : at + 50_000] for at in range(0, len(body), 50_000))))
        assert client.response().body == body


@pytest.mark.parametrize("size", [1, 65536, 300_000])
def test_an_unread_body_is_skipped(site, size):
    with site.connect() as client:
        for _ in range(3):
            assert client.post("/ignore", b"x" * size).body == b"ignored"
        client.send(b"POST /ignore HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(chunked(b"x" * size))
        assert client.response().body == b"ignored"
        assert client.get().body == b"Hello!"


def test_a_partly_read_body_is_skipped(site):
    with site.connect() as client:
        fields = [("X-Calls", json.dumps(["f.read(2)"]))]
        assert client.post("/body", b"12345", headers=fields).body == b"[b'12']"
        assert client.get().body == b"Hello!"


def test_a_huge_unread_body_ends_the_connection_after_the_response(site):
    with site.connect() as client:
        client.send("POST /ignore HTTP/1.1\r\nHost: t\r\nContent-Length: 100000000\r\n\r\n")
        try:
            for _ in range(1000):
                client.send(b"x" * 100_000)
        except OSError:
            pass
        assert client.response().body == b"ignored"
        assert client.is_closed()


def test_expect_continue_is_lazy(site):
    with site.connect() as client:
        client.send(
            "POST /wait?expect HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n"
            "Expect: 100-Continue\r\n\r\n"
        )
        site.wait_out("waiting expect")
        site.get("/release?expect")
        # It never asked for the body, so there is no 100; and nobody knows what comes next.
        assert client.response().body == b"waited"
        assert client.is_closed()


def test_expect_continue(site):
    with site.connect() as client:
        for _ in range(2):
            client.send(
                "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n"
                "Expect: 100-continue\r\n\r\n"
            )
            first = client.response()
            assert (first.status, first.headers) == (100, [])
            client.send("abc")
            assert client.response().body == b"abc"


def test_expect_continue_with_headers_and_again(site):
    with site.connect() as client:
        client.send(
            "POST /expect HTTP/1.1\r\nHost: t\r\nContent-Length: 6\r\nExpect: 100-continue\r\n\r\n"
        )
        first = client.response()
        assert (first.status, first.headers) == (100, [("X-First", "1")])
        client.send("abc")
        second = client.response()
        assert (second.status, second.headers) == (100, [("X-Second", "2")])
        client.send("def")
        assert client.response().body == b"abcdef"
        assert client.get().body == b"Hello!"


def test_unknown_expectation(site):
    with site.connect() as client:
        response = client.get(headers=[("Expect", "the-unexpected")])
        assert response.status == 417
        assert client.is_closed()
