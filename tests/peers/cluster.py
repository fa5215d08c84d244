"""Calls over a Redis cluster of three primaries and three replicas: over each transport, with and without affinity, while the
cluster stands still, grows, shrinks, and is full; and one client that floods. No call may fail that need not, and none may ring
twice."""

import contextlib
import os
import threading
import time

from engines import PATIENCE_MS, Callee, Engines, engine, judged
from farm import Farm, until
from report import Report, calls
from scenario import calling
from sipp import start_client
from spreader import Spreader
from tier import Cluster, Tier, processor_seconds
from tunnel import Tunnel
from wire import Datagrams, Dialog

ENGINES = 3
RING_MS = 300
SHORT_TALK_MS = 500
# Calls a second of all clients together.
RATE = 150
# INVITEs that a client sends at once who floods.
FLOOD = 20


def caller(farm, place, count, rate, talk_ms=SHORT_TALK_MS):
    """A client of SIPp that may take its time."""
    seconds = int(count / rate) + 60
    return start_client(farm, calling(), place, count, rate, "-d", talk_ms, "-recv_timeout", PATIENCE_MS, "-timeout", f"{seconds}s")


def calls_up(farm, engines, count, rate, talk_ms):
    """A client all of whose calls are up."""
    client = caller(farm, engines.front, count, rate, talk_ms)
    until(lambda: client.rows() and client.counters().created == count, "calls begin", 20)
    time.sleep(1)
    return client


def whole():
    """Clients of all transports at the same time; nothing breaks."""
    each = calls(100, 340, 10000)
    with Farm("cluster-whole") as farm, contextlib.ExitStack() as tunnels:
        engines = Engines(farm, "udp tcp tls", Cluster(farm), callee=Callee(farm, RING_MS))
        places = dict(engines.fronts)
        tunnel = tunnels.enter_context(Tunnel(farm.address("tcp"), places["tls"], connect=engines.authority.client()))
        places["tls"] = tunnel.place
        callers = [caller(farm, place, each, RATE // len(places)) for place in places.values()]
        outcomes = [one.finish(each * len(places) / RATE + 60) for one in callers]
        counted = engines.callee.stop()
    problems = list(tunnel.errors)
    for transport, outcome in zip(places, outcomes):
        if outcome.good != each:
            problems.append(f"{transport}: {outcome.failed} failed ({outcome.causes()}; {outcome.errors}), {outcome.good} of {each} good")
    rang = counted.get("calls offered", 0)
    if rang != each * len(places):
        problems.append(f"{rang} rang for {each * len(places)}")
    return f"{', '.join(f'{transport} {outcome.good}' for transport, outcome in zip(places, outcomes))} of {each} good at {RATE}/s, {rang} rang", problems


def spread():
    """Each message goes to any engine, against the same calls with affinity."""
    count = calls(200, 400, 10000)
    rate = 100
    costs = {}
    with Farm("cluster-affinity") as farm:
        engines = Engines(farm, "udp", Cluster(farm), callee=Callee(farm, RING_MS))
        before = engines.processor_seconds(), engines.tier.processor_seconds()
        outcome = caller(farm, engines.front, count, rate).finish(count / rate + 60)
        costs["with"] = cost(before, (engines.processor_seconds(), engines.tier.processor_seconds()), count)
        figures, problems = judged(count, outcome, engines.callee.stop())
    with Farm("cluster-spread") as farm:
        tier, callee, front = Cluster(farm), Callee(farm, RING_MS), farm.address()
        places = [farm.address() for _ in range(ENGINES)]
        processes = [farm.serving(farm.start("engine", engine(place, front, callee, tier)), [place]) for place in places]
        used = lambda: (sum(processor_seconds(process.pid) for process in processes), tier.processor_seconds())
        with Spreader(front, places) as spreader:
            time.sleep(1)  # engines hear of each other by their marks
            before = used()
            outcome = caller(farm, front, count, rate).finish(count / rate + 60)
            costs["without"] = cost(before, used(), count)
        figures, more = judged(count, outcome, callee.stop())
        problems += more
    return f"without affinity {figures}, {spreader.spread} messages to any engine; CPU a call: " + ", ".join(f"{name} affinity {text}" for name, text in costs.items()), problems


def cost(before, after, count):
    engines, redis = (round((late - early) / count * 1e6) for early, late in zip(before, after))
    return f"engines {engines} µs, Redis {redis} µs"


class Probe:
    """One client's INVITEs by hand."""

    def __init__(self, farm, front, ip="127.0.0.1"):
        self.front, self.place = front, farm.address(ip=ip)
        self.socket = Datagrams(self.place)

    def invite(self, seconds=6):
        """The response that rings, or the final one, and the seconds until it came."""
        dialog, began = Dialog(self.place), time.monotonic()
        self.socket.send(dialog.request("INVITE", 1), self.front)
        response = self.socket.expect(lambda message: message.status and message.status > 100 and message.first("Call-ID") == dialog.call_id, seconds)
        return response, time.monotonic() - began


def away(seconds):
    """All servers of the cluster stand still. Calls that are up end meanwhile; new ones are refused, until the cluster goes on."""
    count, rate = 100, 50
    with Farm("cluster-away") as farm:
        engines = Engines(farm, "udp", Cluster(farm), callee=Callee(farm, RING_MS))
        # Their BYEs come while the cluster stands still.
        up = calls_up(farm, engines, count, rate, talk_ms=3500)
        engines.tier.stop()
        stopped = time.monotonic()
        probe, first = Probe(farm, engines.front), []
        early = threading.Thread(target=lambda: first.append(probe.invite(8)))
        early.start()
        said = "the state tier does not answer"
        until(lambda: all(said in log for log in engines.logs()), "each engine says that the state tier does not answer", 8)
        told = time.monotonic() - stopped
        early.join()
        refusal, took = first[0]
        # The load manager takes out Retry-After as long as it knows of an engine with room.
        second, at_once = Probe(farm, engines.agents[0][0]).invite()
        ended = up.finish(30)
        left = seconds - (time.monotonic() - stopped)
        time.sleep(max(0, left))
        stood = time.monotonic() - stopped
        engines.tier.go_on()
        began = time.monotonic()
        until(lambda: all("the state tier answers again" in log for log in engines.logs()), "the state tier answers again", 20)
        back = time.monotonic() - began
        engines.tier.whole()
        after = caller(farm, engines.front, count, rate)
        outcome = after.finish(60)
        # A record that nobody knows of would ring when its wake-up comes, 34 s after its INVITE.
        time.sleep(calls(0, 0, 36))
        records = engines.tier.records()
        counted = engines.callee.stop()
    problems = []
    if ended.good != count:
        problems.append(f"of {count} calls that were up {ended.good} ended well ({ended.causes()}; {ended.errors})")
    if outcome.good != count:
        problems.append(f"of {count} calls afterwards {outcome.good} were good ({outcome.causes()}; {outcome.errors})")
    for which in (refusal, second):
        if not which or which.status != 503:
            problems.append(f"a new call got {which and which.start}")
    if second and not second.first("Retry-After"):
        problems.append("no Retry-After")
    rang = counted.get("calls offered", 0)
    if rang != 2 * count:
        problems.append(f"{rang} calls rang for {2 * count}")
    figures = f"stood still {stood:.1f} s: said after {told:.1f} s, first 503 after {took:.1f} s, later after {at_once:.2f} s, {ended.good} of {count} calls up ended well"
    return f"{figures}; back after {back:.1f} s, then {outcome.good} of {count} good; {rang} rang; {records} records and tombstones left", problems


def grown():
    """A fourth primary with its replica joins under calls, gets a quarter of all slots, gives them back, and leaves."""
    rate = 100
    count = rate * calls(20, 40, 60)
    with Farm("cluster-grown") as farm:
        engines = Engines(farm, "udp", Cluster(farm), callee=Callee(farm, RING_MS))
        tier = engines.tier
        client = caller(farm, engines.front, count, rate)
        client.begun(rate * 2)
        pair, moved, began = tier.join(), 0, time.monotonic()
        sources = [server for server in tier.primaries() if server is not pair[0]]
        given = {server: list(tier.slots(server)) for server in sources}
        given = {server: slots[: len(slots) // 4] for server, slots in given.items()}
        for server, slots in given.items():
            moved += tier.move(slots, server, pair[0])
        for server, slots in given.items():
            moved += tier.move(slots, pair[0], server)
        took = time.monotonic() - began
        tier.leave(pair)
        is_within = client.process.alive()
        outcome = client.finish(count / rate + 60)
        figures, problems = judged(count, outcome, engines.callee.stop())
    if not moved:
        problems.append("no key was moved")
    if not is_within:
        problems.append("the calls ended before the move")
    return f"{moved} keys moved there and back in {took:.0f} s: {figures}", problems


def full():
    """Each server has more than 80 % of its memory in use: new calls are refused, calls that are up end well."""
    count, rate = 100, 50
    with Farm("cluster-full") as farm:
        engines = Engines(farm, "udp", Cluster(farm), callee=Callee(farm, RING_MS))
        up = calls_up(farm, engines, count, rate, talk_ms=5000)
        engines.tier.fill(0.9)
        # Servers look at their memory at one of 64 calls that begin.
        probe, taken = Probe(farm, engines.front), 0
        refused = 0
        while refused < 20 and taken < 600:
            response, _ = probe.invite()
            refused, taken = (refused + 1, taken) if response and response.status == 503 else (0, taken + 1)
        ended = up.finish(30)
        engines.tier.empty()
        after = caller(farm, engines.front, count, rate)
        outcome = after.finish(60)
        engines.callee.stop()
    problems = []
    if refused < 20:
        problems.append(f"{taken} calls were taken, and {refused} refused in the end")
    if ended.good != count or outcome.good != count:
        problems.append(f"of {count} calls that were up {ended.good} ended well, of {count} afterwards {outcome.good} ({ended.causes()} {outcome.causes()})")
    return f"{taken} calls taken, then 503; {ended.good} of {count} calls up ended well; with room again {outcome.good} of {count} good", problems


def state_killed():
    """`strowger state` is killed: engines say so at once, and take calls as soon as it is back."""
    count, rate = 100, 50
    with Farm("cluster-state-killed") as farm:
        tier = Tier(farm, "state")
        engines = Engines(farm, "udp", tier, callee=Callee(farm, RING_MS))
        first = caller(farm, engines.front, count, rate).finish(60)
        killed = time.monotonic()
        tier.process.kill()
        until(lambda: all("the state tier does not answer" in log for log in engines.logs()), "engines say it", 8)
        told = time.monotonic() - killed
        tier.start()
        began = time.monotonic()
        until(lambda: all("the state tier answers again" in log for log in engines.logs()), "engines are back", 20)
        back = time.monotonic() - began
        outcome = caller(farm, engines.front, count, rate).finish(60)
        engines.callee.stop()
    problems = [f"{one.good} of {count} good ({one.causes()})" for one in (first, outcome) if one.good != count]
    return f"said after {told:.1f} s; back {back:.1f} s after its start; then {outcome.good} of {count} good", problems


def flood():
    """One client sends INVITEs and nothing else, far above its share. Others' calls go on."""
    share = 50
    # The others stay below their own share: a call rings for five seconds.
    count, rate = calls(50, 100, 600), 10
    with Farm("cluster-flood") as farm:
        engines = Engines(farm, "udp", Cluster(farm), callee=Callee(farm, 5000), options=["--ringing-per-source", share])
        others = start_client(
            farm, calling(), engines.front, count, rate, "-d", SHORT_TALK_MS, "-recv_timeout", PATIENCE_MS + 5000,
            "-timeout", f"{count // rate + 90}s",
        )
        stranger = Probe(farm, engines.front, ip="127.0.0.9")
        sent, refused = 0, set()
        while others.process.alive():
            for _ in range(FLOOD):
                stranger.socket.send(Dialog(stranger.place).request("INVITE", 1), engines.front)
                sent += 1
            while message := stranger.socket.receive(0.1):
                if message.status and message.status >= 300:
                    refused.add(message.first("Call-ID"))
                    stranger.socket.send(ack_of(message, stranger.place), engines.front)
        outcome = others.finish(5)
        counted = engines.callee.stop()
    problems = []
    if outcome.good != count:
        problems.append(f"{outcome.good} of {count} calls of others good ({outcome.causes()}; {outcome.errors})")
    strange = counted.get("calls offered", 0) - count
    if not refused or strange > sent - len(refused):
        problems.append("the flood was not bounded")
    return f"{sent} INVITEs of one source, {len(refused)} refused, {strange} rang; {outcome.good} of {count} calls of others good", problems


def ack_of(response, place):
    """The ACK to a failure."""
    lines = ["ACK sip:service@example.com SIP/2.0", f"Via: {response.first('Via')}", f"From: {response.first('From')}"]
    lines += [f"To: {response.first('To')}", f"Call-ID: {response.first('Call-ID')}", "CSeq: 1 ACK", "Max-Forwards: 70", "Content-Length: 0", "", ""]
    return "\r\n".join(lines)


def main():
    report = Report("cluster")
    report.case("whole", whole)
    # An INVITE that came a moment before waits five seconds for its record.
    report.case("away", away, calls(8, 8, 10))
    # Together they take some minutes.
    everything = calls(False, False, True) or "PEERS_ONLY" in os.environ
    if everything:
        report.case("spread", spread)
        report.case("grown", grown)
        report.case("full", full)
        report.case("state-killed", state_killed)
        report.case("flood", flood)
    report.end()


if __name__ == "__main__":
    main()
