"""Which requests a WSGI server still serves when it stops: those that are on their way."""

import json

import pytest

from support import certificates
from support.wsgi_site import SITE

#: The site, with clients in the same process: nothing comes between the server and them.
CLIENTS = (
    SITE
    + r"""
import ssl
from eventlet.green import socket as green
from eventlet.green import ssl as green_ssl

GET = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"

class Own(wsgi.HttpProtocol):
    def get_environ(self):
        return super().get_environ()

def serve(sock, options):
    "Have it serve; a function that connects, and one that tells it to stop."
    address = sock.getsockname()
    files = options.pop("files", None)
    trusting = None
    if files:
        trusting = green_ssl.create_default_context(cafile=files[0])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
        sock = context.wrap_socket(sock, server_side=True)
    thread = eventlet.spawn(wsgi.server, sock, app, **options)
    eventlet.sleep(0)
    server = servers[0]

    def connect(secure=True):
        known = server.stats()["accepted"]
        client = green.create_connection(address)
        client.settimeout(20)
        while server.stats()["accepted"] == known:
            eventlet.sleep(0)
        return shake_hands(client) if secure else client

    def shake_hands(client):
        return trusting.wrap_socket(client, server_hostname="localhost") if trusting else client

    return server, thread, connect, shake_hands

def all_of(client):
    received = b""
    try:
        while data := client.recv(65536):
            received += data
    except ConnectionResetError:
        received += b"reset"
    client.close()
    return received

def head_of(client):
    received = b""
    while b"\r\n\r\n" not in received:
        received += client.recv(1)
    return received

def ask(client, request=GET):
    client.sendall(request)
    return client.recv(65536)

def show(name, *values):
    print(json.dumps([name, *(v.decode() if isinstance(v, bytes) else v for v in values)]),
          flush=True)
"""
)


def shown(server):
    """What the program has shown, by name, at its end."""
    server.wait_out("^ended$")
    lines = [json.loads(line) for line in server.out if line.startswith("[")]
    assert not [line for line in server.log if "Traceback" in line], server.log
    return dict(lines)


def is_last(response):
    """Whether it is one good response that says that the connection ends."""
    head, _, body = response.partition("\r\n\r\n")
    lines = head.split("\r\n")
    return lines[0] == "HTTP/1.1 200 OK" and "Connection: close" in lines and body == "Hello!"


@pytest.mark.parametrize(
    "way",
    ["", "custom_pool=eventlet.GreenPool()", "protocol=Own", "tls"],
    ids=["hub", "pool", "protocol", "tls"],
)
def test_requests_that_are_on_their_way_are_served(serve, way, tmp_path):
    source = (
        CLIENTS
        + r"""
def main(sock, options):
    server, thread, connect, shake_hands = serve(sock, options)
    idle, begun, fresh, silent = connect(), connect(), connect(secure=False), connect(secure=False)
    assert ask(idle).endswith(b"Hello!")
    begun.sendall(GET[:20])
    # A turn for the beginning of the request to be read.
    assert ask(idle).endswith(b"Hello!")
    eventlet.spawn(server.stop)
    show("idle", all_of(idle))
    fresh = shake_hands(fresh)
    fresh.sendall(GET)
    show("fresh", all_of(fresh))
    show("silent", all_of(silent))
    show("ended", thread.dead)
    # Whoever has begun has the time that a request may take.
    begun.sendall(GET[20:])
    show("begun", all_of(begun))
    thread.wait()
"""
    )
    if way == "tls":
        way = f"files={tuple(map(str, certificates.make(tmp_path)))}"
    found = shown(serve(way, source=source))
    assert is_last(found["fresh"]), found
    assert is_last(found["begun"]), found
    assert (found["idle"], found["silent"], found["ended"]) == ("", "", False)


@pytest.mark.parametrize("way", ["", "custom_pool=eventlet.GreenPool()"], ids=["hub", "pool"])
def test_the_next_request_that_is_here_is_served(serve, way):
    source = (
        CLIENTS
        + r"""
def main(sock, options):
    server, thread, connect, _ = serve(sock, options)
    idle, used = connect(), connect()
    ask(idle), ask(used)
    def block():
        # The server is told to stop while the request is in the system's hands.
        used.sendall(GET)
        server._native.drain(late=False)
        eventlet.spawn(server.stop)
    eventlet.spawn(block)
    show("idle", all_of(idle))
    show("used", all_of(used))
    thread.wait()
"""
    )
    found = shown(serve(way, source=source))
    assert found["idle"] == ""
    assert is_last(found["used"]), found


def test_the_next_request_after_a_response_that_promised_more_is_served(serve):
    source = (
        CLIENTS
        + r"""
def stream(env, start):
    ok(start)
    yield b"a"
    event("go on").wait()
    yield b"b"

def main(sock, options):
    server, thread, connect, _ = serve(sock, options)
    client, idle = connect(), connect()
    client.sendall(GET.replace(b"/", b"/stream", 1))
    show("head", head_of(client))
    client.sendall(GET)
    ask(idle)
    eventlet.spawn(server.stop)
    all_of(idle)
    event("go on").send()
    show("rest", all_of(client))
    thread.wait()
"""
    )
    found = shown(serve("minimum_chunk_size=0", source=source))
    assert "Connection: close" not in found["head"]
    chunks, _, last = found["rest"].partition("0\r\n\r\n")
    assert chunks == "1\r\na\r\n1\r\nb\r\n"
    assert is_last(last), found


def test_a_request_that_may_be_cut_short_does_not_hold_up_a_stop_that_has_begun(serve):
    source = (
        CLIENTS
        + r"""
def late(env, start):
    event("go on").wait()
    env["eventlet.set_idle"]()
    event("never").wait()

def main(sock, options):
    server, thread, connect, _ = serve(sock, options)
    client, idle = connect(), connect()
    client.sendall(GET.replace(b"/", b"/late", 1))
    ask(idle)
    eventlet.spawn(server.stop)
    all_of(idle)
    event("go on").send()
    show("late", all_of(client))
    thread.wait()
"""
    )
    assert shown(serve(source=source)) == {"late": ""}


@pytest.mark.parametrize("way", ["", "custom_pool=eventlet.GreenPool()"], ids=["hub", "pool"])
def test_who_has_only_connected_is_no_running_request(serve, way):
    source = (
        CLIENTS
        + r"""
def main(sock, options):
    server, thread, connect, _ = serve(sock, options)
    silent = connect()
    show("in time", server.stop(timeout=0.01))
    show("silent", all_of(silent))
    thread.wait()
"""
    )
    assert shown(serve(way, source=source)) == {"in time": True, "silent": ""}
