"""`python -m eventlet.patcher script.py`: runs a program with everything patched."""

import runpy
import sys

from eventlet import patcher

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python -m eventlet.patcher script.py [arguments]")
    del sys.argv[0]
    patcher.monkey_patch()
    runpy.run_path(sys.argv[0], run_name="__main__")
