"""pika, against RabbitMQ."""

from __future__ import annotations

import pytest

pytest.importorskip("pika", reason="pika is not installed")

CONNECT = """
import pika
address = pika.ConnectionParameters(*given.server)
"""


def test_messages_that_come_later(rabbitmq_server, run_patched):
    code = """
def work(number):
    with pika.BlockingConnection(address) as connection:
        channel = connection.channel()
        answers = channel.queue_declare("", exclusive=True).method.queue
        # What waits here for too long is moved on by the server.
        arguments = {
            "x-message-ttl": 500,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": answers,
        }
        waiting = channel.queue_declare("", exclusive=True, arguments=arguments).method.queue
        channel.basic_publish("", waiting, str(number).encode())
        for method, _, body in channel.consume(answers, inactivity_timeout=20):
            channel.basic_ack(method.delivery_tag)
            return int(body)
assert overlap(work) == [*range(50)]
"""
    run_patched(CONNECT + code, server=rabbitmq_server)


def test_publisher_and_consumer_in_threads(rabbitmq_server, run_patched):
    code = """
import threading
received = []
ready = threading.Event()
def consume():
    with pika.BlockingConnection(address) as connection:
        channel = connection.channel()
        channel.queue_declare("work", exclusive=True)
        def on_message(channel, method, properties, body):
            received.append(int(body))
            channel.basic_ack(method.delivery_tag)
            if len(received) == 200:
                channel.stop_consuming()
        channel.basic_qos(prefetch_count=10)
        channel.basic_consume("work", on_message)
        connection.call_later(0, ready.set)
        channel.start_consuming()
thread = threading.Thread(target=consume)
thread.start()
ready.wait()
with pika.BlockingConnection(address) as connection:
    channel = connection.channel()
    channel.confirm_delivery()
    for number in range(200):
        channel.basic_publish("", "work", str(number).encode())
thread.join()
assert received == [*range(200)]
"""
    run_patched(CONNECT + code, server=rabbitmq_server)
