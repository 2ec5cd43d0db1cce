"""`wsgi.Server`: the server as an object."""

import io

import pytest

import eventlet
from eventlet import wsgi
from eventlet.green import socket


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/wait":
        environ["test.event"].send("running")
        environ["test.go"].wait()
    return [b"Hello!"]


class Waiting:
    """Has a request run until it is told to end."""

    def __init__(self):
        self.running = eventlet.Event()
        self.go = eventlet.Event()

    def __call__(self, environ, start_response):
        environ["test.event"] = self.running
        environ["test.go"] = self.go
        return app(environ, start_response)


def connect(address):
    sock = socket.create_connection(address)
    sock.settimeout(10)
    return sock


def ask(sock, path="/"):
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: t\r\n\r\n".encode())


def answer(sock):
    data = b""
    while not data.endswith(b"Hello!"):
        block = sock.recv(1000)
        assert block, data
        data += block
    return data


@pytest.fixture(params=["native", "pool", "python"])
def make(request, clean_hub):
    """A function that makes a server of one of the kinds there are."""
    made = []

    class Protocol(wsgi.HttpProtocol):
        def finish(self):
            super().finish()

    def make(application=app, **options):
        sock = eventlet.listen(("127.0.0.1", 0))
        if request.param == "pool":
            options.setdefault("custom_pool", eventlet.GreenPool())
        if request.param == "python":
            options.setdefault("protocol", Protocol)
        log = io.StringIO()
        server = wsgi.Server(sock, sock.getsockname(), application, log, **options)
        made.append(server)
        return server

    yield make
    for server in made:
        server.stop(0)
        server.socket.close()


def test_start_and_stop(make):
    server = make()
    server.start()
    with connect(server.address) as client:
        ask(client)
        assert answer(client).startswith(b"HTTP/1.1 200 OK\r\n")
        assert server.stop()
        assert client.recv(1) == b""
    with pytest.raises(OSError, match="refused"):
        connect(server.address)
    lines = server.log.log.getvalue().splitlines()
    assert "wsgi starting up on http://127.0.0.1:" in lines[0]
    assert '"GET / HTTP/1.1" 200' in lines[1]
    assert "wsgi exited" in lines[2]
    assert server.stop()


def test_start_twice(make):
    server = make()
    server.start()
    with pytest.raises(RuntimeError, match="started before"):
        server.start()
    with pytest.raises(RuntimeError, match="started before"):
        server.serve_forever()


def test_stop_of_one_that_does_not_serve(make):
    assert make().stop()


def test_stop_lets_requests_finish(make):
    site = Waiting()
    server = make(site)
    server.start()
    with connect(server.address) as client:
        ask(client, "/wait")
        site.running.wait()
        stopping = eventlet.spawn(server.stop)
        eventlet.sleep(0)
        assert server.stats()["active"] == 1
        site.go.send()
        assert b"Connection: close" in answer(client) or client.recv(1) == b""
        assert stopping.wait()


def test_stop_cuts_when_the_time_is_up(make):
    site = Waiting()
    server = make(site)
    server.start()
    with connect(server.address) as client:
        ask(client, "/wait")
        site.running.wait()
        assert not server.stop(0.01)
        assert client.recv(1) == b""
        assert server.stats()["connections"] == 0
        site.go.send()
        eventlet.sleep(0)


def test_stats(make):
    server = make()
    assert server.stats() == {"accepted": 0, "connections": 0, "requests": 0, "active": 0}
    server.start()
    with connect(server.address) as one, connect(server.address) as other:
        for client in (one, one, other):
            ask(client)
            answer(client)
        assert server.stats() == {"accepted": 2, "connections": 2, "requests": 3, "active": 0}
    server.stop()
    assert server.stats()["connections"] == 0


def test_serve_forever_ends_with_stop(make):
    server = make()
    serving = eventlet.spawn(server.serve_forever)
    eventlet.sleep(0)
    with connect(server.address) as client:
        ask(client)
        answer(client)
    assert server.stop()
    assert serving.wait() is None


@pytest.mark.parametrize("how", ["not listening", "closed meanwhile"])
def test_a_listener_that_is_none_is_an_error(how, clean_hub):
    with eventlet.green.socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        if how == "closed meanwhile":
            sock.listen()
        server = wsgi.Server(sock, sock.getsockname(), app, io.StringIO())
        serving = eventlet.spawn(server.serve_forever)
        eventlet.sleep(0)
        if how == "closed meanwhile":
            sock.shutdown(socket.SHUT_RDWR)
        with pytest.raises(OSError, match="Invalid argument"):
            serving.wait()


def test_arguments_by_position(clean_hub):
    log = io.StringIO()
    with eventlet.listen(("127.0.0.1", 0)) as sock:
        server = wsgi.Server(
            sock,
            sock.getsockname(),
            app,
            log,
            {"own": "key"},
            "HTTP/1.0",
            wsgi.HttpProtocol,
            1,
            False,
            5,
            True,
            "%(status_code)s",
            100,
            False,
            7.0,
            True,
        )
    assert server.get_environ()["own"] == "key"
    assert (server.max_http_version, server.keepalive, server.log_format) == (
        "HTTP/1.0",
        5,
        "%(status_code)s",
    )
    assert (server.minimum_chunk_size, server.log_x_forwarded_for) == (1, False)
    assert (server.url_length_limit, server.debug, server.socket_timeout) == (100, False, 7.0)


def test_names_as_they_are_written_are_deprecated(clean_hub):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        with (
            pytest.warns(DeprecationWarning, match="capitalize_response_headers") as warned,
            pytest.raises(OSError, match="Invalid argument"),
        ):
            wsgi.server(sock, app, io.StringIO(), capitalize_response_headers=False)
    assert warned[0].filename == __file__


def test_log_output_off(make):
    server = make(log_output=False)
    server.start()
    with connect(server.address) as client:
        ask(client)
        answer(client)
    server.stop()
    assert isinstance(server.log, wsgi.LoggerNull)


def test_log_file_and_its_levels():
    file = io.StringIO()
    log = wsgi.get_logger(file, debug=False)
    log.info("info %s", 1)
    log.error("error %d%%", 2)
    log.debug("debug")
    log.write("100%")
    assert file.getvalue() == "info 1\nerror 2%\n100%\n"
    wsgi.get_logger(file, debug=True).debug("debug")
    assert file.getvalue().endswith("debug\n")
    assert wsgi.get_logger(log, debug=True) is log


def test_the_environment_of_everybody_else_is_left_alone(make):
    server = make(environ={"a": "b"})
    first, second = server.get_environ(), server.get_environ()
    first["a"] = "c"
    assert second["a"] == "b"
    assert second["wsgi.url_scheme"] == "http"
