"""A hub of each kind for its tests."""

import socket

import pytest

import eventlet
from eventlet import hubs
from support.hubs import AVAILABLE


@pytest.fixture(params=AVAILABLE)
def hub(request):
    """A new hub of each kind, with a time limit."""
    hubs.use_hub(request.param)
    hub = hubs.get_hub()
    with eventlet.Timeout(20):
        yield hub
    hubs.use_hub()


@pytest.fixture
def quiet(hub):
    """Exceptions that nobody catches are not printed."""
    hub.debug_exceptions = False


@pytest.fixture
def pair():
    """Two connected sockets that do not block."""
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    yield left, right
    left.close()
    right.close()
