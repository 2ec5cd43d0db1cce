"""eventlet.websocket: waiting, sending when nothing can leave, and connections that have died."""

import contextlib

import pytest

import eventlet
from eventlet.event import Event
from eventlet.websocket import RFC6455WebSocket, WebSocketWSGI, connect
from support.websocket_wire import BINARY, CLOSE, PING, PONG, TEXT, Wire, echo, frame, opened


@pytest.fixture(autouse=True)
def limit():
    with eventlet.Timeout(20), contextlib.ExitStack() as Wire.open:
        yield


# ------------------------------------------------------------------------------------------------
# Waiting


def test_waiting_with_a_limit_leaves_the_connection_usable():
    def handler(ws):
        with pytest.raises(TimeoutError):
            ws.wait(timeout=0.01)
        with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.01):
            ws.wait()
        ws.socket.settimeout(0.01)
        with pytest.raises(TimeoutError):
            ws.wait()
        ws.socket.settimeout(None)
        step.send(True)
        with pytest.raises(TimeoutError):
            ws.wait(timeout=0.05)  # in the middle of a frame
        half.send(True)
        ws.send(ws.wait(timeout=10))

    step, half = Event(), Event()
    with opened(WebSocketWSGI(handler)) as wire:
        data = frame(TEXT, b"in two parts")
        step.wait()
        wire.send(data[:8])
        half.wait()
        wire.send(data[8:])
        assert wire.frame() == (TEXT, b"in two parts")


def test_a_killed_wait_leaves_the_connection_usable():
    def handler(ws):
        waiting = eventlet.spawn(ws.wait)
        eventlet.sleep(0)
        waiting.kill()
        ready.send(True)
        ws.send(ws.wait())

    ready = Event()
    with opened(WebSocketWSGI(handler)) as wire:
        ready.wait()
        wire.send(frame(TEXT, b"still here"))
        assert wire.frame() == (TEXT, b"still here")


def test_closing_ends_a_wait_of_another_green_thread():
    def handler(ws):
        waiting = eventlet.spawn(ws.wait)
        eventlet.sleep(0)
        ws.close()
        ended.send(waiting.wait())

    ended = Event()
    with opened(WebSocketWSGI(handler)) as wire:
        assert wire.closed_with() is None
        assert ended.wait() is None


# ------------------------------------------------------------------------------------------------
# Sending


def stuffed(ws):
    """Send until the client takes no more; returns how many messages were sent in full."""
    sent = 0
    with eventlet.Timeout(0.2, False):
        while True:
            ws.send(b"%7d" % sent + b"x" * 100_000)
            sent += 1
    return sent


def test_sending_waits_for_the_client_and_a_message_is_whole_or_not_sent():
    def handler(ws):
        count.send(stuffed(ws))
        ws.send("the end")

    count = Event()
    with opened(WebSocketWSGI(handler)) as wire:
        sent = count.wait()
        assert 1 < sent < 1000
        numbers = []
        while (received := wire.frame())[0] == BINARY:
            assert len(received[1]) == 100_007
            numbers.append(int(received[1][:7]))
        assert received == (TEXT, b"the end")
        # The one that was interrupted counts if a part of it had left.
        assert numbers in (list(range(sent)), list(range(sent + 1)))


def test_an_interrupted_message_is_finished_without_another():
    def handler(ws):
        count.send(stuffed(ws))
        assert ws.wait() == "go on"

    count = Event()
    with opened(WebSocketWSGI(handler)) as wire:
        sent = count.wait()
        while sent:
            assert wire.frame()[0] == BINARY
            sent -= 1
        wire.send(frame(TEXT, b"go on"))
        opcode, payload = wire.frame()
        if opcode == BINARY:
            assert len(payload) == 100_007
            opcode, payload = wire.frame()
        assert opcode == CLOSE


def test_closing_ends_a_send_of_another_green_thread():
    def handler(ws):
        sender = eventlet.spawn(ws.send, bytes(30_000_000))
        eventlet.sleep(0.05)
        ws.socket.close()
        with pytest.raises(BrokenPipeError):
            sender.wait()
        ended.send(ws.wait())

    ended = Event()
    with opened(WebSocketWSGI(handler)):
        assert ended.wait() is None


def test_messages_of_several_senders_stay_apart():
    def handler(ws):
        def send(character):
            for _ in range(20):
                ws.send(character * 200_000)

        senders = [eventlet.spawn(send, character) for character in "abcde"]
        for sender in senders:
            sender.wait()

    with opened(WebSocketWSGI(handler)) as wire:
        counts = dict.fromkeys("abcde", 0)
        for _ in range(100):
            opcode, payload = wire.frame()
            assert opcode == TEXT
            text = payload.decode()
            assert text == text[0] * 200_000
            counts[text[0]] += 1
        assert set(counts.values()) == {20}
        assert wire.closed_with() is None


def test_pings_are_answered_while_nothing_can_leave():
    def handler(ws):
        sender = eventlet.spawn(stuffed, ws)
        assert ws.wait() == "after the pings"
        waited.send(True)
        sender.wait()

    waited = Event()
    with opened(WebSocketWSGI(handler)) as wire:
        eventlet.sleep(0.1)
        wire.send(*(frame(PING, b"%d" % i) for i in range(5)), frame(TEXT, b"after the pings"))
        waited.wait()
        pongs = []
        while (received := wire.frame())[0] != CLOSE:
            if received[0] == PONG:
                pongs.append(received[1])
        # Only the last has to be answered.
        assert pongs[-1:] == [b"4"]


def test_any_number_of_pongs_comes_at_once():
    with opened() as wire:
        wire.send(frame(PONG) * 100_000, frame(TEXT, b"after the pongs"))
        assert wire.frame() == (TEXT, b"after the pongs")
        wire.send(frame(PING) * 20_000, frame(TEXT, b"after the pings"))
        while (received := wire.frame())[0] == PONG:
            pass
        assert received == (TEXT, b"after the pings")


# ------------------------------------------------------------------------------------------------
# Keeping alive


def test_a_dead_client_is_found_out():
    def handler(ws):
        ended.send((ws.wait(), ws.close_code))

    ended = Event()
    with opened(WebSocketWSGI(handler, ping_interval=0.02, ping_timeout=0.02)) as wire:
        assert wire.frame() == (PING, b"")
        assert ended.wait() == (None, 1006)


def test_a_client_that_answers_is_kept():
    with opened(WebSocketWSGI(echo, ping_interval=0.01, ping_timeout=5)) as wire:
        for _ in range(5):
            opcode, payload = wire.frame()
            assert opcode == PING
            wire.send(frame(PONG, payload), frame(TEXT, b"x"))
            while wire.frame() != (TEXT, b"x"):
                pass


def test_what_nobody_has_read_counts_as_a_sign_of_life():
    def handler(ws):
        eventlet.sleep(0.2)
        ws.send(ws.wait())

    with opened(WebSocketWSGI(handler, ping_interval=0.02)) as wire:
        wire.send(frame(TEXT, b"here"))
        while (received := wire.frame())[0] == PING:
            pass
        assert received == (TEXT, b"here")


@pytest.mark.parametrize("arguments", [(0,), (-1,), (1, 0)])
def test_intervals_are_above_zero(arguments):
    with pytest.raises(ValueError, match="seconds above 0"):
        RFC6455WebSocket(None, {}).keep_alive(*arguments)


@pytest.mark.parametrize("name", ["ping_interval", "ping_timeout"])
def test_a_time_between_pings_that_cannot_be_is_refused_at_once(name):
    with pytest.raises(ValueError, match=name):
        WebSocketWSGI(echo, **{name: 0})
    with pytest.raises(ValueError, match=name):
        connect("ws://127.0.0.1:1/", **{name: float("nan")})
