"""The green threads of the WSGI server are used again, and no request notices."""

import contextvars
import gc
import weakref

import pytest

import eventlet
from eventlet import corolocal, hubs, wsgi

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def all_parked():
    return hubs.get_hub().stats()["parked"]


class Server:
    """A server whose application calls `handle` and sends what it returns."""

    def __init__(self):
        self.others = all_parked()
        self.handle = lambda: None
        listener = eventlet.listen(("127.0.0.1", 0))
        self.address = listener.getsockname()
        self.green_thread = eventlet.spawn(wsgi.server, listener, self._app, log_output=False)

    def _app(self, environ, start_response):
        start_response("200 OK", [])
        return [repr(self.handle()).encode()]

    def get(self, handle):
        """Have `handle` called in a request on a connection of its own; return what it returned."""
        result = []
        self.handle = lambda: result.append(handle())
        client = eventlet.connect(self.address)
        try:
            client.sendall(REQUEST)
            assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
        finally:
            client.close()
        return result[0]

    def get_all(self, handles):
        """The same for several requests, which all have come before the server looks at any."""
        results = {}

        def handle(index):
            results[index] = handles[index]()

        clients = [eventlet.connect(self.address) for _ in handles]
        try:
            for _ in range(2):  # the first time to be accepted
                order = iter(range(len(handles)))
                self.handle = lambda order=order: handle(next(order))
                for client in clients:
                    client.sendall(REQUEST)
                for client in clients:
                    assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
        finally:
            for client in clients:
                client.close()
        return [results[index] for index in range(len(handles))]

    def spare(self):
        """How many green threads wait for a request: all that wait but the server's own."""
        return all_parked() - self.others - 1


@pytest.fixture
def server():
    with eventlet.Timeout(10):
        made = Server()
        yield made
        made.green_thread.kill()
        # The last of its green threads end in the round after.
        eventlet.sleep(0)


def test_one_without_a_trace_waits_for_the_next_request(server):
    for _ in range(3):
        server.get(lambda: None)
        assert server.spare() == 1


def test_none_is_left_at_the_end(server):
    server.get(lambda: None)
    assert server.spare() == 1
    server.green_thread.kill()
    eventlet.sleep(0)
    assert all_parked() == server.others


def test_context_variables_are_set_back(server):
    variable = contextvars.ContextVar("variable", default="default")
    server.get(lambda: variable.set("mine"))
    assert server.get(variable.get) == "default"


def test_one_with_an_attribute_ends(server):
    def mark():
        eventlet.getcurrent().mark = "mine"

    server.get(mark)
    assert server.spare() == 0
    assert not server.get(lambda: hasattr(eventlet.getcurrent(), "mark"))


def test_one_that_somebody_keeps_ends(server):
    kept = server.get(eventlet.getcurrent)
    assert kept.dead
    assert server.get(lambda: eventlet.getcurrent() is kept) is False


def test_one_that_is_referred_to_weakly_ends(server):
    reference = server.get(lambda: weakref.ref(eventlet.getcurrent()))
    gc.collect()
    assert reference() is None
    assert server.spare() == 0


def test_greenlet_local_data_is_not_handed_on(server):
    local = corolocal.local()
    server.get(lambda: setattr(local, "value", "mine"))
    assert not server.get(lambda: hasattr(local, "value"))


def sleep_to_the_next_round():
    eventlet.sleep(0)


def sleep_for_a_moment():
    eventlet.sleep(0.001)


def wait_for_another():
    eventlet.spawn(lambda: "done").wait()


@pytest.mark.parametrize("wait", [sleep_to_the_next_round, sleep_for_a_moment, wait_for_another])
def test_one_that_has_waited_waits_for_the_next_request(server, wait):
    variable = contextvars.ContextVar("variable", default="default")

    def handle():
        found = variable.get()
        variable.set("mine")
        wait()
        return found

    for _ in range(3):
        assert server.get(handle) == "default"
        assert server.spare() == 1


def test_one_that_somebody_has_come_to_know_meanwhile_ends(server):
    kept = []

    def handle():
        eventlet.spawn(kept.append, eventlet.getcurrent())
        eventlet.sleep(0)

    server.get(handle)
    assert kept[0].dead
    assert server.spare() == 0


def test_one_that_waited_in_vain_is_not_handed_on(server):
    def handle():
        with eventlet.Timeout(0.001, False):
            eventlet.Event().wait()
        return True

    assert server.get(handle)
    assert server.get(lambda: "untouched") == "untouched"


def test_one_that_was_resumed_by_hand_is_not_handed_on(server):
    def handle():
        eventlet.spawn(eventlet.getcurrent().switch)
        hubs.get_hub().switch()
        return True

    assert server.get(handle)
    eventlet.sleep(0)
    assert server.get(lambda: "untouched") == "untouched"


def test_those_that_wait_together_wait_for_the_next_requests(server):
    variable = contextvars.ContextVar("variable", default="default")
    event = eventlet.Event()

    def wait():
        found = variable.get()
        variable.set("mine")
        event.wait()
        return found

    def send():
        if not event.ready():
            event.send()
        return variable.get()

    assert server.get_all([wait, wait, wait, send]) == ["default"] * 4
    assert server.spare() == 4


def test_a_pending_timeout_is_not_handed_on(server):
    limit = []
    server.get(lambda: limit.append(eventlet.Timeout(0.001)))
    assert server.spare() == 0
    # It goes off, and finds the green thread that it was for dead.
    eventlet.sleep(0.002)
    assert not limit[0].pending
    assert server.get(lambda: "untouched") == "untouched"


def test_requests_that_come_together_know_nothing_of_each_other(server):
    variable = contextvars.ContextVar("variable", default="default")
    local = corolocal.local()
    event = eventlet.Event()
    kept = []

    def mark():
        found = variable.get(), getattr(local, "value", "none"), eventlet.getcurrent() in kept
        variable.set("mine")
        return found

    def keep():
        found = mark()
        local.value = "mine"
        kept.append(eventlet.getcurrent())
        return found

    def wait():
        found = mark()
        event.wait()
        return found

    def send():
        found = mark()
        if not event.ready():
            event.send()
        return found

    found = server.get_all([mark, keep, mark, wait, mark, keep, send, mark])
    assert found == [("default", "none", False)] * 8
    assert all(greenlet.dead for greenlet in kept)


def test_an_error_leaves_the_others_their_requests(server):
    def leave():
        raise eventlet.greenlet.GreenletExit

    clients = [eventlet.connect(server.address) for _ in range(3)]
    for round_ in range(2):
        outcomes = iter([lambda: None, leave if round_ else lambda: None, lambda: None])
        server.handle = lambda outcomes=outcomes: next(outcomes)()
        for client in clients:
            client.sendall(REQUEST)
        answers = [client.recv(1000)[:12] for client in clients]
    assert answers == [b"HTTP/1.1 200", b"", b"HTTP/1.1 200"]
    for client in clients:
        client.close()
