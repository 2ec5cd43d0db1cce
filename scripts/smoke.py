"""Exercise an installed eventlet for a few seconds: does this build work on this interpreter?

Needs nothing but the package. Prints one line a check and ends at the first that fails.
"""

import faulthandler
import pathlib
import platform
import sys
import time

LIMIT = 60


def check_import():
    import eventlet
    import eventlet._core

    source = pathlib.Path(__file__).resolve().parent.parent
    assert not pathlib.Path(eventlet.__file__).resolve().is_relative_to(source / "python"), (
        f"{eventlet.__file__} is the source tree, not what was installed"
    )
    return f"eventlet {eventlet.__version__}"


def check_spawn():
    import eventlet

    order = []

    def work(number):
        order.append(number)
        eventlet.sleep(0.01 * (3 - number))
        order.append(-number)
        return number * number

    threads = [eventlet.spawn(work, number) for number in (1, 2, 3)]
    assert [thread.wait() for thread in threads] == [1, 4, 9]
    assert order == [1, 2, 3, -3, -2, -1], order


def check_exception():
    import eventlet
    from eventlet import debug

    debug.hub_exceptions(False)
    try:
        eventlet.spawn(lambda: 1 / 0).wait()
    except ZeroDivisionError:
        return
    raise AssertionError("wait() did not raise")


def check_timeout():
    import eventlet

    started = time.monotonic()
    with eventlet.Timeout(0.05, False):
        eventlet.sleep(10)
        raise AssertionError("the timeout did not fire")
    assert time.monotonic() - started < 5


def check_queue():
    import eventlet
    from eventlet.queue import Queue

    queue = Queue(2)

    def produce():
        for number in range(100):
            queue.put(number)

    eventlet.spawn(produce)
    assert [queue.get() for _ in range(100)] == list(range(100))


def check_echo():
    import eventlet

    listener = eventlet.listen(("127.0.0.1", 0))

    def serve():
        client, _ = listener.accept()
        while data := client.recv(65536):
            client.sendall(data)
        client.close()

    eventlet.spawn(serve)
    sock = eventlet.connect(listener.getsockname())
    payload = bytes(range(256)) * 4096  # more than the socket buffers hold
    eventlet.spawn(sock.sendall, payload)
    received = b""
    while len(received) < len(payload):
        received += sock.recv(65536)
    assert received == payload
    sock.close()
    listener.close()


def check_wsgi():
    import eventlet
    from eventlet import wsgi

    def app(environ, start_response):
        body = b"hello from " + environ["PATH_INFO"].encode()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [body]

    listener = eventlet.listen(("127.0.0.1", 0))
    server = eventlet.spawn(wsgi.server, listener, app, log_output=False)
    sock = eventlet.connect(listener.getsockname())
    for path in (b"/one", b"/two"):  # both on one connection
        sock.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        response = b""
        while not response.endswith(path):
            data = sock.recv(65536)
            assert data, response
            response += data
        assert response.startswith(b"HTTP/1.1 200 OK\r\n"), response
    sock.close()
    server.kill()


CHECKS = (
    check_import,
    check_spawn,
    check_exception,
    check_timeout,
    check_queue,
    check_echo,
    check_wsgi,
)


def main():
    faulthandler.dump_traceback_later(LIMIT, exit=True)
    print(platform.python_implementation(), platform.python_version(), sys.executable)
    for check in CHECKS:
        print(f"  {check.__name__.removeprefix('check_')}: ", end="", flush=True)
        print(check() or "ok", flush=True)


if __name__ == "__main__":
    main()
