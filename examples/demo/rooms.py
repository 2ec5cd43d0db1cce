"""The rooms of the demo's chat, as pages see them over a WebSocket.

One of them, the lobby, is the TCP chat of `examples/chat.py` as well: both sides hear each other
there. Each message is JSON. From a page comes one object a message:

    {"type": "enter", "name": "Ann", "room": "lobby"}   be called this, and be there, from now on
    {"type": "say", "text": "Good morning"}

and to it go arrays of them, as many in a message as have come together:

    {"type": "figures", "samples": [...]}               see figures.py
    {"type": "rooms", "rooms": [{"name": "lobby", "count": 2}, ...]}
    {"type": "welcome", "you": 7, "name": "Ann", "room": "lobby", "lines": [...]}
    {"type": "here", "room": "lobby", "names": ["Ann", ...], "more": 0, "terminals": 1}
    {"type": "line", "room": "lobby", "line": {"id": "...", "by": 7, "from": "Ann", ...}}
    {"type": "refused", "reason": "..."}
"""

from __future__ import annotations

import itertools
import json
import secrets
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import eventlet

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chat import Chat, Participant

LOBBY = "lobby"
ALWAYS_OPEN = (LOBBY, "garden", "workshop")

LINES_KEPT = 50  # in each room, for those who come later
TEXT_LIMIT = 1000  # characters of a line
NAME_LIMIT = 24  # characters of the name of a person or a room
MOST_ROOMS = 30
MOST_NAMES = 60  # told of those who are in a room; of the others only how many they are
FAREWELL = 1.0  # seconds for telling all pages that the server ends
LULL = 0.1  # seconds in which comings and goings are gathered before they are told


class Visitor(Participant):
    """A page that is open: its WebSocket, and the name and room it has at the moment."""

    numbers = itertools.count(1)

    def __init__(self, ws: Any) -> None:
        super().__init__(ws.socket)
        self.ws = ws
        self.number = next(self.numbers)
        self.name = ""
        self.room: Room | None = None

    def messages(self) -> Iterator[Any]:
        """Yield what the page sends, decoded, until it leaves; None for what is no object."""
        while (message := self.ws.wait()) is not None:
            try:
                found = json.loads(message)
            except (ValueError, RecursionError):
                found = None
            yield found if isinstance(found, dict) else None

    def write(self, messages: list[bytes]) -> None:
        """Send what has come meanwhile: all of it in one message."""
        self.ws.send((b"[%b]" % b",".join(messages)).decode())


class Room:
    """Who is in a room, and what was said there last."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.visitors: set[Visitor] = set()
        self.lines: deque[dict[str, Any]] = deque(maxlen=LINES_KEPT)

    @property
    def terminals(self) -> int:
        """How many are in it who have no page."""
        return 0

    def hear(self, speaker: str, text: str, visitor: Visitor | None = None) -> None:
        """Tell a line to all pages in the room; it is a terminal's if there is no visitor."""
        line = {
            # A line that comes a second time, after a page has connected again, is known by it.
            "id": f"{BOOT}-{next(_line_numbers)}",
            "by": visitor.number if visitor else 0,
            "from": speaker,
            "text": text,
            "time": round(time.time() * 1000),
        }
        self.lines.append(line)
        event = encoded("line", room=self.name, line=line)
        for other in tuple(self.visitors):
            other.tell(event)

    def say(self, visitor: Visitor, text: str) -> None:
        """Tell a visitor's line to all who are in the room."""
        self.hear(visitor.name, text, visitor)

    def presence(self) -> bytes:
        """The event that tells who is here."""
        names = sorted((visitor.name for visitor in self.visitors), key=str.casefold)
        told = names[:MOST_NAMES]
        return encoded(
            "here",
            room=self.name,
            names=told,
            more=len(names) - len(told),
            terminals=self.terminals,
        )


class Lobby(Room):
    """The room that is the TCP chat as well."""

    def __init__(self, chat: Chat) -> None:
        super().__init__(LOBBY)
        self.chat = chat

    @property
    def terminals(self) -> int:
        """How many take part by TCP."""
        return len(self.chat.participants)

    def say(self, visitor: Visitor, text: str) -> None:
        """Tell it to pages and terminals."""
        super().say(visitor, text)
        message = f"{visitor.name}: {text}\n".encode()
        for terminal in tuple(self.chat.participants):
            terminal.tell(message)


class Rooms(Chat):
    """All rooms; and a TCP chat whose participants are in the lobby."""

    def __init__(self) -> None:
        super().__init__()
        self.visitors: set[Visitor] = set()
        self.rooms: dict[str, Room] = {LOBBY: Lobby(self)}
        self.rooms |= {name: Room(name) for name in ALWAYS_OPEN if name != LOBBY}
        self._changed: set[Room] = set()
        self._terminal_numbers = itertools.count(1)
        self._terminals: WeakKeyDictionary[Participant, int] = WeakKeyDictionary()

    # Terminals

    def join(self, sock: Any, address: Any) -> None:
        """Take part on behalf of one TCP connection, until it ends."""
        self._tell_changes(self.rooms[LOBBY])
        try:
            super().join(sock, address)
        finally:
            self._tell_changes(self.rooms[LOBBY])

    def tell_others(self, sender: Participant, message: bytes) -> None:
        """Have lines of a terminal written to all other terminals, and to the pages."""
        super().tell_others(sender, message)
        if sender not in self._terminals:
            self._terminals[sender] = next(self._terminal_numbers)
        for line in message.decode(errors="replace").splitlines():
            if text := printable(line)[:TEXT_LIMIT]:
                self.rooms[LOBBY].hear(f"terminal {self._terminals[sender]}", text)

    # Pages

    def visit(self, ws: Any, *first: bytes) -> None:
        """Take part on behalf of one page, until it is closed; it is told `first` first."""
        visitor = Visitor(ws)
        for event in (*first, self._overview()):
            visitor.tell(event)
        writer = eventlet.spawn(visitor.write_outbox)
        self.visitors.add(visitor)
        try:
            for message in visitor.messages():
                if reason := self._take(visitor, message):
                    visitor.tell(encoded("refused", reason=reason))
                eventlet.sleep(0)  # As in `Chat.join`.
        finally:
            self.visitors.discard(visitor)
            self._leave(visitor)
            writer.kill()

    def tell_pages(self, event: bytes) -> None:
        """Tell an event to all pages, whatever room they are in."""
        for visitor in tuple(self.visitors):
            visitor.tell(event)

    def close(self) -> None:
        """Say farewell to all pages: they are to connect again, to whoever comes after."""
        going_away = (1001, "the server goes away")
        farewells = [eventlet.spawn(each.ws.close, going_away) for each in self.visitors]
        # One whose line is slow does not hold up the end.
        with eventlet.Timeout(FAREWELL, False):
            for farewell in farewells:
                farewell.wait()

    def _take(self, visitor: Visitor, message: dict[str, Any] | None) -> str:
        """Do what a page asks for; why not, if it is refused."""
        if message is None:
            return "That was no JSON object."
        if message.get("type") == "enter":
            return self._enter(visitor, message.get("name"), message.get("room"))
        if message.get("type") != "say":
            return "There is no such message."
        if visitor.room is None:
            return "Enter a room first."
        text = printable(message.get("text"))
        if not text or len(text) > TEXT_LIMIT:
            return f"A line has 1 to {TEXT_LIMIT:,} characters."
        visitor.room.say(visitor, text)
        return ""

    def _enter(self, visitor: Visitor, name: Any, room_name: Any) -> str:
        name = printable(name)
        room_name = printable(room_name).lower()
        if not 0 < len(name) <= NAME_LIMIT or not 0 < len(room_name) <= NAME_LIMIT:
            return f"A name has 1 to {NAME_LIMIT} characters."
        room = self.rooms.get(room_name)
        if room is None:
            if len(self.rooms) >= MOST_ROOMS:
                return "There are enough rooms."
            room = self.rooms[room_name] = Room(room_name)
        if room is not visitor.room:
            self._leave(visitor)
            visitor.room = room
            room.visitors.add(visitor)
        visitor.name = self._free_name(visitor, name)
        welcome = {"you": visitor.number, "name": visitor.name, "room": room_name}
        visitor.tell(encoded("welcome", **welcome, lines=list(room.lines)))
        self._tell_changes(room)
        return ""

    def _leave(self, visitor: Visitor) -> None:
        room, visitor.room = visitor.room, None
        if room is None:
            return
        room.visitors.discard(visitor)
        if not room.visitors and room.name not in ALWAYS_OPEN:
            del self.rooms[room.name]
        self._tell_changes(room)

    def _free_name(self, visitor: Visitor, name: str) -> str:
        """The name, or with a number behind it if somebody else has it."""
        taken = {other.name.casefold() for other in self.visitors if other is not visitor}
        names = (f"{name} {number}" for number in itertools.count(2))
        return next(each for each in itertools.chain([name], names) if each.casefold() not in taken)

    def _overview(self) -> bytes:
        """The event that tells which rooms there are."""
        return encoded(
            "rooms",
            rooms=[
                {"name": room.name, "count": len(room.visitors) + room.terminals}
                for room in self.rooms.values()
            ],
        )

    def _tell_changes(self, room: Room) -> None:
        """Tell soon who is in a room: when many come at once, that is told once."""
        if not self._changed:
            eventlet.spawn_after(LULL, self._tell_changes_now)
        self._changed.add(room)

    def _tell_changes_now(self) -> None:
        changed, self._changed = self._changed, set()
        self.tell_pages(self._overview())
        for room in changed:
            event = room.presence()
            for visitor in tuple(room.visitors):
                visitor.tell(event)


def encoded(kind: str, **event: Any) -> bytes:
    """An event as it is sent."""
    return json.dumps({"type": kind, **event}, separators=(",", ":")).encode()


def printable(text: Any) -> str:
    """Text without what would do more in a terminal than be seen; "" for what is no text."""
    if not isinstance(text, str):
        return ""
    return "".join(each if each.isprintable() else " " for each in text).strip()


BOOT = secrets.token_hex(4)  # Lines of one run of the server are not those of another.
_line_numbers = itertools.count(1)
