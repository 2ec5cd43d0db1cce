"""One event that several green threads wait for.

An event is sent once. Everybody who waits for it goes on with the value that was sent, in the order
in which they came, and so does, at once, everybody who comes later.

    python examples/one_event_five_waiters.py
"""

from __future__ import annotations

import argparse

import eventlet


def wait(number: int, event: eventlet.Event) -> str:
    # Any number of green threads may wait here; none of them uses the processor meanwhile.
    value = event.wait()
    print(f"waiter {number} got {value!r}")
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--waiters", type=int, default=5)
    arguments = parser.parse_args()

    event = eventlet.Event()
    waiters = [eventlet.spawn(wait, number, event) for number in range(arguments.waiters)]
    # Gives way, so that they begin. Until now they were only scheduled.
    eventlet.sleep(0)
    print(f"{event.waiting()} green threads wait")
    # Does not give way: they go on when this green thread waits for something itself.
    event.send("the news")
    print("sent")
    for waiter in waiters:
        waiter.wait()
    print(f"and who comes late hears {event.wait()!r} at once")


if __name__ == "__main__":
    main()
