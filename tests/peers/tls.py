"""Calls over TLS and WebSocket, on the clients' side and on the servers' side, and faults of certificates, handshakes and
frames while calls are in progress.

SIPp plays both ends; the tests' own tunnels put its messages into TLS and WebSocket."""

import contextlib
import select
import socket
import ssl
import subprocess
import time
from types import SimpleNamespace

from certificates import Authority
from farm import STROWGER, Farm, until
from report import Report, calls
from scenario import agree, answering, calling, expect, pause
from sipp import Sipp, clean, client, start_client
from transports import ENDINGS
from tunnel import Tunnel, frame, upgrade
from wire import Dialog, Stream, answer

RATE = 200
SERVERS = 2
HALF_OPEN = 200
TALK_MS = 2000
NEAR = {"tls": (True, False), "ws": (False, True), "wss": (True, True)}


class Front:
    """A load manager with a listener of `kind` for clients and a listener through which it reaches its servers."""

    def __init__(self, farm, kind, servers, far="udp", authority=None, **tls):
        self.farm, self.kind, self.control = farm, kind, farm.control()
        self.authority = authority or Authority(farm, "authority")
        self.own = self.authority.sign()
        self.place, self.back = farm.address(kind), farm.address(far)
        self.options = {"certificate": str(self.own.certificate), "key": str(self.own.key), **tls}
        self.process = farm.configured(
            {place: place.host_port for place in (self.place, self.back)},
            servers,
            tls=self.options,
            selection={"kind": "round-robin"},
            # A busy host may keep SIPp from answering for seconds; this test is not about that.
            health={"probe": "off"},
            control={"path": str(self.control)},
        )

    def counters(self):
        return self.farm.counters(self.control)

    def tunnel(self, own=None):
        """A place to which SIPp sends."""
        secure, websocket = NEAR[self.kind]
        context = self.authority.client(own) if secure else None
        return Tunnel(self.farm.address("tcp"), self.place, connect=context, websocket=websocket)

    def connect(self, context):
        return connect(self.place, context)


def connect(place, context):
    """A connection over TLS for messages by hand."""
    raw = socket.create_connection((place.ip, place.port), timeout=5)
    try:
        return Secure(place, context.wrap_socket(raw, server_hostname=place.ip))
    except BaseException:
        raw.close()
        raise


class Secure(Stream):
    """Messages over TLS: select cannot see bytes that OpenSSL has decrypted and not handed out."""

    def receive(self, seconds=2.0):
        deadline = time.monotonic() + seconds
        while (message := self._cut()) is None:
            left = deadline - time.monotonic()
            if left <= 0 or not (self.socket.pending() or select.select([self.socket], [], [], left)[0]):
                return None
            # The bytes may be a TLS ticket and no message.
            self.socket.settimeout(left)
            try:
                more = self.socket.recv(65536)
            except TimeoutError:
                return None
            finally:
                self.socket.settimeout(5)
            if not more:
                self.ended = True
                return None
            self.pending += more
        return message


def through(kind, ending, far):
    count = calls(20, 300, 10000)
    caller_steps, callee_steps = ENDINGS[ending]
    with Farm(f"tls-{kind}-{far}-{ending}") as farm, contextlib.ExitStack() as tunnels:
        servers = [Sipp(farm, callee_steps, farm.address("udp" if far == "udp" else "tcp")) for _ in range(SERVERS)]
        places, authority, tls = [server.place for server in servers], Authority(farm, "authority"), {}
        if far == "tls":
            tls = {"server_ca": str(authority.certificate)}
            context = authority.server(authority.sign())
            ends = [tunnels.enter_context(Tunnel(farm.address("tls"), place, accept=context)) for place in places]
            places = [end.place for end in ends]
        front = Front(farm, kind, places, far, authority, **tls)
        near = tunnels.enter_context(front.tunnel())
        caller = client(farm, caller_steps, near.place, count, RATE)
        answered = [server.stop() for server in servers]
        counters = front.counters()
    problems = clean("client", caller, count)
    for index, counted in enumerate(answered):
        problems += clean(f"server {index}", counted)
    problems += near.errors
    if not counters.get("handshakes_done"):
        problems.append("no handshake was counted")
    return f"{caller.good} calls, {caller.failed} failed", problems


def answered_over_tls(server_ends):
    """`strowger answer` as the servers, over TLS, behind the load manager and alone."""
    count = calls(20, 200, 5000)
    with Farm(f"tls-answer-{'server' if server_ends else 'caller'}-ends") as farm:
        authority = Authority(farm, "servers")
        own = authority.sign()
        places = [farm.address("tls") for _ in range(SERVERS)]
        options = ["--certificate", own.certificate, "--key", own.key, *(["--bye-after-ms", 100] if server_ends else [])]
        for place in places:
            farm.answer(place, *options)
        front = Front(farm, "tcp", places, "tls", authority, server_ca=str(authority.certificate))
        steps = calling(end=[expect("BYE"), agree()]) if server_ends else calling(pause(20))
        caller = client(farm, steps, front.place, count, RATE)
        problems = clean("client", caller, count)
        if not server_ends:
            # Without a load manager, by OpenSSL; a client with another authority does not trust the server.
            with connect(places[0], authority.client()) as stream:
                problems += filter(None, [call(stream, SimpleNamespace(place=places[0]))])
            with contextlib.suppress(ssl.SSLCertVerificationError):
                connect(places[0], Authority(farm, "strangers").client()).close()
                problems.append("the server was believed by a stranger")
    return f"{caller.good} calls, {caller.failed} failed", problems


def call(stream, front):
    """A call by hand over one connection; returns the fault, or nothing."""
    dialog = Dialog(front.place)
    stream.send(dialog.request("INVITE", 1))
    while response := stream.receive(5):
        if response.status and response.status >= 200:
            break
    if not response or response.status != 200:
        return f"INVITE: {response and response.start}"
    dialog.learn(response)
    stream.send(dialog.request("ACK", 1))
    stream.send(dialog.request("BYE", 2))
    response = stream.receive(5)
    return "" if response and response.status == 200 else f"BYE: {response and response.start}"


def refused(front, context):
    """Whether a client with this context is refused: TLS 1.3 reports it with the first read."""
    try:
        with front.connect(context) as stream:
            return "200" in str(call(stream, front)) or stream.ended
    except (ssl.SSLError, ConnectionError):
        return True


def mutual_tls():
    with Farm("tls-mutual") as farm:
        server = farm.address()
        farm.answer(server)
        clients, strangers = Authority(farm, "clients"), Authority(farm, "strangers")
        front = Front(farm, "tls", [server], client_ca=str(clients.certificate), client_certificate="required")
        problems = []
        with front.connect(front.authority.client(clients.sign())) as stream:
            problems += filter(None, [call(stream, front)])
        for name, own in (("no", None), ("a stranger's", strangers.sign()), ("an expired", clients.sign(days=0))):
            time.sleep(1.1 if name == "an expired" else 0)
            if not refused(front, front.authority.client(own)):
                problems.append(f"{name} certificate was accepted")
        counters = front.counters()
        if counters.get("handshakes_failed") != 3:
            problems.append(f"handshakes_failed is {counters.get('handshakes_failed')}, not 3")
        if not refused(front, strangers.client()):
            problems.append("the test's own client believes anybody")
    return "one let in, three refused", problems


def expired_certificate():
    """The load manager does not start with a certificate that no client would trust, and says why."""
    with Farm("tls-expired") as farm:
        pair = Authority(farm, "authority").sign(days=0)
        time.sleep(1.1)
        path = farm.directory / "lb.toml"
        path.write_text(
            f'[[listen]]\naddress = "tls:127.0.0.1:5061"\n[[listen]]\naddress = "udp:127.0.0.1:5060"\n'
            f'[[server]]\naddress = "127.0.0.1:7000"\n[tls]\ncertificate = "{pair.certificate}"\nkey = "{pair.key}"\n'
        )
        done = subprocess.run([STROWGER, "check", path], capture_output=True, timeout=10, text=True)
        wanted = (f"{path}:8:", " ended on ", "remedy: ")
        problems = [f"no {part!r} in {done.stderr!r}" for part in wanted if part not in done.stderr]
        return f"status {done.returncode}", problems + (["taken for good"] if done.returncode != 64 else [])


@contextlib.contextmanager
def in_progress(farm, front, count, *options):
    """Calls through a tunnel that must all end well."""
    problems = []
    with front.tunnel() as tunnel:
        talk = start_client(farm, calling(), tunnel.place, count, 100, "-d", TALK_MS, *options)
        yield problems
        counted = talk.finish()
        problems += clean("calls in progress", counted, count) + tunnel.errors


def slow_handshakes():
    count = calls(50, 200, 1000)
    with Farm("tls-slow-handshakes") as farm:
        servers = [Sipp(farm, answering(), farm.address()) for _ in range(SERVERS)]
        front = Front(farm, "tls", [server.place for server in servers])
        with in_progress(farm, front, count) as problems, contextlib.ExitStack() as sockets:
            for index in range(HALF_OPEN):
                half = sockets.enter_context(socket.create_connection((front.place.ip, front.place.port), timeout=5))
                # Nothing, or half a ClientHello.
                half.sendall(b"" if index % 2 else b"\x16\x03\x01\x02\x00\x01\x00")
            until(lambda: front.counters().get("handshakes_slow") == HALF_OPEN, "all half-open ones are let go", 20)
        left = front.counters().get("connections_open")
        if left > 1:
            problems.append(f"{left} connections are open")
    return f"{HALF_OPEN} half-open connections beside {count} calls", problems


def bad_frames():
    """Forbidden acts of a WebSocket client, each on its own connection."""
    request, _ = upgrade()
    wrong, _ = upgrade(protocol="chat")
    old, _ = upgrade(version=8)
    huge = b"\x81\xff" + (1 << 40).to_bytes(8, "big") + b"mask" + b"x" * 1000
    return {
        "frames_unmasked": (request, frame(b"OPTIONS sip:a@b SIP/2.0\r\n\r\n", masked=False), b"\x03\xea"),
        "frames_too_large": (request, huge, b"\x03\xf1"),
        "frames_wrong": (request, frame(b"x", kind=5), b"\x03\xea"),
        "texts_not_utf8": (request, frame(b"\xff\xfe"), b"\x03\xef"),
        "upgrades_refused": (wrong, b"", b"HTTP/1.1 400 "),
        "upgrades_refused ": (old, b"", b"HTTP/1.1 426 "),
    }


def hostile_websockets():
    count, rounds = calls(50, 200, 1000), 10
    with Farm("tls-websocket-abuse") as farm:
        servers = [Sipp(farm, answering(), farm.address()) for _ in range(SERVERS)]
        front = Front(farm, "ws", [server.place for server in servers])
        expected = {}
        with in_progress(farm, front, count) as problems, contextlib.ExitStack() as sockets:
            for name, (first, second, said) in bad_frames().items():
                expected[name.strip()] = expected.get(name.strip(), 0) + rounds
                for _ in range(rounds):
                    stream = sockets.enter_context(socket.create_connection((front.place.ip, front.place.port), timeout=5))
                    stream.sendall(first)
                    if second:
                        stream.recv(1000)
                        stream.sendall(second)
                    heard = stream.recv(1000) if said else b""
                    if said not in heard:
                        problems.append(f"{name}: {heard!r}")
            until(lambda: all(front.counters().get(name) == value for name, value in expected.items()), f"{expected}", 20)
    return f"{sum(expected.values())} connections turned away beside {count} calls", problems


def reconnected(registers):
    """A client loses its connection within a call and comes back on another: the server's BYE reaches it there. Before that it
    continues the dialog, or registers again; a stranger who knows the call but can do neither gets nothing."""
    with Farm(f"tls-reconnected-{'registers' if registers else 'continues'}") as farm:
        server = farm.address()
        farm.answer(server, "--bye-after-ms", 1500)
        front = Front(farm, "tls", [server])
        context = front.authority.client()

        def register(stream, user="caller"):
            dialog = Dialog(front.place)
            text = dialog.request("REGISTER", 1).replace("To: <sip:service@", f"To: <sip:{user}@")
            stream.send(text.replace("@127.0.0.1:", "@lost.invalid:"))
            return stream.receive(5)

        dialog = Dialog(front.place)
        contact = ("@127.0.0.1:", "@lost.invalid:")
        with front.connect(context) as first:
            first.send(dialog.request("INVITE", 1).replace(*contact))
            while (response := first.receive(5)) and response.status < 200:
                pass
            dialog.learn(response)
            first.send(dialog.request("ACK", 1).replace(*contact))
            time.sleep(0.2)
        problems = []
        with front.connect(context) as stranger, front.connect(context) as second:
            guess = Dialog(front.place, dialog.call_id)
            guess.from_tag, guess.to_tag = dialog.from_tag, dialog.to_tag
            stranger.send(guess.request("INFO", 2))
            register(stranger, "stranger")
            if registers:
                problems += [] if register(second).status == 200 else ["REGISTER was refused"]
            else:
                second.send(dialog.request("INFO", 2).replace(*contact))
                problems += [] if second.receive(5).status == 200 else ["INFO was refused"]
            bye = second.receive(8)
            if not bye or bye.method != "BYE":
                problems.append(f"no BYE on the new connection: {bye and bye.start}")
            else:
                second.send(answer(bye, 200))
            while message := stranger.receive(0.3):
                if message.method == "BYE":
                    problems.append("the stranger got the BYE")
        if front.counters().get("rebound", 0) < 1:
            problems.append("rebound was not counted")
    return "the BYE came on the new connection", problems


def main():
    report = Report("tls")
    for kind in NEAR:
        for ending in ENDINGS:
            report.case(f"{kind}_to_udp/{ending}", through, kind, ending, "udp")
    report.case("tls_to_tcp/caller_ends", through, "tls", "caller_ends", "tcp")
    for ending in ENDINGS:
        report.case(f"wss_to_tls/{ending}", through, "wss", ending, "tls")
    for ending in ENDINGS:
        report.case(f"to_answer_over_tls/{ending}", answered_over_tls, ending == "server_ends")
    report.case("mutual_tls", mutual_tls)
    report.case("expired_certificate", expired_certificate)
    report.case("slow_handshakes", slow_handshakes)
    report.case("hostile_websockets", hostile_websockets)
    report.case("reconnected/continues", reconnected, False)
    report.case("reconnected/registers", reconnected, True)
    report.end()


if __name__ == "__main__":
    main()
