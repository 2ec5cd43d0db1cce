"""Time limits for what a green thread does."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from eventlet._core import Timer, throw_after

__all__ = ["Timeout", "is_timeout", "with_timeout", "wrap_is_timeout"]

_T = TypeVar("_T")
_MISSING: Any = object()


class Timeout(BaseException):
    """Raises an exception in the green thread that made it, unless it is cancelled in time.

    The clock starts when the object is made. As a context manager it is cancelled at the end of the
    block::

        with eventlet.Timeout(5):
            data = sock.recv(1024)

    :param seconds: the limit; None never expires.
    :param exception: what to raise: an exception or a class of one. None raises the Timeout itself;
        False ends the ``with`` block quietly.

    It derives from BaseException, so that ``except Exception`` in the code under the limit does not
    swallow it.
    """

    #: Tells a time limit from other exceptions, whatever their class (see `is_timeout`).
    is_timeout = True

    def __init__(
        self,
        seconds: float | None = None,
        exception: BaseException | type[BaseException] | bool | None = None,
    ) -> None:
        self.seconds = seconds
        self.exception = exception
        self.timer: Timer | None = None
        self.start()

    def start(self) -> None:
        """Start the clock. Raises AssertionError if it is running."""
        assert not self.pending, f"{self!r} is already started; to restart it, cancel it first"
        if self.seconds is None:
            self.timer = None
        elif self.exception is None or isinstance(self.exception, bool):
            self.timer = throw_after(self.seconds, self)
        else:
            self.timer = throw_after(self.seconds, self.exception)

    @property
    def pending(self) -> bool:
        """Whether the clock is running."""
        return self.timer is not None and self.timer.pending

    def cancel(self) -> None:
        """Stop the clock. A limit that has expired, or was cancelled, is left alone."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def __repr__(self) -> str:
        pending = " pending" if self.pending else ""
        exception = "" if self.exception is None else f" exception={self.exception!r}"
        return (
            f"<{type(self).__name__} at {id(self):#x} seconds={self.seconds}{exception}{pending}>"
        )

    def __str__(self) -> str:
        if self.seconds is None:
            return ""
        unit = "second" if self.seconds == 1 else "seconds"
        if self.exception is None or self.exception is True:
            return f"{self.seconds} {unit}"
        if self.exception is False:
            return f"{self.seconds} {unit} (silent)"
        return f"{self.seconds} {unit} ({self.exception})"

    def __enter__(self: _T) -> _T:
        if self.timer is None:  # type: ignore[attr-defined]
            self.start()  # type: ignore[attr-defined]
        return self

    def __exit__(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> bool | None:
        self.cancel()
        return True if value is self and self.exception is False else None


def with_timeout(
    seconds: float | None, function: Callable[..., Any], *args: Any, **kwds: Any
) -> Any:
    """Call ``function(*args, **kwds)`` under a time limit of `seconds`.

    With the keyword argument ``timeout_value``, that is returned when the time is up; otherwise the
    `Timeout` is raised.
    """
    timeout_value = kwds.pop("timeout_value", _MISSING)
    timeout = Timeout(seconds)
    try:
        return function(*args, **kwds)
    except Timeout as error:
        if error is timeout and timeout_value is not _MISSING:
            return timeout_value
        raise
    finally:
        timeout.cancel()


def wrap_is_timeout(base: Any) -> Any:
    """Mark an exception class, or the exceptions that a function returns, with ``is_timeout``."""
    if inspect.isclass(base):
        setattr(base, "is_timeout", property(lambda _: True))  # noqa: B010
        return base

    @functools.wraps(base)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        result = base(*args, **kwargs)
        result.is_timeout = True
        return result

    return wrapped


def is_timeout(obj: Any) -> bool:
    """Tell whether an exception stands for a time limit: ours, Python's, or one marked as such."""
    return bool(getattr(obj, "is_timeout", False)) or isinstance(obj, TimeoutError)
