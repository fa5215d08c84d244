"""A primary of the state tier dies, with an agent beside it or without. How long no write is kept; that what was kept is there
afterwards; that calls go on; and that no server ever comes back as the empty primary of its slots."""

import os
import signal
import socket
import statistics
import threading
import time

from engines import Callee, Engines
from farm import Farm, until
from cluster import caller
from report import Report, calls
from tier import PATIENCE, Cluster

KILLS = calls(3, 3, 20)
RATE = 50
# The bars of docs/requirements.md (P12). Where the machine is busy with other tests, one of the deaths must pass before the cluster
# can have noticed it: an agent that gets no processor for a second has nobody promoted.
BAR_S = 0.3
NODE_TIMEOUT_S = 1.5
WITHOUT_S = NODE_TIMEOUT_S + 2.5
# Between two writes of a writer.
PAUSE_S = 0.005


class Line:
    """One connection to a server; an answer that does not come within a moment is none."""

    def __init__(self, place):
        self.stream = socket.create_connection((place.ip, place.port), timeout=0.2).makefile("rwb")

    def say(self, *commands):
        for words in commands:
            parts = [str(word).encode() for word in words]
            self.stream.write(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
        self.stream.flush()
        return [self._answer() for _ in commands]

    def _answer(self):
        line = self.stream.readline()
        if line[:1] == b"$":
            return None if line == b"$-1\r\n" else self.stream.read(int(line[1:]) + 2)[:-2]
        if line[:1] not in (b"+", b":"):
            raise ConnectionError(line.decode())
        return int(line[1:]) if line[:1] == b":" else line[1:-2]


class Writer(threading.Thread):
    """Writes as engines do: a number, and WAIT for the replica. Keeps the last number that was kept, and the longest pause
    between two that were. It asks whichever server of a shard takes it."""

    def __init__(self, shard, name):
        super().__init__(daemon=True)
        self.shard, self.name_of_key = shard, name
        self.kept, self.last, self.longest, self.over = 0, None, 0, False
        self.wanted = 1
        self.start()

    def run(self):
        number, line, at = 0, None, 0
        while not self.over:
            number += 1
            try:
                line = line or Line(self.shard[at % len(self.shard)].place)
                _, replicas = line.say(("SET", self.name_of_key, number), ("WAIT", self.wanted, 100))
                if replicas >= self.wanted:
                    now = time.monotonic()
                    self.longest = max(self.longest, now - (self.last or now))
                    self.kept, self.last = number, now
            except (OSError, ValueError):
                line, at = None, at + 1
            time.sleep(PAUSE_S)

    def end(self):
        self.over = True
        self.join()


def shards(tier):
    """A primary with its replica, each."""
    return [(primary, tier.replicas(primary)[0]) for primary in tier.primaries()]


def name_in(tier, server):
    """A key in a slot of this server: that of a partition."""
    slots = set(tier.slots(server))
    return next(f"{{p{part:02x}}}writer" for part in range(256) if server.say("CLUSTER", "KEYSLOT", f"{{p{part:02x}}}writer") in slots)


def read(server, name):
    return int(server.say("GET", name) or 0)


def died_once(tier, shard, kill, wanted=0):
    """A primary is killed under writes. The pause of the writes, how many kept ones are missing, and what `kill` says. `wanted`:
    replicas that a write waits for afterwards; a promoted server has none, until the dead one is back."""
    primary, replica = shard
    name = name_in(tier, primary)
    writer = Writer(shard, name)
    until(lambda: writer.kept > 100, "writes are kept", PATIENCE)
    # The first may have waited for the connection. A replica counts as in step after a second.
    time.sleep(1.5)
    writer.longest = 0
    before = kill(primary)
    writer.wanted = wanted
    kept = writer.kept
    until(lambda: replica.field("replication", "role") == "master", "the replica is promoted", PATIENCE)
    until(lambda: writer.kept > kept, "writes go on", PATIENCE)
    writer.end()
    missing = writer.kept - read(replica, name)
    return writer.longest, max(0, missing), before


def summary(pauses):
    return f"writes paused {statistics.median(pauses):.2f} s ({min(pauses):.2f} to {max(pauses):.2f}, {len(pauses)} times)"


def under_agents():
    """Each primary has an agent: calls and writes go on at once, and the server comes back as a replica."""
    pauses, problems = [], []
    with Farm("failover-agents") as farm:
        tier = Cluster(farm, agents=[])
        engines = Engines(farm, "udp", tier, callee=Callee(farm, 300))
        count = RATE * 12 * KILLS
        load = caller(farm, engines.front, count, RATE, 1000)
        for _ in range(KILLS):
            shard = shards(tier)[0]
            pause, missing, before = died_once(tier, shard, lambda server: server.kill())
            pauses.append(pause)
            problems += [f"{missing} writes that were kept are missing"] * bool(missing)
            tier.came_back(shard[0], before)
            if shard[0].field("replication", "role") != "slave":
                problems.append(f"{shard[0].place} came back as a primary")
        asked = sum(server.said("it is to be promoted") for server in tier.servers)
        load.process.popen.send_signal(signal.SIGUSR1)
        outcome = load.finish(60)
        rang = engines.callee.stop().get("calls offered", 0)
    if asked < calls(1, 1, KILLS):
        problems.append(f"agents had {asked} replicas promoted")
    if outcome.good != outcome.created or rang != outcome.created:
        problems.append(f"{outcome.good} of {outcome.created} calls good ({outcome.causes()}; {outcome.errors}), {rang} rang")
    pause, bar = calls((min(pauses), NODE_TIMEOUT_S), (min(pauses), NODE_TIMEOUT_S), (statistics.median(pauses), BAR_S))
    if pause > bar:
        problems.append(f"writes paused longer than {bar} s")
    return f"{summary(pauses)}; {outcome.good} of {outcome.created} calls good, {rang} rang", problems


def without():
    """Nobody watches: the cluster finds it out."""
    pauses, problems = [], []
    with Farm("failover-without") as farm:
        tier = Cluster(farm)
        for _ in range(KILLS):
            shard = shards(tier)[0]
            pause, missing, _ = died_once(tier, shard, lambda server: server.kill())
            pauses.append(pause)
            problems += [f"{missing} writes that were kept are missing"] * bool(missing)
            tier.taken_over(shard[0])
            tier.restart(shard[0])
    if max(pauses) > WITHOUT_S * calls(2, 2, 1):
        problems.append(f"writes paused longer than {WITHOUT_S} s")
    return summary(pauses), problems


def forced_by_mistake():
    """Replicas of living primaries are promoted, again and again: nothing that was kept is lost, and calls go on."""
    pauses, problems = [], []
    with Farm("failover-mistake") as farm:
        tier = Cluster(farm, agents=[])
        engines = Engines(farm, "udp", tier, callee=Callee(farm, 300))
        load = caller(farm, engines.front, RATE * 12 * KILLS, RATE, 1000)
        for _ in range(KILLS):
            primary, replica = shard = shards(tier)[0]
            pause, missing, _ = died_once(tier, shard, lambda _, replica=replica: replica.say("CLUSTER", "FAILOVER", "FORCE"), wanted=1)
            pauses.append(pause)
            problems += [f"{missing} writes that were kept are missing"] * bool(missing)
            until(lambda: primary.field("replication", "role") == "slave", "the former primary follows", PATIENCE)
            tier.whole()
            # Servers vote for a replica of one shard once in two node timeouts.
            time.sleep(3)
        load.process.popen.send_signal(signal.SIGUSR1)
        outcome = load.finish(60)
        rang = engines.callee.stop().get("calls offered", 0)
    if outcome.good != outcome.created or rang != outcome.created:
        problems.append(f"{outcome.good} of {outcome.created} calls good ({outcome.causes()}; {outcome.errors}), {rang} rang")
    return f"{summary(pauses)}; {outcome.good} of {outcome.created} calls good, {rang} rang", problems


class Watch(threading.Thread):
    """Writes to one server all the time: who takes such a write is the primary of that slot."""

    def __init__(self, server, name):
        super().__init__(daemon=True)
        self.server, self.key, self.taken, self.over = server, name, 0, False
        self.start()

    def run(self):
        line = None
        while not self.over:
            try:
                line = line or Line(self.server.place)
                line.say(("SET", self.key, "by the dead"))
                self.taken += 1
            except (OSError, ValueError) as error:
                line = line if str(error).startswith("-") else None
            time.sleep(0.002)

    def end(self):
        self.over = True
        self.join()
        return self.taken


def not_in_step():
    """The agent stood still while its server died; and a server dies whose replica stands still. Nobody is promoted by an agent
    then, and no dead server comes back before another one is primary."""
    problems = []
    with Farm("failover-not-in-step") as farm:
        tier = Cluster(farm, agents=[])
        primary, replica = shards(tier)[0]
        name = name_in(tier, primary)
        time.sleep(1.5)
        os.kill(primary.agent.pid, signal.SIGSTOP)
        # Longer than what an agent has seen counts.
        time.sleep(1.2)
        before = primary.kill()
        watch = Watch(primary, name)
        os.kill(primary.agent.pid, signal.SIGCONT)
        tier.came_back(primary, before)
        late = replica.field("replication", "role"), primary.field("replication", "role"), watch.end()
        if late != ("master", "slave", 0):
            problems.append(f"after the agent stood still: {late}")
        primary, replica = shards(tier)[1]
        name = name_in(tier, primary)
        os.kill(replica.pid, signal.SIGSTOP)
        time.sleep(1.2)
        before = primary.kill()
        watch = Watch(primary, name)
        until(lambda: primary.said("no replica is known to be in step"), "the agent says so", PATIENCE)
        time.sleep(2)
        if primary.alive():
            problems.append("the server was started while nobody had its slots")
        os.kill(replica.pid, signal.SIGCONT)
        tier.came_back(primary, before)
        stopped = replica.field("replication", "role"), primary.field("replication", "role"), watch.end()
        if stopped != ("master", "slave", 0):
            problems.append(f"after the replica stood still: {stopped}")
        promoted = sum(server.said("it is to be promoted") for server in tier.servers)
        problems += [f"agents had {promoted} promoted"] * bool(promoted)
    return "agent and replica stood still: the cluster elected, both servers came back as replicas, and took no write meanwhile", problems


def hung():
    """A primary that stands still is killed by its agent, and its replica promoted."""
    with Farm("failover-hung") as farm:
        tier = Cluster(farm, agents=["--hung-ms", 1000])
        primary, replica = shards(tier)[0]
        time.sleep(1.5)
        before = primary.pid
        began = time.monotonic()
        os.kill(before, signal.SIGSTOP)
        primary.connection = None
        until(lambda: replica.field("replication", "role") == "master", "the replica is promoted", PATIENCE)
        took = time.monotonic() - began
        tier.came_back(primary, before)
        role = primary.field("replication", "role")
    return f"replica in its place after {took:.1f} s", [f"it came back as {role}"] * (role != "slave")


def main():
    report = Report("failover")
    report.case("agents", under_agents)
    report.case("not-in-step", not_in_step)
    everything = calls(False, False, True) or "PEERS_ONLY" in os.environ
    if everything:
        report.case("without", without)
        report.case("mistake", forced_by_mistake)
        report.case("hung", hung)
    report.end()


if __name__ == "__main__":
    main()
