"""What the lines of the access log say, and where they go.

When they are written is in test_wsgi_log.py.
"""

import re

from support.wsgi_site import SITE

LOG_LINE = (
    r'127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4} \d\d:\d\d:\d\d\] "GET /query\?a%%b HTTP/1\.1" 200 (\d+) '
    r"\d+\.\d{6}"
)


def test_log_line(site):
    response = site.get("/query?a%%b")
    line = site.wait_log("/query")
    found = re.fullmatch(LOG_LINE, line)
    assert found, line
    assert int(found[1]) == len(response.head) + 4 + len(response.body)


def test_log_of_what_is_refused(site):
    with site.connect() as client:
        client.send("nonsense\r\n\r\n")
        assert client.response().status == 400
    assert re.search(r'127\.0\.0\.1 - - \[.*\] "-" 400 \d+ ', site.wait_log(" 400 "))


def test_log_x_forwarded_for(serve, site):
    fields = [("X-Forwarded-For", "1.2.3.4, 5.6.7.8")]
    site.get("/query?forwarded", headers=fields)
    assert site.wait_log("forwarded").startswith("1.2.3.4,5.6.7.8,127.0.0.1 - - ")
    server = serve("log_x_forwarded_for=False")
    server.get("/query?forwarded", headers=fields)
    assert server.wait_log("forwarded").startswith("127.0.0.1 - - ")


def test_log_format(serve):
    server = serve(
        "log_format='%(client_ip)s|%(client_port)s|%(date_time)s|%(request_line)s|"
        "%(status_code)s|%(body_length)s|%(wall_seconds).1f|100%%'"
    )
    with server.connect() as client:
        client.get("/query?x")
        port = client.sock.getsockname()[1]
    line = server.wait_log("query")
    pattern = rf"127\.0\.0\.1\|{port}\|.*\|GET /query\?x HTTP/1\.1\|200\|\d+\|\d\.\d\|100%"
    assert re.fullmatch(pattern, line), line


def test_log_object_and_file(serve, tmp_path):
    source = SITE + (
        "\nimport logging\nlogging.basicConfig(level=logging.INFO, format='LOGGED %(message)s')"
    )
    server = serve("log=logging.getLogger('x')", source=source)
    server.get("/query?100%25s%d")
    assert server.wait_log("/query").startswith("LOGGED 127.0.0.1 - - ")
    server.wait_log("LOGGED .* wsgi starting up on http://127")
    path = tmp_path / "log"
    server = serve(f"log=open({str(path)!r}, 'w', 1)")
    server.get("/query?file")
    server.wait_until(lambda: "file" in path.read_text())
    server.stop()
    assert '"GET /query?file HTTP/1.1" 200' in path.read_text()
    assert server.log == []


def test_log_off(serve):
    server = serve("log_output=False")
    server.get("/query?x")
    with server.connect() as client:
        client.send("nonsense\r\n\r\n")
        assert client.response().status == 400
    server.stop()
    assert server.log == []


def test_start_and_end_are_logged(serve):
    server = serve()
    pid = server.process.pid
    port = server.address[1]
    server.wait_log(rf"^\({pid}\) wsgi starting up on http://127\.0\.0\.1:{port}$")
    assert server.stop() == 0
    assert server.log[-2:] == ["wsgi exiting", f"({pid}) wsgi exited"]
