"""Everything is killed, one kind a case: engines, primaries and replicas of the state tier, load managers, agents, each with
kill -9 again and again under calls. An engine is also stopped, and goes on, or is killed by its agent because it does not. What
was killed is back before the next dies. The result is a table: the state of each call when something died, and what became of it.

In test.sh all kinds die in turn under one load of short calls, and load managers beside that under another: a minute in all. With
`PEERS_SIZE=full` each kind dies under a load of its own: an hour. `PEERS_ONLY=kills/stopped` is one kind."""

import concurrent.futures
import json
import os
import random
import signal
import statistics
import subprocess
import time

from engines import TIER
from farm import PERIOD_MS, STROWGER, Farm, until
from network import ADDRESS, may_make_namespaces
from parties import LINES, Parties, lines, table
from report import FULL, ONLY, SIZE, Report, calls
from tier import Cluster
from vrrp import INNER, OTHER, Pair

KILLS = calls(3, 3, 20)
RATE = calls(50, 50, 300)
ENGINES = 3
PHONES = 100
# Telephones that a load manager reaches only over their own connection; they matter when it dies. Half of them ask within their
# dialogs when they are back.
UNREACHABLE = calls(10, 10, 20)
# Times of ringing and talking, and how long an INVITE for a call that is over is waited for, in milliseconds.
SHORT_TIMES = {"ring": (500, 3000), "talk": (1000, 6000), "linger": 3000}
TIMES = calls(SHORT_TIMES, SHORT_TIMES, {})
# Calls ring and talk before the first dies.
WARM_SECONDS = calls(4, 4, 30)
# Between one that is back and the next that dies.
PAUSE_SECONDS = calls((1, 2), (1, 2), (2, 4))
BACK_SECONDS = 40
# An engine that stands still for so long is killed by its agent, as in `strowger run`.
HUNG_MS = 10_000
FARM, PARTIES = "192.0.2.21", "192.0.2.22"


class Scene:
    """Three engines under agents that they outlive, a state tier, and a load manager on this host."""

    def __init__(self, farm, tier=None, strowger=STROWGER):
        self.farm, self.strowger = farm, strowger
        self.tier = tier or Cluster(farm, memory="256M")
        self.controls = [farm.control()]
        self.heartbeats = [farm.address().host_port]
        datagrams, stream = farm.address(), farm.address("tcp")
        self.front, self.stream, self.callee = datagrams.host_port, stream.host_port, farm.address().host_port
        self.caller = farm.address().host_port
        self.load_manager(datagrams, stream)
        self.engines(lambda: farm.address().host_port)

    def load_manager(self, datagrams, stream):
        self.farm.configured(
            {datagrams: datagrams.host_port, stream: stream.host_port},
            selection={"kind": "round-robin"},
            hold_setup={"kind": "all"},
            heartbeat={"listen": self.heartbeats[0], "period_ms": PERIOD_MS},
            control={"path": str(self.controls[0])},
        )

    def engines(self, address):
        self.agents = {}
        self.places = [address() for _ in range(ENGINES)]
        for place in self.places:
            self.agent(place)
        self.all_active()

    def start(self, name, argv):
        """A program of the farm."""
        return self.farm.start(name, argv)

    def party(self, name, argv):
        return self.farm.start(name, argv)

    def agent(self, place, strowger=None):
        """An agent for the engine at that place, which it starts unless its engine lives."""
        command = [strowger or self.strowger, "engine", "--listen", f"udp:{place}", "--lb", self.front, "--to", f"sip:{self.callee}"]
        command += [word for node in self.tier.nodes for word in ("--state", node)]
        command += ["--control", self.control_of(place)]
        argv = [STROWGER, "agent", "--sip", place, "--period-ms", PERIOD_MS, "--state-tier", TIER, "--restart-delay-ms", 1000]
        argv += [word for heartbeat in self.heartbeats for word in ("--to", heartbeat)]
        argv += ["--give-up", "never", "--state-file", self.note(place), "--hung-ms", HUNG_MS]
        self.agents[place] = self.start("agent", [*argv, "--", *command])
        # An engine may outlive all its agents.
        self.farm.callback(self.end_engine, place)

    def note(self, place):
        return self.farm.sockets / f"engine-{place.rpartition(':')[2]}"

    def control_of(self, place):
        return self.farm.sockets / f"control-{place.rpartition(':')[2]}"

    def counted(self, *names):
        """What the engines that live now have counted since their start, all together. All counters go into a file."""
        until(lambda: all(self.control_of(place).exists() for place in self.places), "engines answer", BACK_SECONDS)
        engines = {place: self.farm.counters(self.control_of(place)) for place in self.places}
        load_managers = {str(control): self.farm.counters(control) for control in self.controls}
        (self.farm.directory / "counters").write_text(json.dumps(engines | load_managers, indent=1))
        return {name: sum(counts.get(f"engine_{name}", 0) for counts in engines.values()) for name in names}

    def pid(self, place):
        """The engine's process: its agent has written it down."""
        try:
            words = self.note(place).read_text().split()
        except FileNotFoundError:
            return None
        return int(words[words.index("pid") + 1]) if "pid" in words else None

    def end_engine(self, place):
        pid = self.pid(place)
        if pid and STROWGER.rpartition("/")[2] in _program(pid):
            os.kill(pid, signal.SIGKILL)

    def active(self, place):
        """Whether each load manager that lives gives calls to that engine."""
        port = int(place.rpartition(":")[2])
        return all(self.states(control).get(port) == "active" for control in self.controls)

    def states(self, control):
        try:
            return self.farm.server_states(control)
        except (subprocess.SubprocessError, json.JSONDecodeError):
            return {}

    def all_active(self):
        until(lambda: all(self.active(place) for place in self.places), f"{ENGINES} active engines", BACK_SECONDS)

    def load(self, **more):
        return Parties(
            self.farm, self.party, caller=self.caller, callee=self.callee, front=self.front, stream=self.stream, rate=RATE, phones=PHONES, **TIMES, **more
        )


class Redundant(Scene):
    """The same on a host, with two load managers on two others behind an address that keepalived moves, and the parties on a
    fourth."""

    def __init__(self, farm, tier=None):
        scene = self

        class Hosts(Pair):
            def load_manager(self, host, own, other):
                return scene.load_manager_on(self.network, host, own, other)

        self.farm, self.strowger = farm, STROWGER
        self.controls = [farm.control(host) for host in INNER]
        self.hosts = Hosts(farm, {"farm": [FARM], "parties": [PARTIES]})
        self.network = self.hosts.network
        self.heartbeats = ["192.0.2.1:5777", "192.0.2.2:5777"]
        self.front = self.stream = f"{ADDRESS}:5060"
        self.caller, self.callee = f"{PARTIES}:7000", f"{PARTIES}:7100"
        self.tier = tier or OneRedis(self)
        self.hosts.settled()
        ports = iter(range(5060, 6000, 10))
        self.engines(lambda: f"{FARM}:{next(ports)}")

    def load_manager_on(self, network, host, own, other):
        control = self.farm.control(host)
        path = self.farm.directory / f"lb-{host}.toml"
        listeners = "".join(f'[[listen]]\naddress = "{transport}:{ADDRESS}:5060"\nadvertise = "{ADDRESS}:5060"\n' for transport in ("udp", "tcp"))
        path.write_text(
            f'{listeners}[keys]\nfile = "{network.keys()}"\n[heartbeat]\nlisten = "0.0.0.0:5777"\nperiod_ms = {PERIOD_MS}\n'
            f'[peers]\nlisten = "{own}:5778"\nto = ["{other}:5778"]\n[selection]\nkind = "round-robin"\n[hold_setup]\nkind = "all"\n'
            f'[control]\npath = "{control}"\n'
        )
        control.unlink(missing_ok=True)
        process = network.start(host, "lb", STROWGER, "lb", "--config", path)
        until(control.exists, f"load manager {host}", BACK_SECONDS)
        return process

    def start(self, name, argv):
        return self.network.start("farm", name, *argv)

    def party(self, name, argv):
        return self.network.start("parties", name, *argv)


class OneRedis:
    """A state tier of one server: no part of it dies."""

    def __init__(self, scene):
        path = scene.farm.sockets / "redis"
        scene.start("redis", ["redis-server", "--port", 0, "--unixsocket", path, "--save", "", "--appendonly", "no"])
        until(path.exists, "redis listens")
        self.nodes = [f"unix:{path}"]


def _program(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe").rpartition("/")[2]
    except OSError:
        return ""


def replaced(scene, number, signal_number):
    """Its agent starts another engine after that signal."""
    place = scene.places[number % ENGINES]
    pid = scene.pid(place)
    os.kill(pid, signal_number)
    died = now()
    until(lambda: scene.pid(place) not in (pid, None), "the agent starts another engine", BACK_SECONDS)
    until(lambda: scene.active(place), "the engine is active", BACK_SECONDS)
    return died


def engine(scene, number):
    return replaced(scene, number, signal.SIGKILL)


def stopped(scene, number):
    """The engine stands still for five seconds, and goes on: it must not do what another has done meanwhile."""
    place = scene.places[number % ENGINES]
    pid = scene.pid(place)
    os.kill(pid, signal.SIGSTOP)
    died = now()
    time.sleep(5)
    os.kill(pid, signal.SIGCONT)
    until(lambda: scene.active(place), "the engine is active", BACK_SECONDS)
    return died


def stopped_for_good(scene, number):
    """The engine stands still until its agent kills it, and starts another."""
    return replaced(scene, number, signal.SIGSTOP)


def agent(scene, number):
    """The engine outlives its agent; the next agent finds it."""
    place = scene.places[number % ENGINES]
    pid = scene.pid(place)
    scene.agents[place].kill()
    died = now()
    until(lambda: not scene.active(place), "the engine counts as failed", BACK_SECONDS)
    scene.agent(place)
    until(lambda: scene.active(place), "the engine is active", BACK_SECONDS)
    if scene.pid(place) != pid:
        raise RuntimeError("the engine did not outlive its agent")
    return died


def primary(scene, number):
    dead = scene.tier.kill_primary(number % 3)
    died = now()
    scene.tier.taken_over(dead)
    scene.tier.restart(dead)
    return died


def guarded(scene, number):
    """A primary whose agent has its replica promoted, and starts it again."""
    dead = scene.tier.primaries()[number % 3]
    before = dead.kill()
    died = now()
    scene.tier.came_back(dead, before)
    return died


def replica(scene, number):
    dead = scene.tier.kill_replica(number % 3)
    died = now()
    until(lambda: all(server.knows(dead.id, "fail") for server in scene.tier.alive()), "the replica is missed", BACK_SECONDS)
    scene.tier.restart(dead)
    return died


def load_manager(scene, _number):
    """The one that has the address."""
    first, second = scene.hosts.settled()
    scene.hosts.load_managers[first].kill()
    died = now()
    until(lambda: second in scene.hosts.holder(), "the address at the second", BACK_SECONDS)
    scene.hosts.load_managers[first] = scene.load_manager_on(scene.network, first, INNER[first], INNER[OTHER[first]])
    scene.all_active()
    # keepalived takes the address back to a host only after its script has succeeded twice.
    time.sleep(3)
    return died


def longest(made, moments):
    """After each death, the longest that the next message of a call took that was in progress."""
    delays = sorted(max((call.next_delay(moment) or 0 for call in made if call.last(moment)), default=0) / 1e6 for moment in moments)
    return f"longest delay after a death: median {statistics.median(delays):.2f} s, {delays[0]:.2f} to {delays[-1]:.2f}"


def now():
    return time.monotonic_ns() // 1000


def killed(name, victims, place=Scene, kills=KILLS, **more):
    """Each of the victims in turn dies so often, under one load."""
    chance = random.Random(name)
    with Farm(f"kills-{name}") as farm:
        scene = place(farm)
        parties = scene.load(**more)
        time.sleep(WARM_SECONDS)
        moments = []
        for victim in victims:
            for number in range(kills):
                time.sleep(chance.uniform(*PAUSE_SECONDS))
                moments.append(victim(scene, number))
        time.sleep(PAUSE_SECONDS[1])
        (farm.directory / "moments").write_text("\n".join(map(str, moments)))
        made = parties.finish()
        counted = scene.counted("taken_over", "stood_still", "conflicts", "unanswered")
        what = f"{kills} times {', '.join(victim.__name__ for victim in victims)}"
        figures, problems = judged(what, made, moments, parties)
        return f"{figures}; engines that live now have counted {counted}", problems


def judged(what, made, moments, parties):
    """A call that nobody can tell its caller of any more is counted, but is no problem."""
    lost = [call for call in made if not call.good]
    bad = [call for call in lost if not call.is_out_of_reach(moments)]
    twice = [call for call in made if call.rang > 1]
    print(f"\n{what}, {RATE} calls/s:\n" + "\n".join(lines(table(made, moments))) + "\n", flush=True)
    reasons = {}
    for call in lost:
        reasons[call.why()] = reasons.get(call.why(), 0) + 1
    for why, count in sorted(reasons.items(), key=lambda pair: -pair[1]):
        print(f"  {count} lost: {why}", flush=True)
    problems = [f"{len(bad)} of {len(made)} calls lost"] * bool(bad) + [f"{len(twice)} calls rang twice"] * bool(twice)
    late = parties.rang_late()
    problems += [f"{late} callees rang for calls that were over"] * bool(late)
    kinds = {line: sum(call.line == line for call in made) for line in LINES}
    hung_up = {end: sum(call.good and call.end == end for call in made) for end in ("caller", "callee", "cancel", "refuse")}
    figures = f"{len(made)} calls {kinds}, {len(bad)} lost, {len(lost) - len(bad)} out of reach, {len(twice)} rang twice; ended {hung_up}"
    return f"{figures}; {longest(made, moments)}; {parties.says()}", problems


CASES = {victim.__name__: [victim] for victim in (engine, primary, replica, agent, stopped, stopped_for_good)}


def load_managers():
    return killed("load_manager", [load_manager], Redundant, unreachable=UNREACHABLE, asking=UNREACHABLE // 2)


def guarded_primaries():
    return killed("guarded", [guarded], lambda farm: Scene(farm, Cluster(farm, memory="256M", agents=[])))


def in_turn():
    return killed("in_turn", [engine, primary, replica, agent])


def side_by_side(report):
    """The short run. A case is chosen before it begins."""
    stories = {name: story for name, story in (("load_manager", load_managers), ("in_turn", in_turn)) if ONLY in f"kills/{name}"}
    if "load_manager" in stories and not may_make_namespaces():
        print("NOT RUN kills/load_manager: network namespaces cannot be made here (ip netns add needs root and CAP_SYS_ADMIN)")
        del stories["load_manager"]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = {name: pool.submit(story) for name, story in stories.items()}
        for name, story in running.items():
            report.case(name, story.result)


def main():
    report = Report("kills")
    if SIZE != FULL:
        side_by_side(report)
    for name, victims in CASES.items():
        # Each kind by itself takes minutes.
        if SIZE == FULL or ONLY == f"kills/{name}":
            report.case(name, killed, name, victims)
    if SIZE == FULL or ONLY == "kills/guarded":
        report.case("guarded", guarded_primaries)
    if SIZE == FULL:
        report.case("load_manager", load_managers)
    report.end()


if __name__ == "__main__":
    main()
