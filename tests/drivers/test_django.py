"""Django's development server."""

from __future__ import annotations

import pytest

pytest.importorskip("django", reason="Django is not installed")


def test_development_server(run_patched):
    code = """
import threading
import time
import urllib.request

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.core.servers import basehttp
from django.http import HttpResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    LOGGING_CONFIG=None,
    ROOT_URLCONF=__name__,
    SECRET_KEY="secret",
)
django.setup()

def view(request, number):
    from django.db import connection
    with connection.cursor() as cursor:
        cursor.execute("select %s", [number])
        [[found]] = cursor.fetchall()
    time.sleep(0.5)
    return HttpResponse(str(found))

urlpatterns = [path("<int:number>", view)]

# As `manage.py runserver` does, but for the port.
class Server(basehttp.ThreadedWSGIServer):
    request_queue_size = 100
    def log_message(self, *args):
        pass

class Handler(basehttp.WSGIRequestHandler):
    def log_message(self, *args):
        pass

server = Server(("127.0.0.1", 0), Handler)
server.daemon_threads = True
server.set_app(WSGIHandler())
thread = threading.Thread(target=server.serve_forever)
thread.start()
def get(number):
    url = f"http://127.0.0.1:{server.server_port}/{number}"
    with urllib.request.urlopen(url, timeout=20) as reply:
        return int(reply.read())
assert overlap(get) == [*range(50)]
server.shutdown()
thread.join()
server.server_close()
"""
    run_patched(code)
