"""HTTP with waitress; its warnings about a busy queue are not logged."""

import argparse
import logging

import waitress
import wsgi_app

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    logging.getLogger("waitress").setLevel(logging.ERROR)
    waitress.serve(
        wsgi_app.hello,
        listen=f"127.0.0.1:{parser.parse_args().port}",
        backlog=2048,
        connection_limit=20_000,
        channel_timeout=600,
        asyncore_use_poll=True,
    )
