"""HTTP with bjoern."""

import argparse

import bjoern
import wsgi_app

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--app", default="wsgi_app:hello")
    args = parser.parse_args()
    bjoern.run(wsgi_app.load(args.app), "127.0.0.1", args.port, listen_backlog=2048)
