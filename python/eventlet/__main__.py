"""`python -m eventlet`: the same program as the `eventlet` command."""

import sys

from eventlet.cli import main

if __name__ == "__main__":
    sys.exit(main())
