"""HTTP with gevent.pywsgi, optionally over TLS, or with an access log in a file."""

import argparse
import contextlib

import wsgi_app
from gevent.pywsgi import WSGIServer

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--app", default="wsgi_app:hello")
    parser.add_argument("--certificate", help="speak TLS with this certificate and key")
    parser.add_argument("--log", help="write the access log to this file")
    args = parser.parse_args()
    tls = {"certfile": args.certificate, "keyfile": args.certificate} if args.certificate else {}
    with open(args.log, "w") if args.log else contextlib.nullcontext() as log:
        app = wsgi_app.load(args.app)
        WSGIServer(("127.0.0.1", args.port), app, backlog=2048, log=log, **tls).serve_forever()
