"""Links: what is called when a green thread ends."""

import pytest

import eventlet
from support.green_threads import Failure

pytestmark = pytest.mark.usefixtures("limit")


def test_links_are_called_in_order_with_their_arguments():
    calls = []

    def link(green_thread, *args, **kwargs):
        calls.append((green_thread, args, kwargs, eventlet.getcurrent()))

    green_thread = eventlet.spawn(int)
    green_thread.link(link)
    green_thread.link(link, 1, 2, key=3)
    green_thread.wait()
    assert calls == [
        (green_thread, (), {}, green_thread),
        (green_thread, (1, 2), {"key": 3}, green_thread),
    ]


def test_links_see_the_outcome(quiet):
    results = []

    def fail():
        raise Failure("for the link")

    def link(green_thread):
        try:
            results.append(green_thread.wait())
        except Failure as error:
            results.append(error.args)

    for function in (lambda: 1, fail):
        green_thread = eventlet.spawn(function)
        green_thread.link(link)
        eventlet.sleep(0)
    assert results == [1, ("for the link",)]


def test_links_added_by_links():
    log = []

    def first(green_thread):
        log.append("first")
        green_thread.link(lambda _: log.append("at once"))
        log.append("first ends")

    green_thread = eventlet.spawn(int)
    green_thread.link(first)
    green_thread.link(lambda _: log.append("second"))
    green_thread.wait()
    eventlet.sleep(0)
    assert sorted(log) == sorted(["first", "at once", "first ends", "second"])
    assert log.index("first ends") < log.index("second")


def test_link_after_the_end_is_called_at_once():
    green_thread = eventlet.spawn(int)
    green_thread.wait()
    log = []
    green_thread.link(lambda *args, **kwargs: log.append((args, kwargs)), 1, k=2)
    assert log == [((green_thread, 1), {"k": 2})]
    with pytest.raises(ZeroDivisionError):
        green_thread.link(lambda _: 1 / 0)


def test_link_that_raises_does_not_stop_the_others(hub, capsys):
    log = []

    def fail(green_thread):
        raise Failure("in a link")

    green_thread = eventlet.spawn(int, "4")
    green_thread.link(fail)
    green_thread.link(lambda _: log.append("next"))
    assert green_thread.wait() == 4
    eventlet.sleep(0)
    assert log == ["next"]
    assert "Failure: in a link" in capsys.readouterr().err


def test_link_may_wait():
    log = []

    def slow(green_thread):
        eventlet.sleep(0.01)
        log.append("slow")

    green_thread = eventlet.spawn(int)
    green_thread.link(slow)
    green_thread.link(lambda _: log.append("after"))
    assert green_thread.wait() == 0
    assert log == []
    while not green_thread.dead:
        eventlet.sleep(0.001)
    assert log == ["slow", "after"]


def test_unlink():
    log = []

    def link(green_thread, *args, **kwargs):
        log.append((args, kwargs))

    green_thread = eventlet.spawn(int)
    green_thread.link(link)
    green_thread.link(link, 1, k=2)
    green_thread.link(link, [3])
    assert green_thread.unlink(link, 1) is False
    assert green_thread.unlink(link, 1, k=3) is False
    assert green_thread.unlink(print) is False
    assert green_thread.unlink(link, 1, k=2) is True
    assert green_thread.unlink(link, 1, k=2) is False
    assert green_thread.unlink(link, [3]) is True
    green_thread.wait()
    assert log == [((), {})]
    assert green_thread.unlink(link) is False


def test_unlink_of_equal_links_takes_one():
    log = []
    green_thread = eventlet.spawn(int)
    for _ in range(3):
        green_thread.link(log.append)
    assert green_thread.unlink(log.append)
    green_thread.wait()
    assert log == [green_thread] * 2


def test_unlink_while_its_comparison_changes_the_links():
    log = []

    class Odd:
        def __eq__(self, other):
            green_thread.link(log.append)
            return self is other

        __hash__ = None

    mine = Odd()
    green_thread = eventlet.spawn(int)
    green_thread.link(print, Odd())
    green_thread.link(print, mine)
    assert green_thread.unlink(print, mine)
    green_thread.unlink(print, mine)
    green_thread.kill()
    assert set(log) == {green_thread}
