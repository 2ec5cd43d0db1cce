"""The WSGI server against requests that no server may take: support/malformed.py has them.

Each is answered with its status, the connection is closed, and what follows it in the stream is
never shown to the application as a request.
"""

import contextlib
import json
import ssl

import pytest

from support import certificates
from support.http_server import Closed, Server
from support.malformed import LAST, MALFORMED, MARKER, ODD

#: Says what it was asked, and reads the body unless the path says not to.
SITE = r"""
import json

seen = []

def app(env, start):
    query = "?" + env["QUERY_STRING"] if env["QUERY_STRING"] else ""
    target = env["RAW_PATH_INFO"] + query
    if target == "/seen":
        answer = json.dumps(seen)
        seen.clear()
    else:
        request = [env["REQUEST_METHOD"], target]
        seen.append(request)
        body = b"" if target == "/nope" else env["wsgi.input"].read()
        answer = json.dumps([*request, body.decode("latin-1")])
    start("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
    return [answer.encode()]
"""

GET = b"GET /ok HTTP/1.1\r\nHost: t\r\n\r\n"

#: Bytes that are sent one by one; what is longer goes on in larger pieces.
SINGLE = 400


@pytest.fixture(scope="module")
def server():
    server = Server(SITE)
    yield server
    server.kill()


@pytest.fixture(scope="module")
def control(server):
    with server.connect() as client:
        yield client


@pytest.fixture
def seen(control):
    """A function that gives the requests which the application was shown in this test."""

    def ask():
        return [tuple(request) for request in json.loads(control.get("/seen").body)]

    ask()
    return ask


def send(client, data, way):
    """Send `data`, and twice what must not be read as a request."""
    data += MARKER * 2
    if way != "byte by byte":
        client.send(data)
        return
    # A server that has answered need not listen for ever.
    with contextlib.suppress(ConnectionError):
        for at in range(min(len(data), SINGLE)):
            client.send(data[at : at + 1])
        for at in range(SINGLE, len(data), 97):
            client.send(data[at : at + 97])


def name(entry):
    text = entry.data[:300].decode("latin-1").encode("unicode_escape").decode()
    text = text.replace(" HTTP/1.1\\r\\nHost: t\\r\\n", "|")
    return f"{entry.section}: {text[:60]}"


def test_the_table():
    assert len(MALFORMED) >= 120
    assert len({entry.data for entry in MALFORMED}) == len(MALFORMED)
    chapters = {entry.section.partition(".")[0] for entry in [*MALFORMED, *ODD, *LAST]}
    assert chapters >= {"2", "3", "5", "6", "7", "9"}


@pytest.mark.parametrize("way", ["at once", "byte by byte", "behind a request"])
@pytest.mark.parametrize("entry", MALFORMED, ids=name)
def test_malformed(server, seen, entry, way):
    before = entry.before
    with server.connect() as client:
        if way == "behind a request":
            send(client, GET + entry.data, way)
            assert client.response().status == 200
        else:
            send(client, entry.data, way)
        for _ in range(before):
            assert client.response().status == 200
        response = client.response()
        assert response.status == entry.status
        assert response["Connection"] == "close"
        assert client.is_closed()
    shown = seen()
    assert len(shown) == before + entry.in_body + (way == "behind a request")
    assert {target for _, target in shown} <= {"/echo", "/ok"}


@pytest.mark.parametrize("way", ["at once", "byte by byte"])
@pytest.mark.parametrize("entry", [entry for entry in MALFORMED if entry.in_body], ids=name)
def test_malformed_body_that_nobody_reads(server, seen, entry, way):
    with server.connect() as client:
        send(client, entry.data.replace(b"/echo", b"/nope"), way)
        assert client.response().status == 200
        assert client.is_closed()
    assert seen() == [("POST", "/nope")]


#: Other ways into the server: connections that a pool of the program's runs, and TLS.
OTHERS = {
    "pool": "def main(sock, options):\n"
    "    wsgi.server(sock, app, custom_pool=eventlet.GreenPool(100), **options)\n",
    "tls": "def main(sock, options):\n"
    "    sock = eventlet.wrap_ssl(sock, certfile={!r}, keyfile={!r}, server_side=True)\n"
    "    wsgi.server(sock, app, **options)\n",
}


@pytest.mark.parametrize(
    ("kind", "way"), [("pool", "at once"), ("tls", "at once"), ("tls", "byte by byte")]
)
def test_malformed_elsewhere(tmp_path, kind, way):
    try:
        files = certificates.make(tmp_path)
    except FileNotFoundError:
        pytest.skip("needs the openssl command")
    tls = ssl.create_default_context(cafile=files[0])
    server = Server(SITE + OTHERS[kind].format(*files))

    def connect():
        client = server.connect()
        if kind == "tls":
            client.sock = tls.wrap_socket(client.sock, server_hostname="localhost")
        return client

    wrong = []
    try:
        control = connect()
        for entry in MALFORMED if way == "at once" else MALFORMED[::4]:
            with connect() as client:
                try:
                    send(client, entry.data, way)
                    answers = [client.response().status for _ in range(entry.before + 1)]
                    answers.append(client.is_closed())
                except OSError as error:
                    answers = [error]
            shown = json.loads(control.get("/seen").body)
            if answers != [200] * entry.before + [entry.status, True]:
                wrong.append((entry.data, answers))
            if len(shown) != entry.before + entry.in_body or ["GET", "/smuggled"] in shown:
                wrong.append((entry.data, shown))
        control.close()
    finally:
        server.kill()
    assert not wrong, (len(wrong), wrong[:5])


@pytest.mark.parametrize("way", ["at once", "byte by byte"])
@pytest.mark.parametrize("entry", ODD, ids=name)
def test_odd(server, seen, entry, way):
    with server.connect() as client:
        send(client, entry.data, way)
        for method, target, body in entry.requests:
            response = client.response()
            while response.status == 100:
                response = client.response()
            assert response.status == 200
            assert json.loads(response.body) == [method, target, body.decode("latin-1")]
        # What follows is a request of its own here: these say truly where they end.
        for _ in range(2):
            assert json.loads(client.response().body)[1] == "/smuggled"
    assert seen() == [
        *((method, target) for method, target, _ in entry.requests),
        *((("GET", "/smuggled"),) * 2),
    ]


@pytest.mark.parametrize("way", ["at once", "byte by byte"])
@pytest.mark.parametrize("entry", LAST, ids=name)
def test_last(server, seen, entry, way):
    [(method, target, body)] = entry.requests
    with server.connect() as client:
        send(client, entry.data, way)
        response = client.response(method)
        assert response.status == 200
        with pytest.raises(Closed):
            client.response()
    assert seen() == [(method, target)]
    if method != "CONNECT":
        assert json.loads(response.body) == [method, target, body.decode("latin-1")]


def test_fields_with_underscores_are_not_those_of_the_protocol(server):
    """`Content_Length` would become the same key of the environ as `Content-Length`."""
    with server.connect() as client:
        fields = [("Content_Length", "0"), ("content_length", "1"), ("Transfer_Encoding", "x")]
        assert json.loads(client.post("/x", b"abc", headers=fields).body)[2] == "abc"
