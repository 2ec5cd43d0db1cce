"""Giving up the rights that a server began with: `--user` and `--group`.

Whoever is to listen on port 80 begins as root. All that takes its rights is done first: listening,
reading keys, opening logs. Then every process goes on as the user, before any of the application is
imported, and none can go back.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from eventlet.cli._errors import CommandError, UsageError


@dataclass(frozen=True)
class Identity:
    """Whom to become. Without a `name`, the system knows nothing but the number."""

    uid: int
    gid: int
    name: str | None
    home: str | None

    def own(self, paths: Iterable[str]) -> None:
        """Give files to the user, so that they can be opened anew and removed; devices stay.

        :raises CommandError: if that cannot be done.
        """
        for path in paths:
            try:
                mode = os.lstat(path).st_mode
                if stat.S_ISREG(mode) or stat.S_ISSOCK(mode):
                    os.chown(path, self.uid, self.gid, follow_symlinks=False)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise CommandError(f"cannot give {path} to the user: {error.strerror}") from None

    def assume(self) -> None:
        """Become the user: its groups, and its ``HOME``, ``USER`` and ``LOGNAME``.

        :raises CommandError: if the system does not allow it.
        """
        try:
            if self.name is not None:
                os.initgroups(self.name, self.gid)
            else:
                os.setgroups([self.gid])
            os.setgid(self.gid)
            os.setuid(self.uid)
        except OSError as error:
            raise CommandError(f"cannot become {self._told()}: {error.strerror}") from None
        if self.name is not None and self.home is not None:
            os.environ.update(HOME=self.home, USER=self.name, LOGNAME=self.name)

    def _told(self) -> str:
        return f"user {self.name or self.uid}, group {self.gid}"


def identity(args: argparse.Namespace) -> Identity | None:
    """Whom the command line says to become; None to stay who we are.

    :raises UsageError: if there is no such user or group.
    :raises CommandError: if only root could.
    """
    if args.user is None and args.group is None:
        return None
    try:
        import grp
        import pwd
    except ImportError:
        raise UsageError("--user and --group: this system has neither") from None
    uid = os.geteuid()
    if args.user is not None:
        uid = _number(args.user, pwd.getpwnam, "pw_uid", "--user", "user")
    entry = None
    with contextlib.suppress(KeyError):
        entry = pwd.getpwuid(uid)
    if args.group is not None:
        gid = _number(args.group, grp.getgrnam, "gr_gid", "--group", "group")
    elif entry is not None:
        gid = entry.pw_gid
    else:
        raise UsageError(f"--user {args.user}: the system does not know its group: give a --group")
    if os.geteuid() != 0:
        if (uid, gid) == (os.geteuid(), os.getegid()):
            return None
        raise CommandError("--user and --group: only root can become another user")
    name, home = (None, None) if entry is None else (entry.pw_name, entry.pw_dir)
    return Identity(uid, gid, name, home)


def _number(text: str, look_up: Any, field: str, option: str, what: str) -> int:
    """The number of a user or a group, which is given by its name or its number."""
    try:
        found: int = getattr(look_up(text), field)
    except KeyError:
        if text.isascii() and text.isdecimal() and int(text) < 2**32 - 1:
            return int(text)
        raise UsageError(f"{option} {text}: there is no such {what}") from None
    return found
