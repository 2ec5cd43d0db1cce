"""HTTP with eventlet.wsgi, optionally with an access log in a file."""

import argparse
import sys

import wsgi_app

from eventlet import listen, wsgi

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--app", choices=["hello", "sleepy"], default="hello")
    parser.add_argument("--log", help="write the access log to this file")
    args = parser.parse_args()
    if args.app == "sleepy":
        from eventlet import monkey_patch

        monkey_patch(time=True)
    with open(args.log, "w") if args.log else sys.stderr as log:
        wsgi.server(
            listen(("127.0.0.1", args.port), backlog=2048),
            getattr(wsgi_app, args.app),
            log=log,
            log_output=args.log is not None,
            max_size=10_000,
        )
