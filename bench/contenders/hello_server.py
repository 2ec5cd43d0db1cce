"""The server that contenders make requests to: as much of HTTP as they need, on asyncio."""

import argparse
import asyncio

RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world!"


class Hello(asyncio.Protocol):
    """Answers whatever ends with an empty line."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody connected."""
        self.transport = transport
        self.end = b""

    def data_received(self, data: bytes) -> None:
        """Somebody asked."""
        data = self.end + data
        for _ in range(data.count(b"\r\n\r\n")):
            self.transport.write(RESPONSE)  # type: ignore[attr-defined]
        # What the next piece may complete.
        self.end = b"" if data.endswith(b"\r\n\r\n") else data[-3:]


async def main(port: int) -> None:
    """Serve for ever."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Hello, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(main(parser.parse_args().port))
