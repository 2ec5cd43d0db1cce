"""HTTP with fastwsgi."""

import argparse

import fastwsgi
import wsgi_app

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--app", default="wsgi_app:hello")
    args = parser.parse_args()
    fastwsgi.run(wsgi_app=wsgi_app.load(args.app), host="127.0.0.1", port=args.port)
