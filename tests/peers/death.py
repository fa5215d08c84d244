"""One of four servers is killed with kill -9 while calls are in progress, and comes back.

Later messages of its calls must reach other servers, no call of the other three may be touched, and the server must get calls
again when it is back. Without agents the load manager itself notices the death; with an agent beside each server, it notices by
the heartbeat. At full size the load is 500 calls/s."""

import os
import signal
import time

from farm import PERIOD_MS, Farm, bound, until
from report import Report, calls
from scenario import calling, taking_over
from sipp import Sipp, counters_now, start_client

SERVERS = 4
RATE = calls(100, 100, 500)
TALK_MS = 2000
DEATH_SECONDS = 3
BACK_SECONDS = 3

# Time that the caller waits for the answer to a message that was on its way when the server died.
PATIENCE_MS = 8000


def without_agent(transport, affinity):
    count = calls(1200, 1200, 10000)
    with Farm(f"death-{transport}-{affinity}") as farm:
        servers = [Sipp(farm, taking_over(), farm.address(transport)) for _ in range(SERVERS)]
        front = farm.address(transport)
        farm.configured(
            {front: front.host_port},
            [server.place for server in servers],
            affinity={"kind": affinity, "hash": "consistent"},
            selection={"kind": "hash" if affinity == "hash" else "round-robin"},
            hold_setup={"kind": "all"},
            health={"probe": "traffic", "interval_ms": 1000},
            control={"path": str(farm.control())},
        )
        caller = start_client(farm, calling(), front, count, RATE, "-d", TALK_MS, "-recv_timeout", PATIENCE_MS)
        caller.begun(RATE * DEATH_SECONDS)
        dead, first = servers[0], servers[0].place
        before = dead.counters().created
        dead.process.kill()
        caller.begun(RATE * (DEATH_SECONDS + BACK_SECONDS))
        back = Sipp(farm, taking_over(), first)
        outcome = caller.finish()
        others = [server.stop() for server in servers[1:]]
        again = back.stop()
    # The caller's BYE to a dead server makes a new call at the server that takes over.
    taken_over = sum(counters.created for counters in [*others, again]) + before - count
    problems = []
    if outcome.good != count:
        problems.append(f"{outcome.failed} calls failed ({outcome.causes()}), {outcome.good} of {count} good")
    if sum(counters.failed for counters in others):
        problems.append("a living server's calls failed")
    if not again.created:
        problems.append("the server that came back got no call")
    if taken_over <= 0:
        problems.append("no call of the dead server was ended at another")
    figures = f"{outcome.good} of {count} calls good at {RATE}/s, the dead server had begun about {before}, others ended {taken_over} of them, back it got {again.created}"
    return figures, problems


def under_agents(whole_host):
    """kill -9 of the server alone (its agent reports the death and restarts it), or of server and agent (their silence
    tells)."""
    count = calls(1200, 1200, 10000)
    with Farm(f"death-agent-{whole_host}") as farm:
        heartbeat, front, control = farm.address(), farm.address(), farm.control()
        farm.configured(
            {front: front.host_port},
            selection={"kind": "round-robin"},
            hold_setup={"kind": "all"},
            heartbeat={"listen": heartbeat.host_port, "period_ms": PERIOD_MS},
            control={"path": str(control)},
        )
        servers = [Sipp(farm, taking_over(), farm.address(), heartbeat=heartbeat) for _ in range(SERVERS)]
        until(lambda: list(farm.server_states(control).values()) == ["active"] * SERVERS, "four active servers")
        caller = start_client(farm, calling(), front, count, RATE, "-d", TALK_MS)
        caller.begun(RATE * DEATH_SECONDS)
        agents = [server.process for server in servers]
        dead, place = servers[0], servers[0].place
        before = dead.counters().created
        victims = dead.process.children()
        if whole_host:
            dead.process.kill()
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        until(lambda: farm.server_states(control)[place.port] != "active", "the dead server seen as dead")
        noticed = time.monotonic() - began
        if whole_host:
            until(lambda: not bound(place), "the dead server's port free")
            agents[0] = farm.agent(place, heartbeat.host_port, command=dead.command)
        until(lambda: farm.server_states(control)[place.port] == "active", "the server back", 10)
        back = time.monotonic() - began
        outcome = caller.finish()
        back_again, *others = counters_now(servers)
        again = back_again.created
        # All at once: each agent waits a while for its server, which holds calls that were taken over.
        for agent in agents:
            agent.popen.terminate()
    taken_over = sum(counters.created for counters in others) + again + before - count
    problems = []
    if outcome.good != count:
        problems.append(f"{outcome.failed} calls failed ({outcome.causes()}), {outcome.good} of {count} good")
    if sum(counters.failed for counters in others):
        problems.append("a living server's calls failed")
    if not again:
        problems.append("the server that came back got no call")
    if taken_over <= 0:
        problems.append("no call of the dead server was ended at another")
    # Three periods of silence, one for the last heartbeat, and the time of a status query.
    if noticed > 4 * PERIOD_MS / 1000 + 0.5:
        problems.append(f"noticed only after {noticed:.2f} s")
    figures = f"{outcome.good} of {count} calls good at {RATE}/s, the dead server had begun about {before}, others ended {taken_over} of them, "
    return figures + f"noticed after {noticed * 1000:.0f} ms, back after {back:.1f} s, back it got {again}", problems


def main():
    report = Report("death")
    for transport in ("udp", "tcp"):
        for affinity in ("tag", "session", "hash"):
            report.case(f"server_without_agent/{transport}/{affinity}", without_agent, transport, affinity)
    report.case("server_under_agent", under_agents, False)
    report.case("server_and_agent", under_agents, True)
    report.end()


if __name__ == "__main__":
    main()
