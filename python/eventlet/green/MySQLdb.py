"""The module ``MySQLdb`` (mysqlclient) with connections whose calls are made in OS threads.

libmysqlclient knows only blocking calls. So the connections, and the cursors they make, are proxies
(`eventlet.tpool.Proxy`) whose methods are called in the threads of `eventlet.tpool`: set their
number by ``EVENTLET_THREADPOOL_SIZE``.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

import MySQLdb as _original
import MySQLdb.connections as _original_connections
import MySQLdb.converters as converters
import MySQLdb.cursors as cursors

from eventlet import tpool

globals().update(
    {name: value for name, value in vars(_original).items() if not name.startswith("__")}
)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


__all__ = [*_original.__all__]

#: What monkey patching puts into the original module.
__patched__ = ["Connect", "Connection", "connect", "connections"]

_Connection = _original_connections.Connection


def Connection(*args: Any, **kwargs: Any) -> Any:
    """Connect to a server, as ``MySQLdb.connect`` does; return a proxy of the connection."""
    made = tpool.execute(_Connection, *args, **kwargs)
    return tpool.Proxy(made, autowrap_names=("cursor",))


connect = Connect = Connection

connections = ModuleType("MySQLdb.connections", _original_connections.__doc__)
vars(connections).update(vars(_original_connections), Connection=Connection)
