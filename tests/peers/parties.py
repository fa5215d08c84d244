"""Callers and callees of many calls (`strowger-bench parties`), and what became of each call when parts of the farm were killed:
a table of the state of the call and what died."""

import csv
import dataclasses
import os
import re

from farm import ROOT, until

BENCH = os.environ.get("STROWGER_BENCH", str(ROOT / "target/release/strowger-bench"))

# Each message of a call that arrives, and what it follows: the first of these that was sent.
SENT = {
    "invited": ("invite",),
    "ringing": ("invited", "invite"),
    "answered": ("answer",),
    "acked": ("answered", "failed"),
    "byed": ("bye",),
    "done": ("byed", "bye"),
    "cancelled": ("cancel",),
    "failed": ("refuse", "cancelled", "cancel", "invite"),
}
# The last message of a call, and the state that it is in.
STATES = {
    "invite": "INVITE on the way: nothing is written, or just now",
    "invited": "180 on the way",
    "ringing": "rings",
    "answer": "2xx on the way",
    "answered": "ACK on the way",
    "acked": "is up",
    "bye": "BYE on the way",
    "byed": "the answer to the BYE on the way",
    "cancel": "CANCEL on the way",
    "cancelled": "487 on the way",
    "refuse": "486 on the way",
    "failed": "ACK to the failure on the way",
}
SOON = "begins within 3 s after"
SOON_MICROS = 3_000_000
LINES = {
    "udp": "UDP",
    "tcp": "TCP",
    "unreachable": "TCP, reachable only over its own connection",
    "asking": "TCP, reachable only over its own connection, asks when it is back",
}


class Parties:
    """The running program. `begin` starts it: an argument list in front, for a namespace, is what `start` adds."""

    def __init__(self, farm, start, *, caller, callee, front, stream, rate, phones=100, unreachable=0, asking=0, ring=(), talk=(), linger=10_000):
        self.file = farm.directory / "calls.csv"
        argv = [BENCH, "parties", "--caller", caller, "--callee", callee, "--farm", front, "--farm-stream", stream, "--rate", rate]
        argv += ["--phones", phones, "--unreachable", unreachable, "--asking", asking, "--linger-ms", linger, "--out", self.file]
        argv += ["--ring-ms", *ring] * bool(ring) + ["--talk-ms", *talk] * bool(talk)
        self.process = start("parties", argv)
        until(lambda: "begun" in self.process.log.read_text() or not self.process.alive(), "calls begin", 20)
        if not self.process.alive():
            raise RuntimeError(f"the parties ended: {self.process.tail()}")

    def finish(self):
        """No further call begins; returns all calls when they are over."""
        self.process.popen.terminate()
        # The longest call, the time until it is lost, and the time until it is forgotten.
        self.process.wait(150)
        if self.process.popen.returncode:
            raise RuntimeError(f"the parties failed: {self.process.tail()}")
        with open(self.file, newline="") as file:
            return [Call(row) for row in csv.DictReader(file)]

    def rang_late(self):
        """Callees that rang for calls that were over."""
        return int(re.search(r"rang after their end (\d+)", self.process.log.read_text()).group(1))

    def says(self):
        """What it counts besides."""
        return "; ".join(self.process.log.read_text().splitlines()[1:])


class Call:
    """One call; times are microseconds of the system's monotonic clock."""

    def __init__(self, row):
        self.number, self.line, self.end = int(row["number"]), row["line"], row["end"]
        self.times = {name: int(row[name]) for name in (*STATES, "done") if row[name] != "0"}
        # The last time that the caller asked within its dialog, over another connection.
        self.asked = int(row["asked"])
        self.rang, self.problem, self.status = int(row["rang"]), row["problem"], row["status"]
        self.good = not self.problem

    def last(self, moment):
        """Its last message before that moment, or nothing: it had not begun, or was over."""
        before = [(time, name) for name, time in self.times.items() if time <= moment]
        if not before:
            return None
        _, name = max(before)
        refused = "failed" in self.times and self.times["failed"] <= moment
        over = name == "done" or (name in ("failed", "acked") and refused and self.times.get("acked", moment + 1) <= moment)
        return None if over else name

    def next_delay(self, moment):
        """Microseconds that the first message to arrive after that moment took, or nothing if none arrived."""
        arrived = [(time, name) for name, time in self.times.items() if name in SENT and time > moment]
        if not arrived:
            return None
        time, name = min(arrived)
        return time - next((self.times[sent] for sent in SENT[name] if self.times.get(sent, time + 1) <= time), time)

    def is_out_of_reach(self, kills):
        """Whether the call was lost because its caller could only be reached over a connection that is gone: it had its 2xx, and had
        not asked within the dialog over another connection before the other side's next message."""
        if self.line not in ("unreachable", "asking") or "answered" not in self.times:
            return False
        if self.problem == "no ACK":
            return True
        died = max((kill for kill in kills if kill <= max(self.times.values())), default=0)
        is_refused = (self.problem, self.status, self.end) == ("final to BYE", "430", "callee")
        return is_refused and not died < self.asked < self.times["bye"]

    def why(self):
        """What went wrong, in words."""
        status = f" {self.status}" if self.status != "0" else ""
        _, last = max((time, name) for name, time in self.times.items())
        return f"{self.problem}{status} ({LINES[self.line]}; {STATES.get(last, last)}; to be ended by {self.end})"


@dataclasses.dataclass
class Row:
    calls: int = 0
    lost: int = 0
    twice: int = 0
    longest: int = 0


def table(calls, kills):
    """State of a call when something died, to its row. A lost call counts as lost in the state that it did not come out of."""
    rows = {state: Row() for state in (SOON, *STATES)}
    for call in calls:
        # The first thing that died after the last message that arrived, or else the last one before.
        last = max(call.times.values())
        culprit = next((kill for kill in kills if kill >= last), max((kill for kill in kills if kill < last), default=None))
        for kill in kills:
            begun = call.times["invite"]
            state = SOON if kill < begun <= kill + SOON_MICROS else call.last(kill)
            if state is None:
                continue
            row = rows[state]
            row.calls += 1
            row.lost += not call.good and kill == culprit
            row.twice += call.rang > 1
            row.longest = max(row.longest, call.next_delay(kill) or 0)
    return {STATES.get(state, state): row for state, row in rows.items() if row.calls}


def lines(rows):
    """The table as Markdown."""
    yield "| the call | calls | lost | rang twice | longest delay of its next message |"
    yield "|---|--:|--:|--:|--:|"
    for state, row in rows.items():
        yield f"| {state} | {row.calls:,} | {row.lost} | {row.twice} | {row.longest / 1000:,.0f} ms |"
