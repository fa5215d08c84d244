"""The alerts of packaging/prometheus: promtool reads them and plays each its story; the real Prometheus scrapes a load manager, engines
and a state tier while one fault after the other is made. Each alert must fire for its fault and be silent when it is mended.
`PEERS_SIZE=full` makes all faults; otherwise the first few."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

import alert_rules
from certificates import Authority
from engine_alerts import engines
from farm import STROWGER, Farm, until
from name_server import HOST, NameServer
from report import FULL, QUICK, SIZE, Report
from watcher import Faults, Prometheus
from wire import Datagrams, Dialog

HEARTBEAT_KEY = "00112233445566778899aabbccddeeff"
# The least that the table of new calls may have.
TABLE = 1000


def promtool(*words):
    done = subprocess.run(["promtool", *map(str, words)], capture_output=True, text=True, timeout=60)
    return [] if done.returncode == 0 else [f"promtool {words[0]} {words[1]}: {done.stdout[-500:]}{done.stderr[-1500:]}"]


def rules():
    """What needs no process: the syntax of the rules and of the dashboard, and a story for each alert."""
    with Farm("alerts-rules") as farm:
        panels = farm.directory / "dashboard.rules.yaml"
        panels.write_text(alert_rules.recorded())
        problems = promtool("check", "rules", alert_rules.RULES) + promtool("check", "rules", panels)
        problems += promtool("test", "rules", alert_rules.unit_tests(farm.directory))
    names = alert_rules.names()
    untold = set(names).symmetric_difference(alert_rules.STORIES)
    if untold:
        problems.append(f"alerts without a story, or stories without an alert: {untold}")
    page = (alert_rules.ROOT / "docs/alerts.md").read_text()
    problems += [f"docs/alerts.md does not tell of {name}" for name in names if f"`{name}`" not in page]
    return f"{len(names)} alerts came and went, {len(alert_rules.expressions())} expressions of the dashboard", problems


class Server:
    """A server of the farm that can be killed and started again at its address."""

    def __init__(self, farm, *options):
        self.farm, self.place, self.options = farm, farm.address(), options
        self.start()

    def start(self):
        self.process = self.farm.answer(self.place, *self.options)

    def kill(self):
        self.process.kill()


class Caller:
    """Sends requests that begin calls, and reads no answer."""

    def __init__(self, farm, to):
        self.to = to
        self.socket = farm.enter_context(Datagrams(farm.address()))

    def send(self, count=1, method="OPTIONS", pause=0.002):
        """Returns the requests."""
        sent = [Dialog(self.socket.address).request(method, 1) for _ in range(count)]
        for text in sent:
            self.socket.send(text, self.to)
            time.sleep(pause)
        return sent


class Scene:
    """Load managers that Prometheus watches. The first has TLS, signed heartbeats, tokens and a small table."""

    def __init__(self, farm, only_first=False):
        self.farm = farm
        self.front, self.secure, self.heartbeat = farm.address(), farm.address("tls"), farm.address()
        self.servers = [Server(farm) for _ in range(2)]
        self.authority = Authority(farm, "authority")
        self.good = self.authority.sign()
        self.shown = [farm.directory / f"shown.{ending}" for ending in ("pem", "key")]
        self.show(self.good)
        tokens = farm.directory / "tokens"
        tokens.write_text("read read-read-read-read-read\n")
        tokens.chmod(0o600)
        self.targets = {}
        sections = {
            "tls": {"certificate": str(self.shown[0]), "key": str(self.shown[1])},
            "limits": {"new_calls_max": TABLE},
            "heartbeat": {"listen": self.heartbeat.host_port},
            "keys": {"heartbeat": HEARTBEAT_KEY},
            "threads": {"model": "two"},
        }
        self.first = self.watched("lb", {self.front: {}, self.secure: {}}, self.servers, tokens, **sections)
        if not only_first:
            fast, slow = Server(farm), Server(farm, "--ring-ms", 1500)
            failing = Server(farm, "--failure-permille", 1000, "--failure-status", 500)
            self.slow_front, self.failing_front, self.limited_front = (farm.address() for _ in range(3))
            self.watched("slow", {self.slow_front: {}}, [fast, slow])
            self.watched("failing", {self.failing_front: {}}, [failing])
            limited = {server.place: {"calls_per_second_max": 1} for server in [Server(farm)]}
            self.limited = self.watched("limited", {self.limited_front: {}}, limited)
            self.name_server = NameServer(farm, HOST)
            resolver = {"name_servers": [self.name_server.place.host_port], "timeout_ms": 500, "failure_seconds": 1}
            self.watched("named", {farm.address(): {}}, {f"host.test:{Server(farm).place.port}": {}}, resolver=resolver)
        self.faults = Faults(Prometheus(farm, self.targets))

    def watched(self, name, listen, servers, tokens=None, **sections):
        api = self.targets[name] = self.farm.address("tcp")
        places = servers if isinstance(servers, dict) else [server.place for server in servers]
        return self.farm.configured(
            listen, places, **sections,
            health={"probe": "options", "interval_ms": 200},
            control={"path": str(self.farm.control(name))},
            api={"listen": api.host_port, **({"tokens": str(tokens)} if tokens else {})},
        )

    def show(self, pair):
        """Puts a certificate into the files that the first load manager reads."""
        for shown, file in zip(self.shown, (pair.certificate, pair.key)):
            shown.write_bytes(file.read_bytes())

    def states(self):
        return list(self.farm.server_states(self.farm.control("lb")).values())

    def revive(self):
        for server in self.servers:
            if not server.process.alive():
                server.start()
        until(lambda: self.states() == ["active"] * 2, "the servers are back", 30)

    def lose(self, count):
        for server in self.servers[:count]:
            server.kill()
        # A server that failed is tried again and again.
        until(lambda: "active" not in self.states()[:count], f"{count} servers failed", 30)


def few():
    """The faults of a short test: one server is lost, then all."""
    with Farm("alerts-few") as farm:
        scene = Scene(farm, only_first=True)
        lost(scene, Caller(farm, scene.front))
        return scene.faults.outcome()


def lost(scene, caller):
    scene.faults.cause({"StrowgerServerLost": "lb"}, lambda: scene.lose(1))
    if SIZE == QUICK:
        scene.faults.cause({"StrowgerAllServersLost": "lb"}, lambda: scene.lose(2), scene.revive)
        return

    def lose_all():
        scene.lose(2)
        caller.send(20)

    scene.faults.cause({"StrowgerAllServersLost": "lb", "StrowgerCallsRefused": "lb"}, lose_all, scene.revive)


def load_managers():
    """All alerts of load managers."""
    with Farm("alerts-lb") as farm:
        scene = Scene(farm)
        caller, faults = Caller(farm, scene.front), scene.faults
        lost(scene, caller)
        faults.cause({"StrowgerCallsMoved": "lb"}, lambda: move(scene, caller), scene.revive)
        faults.cause({"StrowgerNameNotCurrent": "named"}, scene.name_server.silent, lambda: scene.name_server.silent(False))
        with calling(farm, scene.slow_front):
            faults.cause({"StrowgerSetUpsSlow": "slow", "StrowgerOneServerSlower": "slow"}, lambda: None)
        with calling(farm, scene.failing_front):
            faults.cause({"StrowgerSessionsIneffective": "failing"}, lambda: None)
        with calling(farm, scene.limited_front):
            faults.cause({"StrowgerServerAtLimit": "limited"}, lambda: None)
        limited = scene.limited
        faults.cause({"StrowgerDown": "limited"}, lambda: os.kill(limited.pid, signal.SIGSTOP))
        faults.cause({"StrowgerDatagramsLost": "limited"}, lambda: drown(farm, scene.limited_front, limited))
        strangers(scene)
        certificates(scene)
        full = {"StrowgerTableNearlyFull": "lb", "StrowgerTableFull": "lb"}
        faults.cause(full, lambda: caller.send(2 * TABLE))
        return faults.outcome()


@contextlib.contextmanager
def calling(farm, to):
    """New calls, ten a second."""
    caller, over = Caller(farm, to), threading.Event()

    def run():
        while not over.wait(0.1):
            caller.send(1, "INVITE")

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def move(scene, caller):
    """Requests that both servers know, again when one of them is lost."""
    sent = caller.send(20)
    scene.lose(1)
    for text in sent:
        caller.socket.send(text.replace("branch=z9hG4bK", "branch=z9hG4bKagain"), scene.front)


def drown(farm, front, process):
    """More than the buffer of a load manager that stands still can hold; then it goes on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
        for _ in range(20000):
            with contextlib.suppress(BlockingIOError):
                flood.sendto(b"x" * 1400, (front.ip, front.port))
    os.kill(process.pid, signal.SIGCONT)


def strangers(scene):
    """What those do who have no business here."""
    farm, faults = scene.farm, scene.faults
    forger = Caller(farm, scene.front)
    foreign = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: f\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    faults.cause({"StrowgerForged": "lb"}, lambda: [forger.socket.send(foreign, scene.front) for _ in range(300)])

    def guess():
        for _ in range(30):
            with contextlib.suppress(urllib.error.HTTPError):
                urllib.request.urlopen(f"http://{scene.targets['lb'].host_port}/v1/status", timeout=5)

    faults.cause({"StrowgerTokensGuessed": "lb"}, guess)
    agents = []

    def unsigned():
        place = farm.address()
        argv = [STROWGER, "agent", "--sip", place.host_port, "--to", scene.heartbeat.host_port, "--period-ms", 200]
        agents.append(farm.start("unsigned", [*argv, "--", STROWGER, "answer", "--listen", place]))

    faults.cause({"StrowgerHeartbeatsUnsigned": "lb"}, unsigned, lambda: agents[0].end())
    held = []

    def occupy():
        # More than the handshakes that one source may have.
        for _ in range(300):
            with contextlib.suppress(OSError):
                held.append(socket.create_connection((scene.secure.ip, scene.secure.port), timeout=5))

    faults.cause({"StrowgerConnectionsRefused": "lb"}, occupy, lambda: [one.close() for one in held])


def certificates(scene):
    """A certificate that ends while it is in use."""

    def show(pair):
        scene.show(pair)
        os.kill(scene.first.pid, signal.SIGHUP)

    ends = {"StrowgerCertificateEnds": "lb", "StrowgerCertificateEnded": "lb"}
    scene.faults.cause(ends, lambda: show(scene.authority.sign(left_s=15)), lambda: show(scene.good))


def main():
    report = Report("alerts")
    report.case("rules", rules)
    if SIZE == FULL:
        report.case("load_managers", load_managers)
        report.case("engines", engines)
    else:
        report.case("few", few)
    report.end()


if __name__ == "__main__":
    main()
