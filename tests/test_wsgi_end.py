"""How a WSGI server ends, and how several of them live together."""

import signal

import pytest

from support.wsgi_site import ENDING, SITE, tell


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
