"""Resources that a stranger can take from a load manager while other clients call through it, 50 calls a second.

Each attack lasts as long as the calls: messages that never end over TCP and WebSocket, TLS handshakes that never end, idle
connections until the descriptors run out, forged ICMP against the servers, recorded signed heartbeats that are sent again from
other addresses, and REGISTERs with thousands of parameters, which all servers get. No call may be lost, the memory may grow by
at most 100 MB, and no server may be called failed or be added. The stranger has an address of its own, since sources share the
resources; forged ICMP needs root."""

import contextlib
import hashlib
import hmac
import itertools
import os
import resource
import socket
import string
import struct
import time

import farm as farm_module
from certificates import Authority
from churn import PROTOCOL_ID, STARTED
from farm import Farm
from report import Report, calls
from scenario import answering, calling
from sipp import Sipp, start_client
from wire import Dialog

RATE = 50
SERVERS = 2
TALK_MS = 1000
GROWTH_KIB = 100_000
STRANGER, OTHER = "127.0.0.9", "127.0.0.10"
# Descriptors of the load manager in the attack on them: fewer than the stranger opens.
DESCRIPTORS = 600
# Room for incomplete messages: less than the stranger sends.
ROOM = 4 << 20
# Handshakes that the stranger tries to keep in progress at once.
HANDSHAKES = 500
HEARTBEAT_KEY = "5e" * 32
# Parameters in the URI of one Contact: as many as a message holds.
PARAMETERS = 14_000
UPGRADE = (
    "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Protocol: sip\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@contextlib.contextmanager
def _limited(farm, descriptors):
    """Programs that start in this context may open at most this many descriptors."""
    program = farm_module.STROWGER
    if descriptors:
        limited = farm.directory / "limited"
        limited.write_text(f'#!/bin/sh\nulimit -n {descriptors}\nexec "{program}" "$@"\n')
        limited.chmod(0o755)
        farm_module.STROWGER = limited
    try:
        yield
    finally:
        farm_module.STROWGER = program


class Scene:
    def __init__(self, farm, transport, descriptors=None, registers=False):
        self.farm, self.authority = farm, Authority(farm, "authority")
        self.front, self.web, self.tls = farm.address(transport), farm.address("ws"), farm.address("tls")
        self.heartbeat, self.control = farm.address(), farm.control()
        self.servers = [farm.address(transport) for _ in range(SERVERS)]
        for place in self.servers:
            # SIPp does not answer a REGISTER.
            farm.answer(place) if registers else Sipp(farm, answering(), place)
        with _limited(farm, descriptors):
            self.process = self._configured()

    def _configured(self):
        own = self.authority.sign()
        return self.farm.configured(
            {place: place.host_port for place in (self.front, self.web, self.tls)},
            self.servers,
            selection={"kind": "round-robin"},
            connections={"buffered_bytes_max": ROOM},
            register={"to": "all"},
            heartbeat={"listen": self.heartbeat.host_port},
            keys={"heartbeat": HEARTBEAT_KEY},
            tls={"certificate": str(own.certificate), "key": str(own.key)},
            threads={"workers": 1},
            control={"path": str(self.control)},
        )

    def connect(self, to, source=STRANGER):
        """A connection of the stranger, or from another source; None if it is refused."""
        stream = socket.socket()
        stream.settimeout(1)
        try:
            stream.bind((source, 0))
            stream.connect((to.ip, to.port))
        except OSError:
            stream.close()
            return None
        return stream


def _send(stream, data):
    """False if the other end has closed the connection."""
    try:
        stream.sendall(data)
        return True
    except OSError:
        stream.close()
        return False


def messages_that_never_end(scene):
    """Half messages of 50 kB, and fragments of 10 kB, with a new connection for each that is closed."""
    head = b"MESSAGE sip:a@b SIP/2.0\r\nContent-Length: 60000\r\n\r\n"
    fragment = lambda first, size: bytes([first, 0xFE]) + struct.pack(">H", size) + bytes(4) + b"x" * size
    streams = []
    while True:
        streams = [stream for stream in streams if _send(stream, b"")][-300:]
        if stream := scene.connect(scene.front):
            streams += [stream] if _send(stream, head + b"x" * 50_000) else []
        if stream := scene.connect(scene.web):
            streams += [stream] if _send(stream, UPGRADE.encode() + fragment(0x01, 10_000) + fragment(0x00, 10_000)) else []
        yield ["connections_closed_memory"]


def idle_connections(scene):
    """Twice as many connections as the load manager has descriptors; another client comes now and then and must be let in."""
    streams = []
    for turn in itertools.count():
        if len(streams) < 2 * DESCRIPTORS and (stream := scene.connect(scene.front)):
            streams.append(stream)
        elif turn % 100 == 0:
            with contextlib.closing(scene.connect(scene.front, OTHER)) as other:
                other.sendall(b"\r\n\r\n")
                assert other.recv(2) == b"\r\n", "another source is not let in"
        yield ["connections_displaced", "connections_refused_worker_full"]


def forged_icmp(scene):
    """Port unreachable, in the name of each server; it quotes only the ports, or a request that anybody could guess."""
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    for turn in itertools.count():
        for port in (place.port for place in scene.servers):
            payload = b"" if turn % 2 else f"INVITE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP {scene.front.host_port};branch=z9hG4bK1\r\n".encode()
            local = socket.inet_aton("127.0.0.1")
            udp = struct.pack(">HHHH", scene.front.port, port, 8 + len(payload), 0) + payload
            ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, local, local)
            body = struct.pack(">BBHI", 3, 3, 0, 0) + ip + udp
            total = sum(struct.unpack(f">{(len(body) + 1) // 2}H", body + bytes(len(body) % 2)))
            total = (total >> 16) + (total & 0xFFFF)
            total = ~(total + (total >> 16)) & 0xFFFF
            raw.sendto(body[:2] + struct.pack(">H", total) + body[4:], ("127.0.0.1", 0))
        yield ["icmp_unproven"]


def handshakes_that_never_end(scene):
    """Half a ClientHello, or nothing, on as many connections as are let in; another client shakes hands now and then and must
    be served."""
    context, streams = scene.authority.client(), []
    for turn in itertools.count():
        if len(streams) < HANDSHAKES and (stream := scene.connect(scene.tls)):
            streams += [stream] if _send(stream, b"\x16\x03\x01\x02\x00\x01\x00" if turn % 2 else b"") else []
        elif turn % 10 == 0:
            streams = [stream for stream in streams if not _is_over(stream)]
        if turn % 100 == 50:
            with context.wrap_socket(scene.connect(scene.tls, OTHER), server_hostname=scene.tls.ip) as other:
                other.sendall(b"\r\n\r\n")
                assert other.recv(2) == b"\r\n", "another source is not heard"
        yield ["handshakes_slow", "connections_refused_source_handshakes_full"]


def _is_over(stream):
    """Whether the other end has closed the connection."""
    stream.setblocking(False)
    try:
        over = stream.recv(1) == b""
    except BlockingIOError:
        over = False
    except OSError:
        over = True
    if over:
        stream.close()
    return over


def heartbeats_sent_again(scene):
    """Recorded signed heartbeats without an address, sent from many addresses: each sender tries to become a server."""
    sections = struct.pack(">HHQ", 4, 8, time.time_ns() // 1000)
    head = struct.pack(">IIIIIHH", PROTOCOL_ID, 77, 5060, STARTED, 0x5354524F, 1, len(sections) + 20)
    signed = head + sections + struct.pack(">HH", 0xFFFF, 16)
    signed += hmac.new(bytes.fromhex(HEARTBEAT_KEY), signed, hashlib.sha256).digest()[:16]
    for turn in itertools.count():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind((f"127.0.{1 + turn // 250 % 250}.{1 + turn % 250}", 0))
            sender.sendto(signed, (scene.heartbeat.ip, scene.heartbeat.port))
        yield ["heartbeats_refused"]


def registers_of_many_parameters(scene):
    """Ten REGISTERs a second; all servers answer each with that Contact, and the load manager combines their answers."""
    names = itertools.islice(itertools.product(string.ascii_lowercase, repeat=3), PARAMETERS)
    contact = f"Contact: <sip:stranger@192.0.2.1{''.join(';' + ''.join(name) for name in names)}>"
    stream = scene.connect(scene.front)
    for turn in itertools.count():
        if turn % 50 == 0:
            stream.settimeout(5)
            stream.sendall(Dialog(scene.front).request("REGISTER", 1, headers=[contact]).encode())
        with contextlib.suppress(BlockingIOError):
            stream.setblocking(False)
            stream.recv(1 << 16)
        yield ["registers_accepted"]


def run(transport, attack):
    count = calls(10 * RATE, 10 * RATE, 20 * RATE)
    with Farm(f"attacks-{transport}-{attack.__name__}") as farm:
        descriptors = DESCRIPTORS if attack is idle_connections else None
        scene = Scene(farm, transport, descriptors, registers=attack is registers_of_many_parameters)
        before = scene.process.resident_kib()
        caller = start_client(farm, calling(), scene.front, count, RATE, "-d", TALK_MS)
        end, highest, states, expected = time.monotonic() + count / RATE, before, set(), []
        attacking = attack(scene)
        for turn in itertools.count():
            if time.monotonic() > end:
                break
            expected = next(attacking)
            if turn % 100 == 0:
                highest = max(highest, scene.process.resident_kib())
                states |= set(farm.server_states(scene.control).values())
            time.sleep(0.002)
        outcome, counts = caller.finish(), farm.counters(scene.control)
        known = len(farm.server_states(scene.control))
    problems = [] if outcome.good == count else [f"{outcome.failed} calls failed ({outcome.causes()}), {outcome.good} of {count} good"]
    if highest - before > GROWTH_KIB:
        problems.append(f"memory grew from {before} to {highest} KiB")
    problems += [f"{name} did not rise" for name in expected if not counts.get(name)]
    if states != {"active"}:
        problems.append(f"servers were {', '.join(sorted(states))}")
    if known != SERVERS:
        problems.append(f"{known} servers are known")
    told = ", ".join(f"{name} {counts.get(name, 0)}" for name in expected)
    return f"{outcome.good} of {count} calls good, memory {before} to {highest} KiB, {told}", problems


ATTACKS = [
    ("tcp", messages_that_never_end),
    ("tcp", idle_connections),
    ("udp", forged_icmp),
    ("udp", handshakes_that_never_end),
    ("udp", heartbeats_sent_again),
    ("tcp", registers_of_many_parameters),
]


def main():
    report = Report("attacks")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for transport, attack in ATTACKS:
        # A raw socket needs root.
        if os.geteuid() == 0 or attack is not forged_icmp:
            report.case(f"{transport}/{attack.__name__}", run, transport, attack)
    report.end()


if __name__ == "__main__":
    main()
