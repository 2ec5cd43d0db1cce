"""The process that starts workers, watches them, and replaces them.

It serves nothing and imports no application: a new worker gets the application as it is now on the
disk. The listening sockets are made here and inherited, so that they outlive every worker: what a
dead or a departing worker has not accepted, another one does.

Signals arrive by a descriptor that the interpreter writes to, and are dealt with in turn. Each
worker has a socket to this process. It says there when it is ready and when it leaves, and is told
there to leave; and it sees the end of this process by the end of that socket.

A new generation of workers, the first one or that of a reload, begins with one alone. If it cannot
start, it is the only one to say why: nothing else has changed.
"""

from __future__ import annotations

import argparse
import contextlib
import enum
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TextIO

from eventlet.cli import _terminal
from eventlet.cli._address import Listener, again
from eventlet.cli._shared import ROWS, Figures, Row
from eventlet.cli._systemd import Notifier
from eventlet.cli._watch import INTERVAL, Watch

#: Orders for a worker.
ORDER_REOPEN = b"u"
ORDER_RETIRE = b"r"
ORDER_STOP = b"s"

#: Words of a worker.
WORD_FAILED = "failed"
WORD_FILES = "files"
WORD_LEAVING = "leaving"
WORD_READY = "ready"

#: A worker that lives for so many seconds has started well, whatever it dies of.
_SETTLED = 10.0

#: Seconds until the second attempt after the first one failed, and at most.
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 30.0

#: Seconds that a worker gets beyond what its requests get.
_SPARE_TIME = 5.0

#: Seconds that an old worker gets with `--reload`, and a stuck one to show its stacks.
_SHORT_TIME = 2.0

_SIGNALS = (
    signal.SIGCHLD,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGUSR1,
)


class _State(enum.Enum):
    BOOTING = enum.auto()
    LEAVING = enum.auto()
    READY = enum.auto()


@dataclass(eq=False)
class _Child:
    """A worker, as the arbiter knows it."""

    pid: int
    slot: int
    index: int
    row: Row
    generation: int
    control: socket.socket
    state: _State = _State.BOOTING
    since: float = field(default_factory=time.monotonic)
    # When it is killed, if it is still there.
    deadline: float | None = None
    # What it said of its end: an exit status.
    failed: int | None = None
    # Whether it had not started when it was to leave, or was stuck: it may end as it likes.
    unready: bool = False
    stuck: bool = False
    heard: bytes = b""

    @property
    def is_booting(self) -> bool:
        """Whether it is to come up, and nobody has lost patience."""
        return self.state is _State.BOOTING and not self.stuck

    def order(self, order: bytes) -> None:
        """Tell it something; one that is gone need not hear it."""
        with contextlib.suppress(OSError):
            self.control.send(order)

    def kill(self, number: signal.Signals) -> None:
        """Send it a signal."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)


class Forked(BaseException):
    """Raised in a new worker, to leave what the arbiter was doing.

    The worker thus runs on the bare stack of the command, and ends as any program does.
    """

    def __init__(self, listeners: list[Listener], row: Row, control: socket.socket) -> None:
        super().__init__()
        self.listeners = listeners
        self.row = row
        self.control = control


class Arbiter:
    """Keeps so many workers alive.

    :param args: the command line.
    :param listeners: what the workers serve.
    :param figures: what they count in.
    :param notifier: who wants to know how we do.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        listeners: Sequence[Listener],
        figures: Figures,
        notifier: Notifier,
    ) -> None:
        self._args = args
        self._listeners = list(listeners)
        # The sockets of each worker beyond the first, where each has its own.
        self._further: dict[int, list[Listener]] = {}
        self._figures = figures
        self._notifier = notifier
        self._watch = Watch(os.getcwd(), args.reload_watch or ()) if args.reload else None
        self._target: int = args.workers
        self._children: list[_Child] = []
        self._generation = 1
        # The last one that came to serve; 0 is none.
        self._serving = 0
        self._reloading = False
        self._failures = 0
        self._next_spawn = 0.0
        # With --reload: the application is broken, until a file changes.
        self._broken = False
        self._stopping = 0
        self._status = 0
        self._next_look = 0.0
        self._next_sign = 0.0
        self._wakeup: tuple[int, int] = (-1, -1)
        self._pid = os.getpid()

    def run(self) -> int:
        """Keep the workers until told to stop; the exit status.

        :raises Forked: in each worker.
        """
        with self._receiving_signals():
            self._manage()
            while self._children or not self._stopping:
                for number in self._wait():
                    self._on_signal(number)
                self._listen_to_children()
                self._reap()
                self._look_after()
                self._manage()
        return self._status

    # Signals.

    @contextlib.contextmanager
    def _receiving_signals(self) -> Iterator[None]:
        self._wakeup = os.pipe()
        for end in self._wakeup:
            os.set_blocking(end, False)
        before = {number: signal.signal(number, _noted) for number in _SIGNALS}
        # A full pipe is one that wakes us up; a signal lost in it came many times.
        former = signal.set_wakeup_fd(self._wakeup[1], warn_on_full_buffer=False)
        try:
            yield
        finally:
            for end in self._wakeup:
                os.close(end)
            if os.getpid() == self._pid:
                signal.set_wakeup_fd(former)
                for number, handler in before.items():
                    signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def _wait(self) -> list[int]:
        """Wait until something happens; the signals that have come."""
        poll = select.poll()
        poll.register(self._wakeup[0], select.POLLIN)
        for child in self._children:
            if child.control.fileno() >= 0:
                poll.register(child.control, select.POLLIN)
        poll.poll(self._patience())
        with contextlib.suppress(BlockingIOError):
            return [*os.read(self._wakeup[0], 4096)]
        return []

    def _patience(self) -> float | None:
        """Milliseconds until there is something to do that nobody tells us of."""
        due = [child.deadline for child in self._children if child.deadline is not None]
        if self._args.boot_timeout:
            due += [self._boot_limit(child) for child in self._children if child.is_booting]
        if self._next_spawn and self._is_short():
            due.append(self._next_spawn)
        if self._watch is not None or self._args.worker_timeout:
            due.append(self._next_look)
        if self._notifier.interval is not None:
            due.append(self._next_sign)
        if not due:
            return None
        return max(0.0, min(due) - time.monotonic()) * 1000 + 1

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGHUP and _terminal.is_gone():
            number = signal.SIGTERM
        if number in (signal.SIGINT, signal.SIGTERM):
            if self._stopping:
                self._end_at_once(128 + number)
            self._stop(number)
        elif number == signal.SIGQUIT:
            self._end_at_once(128 + number)
        elif self._stopping:
            return
        elif number == signal.SIGHUP:
            self._reload()
        elif number == signal.SIGUSR1:
            self._open_logs()
        elif number == signal.SIGTTIN:
            # Each takes a row twice, while its generation takes over.
            self._target = min(self._target + 1, ROWS // 2)
            self._say(f"eventlet: {self._target} workers from now on")
        elif number == signal.SIGTTOU and self._target > 1:
            self._target -= 1
            self._say(f"eventlet: {self._target} workers from now on")

    # What signals ask for.

    def _reload(self) -> None:
        self._say("eventlet: reloading")
        self._notifier.reloading()
        self._figures.count_reload()
        self._open_logs()
        self._reloading = True
        self._broken = False
        self._failures = 0
        self._next_spawn = 0.0
        self._generation += 1
        for child in self._children:
            if child.state is _State.BOOTING:
                # It may have imported the old and the new.
                self._dismiss(child, ORDER_STOP, _SHORT_TIME)

    def _open_logs(self) -> None:
        if self._args.error_log is not None:
            from eventlet.cli._serve import redirect_errors

            redirect_errors(self._args.error_log)
        for child in self._children:
            child.order(ORDER_REOPEN)

    def _stop(self, number: int) -> None:
        self._stopping = number
        self._notifier.stopping()
        if any(child.row.active for child in self._children):
            seconds = self._args.graceful_timeout
            self._say(f"eventlet: stopping when the running requests end ({seconds:g} s at most)")
        for listener in self._all_listeners():
            listener.unlink()
            listener.sock.close()
        for child in self._children:
            self._dismiss(child, ORDER_STOP)

    def _dismiss(self, child: _Child, order: bytes, seconds: float | None = None) -> None:
        """Have a worker leave, within so many seconds."""
        if seconds is None:
            seconds = self._args.graceful_timeout + _SPARE_TIME
        if child.state is _State.BOOTING:
            # It does not listen to us before it serves.
            child.kill(signal.SIGTERM)
            child.unready = True
        child.order(order)
        child.state = _State.LEAVING
        deadline = time.monotonic() + seconds
        child.deadline = deadline if child.deadline is None else min(child.deadline, deadline)

    def _end_at_once(self, status: int) -> None:
        for listener in self._all_listeners():
            listener.unlink()
        if self._args.pid_file is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._args.pid_file)
        for child in self._children:
            child.kill(signal.SIGKILL)
        os._exit(status)

    def _all_listeners(self) -> list[Listener]:
        return [*self._listeners, *(each for own in self._further.values() for each in own)]

    # Workers.

    def _is_short(self) -> bool:
        """Whether a worker is missing."""
        return not self._stopping and not self._broken and len(self._current()) < self._allowed()

    def _current(self) -> list[_Child]:
        """The workers of this generation that are there to stay."""
        return [
            child
            for child in self._children
            if child.generation == self._generation and child.state is not _State.LEAVING
        ]

    def _allowed(self) -> int:
        return self._target if self._serving == self._generation else 1

    def _manage(self) -> None:
        """Bring the workers to the number that there should be."""
        while self._is_short() and time.monotonic() >= self._next_spawn:
            self._spawn()
        if self._stopping:
            return
        current = self._current()
        for child in sorted(current, key=lambda child: child.slot)[self._target :]:
            own = self._further.pop(child.slot, None)
            # Its queue is nobody else's, so it ends with it.
            self._dismiss(child, ORDER_RETIRE if own is None else ORDER_STOP)
            for listener in own or ():
                listener.sock.close()
        ready = sum(child.state is _State.READY for child in current)
        former = [
            child
            for child in self._children
            if child.generation != self._generation and child.state is _State.READY
        ]
        if self._serving == self._generation:
            for child in former[max(0, self._target - ready) :]:
                self._dismiss(child, ORDER_RETIRE)
            if self._reloading and ready >= self._target:
                self._reloading = False
                self._notifier.ready()
                self._say("eventlet: reloaded")
        self._figures.set_workers(sum(child.state is _State.READY for child in self._children))

    def _spawn(self) -> None:
        taken = {child.slot for child in self._current()}
        slot = next(each for each in range(self._target + 1) if each not in taken)
        rows = {child.index for child in self._children}
        index = next((each for each in range(ROWS) if each not in rows), None)
        if index is None:
            self._next_spawn = time.monotonic() + 1
            return
        row = self._figures.row(index)
        listeners = self._listeners_of(slot)
        ours, theirs = socket.socketpair()
        for stream in (sys.stdout, sys.stderr):
            # What is still in memory would be written by both.
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        # A signal must not reach the child while it would still tell this process of it.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            pid = os.fork()
            if pid == 0:
                self._become_worker(mask, ours, listeners)
                raise Forked(listeners, row, theirs)
        except OSError as error:
            ours.close()
            theirs.close()
            self._complain(f"cannot start a worker: {error.strerror}")
            self._back_off()
            return
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()
        ours.setblocking(False)
        self._children.append(_Child(pid, slot, index, row, self._generation, ours))

    def _become_worker(
        self, mask: set[int | signal.Signals], ours: socket.socket, listeners: list[Listener]
    ) -> None:
        """Give up what belongs to the arbiter alone. In the child."""
        signal.set_wakeup_fd(-1)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGUSR1):
            # What a terminal sends goes to all of its processes, and is the arbiter's to deal
            # with. Not SIG_IGN: programs that the application starts would inherit that.
            signal.signal(number, _noted)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        ours.close()
        for child in self._children:
            child.control.close()
        for listener in self._all_listeners():
            # The system gives connections to all that are open anywhere.
            if not any(listener is each for each in listeners):
                listener.sock.close()

    def listen_for_all(self) -> None:
        """Listen for the workers that there will be, while we have the right to.

        :raises OSError: if that fails.
        """
        if self._args.reuse_port:
            for slot in range(1, self._target):
                self._further[slot] = self._further_listeners()

    def _further_listeners(self) -> list[Listener]:
        backlog = self._args.backlog
        return [again(each, backlog) for each in self._listeners if each.shareable]

    def _listeners_of(self, slot: int) -> list[Listener]:
        if not self._args.reuse_port or slot == 0:
            return self._listeners
        if slot not in self._further:
            try:
                self._further[slot] = self._further_listeners()
            except OSError:
                # Another user than the one we are now has begun to listen there.
                return self._listeners
        rest = [each for each in self._listeners if not each.shareable]
        return [*self._further[slot], *rest]

    def _back_off(self) -> None:
        """Wait the longer, the more workers in a row have not lasted."""
        self._failures += 1
        pause = 0.0
        if self._failures > 1:
            pause = min(_FIRST_PAUSE * 2.0 ** min(self._failures - 2, 20), _LONGEST_PAUSE)
        self._next_spawn = time.monotonic() + pause

    def _listen_to_children(self) -> None:
        for child in self._children:
            self._listen_to(child)

    def _listen_to(self, child: _Child) -> None:
        while True:
            try:
                data = child.control.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                # Its end comes next; until then, the descriptor would always be ready.
                child.control.close()
                return
            *words, child.heard = (child.heard + data).split(b"\n")
            for word in words:
                self._heard(child, *word.decode().partition(" ")[::2])

    def _heard(self, child: _Child, word: str, rest: str) -> None:
        if word == WORD_READY and child.state is _State.BOOTING:
            child.state = _State.READY
            child.since = time.monotonic()
            if child.generation == self._generation and self._serving != self._generation:
                first = self._serving == 0
                self._serving = self._generation
                if first:
                    self._greet()
        elif word == WORD_LEAVING and child.state is not _State.LEAVING:
            child.state = _State.LEAVING
            child.deadline = time.monotonic() + self._args.graceful_timeout + _SPARE_TIME
        elif word == WORD_FAILED:
            child.failed = int(rest)
        elif word == WORD_FILES and self._watch is not None:
            self._watch.add(json.loads(rest))

    def _greet(self) -> None:
        import eventlet
        from eventlet.cli._serve import greeting

        many = f" with {self._target} worker{'s' if self._target > 1 else ''}"
        self._say(greeting(eventlet.__version__, self._args.app, self._listeners, many))
        self._notifier.ready()

    def _reap(self) -> None:
        for child in list(self._children):
            try:
                pid, status = os.waitpid(child.pid, os.WNOHANG)
            except ChildProcessError:
                pid, status = child.pid, 0
            if pid:
                if child.control.fileno() >= 0:
                    self._listen_to(child)
                child.control.close()
                self._children.remove(child)
                child.row.gauge(connections=0, active=0)
                self._on_death(child, os.waitstatus_to_exitcode(status))

    def _on_death(self, child: _Child, status: int) -> None:
        how = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
        if child.state is _State.LEAVING:
            if status and not (child.unready or child.stuck or self._watch is not None):
                self._complain(f"worker {child.pid} ended {how} on its way out")
            return
        if child.state is _State.READY:
            self._complain(f"worker {child.pid} ended {how}; starting another one")
            self._figures.count_restart()
            if time.monotonic() - child.since >= _SETTLED:
                self._failures = 0
            self._back_off()
            return
        if child.failed is None and not child.stuck:
            self._complain(f"worker {child.pid} ended {how} while it started")
        if self._watch is not None:
            self._broken = True
            self._complain("waiting for a file to change")
        elif self._serving == 0:
            self._status = child.failed or 1
            self._stop(signal.SIGTERM)
        elif self._serving != self._generation:
            self._complain("reloading failed; going on with the workers there were")
            self._reloading = False
            self._generation = self._serving
            self._notifier.ready()
        else:
            self._back_off()

    # Time.

    def _look_after(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.deadline is not None and now >= child.deadline:
                if not child.stuck and self._watch is None:
                    self._complain(f"worker {child.pid} does not end; killing it")
                child.kill(signal.SIGKILL)
                child.deadline = now + _SHORT_TIME
        if self._args.boot_timeout:
            self._look_for_late(now)
        if self._notifier.interval is not None and now >= self._next_sign:
            self._next_sign = now + self._notifier.interval
            self._notifier.alive()
        if now < self._next_look:
            return
        self._next_look = now + (INTERVAL if self._watch is not None else 1.0)
        if self._args.worker_timeout:
            self._look_for_stuck(now)
        if self._watch is not None and not self._stopping:
            changed = self._watch.changes()
            if changed:
                self._start_anew(changed)

    def _boot_limit(self, child: _Child) -> float:
        limit: float = self._args.boot_timeout
        return child.since + limit

    def _look_for_late(self, now: float) -> None:
        for child in self._children:
            if child.is_booting and now >= self._boot_limit(child):
                self._complain(
                    f"worker {child.pid} has not imported the application within "
                    f"{self._args.boot_timeout:g} s (--boot-timeout). This is what it does:"
                )
                self._make_an_end(child, now)

    def _make_an_end(self, child: _Child, now: float) -> None:
        """Have a worker show its stacks, and die of it."""
        child.stuck = True
        child.deadline = now + _SHORT_TIME
        child.kill(signal.SIGABRT)

    def _look_for_stuck(self, now: float) -> None:
        for child in self._children:
            silence = child.row.silence()
            if child.state is _State.BOOTING or child.stuck or silence < self._args.worker_timeout:
                continue
            self._complain(
                f"worker {child.pid} has been held up for {silence:.1f} s: something blocks all "
                "of its green threads; replacing it. This is what it does:"
            )
            self._make_an_end(child, now)

    def _start_anew(self, changed: list[str]) -> None:
        """With `--reload`: a file has changed."""
        name = os.path.relpath(changed[0])
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        self._say(f"eventlet: {name}{more} changed; starting anew")
        self._broken = False
        self._failures = 0
        self._next_spawn = 0.0
        self._generation += 1
        for child in self._children:
            if child.state is not _State.LEAVING:
                self._dismiss(child, ORDER_STOP, _SHORT_TIME)

    # Words.

    def _say(self, text: str) -> None:
        if not self._args.quiet:
            with contextlib.suppress(OSError):
                _write_line(sys.stdout, text)

    def _complain(self, text: str) -> None:
        with contextlib.suppress(OSError):
            _write_line(sys.stderr, f"eventlet: {text}")


def _write_line(stream: TextIO, text: str) -> None:
    """Write a line in one piece: workers write to the same place."""
    stream.write(f"{text}\n")
    stream.flush()


def _noted(_number: int, _frame: object) -> None:
    """The handler of signals: the interpreter has written the number to the descriptor."""
