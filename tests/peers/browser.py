"""Telephones in a browser, JsSIP in headless Chromium, over WebSocket and secure WebSocket: they call servers and are hung up
on, they register and call each other, and they lose their connection and are reached on the next one.

Servers over UDP and TCP do not see WebSocket; JsSIP names itself with a host that ends in `.invalid`, so only its connection
leads to it."""

import contextlib
import socket
import threading

from chromium import Browser
from farm import Farm, until
from kamailio import start_kamailio
from report import Report
from scenario import REMEMBER_CALLER_TAG, agree, expect, pause, respond, server_bye
from sipp import Sipp

PASSWORD = "opensesame"
KINDS = {"ws": "udp", "wss": "tcp"}

# The answer of a WebRTC server. Its media leads nowhere: the call is answered before media is tried.
WEB_SDP = f"""
v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
c=IN IP4 127.0.0.1
t=0 0
a=ice-lite
a=group:BUNDLE 0
m=audio 9 UDP/TLS/RTP/SAVPF 0
a=rtpmap:0 PCMU/8000
a=mid:0
a=sendrecv
a=rtcp-mux
a=ice-ufrag:farm
a=ice-pwd:abcdefghijklmnopqrstuvwx
a=fingerprint:sha-256 {":".join(["5A"] * 32)}
a=setup:passive
"""


class Relay:
    """A connection to the load manager that can be cut like a network: both ends are closed without a close frame, or only the
    telephone's end is closed and the load manager is not told."""

    def __init__(self, to):
        self.to, self.pairs, self.changed = to, [], threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        self.cut()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far = socket.create_connection((self.to.ip, self.to.port), timeout=5)
                far.settimeout(None)
                with self.changed:
                    self.pairs.append((near, far))
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=_carry, args=ends, daemon=True).start()

    def cut(self, quietly=False):
        """Ends all connections; `quietly`: the load manager is not told."""
        with self.changed:
            pairs, self.pairs = self.pairs, []
        for near, far in pairs:
            for end in (near,) if quietly else (near, far):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        return [far for _, far in pairs]


def _carry(source, sink):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)


class Front:
    """A load manager with a listener for browsers and a listener through which it reaches its servers."""

    def __init__(self, farm, browser, kind, far, servers, **sections):
        self.farm, self.browser, self.kind = farm, browser, kind
        self.place, self.back = farm.address(kind), farm.address(far)
        tls = {"certificate": str(browser.own.certificate), "key": str(browser.own.key)}
        farm.configured(
            {place: place.host_port for place in (self.place, self.back)},
            servers,
            control={"path": str(farm.control())},
            selection={"kind": "round-robin"},
            threads={"workers": 2},
            **({"tls": tls} if kind == "wss" else {}),
            **sections,
        )

    def uri(self, user):
        return f"sip:{user}@{self.place.host_port}"

    def counters(self):
        return self.farm.counters(self.farm.control())

    @contextlib.contextmanager
    def telephones(self, *names, register=True, port=None):
        """Connected telephones, registered if required; their connections are closed in the end."""
        for name in names:
            url = f"{self.kind}://{self.place.ip}:{port or self.place.port}"
            words = {"user": name, "domain": self.place.host_port, "password": PASSWORD, "register": register}
            self.browser.tell(name, "start", url=url, **words)
        for name in names:
            self.browser.expect(name, "registered" if register else "connected")
        try:
            yield
        finally:
            for name in names:
                self.browser.tell(name, "stop")
        for name in names if register else ():
            self.browser.expect(name, "unregistered")


def calls_a_server(browser, kind, ending):
    """180, 200, ACK; then one of the two sides hangs up."""
    end = {"caller_ends": [expect("BYE"), agree()], "server_ends": [pause(200), server_bye(), expect(200)]}[ending]
    begin = expect("INVITE", routes=True, action=REMEMBER_CALLER_TAG if ending == "server_ends" else "")
    # The server does not repeat the 200: SIPp does not expect the second ACK of a slow browser.
    steps = [begin, respond(180), pause(100), respond(200, WEB_SDP), expect("ACK"), *end]
    browser.start()
    with Farm(f"browser-{kind}-{ending}") as farm:
        servers = [Sipp(farm, steps, farm.address(KINDS[kind])) for _ in range(2)]
        front = Front(farm, browser, kind, KINDS[kind], [server.place for server in servers])
        with front.telephones("alice", register=False):
            for _ in servers:
                browser.tell("alice", "call", to=front.uri("service"))
                browser.expect("alice", "progress", status=180)
                browser.expect("alice", "accepted", status=200)
                browser.expect("alice", "confirmed")
                if ending == "caller_ends":
                    browser.tell("alice", "hangUp")
                browser.expect("alice", "ended", originator="local" if ending == "caller_ends" else "remote")
        for server in servers:
            until(lambda server=server: server.counters().good == 1, "the server's call to be over", 20)
        answered = [server.stop() for server in servers]
    failed = [f"server {index}: {counters.causes()} {counters.errors}" for index, counters in enumerate(answered) if counters.failed]
    return f"{len(servers)} calls", failed


class Registered(Front):
    """A load manager in front of two Kamailios at which telephones register with a password."""

    def __init__(self, farm, browser, kind):
        places = [farm.address(KINDS[kind]) for _ in range(2)]
        for place in places:
            start_kamailio(farm, "registrar.cfg", place, expires=600, challenges="1 == 1", password=PASSWORD, secret="of the farm")
        # A telephone is registered when both servers have it, however slow the machine is.
        patient = {"register": {"to": "all", "wait_ms": 16000}, "health": {"probe": "off"}}
        super().__init__(farm, browser, kind, KINDS[kind], places, **patient)

    def call(self, caller, called):
        """`called` rings."""
        self.browser.tell(caller, "call", to=self.uri(called))
        self.browser.expect(called, "incoming", **{"from": caller})
        self.browser.expect(caller, "progress", status=180)

    def talk(self, caller, called):
        """An answered call."""
        self.call(caller, called)
        self.browser.tell(called, "answer")
        for name in (caller, called):
            self.browser.expect(name, "confirmed")

    def hang_up(self, name, other):
        self.browser.tell(name, "hangUp")
        self.browser.expect(name, "ended", originator="local")
        self.browser.expect(other, "ended", originator="remote")


def call_each_other(browser, kind):
    """Answered calls in both directions, a call that is given up while it rings, and a call that is refused."""
    browser.start()
    with Farm(f"browser-{kind}-each-other") as farm:
        front = Registered(farm, browser, kind)
        with front.telephones("alice", "bob"):
            for hangs_up, other in (("alice", "bob"), ("bob", "alice")):
                front.talk("alice", "bob")
                front.hang_up(hangs_up, other)
            front.call("bob", "alice")
            browser.tell("bob", "hangUp")
            browser.expect("alice", "failed", originator="remote", cause="Canceled")
            browser.expect("bob", "failed", originator="local", cause="Canceled")
            front.call("alice", "bob")
            browser.tell("bob", "refuse", status=486)
            browser.expect("alice", "failed", originator="remote", status=486)
            browser.expect("bob", "failed", originator="local")
        counters = front.counters()
    wanted = {"registers_accepted": 4, "registers_challenged": 2}
    problems = [f"{name} is {counters[name]}, not at least {least}" for name, least in wanted.items() if counters[name] < least]
    return "2 calls answered, 1 given up, 1 refused", problems


def come_back(browser, kind):
    """The telephone's connection is lost, and the load manager learns of it or not; the telephone registers on another one.
    Calls take the new connection, and so does the BYE of an earlier call, which JsSIP keeps."""
    browser.start()
    with Farm(f"browser-{kind}-come-back") as farm, contextlib.ExitStack() as held:
        front = Registered(farm, browser, kind)
        relay = held.enter_context(Relay(front.place))

        def lose(quietly):
            for end in relay.cut(quietly):
                held.callback(end.close)
            for event in ("disconnected", "connected", "registered"):
                browser.expect("bob", event)

        with front.telephones("bob", port=relay.port), front.telephones("alice"):
            for quietly in (True, False):
                front.talk("alice", "bob")
                lose(quietly)
                front.hang_up("alice", "bob")
            front.talk("bob", "alice")
            front.hang_up("bob", "alice")
        rebound = front.counters()["rebound"]
    return "3 calls, 2 connections lost", [] if rebound >= 2 else [f"rebound is {rebound}"]


def main():
    report = Report("browser")
    with Browser() as browser:
        for kind in KINDS:
            for ending in ("caller_ends", "server_ends"):
                report.case(f"{kind}/calls_a_server/{ending}", calls_a_server, browser, kind, ending)
            report.case(f"{kind}/call_each_other", call_each_other, browser, kind)
            report.case(f"{kind}/come_back", come_back, browser, kind)
    report.end()


if __name__ == "__main__":
    main()
