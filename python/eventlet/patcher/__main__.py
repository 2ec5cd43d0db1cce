"""`python -m eventlet.patcher script.py`: as `eventlet run script.py`."""

import sys

from eventlet.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
