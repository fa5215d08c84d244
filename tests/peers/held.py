"""A server dies while calls ring at it. With hold_setup their INVITEs are kept, and other servers answer all of them.

Over UDP nothing is sent to a server that rings, so nothing tells of its death but OPTIONS or heartbeats; over TCP the end
of the connection does."""

import time

from farm import Farm
from report import Report
from scenario import answering, calling
from sipp import Sipp, start_client

SERVERS = 4
RINGING = 100
RING_MS = 5000
COUNT = SERVERS * RINGING
RATE = 400


def run(transport, hold_setup, probe):
    with Farm(f"held-{transport}") as farm:
        servers = [Sipp(farm, answering(ring_ms=RING_MS), farm.address(transport)) for _ in range(SERVERS)]
        front = farm.address(transport)
        farm.configured(
            {front: front.host_port},
            [server.place for server in servers],
            selection={"kind": "round-robin"},
            hold_setup={"kind": hold_setup},
            health={"probe": probe, "interval_ms": 1000},
            threads={"workers": 1},
            control={"path": str(farm.control())},
        )
        caller = start_client(farm, calling(), front, COUNT, RATE, "-d", "500")
        time.sleep(COUNT / RATE + 1.5)
        ringing = servers[0].counters().created
        servers[0].process.kill()
        outcome = caller.finish()
        others = [server.stop() for server in servers[1:]]
    answered = sum(counters.good for counters in others)
    problems = [] if outcome.good == COUNT else [f"{outcome.failed} calls failed ({outcome.causes()}), {outcome.good} of {COUNT} good"]
    if ringing < RINGING / 2:
        problems.append(f"only {ringing} calls rang at the server that died: the test proves nothing")
    if answered != COUNT:
        problems.append(f"the others answered {answered}, not all {COUNT}")
    return f"{ringing} calls rang at the server that died, {outcome.good} of {COUNT} were answered, all by others", problems


def main():
    report = Report("held")
    report.case("udp/hold_all", run, "udp", "all", "options")
    report.case("tcp/hold_stream", run, "tcp", "stream", "traffic")
    report.end()


if __name__ == "__main__":
    main()
