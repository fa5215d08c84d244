"""Calls outlive their engines: a load manager, three engines under agents and a state tier, and engines that are killed with
kill -9 while calls ring and talk. The callees ring, and count the calls that they got: no call may fail, and none may ring
twice."""

import os
import signal
import statistics
import time

from certificates import Authority
from farm import PERIOD_MS, STROWGER, Farm, bound, until
from report import Report, calls
from scenario import calling
from sipp import start_client
from tier import Tier, processor_seconds
from wire import Datagrams, Dialog

ENGINES = 3
RATE = calls(50, 50, 300)
TALK_MS = 3000
RING_MS = 1500

# Time that the caller waits for the next message.
PATIENCE_MS = 12000

# What an engine says when it begins to take over the calls of another.
TAKES_OVER = "is dead; its calls are taken over"

# Marks in the state tier show a death after 1.5 s at the earliest; notices of load managers do it sooner.
SOONER_S = 1.0

# An id of the state tier that the agents of its engines tell the load manager.
TIER = "7"


class Callee:
    """A server that rings for a while before it answers. It tells copies of an INVITE by their branch, as RFC 3261 §17.2.3 says."""

    def __init__(self, farm, ring_ms=RING_MS):
        self.place = farm.address()
        self.process = farm.answer(self.place, "--answer-ms", ring_ms)

    def stop(self):
        """Its counts, by their names."""
        self.process.end(10)
        rows = [line.rsplit(None, 1) for line in self.process.log.read_text().splitlines()]
        return {row[0].strip(): int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


def engine(place, lb, callee, tier, *options):
    """The command of an engine."""
    command = [STROWGER, "engine", "--listen", f"udp:{place.host_port}", "--lb", lb.host_port, *options]
    return command + ["--to", f"sip:{callee.place.host_port}", *(word for node in tier.nodes for word in ("--state", node))]


class Engines:
    """Engines under agents behind a load manager, with callees. The load manager serves clients of these transports, by names with
    a space between; `options` are those of each engine."""

    def __init__(self, farm, transports, tier, count=ENGINES, callee=None, options=()):
        self.farm, self.control = farm, farm.control()
        self.heartbeat = farm.address()
        self.fronts = {transport: farm.address(transport) for transport in transports.split()}
        self.front = next(iter(self.fronts.values()))
        self.callee = callee or Callee(farm)
        # What engines send to callees leaves by UDP.
        self.back = self.fronts.get("udp") or farm.address()
        sections = {}
        if "tls" in self.fronts:
            self.authority = Authority(farm, "authority")
            own = self.authority.sign()
            sections["tls"] = {"certificate": str(own.certificate), "key": str(own.key)}
        farm.configured(
            {place: place.host_port for place in [*self.fronts.values(), self.back]},
            selection={"kind": "round-robin"},
            hold_setup={"kind": "all"},
            heartbeat={"listen": self.heartbeat.host_port, "period_ms": PERIOD_MS},
            control={"path": str(self.control)},
            **sections,
        )
        self.tier, self.options = tier, options
        self.agents = [self.start() for _ in range(count)]
        until(lambda: list(farm.server_states(self.control).values()) == ["active"] * count, f"{count} active engines", 20)

    def start(self, place=None):
        place = place or self.farm.address()
        command = engine(place, self.back, self.callee, self.tier, *self.options)
        options = ["--state-tier", TIER, "--restart-delay-ms", "1000"]
        return place, self.farm.agent(place, self.heartbeat.host_port, *options, command=command)

    def processor_seconds(self):
        """What the engines have used of the processors."""
        return sum(processor_seconds(pid) for _, agent in self.agents for pid in agent.children())

    def logs(self):
        """What engines and agents have said."""
        return [agent.log.read_text(errors="replace") for _, agent in self.agents]

    def kill(self, index):
        """kill -9 of an engine; its agent starts it anew."""
        _, agent = self.agents[index]
        for pid in agent.children():
            os.kill(pid, signal.SIGKILL)

    def deaths(self):
        """How often each engine has begun to take over."""
        return [log.count(TAKES_OVER) for log in self.logs()]

    def kill_and_watch(self, index):
        """The same; seconds until each of the others has begun to take over its calls."""
        others = [at for at in range(len(self.agents)) if at != index]
        before, after = self.deaths(), {}
        self.kill(index)
        began = time.monotonic()

        def all_know():
            now = self.deaths()
            after.update({at: time.monotonic() - began for at in others if at not in after and now[at] > before[at]})
            return len(after) == len(others)

        until(all_know, "the others take over", 20)
        return list(after.values())


def whole(transport, kind):
    """No engine dies."""
    count = calls(200, 1000, 10000)
    with Farm(f"engines-whole-{transport}-{kind}") as farm:
        engines = Engines(farm, transport, Tier(farm, kind))
        caller = start_client(farm, calling(), engines.front, count, RATE, "-d", TALK_MS, "-recv_timeout", PATIENCE_MS)
        outcome = caller.finish()
        callee = engines.callee.stop()
    return judged(count, outcome, callee)


def killed(transport, kind, kills):
    """Engines are killed one after the other, each time in the midst of ringing and talking calls."""
    count = RATE * 4 * (kills + 2)
    with Farm(f"engines-killed-{transport}-{kind}") as farm:
        engines = Engines(farm, transport, Tier(farm, kind))
        caller = start_client(farm, calling(), engines.front, count, RATE, "-d", TALK_MS, "-recv_timeout", PATIENCE_MS)
        took = []
        for kill in range(kills):
            caller.begun(RATE * 4 * (kill + 1), 60)
            took += engines.kill_and_watch(kill % ENGINES)
        outcome = caller.finish(count / RATE + 60)
        time.sleep(1)
        callee = engines.callee.stop()
    figures, problems = judged(count, outcome, callee)
    median = statistics.median(took)
    if median > SOONER_S:
        problems.append(f"take-overs began after {median:.2f} s, as if nobody had told the engines")
    return f"{kills} engines killed at {RATE}/s, take-over begun after {min(took):.2f} to {max(took):.2f} s, median {median:.2f} s: {figures}", problems


def stopped(transport, kind):
    """An engine stands still for five seconds, and then goes on: it must not do what another has done meanwhile."""
    count = RATE * 16
    with Farm(f"engines-stopped-{transport}-{kind}") as farm:
        engines = Engines(farm, transport, Tier(farm, kind))
        caller = start_client(farm, calling(), engines.front, count, RATE, "-d", TALK_MS, "-recv_timeout", 2 * PATIENCE_MS)
        caller.begun(RATE * 4)
        pids = engines.agents[0][1].children()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(5)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        outcome = caller.finish(count / RATE + 60)
        time.sleep(1)
        callee = engines.callee.stop()
    return judged(count, outcome, callee)


def strangers():
    """Who has seen or guessed the tags of a call changes nothing in it, through a socket of his own; its caller hangs it up."""
    problems = []
    with Farm("engines-strangers") as farm:
        place, caller, stranger, callee = farm.address(), farm.address(), farm.address(), farm.address()
        farm.answer(callee)
        farm.start("engine", [STROWGER, "engine", "--listen", place, "--to", f"sip:{callee.host_port}"])
        until(lambda: bound(place), "the engine takes calls")
        with Datagrams(caller) as own, Datagrams(stranger) as other:
            call = Dialog(caller)
            invite = call.request("INVITE", 1)
            own.send(invite, place)
            call.learn(own.expect(lambda message: message.status == 200, 5))
            own.send(call.request("ACK", 1), place)
            seen, guessed = Dialog(stranger, call.call_id), Dialog(stranger, call.call_id)
            seen.to_tag, guessed.to_tag = call.to_tag, call.to_tag[:-1] + ("a" if call.to_tag[-1] != "a" else "b")
            guessed.from_tag = call.from_tag
            forged = {"seen": seen, "guessed": guessed}
            asked = [(name, dialog.request(method, 2)) for name, dialog in forged.items() for method in ("BYE", "INFO")]
            asked.append(("its INVITE's", Dialog(stranger, call.call_id).request("CANCEL", 1)))
            for name, request in asked:
                other.send(request, place)
                said = other.expect(lambda message: message.status, 5)
                if said is None or said.status != 481:
                    problems.append(f"{request.split()[0]} with {name} tag got {said and said.start}")
            for dialog in forged.values():
                other.send(dialog.request("ACK", 1), place)
            own.send(call.request("BYE", 3), place)
            ended = own.expect(lambda message: message.status and "BYE" in message.first("CSeq"), 5)
            if ended is None or ended.status != 200:
                problems.append(f"the caller's BYE got {ended and ended.start}")
    return f"{len(asked)} requests of a stranger got 481, the caller's BYE 200", problems


def judged(count, outcome, callee):
    problems = []
    rang = callee.get("calls offered", 0)
    if outcome.good != count:
        problems.append(f"{outcome.failed} calls failed ({outcome.causes()}; {outcome.errors}), {outcome.good} of {count} good")
    if rang != count:
        problems.append(f"{rang} calls rang at the callee for {count} of the caller")
    return f"{outcome.good} of {count} calls good, {rang} rang; at the callee: {callee}", problems


def main():
    report = Report("engines")
    # All of them take nine minutes; without --full each kind of trouble comes once.
    chosen = {"killed/redis/tcp", "killed/state/udp", "stopped/redis/udp"} if not calls(False, False, True) else None
    for kind in ("redis", "state"):
        for transport in ("udp", "tcp"):
            for name, story, more in (("whole", whole, ()), ("killed", killed, (calls(2, 3, 20),)), ("stopped", stopped, ())):
                case = f"{name}/{kind}/{transport}"
                if chosen is None or case in chosen or case == os.environ.get("PEERS_ONLY"):
                    report.case(case, story, transport, kind, *more)
    report.case("strangers", strangers)
    report.end()


if __name__ == "__main__":
    main()
