"""The WSGI server behind nginx and HAProxy: they agree where each request ends.

A proxy numbers the requests that it sends on, and says in its log which these are. The application
notes the numbers of the requests that it is shown. A request that only one of the two sees shows in
a number that is missing, unknown, or there twice; a response that goes to somebody else's request,
in the number that the application puts into it.
"""

import contextlib
import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from support import daemons, haproxy, nginx
from support.http_server import PATIENCE, Server
from support.malformed import LAST, MALFORMED, MARKER, ODD

SITE = r"""
import json

seen = []

def app(env, start):
    if env["PATH_INFO"] == "/seen":
        body = json.dumps(seen)
        seen.clear()
    else:
        number = env.get("HTTP_X_REQUEST_ID", "")
        target = env.get("RAW_PATH_INFO", env["PATH_INFO"])
        seen.append([number, env["REQUEST_METHOD"], target])
        env["wsgi.input"].read()
        body = json.dumps([number, target])
    # Not JSON's type: no proxy shall have ideas about it.
    headers = [("Content-Type", "application/x-seen"), ("Content-Length", str(len(body)))]
    start("200 OK", headers)
    return [body.encode()]
"""

LAST_REQUEST = b"GET /last HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
AT_ONCE = 64

#: The proxies by name, how each talks to the server, and what has to be said to the server of it.
PROXIES = {
    "nginx": (nginx.server, {}, ""),
    "nginx-uwsgi": (nginx.server, {"uwsgi": True}, "uwsgi=True"),
    "haproxy": (haproxy.server, {}, ""),
    **{
        f"haproxy-proxy-{version}": (
            haproxy.server,
            {"options": options},
            f"proxy_protocol={version!r}, trusted_proxies=['127.0.0.1']",
        )
        for version, options in (("v1", "send-proxy"), ("v2", "send-proxy-v2"))
    },
}

#: A server that knows no chunks, and reads over what is no request: it takes what is in chunks for
#: requests.
CARELESS = r"""
import io, socketserver
from http.server import BaseHTTPRequestHandler

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def answer(self):
        def start(status, headers):
            self.send_response(200)
            for header in headers:
                self.send_header(*header)
            self.end_headers()

        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        environ = {"PATH_INFO": self.path, "RAW_PATH_INFO": self.path, "wsgi.input": io.BytesIO()}
        environ["REQUEST_METHOD"] = self.command
        environ["HTTP_X_REQUEST_ID"] = self.headers.get("X-Request-Id", "")
        self.wfile.write(b"".join(app(environ, start)))

    def send_error(self, *args):
        self.close_connection = False

    def log_message(self, *args):
        pass

def main(sock, options):
    server = socketserver.ThreadingTCPServer(sock.getsockname(), Handler, bind_and_activate=False)
    server.daemon_threads = True
    server.socket.close()
    server.socket = sock
    server.serve_forever()
"""


@contextlib.contextmanager
def in_front(name, source=SITE):
    """A proxy in front of a server."""
    run, how, options = PROXIES[name]
    server = Server(source, options)
    try:
        with run(server.address[1], **how) as proxy:
            yield proxy
    except daemons.Unavailable as reason:
        pytest.skip(str(reason))
    finally:
        server.kill()


@pytest.fixture(scope="module", params=PROXIES)
def proxy(request):
    with in_front(request.param) as proxy:
        yield proxy


def converse(path, data, parts=1):
    """All that comes back for some bytes, sent in so many parts."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(path)
        received = []
        size = len(data) // parts + 1
        try:
            for at in range(0, len(data), size):
                sock.sendall(data[at : at + size])
                # Nothing depends on it; but a proxy that is asked to should send on what it has.
                if parts > 1:
                    time.sleep(0.005)
            while part := sock.recv(65536):
                received.append(part)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return b"".join(received)


#: A response of the application, as it comes out of a proxy.
RESPONSE = re.compile(
    rb"HTTP/1\.[01] 200 [^\n]*\n(?:[^\r\n]+\r?\n)*?"
    rb"(?=(?:[^\r\n]+\r?\n)*[xX]-[pP]roxy-[iI]d: (?P<number>\S+)\r\n)"
    rb"(?=(?:[^\r\n]+\r?\n)*[cC]ontent-[tT]ype: application/x-seen\r\n)"
    rb"(?:[^\r\n]+\r?\n)*\r?\n(?P<body>\[[^\]]*\])",
)


def responses(data):
    """The proxy's number of each response, and what the application says it was asked."""
    return [
        (found["number"].decode(), *json.loads(found["body"])) for found in RESPONSE.finditer(data)
    ]


def seen_by_app(path):
    """What the application was shown since it was last asked."""
    answer = converse(path, b"GET /seen HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
    return json.loads(answer.partition(b"\r\n\r\n")[2])


def disagreements(proxy, name, parts):
    """What the two see differently, if anything."""
    path = proxy.path(name)
    tables = [entry.data for table in (MALFORMED, ODD, LAST) for entry in table]

    def attack(number):
        data = tables[number]
        answers = responses(converse(path, data + MARKER + LAST_REQUEST, parts))
        # On a connection of its own to the proxy, which may use any to the server.
        canary = b"GET /canary%d HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n" % number
        return data, answers, responses(converse(path, canary))

    seen_by_app(path)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(attack, range(len(tables))))
    seen = seen_by_app(path)
    numbers = [number for number, _, _ in seen]
    # A proxy logs a request when it is over, and the log may still be on its way.
    limit = time.monotonic() + 1
    while (unknown := {*numbers} - proxy.forwarded()) and time.monotonic() < limit:
        time.sleep(0.01)
    found = [entry for entry in seen if entry[0] in unknown]
    found += [entry for entry in seen if numbers.count(entry[0]) > 1]
    for number, (data, answers, canary) in enumerate(outcomes):
        found += [(data, answer) for answer in answers if answer[0] != answer[1]]
        if [(a == b, target) for a, b, target in canary] != [(True, f"/canary{number}")]:
            found.append((data, canary))
    # The canaries at least have to have got through, and what is odd and not wrong.
    assert len(seen) >= len(tables) + len(ODD)
    return found


@pytest.mark.parametrize("parts", [1, 5])
@pytest.mark.parametrize("name", nginx.NAMES)
def test_nobody_disagrees(proxy, name, parts):
    assert disagreements(proxy, name, parts) == []


@pytest.mark.parametrize("kind", ["nginx", "haproxy"])
def test_a_server_that_disagrees_is_found(kind):
    with in_front(kind, SITE + CARELESS) as proxy:
        assert disagreements(proxy, "lax", 5)
