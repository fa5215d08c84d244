"""Messages that a stranger can send to a load manager while 200 calls are in progress.

Each attack runs beside those calls. They must all end well, the memory of the load manager must not grow, its counters must
report the attack, and nothing may reach the stranger's victim."""

import hashlib
import hmac
import os
import random
import struct
import time

from churn import PROTOCOL_ID, STARTED
from farm import Farm
from report import Report, calls
from scenario import answering, calling
from sipp import Sipp, start_client
from wire import Datagrams, Dialog, Message, Stream, answer, fresh

CALLS = 200
RATE = 100
TALK_MS = 4000
SERVERS = 2
# Most memory that an attack may cost, for the pages of code and stacks that it touches for the first time.
GROWTH_KIB = 16 * 1024
# Counters that report attacks.
TELLING = ("forged", "foreign", "malformed", "broken", "bad", "heartbeats_ignored", "no_", "rejected", "new_calls", "connections_closed")
HEARTBEAT_KEY = "5e" * 32


class Scene:
    """A load manager with calls in progress, and a stranger with a victim."""

    def __init__(self, farm, transport):
        self.farm = farm
        self.servers = [Sipp(farm, answering(), farm.address(transport)) for _ in range(SERVERS)]
        self.front = farm.address(transport)
        self.stream = self.front if transport == "tcp" else farm.address("tcp")
        self.heartbeat, self.control = farm.address(), farm.control()
        self.process = farm.configured(
            {address: address.host_port for address in {self.front, self.stream}},
            [server.place for server in self.servers],
            selection={"kind": "round-robin"},
            heartbeat={"listen": self.heartbeat.host_port},
            keys={"heartbeat": HEARTBEAT_KEY},
            control={"path": str(self.control)},
        )
        self.stranger, self.victim = Datagrams(farm.address()), Datagrams(farm.address())

    def counters(self):
        return self.farm.counters(self.control)


def forged_tags(scene):
    """Requests within dialogs that do not exist, with tags that no load manager signed."""
    for number in range(2000):
        dialog = Dialog(scene.stranger.address)
        dialog.to_tag = "forged"
        tag = ("A" * random.choice([4, 22, 24, 40]), os.urandom(16).hex())[number % 2]
        dialog.routes = [f"<sip:{scene.front.host_port};lr;farmtag={tag}>"]
        dialog.target = f"sip:victim@{scene.victim.address.host_port}"
        scene.stranger.send(dialog.request("BYE", 2), scene.front)
        time.sleep(0.0005)
    return ["forged_tags"]


def forged_vias(scene):
    """Responses that pretend to answer a request, to be forwarded to the victim."""
    dialog = Dialog(scene.stranger.address)
    own = f"Via: SIP/2.0/UDP {scene.front.host_port};branch=z9hG4bKforged;hop="
    for _ in range(2000):
        hop = os.urandom(random.choice([8, 20, 28])).hex()
        lines = [
            "SIP/2.0 200 OK",
            own + hop,
            f"Via: SIP/2.0/UDP {scene.victim.address.host_port};branch={fresh('z9hG4bK')}",
            f"From: <sip:a@example.com>;tag={dialog.from_tag}",
            "To: <sip:b@example.com>;tag=b",
            f"Call-ID: {dialog.call_id}",
            "CSeq: 1 INVITE",
            "Content-Length: 0",
        ]
        scene.stranger.send("\r\n".join(lines) + "\r\n\r\n", scene.front)
        time.sleep(0.0005)
    return ["foreign_responses"]


def forged_heartbeats(scene):
    """Heartbeats without the farm's key: new servers, and ends of existing servers."""
    ports = [scene.victim.address.port, *(server.place.port for server in scene.servers)]
    for number in range(2000):
        port, state = ports[number % len(ports)], number % 3
        plain = struct.pack(">IIII", PROTOCOL_ID, number, port, state)
        little = struct.pack("<IIII", PROTOCOL_ID, number, port, STARTED)
        forms = [plain, little, plain[: number % 16], plain + os.urandom(number % 600), struct.pack(">I", 0xDEADBEEF) + plain[4:]]
        scene.stranger.send(forms[number % len(forms)], scene.heartbeat)
        time.sleep(0.0005)
    servers = scene.farm.status(scene.control)["servers"]
    if len(servers) != SERVERS or any(server["state"] != "active" for server in servers):
        raise AssertionError(f"the server table changed: {[(server['address'], server['state']) for server in servers]}")
    return []


def forged_encapsulations(scene):
    """Responses that name the victim as next hop, from a server's address, with an authenticator that is not the farm's."""
    for number in range(1000):
        dialog = Dialog(scene.stranger.address)
        response = answer(Message(dialog.request("INVITE", 1).encode()), 200).encode()
        next_hop = f"sip:{scene.victim.address.host_port};transport=udp"
        text = b"strowger encapsulated response 1\r\n" + next_hop.encode() + b"\r\n" + response
        key = (b"", b"guess", bytes.fromhex("5f" * 32))[number % 3]
        digits = hmac.new(key, text, hashlib.sha256).hexdigest()[: 32 if number % 5 else 30]
        head = f"ENCAPSULATED {next_hop} SIP/2.0\r\nEncapsulation: 1\r\nAuthenticator: {digits}\r\nContent-Type: message/sip\r\n"
        scene.stranger.send(f"{head}Content-Length: {len(response)}\r\n\r\n".encode() + response, scene.front)
    return ["forged_encapsulations"]


def random_datagrams(scene):
    for number in range(6000):
        text = os.urandom(random.randrange(1, 1400))
        scene.stranger.send(text if number % 2 else b"INVITE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP " + text, scene.front)
        time.sleep(0.0003)
    return ["malformed"]


def new_calls_without_end(scene):
    """INVITEs of different calls from one stranger, who never continues them."""
    for _ in range(3000):
        scene.stranger.send(Dialog(scene.stranger.address).request("OPTIONS", 1), scene.front)
        time.sleep(0.0005)
    return ["new_calls"]


def slow_and_half_open_streams(scene):
    """Connections that send nothing, or a byte now and then, or only half a message."""
    request = Dialog(scene.stranger.address).request("INVITE", 1).encode()
    streams = [Stream(scene.stream) for _ in range(300)]
    for number, stream in enumerate(streams):
        if number % 3 == 1:
            stream.send(request[: len(request) // 2])
    for at in range(20):
        for stream in streams[2::3]:
            stream.send(request[at : at + 1])
        time.sleep(0.1)
    for stream in streams:
        stream.close()
    return []


def _too_much(scene, header):
    """A message that is too large, over TCP until the load manager closes, then as a datagram of the size that fits."""
    request = Dialog(scene.stranger.address).request("INVITE", 1, headers=[header]).encode()
    for _ in range(20):
        with Stream(scene.stream) as stream:
            try:
                stream.send(request)
            except ConnectionError:
                continue
            stream.receive(0.1)
    if len(request) < 65000:
        for _ in range(50):
            scene.stranger.send(request, scene.front if scene.front.transport == "udp" else scene.heartbeat)
            time.sleep(0.01)
    return []


def huge_header(scene):
    return _too_much(scene, "X-Long: " + "x" * 64000)


def endless_header(scene):
    return _too_much(scene, "X-Long: " + "x" * 4_000_000)


def ten_thousand_vias(scene):
    return _too_much(scene, "\r\n".join(f"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{hop}" for hop in range(10_000)))


def run(transport, attack):
    count = calls(CALLS, CALLS, 10 * CALLS)
    with Farm(f"hostile-{transport}-{attack.__name__}") as farm:
        scene = Scene(farm, transport)
        caller = start_client(farm, calling(), scene.front, count, RATE * count // CALLS, "-d", TALK_MS)
        caller.begun(RATE * count // CALLS)
        before, counted = scene.process.resident_kib(), scene.counters()
        expected = attack(scene)
        time.sleep(0.2)
        after, counts = scene.process.resident_kib(), scene.counters()
        outcome = caller.finish()
        hit = scene.victim.receive(0.1)
        alive = scene.process.alive()
    risen = {name: value - counted.get(name, 0) for name, value in counts.items()}
    shown = ", ".join(f"{name} {value}" for name, value in risen.items() if value and name.startswith(TELLING))
    problems = [] if outcome.good == count else [f"{outcome.failed} calls failed ({outcome.causes()}), {outcome.good} of {count} good"]
    if after - before > GROWTH_KIB:
        problems.append(f"memory grew from {before} to {after} KiB")
    problems += [f"{name} did not rise" for name in expected if not risen.get(name)]
    if hit:
        problems.append(f"the victim got {hit.start}")
    if not alive:
        problems.append("the load manager died")
    return f"{outcome.good} of {count} calls good, memory {before} to {after} KiB, {shown}", problems


ATTACKS = {
    "udp": [forged_tags, forged_vias, forged_encapsulations, forged_heartbeats, random_datagrams, new_calls_without_end, huge_header],
    "tcp": [slow_and_half_open_streams, huge_header, endless_header, ten_thousand_vias],
}


def main():
    report = Report("hostile")
    for transport, attacks in ATTACKS.items():
        for attack in attacks:
            report.case(f"{transport}/{attack.__name__}", run, transport, attack)
    report.end()


if __name__ == "__main__":
    main()
