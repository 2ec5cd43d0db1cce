"""An nginx in front of a server, from the program that is installed."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from . import daemons
from .daemons import Unavailable as Unavailable

#: `strict` is as it comes; `lax` passes on all that it can be made to pass on.
_CONFIG = r"""
daemon off;
master_process off;
error_log stderr notice;
pid {folder}/pid;
events {{ worker_connections 1024; }}
http {{
    log_format ids '$request_id "$upstream_addr" $status "$request"';
    access_log {folder}/access.log ids;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_header_timeout {patience}ms;
    client_body_timeout {patience}ms;
    keepalive_timeout {patience}ms;
    reset_timedout_connection off;
    upstream app {{ server 127.0.0.1:{port}; keepalive 8; }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Request-Id $request_id;
    proxy_next_upstream off;
    uwsgi_next_upstream off;
    uwsgi_param CONTENT_LENGTH $content_length;
    uwsgi_param CONTENT_TYPE $content_type;
    uwsgi_param HTTP_X_REQUEST_ID $request_id;
    uwsgi_param PATH_INFO $document_uri;
    uwsgi_param QUERY_STRING $query_string;
    uwsgi_param REMOTE_ADDR $remote_addr;
    uwsgi_param REMOTE_PORT $remote_port;
    uwsgi_param REQUEST_METHOD $request_method;
    uwsgi_param REQUEST_SCHEME $scheme;
    uwsgi_param REQUEST_URI $request_uri;
    uwsgi_param SERVER_NAME $server_name;
    uwsgi_param SERVER_PORT $server_port;
    uwsgi_param SERVER_PROTOCOL $server_protocol;
    add_header X-Proxy-Id $request_id always;
    server {{
        listen unix:{folder}/strict;
        location / {{ {strict}; }}
    }}
    server {{
        listen unix:{folder}/lax;
        ignore_invalid_headers off;
        underscores_in_headers on;
        merge_slashes off;
        large_client_header_buffers 4 32k;
        location / {{ {lax}; }}
    }}
}}
"""

#: How the two of them talk to the server.
_HTTP = {
    "strict": "proxy_pass http://app",
    "lax": "proxy_pass http://app$request_uri; proxy_request_buffering off",
}
_UWSGI = {"strict": "uwsgi_pass app", "lax": "uwsgi_pass app; uwsgi_request_buffering off"}

#: The configurations.
NAMES = ("strict", "lax")


class Proxy:
    """A running nginx: `path(name)` is where it listens."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> str:
        """The unix socket of a configuration."""
        return str(self._folder / name)

    def forwarded(self) -> set[str]:
        """The numbers of the requests that it has sent on so far, as its log says."""
        log = (self._folder / "access.log").read_text(encoding="latin-1")
        return set(re.findall(r'^(\w+) "(?!-")', log, re.MULTILINE))


@contextlib.contextmanager
def server(port: int, *, uwsgi: bool = False, patience: int = 500) -> Iterator[Proxy]:
    """Run one in front of a server on `port`; it waits `patience` milliseconds for its clients.

    It speaks HTTP to the server, or the uwsgi protocol.
    """
    program = daemons.find("nginx", "/usr/sbin/nginx")
    with daemons.folder() as folder:
        config = folder / "nginx.conf"
        values = {"folder": folder, "port": port, "patience": patience}
        config.write_text(_CONFIG.format(**values, **(_UWSGI if uwsgi else _HTTP)))
        command = (program, "-e", "stderr", "-p", folder, "-c", config)
        with daemons.running(*command, ready="using the .* event method", where=folder):
            yield Proxy(folder)
