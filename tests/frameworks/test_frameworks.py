"""Applications in five frameworks under `eventlet serve`, and under gunicorn with our worker.

The sites do the same: forms, uploads, downloads, static files, sessions, failures. Each also runs
with the validator of the standard library between it and the server, which must find nothing.

A large upload has a gigabyte under `eventlet serve`.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import re
import secrets
import urllib.parse
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.processes import PATIENCE, Program

HERE = Path(__file__).parent
FRAMEWORKS = ("flask", "django", "pyramid", "bottle", "falcon")
SERVERS = ("serve", "gunicorn", "validator")

UPLOAD_MB = {"serve": 1024, "gunicorn": 256, "validator": 48}
DOWNLOAD_MB = 16
MEMORY_KIB = 12 * 1024  # what a process may grow by while something large goes through it
BLOCK = bytes(range(256)) * 256  # of a download
MEGABYTE = bytes(range(256)) * 4096

#: What goes wrong in a server shows in its output, whatever the client gets.
NOISE = re.compile(r"Traceback|AssertionError|Iterator garbage|Warning|unraisable", re.IGNORECASE)


class Site:
    """A running site and a client with a connection and cookies."""

    def __init__(self, program, port, framework, server):
        self.program = program
        self.framework = framework
        self.server = server
        self.port = port
        self.cookies = {}
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)

    def request(self, method, path, body=None, **headers):
        """A response: its status, headers and body."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        self.connection.request(method, path, body, headers)
        response = self.connection.getresponse()
        for cookie in response.headers.get_all("Set-Cookie") or ():
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
            if re.search(r"Max-Age=(0|-\d+)\b|expires=\S+ 01.Jan.1970", cookie, re.IGNORECASE):
                del self.cookies[name]
        return response.status, response.headers, response.read()

    def json(self, method, path, body=None, **headers):
        """The document that a response has."""
        status, _, answer = self.request(method, path, body, **headers)
        assert status == 200, (status, answer)
        return json.loads(answer)

    def form(self, path, *fields):
        """The response to a form."""
        body = urllib.parse.urlencode(fields)
        return self.request("POST", path, body, Content_Type="application/x-www-form-urlencoded")

    def close(self):
        """Close the connection."""
        self.connection.close()

    def memory(self):
        """Its resident memory in KiB."""
        return self.json("GET", "/memory")["kib"]


@pytest.fixture(scope="module")
def static(tmp_path_factory):
    """A folder of static files."""
    folder = tmp_path_factory.mktemp("static")
    (folder / "style.css").write_text("h1 { color: green }\n")
    (folder / "large.bin").write_bytes(MEGABYTE * 3)
    (folder / "empty.txt").write_text("")
    return folder


@pytest.fixture(scope="module", params=[(f, s) for f in FRAMEWORKS for s in SERVERS], ids="-".join)
def running(request, static, tmp_path_factory):
    framework, server = request.param
    pytest.importorskip(framework, reason=f"{framework} is not installed")
    app = f"{framework}_site:app"
    # One site logs in, and others ask who it is: they have to be one process.
    if server == "gunicorn":
        if not (
            importlib.util.find_spec("gunicorn") and importlib.util.find_spec("eventlet.gunicorn")
        ):
            pytest.skip("gunicorn is not installed")
        command = ["-m", "gunicorn", "--worker-class", "eventlet.gunicorn.EventletWorker"]
        command += ["--bind", "127.0.0.1:0", "--chdir", str(HERE), "--workers", "1", app]
    else:
        command = ["-m", "eventlet", "serve", "--bind", "127.0.0.1:0", "--access-log", "off"]
        command += ["--chdir", str(HERE), app]
    env = {"SITE_STATIC": str(static), "SITE_VALIDATE": "1" if server == "validator" else ""}
    # Where newer versions of gunicorn put their control socket.
    env["HOME"] = str(tmp_path_factory.mktemp("home"))
    # Pyramid's use of an old package is not what is tested here.
    env["PYTHONWARNINGS"] = "ignore:pkg_resources is deprecated:UserWarning"
    with Program(*command, env=env) as program:
        match = program.wait_for(
            r"127\.0\.0\.1:(\d+)", "stderr" if server == "gunicorn" else "stdout"
        )
        yield program, int(match[1]), framework, server
        assert program.stop() == 0


@pytest.fixture
def site(running):
    program = running[0]
    before = len(program.stderr)
    with contextlib.closing(Site(*running)) as site:
        yield site
    assert not NOISE.search(program.stderr[before:]), program.stderr[before:]


def multipart(*parts):
    """A body of a form with files, and its type; a part is a name, a file's name or None, data."""
    boundary = secrets.token_hex(16)
    lines = []
    for name, filename, data in parts:
        disposition = f'form-data; name="{name}"'
        lines += [f"--{boundary}".encode()]
        if filename is None:
            lines += [f"Content-Disposition: {disposition}".encode(), b"", data]
        else:
            disposition += f'; filename="{filename}"'
            lines += [f"Content-Disposition: {disposition}".encode()]
            lines += [b"Content-Type: application/octet-stream", b"", data]
    lines += [f"--{boundary}--".encode(), b""]
    return b"\r\n".join(lines), f"multipart/form-data; boundary={boundary}"


def test_page(site):
    status, headers, body = site.request("GET", "/?name=%3Cyou%3E")
    assert status == 200
    assert headers.get_content_type() in {"text/html", "application/json"}
    assert b"<h1>&lt;you&gt;</h1>" in body


def test_form(site):
    status, _, body = site.form("/form", ("name", "Zoë & co"), ("tag", "a"), ("tag", "b"))
    assert status == 200
    assert json.loads(body) == {"name": "Zoë & co", "tags": ["a", "b"]}


def test_json(site):
    document = {"text": "ü" * 1000, "list": [*range(1000)]}
    body = json.dumps(document)
    assert site.json("POST", "/json", body, Content_Type="application/json") == {"got": document}


def test_files(site):
    large = MEGABYTE * 3
    body, kind = multipart(
        ("title", None, b"two files"), ("file", "a.bin", large), ("file", "b.txt", b"small\r\n")
    )
    assert site.json("POST", "/files", body, Content_Type=kind) == {
        "title": "two files",
        "files": [
            {"name": "a.bin", "size": len(large), "crc": zlib.crc32(large)},
            {"name": "b.txt", "size": 7, "crc": zlib.crc32(b"small\r\n")},
        ],
    }


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_large_upload(site, framing):
    """It goes through the process, and is never in it as a whole."""
    if framing == "chunked" and site.framework in {"django", "bottle", "falcon", "pyramid"}:
        pytest.skip(f"{site.framework} takes a body without Content-Length for an empty one")
    before = site.memory()
    crc = 0
    count = UPLOAD_MB[site.server]
    for _ in range(count):
        crc = zlib.crc32(MEGABYTE, crc)
    headers = {"Content_Length": str(count << 20)} if framing == "length" else {}
    body = (MEGABYTE for _ in range(count))
    assert site.json("PUT", "/raw", body, **headers) == {"size": count << 20, "crc": crc}
    assert site.memory() - before < MEMORY_KIB


def test_large_download(site):
    """It is sent while it is made."""
    before = site.memory()
    count = (DOWNLOAD_MB << 20) // len(BLOCK)
    site.connection.request("GET", f"/download/{count}")
    response = site.connection.getresponse()
    assert response.status == 200
    for _ in range(count):
        assert response.read(len(BLOCK)) == BLOCK
    assert response.read() == b""
    assert site.memory() - before < MEMORY_KIB


def test_static_files(site):
    status, headers, body = site.request("GET", "/static/style.css")
    assert (status, body) == (200, b"h1 { color: green }\n")
    assert headers.get_content_type() == "text/css"
    assert site.request("GET", "/static/large.bin")[2] == MEGABYTE * 3
    status, headers, body = site.request("GET", "/static/empty.txt")
    assert (status, body, headers["Content-Length"]) == (200, b"", "0")
    assert site.request("GET", "/static/nothing.txt")[0] == 404


def test_static_files_are_not_sent_again(site):
    _, headers, _ = site.request("GET", "/static/style.css")
    if "Last-Modified" not in headers:
        pytest.skip(f"{site.framework} does not say when a file was changed")
    condition = {"If_Modified_Since": headers["Last-Modified"]}
    status, _, body = site.request("GET", "/static/style.css", **condition)
    assert (status, body) == (304, b"")
    assert site.request("GET", "/static/style.css")[0] == 200


def test_head(site):
    if site.framework == "falcon":
        pytest.skip("Falcon's static routes are for GET only")
    status, headers, body = site.request("HEAD", "/static/large.bin")
    assert (status, body) == (200, b"")
    assert headers.get("Content-Length", str(3 << 20)) == str(3 << 20)
    assert site.request("GET", "/static/style.css")[0] == 200


def test_session(site):
    assert site.json("GET", "/me") == {"name": None}
    status, headers, _ = site.form("/login", ("name", "ann"))
    assert status in {302, 303}
    assert urllib.parse.urlsplit(headers["Location"]).path == "/me"
    assert site.json("GET", "/me") == {"name": "ann"}
    site.form("/logout")
    assert site.json("GET", "/me") == {"name": None}


def test_slow_requests_overlap(running):
    def slow(_):
        with contextlib.closing(Site(*running)) as other:
            return other.request("GET", "/slow")[0]

    count = 50
    # One after the other they would take longer than any time limit here.
    with ThreadPoolExecutor(count) as pool:
        assert [*pool.map(slow, range(count))] == [200] * count


def test_a_failure_is_an_answer(running):
    program, _, framework, _ = running
    for _ in range(2):
        with contextlib.closing(Site(*running)) as site:
            assert site.request("GET", "/fail")[0] == 500
            assert site.json("GET", "/me") == {"name": None}
    # Django tells its administrators by mail instead.
    if framework != "django":
        program.wait_for(r"(?s)as asked for.*as asked for", "stderr")
