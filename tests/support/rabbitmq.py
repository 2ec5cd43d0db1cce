"""A RabbitMQ server for tests, from the programs that are installed.

It brings Erlang's port mapper, which every Erlang program of a machine shares by default: here it
has one to itself.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from . import daemons
from .daemons import Unavailable as Unavailable


@contextlib.contextmanager
def server() -> Iterator[tuple[str, int]]:
    """Start a server; the address to connect to, as user `guest` with that password."""
    # The command on PATH wants to be run by root or by an account of its own, in folders of its.
    program = daemons.find("/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server")
    mapper = daemons.find("epmd", "/usr/lib/erlang/bin/epmd")

    @contextlib.contextmanager
    def start_mapper(port: int) -> Iterator[None]:
        options = ["-address", "127.0.0.1", "-port", str(port), "-d"]
        with (
            daemons.folder() as folder,
            daemons.running(mapper, *options, ready="epmd running", where=folder),
        ):
            yield

    with daemons.on_free_port(start_mapper) as mapper_port:

        @contextlib.contextmanager
        def start(port: int) -> Iterator[None]:
            with daemons.folder() as folder:
                env = environment(folder, port, mapper_port)
                with daemons.running(
                    program, ready="Server startup complete", where=folder, env=env
                ):
                    yield

        with daemons.on_free_port(start) as port:
            yield ("127.0.0.1", port)


def environment(folder: Path, port: int, mapper_port: int) -> dict[str, str]:
    """Return what makes it keep to a folder and to ports."""
    config = folder / "rabbitmq.conf"
    config.write_text(
        f"listeners.tcp.1 = 127.0.0.1:{port}\nlog.console = true\nlog.console.level = info\n"
        "log.file = false\n"
    )
    plugins = folder / "plugins"
    plugins.write_text("[].\n")
    return {
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(mapper_port),
        "HOME": str(folder),
        "RABBITMQ_CONFIG_FILE": str(config),
        "RABBITMQ_CONF_ENV_FILE": os.devnull,
        "RABBITMQ_DIST_PORT": str(daemons.free_port()),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_NODENAME": f"test{port}@localhost",
        # Two schedulers, of a thread each, that sleep when idle.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none",
    }
