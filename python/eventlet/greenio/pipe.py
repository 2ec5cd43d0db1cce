"""Green pipes: file objects over descriptors that may block, of pipes and terminals."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from socket import SocketIO as _fileobject
from typing import Any

from eventlet._core import notify_closing, notify_opened, os_read, os_read_into, os_write

__all__ = ["GreenFileIO", "GreenPipe", "_fileobject"]


class GreenFileIO(io.FileIO):
    """A raw file whose operations let other green threads run while they wait.

    The arguments are those of ``io.FileIO``. The descriptor stays in the mode that it is in, which
    others may share.
    """

    def __init__(
        self,
        name: Any,
        mode: str = "r",
        closefd: bool = True,
        opener: Callable[[str, int], int] | None = None,
    ) -> None:
        super().__init__(name, mode, closefd, opener)
        # Its operations wait even if the descriptor is non-blocking.
        notify_opened(self.fileno(), id(self))

    def read(self, size: int | None = -1) -> bytes:
        """Return at most `size` bytes, or all up to the end if it is None or negative."""
        if size is None or size < 0:
            return self.readall()
        self._check("reading", self.readable())
        return os_read(self.fileno(), size)

    def readall(self) -> bytes:
        """Return everything up to the end."""
        parts = []
        while part := self.read(io.DEFAULT_BUFFER_SIZE * 8):
            parts.append(part)
        return b"".join(parts)

    def readinto(self, buffer: Any) -> int:
        """Read into a writable buffer; return how many bytes, 0 at the end."""
        self._check("reading", self.readable())
        return os_read_into(self.fileno(), buffer)

    def write(self, data: Any) -> int:
        """Write all of `data`; return how many bytes that was."""
        self._check("writing", self.writable())
        with memoryview(data) as view, view.cast("B") as rest:
            done = os_write(self.fileno(), rest)
            # All of it, unless the descriptor happens to be non-blocking.
            while done < len(rest):
                done += os_write(self.fileno(), rest[done:])
            return done

    def truncate(self, size: int | None = None) -> int:
        """Cut the file to `size` bytes, by default to the present position, and go there."""
        size = super().truncate(size)
        self.seek(size)
        return size

    def close(self) -> None:
        """Close the file. Green threads that wait for it get `IOClosed`."""
        if not self.closed:
            notify_closing(self.fileno())
        super().close()

    def _check(self, what: str, possible: bool) -> None:
        if not possible:
            raise io.UnsupportedOperation(f"File not open for {what}")


def GreenPipe(
    name: Any,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Callable[[str, int], int] | None = None,
) -> Any:
    """Open a file, as the built-in ``open`` does, whose operations are green.

    :param name: a path, a descriptor, or a file object: its descriptor is duplicated and it is
        closed.
    """
    if hasattr(name, "fileno"):
        fileno = os.dup(name.fileno())
        name.close()
        name = fileno
    letters = set(mode)
    if letters - set("axrwb+tU") or len(mode) > len(letters):
        raise ValueError(f"invalid mode: {mode!r}")
    text = "b" not in letters
    if not text and "t" in letters:
        raise ValueError("can't have text and binary mode at once")
    if not text and (encoding is not None or errors is not None or newline is not None):
        raise ValueError("binary mode takes no encoding, errors or newline")
    if text and buffering == 0:
        raise ValueError("can't have unbuffered text I/O")
    raw = GreenFileIO(name, "".join(sorted(letters - set("btU"))), closefd, opener)
    try:
        buffered = _buffered(raw, buffering)
        if not text:
            return buffered
        by_line = buffering == 1 or (buffering < 0 and raw.isatty())
        encoding = io.text_encoding(encoding)
        wrapper = io.TextIOWrapper(buffered, encoding, errors, newline, by_line)
        wrapper.mode = mode  # type: ignore[misc]
        return wrapper
    except BaseException:
        raw.close()
        raise


def _buffered(raw: GreenFileIO, buffering: int) -> Any:
    if buffering == 0:
        return raw
    size = io.DEFAULT_BUFFER_SIZE if buffering <= 1 else buffering
    if raw.readable() and raw.writable():
        # A pipe or a socket has no position, so what is read and what is written have nothing to do
        # with each other there.
        return io.BufferedRandom(raw, size) if raw.seekable() else io.BufferedRWPair(raw, raw, size)
    return io.BufferedWriter(raw, size) if raw.writable() else io.BufferedReader(raw, size)
