"""Servers of two priorities, and servers with limits. New calls go to the second tier only while the first takes none; no server has
more calls in progress than its `calls_max`; what no server may take is answered 503 with Retry-After, and calls that are up are
left alone. `strowger why`, `status` and the counters say the same."""

import json
import subprocess

from farm import STROWGER, Farm, until
from report import Report, calls
from scenario import ack_failure, calling, expect, invite
from sipp import client, start_client

RATE = 50
# Longer than the calls that find no room take, on a busy machine.
CALL_MS = 20000


def servers(farm, control):
    """The servers by address."""
    return {server["address"]: server for server in farm.status(control)["servers"]}


def new_calls(farm, control, places):
    known = servers(farm, control)
    return [known[place.host_port]["new_calls"] for place in places]


def ctl(control, *words):
    subprocess.run([STROWGER, "ctl", *words, "--control", control], capture_output=True, timeout=60, check=True)


def newest_choice(control):
    done = subprocess.run([STROWGER, "why", "--last", "1", "--json", "--control", control], capture_output=True, timeout=10, check=True)
    return json.loads(done.stdout)["choices"][0]


def tiers():
    count = calls(50, 100, 500)
    with Farm("tiers") as farm:
        places = [farm.address() for _ in range(3)]
        for place in places:
            farm.answer(place)
        front, control = farm.address(), farm.control()
        keys = {place: {"priority": 1 if place is places[2] else 0} for place in places}
        farm.configured({front: front.host_port}, keys, control={"path": str(control)})
        steps, problems, before = [], [], [0, 0, 0]
        for name, expected in (("first tier", [True, True, False]), ("drained", [False, False, True]), ("back", [True, True, False])):
            for place in places[:2]:
                if name != "first tier":
                    ctl(control, "drain" if name == "drained" else "undrain", place.host_port)
            outcome = client(farm, calling(), front, count, RATE, "-d", 20)
            now = new_calls(farm, control, places)
            given, before = [after - earlier for after, earlier in zip(now, before)], now
            steps.append(f"{name} {given}")
            if outcome.good != count:
                problems.append(f"{name}: {outcome.good} of {count} calls good ({outcome.causes()})")
            if sum(given) != count or [calls > 0 for calls in given] != expected:
                problems.append(f"{name}: given {given}")
            if name == "first tier":
                third = newest_choice(control)["candidates"][2]
                if "priority 1" not in (third["excluded"] or ""):
                    problems.append(f"why: {third}")
    return ", ".join(steps), problems


def limits():
    with Farm("limits") as farm:
        places = [farm.address() for _ in range(2)]
        for place in places:
            farm.answer(place)
        front, control = farm.address(), farm.control()
        most = [4, 2]
        keys = {place: {"priority": at, "calls_max": most[at]} for at, place in enumerate(places)}
        farm.configured({front: front.host_port}, keys, control={"path": str(control)})
        held = start_client(farm, calling(), front, sum(most), RATE, "-d", CALL_MS, "-recv_timeout", CALL_MS)
        in_progress = lambda: [servers(farm, control)[place.host_port]["calls"] for place in places]
        until(lambda: in_progress() == most, f"{most} calls in progress", 30)
        refused = [invite(), expect(503), ack_failure()]
        more = 10
        outcome = client(farm, refused, front, more, RATE)
        seen, counters, known = in_progress(), farm.counters(control), servers(farm, control)
        choice = newest_choice(control)
        kept = held.finish(60)
        until(lambda: in_progress() == [0, 0], "the calls are over", 30)
        after = client(farm, calling(), front, 2, RATE, "-d", 20)
    problems = []
    # A copy of an INVITE that was refused is refused again, and counts again.
    if outcome.good != more or counters.get("limits_reached", 0) < more:
        problems.append(f"{outcome.good} of {more} calls refused, limits_reached {counters.get('limits_reached')} ({outcome.causes()})")
    if seen != most:
        problems.append(f"{seen} calls in progress of {most}")
    if kept.good != sum(most):
        problems.append(f"{kept.good} of {sum(most)} calls that were up are good ({kept.causes()})")
    at_limit = [known[place.host_port]["at_limit"] for place in places]
    if at_limit[0] < more + most[1] or at_limit[1] < more:
        problems.append(f"at_limit {at_limit}")
    if not all("at its limit: calls_max" in (candidate["excluded"] or "") for candidate in choice["candidates"]):
        problems.append(f"why: {choice}")
    if after.good != 2:
        problems.append(f"{after.good} of 2 calls good when there was room again ({after.causes()})")
    return f"{seen} calls at most, {outcome.good} refused, {kept.good} left alone", problems


def main():
    report = Report("tiers")
    report.case("priority", tiers)
    report.case("calls_max", limits)
    report.end()


if __name__ == "__main__":
    main()
