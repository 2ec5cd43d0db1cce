"""The driver ``MySQLdb`` for green threads.

It is a C library that waits by itself. A query is therefore sent, waited for in the hub, and its
answer taken when it is there: any number of queries are under way at once. What else may wait,
connecting above all, is done in OS threads.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import MySQLdb as _original
from MySQLdb import connections as _connections
from MySQLdb import converters, cursors

from eventlet import _core, tpool

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


#: What monkey patching puts into the driver.
__patched__ = ["Connect", "Connection", "connect"]

__all__ = list(_original.__all__)

# The driver's number for a connection that was lost during a query.
_LOST = 2013

# A query up to this size fits into the buffer of a socket that nothing else is written to.
_SMALL = 16 * 1024


class Connection(_connections.Connection):  # type: ignore[misc]
    """A connection whose calls let other green threads run while they wait.

    A call that is interrupted, by a `Timeout` for instance, leaves it unusable: the answer that is
    still to come would be taken for that of the next call. All that can be done is to close it.
    """

    # Whether a call was interrupted.
    _lost = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._in_thread(super().__init__, *args, **kwargs)

    def query(self, query: bytes | bytearray | str) -> None:
        """Have the server execute a statement.

        :raises MySQLError: what the server finds wrong with it.
        """
        if isinstance(query, bytearray):
            query = bytes(query)
        self._check()
        if not _core.has_hub():
            # A thread of the pool, or one that has no green threads: nobody could run meanwhile.
            super().query(query)
            return
        if len(query) <= _SMALL:
            self.send_query(query)
        else:
            self._in_thread(self.send_query, query)
        try:
            _core.wait_fileno(self.fileno(), False, None)
        except BaseException:
            self._lost = True
            super().close()
            raise
        # All of the answer's first part may not be there yet, if there is TLS in between.
        self._in_thread(self.read_query_result)

    def use_result(self) -> Any:
        """Return the result of the last query, to be fetched from the server bit by bit."""
        return tpool.Proxy(self._in_thread(super().use_result))

    def next_result(self, *args: Any) -> int:
        """Go on to the next result of a query that has several; -1 if there is none."""
        if self._lost:
            # Cursors ask when they are closed.
            return -1
        result: int = self._in_thread(super().next_result, *args)
        return result

    def close(self) -> None:
        """Close the connection."""
        # A lost one is closed already, or will be by the thread that is still busy with it.
        if not self._lost:
            super().close()

    def _in_thread(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._check()
        try:
            return tpool.execute(method, *args, **kwargs)
        except _original.MySQLError:
            raise
        except BaseException:
            self._lost = True
            raise

    def _check(self) -> None:
        if self._lost:
            raise _original.OperationalError(_LOST, "a call on this connection was interrupted")


def _method(name: str) -> Any:
    original = getattr(_connections.Connection, name)

    def call(self: Connection, *args: Any, **kwargs: Any) -> Any:
        return self._in_thread(original, self, *args, **kwargs)

    call.__name__ = name
    call.__qualname__ = f"Connection.{name}"
    call.__doc__ = original.__doc__
    return call


# Other methods that exchange something with the server.
for _name in (
    "autocommit",
    "change_user",
    "commit",
    "discard_result",
    "dump_debug_info",
    "kill",
    "ping",
    "rollback",
    "select_db",
    "set_character_set",
    "set_server_option",
    "shutdown",
    "stat",
    "store_result",
):
    if hasattr(_connections.Connection, _name):
        setattr(Connection, _name, _method(_name))
del _name


def connect(*args: Any, **kwargs: Any) -> Connection:
    """Connect to a server: as the driver's own function."""
    return Connection(*args, **kwargs)


Connect = connect

#: The module of that name, with the green class in it.
connections = ModuleType("eventlet.green.MySQLdb.connections", _connections.__doc__)
vars(connections).update(
    {name: value for name, value in vars(_connections).items() if not name.startswith("__")}
)
connections.Connection = Connection  # type: ignore[attr-defined]

for _name, _value in vars(_original).items():
    if not _name.startswith("__"):
        globals().setdefault(_name, _value)
del _name, _value


def __also_patched__() -> list[tuple[Any, str, Any]]:
    return [(_connections, "Connection", Connection)]
