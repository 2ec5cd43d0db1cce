"""The prompt inside of a running program."""

from __future__ import annotations

import contextlib
import socket as real_socket
import struct
import sys

import pytest

import eventlet
from eventlet import backdoor
from eventlet.green import socket

LONG = 20
PROMPT = ">>> "


@pytest.fixture(autouse=True)
def limit():
    """Ends what hangs in a green thread; afterwards the standard streams are the old ones."""
    before = (sys.stdin, sys.stdout, sys.stderr, sys.displayhook)
    with eventlet.Timeout(LONG):
        yield
        while backdoor._streams.consoles:
            eventlet.sleep(0.001)
    assert (sys.stdin, sys.stdout, sys.stderr, sys.displayhook) == before


class Client:
    """Somebody at a prompt."""

    def __init__(self, sock):
        self.sock = sock
        self.file = sock.makefile("rw", encoding="utf-8", newline="")

    def until_prompt(self):
        """Return what comes before the next prompt."""
        text = ""
        while not text.endswith(PROMPT):
            some = self.file.read(1)
            assert some, f"the connection has ended after {text!r}"
            text += some
        return text.removesuffix(PROMPT)

    def run(self, statement):
        """Return what a statement prints."""
        self.file.write(statement + "\n")
        self.file.flush()
        return self.until_prompt()

    def close(self):
        with contextlib.suppress(OSError):
            self.file.close()
        self.sock.close()


@pytest.fixture
def serve():
    """A function that starts a server and returns one that connects to it."""
    threads = []
    clients = []

    def start(listener, locals=None):
        threads.append(eventlet.spawn(backdoor.backdoor_server, listener, locals))

        def connect():
            clients.append(Client(eventlet.connect(listener.getsockname(), listener.family)))
            return clients[-1]

        return connect

    yield start
    for client in clients:
        client.close()
    for thread in threads:
        thread.kill()


def has_ipv6():
    with contextlib.suppress(OSError), real_socket.socket(real_socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        return True
    return False


@pytest.fixture(params=["ipv4", "ipv6", "unix"])
def any_listener(request, tmp_path, monkeypatch):
    if request.param == "ipv4":
        return eventlet.listen(("127.0.0.1", 0))
    if request.param == "ipv6":
        if not has_ipv6():
            pytest.skip("no IPv6 here")
        return eventlet.listen(("::1", 0), socket.AF_INET6)
    # A short path: that of a Unix socket may have about 100 characters.
    monkeypatch.chdir(tmp_path)
    return eventlet.listen("backdoor", socket.AF_UNIX)


def test_a_prompt(any_listener, serve, capsys):
    where = any_listener.getsockname()
    client = serve(any_listener, {"answer": 42})()
    banner = client.until_prompt()
    assert banner.startswith("Python ")
    assert "InteractiveConsole" in banner
    assert client.run("answer") == "42\n"
    assert client.run("_ + 1") == "43\n"
    assert client.run("print('two words')") == "two words\n"
    assert client.run("1 / 0").endswith("ZeroDivisionError: division by zero\n")
    client.close()
    while backdoor._streams.consoles:
        eventlet.sleep(0.001)
    out = capsys.readouterr().out
    shown = f"{where[0]}:{where[1]}" if isinstance(where, tuple) else where
    assert f"backdoor server listening on {shown}\n" in out
    assert ("backdoor to " in out) == isinstance(where, tuple)
    assert "backdoor closed" in out


def test_locals_are_shared_with_the_program(listener, serve):
    names = {"count": 1}
    client = serve(listener, names)()
    client.until_prompt()
    client.run("count += 1")
    assert names["count"] == 2
    names["count"] = 7
    assert client.run("count") == "7\n"


def test_without_locals_each_has_its_own(listener, serve):
    connect = serve(listener)
    first, second = connect(), connect()
    first.until_prompt()
    second.until_prompt()
    first.run("mine = 1")
    assert "NameError" in second.run("mine")


def test_each_client_has_its_own_streams(listener, serve, capsys):
    connect = serve(listener, {"eventlet": eventlet, "turn": eventlet.Event()})
    clients = [connect() for _ in range(5)]
    for client in clients:
        client.until_prompt()
    # All of them wait in the middle of a statement, and then print.
    for number, client in enumerate(clients):
        client.file.write(f"turn.wait(); print('I am', {number})\n")
        client.file.flush()
    eventlet.sleep(0.01)
    clients[0].sock.sendall(b"")
    other = connect()
    other.until_prompt()
    other.run("_ = turn.send()")
    for number, client in enumerate(clients):
        assert client.until_prompt() == f"I am {number}\n"
    # And the program's own output is where it was.
    print("from the program")
    out = capsys.readouterr().out
    assert "from the program" in out
    assert "I am" not in out


def test_standard_input(listener, serve):
    client = serve(listener)()
    client.until_prompt()
    client.file.write("name = input('who? ')\nAda\n")
    client.file.flush()
    assert client.until_prompt() == "who? "
    assert client.run("name") == "'Ada'\n"
    assert client.run("import sys; sys.stdin.isatty()") == "True\n"
    client.file.write("sys.stdin.readline()\nline\r\n")
    client.file.flush()
    assert client.until_prompt() == r"'line\n'" + "\n"


def test_what_the_prompt_spawns_prints_there(listener, serve):
    client = serve(listener)()
    client.until_prompt()
    client.run("import eventlet")
    assert client.run("eventlet.spawn(print, 'hello').wait()") == "hello\n"


def test_others_run_while_a_statement_waits(listener, serve):
    event = eventlet.Event()
    client = serve(listener, {"event": event})()
    client.until_prompt()
    client.file.write("event.wait()\n")
    client.file.flush()
    eventlet.sleep(0.01)
    event.send("done")
    assert client.until_prompt() == "'done'\n"


@pytest.mark.parametrize("how", ["exit()", "raise SystemExit", "import sys; sys.exit(3)"])
def test_exit_ends_the_prompt_only(how, listener, serve):
    connect = serve(listener)
    client = connect()
    client.until_prompt()
    client.file.write(f"{how}\n")
    client.file.flush()
    assert PROMPT not in client.file.read()
    another = connect()
    another.until_prompt()
    assert another.run("1 + 1") == "2\n"


def test_several_lines(listener, serve):
    client = serve(listener)()
    client.until_prompt()
    client.file.write("def double(n):\n")
    client.file.flush()
    assert client.file.read(4) == "... "
    client.file.write("  return 2 * n\n\ndouble(4)\n")
    client.file.flush()
    assert client.until_prompt() == "... "
    assert client.until_prompt() == "8\n"


def test_bytes_that_are_no_text(listener, serve):
    client = serve(listener)()
    client.until_prompt()
    client.sock.sendall(b"'\xff\xfb'\n")
    client.until_prompt()
    assert client.run("1 + 1") == "2\n"


def test_clients_that_vanish(listener, serve):
    connect = serve(listener, {"text": "x" * 10_000_000})
    for _ in range(3):
        connect().close()
    # Without reading what is sent.
    client = connect()
    client.file.write("print(text)\n")
    client.file.flush()
    client.close()
    # With a reset.
    client = connect()
    client.until_prompt()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    # Before it was accepted.
    raw = real_socket.create_connection(listener.getsockname())
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.close()
    client = connect()
    client.until_prompt()
    assert client.run("1 + 1") == "2\n"


def test_killing_the_server_closes_the_listener(listener):
    server = eventlet.spawn(backdoor.backdoor_server, listener)
    eventlet.sleep(0)
    server.kill()
    assert listener.fileno() == -1


def test_output_that_somebody_has_replaced_stays(listener, serve):
    client = serve(listener)()
    client.until_prompt()
    before = sys.stdout
    try:
        sys.stdout = replaced = type(sys.stdout)
        client.close()
        while backdoor._streams.consoles:
            eventlet.sleep(0.001)
        assert sys.stdout is replaced
    finally:
        sys.stdout = before._original


def test_as_the_handler_of_a_server(listener):
    server = eventlet.spawn(
        eventlet.serve, listener, lambda conn, address: backdoor.backdoor((conn, address))
    )
    client = Client(eventlet.connect(listener.getsockname()))
    client.until_prompt()
    assert client.run("1 + 1") == "2\n"
    client.close()
    server.kill()


def test_file_proxy():
    class Gone:
        closed = False
        newlines = "seen"

        def write(self, data):
            raise BrokenPipeError(32, "gone")

        def readline(self):
            raise ConnectionResetError(104, "gone")

    proxy = backdoor.FileProxy(Gone())
    proxy.write("x")
    assert proxy.readline() == ""
    assert list(proxy) == []
    assert proxy.isatty()
    proxy.flush()
    assert proxy.newlines == "seen"
    with pytest.raises(AttributeError):
        _ = proxy.nothing
