"""The WSGI server's limits: on time, on size, on numbers, and on memory.

Time-outs are short here, so that what is cut off is cut off soon; what is not cut off is shown by
what it does, never by waiting.
"""

import json
import os
import re
import socket
import time

import pytest

from support.http_server import PATIENCE, Client
from support.wsgi_site import GET, SITE, chunked

#: A server that accepts in Python: the connections are objects in green threads of their own.
OBJECTS = """
def main(sock, options):
    from eventlet.greenio import GreenSocket
    class Listener(GreenSocket):
        def accept(self):
            return super().accept()
    listener = Listener(fileno=sock.detach())
    wsgi.server(listener, app, **options)
"""


@pytest.fixture(params=["descriptor", "object"])
def start(request, serve):
    """Start a server with either kind of connection."""

    def begin(options=""):
        return serve(options, SITE if request.param == "descriptor" else SITE + OBJECTS)

    return begin


def trickle(client, data):
    """Send a byte every hundredth of a second until the server answers; return how many went."""
    client.sock.settimeout(0.01)
    try:
        for count, byte in enumerate(data):
            try:
                client.send(bytes([byte]))
            except OSError:
                return count
            try:
                if not client._more():
                    return count
            except TimeoutError:
                continue
            except ConnectionResetError:
                return count
            return count + 1
        return len(data)
    finally:
        client.sock.settimeout(PATIENCE)


# ------------------------------------------------------------------------------------------------
# Time


def test_a_head_has_its_time_in_all(start):
    server = start("head_timeout=0.3")
    with server.connect() as client:
        sent = trickle(client, b"GET / HTTP/1.1\r\nHost: t\r\nX: " + b"x" * 5000)
        assert 5 < sent < 2000
        assert client.response().status == 408
        assert client.is_closed()
    assert server.get().body == b"Hello!"
    assert "Traceback" not in "\n".join(server.log)


def test_a_slow_head_is_told_why_and_logged_for_debugging_only(serve, start):
    server = start("head_timeout=0.1")
    with server.connect() as client:
        client.send("GET / HT")
        response = client.response()
        assert (response.status, response.reason) == (408, "Request Timeout")
        assert response["Connection"] == "close"
        assert client.is_closed()
    server.wait_log("did not send the head of a request in time")
    assert not [line for line in server.log if " 408 " in line]
    quiet = serve("head_timeout=0.1, debug=False")
    with quiet.connect() as client:
        client.send("GET / HT")
        assert client.response().status == 408
    assert quiet.get().body == b"Hello!"
    quiet.wait_log('"GET / HTTP/1.1" 200')
    assert not [line for line in quiet.log if "in time" in line]


def test_a_client_that_sends_nothing_is_closed_in_silence(start):
    server = start("head_timeout=0.1")
    with server.connect() as client:
        assert client.is_closed()
    with server.connect() as client:
        client.send("\r\n")  # not the beginning of a request
        assert client.is_closed()


def test_the_time_of_a_head_begins_with_its_first_byte(start):
    server = start("head_timeout=0.3")
    with server.connect() as client, server.connect() as other:
        assert client.get().body == b"Hello!"
        assert other.is_closed()  # as long as a head may take
        # The first connection has had that time between two requests.
        assert client.get().body == b"Hello!"
        client.send("GET / HTTP/1.1\r\n")
        assert client.response().status == 408


def test_the_head_of_a_pipelined_request_has_its_time(start):
    server = start("head_timeout=0.2")
    with server.connect() as client:
        client.send(GET + b"GET / HTTP")
        assert client.response().body == b"Hello!"
        assert client.response().status == 408
        assert client.is_closed()


def test_a_request_may_run_for_longer_than_its_head(start):
    server = start("head_timeout=0.1")
    with server.connect() as client, server.connect() as other:
        client.send("GET /wait?x HTTP/1.1\r\nHost: t\r\n\r\n")
        server.wait_out("waiting x")
        assert other.is_closed()
        assert server.get("/release?x").body == b"released"
        assert client.response().body == b"waited"


@pytest.mark.parametrize("head", ["Content-Length: 9", "Transfer-Encoding: chunked"])
def test_a_body_that_stops(start, head):
    server = start("body_timeout=0.1")
    with server.connect() as client:
        client.send(f"POST /echo HTTP/1.1\r\nHost: t\r\n{head}\r\n\r\n")
        assert client.response().status == 408
        assert client.is_closed()
    server.wait_log("too slow in the middle of a request")


def test_a_body_that_goes_on_is_read(start):
    server = start("body_timeout=0.4")
    with server.connect() as client:
        client.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 60\r\n\r\n")
        trickle(client, b"x" * 60)
        assert client.response().body == b"x" * 60


def test_what_is_no_data_is_no_progress_of_a_body(start):
    server = start("body_timeout=0.3")
    with server.connect() as client:
        client.send("POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n1;")
        assert trickle(client, b"x" * 4000) < 2000
        assert client.response().status == 408


def test_an_unread_body_is_not_read_for_ever(start):
    server = start("body_timeout=0.3")
    with server.connect() as client:
        client.send("POST /ignore HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n")
        assert client.response().body == b"ignored"
        assert trickle(client, b"x" * 4000) < 2000


def test_a_client_that_does_not_read(start):
    server = start("send_timeout=0.2")
    text = "from __main__ import Body; start('200 OK', []); import itertools; "
    text += "result = Body(itertools.repeat(b'x' * 65536), 'unread')"
    with server.connect() as client:
        client.send(f"GET /run HTTP/1.1\r\nHost: t\r\nX-Code: {json.dumps(text)}\r\n\r\n")
        server.wait_out("closed unread")
    assert "Traceback" not in "\n".join(server.log)
    server.wait_log("too slow in the middle of a request")


def test_a_client_that_reads_slowly_gets_all(start):
    """Although the kernel says only now and then that there is room for more."""
    server = start("send_timeout=0.3")
    size = 6_000_000
    client = Client.__new__(Client)
    client.buffer = b""
    with socket.socket() as client.sock:
        client.sock.settimeout(PATIENCE)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20_000)
        client.sock.connect(server.address)
        client.send(f"GET /bigblock?{size} HTTP/1.1\r\nHost: t\r\n\r\n")
        client._until(b"\r\n\r\n")
        ends = time.monotonic() + 1  # longer than it may go without progress
        received = 0
        while time.monotonic() < ends:
            received += len(client.exactly(10_000))
            time.sleep(0.01)
        received += len(client.exactly(size // 256 * 256 - received))
        assert received > size - 256


def test_socket_timeout_takes_the_place_of_the_others(start):
    server = start("socket_timeout=0.1, body_timeout=1000, send_timeout=1000")
    with server.connect() as client:
        client.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\n")
        assert client.response().status == 408
        assert client.is_closed()


def test_no_limit(start):
    server = start("head_timeout=None, body_timeout=None, send_timeout=None")
    with server.connect() as client:
        trickle(client, b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        assert client.response().body == b"Hello!"


# ------------------------------------------------------------------------------------------------
# Numbers


def test_requests_of_a_connection(start):
    server = start("max_requests_per_connection=3")
    with server.connect() as client:
        assert "Connection" not in client.get()
        assert "Connection" not in client.get()
        assert client.get()["Connection"] == "close"
        assert client.is_closed()
    with server.connect() as client:
        client.send(GET * 5)
        for _ in range(3):
            assert client.response().body == b"Hello!"
        assert client.is_closed()
    server = start("max_requests_per_connection=1")
    assert server.get()["Connection"] == "close"


@pytest.fixture
def connected():
    clients = []

    def connect(server):
        clients.append(server.connect())
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


def test_idle_connections_make_room(serve, connected):
    server = serve("max_size=4")
    idle = [connected(server) for _ in range(4)]
    for client in idle[1:3]:
        assert client.get().body == b"Hello!"
    # Only the first and the last have not been heard of since the others made their requests.
    with server.connect() as another:
        assert another.get("/stats").status == 200
        assert idle[0].is_closed()


def test_the_longest_idle_goes_first(serve, connected):
    server = serve("max_size=3")
    clients = [connected(server) for _ in range(3)]
    for index in (1, 0, 2):
        assert clients[index].get().body == b"Hello!"
    for index, closed in enumerate((1, 0, 2)):
        late = connected(server)
        late.send(f"GET /wait?{index} HTTP/1.1\r\nHost: t\r\n\r\n")
        server.wait_out(f"waiting {index}")
        assert clients[closed].is_closed()
    with server.connect() as last:
        # All are busy: it has to wait for one of them, whose response is its last.
        last.send("GET /release?1 HTTP/1.1\r\nHost: t\r\n\r\n")
        last.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            last.response()


def test_who_is_busy_ends_with_its_response_while_others_wait(serve):
    server = serve("max_size=1")
    with server.connect() as first, server.connect() as second:
        first.send("GET /run HTTP/1.1\r\nHost: t\r\nX-Code: " + json.dumps(WAITS) + "\r\n\r\n")
        server.wait_out("asleep")
        second.send(GET)
        assert first.response().body == b"awake"
        assert second.response().body == b"Hello!"
        assert first.is_closed()


#: Waits until somebody else waits for a place.
WAITS = """
import eventlet, __main__
print("asleep", flush=True)
eventlet.sleep(0.3)
start("200 OK", [])
result = [b"awake"]
"""


def test_clients_that_come_and_go_get_their_turn(serve, connected):
    server = serve("max_size=5")
    for _ in range(20):
        connected(server)
    for _ in range(10):
        assert server.get(headers=[("Connection", "close")]).body == b"Hello!"


# ------------------------------------------------------------------------------------------------
# Sizes


def test_body_size_by_length(start):
    server = start("max_body_size=1000")
    assert server.get("/").status == 200
    with server.connect() as client:
        assert client.post("/echo", b"x" * 1000).body == b"x" * 1000
        client.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1001\r\n\r\n")
        response = client.response()
        assert (response.status, response.reason) == (413, "Content Too Large")
        assert client.is_closed()
    with server.connect() as client:  # not asked for, either
        client.send(
            "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n"
        )
        assert client.response().status == 413
        assert client.is_closed()


def test_body_size_by_chunks(start):
    server = start("max_body_size=1000")
    head = b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
    with server.connect() as client:
        client.send(head + chunked(b"x" * 500, b"y" * 500))
        assert len(client.response().body) == 1000
        client.send(head + chunked(b"x" * 500, b"y" * 500, b"z"))
        assert client.response().status == 413
        assert client.is_closed()
    with server.connect() as client:  # unread: the response is there already
        client.send(head.replace(b"echo", b"ignore") + chunked(b"x" * 2000))
        assert client.response().body == b"ignored"
        assert client.is_closed()


def test_header_count(start):
    server = start("max_header_count=5")
    fields = [(f"X{number}", "") for number in range(5)]
    assert server.get(headers=fields[:4]).status == 200  # and Host
    assert server.get(headers=fields).status == 431


def test_header_line_and_size(serve):
    server = serve("max_header_line=100, max_header_size=300")
    assert server.get(headers=[("X", "x" * 97)]).status == 200
    assert server.get(headers=[("X", "x" * 98)]).status == 431
    fields = [(f"X{number}", "x" * 90) for number in range(90)]
    assert server.get(headers=fields[:2]).status == 200
    assert server.get(headers=fields).status == 431


# ------------------------------------------------------------------------------------------------
# Memory


def resident(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(r"VmRSS:\s*(\d+) kB", file.read())[1]) * 1024


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: t\r\n" + (b"X: " + b"x" * 8000 + b"\r\n") * 8,
        b"GET /wait?%d HTTP/1.1\r\nHost: t\r\n\r\n" + GET * 30_000,
    ],
    ids=["half a head", "pipelined behind a request that runs"],
)
def test_memory_of_a_connection(serve, connected, data):
    server = serve("log_output=False")
    count, bound = 150, 256 * 1024
    clients = [connected(server) for _ in range(count)]
    server.get("/stats")
    before = resident(server.process.pid)
    for number, client in enumerate(clients):
        client.sock.settimeout(0)
        try:
            # As much as the buffers of the system take, and the server.
            rest = memoryview(data % number if b"%d" in data else data)
            while rest:
                rest = rest[client.sock.send(rest) :]
        except BlockingIOError:
            pass
    stats = json.loads(server.get("/stats").body)
    assert stats["connections"] == count + 1
    if b"wait" in data:
        server.wait_out("waiting", count)
    assert resident(server.process.pid) - before < count * bound
