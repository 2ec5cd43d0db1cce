"""eventlet.green.builtin: the `open` of patched programs."""

import builtins
from unittest import mock

import pytest

from eventlet import hubs
from eventlet.green import builtin


def test_open_tells_the_hub(tmp_path):
    path = tmp_path / "file"
    with mock.patch.object(hubs, "notify_opened") as told:
        with builtin.open(path, "w", encoding="utf-8", newline="\n") as file:
            told.assert_called_once_with(file.fileno())
            file.write("text\n")
        with builtin.open(str(path), buffering=16) as file:
            assert file.read() == "text\n"
        assert told.call_count == 2
        with pytest.raises(FileNotFoundError):
            builtin.open(tmp_path / "none")
        assert told.call_count == 2


def test_it_is_patched_only_when_asked_for(run_python):
    run_python(
        """
import builtins, eventlet
real = open
eventlet.monkey_patch()
assert open is real
eventlet.monkey_patch(builtins=True)
assert open is not real and open.__module__ == "eventlet.green.builtin"
with open("file", "w") as file:
    file.write("x")
assert real("file").read() == "x"
""",
        env={"PYTHONWARNINGS": "ignore"},
    )


def test_the_rest_is_the_standard_module():
    assert builtin.len is builtins.len
    assert builtin.__patched__ == ["open"]
