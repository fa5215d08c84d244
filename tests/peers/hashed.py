"""Servers that come and go under load while only the hash of the Call-ID finds calls.

A server that leaves loses its share of the calls in progress. A server that comes takes none of the calls that the load manager
remembers (RFC 3261 §16.11), and takes its share of the others. No change may move more calls, and no call may fail."""

import contextlib
import csv
import math
import struct
import threading
import time

from farm import PERIOD_MS, Farm, until
from report import Report, calls
from scenario import calling, taking_over
from sipp import Sipp, counters_now, start_client
from wire import Datagrams

TALK_MS = 1500
STAY_MS = 2500
STOPPED, STARTED = 0, 1
PROTOCOL_ID = 0xDEADFACE

# The smallest value that the load manager accepts, and time to fill the memory: from then on new calls are not remembered.
MEMORY_MIN = 1000
FILL_SECONDS = 2 + MEMORY_MIN / 200

# Two servers; a third and a fourth come and leave again: the share of each.
COMING = [1 / 3, 1 / 4]
LEAVING = [1 / 4, 1 / 3]


class Heartbeats:
    """Tells the load manager of servers without an agent, as long as they are in the set."""

    def __init__(self, farm, heartbeat):
        self.heartbeat, self.places = heartbeat, []
        self.datagrams = farm.enter_context(Datagrams(farm.address()))
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        farm.callback(self._end)

    def _run(self):
        while not self.ended.wait(PERIOD_MS / 1000):
            for place in list(self.places):
                self._say(place, STARTED)

    def _end(self):
        self.ended.set()
        self.thread.join()

    def _say(self, place, state):
        self.datagrams.send(struct.pack(">IIII", PROTOCOL_ID, place.port, place.port, state), self.heartbeat)

    def join(self, place):
        self.places.append(place)

    def leave(self, place):
        self.places.remove(place)
        self._say(place, STOPPED)


def under_load(remembered):
    rate = calls(200, 200, 500)
    fill = 1 if remembered else FILL_SECONDS
    step = TALK_MS / 1000 + 0.3
    count = int(rate * (fill + step * (len(COMING) + len(LEAVING)) + 1))
    with Farm(f"hashed-{remembered}") as farm:
        front, control, heartbeat = farm.address(), farm.control(), farm.address()
        farm.configured(
            {front: front.host_port},
            affinity={"kind": "hash", "hash": "consistent"},
            selection={"kind": "hash"},
            heartbeat={"listen": heartbeat.host_port, "period_ms": PERIOD_MS, "decay_periods": 5},
            control={"path": str(control)},
            **({} if remembered else {"limits": {"new_calls_max": MEMORY_MIN}}),
        )
        servers = [Sipp(farm, taking_over(STAY_MS), farm.address()) for _ in range(4)]
        told = Heartbeats(farm, heartbeat)
        set_is = lambda size: until(lambda: list(farm.server_states(control).values()).count("active") == size, f"{size} active servers")
        for server in servers[:2]:
            told.join(server.place)
        set_is(2)
        caller = start_client(farm, calling(), front, count, rate, "-d", TALK_MS)
        time.sleep(fill)
        for change, server, size in ((told.join, 2, 3), (told.join, 3, 4), (told.leave, 3, 3), (told.leave, 2, 2)):
            change(servers[server].place)
            set_is(size)
            time.sleep(step)
        outcome = caller.finish()
        begun = [counters.created for counters in counters_now(servers)]
        full = farm.counters(control)["memory_full"]
        with open(caller.statistics, newline="") as text, contextlib.suppress(ValueError):
            peak = max(int(row["CurrentCall"]) for row in csv.DictReader(text, delimiter=";"))
    # A later message of a call begins a new call at a server that does not know it.
    moved = sum(begun) - count
    share = peak * sum(LEAVING if remembered else COMING + LEAVING)
    bound = share + 4 * math.sqrt(share)
    problems = [] if outcome.good == count else [f"{outcome.failed} calls failed ({outcome.causes()}), {outcome.good} of {count} good"]
    if not 0 < moved <= bound:
        problems.append(f"{moved} calls moved, where {share:.0f} is the share and {bound:.0f} the most")
    if not remembered and full < count / 4:
        problems.append(f"only {full} calls were not remembered: the test proves nothing")
    if min(begun) == 0:
        problems.append(f"a server got no call: {begun}")
    figures = f"{outcome.good} of {count} calls good, {peak} at once, four changes moved {moved} (share {share:.0f}, at most {bound:.0f}), begun at each {begun}, {full} not remembered"
    return figures, problems


def main():
    report = Report("hashed")
    report.case("servers_come_and_go/remembered_calls", under_load, True)
    report.case("servers_come_and_go/calls_found_by_hash_alone", under_load, False)
    report.end()


if __name__ == "__main__":
    main()
