"""Connections of the WSGI server that make several requests, one after the other."""

import socket

from support.wsgi_site import GET, spec


def test_keep_alive(site):
    with site.connect() as client:
        for _ in range(3):
            response = client.get()
            assert response.body == b"Hello!"
            assert "Connection" not in response
        assert client.get(headers=[("Connection", "close")])["Connection"] == "close"
        assert client.is_closed()


def test_http10(site):
    with site.connect() as client:
        response = client.get(version="HTTP/1.0")
        assert response.body == b"Hello!"
        assert client.is_closed()


def test_http10_keep_alive(site):
    with site.connect() as client:
        for _ in range(3):
            response = client.get(version="HTTP/1.0", headers=[("Connection", "keep-alive")])
            assert response["Connection"].lower() == "keep-alive"
            assert response.body == b"Hello!"
        client.get(version="HTTP/1.0")
        assert client.is_closed()


def test_http10_ends_a_body_of_unknown_length_by_closing(site):
    with site.connect() as client:
        fields = [*spec(result=[b"a", b"b"], generator=True), ("Connection", "keep-alive")]
        response = client.get("/respond", version="HTTP/1.0", headers=fields)
        assert "Transfer-Encoding" not in response
        assert "Content-Length" not in response
        assert response.body == b"ab"


def test_pipelining(site):
    count = 1000
    requests = b"".join(
        b"GET /query?%d HTTP/1.1\r\nHost: test\r\n\r\n" % number for number in range(count)
    )
    with site.connect() as client:
        client.send(requests)
        for number in range(count):
            assert client.response().body == b"%d" % number
        assert client.get().body == b"Hello!"


def test_pipelining_with_bodies_and_a_close(site):
    with site.connect() as client:
        client.send(
            "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nfirst"
            "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
            "6\r\nsecond\r\n0\r\n\r\n"
            "POST /ignore HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nskip"
            "GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
            "GET /never HTTP/1.1\r\nHost: t\r\n\r\n"
        )
        bodies = [client.response().body for _ in range(4)]
        assert bodies == [b"first", b"second", b"ignored", b"Hello!"]
        assert client.is_closed()
    assert not [line for line in site.log if "never" in line]


def test_pipelined_requests_leave_others_their_turn(site):
    with site.connect() as greedy, site.connect() as modest:
        modest.get()
        greedy.send(b"GET /wait?turn HTTP/1.1\r\nHost: test\r\n\r\n" + GET * 5000)
        site.wait_out("waiting turn")
        modest.send(GET)
        assert modest.response().status == 200
        assert modest.get("/release?turn").body == b"released"
        assert greedy.response().body == b"waited"
        for _ in range(5000):
            assert greedy.response().body == b"Hello!"


def test_empty_lines_before_a_request_are_ignored(site):
    with site.connect() as client:
        client.send(b"\r\n" + GET)
        assert client.response().body == b"Hello!"
        client.send(b"\r\n")
        assert client.get().body == b"Hello!"


def test_a_head_byte_by_byte(site):
    with site.connect() as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET /query?slow HTTP/1.1\r\nHost: test\r\n\r\n":
            client.send(bytes([byte]))
        assert client.response().body == b"slow"
