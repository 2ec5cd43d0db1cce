"""TCP or TLS echo with asyncio, as streams or as a protocol, on asyncio's own loop or on uvloop."""

import argparse
import asyncio
import ssl


async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes in."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


class Echo(asyncio.Protocol):
    """Send back what comes in, from callbacks."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Keep the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Send it back."""
        self.transport.write(data)


async def serve(port: int, style: str, certificate: str | None) -> None:
    """Serve until killed."""
    tls = None
    if certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)
    if style == "streams":
        server = await asyncio.start_server(handle, "127.0.0.1", port, backlog=2048, ssl=tls)
    else:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, "127.0.0.1", port, backlog=2048, ssl=tls)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
    parser.add_argument("--style", choices=["streams", "protocol"], default="streams")
    parser.add_argument("--certificate", help="a file with key and certificate, for TLS")
    args = parser.parse_args()
    if args.loop == "uvloop":
        import uvloop

        uvloop.run(serve(args.port, args.style, args.certificate))
    else:
        asyncio.run(serve(args.port, args.style, args.certificate))
