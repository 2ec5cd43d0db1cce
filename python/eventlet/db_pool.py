"""Pools of database connections, for any module that follows the DB-API (PEP 249).

`TpooledConnectionPool` makes its connections, and all calls of their methods, in OS threads, so
that a driver that blocks holds up nobody else. `RawConnectionPool` is for drivers that cooperate by
themselves. `DatabaseConnector` keeps a pool for each database.

A free connection is kept as ``(last used, made, connection)``, both in seconds of a monotonic
clock. While free connections exist, one timer waits for the first of them to become too old.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Any
from weakref import ref

from eventlet import greenthread
from eventlet.pools import Pool
from eventlet.timeout import Timeout

__all__ = [
    "BaseConnectionPool",
    "ConnectTimeout",
    "ConnectionPool",
    "DatabaseConnector",
    "GenericConnectionWrapper",
    "PooledConnectionWrapper",
    "RawConnectionPool",
    "TpooledConnectionPool",
    "cleanup_rollback",
]

#: A function that makes a connection ready for its next user.
Cleanup = Callable[[Any], object]


class ConnectTimeout(Exception):
    """The database has not answered within the time for connecting."""


def cleanup_rollback(conn: Any) -> None:
    """Take back what a connection's last user has not committed."""
    conn.rollback()


class _Missing:
    """Marks an argument that was not given."""


_MISSING = _Missing()


class BaseConnectionPool(Pool):
    """What the two kinds of pools have in common; each defines `connect`.

    :param db_module: the database module, whose ``connect`` makes connections.
    :param min_size: how many connections are made at once.
    :param max_size: how many there may be.
    :param max_idle: seconds after which a connection that nobody has used is closed. 0 closes it
        when it comes back.
    :param max_age: seconds after which a connection is closed, used or not. 0 closes it when it
        comes back, so that the pool only limits how many there are.
    :param connect_timeout: seconds that connecting may take; `get` raises `ConnectTimeout` after
        that. None: any time.
    :param cleanup: called with a connection that comes back; one for which it raises an exception
        is thrown away. None: nothing is called.
    :param args: arguments for ``connect``, as well as `kwargs`.
    """

    def __init__(
        self,
        db_module: Any,
        min_size: int = 0,
        max_size: int = 4,
        max_idle: float = 10,
        max_age: float = 30,
        connect_timeout: float | None = 5,
        cleanup: Cleanup | None = cleanup_rollback,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        if not db_module:
            raise AssertionError("a pool of connections needs a database module")
        self._db_module = db_module
        self._args = args
        self._kwargs = kwargs
        self.max_idle = max_idle
        self.max_age = max_age
        self.connect_timeout = connect_timeout
        self.cleanup = cleanup
        self._expiration_timer: Any = None
        super().__init__(min_size=min_size, max_size=max_size, order_as_stack=True)

    @classmethod
    def connect(cls, db_module: Any, connect_timeout: float | None, *args: Any, **kw: Any) -> Any:
        """Make a connection, within `connect_timeout` seconds.

        :raises ConnectTimeout: if it takes longer.
        """
        raise NotImplementedError("define connect() in a subclass")

    def create(self) -> Any:
        """Make a connection for the pool."""
        conn = self.connect(self._db_module, self.connect_timeout, *self._args, **self._kwargs)
        now = monotonic()
        return now, now, conn

    def get(self) -> PooledConnectionWrapper:
        """Return a connection, waiting for one if all are in use.

        Its ``close()`` gives it back to the pool.

        :raises ConnectTimeout: if a new one is needed, and cannot be made in time.
        """
        item = super().get()
        if isinstance(item, tuple):
            _last_used, made, conn = item
        else:
            made, conn = monotonic(), item
        wrapped = PooledConnectionWrapper(conn, self)
        wrapped._db_pool_created_at = made
        return wrapped

    def put(self, conn: Any, cleanup: Cleanup | _Missing | None = _MISSING) -> None:
        """Take a connection back. One that is too old, or whose cleanup fails, is closed.

        :param conn: what `get` has returned. None stands for one that is lost.
        :param cleanup: used instead of the pool's own; None for nothing.
        """
        made = getattr(conn, "_db_pool_created_at", 0)
        base = self._unwrap_connection(conn)
        try:
            if base is not None:
                base = self._cleaned(base, made, cleanup)
        except BaseException:
            self._leave_place()
            raise
        if base is None:
            self._leave_place()
        else:
            super().put((monotonic(), made, base))
        self._schedule_expiration()

    def _cleaned(self, conn: Any, made: float, cleanup: Cleanup | _Missing | None) -> Any:
        """Return `conn` as its next user may have it; None if it had to be thrown away."""
        now = monotonic()
        if self._is_expired(now, now, made):
            self._safe_close(conn)
            return None
        if isinstance(cleanup, _Missing):
            cleanup = self.cleanup
        if cleanup is None:
            return conn
        try:
            cleanup(conn)
        except Exception as error:
            # Whatever it was, the connection is of no use any more.
            sys.stderr.write(f"WARNING: the cleanup of a connection has raised {error!r}\n")
            self._safe_close(conn, quiet=True)
            return None
        return conn

    @contextmanager
    def item(self, cleanup: Cleanup | _Missing | None = _MISSING) -> Iterator[Any]:
        """Lend a connection for the time of a ``with`` block."""
        conn = self.get()
        try:
            yield conn
        finally:
            self.put(conn, cleanup=cleanup)

    def clear(self) -> None:
        """Close all free connections."""
        if self._expiration_timer is not None:
            self._expiration_timer.cancel()
            self._expiration_timer = None
        free, self.free_items = self.free_items, deque()
        for item in free:
            self.current_size -= 1
            self._safe_close(item[2] if isinstance(item, tuple) else item, quiet=True)

    def _schedule_expiration(self) -> None:
        """Close what has become too old, and see to it that this happens again in time."""
        timer = self._expiration_timer
        if self.max_idle <= 0 or self.max_age <= 0 or (timer is not None and timer.pending):
            return
        now = monotonic()
        self._expire_old_connections(now)
        times = [item[:2] for item in self.free_items if isinstance(item, tuple)]
        if not times:
            self._expiration_timer = None
            return
        used = min(last_used for last_used, _ in times) + self.max_idle
        age = min(made for _, made in times) + self.max_age
        # The timer leaves the pool alone once nothing else refers to it.
        from eventlet.hubs import get_hub

        self._expiration_timer = get_hub().schedule_call_global(
            max(min(used, age) - now, _SHORTEST), greenthread.spawn_n, _expire, ref(self)
        )

    def _expire_old_connections(self, now: float) -> None:
        """Close the free connections that are too old at the time `now`."""
        expired = [
            item
            for item in self.free_items
            if isinstance(item, tuple) and self._is_expired(now, item[0], item[1])
        ]
        for item in expired:
            self.free_items.remove(item)
            self.current_size -= 1
        for item in expired:
            self._safe_close(item[2], quiet=True)

    def _is_expired(self, now: float, last_used: float, made: float) -> bool:
        """Tell whether a connection with these times is too old."""
        return (
            self.max_idle <= 0
            or self.max_age <= 0
            or now - last_used > self.max_idle
            or now - made > self.max_age
        )

    def _unwrap_connection(self, conn: Any) -> Any:
        """Return the connection inside of a wrapper, which is of no use any more; None if there is
        none."""
        if not conn:
            return None
        base = getattr(conn, "_base", None)
        if base is not None and hasattr(conn, "_destroy"):
            conn._destroy()
        return base

    def _safe_close(self, conn: Any, quiet: bool = False) -> None:
        """Close a connection. If that fails, it says so, unless it is to be `quiet`."""
        try:
            close = conn.close
        except AttributeError:
            return
        try:
            close()
        except Exception as error:
            if not quiet:
                sys.stderr.write(f"closing a connection has raised {error!r}\n")

    def __del__(self) -> None:
        # Half made, if the constructor has raised.
        if getattr(self, "channel", None) is None:
            return
        try:
            self.clear()
        except Exception:
            # What is left of a module when the interpreter ends may be little.
            pass


def _expire(pool: ref[BaseConnectionPool]) -> None:
    if (found := pool()) is not None:
        found._schedule_expiration()


class TpooledConnectionPool(BaseConnectionPool):
    """A pool whose connections are made, and do all their work, in OS threads.

    They are `eventlet.tpool.Proxy` objects, and so are their cursors.
    """

    @classmethod
    def connect(cls, db_module: Any, connect_timeout: float | None, *args: Any, **kw: Any) -> Any:
        """Make a connection, in an OS thread and within `connect_timeout` seconds.

        :raises ConnectTimeout: if it takes longer. The connection is closed if it comes later.
        """
        from eventlet import tpool

        late = False

        def connect() -> Any:
            conn = db_module.connect(*args, **kw)
            if late:
                conn.close()
            return conn

        timeout = Timeout(connect_timeout, ConnectTimeout())
        try:
            conn = tpool.execute(connect)
        except BaseException:
            late = True
            raise
        finally:
            timeout.cancel()
        return tpool.Proxy(conn, autowrap_names=("cursor",))


class RawConnectionPool(BaseConnectionPool):
    """A pool of connections as the database module makes them."""

    @classmethod
    def connect(cls, db_module: Any, connect_timeout: float | None, *args: Any, **kw: Any) -> Any:
        """Make a connection, within `connect_timeout` seconds if the driver gives way meanwhile.

        :raises ConnectTimeout: if it takes longer.
        """
        timeout = Timeout(connect_timeout, ConnectTimeout())
        try:
            return db_module.connect(*args, **kw)
        finally:
            timeout.cancel()


#: The pool that suits any database module.
ConnectionPool = TpooledConnectionPool


class GenericConnectionWrapper:
    """Stands for a connection, `_base`, and passes on the calls of what connections can do."""

    def __init__(self, baseconn: Any) -> None:
        self._base = baseconn

    def __enter__(self) -> Any:
        return self._base.__enter__()

    def __exit__(self, exc: Any, value: Any, tb: Any) -> Any:
        return self._base.__exit__(exc, value, tb)

    def __repr__(self) -> str:
        return repr(self._base)


def _passed_on(name: str) -> Callable[..., Any]:
    def method(self: GenericConnectionWrapper, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._base, name)(*args, **kwargs)

    method.__name__ = name
    method.__qualname__ = f"GenericConnectionWrapper.{name}"
    method.__doc__ = f"Call ``{name}`` of the connection."
    return method


for _name in (
    # The DB-API's own.
    "close",
    "commit",
    "cursor",
    "errorhandler",
    "rollback",
    # What the drivers for MySQL and PostgreSQL have beyond it.
    "affected_rows",
    "autocommit",
    "begin",
    "change_user",
    "character_set_name",
    "dump_debug_info",
    "errno",
    "error",
    "get_server_info",
    "insert_id",
    "literal",
    "ping",
    "query",
    "select_db",
    "server_capabilities",
    "set_character_set",
    "set_isolation_level",
    "set_server_option",
    "set_sql_mode",
    "show_warnings",
    "shutdown",
    "sqlstate",
    "stat",
    "store_result",
    "string_literal",
    "thread_id",
    "use_result",
    "warning_count",
):
    setattr(GenericConnectionWrapper, _name, _passed_on(_name))
del _name


class PooledConnectionWrapper(GenericConnectionWrapper):
    """A connection that is lent by a pool: `close` gives it back.

    It is true until then, and of no use afterwards.
    """

    #: When the connection was made, in seconds of a monotonic clock.
    _db_pool_created_at: float = 0

    def __init__(self, baseconn: Any, pool: BaseConnectionPool) -> None:
        super().__init__(baseconn)
        self._pool: BaseConnectionPool | None = pool

    def __bool__(self) -> bool:
        return hasattr(self, "_base") and bool(self._base)

    def close(self) -> None:
        """Give the connection back to its pool. It may be called again."""
        if self and self._pool:
            self._pool.put(self)
        self._destroy()

    def _destroy(self) -> None:
        self._pool = None
        if hasattr(self, "_base"):
            del self._base


class DatabaseConnector:
    """Keeps a pool of connections for each host and database.

    :param module: the database module.
    :param credentials: for each host, the arguments with which to connect there; those of the host
        ``"default"`` are for all that are not in it.
    :param conn_pool: the class of the pools, `ConnectionPool` unless given.
    :param args: arguments for the pools, as well as `kwargs`.
    """

    def __init__(
        self,
        module: Any,
        credentials: Mapping[str, Mapping[str, Any]],
        conn_pool: Callable[..., Any] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        if not module:
            raise AssertionError("a connector needs a database module")
        self._conn_pool_class: Callable[..., Any] = conn_pool or ConnectionPool
        self._module = module
        self._args = args
        self._kwargs = kwargs
        self._credentials = credentials
        self._databases: dict[tuple[str, str], Any] = {}

    def credentials_for(self, host: str) -> Mapping[str, Any] | None:
        """Return the arguments with which to connect to `host`, None if it has none."""
        if host in self._credentials:
            return self._credentials[host]
        return self._credentials.get("default")

    def get(self, host: str, dbname: str) -> Any:
        """Return the pool for a database of a host; the same one each time."""
        key = (host, dbname)
        if key not in self._databases:
            arguments = {**self._kwargs, "db": dbname, "host": host}
            arguments.update(self.credentials_for(host) or {})
            self._databases[key] = self._conn_pool_class(self._module, *self._args, **arguments)
        return self._databases[key]


#: Seconds between two looks at the ages of free connections, at least.
_SHORTEST = 0.001
