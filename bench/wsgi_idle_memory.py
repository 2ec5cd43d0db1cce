"""User-space memory of an idle keep-alive connection of `eventlet.wsgi`.

Opens many connections, makes one request on each, and compares the server's resident size before
and after. Needs Linux (`/proc`) and as many descriptors as connections, in each of two processes.

    python bench/wsgi_idle_memory.py [connections]
"""

from __future__ import annotations

import resource
import socket
import subprocess
import sys

SERVER = """
import resource, socket
from eventlet import wsgi
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello!"]
sock = socket.create_server(("127.0.0.1", 0), backlog=4096)
print(sock.getsockname()[1], flush=True)
wsgi.server(sock, app, max_size=1_000_000, log_output=False)
"""

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def resident(pid: int) -> int:
    """The resident size of a process, in bytes."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS"))


def connect(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(REQUEST)
    while not sock.recv(65536).endswith(b"Hello!"):
        pass
    return sock


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE) as server:
        assert server.stdout
        port = int(server.stdout.readline())
        kept = [connect(port) for _ in range(100)]
        before = resident(server.pid)
        kept += [connect(port) for _ in range(count)]
        after = resident(server.pid)
        print(f"{count} idle connections: {(after - before) / count:.0f} bytes each")
        server.kill()


if __name__ == "__main__":
    main()
