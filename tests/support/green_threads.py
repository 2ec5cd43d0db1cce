"""What the green threads of the tests run, and what they raise."""

from eventlet.event import Event


class Failure(Exception):
    """What the tests raise on purpose."""


def never_sent():
    """Something to wait for in vain."""
    return Event().wait()
