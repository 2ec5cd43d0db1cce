"""Options of the WSGI server. Those about time and size are in test_wsgi_limits.py, too."""

import json
import signal

import pytest

from support.http_server import PATIENCE
from support.wsgi_site import GET, SITE, code, spec, tell

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
