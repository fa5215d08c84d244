"""One fast, one slow and one loaded server behind a load manager under each selection, with real processes: servers under
agents whose heartbeats tell how busy they are, and calls by SIPp, which measures each set-up.

The processors of the servers are clocks (`strowger answer --work-ms`), so that three unlike servers fit on one host and a busy
host does not change the results; the neighbour that loads one of them is a real process. All farms run side by side, as they
need almost no processor time. PEERS_WRITE=1 writes the table and its plot into docs."""

import csv
import math
import os
import sys

from farm import ROOT, STROWGER, Farm, until
from report import Report, calls
from scenario import calling
from sipp import start_client

SELECTIONS = ("round-robin", "hash", "least-loaded", "score", "cjsq", "tjsq", "tlwl")
# Milliseconds of work for a call: 100, 25 and 50 calls a second, the last without its neighbour.
WORK_MS = {"fast": 10, "slow": 40, "loaded": 20}
NEIGHBOUR_PERCENT = 60
# A third of this rate is a fifth more than the slow server can carry, and half more than the loaded server can; together the
# servers can carry half as much again.
RATE = 90
TALK_MS = 1000
LEFT_MS = 90000
BUSY = """
import sys, time
share, seconds = int(sys.argv[1]) / 100, float(sys.argv[2])
began = time.monotonic()
while (passed := time.monotonic() - began) < seconds:
    if time.process_time() > share * passed:
        time.sleep(0.01)
"""
PAGE, PLOT = ROOT / "docs/unlike-servers.md", ROOT / "docs/unlike-servers-measured.svg"
BEGIN, FOOT = "<!-- Real processes: made by tests/peers/unlike.py -->\n", "The scores themselves"
MEASURED = """\
## The same with real processes

This run has `strowger lb`, three `strowger answer` under `strowger agent`s whose heartbeats tell how busy the servers are, and
{count} calls by SIPp for each selection, {rate} a second, each {talk} s long. A set-up lasts from the INVITE to the 200, as SIPp sees
it. A call is {fast} ms of work for the fast server and {slow} ms for the slow server. For the loaded server it would be {loaded} ms, but
a process beside it takes {percent} % of a processor (`--neighbour`). The servers' processors are only clocks, so that three unlike servers
fit on one host; the neighbour, its measurement, heartbeats, selection, messages and sockets are real. `score` uses CPU only, because
memory is equal on all three. A third of the calls is a fifth more than the slow server can carry, and half more than the loaded server
can carry.

    PEERS_WRITE=1 PEERS_SIZE=full python3 tests/peers/unlike.py

| selection | calls: fast | slow | loaded | half within | 99 of 100 within |
|---|--:|--:|--:|--:|--:|
{rows}

![99 of 100 set-ups are faster than this, by selection, with real processes](unlike-servers-measured.svg)

These figures differ from run to run by chance and by other work of the machine. The test requires that with `score` and `tlwl` 99 of 100
set-ups take at most two thirds of the time of `round-robin`. `least-loaded` gives all calls to one server until the next figure of that
server. The figures of these agents are up to half a second old, and the calls that the server gets meanwhile must wait.

"""


class Unlike:
    """Three servers under agents, a load manager with one selection, and a caller."""

    def __init__(self, farm, selection, neighbour):
        self.farm, self.selection, self.control = farm, selection, farm.control(selection)
        self.places = {name: farm.address() for name in WORK_MS}
        self.front, heartbeat = farm.address(), farm.address()
        path = farm.directory / f"lb-{selection}.toml"
        lines = ["[[listen]]", f'address = "{self.front}"', "[heartbeat]", f'listen = "{heartbeat.host_port}"']
        lines += ["[selection]", f'kind = "{selection}"', "[score]", "memory_weight = 0"]
        lines += ["[threads]", "workers = 1", "[health]", 'probe = "off"', "[control]", f'path = "{self.control}"']
        path.write_text("\n".join(lines) + "\n")
        farm.serving(farm.start(f"lb-{selection}", [STROWGER, "lb", "--config", path]), [self.front])
        for name, place in self.places.items():
            figures = farm.directory / f"figures-{selection}-{name}"
            figures.write_text("cpu_permille 0\n")
            command = [STROWGER, "answer", "--listen", place, "--work-ms", WORK_MS[name], "--figures-to", figures]
            command += ["--neighbour", neighbour.pid] if name == "loaded" else []
            farm.agent(place, heartbeat.host_port, "--figures-from", figures, "--drain-ms", "0", command=command)

    def ready(self):
        """All three servers are active, and the neighbour is known to be busy, as far as a busy host permits."""
        servers = self.farm.status(self.control)["servers"]
        loads = {server["address"]: server["load_permille"] or 0 for server in servers if server["state"] == "active"}
        return len(loads) == len(self.places) and loads[self.places["loaded"].host_port] > 100

    def call(self, count):
        steps = calling()
        steps[0] = steps[0].replace("<send ", '<send start_rtd="1" ')
        steps[3] = steps[3].replace("<recv ", '<recv rtd="1" ')
        # SIPp takes some ports after the media port; they are not among the requested ports.
        for _ in range(4):
            self.farm.address()
        self.client = start_client(self.farm, steps, self.front, count, RATE, "-d", TALK_MS, "-trace_rtt", "-rtt_freq", "1")

    def outcome(self):
        """SIPp's results, calls by server, and the sorted set-up times in milliseconds."""
        counters = self.client.finish()
        times = []
        for path in self.farm.directory.glob(f"*_{self.client.process.pid}_rtt.csv"):
            with open(path, newline="") as text:
                times += [float(row["response_time_ms"]) for row in csv.DictReader(text, delimiter=";")]
        given = {server["address"]: server["new_calls"] for server in self.farm.status(self.control)["servers"]}
        return counters, {name: given[place.host_port] for name, place in self.places.items()}, sorted(times)


def within(times, permille):
    """The time that `permille` of a thousand set-ups do not exceed."""
    return times[min(len(times) - 1, len(times) * permille // 1000)]


def real_farm():
    count, problems, rows = calls(1080, 1350, 2700), [], {}
    with Farm("unlike") as farm:
        command = [sys.executable, "-c", BUSY, NEIGHBOUR_PERCENT, count / RATE + LEFT_MS / 1000]
        neighbour = farm.start("neighbour", command)
        farms = [Unlike(farm, selection, neighbour) for selection in SELECTIONS]
        for one in farms:
            until(one.ready, f"three servers under {one.selection}, one of them loaded", 60)
        for one in farms:
            one.call(count)
        for one in farms:
            counters, given, times = one.outcome()
            if counters.good != count or len(times) != count or sum(given.values()) != count:
                problems.append(f"{one.selection}: {counters.good} of {count} calls good, {len(times)} timed, {given} ({counters.causes()})")
            rows[one.selection] = (given, within(times, 500), within(times, 990))
    last = {selection: p99 for selection, (_, _, p99) in rows.items()}
    for better in ("score", "tlwl"):
        if last[better] * 1.5 > last["round-robin"]:
            problems.append(f"99 of 100 within {last[better]:.0f} ms by {better}, {last['round-robin']:.0f} ms by round-robin")
    given = rows["tlwl"][0]
    if not given["fast"] > given["slow"] > 0 or not given["fast"] > given["loaded"] > 0:
        problems.append(f"tlwl gave {given}")
    return rows, count, problems


def write(rows, count):
    """Puts the table and the plot into docs, beside those of the simulation."""
    lines = [f"| {name} | {' | '.join(map(str, given.values()))} | {p50:.0f} ms | {p99:.0f} ms |" for name, (given, p50, p99) in rows.items()]
    text = MEASURED.format(count=f"{count:,}", rate=RATE, talk=TALK_MS // 1000, percent=NEIGHBOUR_PERCENT, rows="\n".join(lines), **WORK_MS)
    page = PAGE.read_text()
    before, foot = page[: page.index(FOOT)], page[page.index(FOOT) :]
    PAGE.write_text(before.partition(BEGIN)[0] + BEGIN + text + foot)
    PLOT.write_text(plot({name: p99 for name, (_, _, p99) in rows.items()}))


def plot(rows):
    """Bars on a logarithmic scale, from 1 ms to 10 s."""
    left, width, step = 130, 470, 26
    at = lambda ms: left + math.log10(min(max(ms, 1), 10000)) / 4 * width
    bottom = 40 + step * len(rows)
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="720" height="{bottom + 30}" font-family="sans-serif" font-size="12">']
    lines += ['<rect width="100%" height="100%" fill="white"/>', f'<text x="{left}" y="20">99 of 100 set-ups are faster than this, with real processes</text>']
    for text, ms in (("1 ms", 1), ("10 ms", 10), ("100 ms", 100), ("1 s", 1000), ("10 s", 10000)):
        lines.append(f'<line x1="{at(ms):.1f}" y1="30" x2="{at(ms):.1f}" y2="{bottom}" stroke="#ddd"/><text x="{at(ms):.1f}" y="{bottom + 16}" text-anchor="middle">{text}</text>')
    for number, (name, ms) in enumerate(rows.items()):
        y = 40 + step * number
        lines.append(f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{name}</text><rect x="{left}" y="{y}" width="{at(ms) - left:.1f}" height="16" fill="#4477aa"/>')
        lines.append(f'<text x="{at(ms) + 6:.1f}" y="{y + 12}">{ms:.0f} ms</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def shown():
    rows, count, problems = real_farm()
    if os.environ.get("PEERS_WRITE") and not problems:
        write(rows, count)
    figures = "; ".join(f"{selection} {'/'.join(map(str, given.values()))} {p50:.0f} and {p99:.0f} ms" for selection, (given, p50, p99) in rows.items())
    return f"{count} calls each to fast/slow/loaded, half and 99 of 100 within: {figures}", problems


def main():
    report = Report("unlike")
    report.case("each_selection", shown)
    report.end()


if __name__ == "__main__":
    main()
