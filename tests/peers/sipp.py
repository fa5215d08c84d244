"""SIPp as client and as server, and its counters.

SIPp plays a list of steps from scenario.py."""

import contextlib
import csv
import signal
import subprocess

import scenario
from farm import until

SECONDS = 90
# A client that waits longer than the 32 s of RFC 3261 §17 for a message counts the call as failed.
SILENCE_MS = 33000


class Counters(dict):
    """The last line of SIPp's statistics, and the first words of its error file."""

    errors = ""

    def of(self, name):
        return int(self.get(f"{name}(C)", self.get(name, 0)) or 0)

    @property
    def good(self):
        return self.of("SuccessfulCall")

    @property
    def failed(self):
        return self.of("FailedCall")

    @property
    def created(self):
        return self.of("TotalCallCreated")

    @property
    def retransmissions(self):
        return self.of("Retransmissions")

    @property
    def stray(self):
        """Messages that belong to no call, or to one that is over."""
        return self.of("OutOfCallMsgs") + self.of("DeadCallMsgs")

    def causes(self):
        """Why calls failed, in SIPp's words."""
        names = [name[:-3] for name in self if name.startswith("Failed") and name.endswith("(C)") and name != "FailedCall(C)"]
        return ", ".join(f"{name} {self.of(name)}" for name in names if self.of(name))


class Sipp:
    """One SIPp that plays `steps` at `place`. `target` makes it a client of that address; `heartbeat` puts it under an agent,
    which then is `process`: the agent sends heartbeats to that address and starts SIPp again when it dies."""

    def __init__(self, farm, steps, place, *options, target=None, heartbeat=None):
        name = f"{'client' if target else 'server'}-{place.port}-{farm.started}"
        self.farm, self.place = farm, place
        self.statistics = farm.directory / f"{name}.csv"
        self.errors = farm.directory / f"{name}.errors"
        argv = ["sipp"] + ([target.host_port] if target else [])
        argv += ["-sf", scenario.write(farm.directory / f"{name}.xml", name, steps), "-i", place.ip, "-p", place.port]
        argv += ["-t", {"udp": "u1", "tcp": "t1"}[place.transport], "-cp", farm.address().port, "-mp", farm.address().port]
        # SIPp also takes the ports behind that for its media.
        for _ in range(3):
            farm.address()
        argv += ["-nostdin", "-trace_stat", "-stf", self.statistics, "-fd", "1", "-trace_err", "-error_file", self.errors]
        self.command = argv + list(options)
        if heartbeat:
            self.process = farm.agent(place, heartbeat.host_port, command=self.command)
            return
        self.process = farm.start(f"sipp-{name}", self.command)
        if not target:
            farm.serving(self.process, [place])

    def counters(self):
        with open(self.statistics, newline="") as text:
            counters = Counters(list(csv.DictReader(text, delimiter=";"))[-1])
        counters.errors = self.first_errors()
        return counters

    def begun(self, count, seconds=30):
        """Returns when `count` calls have begun; SIPp reports them once a second."""
        until(lambda: self.rows() and self.counters().created >= count, f"{count} calls begun", seconds)

    def rows(self):
        """How often SIPp has written its counters."""
        try:
            return max(0, len(self.statistics.read_text().splitlines()) - 1)
        except FileNotFoundError:
            return 0

    def finish(self, seconds=SECONDS):
        """A client: waits until its calls are made."""
        self.process.wait(seconds)
        return self.counters()

    def stop(self):
        """A server: asks it to write its counters and end; hanging calls are cut off."""
        if self.process.alive():
            self.process.popen.send_signal(signal.SIGUSR1)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(2)
        if self.process.alive():
            self.process.popen.send_signal(signal.SIGUSR1)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(2)
        self.process.end()
        return self.counters()

    def first_errors(self):
        """The first words of SIPp's error file, on one line."""
        if not self.errors.exists():
            return ""
        return " ".join(self.errors.read_text(errors="replace").split())[:900]


def counters_now(sipps):
    """The present counters of each SIPp: it writes them next within a second."""
    before = [sipp.rows() for sipp in sipps]
    until(lambda: all(sipp.rows() > rows for sipp, rows in zip(sipps, before)), "SIPp writes its counters")
    return [sipp.counters() for sipp in sipps]


def client(farm, steps, target, count, rate, *options, ip=None):
    """Makes `count` calls to `target` at `rate` calls/s and waits for their end."""
    return start_client(farm, steps, target, count, rate, *options, ip=ip).finish()


def start_client(farm, steps, target, count, rate, *options, ip=None):
    place = farm.address(target.transport, ip or target.ip)
    return Sipp(farm, steps, place, "-m", count, "-r", rate, "-timeout", f"{SECONDS}s", "-recv_timeout", SILENCE_MS, *options, target=target)


def all_clean(caller, count, answered):
    """The faults by `clean`, of the client and of each server."""
    problems = clean("client", caller, count)
    for index, counters in enumerate(answered):
        problems += clean(f"server {index}", counters)
    return problems


def clean(who, counters, count=None, resent=0):
    """The faults in a run that must have none: every call good, none failed, no stray message, nothing sent twice."""
    problems = []
    if counters.failed:
        problems.append(f"{who}: {counters.failed} calls failed ({counters.causes()}): {counters.errors}")
    if count is not None and counters.good != count:
        problems.append(f"{who}: {counters.good} of {count} calls good")
    if counters.stray:
        problems.append(f"{who}: {counters.stray} stray messages")
    if counters.retransmissions > resent:
        problems.append(f"{who}: {counters.retransmissions} retransmissions")
    return problems
