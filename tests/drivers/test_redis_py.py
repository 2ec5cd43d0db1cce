"""redis-py, against Redis."""

from __future__ import annotations

import pytest

pytest.importorskip("redis", reason="redis-py is not installed")


def test_blocking_commands(redis_server, run_patched):
    code = """
import redis
client = redis.Redis(**given.server, decode_responses=True)
def wait(number):
    client.rpush(f"full {number}", number)
    assert client.blpop([f"full {number}"]) == (f"full {number}", str(number))
    return client.blpop([f"empty {number}"], timeout=0.3)
assert overlap(wait) == [None] * 50
"""
    run_patched(code, server=redis_server)


def test_a_pool_that_blocks(redis_server, run_patched):
    code = """
import redis
pool = redis.BlockingConnectionPool(**given.server, max_connections=25, timeout=20)
client = redis.Redis(connection_pool=pool)
assert overlap(lambda number: client.blpop([f"nothing {number}"], timeout=0.2)) == [None] * 50
"""
    run_patched(code, server=redis_server)


def test_pipelines(redis_server, run_patched):
    code = """
import redis
client = redis.Redis(**given.server)
def work(number):
    with client.pipeline(transaction=False) as pipe:
        pipe.set(f"key {number}", number)
        pipe.blpop([f"missing {number}"], timeout=0.3)
        pipe.get(f"key {number}")
        pipe.incr(f"key {number}")
        return pipe.execute()
assert overlap(work) == [[True, None, b"%d" % n, n + 1] for n in range(50)]
"""
    run_patched(code, server=redis_server)


def test_publish_and_subscribe(redis_server, run_patched):
    code = """
import redis
client = redis.Redis(**given.server)
ready = eventlet.Semaphore(0)
def subscriber(number):
    with client.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe("news")
        while pubsub.get_message(timeout=20) is not None or not pubsub.subscribed:
            pass
        ready.release()
        heard = []
        for message in pubsub.listen():
            heard.append(int(message["data"]))
            if heard[-1] == 99:
                return heard
threads = [eventlet.spawn(subscriber, number) for number in range(50)]
for _ in threads:
    ready.acquire()
for number in range(100):
    assert client.publish("news", number) == 50
for thread in threads:
    assert thread.wait() == [*range(100)]
"""
    run_patched(code, server=redis_server)


def test_a_listener_in_a_thread(redis_server, run_patched):
    code = """
import redis, threading
client = redis.Redis(**given.server)
heard = threading.Event()
with client.pubsub() as pubsub:
    pubsub.subscribe(greeting=lambda message: heard.set())
    thread = pubsub.run_in_thread(sleep_time=0.1)
    while not heard.wait(0.01):
        client.publish("greeting", "hello")
    thread.stop()
    thread.join()
"""
    run_patched(code, server=redis_server)
