"""A name server for tests: UDP and TCP on one free port of the loopback interface, green."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.rrset

import eventlet
from eventlet.green import socket


class NameServer:
    """Answers from `records`; what it was asked is in `questions`.

    `records` has lists of texts by name and type, as in ``{("a.test.", "A"): ["192.0.2.1"]}``. A
    name of which it has nothing does not exist.
    """

    def __init__(self, records: dict[tuple[str, str], list[str]]) -> None:
        self.records = records
        #: Transport, name and type of each question.
        self.questions: list[tuple[str, str, str]] = []
        #: Set to an event: answers are held back until it is sent.
        self.gate: eventlet.Event | None = None
        #: Names whose answers do not fit into a datagram.
        self.large: set[str] = set()
        #: Names that are not answered.
        self.ignored: set[str] = set()
        #: Names that are answered with a failure.
        self.failing: set[str] = set()
        self._green: list[eventlet.GreenThread] = []
        while True:
            self.stream = eventlet.listen(("127.0.0.1", 0))
            self.port = self.stream.getsockname()[1]
            self.datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                self.datagram.bind(("127.0.0.1", self.port))
                break
            except OSError:
                self.stream.close()
                self.datagram.close()
        self._spawn(self._serve_datagrams)
        self._spawn(self._serve_streams)

    def _spawn(self, function, *args) -> None:
        self._green.append(eventlet.spawn(function, *args))

    def close(self) -> None:
        for each in self._green:
            each.kill()
        self.stream.close()
        self.datagram.close()

    def resolver(self) -> dns.resolver.Resolver:
        """Return a resolver that asks this server."""
        made = dns.resolver.Resolver(configure=False)
        made.nameservers = ["127.0.0.1"]
        made.port = self.port
        made.lifetime = 20
        return made

    def answer(self, wire: bytes, transport: str) -> bytes | None:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name, rdtype = question.name.to_text(), dns.rdatatype.to_text(question.rdtype)
        self.questions.append((transport, name, rdtype))
        if self.gate is not None:
            self.gate.wait()
        if name in self.ignored:
            return None
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if name in self.failing:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif name in self.large and transport == "udp":
            response.flags |= dns.flags.TC
        else:
            self._fill(response, name, rdtype)
        return response.to_wire()

    def _fill(self, response: dns.message.Message, name: str, rdtype: str) -> None:
        known = {each for each, _ in self.records}
        if name not in known:
            response.set_rcode(dns.rcode.NXDOMAIN)
        while (name, "CNAME") in self.records and rdtype != "CNAME":
            (target,) = self.records[name, "CNAME"]
            response.answer.append(dns.rrset.from_text(name, 60, "IN", "CNAME", target))
            name = target
        if (name, rdtype) in self.records:
            response.answer.append(
                dns.rrset.from_text(name, 60, "IN", rdtype, *self.records[name, rdtype])
            )

    def _serve_datagrams(self) -> None:
        def reply(wire, address) -> None:
            answer = self.answer(wire, "udp")
            if answer is not None:
                self.datagram.sendto(answer, address)

        while True:
            self._spawn(reply, *self.datagram.recvfrom(65535))

    def _serve_streams(self) -> None:
        while True:
            self._spawn(self._serve_stream, self.stream.accept()[0])

    def _serve_stream(self, connection) -> None:
        with connection, connection.makefile("rb") as file:
            while size := file.read(2):
                answer = self.answer(file.read(int.from_bytes(size, "big")), "tcp")
                if answer is None:
                    return
                connection.sendall(len(answer).to_bytes(2, "big") + answer)


@contextlib.contextmanager
def name_server(records: dict[tuple[str, str], list[str]]) -> Iterator[NameServer]:
    """Run a server; close it and end its green threads afterwards."""
    server = NameServer(records)
    try:
        yield server
    finally:
        server.close()
