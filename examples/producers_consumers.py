"""Producers and consumers that meet at a channel.

A queue of size 0 is a channel: it holds nothing, so that `put` waits until somebody takes the item.
Whoever is ahead waits for whoever is behind, and no list of unfinished work can grow.

    python examples/producers_consumers.py
"""

from __future__ import annotations

import argparse

import eventlet
from eventlet.queue import Queue


def produce(name: str, channel: Queue[str | None], count: int) -> None:
    for number in range(count):
        # Waits here while no consumer is free.
        channel.put(f"{name}{number}")


def consume(name: str, channel: Queue[str | None], eaten: list[str]) -> None:
    # Waits here while nothing is offered. None says that nothing will be any more.
    while (item := channel.get()) is not None:
        # Stands for work: while this one sleeps, the others run.
        eventlet.sleep(0.001)
        print(f"{name} took {item}")
        eaten.append(item)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--producers", type=int, default=3)
    parser.add_argument("--consumers", type=int, default=2)
    parser.add_argument("--items", type=int, default=4, help="how many each producer makes")
    arguments = parser.parse_args()

    channel: Queue[str | None] = Queue(0)
    eaten: list[str] = []
    producers = [
        eventlet.spawn(produce, chr(ord("a") + n), channel, arguments.items)
        for n in range(arguments.producers)
    ]
    consumers = [
        eventlet.spawn(consume, f"consumer {n}", channel, eaten) for n in range(arguments.consumers)
    ]
    for producer in producers:
        producer.wait()
    # Everything has been taken by somebody; now everybody may go home.
    for _ in consumers:
        channel.put(None)
    for consumer in consumers:
        consumer.wait()
    print(f"{len(eaten)} items went through the channel")


if __name__ == "__main__":
    main()
