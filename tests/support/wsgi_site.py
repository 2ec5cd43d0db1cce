"""The applications that the tests of the WSGI server serve, and the fixtures that serve them."""

from __future__ import annotations

import json

import pytest

from support.http_server import Server

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

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"

#: The same, told by lines of its standard input to end, or to release those who wait.
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


@pytest.fixture(scope="module")
def shared_site():
    server = Server(SITE)
    yield server
    server.kill()


@pytest.fixture
def site(shared_site):
    """The server of the applications above; it must answer a normal request after the test."""
    shared_site.clear()
    yield shared_site
    assert shared_site.get().body == b"Hello!"


@pytest.fixture
def start_server():
    """A function that starts a server, as `Server` does; all of them are killed at the end."""
    servers = []

    def start(*args, **kwargs):
        servers.append(Server(*args, **kwargs))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.fixture
def serve(start_server):
    """A function that starts a server of the applications above."""

    def start(options="", source=SITE, **kwargs):
        return start_server(source, options, **kwargs)

    return start


def environ_of(response):
    return json.loads(response.body)


def spec(**kwargs):
    return [("X-Spec", repr(kwargs))]


def code(text):
    return [("X-Code", json.dumps(text))]


def chunked(*blocks, end=b"0\r\n\r\n"):
    return b"".join(b"%x\r\n%s\r\n" % (len(block), block) for block in blocks) + end


def tell(server, line):
    server.process.stdin.write(line + "\n")
    server.process.stdin.flush()
