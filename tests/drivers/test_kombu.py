"""kombu, against RabbitMQ and Redis."""

from __future__ import annotations

import pytest

pytest.importorskip("kombu", reason="kombu is not installed")


def test_rabbitmq(rabbitmq_server, run_patched):
    code = """
import kombu
def work(number):
    with kombu.Connection(given.url) as connection:
        answers = kombu.Queue(f"answers{number}", exclusive=True, channel=connection)
        answers.declare()
        arguments = {
            "x-message-ttl": 500,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": answers.name,
        }
        waiting = kombu.Queue(
            f"waiting{number}", exclusive=True, queue_arguments=arguments, channel=connection
        )
        waiting.declare()
        connection.Producer().publish(number, routing_key=waiting.name)
        got = []
        def on_message(body, message):
            got.append(body)
            message.ack()
        with connection.Consumer(answers, callbacks=[on_message]):
            connection.drain_events(timeout=20)
        return got[0]
assert overlap(work) == [*range(50)]
"""
    run_patched(code, url="amqp://guest:guest@{}:{}//".format(*rabbitmq_server))


def test_redis(redis_server, run_patched):
    pytest.importorskip("redis", reason="redis-py is not installed")
    code = """
import kombu
def work(number):
    with kombu.Connection(given.url) as connection:
        queue = connection.SimpleQueue(f"queue{number}")
        queue.put({"number": number})
        message = queue.get(timeout=20)
        message.ack()
        try:
            queue.get(timeout=0.5)
        except queue.Empty:
            pass
        queue.close()
        return message.payload["number"]
assert overlap(work) == [*range(50)]
"""
    run_patched(code, url="redis://{host}:{port}/1".format(**redis_server))
