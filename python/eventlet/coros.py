"""A counter that can be waited for."""

from __future__ import annotations

from eventlet.event import Event

__all__ = ["metaphore"]


class metaphore:
    """The opposite of a semaphore: `wait` returns when the counter, which begins at 0, is 0.

    So it waits until as many have called `dec` as `inc` announced.
    """

    def __init__(self) -> None:
        self.counter = 0
        self.event = Event()
        self.event.send()

    def inc(self, by: int = 1) -> None:
        """Count `by` up, at least 1."""
        assert by > 0, "inc() counts up"
        if self.counter == 0:
            # Whoever was woken for the last zero still sees that one.
            self.event = Event()
        self.counter += by

    def dec(self, by: int = 1) -> None:
        """Count `by` down, at least 1, but not below 0."""
        assert by > 0, "dec() counts down"
        self.counter = max(0, self.counter - by)
        if self.counter == 0:
            self.event.send()

    def wait(self) -> None:
        """Wait until the counter is 0; return at once if it is."""
        self.event.wait()
