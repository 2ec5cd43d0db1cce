"""HTTP with eventlet.wsgi, optionally over TLS, or with an access log in a file."""

import argparse
import sys

import wsgi_app

from eventlet import listen, wrap_ssl, wsgi

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--app", default="wsgi_app:hello")
    parser.add_argument("--certificate", help="speak TLS with this certificate and key")
    parser.add_argument("--log", help="write the access log to this file")
    args = parser.parse_args()
    if args.app.endswith(":sleepy"):
        from eventlet import monkey_patch

        monkey_patch(time=True)
    sock = listen(("127.0.0.1", args.port), backlog=2048)
    if args.certificate:
        sock = wrap_ssl(sock, certfile=args.certificate, keyfile=args.certificate, server_side=True)
    with open(args.log, "w") if args.log else sys.stderr as log:
        wsgi.server(
            sock,
            wsgi_app.load(args.app),
            log=log,
            log_output=args.log is not None,
            max_size=10_000,
        )
