"""The WSGI server: requests, responses, options, the log, and how it ends.

What hostile and broken clients do is in test_wsgi_faults.py.
"""

import io
import json
import re
import signal
import socket

import pytest

from support.http_server import PATIENCE, Closed, Server

#: Applications by path; the server of most tests.
SITE = r'''
import io, json, sys
from eventlet.event import Event

events = {}
def event(name):
    if name not in events:
        events[name] = Event()
    return events[name]

def ok(start_response, *headers):
    return start_response("200 OK", [("Content-Type", "text/plain"), *headers])

def environ(env, start):
    ok(start)
    return [json.dumps({k: v if isinstance(v, (str, bool, int, tuple)) else type(v).__name__
                        for k, v in env.items()}).encode()]

def hello(env, start):
    ok(start)
    return [b"Hello!"]

def query(env, start):
    ok(start)
    return [env["QUERY_STRING"].encode()]

def echo(env, start):
    body = env["wsgi.input"].read()
    ok(start)
    return [body]

def body(env, start):
    """Evaluate expressions about the body, given in a header."""
    results = [eval(text, {"f": env["wsgi.input"]}) for text in json.loads(env["HTTP_X_CALLS"])]
    ok(start)
    return [repr(results).encode()]

def ignore(env, start):
    ok(start)
    return [b"ignored"]

def expect(env, start):
    f = env["wsgi.input"]
    f.set_hundred_continue_response_headers([("X-First", "1")])
    first = f.read(3)
    f.set_hundred_continue_response_headers([("X-Second", "2")])
    f.send_hundred_continue_response()
    ok(start)
    return [first + f.read()]

def respond(env, start):
    """A response made of literals in a header: status, headers, blocks."""
    spec = eval(env["HTTP_X_SPEC"])
    write = start(spec.get("status", "200 OK"), spec.get("headers", []))
    for block in spec.get("write", []):
        write(block)
    if "minimum" in spec:
        env["eventlet.minimum_write_chunk_size"] = spec["minimum"]
    result = spec.get("result", [])
    return (block for block in result) if spec.get("generator") else result

class Body:
    """An iterable whose close() is seen."""
    def __init__(self, blocks, name, error=None, close_error=None):
        self.blocks, self.name, self.error = iter(blocks), name, error
        self.close_error = close_error
    def __iter__(self):
        return self
    def __next__(self):
        for block in self.blocks:
            return block
        if self.error:
            raise self.error
        raise StopIteration
    def close(self):
        print("closed", self.name, flush=True)
        if self.close_error:
            raise self.close_error

def closing(env, start):
    spec = eval(env["HTTP_X_SPEC"])
    start("200 OK", spec.get("headers", []))
    return Body(spec["blocks"], spec["name"], spec.get("error"), spec.get("close_error"))

def run(env, start):
    """Whatever the code in a header says; it sets `result`."""
    scope = {"env": env, "start": start, "io": io, "sys": sys}
    exec(json.loads(env["HTTP_X_CODE"]), scope)
    return scope.get("result")

def big(env, start):
    size = int(env["QUERY_STRING"])
    start("200 OK", [("Content-Length", str(size))])
    block = bytes(range(256)) * 4096
    return (block[:min(len(block), size - at)] for at in range(0, size, len(block)))

def bigblock(env, start):
    ok(start)
    return [bytes(range(256)) * (int(env["QUERY_STRING"]) // 256)]

def wait(env, start):
    print("waiting", env["QUERY_STRING"], flush=True)
    event(env["QUERY_STRING"]).wait()
    ok(start)
    return [b"waited"]

def release(env, start):
    event(env["QUERY_STRING"]).send()
    ok(start)
    return [b"released"]

def idle(env, start):
    env["eventlet.set_idle"]()
    return wait(env, start)

def stats(env, start):
    ok(start)
    return [json.dumps(servers[0].stats()).encode()]

def app(env, start):
    name = env["PATH_INFO"].strip("/").split("/")[0] or "hello"
    return globals()[name](env, start)
'''


@pytest.fixture(scope="module")
def shared():
    server = Server(SITE)
    yield server
    server.kill()


@pytest.fixture
def site(shared):
    """The server of the applications above; it must answer a normal request after the test."""
    shared.clear()
    yield shared
    assert shared.get().body == b"Hello!"


@pytest.fixture
def serve():
    """A function that starts a server; all of them are killed at the end."""
    servers = []

    def start(options="", source=SITE, **kwargs):
        servers.append(Server(source, options, **kwargs))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


def environ_of(response):
    return json.loads(response.body)


def spec(**kwargs):
    return [("X-Spec", repr(kwargs))]


def code(text):
    return [("X-Code", json.dumps(text))]


# ------------------------------------------------------------------------------------------------
# environ


def test_environ(site):
    with site.connect() as client:
        env = environ_of(client.get("/environ/a%20b%2Fc?x=%41&y"))
        host, port = client.sock.getsockname()
    assert env["REQUEST_METHOD"] == "GET"
    assert env["SCRIPT_NAME"] == ""
    assert env["PATH_INFO"] == "/environ/a b/c"
    assert env["RAW_PATH_INFO"] == "/environ/a%20b%2Fc"
    assert env["QUERY_STRING"] == "x=%41&y"
    assert env["SERVER_PROTOCOL"] == "HTTP/1.0"
    assert env["GATEWAY_INTERFACE"] == "CGI/1.1"
    assert (env["SERVER_NAME"], env["SERVER_PORT"]) == ("127.0.0.1", str(site.address[1]))
    assert (env["REMOTE_ADDR"], env["REMOTE_PORT"]) == (host, str(port))
    assert env["HTTP_HOST"] == "test"
    assert env["wsgi.version"] == [1, 0]
    assert env["wsgi.url_scheme"] == "http"
    assert env["wsgi.multithread"] is True
    assert env["wsgi.multiprocess"] is False
    assert env["wsgi.run_once"] is False
    assert env["wsgi.input"] == env["eventlet.input"] == "Input"
    assert env["wsgi.errors"] == "TextIOWrapper"
    assert env["eventlet.posthooks"] == "list"
    assert "eventlet.set_idle" in env
    assert "HTTPS" not in env


def test_environ_of_a_bare_request(site):
    env = environ_of(site.get("/environ", version="HTTP/1.0"))
    assert env["QUERY_STRING"] == ""
    assert "CONTENT_LENGTH" not in env
    assert env["CONTENT_TYPE"] == "text/plain"
    assert env["headers_raw"] == []
    assert not [key for key in env if key.startswith("HTTP_")]


def test_an_empty_query_is_a_query(site):
    assert environ_of(site.get("/environ?"))["QUERY_STRING"] == ""


def test_fields_in_the_environ(site):
    fields = [
        ("X-One", "1"),
        ("x-ONE", " 2\t"),
        ("X-Empty", ""),
        ("X_One", "3"),
        ("Content-Type", "a/b; c=d"),
        ("Content-Length", "0"),
        ("Cookie", "k=v"),
        ("X-Latin", "caf\xe9"),
    ]
    env = environ_of(site.get("/environ", headers=fields))
    assert env["HTTP_X_ONE"] == "1,2"
    assert env["HTTP_X_EMPTY"] == ""
    assert env["CONTENT_TYPE"] == "a/b; c=d"
    assert env["CONTENT_LENGTH"] == "0"
    assert env["HTTP_COOKIE"] == "k=v"
    assert env["HTTP_X_LATIN"] == "caf\xe9"
    assert "HTTP_CONTENT_TYPE" not in env
    assert "HTTP_CONTENT_LENGTH" not in env
    assert [tuple(pair) for pair in env["headers_raw"]] == [
        ("Host", "test"),
        *((name, value.strip()) for name, value in fields),
    ]


def test_one_request_says_nothing_of_another(site):
    with site.connect() as client:
        first = environ_of(client.get("/environ?a", headers=[("X-One", "1")]))
        again = environ_of(client.get("/environ?b", headers=[("X-One", "1")]))
        other = environ_of(client.post("/environ", body=b"body"))
    assert first.pop("QUERY_STRING") == "a"
    assert again.pop("QUERY_STRING") == "b"
    assert first == again
    assert "HTTP_X_ONE" not in other
    assert other["QUERY_STRING"] == ""
    assert other["CONTENT_LENGTH"] == "4"


def test_what_an_application_puts_into_its_environ_stays_there(site):
    text = "start('200 OK', []); result = [repr(env.get('mark')).encode()]; env['mark'] = 1"
    text += "; env['HTTP_HOST'] = 'changed'; env.pop('wsgi.version')"
    with site.connect() as client:
        for _ in range(2):
            assert client.get("/run", headers=code(text)).body == b"None"
        assert environ_of(client.get("/environ", headers=code(text)))["HTTP_HOST"] == "test"


def test_path_is_bytes_as_latin1(site):
    env = environ_of(site.get("/environ/%e2%82%ac/%zz/100%"))
    assert env["PATH_INFO"] == "/environ/\xe2\x82\xac/%zz/100%"


def test_absolute_target_names_the_host(site):
    env = environ_of(site.get("http://other:81/environ/x?y"))
    assert env["HTTP_HOST"] == "other:81"
    assert (env["PATH_INFO"], env["QUERY_STRING"]) == ("/environ/x", "y")
    assert ["Host", "test"] in env["headers_raw"]


def test_wildcard_listener_names_the_address_of_the_connection(serve):
    server = serve(address=("0.0.0.0", 0))
    env = environ_of(server.get("/environ"))
    assert (env["SERVER_NAME"], env["SERVER_PORT"]) == ("127.0.0.1", str(server.address[1]))


def test_ipv6(serve):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6")
    server = serve(address=("::1", 0), family="AF_INET6")
    env = environ_of(server.get("/environ"))
    assert env["SERVER_NAME"] == env["REMOTE_ADDR"] == "::1"
    server.wait_log(r"wsgi starting up on http://\[::1\]:\d+")
    server.wait_log(r'^::1 - - .* "GET /environ HTTP/1.1" 200 ')


def test_unix_socket(serve, tmp_path):
    server = serve(address=str(tmp_path / "socket"), family="AF_UNIX")
    env = environ_of(server.get("/environ"))
    assert (env["SERVER_NAME"], env["SERVER_PORT"]) == ("unix", "")
    assert (env["REMOTE_ADDR"], env["REMOTE_PORT"]) == ("unix", "")
    server.wait_log(r'^unix - - .* "GET /environ HTTP/1.1" 200 ')
    server.wait_log(f"wsgi starting up on http:{tmp_path}/socket")


def test_environ_option(serve):
    server = serve("environ={'a.b': 'c', 'wsgi.multiprocess': True}")
    env = environ_of(server.get("/environ"))
    assert env["a.b"] == "c"
    assert env["wsgi.multiprocess"] is True


# ------------------------------------------------------------------------------------------------
# Persistence


def test_keep_alive(site):
    with site.connect() as client:
        for _ in range(3):
            response = client.get()
            assert response.body == b"Hello!"
            assert "Connection" not in response
        assert client.get(headers=[("Connection", "close")])["Connection"] == "close"
        assert client.is_closed()


def test_http10(site):
    with site.connect() as client:
        response = client.get(version="HTTP/1.0")
        assert response.body == b"Hello!"
        assert client.is_closed()


def test_http10_keep_alive(site):
    with site.connect() as client:
        for _ in range(3):
            response = client.get(version="HTTP/1.0", headers=[("Connection", "keep-alive")])
            assert response["Connection"].lower() == "keep-alive"
            assert response.body == b"Hello!"
        client.get(version="HTTP/1.0")
        assert client.is_closed()


def test_http10_ends_a_body_of_unknown_length_by_closing(site):
    with site.connect() as client:
        fields = [*spec(result=[b"a", b"b"], generator=True), ("Connection", "keep-alive")]
        response = client.get("/respond", version="HTTP/1.0", headers=fields)
        assert "Transfer-Encoding" not in response
        assert "Content-Length" not in response
        assert response.body == b"ab"


def test_pipelining(site):
    count = 1000
    requests = b"".join(
        b"GET /query?%d HTTP/1.1\r\nHost: test\r\n\r\n" % number for number in range(count)
    )
    with site.connect() as client:
        client.send(requests)
        for number in range(count):
            assert client.response().body == b"%d" % number
        assert client.get().body == b"Hello!"


def test_pipelining_with_bodies_and_a_close(site):
    with site.connect() as client:
        client.send(
            "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nfirst"
            "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
            "6\r\nsecond\r\n0\r\n\r\n"
            "POST /ignore HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nskip"
            "GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
            "GET /never HTTP/1.1\r\nHost: t\r\n\r\n"
        )
        bodies = [client.response().body for _ in range(4)]
        assert bodies == [b"first", b"second", b"ignored", b"Hello!"]
        assert client.is_closed()
    assert not [line for line in site.log if "never" in line]


def test_pipelined_requests_leave_others_their_turn(site):
    with site.connect() as greedy, site.connect() as modest:
        modest.get()
        greedy.send(b"GET /wait?turn HTTP/1.1\r\nHost: test\r\n\r\n" + GET * 5000)
        site.wait_out("waiting turn")
        modest.send(GET)
        assert modest.response().status == 200
        assert modest.get("/release?turn").body == b"released"
        assert greedy.response().body == b"waited"
        for _ in range(5000):
            assert greedy.response().body == b"Hello!"


def test_empty_lines_before_a_request_are_ignored(site):
    with site.connect() as client:
        client.send(b"\r\n" + GET)
        assert client.response().body == b"Hello!"
        client.send(b"\r\n")
        assert client.get().body == b"Hello!"


def test_a_head_byte_by_byte(site):
    with site.connect() as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET /query?slow HTTP/1.1\r\nHost: test\r\n\r\n":
            client.send(bytes([byte]))
        assert client.response().body == b"slow"


GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"


def chunked(*blocks, end=b"0\r\n\r\n"):
    return b"".join(b"%x\r\n%s\r\n" % (len(block), block) for block in blocks) + end


# ------------------------------------------------------------------------------------------------
# Request bodies

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


# ------------------------------------------------------------------------------------------------
# Responses


def test_length_is_computed_for_what_is_there(site):
    for result in ([b"abc"], [b"a", b"b", b"c"], (b"ab", b"", b"c"), (b"abc",)):
        response = site.get("/respond", headers=spec(result=result))
        assert response["Content-Length"] == "3"
        assert response.body == b"abc"
    assert site.get("/respond", headers=spec(result=[]))["Content-Length"] == "0"
    assert site.get("/respond", headers=spec(result=()))["Content-Length"] == "0"


def test_date_is_added_and_not_doubled(site):
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", site.get()["Date"])
    fields = spec(headers=[("Date", "mine")])
    assert site.get("/respond", headers=fields)["Date"] == "mine"


def test_given_length(site):
    fields = spec(headers=[("Content-Length", "3")], result=[b"a", b"bc"], generator=True)
    with site.connect() as client:
        response = client.get("/respond", headers=fields)
        assert response["Content-Length"] == "3"
        assert response.body == b"abc"
        assert client.get().body == b"Hello!"


@pytest.mark.parametrize("generator", [False, True])
def test_a_body_longer_than_its_length_is_cut(site, generator):
    fields = spec(headers=[("Content-Length", "3")], result=[b"ab", b"cdef"], generator=generator)
    with site.connect() as client:
        assert client.get("/respond", headers=fields).body == b"abc"
        try:
            assert client.get().body == b"Hello!"
        except (Closed, ConnectionError):
            pass  # to end the connection is right as well, but nothing else may come


@pytest.mark.parametrize("generator", [False, True])
def test_a_body_shorter_than_its_length_ends_the_connection(site, generator):
    fields = spec(headers=[("Content-Length", "9")], result=[b"ab", b"c"], generator=generator)
    with site.connect() as client, pytest.raises(Closed) as error:
        client.get("/respond", headers=fields)
    assert error.value.args == (b"abc",)


@pytest.mark.parametrize("result", ["b''", "set()", "{}", "range(0)"])
def test_anything_empty_has_no_length_to_find_out(site, result):
    text = f"start('200 OK', []); result = {result}"
    response = site.get("/run", headers=code(text))
    assert (response["Content-Length"], response.body) == ("0", b"")


def test_generator_is_chunked(site):
    with site.connect() as client:
        response = client.get("/respond", headers=spec(result=[b"ab", b"", b"c"], generator=True))
        assert response["Transfer-Encoding"] == "chunked"
        assert response.body == b"abc"
        assert client.get().body == b"Hello!"


@pytest.mark.parametrize(
    ("minimum", "sizes"), [(None, [5000, 4000]), (0, [1000] * 9), (2500, [3000] * 3)]
)
def test_small_blocks_are_gathered(site, minimum, sizes):
    text = "start('200 OK', []); result = (b'x' * 1000 for _ in range(9))"
    if minimum is not None:
        text += f"; env['eventlet.minimum_write_chunk_size'] = {minimum}"
    response = site.get("/run", headers=code(text))
    assert [len(chunk) for chunk in response.chunks] == sizes


def test_minimum_chunk_size(serve):
    server = serve("minimum_chunk_size=1")
    response = server.get("/respond", headers=spec(result=[b"a", b"b"], generator=True))
    assert response.chunks == [b"a", b"b"]


def test_write(site):
    with site.connect() as client:
        response = client.get("/respond", headers=spec(write=[b"a", b"b"], result=[b"c"]))
        assert response["Transfer-Encoding"] == "chunked"
        assert response.body == b"abc"
        fields = spec(headers=[("Content-Length", "2")], write=[b"a"], result=[b"b"])
        assert client.get("/respond", headers=fields).body == b"ab"
        assert client.get().body == b"Hello!"


def test_write_sends_at_once(site):
    text = "w = start('200 OK', [])\nw(b'first')\n"
    text += "from __main__ import event\nevent('write').wait()\nresult = [b'second']"
    with site.connect() as client:
        request = f"GET /run HTTP/1.1\r\nHost: t\r\nX-Code: {json.dumps(text)}\r\n\r\n"
        client.send(request)
        client._until(b"first\r\n")
        site.get("/release?write")
        assert b"second" in client._until(b"0\r\n\r\n")


def test_head(site):
    with site.connect() as client:
        for result in ({"result": [b"abc"]}, {"result": [b"abc"], "generator": True}):
            response = client.request("HEAD", "/respond", headers=spec(**result))
            assert response.status == 200
        fields = spec(headers=[("Content-Length", "3")], result=[b"abc"])
        assert client.request("HEAD", "/respond", headers=fields)["Content-Length"] == "3"
        assert client.get().body == b"Hello!"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("result", [[], [b"abc"], [b"a", b"b"]])
def test_responses_without_a_body(site, status, result):
    with site.connect() as client:
        response = client.get("/respond", headers=spec(status=status, result=result))
        assert response.status == int(status[:3])
        assert "Transfer-Encoding" not in response
        assert client.get().body == b"Hello!"
        fields = spec(status=status, headers=[("Content-Length", "3")], result=result)
        response = client.get("/respond", headers=fields)
        assert ("Content-Length" in response) == (response.status == 304)
        assert client.get().body == b"Hello!"


def test_status_without_a_reason(site):
    assert site.get("/respond", headers=spec(status="299 ")).status == 299


def test_names_that_are_not_ascii(site):
    response = site.get("/respond", headers=spec(headers=[("wITH-\xdf-lATIN1-\xff", "\xe9")]))
    assert response["With-\xdf-Latin1-\xff"] == "\xe9"


def test_characters_that_cannot_be_sent():
    from eventlet import wsgi

    assert wsgi._encode_header_line(("x-\xdf", "a b")) == b"x-\xdf: a b\r\n"
    with pytest.raises(UnicodeEncodeError, match=r"'\\u2603'.*header values.*RFC 8187"):
        wsgi._encode_header_line(("x", "\u2603"))
    with pytest.raises(UnicodeEncodeError, match="header names"):
        wsgi._encode_header_line(("\u2603", "x"))
    with pytest.raises(ValueError, match="control character"):
        wsgi._encode_header_line(("x", "a\nb"))


def test_header_names_are_capitalized(serve, site):
    fields = spec(headers=[("x-aBC-d", "1")])
    assert b"\r\nX-Abc-D: 1\r\n" in site.get("/respond", headers=fields).head + b"\r\n"
    server = serve("capitalize_response_headers=False")
    assert b"\r\nx-aBC-d: 1\r\n" in server.get("/respond", headers=fields).head + b"\r\n"


def test_headers_that_come_twice_are_sent_twice(site):
    fields = spec(headers=[("Set-Cookie", "a"), ("Set-Cookie", "b")])
    assert site.get("/respond", headers=fields).all("Set-Cookie") == ["a", "b"]


def test_connection_close_of_the_application(site):
    with site.connect() as client:
        response = client.get("/respond", headers=spec(headers=[("Connection", "close")]))
        assert response.all("Connection") == ["close"]
        assert client.is_closed()


@pytest.mark.parametrize("block", ["bytearray(b'abc')", "memoryview(b'abc')", "'abc'"])
def test_what_an_application_may_yield(site, block):
    for result in (f"[{block}]", f"iter([{block}])"):
        text = f"start('200 OK', []); result = {result}"
        assert site.get("/run", headers=code(text)).body == b"abc"


def test_file_like_results(site):
    text = "start('200 OK', []); result = io.BytesIO(b'a\\n' + b'b' * 100000)"
    assert site.get("/run", headers=code(text)).body == b"a\n" + b"b" * 100000


@pytest.mark.parametrize("path", ["big", "bigblock"])
def test_a_slow_reader_gets_all_of_a_big_body(site, path):
    size = 50 << 20
    with site.connect() as client, site.connect() as other:
        client.send(f"GET /{path}?{size} HTTP/1.1\r\nHost: t\r\n\r\n")
        for _ in range(3):
            # The rest of the world goes on while the first cannot be sent.
            assert other.get().body == b"Hello!"
        response = client.response()
        assert response["Content-Length"] == str(size)
        assert response.body == bytes(range(256)) * (size // 256)
        assert client.get().body == b"Hello!"


# ------------------------------------------------------------------------------------------------
# close() and failures


@pytest.mark.parametrize(
    ("name", "what", "status"),
    [
        ("plain", {"blocks": [b"a", b"b"]}, 200),
        ("empty", {"blocks": []}, 200),
        ("cut", {"blocks": [b"abc"], "headers": [("Content-Length", "1")]}, 200),
        ("text", {"blocks": ["\xe9"]}, 500),
        ("number", {"blocks": [1]}, 500),
        ("none", {"blocks": [None]}, 500),
    ],
)
def test_close_is_called(site, name, what, status):
    assert site.get("/closing", headers=spec(name=name, **what)).status == status
    site.wait_out(f"^closed {name}$")


def test_close_is_called_when_the_body_fails(site):
    text = "from __main__ import Body; start('200 OK', []); "
    text += "result = Body([], 'before', ValueError('the end'))"
    response = site.get("/run", headers=code(text))
    assert response.status == 500
    assert b"ValueError: the end" in response.body
    site.wait_out("^closed before$")
    text = text.replace("[],", "[b'x' * 5000],").replace("before", "middle")
    text = text.replace("start('200 OK', [],)", "start('200 OK', [])")
    text = text.replace("[b'x' * 5000],)", "[])", 1)
    with site.connect() as client, pytest.raises(Closed):
        client.get("/run", headers=code(text))
    site.wait_out("^closed middle$")
    site.wait_log("ValueError: the end", 2)


def test_close_is_called_when_the_client_has_gone(site):
    with site.connect() as client:
        text = "from __main__ import Body; start('200 OK', []); import itertools; "
        text += "result = Body(itertools.repeat(b'x' * 65536), 'gone')"
        client.send(f"GET /run HTTP/1.1\r\nHost: t\r\nX-Code: {json.dumps(text)}\r\n\r\n")
        client.exactly(1000)
        client.reset()
    site.wait_out("^closed gone$")
    assert "Traceback" not in "\n".join(site.log)


def test_close_that_fails(site):
    text = "from __main__ import Body; start('200 OK', []); "
    text += "result = Body([b'abc'], 'failing', close_error=ValueError('in close'))"
    with site.connect() as client:
        # All of the body has been sent or nothing, depending on when it is sent; never both.
        response = client.get("/run", headers=code(text))
        assert response.status in {200, 500}
        assert client.is_closed()
    site.wait_log("ValueError: in close")


FAILURES = {
    "never called": "result = []",
    "never called, with a body": "result = [b'abc']",
    "never called, generator": "result = iter([b'abc'])",
    "None": "start('200 OK', []); result = None",
    "number": "start('200 OK', []); result = 7",
    "raises before": "raise ValueError('oops')",
    "raises after": "start('200 OK', []); raise ValueError('oops')",
    "header not a pair": "start('200 OK', [('a',)]); result = []",
    "header bytes": "start('200 OK', [(b'a', 'b')]); result = []",
    "header wide": "start('200 OK', [('a', '\\u20ac')]); result = []",
    "header None": "start('200 OK', None); result = []",
    "status None": "start(None, []); result = []",
    "status bytes": "start(b'200 OK', []); result = []",
    "status without a number": "start('OK', []); result = []",
    "status too long": "start('2000 OK', []); result = []",
    "CR in header": "start('200 OK', [('a', 'b\\rc')]); result = []",
    "LF in header": "start('200 OK', [('a', 'b\\nc')]); result = []",
    "CRLF in header": "start('200 OK', [('a', 'b\\r\\nX-Split: 1')]); result = []",
    "NUL in header": "start('200 OK', [('a', 'b\\0')]); result = []",
    "CRLF in name": "start('200 OK', [('a\\r\\nb', 'c')]); result = []",
    "space in name": "start('200 OK', [('a b', 'c')]); result = []",
    "colon in name": "start('200 OK', [('a:', 'c')]); result = []",
    "empty name": "start('200 OK', [('', 'c')]); result = []",
    "CRLF in status": "start('200 OK\\r\\nX-Split: 1', []); result = []",
    "LF in status": "start('200 OK\\n', []); result = []",
    "bad length": "start('200 OK', [('Content-Length', 'x')]); result = []",
    "negative length": "start('200 OK', [('Content-Length', '-1')]); result = []",
    "two lengths": "start('200 OK', [('Content-Length', '1'), ('Content-Length', '2')]); result=[]",
    "Timeout": "import eventlet; raise eventlet.Timeout()",
    "of its own connections": "raise ConnectionRefusedError('the database')",
    "of its own time limits": "raise TimeoutError('the database')",
    "of its own descriptors": "import os; os.read(999, 1)",
}


@pytest.mark.parametrize("name", FAILURES)
def test_failures_before_the_head(site, name):
    with site.connect() as client:
        response = client.get("/run", headers=code(FAILURES[name]))
        assert response.status == 500
        assert response.reason == "Internal Server Error"
        assert b"Traceback" in response.body or b"Error" in response.body
        assert "X-Split" not in response
        assert response["Connection"] == "close"
        assert client.is_closed()
    site.wait_log(r'"GET /run HTTP/1.1" 500 ')
    assert [line for line in site.log if "Error" in line or "Timeout" in line]


def test_failures_without_debug(serve):
    server = serve("debug=False")
    with server.connect() as client:
        response = client.get("/run", headers=code("raise ValueError('secret')"))
        assert response.status == 500
        assert response.body == b""
        assert client.is_closed()
    server.wait_log("ValueError: secret")


def test_failures_to_head_and_http10(site):
    with site.connect() as client:
        response = client.request("HEAD", "/run", headers=code("raise ValueError"))
        assert response.status == 500
        assert client.is_closed()
    response = site.get("/run", headers=code("raise ValueError"), version="HTTP/1.0")
    assert response.status == 500


@pytest.mark.parametrize(
    "error", ["ValueError('x')", "ConnectionRefusedError('x')", "TimeoutError('x')"]
)
def test_failures_after_the_head_end_the_connection(site, error):
    text = f"start('200 OK', [])(b'begun')\nraise {error}"
    with site.connect() as client:
        client.send(f"GET /run HTTP/1.1\r\nHost: t\r\nX-Code: {json.dumps(text)}\r\n\r\n")
        assert client.rest().endswith(b"5\r\nbegun\r\n")
    site.wait_log(error.partition("(")[0])


def test_start_response_twice(site):
    text = "start('200 OK', [])(b'x')\ntry:\n    start('500 No', [])\nexcept AssertionError:\n"
    text += "    result = [b'refused']"
    assert site.get("/run", headers=code(text)).body == b"xrefused"


def test_start_response_with_exc_info(site):
    text = "start('200 OK', [('A', 'b')])\ntry:\n    1/0\nexcept Exception:\n"
    text += "    start('503 Sorry', [('C', 'd')], sys.exc_info())\nresult = [b'sorry']"
    response = site.get("/run", headers=code(text))
    assert (response.status, response.reason, response.body) == (503, "Sorry", b"sorry")
    assert "A" not in response
    assert response["C"] == "d"


def test_start_response_with_exc_info_too_late(site):
    text = "start('200 OK', [])(b'begun')\ntry:\n    1/0\nexcept Exception:\n"
    text += "    start('503 Sorry', [], sys.exc_info())\nresult = [b'sorry']"
    with site.connect() as client:
        client.send(f"GET /run HTTP/1.1\r\nHost: t\r\nX-Code: {json.dumps(text)}\r\n\r\n")
        assert client.rest().endswith(b"5\r\nbegun\r\n")
    site.wait_log("ZeroDivisionError")


def test_start_response_by_keyword(site):
    text = "start(status='200 OK', response_headers=[], exc_info=None); result = [b'x']"
    assert site.get("/run", headers=code(text)).body == b"x"


def test_validator_is_silent(serve):
    source = (
        SITE
        + "\nfrom wsgiref.validate import validator\n"
        + (
            "def plain(env, start):\n"
            "    env['wsgi.input'].read(3)\n"
            "    start('200 OK', [('Content-Type', 'text/plain')])\n"
            "    return [b'a', b'b']\n"
            "def app(env, start):\n"
            "    del env['headers_raw']  # the one key without a dot that is no string\n"
            "    return validator(plain)(env, start)\n"
        )
    )
    server = serve(source=source, env={"PYTHONWARNINGS": "error"})
    with server.connect() as client:
        assert client.get("/?q").body == b"ab"
        assert client.post("/?", b"body").body == b"ab"
        assert client.request("HEAD", "/?").status == 200
    server.wait_log("HEAD")
    server.stop()
    assert "Traceback" not in "\n".join(server.log)


# ------------------------------------------------------------------------------------------------
# The log

LOG_LINE = (
    r'127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4} \d\d:\d\d:\d\d\] "GET /query\?a%%b HTTP/1\.1" 200 (\d+) '
    r"\d+\.\d{6}"
)


def test_log_line(site):
    response = site.get("/query?a%%b")
    line = site.wait_log("/query")
    found = re.fullmatch(LOG_LINE, line)
    assert found, line
    assert int(found[1]) == len(response.head) + 4 + len(response.body)


def test_log_of_what_is_refused(site):
    with site.connect() as client:
        client.send("nonsense\r\n\r\n")
        assert client.response().status == 400
    assert re.search(r'127\.0\.0\.1 - - \[.*\] "-" 400 \d+ ', site.wait_log(" 400 "))


def test_log_x_forwarded_for(serve, site):
    fields = [("X-Forwarded-For", "1.2.3.4, 5.6.7.8")]
    site.get("/query?forwarded", headers=fields)
    assert site.wait_log("forwarded").startswith("1.2.3.4,5.6.7.8,127.0.0.1 - - ")
    server = serve("log_x_forwarded_for=False")
    server.get("/query?forwarded", headers=fields)
    assert server.wait_log("forwarded").startswith("127.0.0.1 - - ")


def test_log_format(serve):
    server = serve(
        "log_format='%(client_ip)s|%(client_port)s|%(date_time)s|%(request_line)s|"
        "%(status_code)s|%(body_length)s|%(wall_seconds).1f|100%%'"
    )
    with server.connect() as client:
        client.get("/query?x")
        port = client.sock.getsockname()[1]
    line = server.wait_log("query")
    pattern = rf"127\.0\.0\.1\|{port}\|.*\|GET /query\?x HTTP/1\.1\|200\|\d+\|\d\.\d\|100%"
    assert re.fullmatch(pattern, line), line


def test_log_object_and_file(serve, tmp_path):
    source = SITE + (
        "\nimport logging\nlogging.basicConfig(level=logging.INFO, format='LOGGED %(message)s')"
    )
    server = serve("log=logging.getLogger('x')", source=source)
    server.get("/query?100%25s%d")
    assert server.wait_log("/query").startswith("LOGGED 127.0.0.1 - - ")
    server.wait_log("LOGGED .* wsgi starting up on http://127")
    path = tmp_path / "log"
    server = serve(f"log=open({str(path)!r}, 'w', 1)")
    server.get("/query?file")
    server.wait_until(lambda: "file" in path.read_text())
    server.stop()
    assert '"GET /query?file HTTP/1.1" 200' in path.read_text()
    assert server.log == []


def test_log_off(serve):
    server = serve("log_output=False")
    server.get("/query?x")
    with server.connect() as client:
        client.send("nonsense\r\n\r\n")
        assert client.response().status == 400
    server.stop()
    assert server.log == []


def test_start_and_end_are_logged(serve):
    server = serve()
    pid = server.process.pid
    port = server.address[1]
    server.wait_log(rf"^\({pid}\) wsgi starting up on http://127\.0\.0\.1:{port}$")
    assert server.stop() == 0
    assert server.log[-2:] == ["wsgi exiting", f"({pid}) wsgi exited"]


# ------------------------------------------------------------------------------------------------
# Options


LISTENS = """
def main(sock, options):
    import eventlet, os
    from eventlet import hubs
    eventlet.spawn(wsgi.server, sock, app, **options)
    while True:
        hubs.trampoline(0, read=True)
        event(os.read(0, 1000).decode().strip()).send()
"""


def test_max_size(serve):
    server = serve("max_size=2", SITE + LISTENS)
    with server.connect() as first, server.connect() as second, server.connect() as third:
        for name, client in (("first", first), ("second", second)):
            client.send(f"GET /wait?{name} HTTP/1.1\r\nHost: t\r\n\r\n")
            server.wait_out(f"waiting {name}")
        third.send("GET /release?first HTTP/1.1\r\nHost: t\r\n\r\n")
        third.sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            third.response()
        third.sock.settimeout(PATIENCE)
        tell(server, "second")
        assert second.response().body == b"waited"
        assert third.response().body == b"released"
        assert first.response().body == b"waited"


def test_max_size_many(serve):
    server = serve("max_size=3")
    clients = [server.connect() for _ in range(50)]
    for client in clients:
        client.send(GET.replace(b"Host", b"Connection: close\r\nHost"))
    for client in clients:
        assert client.response().body == b"Hello!"
        assert client.is_closed()
        client.close()
    stats = json.loads(server.get("/stats").body)
    assert (stats["accepted"], stats["connections"]) == (51, 1)


def test_keepalive_off(serve):
    for value in ("False", "0", "None"):
        server = serve(f"keepalive={value}")
        with server.connect() as client:
            assert client.get()["Connection"] == "close"
            assert client.is_closed()


def test_keepalive_seconds(serve):
    server = serve("keepalive=0.2")
    with server.connect() as client:
        assert client.get().body == b"Hello!"
        assert client.is_closed()
    with server.connect() as client:  # without any request, too
        assert client.is_closed()
    server = serve("keepalive=75")
    fields = [("Connection", "keep-alive")]
    response = server.get(headers=fields, version="HTTP/1.0")
    assert response["Keep-Alive"] == "timeout=75"


def test_keepalive_seconds_are_for_idle_connections(serve):
    server = serve("keepalive=0.2")
    with server.connect() as busy, server.connect() as idle, server.connect() as helper:
        busy.get()
        idle.get()
        busy.send("GET /wait?busy HTTP/1.1\r\nHost: t\r\n\r\n")
        idle.send("GET /idle?idle HTTP/1.1\r\nHost: t\r\n\r\n")
        server.wait_out("waiting busy")
        server.wait_out("waiting idle")
        assert helper.is_closed()  # its time has passed, so theirs would have, too
        with server.connect() as helper:
            helper.get("/release?busy")
            helper.get("/release?idle")
        assert busy.response().body == b"waited"
        assert idle.response().body == b"waited"


def test_socket_timeout(serve):
    server = serve("socket_timeout=0.3")
    with server.connect() as client:  # no head
        assert client.is_closed()
    with server.connect() as client:  # half a head
        client.send("GET / HT")
        assert client.is_closed()
    with server.connect() as client:  # between requests
        assert client.get().body == b"Hello!"
        assert client.is_closed()
    with server.connect() as client:  # half a body
        client.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nabc")
        assert client.response().status == 408
        assert client.is_closed()
    with server.connect() as client:  # nobody reads
        text = "from __main__ import Body; start('200 OK', []); import itertools; "
        text += "result = Body(itertools.repeat(b'x' * 65536), 'unread')"
        client.send(f"GET /run HTTP/1.1\r\nHost: t\r\nX-Code: {json.dumps(text)}\r\n\r\n")
        server.wait_out("closed unread")
    assert "Traceback" not in "\n".join(server.log)
    assert server.get().body == b"Hello!"


def test_a_short_socket_timeout_beats_a_long_keepalive(serve):
    server = serve("socket_timeout=0.2, keepalive=1000")
    with server.connect() as client:
        client.get()
        client.send("GET / HT")
        assert client.is_closed()
    server.wait_log("timed out in the middle of the head")


def test_url_length_limit(serve, site):
    assert site.get("/query?" + "x" * (8192 - 20)).status == 200
    with site.connect() as client:
        assert client.get("/query?" + "x" * 8192).status == 414
        assert client.is_closed()
    server = serve("url_length_limit=100")
    assert server.get("/query?" + "x" * 60).status == 200
    assert server.get("/query?" + "x" * 100).status == 414
    server = serve("url_length_limit=200000")
    assert server.get("/query?" + "x" * 150_000).body == b"x" * 150_000


def test_header_limits(serve, site):
    assert site.get(headers=[("X", "x" * 8000)]).status == 200
    for fields in (
        [("X", "x" * 8192)],
        [(f"X{number}", "x" * 7000) for number in range(11)],
        [(f"X{number}", "") for number in range(1000)],
    ):
        with site.connect() as client:
            assert client.get(headers=fields).status == 431
            assert client.is_closed()


def test_header_limit_of_the_module(serve):
    server = serve(source=SITE + "\nwsgi.MAX_HEADER_LINE = 20000\n")
    assert server.get(headers=[("X", "x" * 19_000)]).status == 200
    assert server.get(headers=[("X", "x" * 21_000)]).status == 431


def test_max_http_version(serve):
    server = serve("max_http_version='HTTP/1.0'")
    with server.connect() as client:
        response = client.get("/respond", headers=spec(result=[b"a"], generator=True))
        assert response.version == "HTTP/1.0"
        assert "Transfer-Encoding" not in response
        assert response.body == b"a"


def test_is_accepting(serve):
    server = serve()
    text = "import eventlet.wsgi as w; w.is_accepting = False; start('200 OK', []); result = []"
    with server.connect() as client:
        client.get()
        assert client.get("/run", headers=code(text)).status == 200
        assert client.get().status == 200
        with server.connect():
            assert client.is_closed()
            assert server.wait() == 0
    assert server.out[-1] == "ended"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ("site=None", "TypeError"),
        ("custom_pool=object()", "AttributeError"),
        ("keepalive='x'", "ValueError"),
    ],
)
def test_wrong_options(serve, options, error):
    source = SITE
    if options.startswith("site"):
        source, options = SITE + "\napp = None\n", ""
    server = serve(options, source=source)
    assert server.wait() == 1
    assert error in server.log[-1]


def test_custom_pool(serve):
    source = SITE + (
        "\nclass Pool:\n"
        "    def __init__(self): self.threads = []\n"
        "    def spawn(self, function, *args):\n"
        "        print('spawned', flush=True)\n"
        "        self.threads.append(eventlet.spawn(function, *args))\n"
        "        return self.threads[-1]\n"
        "    def waitall(self):\n"
        "        print('waiting for all', flush=True)\n"
        "        for thread in self.threads: thread.wait()\n"
        "        print('all ended', flush=True)\n"
    )
    server = serve("custom_pool=Pool()", source=source)
    with server.connect() as client, server.connect() as idle:
        assert client.get().body == b"Hello!"
        assert client.post("/echo", b"abc").body == b"abc"
        client.send(GET * 50)
        for _ in range(50):
            assert client.response().body == b"Hello!"
        assert idle.get().body == b"Hello!"
        client.send("GET /wait?pool HTTP/1.1\r\nHost: t\r\n\r\n")
        server.wait_out("waiting pool")
        server.wait_out("spawned", 2)
        idle.get()  # so that the other waits by now
        server.process.send_signal(signal.SIGINT)
        assert idle.is_closed()
        server.wait_out("waiting for all")
    server.stop(signal.SIGKILL)


# ------------------------------------------------------------------------------------------------
# What is in the environ


def test_posthooks(site):
    text = "start('200 OK', [])\n"
    text += "def hook(env, *a, **k): print('hook', env['PATH_INFO'], a, k, flush=True)\n"
    text += "env['eventlet.posthooks'].append((hook, (1, 2), {'x': 3}))\n"
    text += "env['eventlet.posthooks'].append((lambda env: 1/0, (), {}))\n"
    text += "env['eventlet.posthooks'].append('no hook')\n"
    text += "env['eventlet.posthooks'].append((hook, (), {}))\nresult = [b'hooked']"
    with site.connect() as client:
        assert client.get("/run", headers=code(text)).body == b"hooked"
        site.wait_out(r"^hook /run \(1, 2\) \{'x': 3\}$")
        site.wait_out(r"^hook /run \(\) \{\}$")
        assert client.get().body == b"Hello!"
    site.wait_log("ZeroDivisionError")


def test_posthooks_after_a_failure(site):
    text = (
        "env['eventlet.posthooks'].append((lambda env: print('after failure', flush=True), (), {}))"
    )
    assert site.get("/run", headers=code(text + "\nraise ValueError")).status == 500
    site.wait_out("^after failure$")


def test_get_socket(site):
    pytest.importorskip("eventlet.greenio")
    text = "f = env['eventlet.input']; s = f.get_socket(); s.sendall(b'raw '); "
    text += "s.sendall(f.take_buffered() + s.recv(3))\n"
    text += "from eventlet import wsgi; wsgi.WSGI_LOCAL.already_handled = True; result = []"
    with site.connect() as client:
        client.send(f"GET /run HTTP/1.1\r\nHost: t\r\nX-Code: {json.dumps(text)}\r\n\r\n")
        assert client.exactly(4) == b"raw "
        client.send("abc")
        assert client.rest() == b"abc"
    with site.connect() as client:
        client.send(f"GET /run HTTP/1.1\r\nHost: t\r\nX-Code: {json.dumps(text)}\r\n\r\nearly ")
        assert client.exactly(4) == b"raw "
        client.send("abc")
        assert client.rest() == b"early abc"
    assert "Traceback" not in "\n".join(site.log)


def test_already_handled_is_for_one_request(site):
    text = "from eventlet import wsgi; wsgi.WSGI_LOCAL.already_handled = True; result = []"
    with site.connect() as client:
        client.send(f"GET /run HTTP/1.1\r\nHost: t\r\nX-Code: {json.dumps(text)}\r\n\r\n")
        assert client.rest() == b""
    assert site.get("/run", headers=code("result = []")).status == 500


def test_locals_of_green_threads_do_not_leak(site):
    text = (
        "import contextvars, greenlet, eventlet, __main__\n"
        "if not hasattr(__main__, 'var'): __main__.var = contextvars.ContextVar('var', default=0)\n"
        "seen = __main__.var.get(), getattr(greenlet.getcurrent(), 'mark', 0)\n"
        "__main__.var.set(1); greenlet.getcurrent().mark = 1\n"
        "eventlet.sleep(0)\n"
        "start('200 OK', []); result = [repr(seen).encode()]"
    )
    for _ in range(5):
        assert site.get("/run", headers=code(text)).body == b"(0, 0)"


def test_stats(serve):
    server = serve()
    with server.connect() as first, server.connect() as second:
        first.get()
        second.send("GET /wait?stats HTTP/1.1\r\nHost: t\r\n\r\n")
        server.wait_out("waiting stats")
        stats = json.loads(first.get("/stats").body)
        assert stats == {"accepted": 2, "connections": 2, "requests": 3, "active": 2}


# ------------------------------------------------------------------------------------------------
# The end


def test_interrupt_lets_requests_finish(serve):
    server = serve()
    with server.connect() as idle, server.connect() as busy, server.connect() as flagged:
        idle.get()
        busy.get()
        busy.send("GET /wait?end HTTP/1.1\r\nHost: t\r\n\r\n")
        flagged.send("GET /idle?flagged HTTP/1.1\r\nHost: t\r\n\r\n")
        server.wait_out("waiting end")
        server.wait_out("waiting flagged")
        with server.connect() as late:
            # A request that is on its way when the end comes; it sends the event later.
            late.send("POST /release?end HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\n")
            late.send("x")
            assert late.response().status == 200
        server.process.send_signal(signal.SIGINT)
        assert idle.is_closed()
        assert flagged.is_closed()
        response = busy.response()
        assert response.body == b"waited"
        assert busy.is_closed()


ENDING = (
    SITE
    + r"""
def main(sock, options):
    def run():
        try:
            wsgi.server(sock, app, **options)
            print("returned", flush=True)
        except BaseException as error:
            print("raised", repr(error), flush=True)
            raise
    thread = eventlet.spawn(run)
    for line in read_lines():
        if line == "kill":
            eventlet.spawn(thread.kill)
        elif line == "stop":
            eventlet.spawn(servers[0].stop)
        elif line == "fail":
            eventlet.spawn(thread.kill, RuntimeError("failed"))
        else:
            event(line).send()
    try:
        thread.wait()
    except BaseException as error:
        print("outcome", repr(error), flush=True)

def read_lines():
    from eventlet import hubs
    while True:
        hubs.trampoline(0, read=True)
        data = os.read(0, 1000)
        if not data:
            return
        yield from data.decode().split()
"""
)


def tell(server, line):
    server.process.stdin.write(line + "\n")
    server.process.stdin.flush()


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_kill_lets_requests_finish(serve, how):
    server = serve(source=ENDING)
    with server.connect() as idle, server.connect() as busy:
        idle.get()
        busy.send("GET /wait?end HTTP/1.1\r\nHost: t\r\n\r\n")
        server.wait_out("waiting end")
        tell(server, how)
        assert idle.is_closed()
        tell(server, "end")
        response = busy.response()
        assert response.body == b"waited"
        assert busy.is_closed()
    server.wait_out("raised GreenletExit" if how == "kill" else "returned")
    server.process.stdin.close()
    assert server.wait() == 0
    server.wait_log("wsgi exited")


def test_second_kill_ends_running_requests(serve):
    server = serve(source=ENDING)
    with server.connect() as idle, server.connect() as busy, server.connect() as reading:
        idle.get()
        busy.send("GET /wait?never HTTP/1.1\r\nHost: t\r\n\r\n")
        reading.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nabc")
        server.wait_out("waiting never")
        server.wait_until(lambda: True)
        tell(server, "kill")
        assert idle.is_closed()
        tell(server, "kill")
        assert busy.is_closed()
        assert reading.is_closed()
    server.wait_out("raised GreenletExit")
    server.process.stdin.close()
    assert server.wait() == 0
    assert "Traceback" not in "\n".join(server.log)


def test_a_request_after_the_second_kill_writes_to_nobody(serve):
    """Its connection is closed, and the number of the descriptor may be somebody else's."""
    source = (
        ENDING
        + r"""
real_main = main
def main(sock, options):
    eventlet.spawn(real_main, sock, options)
    wait_for_pair = event("pair")
    wait_for_pair.wait()
    pairs = [socket.socketpair() for _ in range(10)]
    event("late").send()
    eventlet.sleep(0.05)
    for a, b in pairs:
        for end in (a, b):
            end.setblocking(False)
            try:
                print("stranger got", end.recv(100), flush=True)
            except BlockingIOError:
                pass
    print("checked", flush=True)
"""
    )
    server = serve(source=source)
    with server.connect() as busy:
        busy.send("GET /wait?late HTTP/1.1\r\nHost: t\r\n\r\n")
        server.wait_out("waiting late")
        tell(server, "kill")
        tell(server, "kill")
        assert busy.is_closed()
        server.wait_out("raised GreenletExit")
        tell(server, "pair")
        server.wait_out("checked")
        assert not [line for line in server.out if "stranger" in line]


def test_other_exceptions_come_out(serve):
    server = serve(source=ENDING)
    server.get()
    tell(server, "fail")
    server.wait_out("raised RuntimeError")


def test_serving_again_on_the_same_number(serve):
    source = (
        SITE
        + r"""
def main(sock, options):
    for _ in range(3):
        number = sock.fileno()
        thread = eventlet.spawn(wsgi.server, sock, app, **options)
        event("next").wait()
        events.clear()
        thread.kill()
        assert sock.fileno() == -1
        sock = socket.create_server(("127.0.0.1", 0))
        assert sock.fileno() == number
        print("port", sock.getsockname()[1], flush=True)
"""
    )
    server = serve(source=source)
    for number in range(1, 4):
        assert server.get().body == b"Hello!"
        with server.connect() as client:
            client.send("GET /release?next HTTP/1.1\r\nHost: t\r\n\r\n")
            port = int(server.wait_out("^port", number).split()[1])
        server.address = ("127.0.0.1", port)


def test_connections_that_wait_when_the_server_starts(serve):
    source = (
        SITE
        + r"""
def main(sock, options):
    print("not yet", flush=True)
    sys.stdin.readline()
    wsgi.server(sock, app, **options)
"""
    )
    server = serve(source=source)
    clients = [server.connect() for _ in range(5)]
    for client in clients:
        client.send("GET /wait?early HTTP/1.1\r\nHost: t\r\n\r\n")
    tell(server, "go")
    server.wait_out("waiting early", 5)
    server.get("/release?early")
    for client in clients:
        assert client.response().body == b"waited"
        client.close()
    assert server.stop() == 0


def test_a_server_in_another_thread(serve):
    source = (
        SITE
        + r"""
import threading
def main(sock, options):
    def run():
        wsgi.server(sock, app, **options)
        print("returned", flush=True)
    thread = threading.Thread(target=run)
    thread.start()
    sys.stdin.readline()
    print(sorted(servers[0].stats().items()), flush=True)
    servers[0].stop()
    thread.join()
"""
    )
    server = serve(source=source)
    with server.connect() as client:
        assert client.get().body == b"Hello!"
        tell(server, "stop")
        server.wait_out("accepted")
        assert client.is_closed()
    server.wait_out("returned")
    assert server.wait() == 0


def test_two_servers_in_one_thread(serve):
    source = (
        SITE
        + r"""
def main(sock, options):
    other = socket.create_server(("127.0.0.1", 0))
    print("port", other.getsockname()[1], flush=True)
    eventlet.spawn(wsgi.server, other, lambda env, start: (start("200 OK", []), [b"other"])[1])
    wsgi.server(sock, app, **options)
"""
    )
    server = serve(source=source)
    assert server.get().body == b"Hello!"
    first, server.address = server.address, ("127.0.0.1", int(server.wait_out("port").split()[1]))
    assert server.get().body == b"other"
    server.address = first
    assert server.get().body == b"Hello!"


def test_the_listening_socket_is_closed_at_the_end(serve):
    server = serve()
    server.get()
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        server.connect()
