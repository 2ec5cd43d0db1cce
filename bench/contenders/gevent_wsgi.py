"""HTTP with gevent.pywsgi, no access log."""

import argparse

import wsgi_app
from gevent.pywsgi import WSGIServer

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    WSGIServer(("127.0.0.1", port), wsgi_app.hello, backlog=2048, log=None).serve_forever()
