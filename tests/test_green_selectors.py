"""eventlet.green.selectors: the standard selectors over what is green."""

import selectors as stdlib
import socket

import pytest

import eventlet
from eventlet.green import select, selectors

pytestmark = pytest.mark.usefixtures("limit")
NAMES = ["SelectSelector", "PollSelector", "EpollSelector", "KqueueSelector", "DefaultSelector"]
every_selector = pytest.mark.parametrize("name", [name for name in NAMES if hasattr(stdlib, name)])


@every_selector
def test_selecting_lets_others_run(clean_hub, name):
    pairs = [socket.socketpair() for _ in range(3)]
    with getattr(selectors, name)() as selector:
        for number, (one, _) in enumerate(pairs):
            selector.register(one, selectors.EVENT_READ, number)
        eventlet.spawn_after(0.01, lambda: [two.send(b"x") for _, two in pairs[:2]])
        found = selector.select()
        # All of them.
        assert sorted((key.data, events) for key, events in found) == [(0, 1), (1, 1)]
        selector.modify(pairs[2][0], selectors.EVENT_READ | selectors.EVENT_WRITE, 2)
        found = {key.data: events for key, events in selector.select(10)}
        assert found == {0: 1, 1: 1, 2: selectors.EVENT_WRITE}
        for number in range(2):
            selector.unregister(pairs[number][0])
        selector.modify(pairs[2][0], selectors.EVENT_READ)
        ran = []
        eventlet.spawn_n(ran.append, True)
        assert selector.select(0.01) == []
        assert ran
        assert selector.select(-1) == []
    for one, two in pairs:
        one.close()
        two.close()


@every_selector
def test_a_green_selector_is_a_standard_one(name):
    cls = getattr(selectors, name)
    assert issubclass(cls, getattr(stdlib, name))
    assert cls is not getattr(stdlib, name)


def test_the_module_has_all_that_the_standard_one_has():
    names = {name for name in vars(stdlib) if not name.startswith("_")}
    assert names <= set(vars(selectors))
    assert selectors.DefaultSelector.__name__ == stdlib.DefaultSelector.__name__


def test_what_they_wait_with():
    triples = {(owner.__name__, name): value for owner, name, value in selectors.__also_patched__()}
    assert triples["SelectSelector", "_select"] is select.select
    assert all(
        owner is getattr(stdlib, owner.__name__) for owner, _, _ in selectors.__also_patched__()
    )


def test_classes_imported_before_are_green(run_python):
    result = run_python(
        """
import selectors, socket
from selectors import *
names = [name for name in (
    "SelectSelector", "PollSelector", "EpollSelector", "KqueueSelector", "DefaultSelector"
) if hasattr(selectors, name)]
classes = [getattr(selectors, name) for name in names]
before = [vars(cls).copy() for cls in classes]
one, two = socket.socketpair()
made = [cls() for cls in classes]
for selector in made:
    selector.register(one, selectors.EVENT_READ, "data")
import eventlet
eventlet.monkey_patch()
assert classes == [getattr(selectors, name) for name in names]
# Selectors that were made before are green, too.
for selector in made:
    ran = []
    eventlet.spawn_n(ran.append, True)
    assert selector.select(0.02) == [] and ran, selector
    eventlet.spawn_n(two.send, b"x")
    assert [(key.data, events) for key, events in selector.select()] == [("data", 1)]
    one.recv(1)
    selector.modify(one, selectors.EVENT_WRITE)
    assert selector.select()[0][1] == selectors.EVENT_WRITE
    selector.close()
for cls in classes:
    with cls() as selector:
        selector.register(one, selectors.EVENT_READ)
        ran = []
        eventlet.spawn_n(ran.append, True)
        assert selector.select(0.02) == [] and ran, cls
        eventlet.spawn_n(two.send, b"x")
        assert selector.select(), cls
        one.recv(1)
from eventlet import patcher
patcher.unpatch()
assert before == [vars(cls) for cls in classes]
print("end")
"""
    )
    assert result.stdout == "end\n"


def test_a_server_of_the_standard_library(run_python):
    result = run_python(
        """
import eventlet
eventlet.monkey_patch()
import socketserver, socket, threading

class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)

with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
    threading.Thread(target=server.serve_forever).start()
    clients = [socket.create_connection(server.server_address) for _ in range(5)]
    for number, client in enumerate(clients):
        client.sendall(b"%d\\n" % number)
    print([client.recv(10) for client in clients])
    for client in clients:
        client.close()
    server.shutdown()
"""
    )
    assert result.stdout == str([b"%d\n" % number for number in range(5)]) + "\n"
