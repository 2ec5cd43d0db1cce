"""Actors: objects that do one thing at a time, and are asked by letter.

Each actor is a green thread with a mailbox, a queue. Whoever wants something puts a message there;
the actor takes one after another. Its state belongs to it alone, so there is nothing to lock.

    python examples/mailbox.py
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import eventlet
from eventlet.queue import Queue


class Actor:
    """Calls its methods in its own green thread, in the order in which they were asked for."""

    def __init__(self) -> None:
        self.mailbox: Queue[tuple[Callable[..., Any], tuple[Any, ...], eventlet.Event]] = Queue()
        self.thread = eventlet.spawn(self.work)

    def work(self) -> None:
        while True:
            method, args, answer = self.mailbox.get()
            try:
                answer.send(method(*args))
            except Exception as error:
                # It is raised in the one who waits for the answer; the actor goes on.
                answer.send(exc=error)

    def tell(self, method: Callable[..., Any], *args: Any) -> eventlet.Event:
        """Put a message into the mailbox, and return where the answer will be."""
        answer = eventlet.Event()
        self.mailbox.put((method, args, answer))
        return answer

    def ask(self, method: Callable[..., Any], *args: Any) -> Any:
        """Put a message into the mailbox and wait for the answer."""
        return self.tell(method, *args).wait()

    def stop(self) -> None:
        self.thread.kill()


class Account(Actor):
    """Some money."""

    def __init__(self, balance: int) -> None:
        super().__init__()
        self.balance = balance

    def take(self, amount: int) -> int:
        if amount > self.balance:
            raise ValueError(f"there are only {self.balance} left")
        before = self.balance
        # Whatever happens meanwhile, nobody else touches the balance.
        eventlet.sleep(0)
        self.balance = before - amount
        return self.balance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--customers", type=int, default=7)
    arguments = parser.parse_args()

    account = Account(100)

    def customer(number: int) -> None:
        try:
            left = account.ask(account.take, 20)
        except ValueError as error:
            print(f"customer {number}: {error}")
        else:
            print(f"customer {number} took 20, {left} left")

    customers = [eventlet.spawn(customer, number) for number in range(arguments.customers)]
    for each in customers:
        each.wait()
    print(f"at the end: {account.balance}")
    account.stop()


if __name__ == "__main__":
    main()
