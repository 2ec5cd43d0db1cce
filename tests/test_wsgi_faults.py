"""The WSGI server against clients that misbehave and systems that run short.

Nothing that a client does may stop the server, show a traceback, or leave anything behind.
"""

import contextlib
import json
import os
import signal
import socket
import time
from itertools import pairwise

import pytest

from support.http_server import Server
from support.wsgi_site import ENDING, GET, SITE, code, tell


@pytest.fixture(scope="module")
def shared():
    server = Server(SITE)
    yield server
    server.kill()


@pytest.fixture
def site(shared):
    """A server that must be in order after the test, and must have said nothing but its log."""
    shared.clear()
    yield shared
    with shared.connect() as client:
        assert client.get().body == b"Hello!"
        shared.wait_until(lambda: stats(client)["connections"] == 1)
    noise = [line for line in shared.log if " - - [" not in line and "starting up" not in line]
    assert noise == []
    assert shared.process.poll() is None


def stats(client):
    return json.loads(client.get("/stats").body)


# ------------------------------------------------------------------------------------------------
# Clients


def test_reset_before_accept(serve):
    source = (
        SITE
        + r"""
def main(sock, options):
    sys.stdin.readline()
    wsgi.server(sock, app, **options)
"""
    )
    server = serve(source=source)
    for _ in range(20):
        server.connect().reset()
    with server.connect() as client:
        client.send(GET)
        tell(server, "go")
        assert client.response().body == b"Hello!"
        assert stats(client)["connections"] == 1
    assert len(server.log) <= 3


def test_clients_that_say_nothing(site):
    for _ in range(20):
        site.connect().close()
        site.connect().reset()


GARBAGE = [
    b"\0" * 100,
    b"\xff\xfe\xfd\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 200,
    b"GET /\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/2.0\r\nHost: t\r\n\r\n",
    b"GET / HTTP/1.1\nHost: t\n\n",
    b"GET  / HTTP/1.1\r\nHost: t\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : t\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: t\r\nHost: u\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: t\r\n folded: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: t\r\nX: a\0b\r\n\r\n",
    b"GET /\x01 HTTP/1.1\r\nHost: t\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: +1\r\n\r\nx",
    b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999999999999999\r\n\r\nx",
    b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: xchunked\r\n\r\n",
    b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"x" * (1 << 20),
    b"GET / HTTP/1.1\r\nHost: t\r\nX: " + b"x" * (1 << 20),
    b"GET / HTTP/1.1\r\nHost: t\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
    b"\r\n" * 10_000,
]


@pytest.mark.parametrize("data", GARBAGE, ids=range(len(GARBAGE)))
@pytest.mark.parametrize("way", ["at once", "byte by byte", "after a request"])
def test_garbage_is_refused_once(site, data, way):
    with site.connect() as client:
        if way == "after a request":
            assert client.get().body == b"Hello!"
        try:
            if way == "byte by byte":
                for at in range(min(len(data), 300)):
                    client.send(data[at : at + 1])
                data = data[300:]
            client.send(data)
        except OSError:
            pass
        try:
            response = client.response()
            assert response.status in {400, 414, 417, 431, 501, 505}
            assert response["Connection"] == "close"
            assert client.is_closed()
        except ConnectionResetError:
            # The kernel may throw the answer away if this side was still sending.
            assert len(data) > 500_000
    site.wait_log(" (400|414|417|431|501|505) ")
    assert len([line for line in site.log if '"-"' in line]) == 1


@pytest.mark.parametrize("end", ["close", "reset", "half"])
@pytest.mark.parametrize(
    "data",
    [
        b"G",
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nHost: t\r\n\r",
        b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\nabc",
        b"POST /ignore HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\nabc",
        b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n",
        b"GET /big?10000000 HTTP/1.1\r\nHost: t\r\n\r\n",
        b"GET /bigblock?10000000 HTTP/1.1\r\nHost: t\r\n\r\n",
        GET * 100,
    ],
)
def test_clients_that_leave_in_the_middle(site, data, end):
    with site.connect() as client:
        client.send(data)
        if end == "reset":
            client.reset()
        elif end == "half":
            client.sock.shutdown(socket.SHUT_WR)
            client.rest()


def test_a_client_that_leaves_while_its_request_runs(site):
    client = site.connect()
    client.send("GET /wait?leaver HTTP/1.1\r\nHost: t\r\n\r\n")
    site.wait_out("waiting leaver")
    client.reset()
    assert site.get("/release?leaver").body == b"released"


def test_half_close_still_gets_its_responses(site):
    with site.connect() as client:
        client.send(GET * 3 + b"GET /wait?half HTTP/1.1\r\nHost: t\r\n\r\n")
        client.sock.shutdown(socket.SHUT_WR)
        site.wait_out("waiting half")
        site.get("/release?half")
        for _ in range(3):
            assert client.response().body == b"Hello!"
        assert client.response().body == b"waited"
        assert client.is_closed()


@pytest.mark.parametrize(
    "body", [b"x\r\n", b"5\r\nabc\r\n0\r\n\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n", b"1" * 5000]
)
def test_malformed_chunks_are_the_clients_fault(site, body):
    with site.connect() as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
        assert client.response().status == 400
        assert client.is_closed()
    with site.connect() as client:  # nobody reads it
        client.send(
            b"POST /ignore HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + body
        )
        assert client.response().body == b"ignored"
        assert client.is_closed()


def test_a_reset_while_the_body_is_read_is_no_failure_of_the_application(site):
    client = site.connect()
    client.send(b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nabc")
    with site.connect() as other:
        site.wait_until(lambda: stats(other)["active"] == 2)
        client.reset()
        site.wait_until(lambda: stats(other)["connections"] == 1)


def test_many_slow_clients_at_once(site):
    clients = [site.connect() for _ in range(200)]
    request = b"GET /query?x HTTP/1.1\r\nHost: t\r\n\r\n"
    for at in range(len(request)):
        for client in clients:
            client.send(request[at : at + 1])
    for client in clients:
        assert client.response().body == b"x"
        client.close()


def test_data_that_comes_when_the_time_is_up(serve):
    server = serve("head_timeout=1.0")
    busy = code(
        "import time; print('busy', flush=True); time.sleep(1.5); start('200 OK', []); result = []"
    )
    with server.connect() as slow, server.connect() as client:
        slow.send("GET /")
        client.send("GET /run HTTP/1.1\r\nHost: t\r\nX-Code: " + busy[0][1] + "\r\n\r\n")
        # The server does nothing for longer than the head may take, and then finds both at once.
        server.wait_out("busy")
        slow.send(" ")
        assert client.response().status == 200
        assert slow.response().status == 408
        assert slow.is_closed()
        assert client.get().body == b"Hello!"
    assert not [line for line in server.log if "Error" in line]


def test_a_server_that_was_busy_does_not_take_a_request_for_silence(serve):
    server = serve("head_timeout=2.0")
    busy = code("import time; print('busy', flush=True); time.sleep(2.2); start('200 OK', [])")
    with server.connect() as client, server.connect() as waiting:
        server.wait_until(lambda: stats(client)["connections"] == 2)
        client.send("GET /run HTTP/1.1\r\nHost: t\r\nX-Code: " + busy[0][1] + "\r\n\r\n")
        server.wait_out("busy")
        waiting.send(GET)
        assert waiting.response().body == b"Hello!"


def test_a_client_that_never_stops_sending_after_a_refusal(site):
    with site.connect() as client:
        client.send("nonsense\r\n\r\n")
        with pytest.raises(OSError):  # noqa: PT012
            for _ in range(10_000):
                client.send(b"x" * 100_000)
            client.sock.settimeout(0)
        # About as much as fits into its patience and the buffers of the system.


def test_a_stalled_unread_body_does_not_keep_the_server_from_ending(serve):
    server = serve()
    with server.connect() as client:
        client.send("POST /ignore HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\nabc")
        assert client.response().body == b"ignored"
        assert server.stop() == 0


# ------------------------------------------------------------------------------------------------
# The system


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")


def unsent(server, client):
    """Bytes that the system holds of what the server has sent to a client."""
    ports = f":{server.address[1]:04X} ", f":{client.sock.getsockname()[1]:04X} "
    with open("/proc/net/tcp", encoding="ascii") as file:
        for line in file:
            if (
                ports[0] in line
                and ports[1] in line
                and line.index(ports[0]) < line.index(ports[1])
            ):
                return int(line.split()[4].partition(":")[0], 16)
    return 0


@needs_proc
def test_a_client_that_does_not_read_takes_little_memory(site):
    with site.connect() as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send("GET /bigblock?16000000 HTTP/1.1\r\nHost: t\r\n\r\n")
        site.wait_until(lambda: unsent(site, client) > 100_000)
        # Another response begins and ends after all that can be sent of this one has been.
        assert site.get("/").body == b"Hello!"
        assert unsent(site, client) < 1_000_000


@needs_proc
def test_out_of_descriptors(serve):
    source = SITE + "\nimport resource; resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))\n"
    server = serve(source=source)
    pid = server.process.pid
    clients = [server.connect() for _ in range(60)]
    text = "import eventlet, __main__; start('200 OK', []); result = [b'sent']; "
    text += "eventlet.sleep(1); print('sending', flush=True); __main__.event('all').send()"
    clients[0].send(f"GET /run HTTP/1.1\r\nHost: t\r\nX-Code: {json.dumps(text)}\r\n\r\n")
    before, start = cpu_seconds(pid), time.monotonic()
    for client in clients[1:]:
        client.send("GET /wait?all HTTP/1.1\r\nHost: t\r\n\r\n")
    server.wait_log("cannot accept connections for now: Too many open files")
    assert clients[0].response().body == b"sent"
    # The wait for descriptors is no busy loop.
    assert cpu_seconds(pid) - before < (time.monotonic() - start) / 4
    server.wait_out("sending")
    until_then = server.out[: server.out.index("sending")]
    assert 20 < len([line for line in until_then if "waiting" in line]) < 40
    for client in clients[1:]:
        assert client.response().body == b"waited"
        client.close()
    clients[0].close()
    lines = [line for line in server.log if "cannot accept" in line]
    assert len(lines) == 1
    assert server.get().body == b"Hello!"
    assert "Traceback" not in "\n".join(server.log)


def test_idle_connections_give_their_descriptors_to_those_who_wait(serve):
    source = SITE + "\nimport resource; resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))\n"
    server = serve(source=source)
    for _ in range(3):
        clients = [server.connect() for _ in range(60)]
        for client in clients:
            client.send(GET)
        for client in clients:
            assert client.response().body == b"Hello!"
        for client in clients:
            client.close()
    # Once a minute, however often it comes and goes.
    assert len([line for line in server.log if "cannot accept" in line]) == 1


@needs_proc
def test_nothing_is_left_behind(serve):
    server = serve("log_output=False")
    pid = server.process.pid

    def open_and_close(count):
        for number in range(count):
            with server.connect() as client:
                if number % 5 == 0:
                    client.send("GET / HT")
                elif number % 5 == 1:
                    client.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nabc")
                elif number % 5 == 2:
                    client.send("nonsense\r\n\r\n")
                    client.response()
                else:
                    assert client.get().body == b"Hello!"
                if number % 7 == 0:
                    client.reset()
        with server.connect() as client:
            server.wait_until(lambda: stats(client)["connections"] == 1)
            return len(os.listdir(f"/proc/{pid}/fd")), resident_kib(pid)

    open_and_close(500)
    rounds = [open_and_close(500) for _ in range(4)]
    descriptors, memory = zip(*rounds, strict=True)
    assert len({*descriptors}) == 1, descriptors
    # A leak shows in every round; a table that grows, in one.
    assert min(later - sooner for sooner, later in pairwise(memory)) < 100, memory


def test_an_application_that_exits(serve):
    for park in ("", "import eventlet; eventlet.sleep(0); "):
        server = serve()
        with server.connect() as client, server.connect() as other, server.connect() as idle:
            idle.get()
            other.send("GET /wait?exit HTTP/1.1\r\nHost: t\r\n\r\n")
            server.wait_out("waiting exit")
            text = park + "from __main__ import event; event('exit').send(); sys.exit(3)"
            client.send(f"GET /run HTTP/1.1\r\nHost: t\r\nX-Code: {json.dumps(text)}\r\n\r\n")
            assert client.is_closed()
            assert other.response().body == b"waited"
            assert idle.is_closed()
        assert server.wait() == 0
        assert "Traceback" not in "\n".join(server.log)
        server.wait_log("wsgi exiting")


def test_a_green_thread_that_fails_does_not_end_a_strangers_connection(serve):
    server = serve()
    text = (
        "import eventlet, greenlet; from eventlet import hubs\n"
        "def fail():\n    eventlet.sleep(0)\n    raise ValueError('stray')\n"
        "g = greenlet.greenlet(fail, hubs.get_hub().greenlet)\n"
        "hubs.get_hub().schedule_call_global(0, g.switch)\n"
        "start('200 OK', []); result = []"
    )
    with server.connect() as client:
        for _ in range(5):
            assert client.get("/run", headers=code(text)).status == 200
            text2 = "import eventlet; eventlet.sleep(0); start('200 OK', []); result = [b'x']"
            assert client.get("/run", headers=code(text2)).body == b"x"
        server.wait_log("ValueError: stray")
        assert client.get().body == b"Hello!"


def test_interrupt_while_many_requests_run(serve):
    server = serve()
    clients = [server.connect() for _ in range(100)]
    for number, client in enumerate(clients):
        client.send(f"GET /wait?{number % 10} HTTP/1.1\r\nHost: t\r\n\r\n")
    server.wait_out("waiting", 100)
    # Five of them end only when others have.
    text = "import eventlet\nfrom __main__ import events\neventlet.sleep(0.1)\n"
    text += "start('200 OK', [])\nresult = []\n"
    text += "for event in list(events.values()): event.ready() or event.send()"
    with server.connect() as last:
        last.send(f"GET /run HTTP/1.1\r\nHost: t\r\nX-Code: {json.dumps(text)}\r\n\r\n")
        with server.connect() as helper:
            server.wait_until(lambda: stats(helper)["active"] == 102)
        server.process.send_signal(signal.SIGINT)
        assert last.response().status == 200
    for client in clients:
        response = client.response()
        assert response.body == b"waited"
        assert client.is_closed()
        client.close()
    assert server.wait() == 0
    assert "Traceback" not in "\n".join(server.log)


def test_fork_in_a_request(site):
    text = (
        "import os\npid = os.fork()\n"
        "if not pid:\n    import eventlet; eventlet.sleep(0.01); os._exit(7)\n"
        "start('200 OK', [])\n"
        "result = [str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode()]"
    )
    with site.connect() as idle, site.connect() as client:
        idle.get()
        for _ in range(3):
            assert client.get("/run", headers=code(text)).body == b"7"
        assert idle.get().body == b"Hello!"
        assert client.get().body == b"Hello!"


def test_second_interrupt_does_not_wait(serve):
    server = serve()
    with server.connect() as idle, server.connect() as busy:
        idle.get()
        busy.send("GET /wait?never HTTP/1.1\r\nHost: t\r\n\r\n")
        server.wait_out("waiting never")
        idle.get()  # so that the other waits by now
        server.process.send_signal(signal.SIGINT)
        assert idle.is_closed()
        # The first may have ended the connection on its way to the server, and two that come so
        # close to each other may be one.
        busy.sock.settimeout(1)
        for _ in range(10):
            server.process.send_signal(signal.SIGINT)
            with contextlib.suppress(TimeoutError):
                assert busy.is_closed()
                break
        else:
            pytest.fail("the request goes on")
    assert server.wait() == 0
    assert "Traceback" not in "\n".join(server.log)


def test_garbage_collection_in_the_middle(serve):
    """Destructors run anywhere, and use the server."""
    source = (
        SITE
        + r"""
import gc
gc.set_threshold(1, 1, 1)
class Trap:
    def __init__(self): self.me = self
    def __del__(self):
        if servers:
            servers[0].stats()
            sock = socket.socket(); sock.close()
def app(env, start):
    Trap()
    start("200 OK", [])
    return [b"trap"]
"""
    )
    server = serve(source=source)
    with server.connect() as client:
        client.send(GET * 200)
        for _ in range(200):
            assert client.response().body == b"trap"
    assert server.stop() == 0
    assert "Traceback" not in "\n".join(server.log)
    assert "panic" not in "\n".join(server.log)


@pytest.mark.parametrize("pool", ["", "custom_pool=eventlet.GreenPool()"], ids=["hub", "pool"])
def test_what_comes_after_the_end_does_not_destroy_the_answer(serve, pool):
    server = serve(pool, source=ENDING)
    with server.connect() as client:
        client.send("nonsense\r\n\r\n")
        assert client.sock.recv(1, socket.MSG_PEEK)
        # The first would be answered with a reset, after which nothing can be sent or received.
        for _ in range(3):
            client.send("more")
        assert client.response().status == 400
        assert client.is_closed()
        for _ in range(3):
            client.send("more")
    with server.connect() as client:
        server.wait_until(lambda: stats(client)["connections"] == 1)


def test_linger_gives_up(serve):
    server = serve(source=ENDING)
    with server.connect() as client:
        client.send("nonsense\r\n\r\n")
        assert client.response().status == 400
        start = time.monotonic()
        with server.connect() as other:
            server.wait_until(lambda: stats(other)["connections"] == 1)
        assert time.monotonic() - start < 10
