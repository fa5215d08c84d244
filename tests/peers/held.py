"""A server dies while calls ring at it. With hold_setup the load manager keeps their INVITEs, and other servers answer all of
them.

Over UDP nothing is sent to a server that rings, so only OPTIONS or heartbeats reveal its death; over TCP the end of the
connection reveals it."""

from farm import Farm, until
from report import Report
from scenario import SDP, answering, calling, expect, pause, respond
from setup import remember_vias, to_invite
from sipp import Sipp, all_clean, client, start_client

SERVERS = 4
RINGING = 100
RING_MS = 5000
COUNT = SERVERS * RINGING
RATE = 400
# Longer than the 8 s after which a silent server loses the call.
THINKING_MS = 9000


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
        until(lambda: all(server.rows() for server in servers) and sum(server.counters().created for server in servers) >= COUNT, "all calls ring")
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


def one_via():
    """A server that answers as sofia-sip does: its 100 has the Via of the load manager and no other."""
    trying = respond(100, to_tag="").replace("[last_Via:]", "Via:[$via_1]")
    later = [to_invite(respond(180)), to_invite(respond(200, SDP, repeated=True)), expect("ACK"), expect("BYE"), respond(200, to_tag="")]
    return [expect("INVITE", routes=True, action=remember_vias()), trying, pause(THINKING_MS), *later]


def thinking():
    """These servers think for longer than the load manager waits for silent servers: they keep their calls."""
    with Farm("held-thinking") as farm:
        servers = [Sipp(farm, one_via(), farm.address()) for _ in range(2)]
        front = farm.address("tcp")
        farm.load_manager([front, farm.address()], [server.place for server in servers], "--selection", "round-robin", "--health", "off")
        caller = client(farm, calling(), front, RINGING, RATE, "-d", "500")
        answered = [server.stop() for server in servers]
        moved = farm.counters(farm.control())["setups_moved"]
    problems = all_clean(caller, RINGING, answered) + ([f"{moved} calls were given to others"] if moved else [])
    return f"{caller.good} of {RINGING} calls answered where they were sent first, after {THINKING_MS} ms", problems


def main():
    report = Report("held")
    report.case("udp/hold_all", run, "udp", "all", "options")
    report.case("tcp/hold_stream", run, "tcp", "stream", "traffic")
    report.case("tcp/100_with_one_via", thinking)
    report.end()


if __name__ == "__main__":
    main()
