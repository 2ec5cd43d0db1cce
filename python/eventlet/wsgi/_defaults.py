"""What the server does unless it is told otherwise.

Programs change some of these, always in `eventlet.wsgi`, where they are read.
"""

from __future__ import annotations

#: Connections that a server holds at the same time.
DEFAULT_MAX_SIMULTANEOUS_REQUESTS = 1024

#: The version that a server speaks.
DEFAULT_MAX_HTTP_VERSION = "HTTP/1.1"

#: The longest request line, in bytes. Longer ones are answered with 414.
MAX_REQUEST_LINE = 8192

#: The longest line of a header section, in bytes, read when a server is made. Beyond it: 431.
MAX_HEADER_LINE = 8192

#: The longest header section, in bytes, read when a server is made. Beyond it: 431.
MAX_TOTAL_HEADER_SIZE = 65536

#: Blocks of a response are gathered until there is this much, in bytes.
MINIMUM_CHUNK_SIZE = 4096

#: What a line of the access log says; ``client_port`` is there, too.
DEFAULT_LOG_FORMAT = (
    '%(client_ip)s - - [%(date_time)s] "%(request_line)s"'
    " %(status_code)s %(body_length)s %(wall_seconds).6f"
)
