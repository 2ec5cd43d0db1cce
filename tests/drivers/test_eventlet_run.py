"""Programs that know nothing of green threads, run by ``eventlet run``."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import concurrent.futures
import sys
import time

import {imports}

{define}

with concurrent.futures.ThreadPoolExecutor(50) as executor:
    operation(0)
    for attempt in range(3):
        start = time.perf_counter()
        operation(0)
        one = time.perf_counter() - start
        start = time.perf_counter()
        assert len([*executor.map(operation, range(50))]) == 50
        together = time.perf_counter() - start
        if together < 3 * one:
            break
assert together < 3 * one, (one, together)
# All of this in one OS thread.
with open("/proc/self/status") as status:
    threads = [int(line.split()[1]) for line in status if line.startswith("Threads:")]
print("done", *sys.argv[1:], threads[0] < 20)
"""

OPERATIONS = {
    "requests": """
def operation(number):
    return requests.get(f"{url}/{{number}}?wait=0.4", timeout=20).text
""",
    "redis": """
def operation(number):
    with redis.Redis(host="{host}", port={port}) as client:
        return client.blpop([f"nothing {{number}}"], timeout=0.4)
""",
    "psycopg2": """
def operation(number):
    with psycopg2.connect(host="{host}", user="{user}", dbname="{dbname}") as connection:
        with connection.cursor() as cursor:
            cursor.execute("select pg_sleep(0.4)")
            return cursor.fetchall()
""",
}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it looks into /proc")
@pytest.mark.parametrize("library", OPERATIONS)
def test_threads_become_green(library, request, tmp_path):
    pytest.importorskip(library, reason=f"{library} is not installed")
    if library == "requests":
        where = {"url": request.getfixturevalue("http_peer")}
    elif library == "redis":
        where = request.getfixturevalue("redis_server")
    else:
        where = request.getfixturevalue("postgres_server")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(imports=library, define=OPERATIONS[library].format(**where)))
    done = subprocess.run(
        [sys.executable, "-m", "eventlet", "run", str(program), "--an", "argument"],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.stdout, done.returncode) == ("done --an argument True\n", 0), done.stderr
