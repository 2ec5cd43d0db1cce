"""HTTP with fastwsgi."""

import argparse

import fastwsgi
import wsgi_app

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    fastwsgi.run(wsgi_app=wsgi_app.hello, host="127.0.0.1", port=parser.parse_args().port)
