"""Helpers that other packages use."""

from __future__ import annotations

__all__ = ["bytes_to_str", "get_errno"]


def get_errno(exc: BaseException) -> int | None:
    """Return the errno of an exception, or None if it has none.

    Some exceptions carry it as an attribute, others as their first argument.
    """
    errno = getattr(exc, "errno", None)
    if errno is not None:
        return int(errno)
    if exc.args and isinstance(exc.args[0], int):
        return exc.args[0]
    return None


def bytes_to_str(data: bytes | str, encoding: str = "ascii") -> str:
    """Return `data` as a string."""
    return data.decode(encoding) if isinstance(data, bytes) else data
