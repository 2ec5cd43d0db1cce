"""What `eventlet --version` prints."""

from __future__ import annotations

import platform


def version_line() -> str:
    """The version of this package and of what decides how it behaves."""
    import greenlet

    import eventlet
    from eventlet import hubs

    hub = type(hubs.get_hub()).__module__.rpartition(".")[2]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"eventlet {eventlet.__version__} (greenlet {greenlet.__version__}, {python}, hub {hub})"
