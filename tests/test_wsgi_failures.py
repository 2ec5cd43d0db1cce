"""Applications that fail, before the head of the response and after it, and their `close()`."""

import json

import pytest

from support.http_server import Closed
from support.wsgi_site import SITE, code, spec


@pytest.mark.parametrize(
    ("name", "what", "status"),
    [
        ("plain", {"blocks": [b"a", b"b"]}, 200),
        ("empty", {"blocks": []}, 200),
        ("cut", {"blocks": [b"abc"], "headers": [("Content-Length", "1")]}, 200),
        ("text", {"blocks": ["\xe9"]}, 500),
        ("number", {"blocks": [1]}, 500),
        ("none", {"blocks": [None]}, 500),
    ],
)
def test_close_is_called(site, name, what, status):
    assert site.get("/closing", headers=spec(name=name, **what)).status == status
    site.wait_out(f"^closed {name}$")


def test_close_is_called_when_the_body_fails(site):
    text = "from __main__ import Body; start('200 OK', []); "
    text += "result = Body([], 'before', ValueError('the end'))"
    response = site.get("/run", headers=code(text))
    assert response.status == 500
    assert b"ValueError: the end" in response.body
    site.wait_out("^closed before$")
    text = text.replace("[],", "[b'x' * 5000],").replace("before", "middle")
    text = text.replace("start('200 OK', [],)", "start('200 OK', [])")
    text = text.replace("[b'x' * 5000],)", "[])", 1)
    with site.connect() as client, pytest.raises(Closed):
        client.get("/run", headers=code(text))
    site.wait_out("^closed middle$")
    site.wait_log("ValueError: the end", 2)


def test_close_is_called_when_the_client_has_gone(site):
    with site.connect() as client:
        text = "from __main__ import Body; start('200 OK', []); import itertools; "
        text += "result = Body(itertools.repeat(b'x' * 65536), 'gone')"
        client.send(f"GET /run HTTP/1.1\r\nHost: t\r\nX-Code: {json.dumps(text)}\r\n\r\n")
        client.exactly(1000)
        client.reset()
    site.wait_out("^closed gone$")
    assert "Traceback" not in "\n".join(site.log)


def test_close_that_fails(site):
    text = "from __main__ import Body; start('200 OK', []); "
    text += "result = Body([b'abc'], 'failing', close_error=ValueError('in close'))"
    with site.connect() as client:
        # All of the body has been sent or nothing, depending on when it is sent; never both.
        response = client.get("/run", headers=code(text))
        assert response.status in {200, 500}
        assert client.is_closed()
    site.wait_log("ValueError: in close")


FAILURES = {
    "never called": "result = []",
    "never called, with a body": "result = [b'abc']",
    "never called, generator": "result = iter([b'abc'])",
    "None": "start('200 OK', []); result = None",
    "number": "start('200 OK', []); result = 7",
    "raises before": "raise ValueError('oops')",
    "raises after": "start('200 OK', []); raise ValueError('oops')",
    "header not a pair": "start('200 OK', [('a',)]); result = []",
    "header bytes": "start('200 OK', [(b'a', 'b')]); result = []",
    "header wide": "start('200 OK', [('a', '\\u20ac')]); result = []",
    "header None": "start('200 OK', None); result = []",
    "status None": "start(None, []); result = []",
    "status bytes": "start(b'200 OK', []); result = []",
    "status without a number": "start('OK', []); result = []",
    "status too long": "start('2000 OK', []); result = []",
    "CR in header": "start('200 OK', [('a', 'b\\rc')]); result = []",
    "LF in header": "start('200 OK', [('a', 'b\\nc')]); result = []",
    "CRLF in header": "start('200 OK', [('a', 'b\\r\\nX-Split: 1')]); result = []",
    "NUL in header": "start('200 OK', [('a', 'b\\0')]); result = []",
    "CRLF in name": "start('200 OK', [('a\\r\\nb', 'c')]); result = []",
    "space in name": "start('200 OK', [('a b', 'c')]); result = []",
    "colon in name": "start('200 OK', [('a:', 'c')]); result = []",
    "empty name": "start('200 OK', [('', 'c')]); result = []",
    "CRLF in status": "start('200 OK\\r\\nX-Split: 1', []); result = []",
    "LF in status": "start('200 OK\\n', []); result = []",
    "bad length": "start('200 OK', [('Content-Length', 'x')]); result = []",
    "negative length": "start('200 OK', [('Content-Length', '-1')]); result = []",
    "two lengths": "start('200 OK', [('Content-Length', '1'), ('Content-Length', '2')]); result=[]",
    "Timeout": "import eventlet; raise eventlet.Timeout()",
    "of its own connections": "raise ConnectionRefusedError('the database')",
    "of its own time limits": "raise TimeoutError('the database')",
    "of its own descriptors": "import os; os.read(999, 1)",
}


@pytest.mark.parametrize("name", FAILURES)
def test_failures_before_the_head(site, name):
    with site.connect() as client:
        response = client.get("/run", headers=code(FAILURES[name]))
        assert response.status == 500
        assert response.reason == "Internal Server Error"
        assert b"Traceback" in response.body or b"Error" in response.body
        assert "X-Split" not in response
        assert response["Connection"] == "close"
        assert client.is_closed()
    site.wait_log(r'"GET /run HTTP/1.1" 500 ')
    assert [line for line in site.log if "Error" in line or "Timeout" in line]


def test_failures_without_debug(serve):
    server = serve("debug=False")
    with server.connect() as client:
        response = client.get("/run", headers=code("raise ValueError('secret')"))
        assert response.status == 500
        assert response.body == b""
        assert client.is_closed()
    server.wait_log("ValueError: secret")


def test_failures_to_head_and_http10(site):
    with site.connect() as client:
        response = client.request("HEAD", "/run", headers=code("raise ValueError"))
        assert response.status == 500
        assert client.is_closed()
    response = site.get("/run", headers=code("raise ValueError"), version="HTTP/1.0")
    assert response.status == 500


@pytest.mark.parametrize(
    "error", ["ValueError('x')", "ConnectionRefusedError('x')", "TimeoutError('x')"]
)
def test_failures_after_the_head_end_the_connection(site, error):
    text = f"start('200 OK', [])(b'begun')\nraise {error}"
    with site.connect() as client:
        client.send(f"GET /run HTTP/1.1\r\nHost: t\r\nX-Code: {json.dumps(text)}\r\n\r\n")
        assert client.rest().endswith(b"5\r\nbegun\r\n")
    site.wait_log(error.partition("(")[0])


def test_start_response_twice(site):
    text = "start('200 OK', [])(b'x')\ntry:\n    start('500 No', [])\nexcept AssertionError:\n"
    text += "    result = [b'refused']"
    assert site.get("/run", headers=code(text)).body == b"xrefused"


def test_start_response_with_exc_info(site):
    text = "start('200 OK', [('A', 'b')])\ntry:\n    1/0\nexcept Exception:\n"
    text += "    start('503 Sorry', [('C', 'd')], sys.exc_info())\nresult = [b'sorry']"
    response = site.get("/run", headers=code(text))
    assert (response.status, response.reason, response.body) == (503, "Sorry", b"sorry")
    assert "A" not in response
    assert response["C"] == "d"


def test_start_response_with_exc_info_too_late(site):
    text = "start('200 OK', [])(b'begun')\ntry:\n    1/0\nexcept Exception:\n"
    text += "    start('503 Sorry', [], sys.exc_info())\nresult = [b'sorry']"
    with site.connect() as client:
        client.send(f"GET /run HTTP/1.1\r\nHost: t\r\nX-Code: {json.dumps(text)}\r\n\r\n")
        assert client.rest().endswith(b"5\r\nbegun\r\n")
    site.wait_log("ZeroDivisionError")


def test_start_response_by_keyword(site):
    text = "start(status='200 OK', response_headers=[], exc_info=None); result = [b'x']"
    assert site.get("/run", headers=code(text)).body == b"x"


def test_validator_is_silent(serve):
    source = (
        SITE
        + "\nfrom wsgiref.validate import validator\n"
        + (
            "def plain(env, start):\n"
            "    env['wsgi.input'].read(3)\n"
            "    start('200 OK', [('Content-Type', 'text/plain')])\n"
            "    return [b'a', b'b']\n"
            "def app(env, start):\n"
            "    del env['headers_raw']  # the one key without a dot that is no string\n"
            "    return validator(plain)(env, start)\n"
        )
    )
    server = serve(source=source, env={"PYTHONWARNINGS": "error"})
    with server.connect() as client:
        assert client.get("/?q").body == b"ab"
        assert client.post("/?", b"body").body == b"ab"
        assert client.request("HEAD", "/?").status == 200
    server.wait_log("HEAD")
    server.stop()
    assert "Traceback" not in "\n".join(server.log)
