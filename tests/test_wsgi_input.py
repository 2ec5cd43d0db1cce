"""`wsgi.input`: 100-continue, what may be assigned to it, and bodies that end too early.

Reading as such is in test_wsgi_request_body.py.
"""

import socket

import pytest

from support.http_server import Server

SITE = r"""
from eventlet import wsgi

def hello(env, start):
    start("200 OK", [])
    return [b"Hello!"]

def eager(env, start):
    "Begins to answer, then reads."
    env["eventlet.minimum_write_chunk_size"] = 0
    start("202 Accepted", [])
    return (part() for part in (lambda: b"wait ", env["wsgi.input"].read))

def ignore(env, start):
    start("200 OK", [])
    return [b"ignored"]

def echo(env, start):
    body = env["wsgi.input"].read()
    start("200 OK", [])
    return [body]

def phases(env, start):
    "Two bodies in chunks, each asked for."
    body = env["wsgi.input"]
    first = body.read()
    body.set_hundred_continue_response_headers([("x-PHASE", "2")])
    body.send_hundred_continue_response()
    second = body.read()
    start("200 OK", [])
    return [first, b"|", second]

def headers(env, start):
    body = env["wsgi.input"]
    body.set_hundred_continue_response_headers(
        [("x-lower", "\xe9")], capitalize_response_headers=env["QUERY_STRING"] == "capital"
    )
    start("200 OK", [])
    return [body.read()]

def assigned(env, start):
    "What Swift does with fields that its parser has found late."
    body = env["wsgi.input"]
    seen = [body.content_length, body.chunked_input, body.wfile is not None]
    exec(env["HTTP_X_CODE"], {"body": body})
    seen += [body.content_length, body.chunked_input, body.wfile is not None]
    data = body.read()
    start("200 OK", [])
    return [repr((*seen, data, body.position)).encode()]

def early(env, start):
    "Says how a body in chunks that ends too early looks."
    try:
        env["wsgi.input"].read()
    except Exception as error:
        kinds = [OSError, wsgi.ChunkReadError, ValueError]
        print("early", [isinstance(error, kind) for kind in kinds], flush=True)
    start("200 OK", [])
    return []

def app(env, start):
    return globals()[env["PATH_INFO"].strip("/") or "hello"](env, start)
"""


@pytest.fixture(scope="module")
def shared():
    server = Server(SITE)
    yield server
    server.kill()


@pytest.fixture
def site(shared):
    """A server that answers a normal request after the test."""
    shared.clear()
    yield shared
    assert shared.get().body == b"Hello!"


def expecting(path, *fields, version="HTTP/1.1"):
    lines = [f"POST {path} {version}", "Host: t", *fields, "Expect: 100-continue"]
    return "\r\n".join(lines) + "\r\n\r\n"


def test_no_interim_response_once_the_final_one_has_begun(site):
    with site.connect() as client:
        client.send(expecting("/eager", "Content-Length: 3"))
        assert b"202 Accepted" in client._until(b"wait ")
        client.send("now")
        assert client.rest() == b"\r\n3\r\nnow\r\n0\r\n\r\n"


def test_http10_is_not_told_to_continue(site):
    keep = ("Content-Length: 3", "Connection: keep-alive")
    with site.connect() as client:
        client.send(expecting("/echo", *keep, version="HTTP/1.0") + "abc")
        response = client.response()
        assert (response.status, response.body) == (200, b"abc")
        # Whether a body that nobody asked for will come is anybody's guess.
        client.send(expecting("/ignore", *keep, version="HTTP/1.0"))
        response = client.response()
        assert (response["Connection"], response.body) == ("close", b"ignored")
        assert client.is_closed()


def test_several_bodies_in_chunks(site):
    with site.connect() as client:
        client.send(expecting("/phases", "Transfer-Encoding: chunked"))
        assert client.response().status == 100
        client.send("3\r\nabc\r\n0\r\n\r\n")
        second = client.response()
        assert (second.status, second.headers) == (100, [("X-Phase", "2")])
        client.send("3\r\ndef\r\n0\r\n\r\n")
        assert client.response().body == b"abc|def"
        assert client.get().body == b"Hello!"


@pytest.mark.parametrize(("query", "name"), [("capital", "X-Lower"), ("", "x-lower")])
def test_names_of_interim_headers(site, query, name):
    with site.connect() as client:
        client.send(expecting(f"/headers?{query}", "Content-Length: 1"))
        assert client.response().headers == [(name, "\xe9")]
        client.send("x")
        assert client.response().body == b"x"


@pytest.mark.parametrize(
    ("fields", "code", "body", "seen"),
    [
        ([], "body.content_length = 3", "abc", (0, False, False, 3, False, False, b"abc", 3)),
        (
            [],
            "body.chunked_input = True",
            "2\r\nab\r\n0\r\n\r\n",
            (0, False, False, None, True, False, b"ab", 2),
        ),
        (
            ["Content-Length: 5"],
            "body.content_length = 2",
            "ab",
            (5, False, False, 2, False, False, b"ab", 2),
        ),
        (
            ["Transfer-Encoding: chunked"],
            "body.content_length = None",
            "2\r\nab\r\n0\r\n\r\n",
            (None, True, False, None, True, False, b"ab", 2),
        ),
        (
            ["Content-Length: 2", "Expect: 100-continue"],
            "body.wfile = body.wfile_line = None",
            "ab",
            (2, False, True, 2, False, False, b"ab", 2),
        ),
    ],
)
def test_what_may_be_assigned(site, fields, code, body, seen):
    with site.connect() as client:
        lines = ["POST /assigned HTTP/1.1", "Host: t", f"X-Code: {code}", *fields]
        client.send("\r\n".join(lines) + "\r\n\r\n" + body)
        assert client.response().body == repr(seen).encode()
        assert client.get().body == b"Hello!"


def test_a_client_may_be_told_to_continue_by_assignment(site):
    with site.connect() as client:
        code = "body.content_length, body.wfile, body.wfile_line = 2, 'any', b''"
        client.send(f"POST /assigned HTTP/1.1\r\nHost: t\r\nX-Code: {code}\r\n\r\n")
        assert client.response().status == 100
        client.send("ab")
        assert b"b'ab'" in client.response().body


@pytest.mark.parametrize("body", ["", "5", "5\r\n", "5\r\nab", "5\r\nabcde", "5\r\nabcde\r\n0\r\n"])
def test_a_body_in_chunks_that_ends_early(site, body):
    site.out.clear()
    with site.connect() as client:
        client.send("POST /early HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
        client.sock.shutdown(socket.SHUT_WR)
        assert client.response().status == 200
    assert site.wait_out("early") == "early [True, True, True]"
    assert "Traceback" not in "\n".join(site.log)
