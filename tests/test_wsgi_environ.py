"""What the environ of a request has in it, and what applications do with that."""

import json
import socket

import pytest

from support.wsgi_site import code, environ_of


def test_environ(site):
    with site.connect() as client:
        env = environ_of(client.get("/environ/a%20b%2Fc?x=%41&y"))
        host, port = client.sock.getsockname()
    assert env["REQUEST_METHOD"] == "GET"
    assert env["SCRIPT_NAME"] == ""
    assert env["PATH_INFO"] == "/environ/a b/c"
    assert env["RAW_PATH_INFO"] == "/environ/a%20b%2Fc"
    assert env["QUERY_STRING"] == "x=%41&y"
    assert env["SERVER_PROTOCOL"] == "HTTP/1.0"
    assert env["GATEWAY_INTERFACE"] == "CGI/1.1"
    assert (env["SERVER_NAME"], env["SERVER_PORT"]) == ("127.0.0.1", str(site.address[1]))
    assert (env["REMOTE_ADDR"], env["REMOTE_PORT"]) == (host, str(port))
    assert env["HTTP_HOST"] == "test"
    assert env["wsgi.version"] == [1, 0]
    assert env["wsgi.url_scheme"] == "http"
    assert env["wsgi.multithread"] is True
    assert env["wsgi.multiprocess"] is False
    assert env["wsgi.run_once"] is False
    assert env["wsgi.input"] == env["eventlet.input"] == "Input"
    assert env["wsgi.errors"] == "TextIOWrapper"
    assert env["eventlet.posthooks"] == "list"
    assert "eventlet.set_idle" in env
    assert "HTTPS" not in env


def test_environ_of_a_bare_request(site):
    env = environ_of(site.get("/environ", version="HTTP/1.0"))
    assert env["QUERY_STRING"] == ""
    assert "CONTENT_LENGTH" not in env
    assert env["CONTENT_TYPE"] == "text/plain"
    assert env["headers_raw"] == []
    assert not [key for key in env if key.startswith("HTTP_")]


def test_an_empty_query_is_a_query(site):
    assert environ_of(site.get("/environ?"))["QUERY_STRING"] == ""


def test_fields_in_the_environ(site):
    fields = [
        ("X-One", "1"),
        ("x-ONE", " 2\t"),
        ("X-Empty", ""),
        ("X_One", "3"),
        ("Content-Type", "a/b; c=d"),
        ("Content-Length", "0"),
        ("Cookie", "k=v"),
        ("X-Latin", "caf\xe9"),
    ]
    env = environ_of(site.get("/environ", headers=fields))
    assert env["HTTP_X_ONE"] == "1,2"
    assert env["HTTP_X_EMPTY"] == ""
    assert env["CONTENT_TYPE"] == "a/b; c=d"
    assert env["CONTENT_LENGTH"] == "0"
    assert env["HTTP_COOKIE"] == "k=v"
    assert env["HTTP_X_LATIN"] == "caf\xe9"
    assert "HTTP_CONTENT_TYPE" not in env
    assert "HTTP_CONTENT_LENGTH" not in env
    assert [tuple(pair) for pair in env["headers_raw"]] == [
        ("Host", "test"),
        *((name, value.strip()) for name, value in fields),
    ]


def test_one_request_says_nothing_of_another(site):
    with site.connect() as client:
        first = environ_of(client.get("/environ?a", headers=[("X-One", "1")]))
        again = environ_of(client.get("/environ?b", headers=[("X-One", "1")]))
        other = environ_of(client.post("/environ", body=b"body"))
    assert first.pop("QUERY_STRING") == "a"
    assert again.pop("QUERY_STRING") == "b"
    assert first == again
    assert "HTTP_X_ONE" not in other
    assert other["QUERY_STRING"] == ""
    assert other["CONTENT_LENGTH"] == "4"


def test_what_an_application_puts_into_its_environ_stays_there(site):
    text = "start('200 OK', []); result = [repr(env.get('mark')).encode()]; env['mark'] = 1"
    text += "; env['HTTP_HOST'] = 'changed'; env.pop('wsgi.version')"
    with site.connect() as client:
        for _ in range(2):
            assert client.get("/run", headers=code(text)).body == b"None"
        assert environ_of(client.get("/environ", headers=code(text)))["HTTP_HOST"] == "test"


def test_path_is_bytes_as_latin1(site):
    env = environ_of(site.get("/environ/%e2%82%ac/%zz/100%"))
    assert env["PATH_INFO"] == "/environ/\xe2\x82\xac/%zz/100%"


def test_absolute_target_names_the_host(site):
    env = environ_of(site.get("http://other:81/environ/x?y"))
    assert env["HTTP_HOST"] == "other:81"
    assert (env["PATH_INFO"], env["QUERY_STRING"]) == ("/environ/x", "y")
    assert ["Host", "test"] in env["headers_raw"]


def test_wildcard_listener_names_the_address_of_the_connection(serve):
    server = serve(address=("0.0.0.0", 0))
    env = environ_of(server.get("/environ"))
    assert (env["SERVER_NAME"], env["SERVER_PORT"]) == ("127.0.0.1", str(server.address[1]))


def test_ipv6(serve):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6")
    server = serve(address=("::1", 0), family="AF_INET6")
    env = environ_of(server.get("/environ"))
    assert env["SERVER_NAME"] == env["REMOTE_ADDR"] == "::1"
    server.wait_log(r"wsgi starting up on http://\[::1\]:\d+")
    server.wait_log(r'^::1 - - .* "GET /environ HTTP/1.1" 200 ')


def test_unix_socket(serve, tmp_path):
    server = serve(address=str(tmp_path / "socket"), family="AF_UNIX")
    env = environ_of(server.get("/environ"))
    assert (env["SERVER_NAME"], env["SERVER_PORT"]) == ("unix", "")
    assert (env["REMOTE_ADDR"], env["REMOTE_PORT"]) == ("unix", "")
    server.wait_log(r'^unix - - .* "GET /environ HTTP/1.1" 200 ')
    server.wait_log(f"wsgi starting up on http:{tmp_path}/socket")


def test_environ_option(serve):
    server = serve("environ={'a.b': 'c', 'wsgi.multiprocess': True}")
    env = environ_of(server.get("/environ"))
    assert env["a.b"] == "c"
    assert env["wsgi.multiprocess"] is True


def test_posthooks(site):
    text = "start('200 OK', [])\n"
    text += "def hook(env, *a, **k): print('hook', env['PATH_INFO'], a, k, flush=True)\n"
    text += "env['eventlet.posthooks'].append((hook, (1, 2), {'x': 3}))\n"
    text += "env['eventlet.posthooks'].append((lambda env: 1/0, (), {}))\n"
    text += "env['eventlet.posthooks'].append('no hook')\n"
    text += "env['eventlet.posthooks'].append((hook, (), {}))\nresult = [b'hooked']"
    with site.connect() as client:
        assert client.get("/run", headers=code(text)).body == b"hooked"
        site.wait_out(r"^hook /run \(1, 2\) \{'x': 3\}$")
        site.wait_out(r"^hook /run \(\) \{\}$")
        assert client.get().body == b"Hello!"
    site.wait_log("ZeroDivisionError")


def test_posthooks_after_a_failure(site):
    text = (
        "env['eventlet.posthooks'].append((lambda env: print('after failure', flush=True), (), {}))"
    )
    assert site.get("/run", headers=code(text + "\nraise ValueError")).status == 500
    site.wait_out("^after failure$")


def test_get_socket(site):
    pytest.importorskip("eventlet.greenio")
    text = "f = env['eventlet.input']; s = f.get_socket(); s.sendall(b'raw '); "
    text += "s.sendall(f.take_buffered() + s.recv(3))\n"
    text += "from eventlet import wsgi; wsgi.WSGI_LOCAL.already_handled = True; result = []"
    with site.connect() as client:
        client.send(f"GET /run HTTP/1.1\r\nHost: t\r\nX-Code: {json.dumps(text)}\r\n\r\n")
        assert client.exactly(4) == b"raw "
        client.send("abc")
        assert client.rest() == b"abc"
    with site.connect() as client:
        client.send(f"GET /run HTTP/1.1\r\nHost: t\r\nX-Code: {json.dumps(text)}\r\n\r\nearly ")
        assert client.exactly(4) == b"raw "
        client.send("abc")
        assert client.rest() == b"early abc"
    assert "Traceback" not in "\n".join(site.log)


def test_already_handled_is_for_one_request(site):
    text = "from eventlet import wsgi; wsgi.WSGI_LOCAL.already_handled = True; result = []"
    with site.connect() as client:
        client.send(f"GET /run HTTP/1.1\r\nHost: t\r\nX-Code: {json.dumps(text)}\r\n\r\n")
        assert client.rest() == b""
    assert site.get("/run", headers=code("result = []")).status == 500


def test_locals_of_green_threads_do_not_leak(site):
    text = (
        "import contextvars, greenlet, eventlet, __main__\n"
        "if not hasattr(__main__, 'var'): __main__.var = contextvars.ContextVar('var', default=0)\n"
        "seen = __main__.var.get(), getattr(greenlet.getcurrent(), 'mark', 0)\n"
        "__main__.var.set(1); greenlet.getcurrent().mark = 1\n"
        "eventlet.sleep(0)\n"
        "start('200 OK', []); result = [repr(seen).encode()]"
    )
    for _ in range(5):
        assert site.get("/run", headers=code(text)).body == b"(0, 0)"


def test_stats(serve):
    server = serve()
    with server.connect() as first, server.connect() as second:
        first.get()
        second.send("GET /wait?stats HTTP/1.1\r\nHost: t\r\n\r\n")
        server.wait_out("waiting stats")
        stats = json.loads(first.get("/stats").body)
        assert stats == {"accepted": 2, "connections": 2, "requests": 3, "active": 2}
