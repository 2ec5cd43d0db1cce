"""`requests.get` from many green threads at once, on a patched standard library.

The pages are another process's, or those of a WSGI server of the library's in the same program.
"""

import os
import sys

if "--resolver" in sys.argv:
    # The library's own, which is used unless the environment says otherwise.
    os.environ.pop("EVENTLET_NO_GREENDNS", None)

if "gevent" in sys.argv:
    from gevent import Greenlet, monkey

    monkey.patch_all()
    spawn, wait = Greenlet.spawn, Greenlet.get
else:
    import eventlet

    eventlet.monkey_patch()
    spawn, wait = eventlet.spawn, eventlet.greenthread.GreenThread.wait

import argparse
import json
import time

import requests
from _measure import resident

WARM_UP = 0.2  # part of the requests after which memory is compared


class Load:
    """Makes so many requests."""

    def __init__(self, url: str, count: int) -> None:
        self.url = url
        self.left = count
        self.count = count
        self.done = 0
        self.warm_memory = 0

    def work(self) -> None:
        """Go on until there are none left to make."""
        while self.left:
            self.left -= 1
            response = requests.get(self.url, timeout=120)
            if response.status_code != 200 or response.content != b"Hello, world!":
                sys.exit(f"unexpected response, status {response.status_code}")
            self.done += 1
            if self.done == int(self.count * WARM_UP):
                self.warm_memory = resident()

    def run(self, workers: int) -> dict[str, float]:
        """Make them; how it went."""
        began = time.perf_counter()
        cpu = time.process_time()
        threads = [spawn(self.work) for _ in range(workers)]
        for thread in threads:
            wait(thread)
        elapsed = time.perf_counter() - began
        cpu = time.process_time() - cpu
        if self.done != self.count:
            sys.exit(f"{self.count - self.done} requests were lost")
        return {
            "per_second": self.done / elapsed,
            "cpu_us": cpu / self.done * 1e6,
            "growth_kib": (resident() - self.warm_memory) / 1024,
        }


def serve() -> str:
    """Start a server, with an access log; its URL."""
    from wsgi_app import hello

    from eventlet import wsgi

    listener = eventlet.listen(("127.0.0.1", 0), backlog=2048)
    log = open(os.devnull, "w")  # noqa: SIM115 - as long as the server
    eventlet.spawn(wsgi.server, listener, hello, log=log)
    return f"http://localhost:{listener.getsockname()[1]}/"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", help="what to get (default: of a server in this program)")
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--workers", type=int, default=500)
    parser.add_argument("--library", choices=["eventlet", "gevent"], default="eventlet")
    parser.add_argument("--resolver", action="store_true", help="use Eventlet 0.41's resolver")
    args = parser.parse_args()
    url = args.url or serve()
    Load(url, 50).run(1)
    print(json.dumps(Load(url, args.count).run(args.workers)), flush=True)
    # The server goes on for ever.
    os._exit(0)
