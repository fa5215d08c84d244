"""Carries SIPp's TCP messages over TLS or WebSocket, and back: Debian's SIPp speaks neither.

A tunnel listens for TCP (or TLS) and opens one connection to its target for each accepted connection."""

import asyncio
import base64
import hashlib
import os
import threading

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
READ = 65536


def upgrade(path="/", protocol="sip", version=13):
    """The request for a WebSocket, and the answer's digest."""
    key = base64.b64encode(os.urandom(16)).decode()
    digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
    lines = [
        f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}",
        f"Sec-WebSocket-Protocol: {protocol}", f"Sec-WebSocket-Version: {version}", "", "",
    ]
    return "\r\n".join(lines).encode(), base64.b64encode(digest)


def frame(payload, kind=TEXT, last=True, masked=True):
    """A frame as a client sends it."""
    length, mask_bit = len(payload), 0x80 if masked else 0
    head = bytes([(0x80 if last else 0) | kind])
    if length < 126:
        head += bytes([mask_bit | length])
    elif length < 65536:
        head += bytes([mask_bit | 126]) + length.to_bytes(2, "big")
    else:
        head += bytes([mask_bit | 127]) + length.to_bytes(8, "big")
    if not masked:
        return head + payload
    mask = os.urandom(4)
    key = int.from_bytes((mask * (length // 4 + 1))[:length], "big")
    return head + mask + (int.from_bytes(payload, "big") ^ key).to_bytes(length, "big")


async def read_frame(reader):
    """Kind and payload of the next frame from a server."""
    first, second = await reader.readexactly(2)
    length = second & 0x7F
    if length > 125:
        length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8), "big")
    return first & 0x0F, await reader.readexactly(length)


async def read_message(reader):
    """One SIP message off a stream, or the line ends between messages."""
    head = await reader.readuntil(b"\r\n")
    if head == b"\r\n":
        return head
    head += await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() in (b"content-length", b"l"):
            length = int(value)
    return head + await reader.readexactly(length)


class Tunnel:
    """Listens at `place`; `accept` and `connect` are the TLS contexts of accepted and opened connections."""

    def __init__(self, place, to, accept=None, connect=None, websocket=False):
        self.place, self.to, self.accept, self.connect, self.websocket = place, to, accept, connect, websocket
        self.errors, self.connections = [], 0
        # The certificate shown on each opened connection, in DER.
        self.shown = []
        self.loop, ready = asyncio.new_event_loop(), threading.Event()
        self.thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self.thread.start()
        if not ready.wait(5):
            raise TimeoutError(f"no tunnel at {place}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)

    def _run(self, ready):
        asyncio.set_event_loop(self.loop)
        self.loop.set_exception_handler(lambda *_: None)
        server = asyncio.start_server(self._serve, self.place.ip, self.place.port, ssl=self.accept)
        self.loop.run_until_complete(server)
        self.loop.call_soon(ready.set)
        self.loop.run_forever()

    async def _serve(self, near_in, near_out):
        self.connections += 1
        far_out = None
        try:
            name = self.to.ip if self.connect else None
            far_in, far_out = await asyncio.open_connection(self.to.ip, self.to.port, ssl=self.connect, server_hostname=name)
            if self.connect:
                self.shown.append(far_out.get_extra_info("ssl_object").getpeercert(True))
            if self.websocket:
                await self._agree(far_in, far_out)
                ways = [self._into_frames(near_in, far_out), self._out_of_frames(far_in, far_out, near_out)]
            else:
                ways = [self._copy(near_in, far_out), self._copy(far_in, near_out)]
            tasks = [asyncio.ensure_future(way) for way in ways]
            done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in left:
                task.cancel()
            for task in done:
                if task.exception() and not isinstance(task.exception(), (asyncio.IncompleteReadError, ConnectionError)):
                    self.errors.append(repr(task.exception()))
        except (OSError, ValueError) as error:
            self.errors.append(repr(error))
        finally:
            for writer in filter(None, (near_out, far_out)):
                writer.close()

    async def _agree(self, reader, writer):
        request, digest = upgrade()
        writer.write(request)
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 101 ") or digest not in answer:
            raise ValueError(f"no WebSocket: {answer!r}")

    @staticmethod
    async def _copy(reader, writer):
        while data := await reader.read(READ):
            writer.write(data)
            await writer.drain()

    @staticmethod
    async def _into_frames(reader, writer):
        while True:
            writer.write(frame(await read_message(reader)))
            await writer.drain()

    @staticmethod
    async def _out_of_frames(reader, far_out, near_out):
        while True:
            kind, payload = await read_frame(reader)
            if kind == CLOSE:
                return
            if kind == PING:
                far_out.write(frame(payload, PONG))
            elif kind != PONG:
                near_out.write(payload)
                await near_out.drain()
