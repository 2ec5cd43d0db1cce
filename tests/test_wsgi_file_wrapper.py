"""`environ['wsgi.file_wrapper']`: files as responses."""

import io
import json
import os
import ssl

import pytest

from support import certificates
from support.http_server import Server

SITE = r"""
import bz2, gzip, io, json, os, tempfile

class Closing(io.FileIO):
    "A subclass, which may read as it likes."
    def read(self, size=-1):
        return super().read(size).upper()

def app(env, start):
    made = []
    scope = {
        "env": env, "PATH": env.get("HTTP_X_PATH"), "bz2": bz2, "gzip": gzip, "io": io, "os": os,
        "tempfile": tempfile, "Closing": Closing, "start": start, "headers": [], "made": made,
        "wrap": env["wsgi.file_wrapper"],
    }
    code = env.get("HTTP_X_CODE")
    if code is None:
        start("200 OK", [])
        return [b"Hello!"]
    exec(json.loads(code), scope)
    if "begun" not in scope:
        start(scope.get("status", "200 OK"), scope["headers"])
    return scope["result"]
"""

DATA = bytes(range(256)) * 1500 + b"the end"


@pytest.fixture(scope="module")
def shared():
    server = Server(SITE)
    yield server
    server.kill()


@pytest.fixture
def site(shared):
    """A server that answers a normal request after the test."""
    shared.clear()
    yield shared
    assert shared.get().body == b"Hello!"


@pytest.fixture
def serve(start_server):
    """A function that starts a server of the applications above."""

    def start(options="", source=SITE, **kwargs):
        return start_server(source, options, **kwargs)

    return start


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(DATA)
    return path


def ask(path, code, *headers):
    return {"headers": [("X-Path", str(path)), ("X-Code", json.dumps(code)), *headers]}


def request(path, code):
    """A request as its bytes, for tests that do not read the response at once."""
    lines = [f"{name}: {value}" for name, value in ask(path, code)["headers"]]
    return "\r\n".join(["GET / HTTP/1.1", "Host: t", *lines]) + "\r\n\r\n"


@pytest.mark.parametrize(
    "file",
    [
        "open(PATH, 'rb')",
        "open(PATH, 'rb', buffering=0)",
        "open(PATH, 'r+b')",
    ],
)
def test_a_file(site, path, file):
    with site.connect() as client:
        for _ in range(2):
            response = client.get(**ask(path, f"result = wrap({file})"))
            assert response["Content-Length"] == str(len(DATA))
            assert "Transfer-Encoding" not in response
            assert response.body == DATA
    site.wait_log(rf'"GET / HTTP/1\.1" 200 {len(response.head) + 4 + len(DATA)} ')


def test_nothing_is_read(site, path):
    """The kernel copies: the file stands where it stood."""
    code = "file = open(PATH, 'rb'); other = os.dup(file.fileno()); result = wrap(file); "
    code += "hook = lambda e: print('at', os.lseek(other, 0, 1), os.close(other), flush=True); "
    code += "env['eventlet.posthooks'].append((hook, (), {}))"
    assert site.get(**ask(path, code)).body == DATA
    assert site.wait_out("^at ") == "at 0 None"


def test_from_where_it_stands(site, path):
    code = "file = open(PATH, 'rb'); file.read(10); file.seek(5, 1); result = wrap(file)"
    response = site.get(**ask(path, code))
    assert (response["Content-Length"], response.body) == (str(len(DATA) - 15), DATA[15:])
    code = "file = open(PATH, 'rb'); file.seek(0, 2); result = wrap(file)"
    response = site.get(**ask(path, code))
    assert (response["Content-Length"], response.body) == ("0", b"")
    code = "file = open(PATH, 'rb'); file.seek(10_000_000); result = wrap(file)"
    assert site.get(**ask(path, code)).body == b""


@pytest.mark.parametrize("length", [0, 1, 5000, len(DATA)])
def test_a_given_length_is_a_part(site, path, length):
    code = f"headers.append(('Content-Length', '{length}')); result = wrap(open(PATH, 'rb'))"
    with site.connect() as client:
        assert client.get(**ask(path, code)).body == DATA[:length]
        assert client.get().body == b"Hello!"


def test_a_given_length_beyond_the_end(site, path):
    code = "headers.append(('Content-Length', '400000')); result = wrap(open(PATH, 'rb'))"
    with site.connect() as client:
        client.send(request(path, code))
        assert client.rest().partition(b"\r\n\r\n")[2] == DATA


def test_a_file_that_becomes_shorter(site, path):
    path.write_bytes(b"x" * (64 << 20))
    with site.connect() as client:
        code = "result = wrap(open(PATH, 'rb')); "
        code += "env['eventlet.posthooks'].append((lambda e: print('over', flush=True), (), {}))"
        client.send(request(path, code))
        client._until(b"\r\n\r\n")
        os.truncate(path, 100)
        assert len(client.rest()) < 64 << 20
        site.wait_out("over")
    assert "Traceback" not in "\n".join(site.log)


@pytest.mark.parametrize(
    ("code", "body"),
    [
        ("result = wrap(io.BytesIO(b'memory' * 10_000), 100)", b"memory" * 10_000),
        ("result = wrap(gzip.open(PATH + '.gz'))", b"packed" * 1000),
        ("result = wrap(io.BufferedReader(gzip.open(PATH + '.gz')))", b"packed" * 1000),
        ("result = wrap(Closing(PATH + '.txt'))", b"TEXT" * 1000),
        ("result = wrap(open(PATH + '.txt'))", b"text" * 1000),
        (
            "r, w = os.pipe(); os.write(w, b'pipe'); os.close(w); result = wrap(open(r, 'rb'))",
            b"pipe",
        ),
    ],
)
def test_what_is_read(site, path, code, body):
    import gzip

    path.with_suffix(".gz").write_bytes(gzip.compress(b"packed" * 1000))
    path.with_suffix(".txt").write_bytes(b"text" * 1000)
    response = site.get(**ask(path, code))
    assert "Content-Length" not in response
    assert response.body == body


def test_temporary_files(site, path):
    code = "file = tempfile.NamedTemporaryFile(); file.write(b'temporary'); file.seek(0); "
    response = site.get(**ask(path, code + "result = wrap(file)"))
    assert (response["Content-Length"], response.body) == ("9", b"temporary")


def test_head_and_responses_without_a_body(site, path):
    with site.connect() as client:
        request = ask(path, "result = wrap(open(PATH, 'rb'))")
        response = client.request("HEAD", **request)
        assert (response["Content-Length"], response.body) == (str(len(DATA)), b"")
        code = "status = '304 Not Modified'; result = wrap(open(PATH, 'rb'))"
        assert client.get(**ask(path, code)).status == 304
        assert client.get().body == b"Hello!"


def test_http10(site, path):
    response = site.get(version="HTTP/1.0", **ask(path, "result = wrap(open(PATH, 'rb'))"))
    assert (response["Content-Length"], response.body) == (str(len(DATA)), DATA)


def test_after_other_data(site, path):
    code = "begun = True; start('200 OK', [])(b'first '); result = wrap(open(PATH, 'rb'))"
    response = site.get(**ask(path, code))
    assert response["Transfer-Encoding"] == "chunked"
    assert response.body == b"first " + DATA


def test_close_is_called(serve, path):
    source = SITE + (
        "\nclass File(io.BytesIO):\n"
        "    def close(self):\n        print('closed', flush=True)\n        super().close()\n"
        "inner = app\n"
        "def app(env, start):\n"
        "    start('200 OK', [])\n"
        "    return env['wsgi.file_wrapper'](File(b'abc'))\n"
    )
    server = serve(source=source)
    assert server.get().body == b"abc"
    server.wait_out("^closed$")


def test_a_slow_reader_gets_all(site, path):
    path.write_bytes(DATA * 50)
    with site.connect() as client, site.connect() as other:
        client.send(request(path, "result = wrap(open(PATH, 'rb'))"))
        for _ in range(5):
            assert other.get().body == b"Hello!"
        assert client.response().body == DATA * 50


def test_a_client_that_leaves(site, path):
    path.write_bytes(DATA * 50)
    client = site.connect()
    code = "result = wrap(open(PATH, 'rb')); "
    code += "env['eventlet.posthooks'].append((lambda e: print('left', flush=True), (), {}))"
    client.send(request(path, code))
    assert client.sock.recv(1)
    client.reset()
    site.wait_out("^left$")
    assert "Traceback" not in "\n".join(site.log)


def test_tls(serve, path, tmp_path):
    try:
        certificate, key = certificates.make(tmp_path)
    except FileNotFoundError:
        pytest.skip("needs the openssl command")
    source = SITE + (
        "\ndef main(sock, options):\n"
        f"    files = dict(certfile={certificate!r}, keyfile={key!r})\n"
        "    wsgi.server(eventlet.wrap_ssl(sock, server_side=True, **files), app)\n"
    )
    server = serve(source=source)
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    with server.connect() as client:
        client.sock = context.wrap_socket(client.sock)
        response = client.get(**ask(path, "result = wrap(open(PATH, 'rb'))"))
        assert (response["Content-Length"], response.body) == (str(len(DATA)), DATA)
        assert client.get().body == b"Hello!"


def test_the_wrapper_itself():
    from eventlet import _core

    file = io.BytesIO(b"abcdefgh")
    wrapper = _core.FileWrapper(file, 3)
    assert (wrapper.filelike, wrapper.blksize) == (file, 3)
    assert list(wrapper) == [b"abc", b"def", b"gh"]
    wrapper.close()
    assert file.closed
    _core.FileWrapper(object()).close()
