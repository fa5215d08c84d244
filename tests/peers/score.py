"""The test bed of the performance score with real processes: two servers under agents whose figures come from files, a
performance server, a load manager that selects by score, and calls by SIPp; the shares are compared with those that the scores
predict.

Then an agent is killed, and its server must get no more new calls; and its figures cross a threshold, which must be known
before the next poll."""

import os
import signal
import time

from farm import STROWGER, Farm, until
from report import Report, calls
from scenario import answering, calling
from sipp import Sipp, start_client

# CPU in permille and available KiB of both servers, and the scores that the document prints for them.
SCENARIOS = {
    "both_light": (((10, 60456), (20, 85892)), (70, 78)),
    "first_heavy": (((950, 113420), (0, 125549)), (26, 76)),
    "second_heavy": (((20, 57612), (880, 16888)), (87, 17)),
    "both_heavy": (((920, 101234), (890, 95425)), (29, 29)),
}
RATE = 200
# 99.9999 % of the chi-square distribution with one degree of freedom lies below. Chance is not seeded here.
BOUND = 23.93
POLL_MS = 200


class Bed:
    """Two servers, two agents, a performance server and a load manager."""

    def __init__(self, farm, answer_within_ms=5000, poll_ms=POLL_MS):
        self.farm, self.control = farm, farm.control()
        self.servers = [Sipp(farm, answering(), farm.address()) for _ in range(2)]
        self.places = [server.place for server in self.servers]
        self.gets = [farm.address("tcp") for _ in range(2)]
        self.files = [farm.directory / f"figures-{number}" for number in range(2)]
        self.front, served = farm.address(), farm.address("tcp")
        for number in range(2):
            self.say(number, 100, 50000)
        self.agents = [self.agent(number) for number in range(2)]
        agents = [word for get in self.gets for word in ("--agent", get.host_port)]
        timing = ["--poll-ms", poll_ms, "--answer-within-ms", answer_within_ms]
        perf = farm.start("perf", [STROWGER, "perf", *agents, "--listen", served.host_port, *timing])
        farm.serving(perf, [served])
        path = farm.directory / "lb.toml"
        lines = ["[[listen]]", f'address = "{self.front}"']
        for place in self.places:
            lines += ["[[server]]", f'address = "{place}"']
        lines += ["[selection]", 'kind = "score"', "[[measure]]", 'by = "performance-server"', f'address = "{served.host_port}"']
        lines += ["[perf]", f"poll_ms = {POLL_MS}", "[control]", f'path = "{self.control}"']
        path.write_text("\n".join(lines) + "\n")
        self.lb = farm.serving(farm.start("lb", [STROWGER, "lb", "--config", path]), [self.front])

    def agent(self, number):
        """The agent's heartbeats go nowhere: the load manager learns everything from the performance server."""
        options = ["--sip", self.places[number].host_port, "--to", "127.0.0.1:9", "--get-data", self.gets[number].host_port]
        options += ["--figures-from", self.files[number], "--collect-ms", "100", "--ready", "none", "--period-ms", "60000", "--drain-ms", "0"]
        process = self.farm.start("agent", [STROWGER, "agent", *options, "--", "sleep", "600"])
        return self.farm.serving(process, [self.gets[number]])

    def say(self, number, cpu, memory):
        """Sets the figures of one server; in one step, as an agent may be reading."""
        fresh = self.files[number].with_suffix(".new")
        fresh.write_text(f"cpu_permille {cpu}\nmemory_available_kib {memory}\n")
        fresh.rename(self.files[number])

    def scores(self):
        return tuple(server["score"] for server in self.farm.status(self.control)["servers"])

    def given(self):
        """New calls that the load manager gave each server."""
        return [server["new_calls"] for server in self.farm.status(self.control)["servers"]]

    def call(self, count):
        """Calls through the load manager: the numbers at each server, and the caller's results."""
        before = self.given()
        outcome = start_client(self.farm, calling(), self.front, count, RATE).finish()
        return [now - was for now, was in zip(self.given(), before)], outcome


def selected(name):
    count = calls(400, 800, 10000)
    (measured, scores), problems = SCENARIOS[name], []
    with Farm(f"score-{name}") as farm:
        bed = Bed(farm)
        for number, (cpu, memory) in enumerate(measured):
            bed.say(number, cpu, memory)
        until(lambda: bed.scores() == scores, f"scores {scores}", 10)
        counts, outcome = bed.call(count)
    total = sum(counts)
    expected = [total * score / sum(scores) for score in scores]
    square = sum((got - want) ** 2 / want for got, want in zip(counts, expected))
    if outcome.good != count:
        problems.append(f"{outcome.failed} calls failed ({outcome.causes()})")
    if square > BOUND:
        problems.append(f"chi-square {square:.2f} is above {BOUND}")
    wanted = " and ".join(f"{want:.0f}" for want in expected)
    return f"scores {scores[0]} and {scores[1]}, {counts[0]} and {counts[1]} calls, predicted {wanted}, chi-square {square:.2f} of {BOUND}", problems


def agent_killed():
    count, problems = calls(100, 200, 1000), []
    with Farm("score-killed") as farm:
        bed = Bed(farm)
        until(lambda: None not in bed.scores() and 0 not in bed.scores(), "two scores", 10)
        children = bed.agents[1].children()
        bed.agents[1].kill()
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        until(lambda: bed.scores()[1] == 0, "score 0 of the server whose agent is dead", 10)
        down = time.monotonic() - began
        counts, outcome = bed.call(count)
        again = bed.agent(1)
        until(lambda: bed.scores()[1] not in (None, 0), "the score back", 10)
        after, second = bed.call(count)
        if not (children and again.alive()):
            problems.append("the agents did not run as they should")
    if outcome.good + second.good != 2 * count:
        problems.append(f"calls failed: {outcome.causes()} {second.causes()}")
    if counts[1] or not after[1]:
        problems.append("calls by score 0, or none when it was back")
    return f"score 0 after {down * 1000:.0f} ms, then {counts[0]} and {counts[1]} calls; back, {after[0]} and {after[1]}", problems


def threshold():
    """Polls come once a minute: earlier news came by a notification."""
    problems = []
    with Farm("score-threshold") as farm:
        bed = Bed(farm, poll_ms=60000)
        until(lambda: None not in bed.scores(), "two scores", 10)
        bed.say(0, 990, 50000)
        began = time.monotonic()
        until(lambda: bed.scores()[0] == 0, "the threshold known without a poll", 20)
        took = time.monotonic() - began
    return f"CPU above Cmax known after {took * 1000:.0f} ms, polls once a minute", problems


def main():
    report = Report("score")
    for name in SCENARIOS:
        report.case(f"test_bed/{name}", selected, name)
    report.case("agent_killed", agent_killed)
    report.case("threshold", threshold)
    report.end()


if __name__ == "__main__":
    main()
