"""Responses: their framing, their heads, and what an application may yield."""

import json
import re

import pytest

from support.http_server import Closed
from support.wsgi_site import code, spec


def test_length_is_computed_for_what_is_there(site):
    for result in ([b"abc"], [b"a", b"b", b"c"], (b"ab", b"", b"c"), (b"abc",)):
        response = site.get("/respond", headers=spec(result=result))
        assert response["Content-Length"] == "3"
        assert response.body == b"abc"
    assert site.get("/respond", headers=spec(result=[]))["Content-Length"] == "0"
    assert site.get("/respond", headers=spec(result=()))["Content-Length"] == "0"


def test_date_is_added_and_not_doubled(site):
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", site.get()["Date"])
    fields = spec(headers=[("Date", "mine")])
    assert site.get("/respond", headers=fields)["Date"] == "mine"


def test_given_length(site):
    fields = spec(headers=[("Content-Length", "3")], result=[b"a", b"bc"], generator=True)
    with site.connect() as client:
        response = client.get("/respond", headers=fields)
        assert response["Content-Length"] == "3"
        assert response.body == b"abc"
        assert client.get().body == b"Hello!"


@pytest.mark.parametrize("generator", [False, True])
def test_a_body_longer_than_its_length_is_cut(site, generator):
    fields = spec(headers=[("Content-Length", "3")], result=[b"ab", b"cdef"], generator=generator)
    with site.connect() as client:
        assert client.get("/respond", headers=fields).body == b"abc"
        try:
            assert client.get().body == b"Hello!"
        except (Closed, ConnectionError):
            pass  # to end the connection is right as well, but nothing else may come


@pytest.mark.parametrize("generator", [False, True])
def test_a_body_shorter_than_its_length_ends_the_connection(site, generator):
    fields = spec(headers=[("Content-Length", "9")], result=[b"ab", b"c"], generator=generator)
    with site.connect() as client, pytest.raises(Closed) as error:
        client.get("/respond", headers=fields)
    assert error.value.args == (b"abc",)


@pytest.mark.parametrize("result", ["b''", "set()", "{}", "range(0)"])
def test_anything_empty_has_no_length_to_find_out(site, result):
    text = f"start('200 OK', []); result = {result}"
    response = site.get("/run", headers=code(text))
    assert (response["Content-Length"], response.body) == ("0", b"")


def test_generator_is_chunked(site):
    with site.connect() as client:
        response = client.get("/respond", headers=spec(result=[b"ab", b"", b"c"], generator=True))
        assert response["Transfer-Encoding"] == "chunked"
        assert response.body == b"abc"
        assert client.get().body == b"Hello!"


@pytest.mark.parametrize(
    ("minimum", "sizes"), [(None, [5000, 4000]), (0, [1000] * 9), (2500, [3000] * 3)]
)
def test_small_blocks_are_gathered(site, minimum, sizes):
    text = "start('200 OK', []); result = (b'x' * 1000 for _ in range(9))"
    if minimum is not None:
        text += f"; env['eventlet.minimum_write_chunk_size'] = {minimum}"
    response = site.get("/run", headers=code(text))
    assert [len(chunk) for chunk in response.chunks] == sizes


def test_minimum_chunk_size(serve):
    server = serve("minimum_chunk_size=1")
    response = server.get("/respond", headers=spec(result=[b"a", b"b"], generator=True))
    assert response.chunks == [b"a", b"b"]


def test_write(site):
    with site.connect() as client:
        response = client.get("/respond", headers=spec(write=[b"a", b"b"], result=[b"c"]))
        assert response["Transfer-Encoding"] == "chunked"
        assert response.body == b"abc"
        fields = spec(headers=[("Content-Length", "2")], write=[b"a"], result=[b"b"])
        assert client.get("/respond", headers=fields).body == b"ab"
        assert client.get().body == b"Hello!"


def test_write_sends_at_once(site):
    text = "w = start('200 OK', [])\nw(b'first')\n"
    text += "from __main__ import event\nevent('write').wait()\nresult = [b'second']"
    with site.connect() as client:
        request = f"GET /run HTTP/1.1\r\nHost: t\r\nX-Code: {json.dumps(text)}\r\n\r\n"
        client.send(request)
        client._until(b"first\r\n")
        site.get("/release?write")
        assert b"second" in client._until(b"0\r\n\r\n")


def test_head(site):
    with site.connect() as client:
        for result in ({"result": [b"abc"]}, {"result": [b"abc"], "generator": True}):
            response = client.request("HEAD", "/respond", headers=spec(**result))
            assert response.status == 200
        fields = spec(headers=[("Content-Length", "3")], result=[b"abc"])
        assert client.request("HEAD", "/respond", headers=fields)["Content-Length"] == "3"
        assert client.get().body == b"Hello!"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("result", [[], [b"abc"], [b"a", b"b"]])
def test_responses_without_a_body(site, status, result):
    with site.connect() as client:
        response = client.get("/respond", headers=spec(status=status, result=result))
        assert response.status == int(status[:3])
        assert "Transfer-Encoding" not in response
        assert client.get().body == b"Hello!"
        fields = spec(status=status, headers=[("Content-Length", "3")], result=result)
        response = client.get("/respond", headers=fields)
        assert ("Content-Length" in response) == (response.status == 304)
        assert client.get().body == b"Hello!"


def test_status_without_a_reason(site):
    assert site.get("/respond", headers=spec(status="299 ")).status == 299


def test_names_that_are_not_ascii(site):
    response = site.get("/respond", headers=spec(headers=[("wITH-\xdf-lATIN1-\xff", "\xe9")]))
    assert response["With-\xdf-Latin1-\xff"] == "\xe9"


def test_characters_that_cannot_be_sent():
    from eventlet import wsgi

    assert wsgi._encode_header_line(("x-\xdf", "a b")) == b"x-\xdf: a b\r\n"
    with pytest.raises(UnicodeEncodeError, match=r"'\\u2603'.*header values.*RFC 8187"):
        wsgi._encode_header_line(("x", "\u2603"))
    with pytest.raises(UnicodeEncodeError, match="header names"):
        wsgi._encode_header_line(("\u2603", "x"))
    with pytest.raises(ValueError, match="control character"):
        wsgi._encode_header_line(("x", "a\nb"))


def test_header_names_are_capitalized(serve, site):
    fields = spec(headers=[("x-aBC-d", "1")])
    assert b"\r\nX-Abc-D: 1\r\n" in site.get("/respond", headers=fields).head + b"\r\n"
    server = serve("capitalize_response_headers=False")
    assert b"\r\nx-aBC-d: 1\r\n" in server.get("/respond", headers=fields).head + b"\r\n"


def test_headers_that_come_twice_are_sent_twice(site):
    fields = spec(headers=[("Set-Cookie", "a"), ("Set-Cookie", "b")])
    assert site.get("/respond", headers=fields).all("Set-Cookie") == ["a", "b"]


def test_connection_close_of_the_application(site):
    with site.connect() as client:
        response = client.get("/respond", headers=spec(headers=[("Connection", "close")]))
        assert response.all("Connection") == ["close"]
        assert client.is_closed()


@pytest.mark.parametrize("block", ["bytearray(b'abc')", "memoryview(b'abc')", "'abc'"])
def test_what_an_application_may_yield(site, block):
    for result in (f"[{block}]", f"iter([{block}])"):
        text = f"start('200 OK', []); result = {result}"
        assert site.get("/run", headers=code(text)).body == b"abc"


def test_file_like_results(site):
    text = "start('200 OK', []); result = io.BytesIO(b'a\\n' + b'b' * 100000)"
    assert site.get("/run", headers=code(text)).body == b"a\n" + b"b" * 100000


@pytest.mark.parametrize("path", ["big", "bigblock"])
def test_a_slow_reader_gets_all_of_a_big_body(site, path):
    size = 50 << 20
    with site.connect() as client, site.connect() as other:
        client.send(f"GET /{path}?{size} HTTP/1.1\r\nHost: t\r\n\r\n")
        for _ in range(3):
            # The rest of the world goes on while the first cannot be sent.
            assert other.get().body == b"Hello!"
        response = client.response()
        assert response["Content-Length"] == str(size)
        assert response.body == bytes(range(256)) * (size // 256)
        assert client.get().body == b"Hello!"
