"""`http.server` and `xmlrpc` of the standard library, with their clients in the same process."""

from __future__ import annotations


def test_http_server(run_patched):
    code = """
import http.client
import http.server
import threading
import time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(0.3)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.path.encode())

    def log_message(self, format, *args):
        pass

class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 100

server = Server(("127.0.0.1", 0), Handler)
thread = threading.Thread(target=server.serve_forever)
thread.start()
def get(number):
    connection = http.client.HTTPConnection(*server.server_address, timeout=20)
    connection.request("GET", f"/{number}")
    reply = connection.getresponse().read()
    connection.close()
    return reply
assert overlap(get) == [b"/%d" % number for number in range(50)]
server.shutdown()
thread.join()
server.server_close()
"""
    run_patched(code)


def test_xmlrpc(run_patched):
    code = """
import socketserver
import threading
import time
import xmlrpc.client
import xmlrpc.server

class Server(socketserver.ThreadingMixIn, xmlrpc.server.SimpleXMLRPCServer):
    daemon_threads = True
    request_queue_size = 100

server = Server(("127.0.0.1", 0), logRequests=False)
server.register_function(lambda number: time.sleep(0.3) or number * 2, "double")
thread = threading.Thread(target=server.serve_forever)
thread.start()
def call(number):
    with xmlrpc.client.ServerProxy("http://127.0.0.1:%d" % server.server_address[1]) as proxy:
        return proxy.double(number)
assert overlap(call) == [number * 2 for number in range(50)]
server.shutdown()
thread.join()
server.server_close()
"""
    run_patched(code)
