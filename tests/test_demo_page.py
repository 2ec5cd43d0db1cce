"""The demo's page in a browser. The pictures that it takes are in tests/artifacts/demo."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.browser import Browser, Page, browser
from support.daemons import Unavailable
from support.processes import PATIENCE, Program

pytest.importorskip("flask", reason="Flask is not installed")

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "examples" / "demo" / "app.py"


@pytest.fixture
def chromium() -> Iterator[Browser]:
    """A browser."""
    try:
        with browser() as running:
            yield running
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def demo() -> Iterator[Callable[..., tuple[Program, int, int]]]:
    """A function that runs the demo: the program, its port for pages, its port for terminals."""
    programs = []

    def run(port: int = 0) -> tuple[Program, int, int]:
        program = Program(DEMO, "--bind", f"127.0.0.1:{port}", cwd=ROOT)
        programs.append(program)
        port = program.port(r"^demo on http://127\.0\.0\.1:(\d+)$")
        return program, port, program.port(r"^chat on 127\.0\.0\.1:(\d+)$")

    yield run
    for program in programs:
        program.__exit__(None, None, None)


def visit(chromium: Browser, port: int, name: str) -> Page:
    """Open the page, and be called something."""
    page = chromium.page(f"http://127.0.0.1:{port}/")
    is_live(page)
    page.type("#name", name)
    page.shows(f"{name} you", "#people")
    return page


def is_live(page: Page) -> None:
    """Wait until a page is connected."""
    page.until(lambda: page.text("#status") == "live", "live")


def lines(page: Page) -> list[str]:
    """What has been said, as a page shows it."""
    found = page.script(
        "return [...document.querySelectorAll('#log .text')].map((each) => each.innerText)"
    )
    assert isinstance(found, list)
    return found


def test_chat_of_two_pages_and_a_terminal(
    chromium: Browser, demo: Callable[..., tuple[Program, int, int]]
) -> None:
    program, port, chat_port = demo()
    ann = visit(chromium, port, "Ann")
    bob = visit(chromium, port, "Bob")
    ann.shows("Bob", "#people")

    # What looks like a tag is text.
    greeting = "Good morning <b>Bob</b> <img src=x onerror=alert(1)>"
    ann.type("#text", greeting)
    bob.shows(greeting, "#log")
    bob.type("#text", "Good morning & welcome")
    ann.shows("Good morning & welcome", "#log")

    # A third one by TCP.
    with socket.create_connection(("127.0.0.1", chat_port), PATIENCE) as terminal:
        ann.shows("1 terminal", "#people")
        terminal.sendall(b"hello from \x1b[31ma terminal\n")
        for page in (ann, bob):
            page.shows("terminal 1", "#log")
            page.shows("hello from  [31ma terminal", "#log")
        ann.type("#text", "Good morning, terminal")
        heard = terminal.makefile("rb")
        assert heard.readline() == b"Ann: Good morning, terminal\n"

        # One reloads: it is who it was, and has what was said before.
        said = [
            greeting,
            "Good morning & welcome",
            "hello from  [31ma terminal",
            "Good morning, terminal",
        ]
        bob.shows(said[-1], "#log")
        bob.front().refresh()
        is_live(bob)
        bob.shows("Bob you", "#people")
        assert lines(bob) == said
        bob.type("#text", "Here I am again")
        assert heard.readline() == b"Bob: Here I am again\n"
        heard.close()
    ann.shows("Here I am again", "#log")
    ann.until(lambda: "terminal" not in ann.text("#people"), "the terminal has left")

    # Another room: what is said there, only those hear who are in it.
    bob.type("#room", "Attic")
    bob.shows("in attic", "#chat-title")
    ann.until(lambda: "Bob" not in ann.text("#people"), "Bob has left")
    ann.shows("attic\n1", "#rooms")
    bob.type("#text", "Dusty")
    bob.shows("Dusty", "#log")
    bob.click('#rooms [data-room="lobby"]')
    bob.shows("in lobby", "#chat-title")
    ann.shows("Bob", "#people")
    bob.type("#text", "Back")
    ann.shows("Back", "#log")
    assert "Dusty" not in lines(ann)

    # The server pushes its figures.
    first = ann.text('[data-figure="memory"] .value')
    assert re.fullmatch(r"[\d.]+", first)
    assert chromium.complaints() == []
    take_pictures(ann)

    # The server goes, and another takes its place.
    known = lines(ann)
    assert program.stop(signal.SIGTERM) == 0
    for page in (ann, bob):
        page.shows("no connection, trying again", "#status")
    ann.type("#text", "Is anybody there?")
    ann.shows("Not sent", "#hint")
    ann.screenshot("demo/offline")
    _, same_port, _ = demo(port)
    assert same_port == port
    for page in (ann, bob):
        is_live(page)
    ann.shows("Bob", "#people")
    assert lines(ann) == known
    # What could not be sent is still there to be sent.
    ann.type("#text", "")
    assert ann.script("return document.querySelector('#text').value") == ""
    bob.shows("Is anybody there?", "#log")
    bob.type("#text", "Still here")
    ann.shows("Still here", "#log")
    assert lines(ann) == [*known, "Is anybody there?", "Still here"]
    ann.until(lambda: ann.script("return document.querySelector('#retry').hidden"), "no button")

    # Only that nobody answered meanwhile may have been complained of.
    for complaint in chromium.complaints():
        assert re.search(r"WebSocket connection to .* failed|ERR_CONNECTION_REFUSED", complaint)


def take_pictures(page: Page) -> None:
    """See that the page is whole on all screens, and keep how it looks."""
    for name, width, height, phone in (
        ("desktop", 1440, 900, False),
        ("phone", 390, 844, True),
        ("narrow", 320, 640, True),
    ):
        for dark in (False, True):
            page.look(width, height, phone=phone, dark=dark)
            wide = page.script(
                "return document.documentElement.scrollWidth > document.documentElement.clientWidth"
            )
            assert not wide, f"{name}: it has to be scrolled sideways"
            page.screenshot(f"demo/{name}-{'dark' if dark else 'light'}")
    unnamed = page.script(
        "return [...document.querySelectorAll('input, button, canvas')].filter((each) =>"
        " !each.innerText && !each.labels?.length && !each.ariaLabel).map((each) => each.outerHTML)"
    )
    assert unnamed == [], "without a name for those who do not see them"
    page.look(1440, 900)
