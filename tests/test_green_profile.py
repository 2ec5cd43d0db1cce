"""eventlet.green.profile: a profiler that knows green threads."""

import profile as stdlib_profile
import pstats

import pytest

import eventlet
from eventlet.green import profile


class Clock:
    """A timer that goes on only when it is told to."""

    def __init__(self):
        self.now = 0

    def __call__(self):
        return self.now

    def spend(self, time):
        self.now += time


@pytest.fixture
def clock():
    return Clock()


def stats_of(profiler):
    """Return calls, primitive calls, time and cumulative time by function name."""
    profiler.create_stats()
    return {
        name: (total, primitive, time, cumulative)
        for (_, _, name), (primitive, total, time, cumulative, _) in profiler.stats.items()
    }


def test_names():
    assert set(profile.__all__) == set(stdlib_profile.__all__)
    assert issubclass(profile.Profile, stdlib_profile.Profile)


def test_same_as_the_standard_module_without_green_threads(clock):
    def recursive(n):
        clock.spend(1)
        if n:
            recursive(n - 1)

    def calls_back():
        clock.spend(10)
        sorted([3, 1, 2], key=key)

    def key(value):
        clock.spend(100)
        return value

    def fails():
        clock.spend(1000)
        raise ValueError

    def program():
        recursive(5)
        calls_back()
        try:
            fails()
        except ValueError:
            clock.spend(10000)
        return "done"

    results = []
    for module in (stdlib_profile, profile):
        profiler = module.Profile(clock)
        assert profiler.runcall(program) == "done"
        stats = stats_of(profiler)
        del stats["setprofile"]
        del stats["profiler"]
        results.append(stats)
    assert results[0] == results[1]
    assert results[1]["recursive"] == (6, 1, 0, 6)


def test_green_threads_are_timed_apart(clock):
    def worker(step, times):
        for _ in range(times):
            spend(step)
            eventlet.sleep(0)

    def spend(step):
        clock.spend(step)

    def one():
        worker(1, 10)

    def two():
        worker(100, 5)

    def program():
        for each in [eventlet.spawn(one), eventlet.spawn(two)]:
            each.wait()

    profiler = profile.Profile(clock)
    profiler.runcall(program)
    stats = stats_of(profiler)
    assert stats["one"] == (1, 1, 0, 10)
    assert stats["two"] == (1, 1, 0, 500)
    assert stats["worker"] == (2, 2, 0, 510)
    assert stats["program"] == (1, 1, 0, 0)
    # The times are exact: `spend` of `clock` has it all.
    assert sum(time for _, _, time, _ in stats.values()) == 510
    assert stats["sleep"][0] == 15


def test_green_threads_that_had_begun_before(clock):
    def waiting():
        begun.append(True)
        eventlet.sleep(0)
        later()

    def later():
        clock.spend(7)

    begun = []
    thread = eventlet.spawn(waiting)
    eventlet.sleep(0)
    assert begun
    profiler = profile.Profile(clock)
    profiler.start()
    thread.wait()
    profiler.stop()
    stats = stats_of(profiler)
    assert stats["later"][:2] == (1, 1)
    assert stats["later"][3] == 7
    # The call of it was not seen.
    assert "waiting" not in stats


def test_green_threads_that_have_not_ended(clock):
    def endless():
        while True:
            clock.spend(1)
            eventlet.sleep(0)

    def program():
        threads.append(eventlet.spawn(endless))
        for _ in range(3):
            eventlet.sleep(0)

    threads = []
    profiler = profile.Profile(clock)
    profiler.runcall(program)
    threads[0].kill()
    calls, _, _, cumulative = stats_of(profiler)["endless"]
    assert calls == 1
    assert cumulative >= 3


def test_many_green_threads_of_one_function(clock):
    def worker():
        eventlet.sleep(0)
        clock.spend(2)

    def program():
        pool = eventlet.GreenPool(10)
        for _ in range(100):
            pool.spawn(worker)
        pool.waitall()

    profiler = profile.Profile(clock)
    profiler.runcall(program)
    assert stats_of(profiler)["worker"] == (100, 100, 0, 200)
    # Green threads that have ended are forgotten.
    assert not profiler.sleeping


def test_starting_in_the_middle(clock):
    def outer():
        inner()
        clock.spend(5)

    def inner():
        profiler.start("begin")
        clock.spend(3)

    profiler = profile.Profile(clock)
    outer()
    profiler.stop()
    stats = stats_of(profiler)
    assert "outer" not in stats
    assert sum(time for _, _, time, _ in stats.values()) == 8
    assert stats["begin"][3] == 8


def test_start_and_stop_twice(clock):
    def step():
        clock.spend(1)

    profiler = profile.Profile(clock)
    for _ in range(2):
        profiler.start()
        profiler.start()
        step()
        profiler.stop()
    assert stats_of(profiler)["step"][:2] == (1, 1)


def test_statements_add_up(clock):
    def step():
        clock.spend(1)

    profiler = profile.Profile(clock)
    profiler.runctx("step()", {"step": step}, {})
    profiler.runctx("step()", {"step": step}, {})
    assert ("profile", 0, "step()") in profiler.timings
    assert stats_of(profiler)["step"] == (2, 2, 0, 2)


def test_subclasses_may_replace_parts():
    """What other packages do."""

    class Mine(profile.Profile):
        def _setup(self):
            self._has_setup = True
            self.cur = None
            self.timings = {}
            self.current_tasklet = eventlet.getcurrent()
            self.thread_id = 0
            self.simulate_call("profiler")

        def runcall(self, func, *args, **kw):
            self._setup()
            try:
                return stdlib_profile.Profile.runcall(self, func, *args, **kw)
            finally:
                self.TallyTimings()

    profiler = Mine()
    assert profiler.runcall(len, "abc") == 3
    assert ("", 0, "len") in profiler.timings


def test_instance_is_a_profile_function(clock):
    import sys

    profiler = profile.Profile(clock)
    profiler._setup()
    sys.setprofile(profiler)
    try:
        len("")
    finally:
        sys.setprofile(None)
    profiler.TallyTimings()
    assert stats_of(profiler)["len"][0] == 1


def test_run_and_runctx(tmp_path, capsys):
    file = tmp_path / "profile"
    names = {"eventlet": eventlet}
    profile.runctx("eventlet.sleep(0)", names, {}, str(file))
    stats = pstats.Stats(str(file))
    assert "sleep" in {name for _, _, name in stats.stats}
    profile.runctx("eventlet.sleep(0)", names, {}, sort="cumulative")
    assert "sleep" in capsys.readouterr().out
    profile.run("raise SystemExit")
    assert "function calls" in capsys.readouterr().out
    profile.run("import eventlet; eventlet.sleep(0)", str(file))
    assert "sleep" in {name for _, _, name in pstats.Stats(str(file)).stats}
