"""HTTP with bjoern."""

import argparse

import bjoern
import wsgi_app

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    bjoern.run(wsgi_app.hello, "127.0.0.1", parser.parse_args().port, listen_backlog=2048)
