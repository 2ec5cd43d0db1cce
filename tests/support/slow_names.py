"""Lookups of names that last as long as a test wants.

`build` makes a C library that stands in for parts of the real one. A program that was started with
it in LD_PRELOAD controls by `SlowNames` the lookups of names that end with ".test", and of
192.0.2.1. They all find 192.0.2.1, but for names that begin with "missing" and find nothing, and
those that begin with "local" and find 127.0.0.1.
"""

import ctypes
import shutil
import subprocess
import time
from pathlib import Path

import eventlet

LONG = 20


def build(folder):
    """Compile the library. Return its path, None if there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    library = Path(folder, "slow_names.so")
    source = Path(__file__).with_suffix(".c")
    command = [compiler, "-shared", "-fPIC", "-O", "-Wall", "-Werror", "-o", library, source]
    subprocess.run([*map(str, command), "-ldl", "-lpthread"], check=True)
    return library


class SlowNames:
    """The lookups of this program."""

    def __init__(self):
        self._library = ctypes.CDLL(None)
        self._library.slow_name.restype = ctypes.c_char_p
        self._library.slow_thread.restype = ctypes.c_long

    @property
    def calls(self):
        """The names that have been asked for, in the order in which the lookups began."""
        return [self._library.slow_name(i).decode() for i in range(self._library.slow_calls())]

    @property
    def threads(self):
        """The native identities of the threads that look up, as `calls`."""
        return [self._library.slow_thread(i) for i in range(self._library.slow_calls())]

    def open(self, on=True):
        """Have all lookups end, those of now and those to come."""
        self._library.slow_open(int(on))

    def wait_for_calls(self, count):
        """Wait until so many lookups have begun."""
        self.wait_until(lambda: len(self.calls) >= count)

    @staticmethod
    def wait_until(condition):
        """Wait until `condition()` holds; other green threads run."""
        end = time.monotonic() + LONG
        while not condition():
            if time.monotonic() > end:
                raise AssertionError("it does not happen")
            eventlet.sleep(0.001)
