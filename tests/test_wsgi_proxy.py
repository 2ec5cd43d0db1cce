"""What proxies say of their clients: PROXY headers and X-Forwarded-*, and who is believed."""

import socket
import struct

import pytest

from support.http_server import Closed
from support.wsgi_site import GET, SITE, environ_of
from test_wsgi_limits import OBJECTS

V1 = b"PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
ENVIRON = b"GET /environ HTTP/1.1\r\nHost: t\r\n\r\n"


def v2(command, family, body):
    return SIGNATURE + struct.pack(">BBH", 0x20 | command, family, len(body)) + body


V2 = v2(1, 0x11, bytes([192, 0, 2, 1, 198, 51, 100, 2]) + struct.pack(">HH", 4711, 443))
TRUSTED = "proxy_protocol=True, trusted_proxies=['127.0.0.1']"


def remote(response):
    environ = environ_of(response)
    return environ["REMOTE_ADDR"], environ["REMOTE_PORT"]


# ------------------------------------------------------------------------------------------------
# The PROXY protocol


@pytest.mark.parametrize("source", [SITE, SITE + OBJECTS], ids=["descriptor", "object"])
def test_the_address_is_that_of_the_header(serve, source):
    server = serve(TRUSTED, source)
    v6 = socket.inet_pton(socket.AF_INET6, "2001:db8::1") * 2 + struct.pack(">HH", 1, 2)
    for header, expected in [
        (V1, ("192.0.2.1", "4711")),
        (b"PROXY TCP6 2001:db8::1 ::1 5 6\r\n", ("2001:db8::1", "5")),
        (V2, ("192.0.2.1", "4711")),
        (v2(1, 0x21, v6), ("2001:db8::1", "1")),
        (v2(1, 0x21, v6 + b"\x01\0\x02h2"), ("2001:db8::1", "1")),
        (v2(1, 0x31, bytes(216)), ("unix", "")),
    ]:
        for way in ("at once", "byte by byte", "in two"):
            with server.connect() as client:
                if way == "byte by byte":
                    for byte in header + ENVIRON:
                        client.send(bytes([byte]))
                elif way == "in two":
                    client.send(header)
                    client.send(ENVIRON)
                else:
                    client.send(header + ENVIRON)
                response = client.response()
                assert remote(response) == expected, (header, way)
                # It is for the connection, and no other request has one.
                client.send(ENVIRON)
                assert remote(client.response()) == expected
    server.wait_log(r'^192\.0\.2\.1 - - \[.*"GET /environ HTTP/1\.1" 200')


def test_a_proxy_that_speaks_for_itself(serve):
    server = serve(TRUSTED)
    for header in (b"PROXY UNKNOWN\r\n", v2(0, 0, b""), v2(1, 0, b"")):
        with server.connect() as client:
            client.send(header + ENVIRON)
            host, port = remote(client.response())
            assert (host, int(port)) == client.sock.getsockname()


@pytest.mark.parametrize("source", [SITE, SITE + OBJECTS], ids=["descriptor", "object"])
def test_a_header_is_required(serve, source):
    server = serve(TRUSTED, source)
    for data in (
        GET,
        b"PROXY nonsense\r\n" + GET,
        SIGNATURE + b"\x31\0\0\0" + GET,
        b"\x16\x03\x01",
    ):
        with server.connect() as client:
            client.send(data)
            assert client.is_closed()  # and nothing is sent
    server.wait_log("did not send what it should", 4)


def test_a_header_has_the_time_of_a_head(serve):
    server = serve(TRUSTED + ", head_timeout=0.1")
    for data in (b"", b"PROXY TC"):
        with server.connect() as client:
            client.send(data)
            assert client.is_closed()


@pytest.mark.parametrize(
    ("version", "good", "bad"), [("v1", V1, V2), ("v2", V2, V1)], ids=["v1", "v2"]
)
def test_one_version_only(serve, version, good, bad):
    server = serve(f"proxy_protocol={version!r}, trusted_proxies=['127.0.0.0/8']")
    with server.connect() as client:
        client.send(good + ENVIRON)
        assert remote(client.response()) == ("192.0.2.1", "4711")
    with server.connect() as client:
        client.send(bad + ENVIRON)
        assert client.is_closed()


@pytest.mark.parametrize("trusted", ["[]", "['10.0.0.0/8', 'unix', '::1']"])
@pytest.mark.parametrize("source", [SITE, SITE + OBJECTS], ids=["descriptor", "object"])
def test_others_are_refused(serve, trusted, source):
    server = serve(f"proxy_protocol=True, trusted_proxies={trusted}", source)
    for data in (GET, V1 + GET, V2 + GET):
        with server.connect() as client:
            try:
                client.send(data)
                with pytest.raises(Closed):
                    client.response()
            except ConnectionError:
                pass
    server.wait_log("refused a connection from somebody who is not a trusted proxy", 3)
    assert not [line for line in server.log if '"GET' in line]


def test_unix_sockets(serve, tmp_path):
    path = str(tmp_path / "socket")
    server = serve("proxy_protocol=True, trusted_proxies=['unix']", address=path, family="AF_UNIX")
    server.address = path
    with server.connect() as client:
        client.send(V1 + ENVIRON)
        assert remote(client.response()) == ("192.0.2.1", "4711")


def test_without_the_option_a_header_is_a_malformed_request(serve):
    server = serve("trusted_proxies=['*']")
    with server.connect() as client:
        client.send(V1 + GET)
        assert client.response().status == 400


@pytest.mark.parametrize(
    "options",
    [
        "proxy_protocol='v3'",
        "proxy_protocol=1",
        "trusted_proxies=['localhost']",
        "trusted_proxies=['1.2.3.4/8']",
    ],
)
def test_options_that_make_no_sense(serve, options):
    source = (
        SITE
        + """
def main(sock, options):
    try:
        wsgi.server(sock, app, **options)
    except ValueError as error:
        print("refused", error, flush=True)
"""
    )
    serve(options, source).wait_out("refused")


# ------------------------------------------------------------------------------------------------
# X-Forwarded-*


def environ_with(server, *fields):
    return environ_of(server.get("/environ", headers=fields))


def test_off_by_default(serve):
    server = serve()
    environ = environ_with(
        server,
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "example.com"),
    )
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["HTTP_HOST"] == "test"
    assert "HTTPS" not in environ
    assert environ["HTTP_X_FORWARDED_FOR"] == "192.0.2.1"


@pytest.mark.parametrize("source", [SITE, SITE + OBJECTS], ids=["descriptor", "object"])
def test_the_client_is_the_last_address_that_is_no_proxy(serve, source):
    server = serve("trusted_proxies=['127.0.0.1', '10.0.0.0/8']", source)
    for lines, address, port in [
        (["192.0.2.1"], "192.0.2.1", "0"),
        (["1.1.1.1, 192.0.2.1, 10.0.0.2"], "192.0.2.1", "0"),
        (["1.1.1.1, 192.0.2.1", "10.0.0.2"], "192.0.2.1", "0"),
        (["192.0.2.1:4711"], "192.0.2.1", "4711"),
        (["[2001:db8::1]:80"], "2001:db8::1", "80"),
        (["10.0.0.3, 10.0.0.2"], "10.0.0.3", "0"),
    ]:
        environ = environ_with(server, *[("X-Forwarded-For", line) for line in lines])
        assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == (address, port), lines
    for line in ("", "unknown", "1.2.3", "<script>"):
        environ = environ_with(server, ("X-Forwarded-For", line))
        assert environ["REMOTE_ADDR"] == "127.0.0.1"
        assert environ["REMOTE_PORT"] != "0"


def test_scheme_and_host(serve):
    server = serve("trusted_proxies=['127.0.0.1']")

    def keys(*fields):
        environ = environ_with(server, *fields)
        names = ("wsgi.url_scheme", "HTTPS", "HTTP_HOST", "SERVER_NAME", "SERVER_PORT")
        return tuple(environ.get(name) for name in names)

    port = str(server.address[1])
    proto, host = "X-Forwarded-Proto", "X-Forwarded-Host"
    own = ("http", None, "test", "127.0.0.1", port)
    assert keys() == own
    assert keys((proto, "https")) == ("https", "on", "test", "127.0.0.1", port)
    assert keys((proto, "http, HTTPS")) == ("https", "on", "test", "127.0.0.1", port)
    assert keys((proto, "gopher")) == own
    assert keys((host, "example.com")) == ("http", None, "example.com", "example.com", "80")
    assert keys((host, "a, example.com:81"), (proto, "https")) == (
        "https",
        "on",
        "example.com:81",
        "example.com",
        "81",
    )
    assert keys((host, "example.com"), (proto, "https"))[-1] == "443"
    assert keys((host, "[::1]:8"))[2:] == ("[::1]:8", "::1", "8")
    assert keys((host, "a/b")) == own
    assert keys((host, "")) == own


def test_one_request_says_nothing_of_the_next(serve):
    server = serve("trusted_proxies=['127.0.0.1']")
    with server.connect() as client:
        fields = [("X-Forwarded-Proto", "https"), ("X-Forwarded-For", "1.1.1.1")]
        for _ in range(3):
            assert remote(client.get("/environ", headers=fields))[0] == "1.1.1.1"
            environ = environ_of(client.get("/environ"))
            assert environ["REMOTE_ADDR"] == "127.0.0.1"
            assert environ["wsgi.url_scheme"] == "http"


def test_who_trusts_everybody_believes_the_last_address(serve):
    server = serve("trusted_proxies=['*']")
    environ = environ_with(server, ("X-Forwarded-For", "1.1.1.1, 2.2.2.2"))
    assert environ["REMOTE_ADDR"] == "2.2.2.2"


def test_fields_are_believed_of_whom_the_proxy_header_names(serve):
    """A client behind a proxy that only passes bytes on is not the proxy."""
    field = b"GET /environ HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n"
    server = serve("proxy_protocol=True, trusted_proxies=['127.0.0.1', '10.0.0.0/8']")
    with server.connect() as client:
        client.send(V1 + field)
        assert remote(client.response()) == ("192.0.2.1", "4711")
    with server.connect() as client:
        client.send(V1.replace(b"192.0.2.1", b"10.1.2.3") + field)
        assert remote(client.response()) == ("6.6.6.6", "0")
