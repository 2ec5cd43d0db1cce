"""An application, and subclasses of `wsgi.HttpProtocol` in the shapes that programs have."""

SITE = r"""
import json, socket
from eventlet import wsgi
from eventlet.green.http import client as http_client

def app(env, start):
    name = env["PATH_INFO"].strip("/")
    if name == "echo":
        body = env["wsgi.input"].read()
    elif name == "environ":
        body = json.dumps({k: v for k, v in env.items() if isinstance(v, (str, bool))}).encode()
    elif name == "body":
        exec(env["HTTP_X_CODE"], {"env": env})
        body = repr(env["wsgi.input"].read()).encode()
    elif name == "wait":
        from eventlet import hubs
        print("waiting", flush=True)
        hubs.trampoline(0, read=True)
        body = b"waited"
    elif name == "stop":
        eventlet.spawn(servers[0].stop)
        body = b"Hello!"
    elif name == "fail":
        raise RuntimeError("of the application")
    else:
        body = b"Hello!"
    if name == "stream":
        start("200 OK", [])
        return iter([b"a", b"", b"b"])
    start("200 OK", [("Content-Type", "text/plain")])
    return [body]

class Noting(wsgi.HttpProtocol):
    "One that says what is called."
    def _read_request_line(self):
        line = super()._read_request_line()
        print("line", line, flush=True)
        return line
    def handle_one_request(self):
        super().handle_one_request()
        print("handled", self.conn_state[2], self.close_connection, flush=True)
    def get_environ(self):
        env = super().get_environ()
        env["noted"] = f"{self.command} {self.path} {self.request_version} {self.headers['x-a']}"
        return env
    def finish(self):
        super().finish()
        print("finished", flush=True)

class SwiftLike(wsgi.HttpProtocol):
    "Its own parser, of whatever it takes for a request, and its own errors."
    default_request_version = "HTTP/1.0"
    reject_bad_requests = False
    class MessageClass(wsgi.HttpProtocol.MessageClass):
        def get_default_type(self):
            return ""
    def __init__(self, *args, **kwargs):
        self.made = True
        wsgi.HttpProtocol.__init__(self, *args, **kwargs)
    def log_request(self, *args):
        pass
    def log_message(self, text, *args):
        self.server.log.info("ERROR WSGI: " + text, *args)
    def parse_request(self):
        self.close_connection = True
        line = self.raw_requestline.decode("latin-1").rstrip("\r\n")
        self.requestline = line
        self.command, self.path, self.request_version = line.split(" ")
        try:
            self.headers = http_client.parse_headers(self.rfile, _class=self.MessageClass)
        except http_client.HTTPException as error:
            self.send_error(431, "Too many headers", str(error))
            return False
        self.close_connection = self.headers.get("Connection", "").lower() == "close"
        return True
    def get_environ(self, *args, **kwargs):
        environ = wsgi.HttpProtocol.get_environ(self, *args, **kwargs)
        environ["own"] = "yes" if self.made else "no"
        return environ
    def _read_request_line(self):
        got = wsgi.HttpProtocol._read_request_line(self)
        self.conn_state[2] = wsgi.STATE_REQUEST
        return got
    def send_error(self, code, message=None, explain=None):
        self.log_error("code %d, message %s", code, message)
        self.send_response(code, message)
        self.send_header("Connection", "close")
        body = (explain or "").encode()
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Trans-Id", "tx1")
        self.end_headers()
        self.wfile.write(body)

class ProxiedLike(SwiftLike):
    "A line of its own before the first request."
    def handle(self):
        line = self.rfile.readline(self.server.url_length_limit)
        if not line.startswith(b"PROXY "):
            self.rfile.close()
            self.request_version, self.command = self.default_request_version, "PROXY"
            self.requestline = ""
            self.send_error(400, "Invalid PROXY line")
            return SwiftLike.handle(self)
        parts = line.strip(b"\r\n").split(b" ")
        self.client_address = (parts[2].decode(), parts[4].decode())
        return SwiftLike.handle(self)
    def get_environ(self):
        environ = SwiftLike.get_environ(self)
        environ["SERVER_PORT"] = "443"
        return environ

class NeutronLike(wsgi.HttpProtocol):
    "A client without an address gets one."
    disable_nagle_algorithm = False
    def __init__(self, conn_state, server):
        if conn_state[0] == "":
            conn_state[0] = ("<local>", 0)
        wsgi.HttpProtocol.__init__(self, conn_state, server)

class NamekoLike(wsgi.HttpProtocol):
    "Ends a connection by itself."
    def finish(self):
        try:
            wsgi.BaseHTTPServer.BaseHTTPRequestHandler.finish(self)
        except socket.error as error:
            if error.errno not in wsgi.BROKEN_SOCK:
                raise
        self.connection.close()

class Named(wsgi.HttpProtocol):
    "Knows better who the client is."
    def get_client_address(self):
        if self.path == "/unknown":
            raise KeyError("nobody")
        return "10.9.8.7 of " + super().get_client_address()[0], "99"

class OwnRequest(wsgi.HttpProtocol):
    "Reads requests all by itself."
    def handle_one_request(self):
        self.raw_requestline = self.rfile.readline()
        if not self.raw_requestline:
            self.close_connection = True
            return
        self.requestline = self.raw_requestline.decode().strip()
        self.command, self.path, self.request_version = self.requestline.split()
        self.headers = http_client.parse_headers(self.rfile)
        self.close_connection = False
        self.environ = self.get_environ()
        self.handle_one_response()
"""
