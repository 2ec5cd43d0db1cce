"""A worker process: it imports the application, serves it, and does what the arbiter says."""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import json
import random
import signal
import sys
from collections.abc import Sequence
from typing import Any

from eventlet.cli import _arbiter
from eventlet.cli._address import Listener
from eventlet.cli._errors import CommandError, UsageError
from eventlet.cli._log_sink import Sink
from eventlet.cli._serve import assemble, call_soon, import_app, open_sink
from eventlet.cli._service import RETIRE, STOP, App, Service
from eventlet.cli._shared import Figures
from eventlet.cli._tls import Files
from eventlet.cli._watch import imported_files

_ORDERS = {
    _arbiter.ORDER_REOPEN: int(signal.SIGUSR1),
    _arbiter.ORDER_RETIRE: RETIRE,
    _arbiter.ORDER_STOP: STOP,
}


class Worker:
    """What a new worker has from the arbiter.

    :param args: the command line.
    :param forked: what the arbiter left to it.
    :param pages: where metrics are shown.
    :param tls: the files of certificates.
    :param figures: those of all workers.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        forked: _arbiter.Forked,
        pages: Sequence[Listener],
        tls: Files | None,
        figures: Figures,
    ) -> None:
        self._args = args
        self._forked = forked
        self._pages = pages
        self._tls = tls
        self._figures = figures
        self._control: Any = forked.control
        for listener in [*forked.listeners, *pages]:
            # The files of unix sockets are the arbiter's to remove.
            listener.file_id = None

    def run(self, at_end: contextlib.ExitStack) -> int:
        """Serve until told to stop; the exit status.

        :raises CommandError: if the application cannot be imported.
        """
        args = self._args
        if args.worker_timeout or args.boot_timeout:
            # The arbiter sends SIGABRT to a worker that is stuck.
            faulthandler.enable()
        random.seed()
        if args.reload:
            # What was compiled before is told from what is there now by whole seconds.
            sys.dont_write_bytecode = True
        try:
            app = import_app(args)
            sink = open_sink(args, call_soon, at_end)
            service = self._service(app, sink)
        except BaseException as error:
            self._say_failed(error)
            raise
        self._limit_requests(service)
        self._listen_to_arbiter(service)
        handlers: dict[int, Any] = {
            # Never to end at once: systemd sends this to all processes at the same time as the
            # arbiter gives its order.
            signal.SIGTERM: lambda *_: service.post(RETIRE),
            signal.SIGQUIT: service.on_quit_signal,
            signal.SIGUSR1: service.on_signal,
        }
        return service.run(handlers, self._started, self._stopped)

    def _service(self, app: App, sink: Sink | None) -> Service:
        forked = self._forked
        return assemble(
            self._args,
            app,
            forked.listeners,
            self._pages,
            sink,
            self._tls,
            self._figures,
            forked.row,
        )

    def _say_failed(self, error: BaseException) -> None:
        status = 2 if isinstance(error, UsageError) else 1
        if self._args.reload:
            self._say(_arbiter.WORD_FILES, json.dumps(imported_files()))
        if isinstance(error, CommandError):
            self._say(_arbiter.WORD_FAILED, str(status))

    def _started(self) -> None:
        if self._args.reload:
            self._say(_arbiter.WORD_FILES, json.dumps(imported_files()))
        self._say(_arbiter.WORD_READY)

    def _stopped(self) -> None:
        self._say(_arbiter.WORD_LEAVING)

    def _say(self, word: str, rest: str = "") -> None:
        # OSError: the arbiter has died; this process will notice.
        with contextlib.suppress(OSError):
            self._control.sendall(f"{word} {rest}".rstrip().encode() + b"\n")

    def _limit_requests(self, service: Service) -> None:
        args = self._args
        if not args.max_requests:
            return
        limit = args.max_requests + random.randint(0, args.max_requests_jitter)

        def look() -> None:
            if not service.signalled and service.requests() >= limit:
                service.post(RETIRE)

        service.each_tick(look)

    def _listen_to_arbiter(self, service: Service) -> None:
        import eventlet
        from eventlet.greenio import GreenSocket

        self._control = GreenSocket(self._control)

        def listen() -> None:
            while True:
                try:
                    orders = self._control.recv(64)
                except OSError:
                    orders = b""
                if not orders:
                    print("eventlet: the arbiter has died; stopping", file=sys.stderr)
                    service.post(STOP)
                    return
                for order in orders:
                    service.post(_ORDERS[bytes([order])])

        eventlet.spawn(listen)
