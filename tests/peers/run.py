"""`strowger run`: a whole farm by one command, with calls through it. An engine is killed, all are replaced by another build under
calls, the process with the records is killed, and the farm ends. The callees count the calls that rang: none may ring twice."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

from engines import PATIENCE_MS, RATE, TALK_MS, Callee, judged
from farm import STROWGER, Farm, until
from report import Report, calls
from scenario import calling
from sipp import start_client

ENGINES = 3


class Run:
    """A farm of `strowger run`, started from a copy of the program, so that a test can replace it."""

    def __init__(self, farm, *options):
        self.farm, self.front, self.callee = farm, farm.address(), Callee(farm)
        self.program = farm.directory / "strowger"
        shutil.copy2(STROWGER, self.program)
        self.folder = farm.sockets / "run"
        options = options or ("--listen", self.front, "--to", f"sip:{self.callee.place.host_port}")
        self.process = farm.start("run", [self.program, "run", "--folder", self.folder, *options])
        until(lambda: "What next:" in self.log() or not self.process.alive(), "the farm takes calls", 30)
        if not self.process.alive():
            raise RuntimeError(f"run ended: {self.process.tail(9)}")

    def log(self):
        return self.process.log.read_text(errors="replace")

    def said(self, words, seconds=30):
        until(lambda: words in self.log(), f"run says: {words}", seconds)

    def child(self, name):
        """The process of `state`, `lb` or an engine, as the first screen tells it."""
        row = next(line for line in self.log().splitlines() if line.strip().startswith(f"{name} "))
        return int(row.split()[len(name.split())])

    def tree(self):
        """All processes of the farm."""
        agents = self.process.children()
        return agents + [pid for agent in agents for pid in children(agent)]

    def caller(self, count):
        return start_client(self.farm, calling(), self.front, count, RATE, "-d", TALK_MS, "-recv_timeout", PATIENCE_MS)

    def says(self, *argv):
        """The document that a command about this farm prints."""
        done = subprocess.run([STROWGER, *argv, "--folder", self.folder, "--json"], capture_output=True, text=True, timeout=15)
        if done.returncode != 0:
            raise RuntimeError(f"{argv}: {done.stderr}")
        return json.loads(done.stdout)

    def judged(self, count, outcome):
        time.sleep(1)
        return judged(count, outcome, self.callee.stop())


def children(pid):
    return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def engine_killed():
    """An engine is killed; the others go on with its calls."""
    count = RATE * 12
    with Farm("run-killed") as farm:
        run = Run(farm)
        caller = run.caller(count)
        caller.begun(RATE * 4, 60)
        os.kill(run.child("engine 2"), signal.SIGKILL)
        figures, problems = run.judged(count, caller.finish(count / RATE + 60))
        active = list(farm.server_states(run.folder / "control.sock").values())
        if active != ["active"] * ENGINES:
            problems.append(f"in the end the engines are {active}")
    return f"an engine killed at {RATE}/s: {figures}", problems


def seen():
    """An operator sees the calls while they ring and talk, the story of one of them, all parts on one screen; and in the end none."""
    count = RATE * 8
    with Farm("run-seen") as farm:
        run = Run(farm)
        caller = run.caller(count)
        caller.begun(RATE * 4, 60)
        problems, listed = [], run.says("calls", "--limit", "1000")["calls"]
        states = {state: sum(call["state"] == state for call in listed) for state in ("ringing", "up")}
        if not all(states.values()):
            problems.append(f"calls are listed as {states}")
        engines = {call["owner"] for call in listed}
        newest = next(call for call in reversed(listed) if call["state"] == "up")
        for name in (newest["key"], newest["call_id"], newest["legs"][1]["call_id"]):
            [story] = run.says("call", name)
            if (story["key"], story["state"]) != (newest["key"], "up") or not 0 < story["rang_ms"] < story["answered_ms"]:
                problems.append(f"the story of {name}: {story}")
        status = run.says("status")
        parts = [part["report"]["role"] for part in status["parts"]]
        if not status["well"] or parts != ["lb"] + ["engine"] * ENGINES + ["state"]:
            problems.append(f"status: {parts}, wrong: {status['wrong']}")
        numbers = {part["report"]["engine"] for part in status["parts"] if part["report"]["role"] == "engine"}
        if not engines <= numbers:
            problems.append(f"calls are of engines {engines}, and the engines are {numbers}")
        figures, others = run.judged(count, caller.finish(count / RATE + 60))
        left = run.says("calls")["calls"]
        if left:
            problems.append(f"in the end {len(left)} calls are listed: {left[:2]}")
    return f"{states['ringing']} calls listed while they rang, {states['up']} while they were up, in the end none; {figures}", problems + others


def upgraded():
    """Another build takes over under calls."""
    count = RATE * 20
    with Farm("run-upgraded") as farm:
        run = Run(farm)
        before = set(run.tree())
        caller = run.caller(count)
        caller.begun(RATE * 4, 60)
        new = farm.directory / "strowger.new"
        shutil.copy2(STROWGER, new)
        inode = new.stat().st_ino
        new.rename(run.program)
        run.process.popen.send_signal(signal.SIGHUP)
        run.said("upgrade complete", 60)
        replaced = [pid for pid in run.tree() if pid not in before]
        fresh = [pid for pid in replaced if os.stat(f"/proc/{pid}/exe").st_ino == inode]
        figures, problems = run.judged(count, caller.finish(count / RATE + 60))
        if len(fresh) != 2 * ENGINES:
            problems.append(f"{len(fresh)} processes of {2 * ENGINES} run the new build")
        took = [line.rpartition("upgrade ")[2] for line in run.log().splitlines() if "upgrade complete" in line]
    return f"{ENGINES} engines and their agents replaced at {RATE}/s, {took[0]}: {figures}", problems


def broken_build():
    """A build that does not start replaces one engine at most."""
    with Farm("run-broken") as farm:
        run = Run(farm)
        old = run.program.rename(farm.directory / "strowger.old")
        run.program.write_text("#!/bin/sh\nexit 3\n")
        run.program.chmod(0o755)
        run.process.popen.send_signal(signal.SIGHUP)
        run.said("upgrade stopped")
        old.rename(run.program)
        control = run.folder / "control.sock"
        until(lambda: list(farm.server_states(control).values()) == ["active"] * ENGINES, "all engines are back", 30)
        count = RATE * 4
        figures, problems = run.judged(count, run.caller(count).finish(60))
    return f"upgrade refused, old build back; then {figures}", problems


def state_killed():
    """The process with the records dies: it is said aloud, and new calls go on."""
    with Farm("run-state") as farm:
        run = Run(farm)
        os.kill(run.child("state"), signal.SIGKILL)
        run.said("all calls that were up have lost their record")
        control = run.folder / "control.sock"
        time.sleep(1)
        until(lambda: list(farm.server_states(control).values()) == ["active"] * ENGINES, "all engines are back", 30)
        count = RATE * 4
        figures, problems = run.judged(count, run.caller(count).finish(60))
    return f"said; then {figures}", problems


def manager_killed():
    """The load manager dies between calls: it is back at once, and calls that are up end well."""
    count = RATE * 8
    with Farm("run-lb") as farm:
        run = Run(farm)
        caller = run.caller(count)
        caller.begun(RATE * 4, 60)
        os.kill(run.child("lb"), signal.SIGKILL)
        run.said("lb ended")
        figures, problems = run.judged(count, caller.finish(count / RATE + 60))
    return f"the load manager killed at {RATE}/s: {figures}", problems


def ended():
    """SIGTERM ends every process of the farm."""
    problems = []
    with Farm("run-ended") as farm:
        run = Run(farm)
        tree = run.tree()
        began = time.monotonic()
        run.process.popen.terminate()
        status = run.process.wait(20)
        took = time.monotonic() - began
        left = [pid for pid in tree if os.path.exists(f"/proc/{pid}")]
        if status != 0 or left:
            problems.append(f"status {status}, processes left: {left}")
    return f"{len(tree)} processes ended after {took:.1f} s", problems


def mistakes():
    """Each mistake has its line and a remedy, and nothing is started."""
    problems = []
    cases = {
        '[[listen]]\naddress = "udp:127.0.0.1:5099"\n\n[run]\nto = ["127.0.0.1"]\n': "mistake.toml:5:",
        '[[listen]]\naddress = "tcp:127.0.0.1:5099"\n\n[run]\nto = ["sip:127.0.0.1"]\n': "mistake.toml:2:",
        '[[listen]]\naddress = "udp:127.0.0.1:5099"\n\n[run]\nengine = 3\n': "did you mean `engines`?",
        '[[listen]]\naddress = "udp:127.0.0.1:5099"\n': "nobody is named who gets the calls",
    }
    with Farm("run-mistakes") as farm:
        path = farm.directory / "mistake.toml"
        for text, named in cases.items():
            path.write_text(text)
            argv = [STROWGER, "run", "--folder", farm.sockets / "run", "--config", path]
            done = subprocess.run(argv, capture_output=True, text=True, timeout=10)
            if done.returncode != 64 or named not in done.stderr or "remedy:" not in done.stderr:
                problems.append(f"status {done.returncode}, {named!r} missing in: {done.stderr}")
    return f"{len(cases)} mistakes named", problems


def main():
    report = Report("run")
    report.case("mistakes", mistakes)
    report.case("seen", seen)
    report.case("killed", engine_killed)
    report.case("upgraded", upgraded)
    report.case("state-killed", state_killed)
    report.case("lb-killed", manager_killed)
    report.case("ended", ended)
    if calls(0, 1, 1):
        report.case("broken-build", broken_build)
    report.end()


if __name__ == "__main__":
    main()
