"""SIP messages sent and read byte by byte, for tests that SIPp cannot do: the same INVITE twice, a forged Via, half a
message."""

import itertools
import select
import socket
import time

_numbers = itertools.count(1)


class Message:
    """A received message: start line, header fields in their order, body."""

    def __init__(self, data, source=None):
        head, _, self.body = data.partition(b"\r\n\r\n")
        lines = head.decode("utf-8", "replace").split("\r\n")
        self.start, self.source, self.data = lines[0], source, data
        self.fields = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:] if ":" in line]

    @property
    def status(self):
        """The status of a response; None for a request."""
        words = self.start.split(" ")
        return int(words[1]) if words[0] == "SIP/2.0" and len(words) > 1 and words[1].isdigit() else None

    @property
    def method(self):
        return self.start.split(" ")[0]

    def all(self, name):
        return [value for field, value in self.fields if field.lower() == name.lower()]

    def first(self, name):
        return next(iter(self.all(name)), "")

    def routes(self):
        """The Record-Route entries, in their order."""
        return [entry.strip() for value in self.all("Record-Route") for entry in value.split(",")]


class Datagrams:
    """One UDP socket."""

    def __init__(self, address):
        self.address = address
        self.socket = socket.socket(address.family, socket.SOCK_DGRAM)
        self.socket.bind((address.ip, address.port))

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data, to):
        self.socket.sendto(data if isinstance(data, bytes) else data.encode(), (to.ip, to.port))

    def receive(self, seconds=2.0):
        """The next message, or None if none comes in time."""
        if not select.select([self.socket], [], [], seconds)[0]:
            return None
        try:
            data, source = self.socket.recvfrom(65536)
        except ConnectionError:
            return None
        return Message(data, source)

    def expect(self, what, seconds=2.0):
        """The next message for which `what` holds; other messages are skipped. None if none comes in time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            message = self.receive(left)
            if message and what(message):
                return message
        return None


class Stream:
    """One TCP connection, read message by message."""

    def __init__(self, to, connection=None):
        self.socket = connection or socket.create_connection((to.ip, to.port), timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pending, self.ended = b"", False

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def receive(self, seconds=2.0):
        """The next message; None if none comes in time or the peer closes."""
        deadline = time.monotonic() + seconds
        while (message := self._cut()) is None:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                return None
            try:
                more = self.socket.recv(65536)
            except ConnectionError:
                more = b""
            if not more:
                self.ended = True
                return None
            self.pending += more
        return message

    def closed(self, seconds):
        """Whether the peer closes the connection in time; further bytes are read and discarded."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self.socket], [], [], left)[0]:
                try:
                    if not self.socket.recv(65536):
                        return True
                except ConnectionError:
                    return True
        return False

    def _cut(self):
        self.pending = self.pending.lstrip(b"\r\n")
        head, separator, rest = self.pending.partition(b"\r\n\r\n")
        if not separator:
            return None
        length = 0
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.strip().lower() in (b"content-length", b"l"):
                length = int(value)
        if len(rest) < length:
            return None
        end = len(head) + 4 + length
        data, self.pending = self.pending[:end], self.pending[end:]
        return Message(data)


def fresh(prefix):
    """A text that no other message of this run carries."""
    return f"{prefix}{time.time_ns():x}{next(_numbers)}"


class Dialog:
    """The common fields of one call's messages, as the caller sees them."""

    def __init__(self, caller, call_id=None):
        self.caller, self.call_id = caller, call_id or fresh("call")
        self.from_tag, self.to_tag, self.routes, self.target = fresh("from"), "", [], "sip:service@example.com"

    def learn(self, response):
        """Takes tag, route set and target from an answer to the INVITE."""
        self.to_tag = response.first("To").partition(";tag=")[2]
        self.routes = list(reversed(response.routes()))
        self.target = response.first("Contact").strip("<>") or self.target

    def request(self, method, number, branch=None, headers=(), body=""):
        to = "<sip:service@example.com>" + (f";tag={self.to_tag}" if self.to_tag else "")
        lines = [
            f"{method} {self.target} SIP/2.0",
            f"Via: SIP/2.0/{self.caller.transport.upper()} {self.caller.host_port};branch={branch or fresh('z9hG4bK')};rport",
            f"From: <sip:caller@example.com>;tag={self.from_tag}",
            f"To: {to}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {number} {method}",
            f"Contact: <sip:caller@{self.caller.host_port};transport={self.caller.transport}>",
            "Max-Forwards: 70",
            *(f"Route: {route}" for route in self.routes),
            *headers,
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join(lines) + "\r\n\r\n" + body


def answer(request, status, contact=None, to_tag="", reason="Answer"):
    """A server's answer to a request: Via, Record-Route, From, To, Call-ID and CSeq are copied."""
    lines = [f"SIP/2.0 {status} {reason}"]
    for name, value in request.fields:
        short = name.lower()
        if short in ("via", "v", "record-route", "from", "f", "call-id", "i", "cseq"):
            lines.append(f"{name}: {value}")
        elif short in ("to", "t"):
            lines.append(f"{name}: {value}" + (f";tag={to_tag}" if to_tag and ";tag=" not in value else ""))
    if contact:
        lines.append(f"Contact: <sip:service@{contact.host_port};transport={contact.transport}>")
    return "\r\n".join([*lines, "Content-Length: 0", "", ""])
