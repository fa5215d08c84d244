"""Load managers behind a load manager, which treats them as servers. Each has an agent, as any server may, which broadcasts its
load; new calls go to the load manager with the least load. When one is killed, the other goes on with its calls: they know each
other's addresses, and tell each other of new calls."""

import json
import os
import signal
import subprocess

from farm import PERIOD_MS, STROWGER, Farm, bound, until
from report import Report, calls
from scenario import calling
from sipp import start_client

SERVERS, BEHIND = 4, 2
RATE = 50
TALK_MS = 2000
DEATH_SECONDS = 2


def keys(farm):
    """One key file for all, with tag keys and heartbeat keys."""
    path = farm.directory / "farm.keys"
    made = [subprocess.run([STROWGER, "key", *which], capture_output=True, check=True, timeout=5).stdout for which in ([], ["--heartbeat"])]
    path.write_bytes(b"".join(made))
    os.chmod(path, 0o600)
    return path


def in_front(kill):
    count = calls(100, 300, 3000)
    with Farm(f"levels-{kill}") as farm:
        key_file, heartbeat, front, control = keys(farm), farm.address(), farm.address(), farm.control()
        servers = [farm.address() for _ in range(SERVERS)]
        answering = [farm.answer(server) for server in servers]
        farm.configured(
            {front: front.host_port},
            selection={"kind": "least-loaded"},
            heartbeat={"listen": heartbeat.host_port, "period_ms": PERIOD_MS},
            keys={"file": str(key_file)},
            control={"path": str(control)},
        )
        behind = [farm.address() for _ in range(BEHIND)]
        controls = [farm.control(f"behind-{number}") for number in range(BEHIND)]
        agents = []
        tell = [farm.address() for _ in range(BEHIND)]
        for number, (place, own) in enumerate(zip(behind, controls)):
            file = farm.directory / f"behind-{place.port}.toml"
            others = [other.host_port for other in behind if other != place]
            lines = ["[[listen]]", f'address = "{place}"', f"names = {json.dumps(others)}", "[keys]", f'file = "{key_file}"', "[control]", f'path = "{own}"']
            lines += ["[peers]", f'listen = "{tell[number].host_port}"', f"to = {json.dumps([other.host_port for other in tell if other != tell[number]])}"]
            lines += [line for server in servers for line in ("[[server]]", f'address = "{server}"')]
            file.write_text("\n".join(lines) + "\n")
            command = [STROWGER, "lb", "--config", file]
            agents.append(farm.agent(place, heartbeat.host_port, "--key-file", key_file, command=command))
        until(lambda: list(farm.server_states(control).values()) == ["active"] * BEHIND, "both load managers active in front")
        caller = start_client(farm, calling(), front, count, RATE, "-d", TALK_MS)
        if kill:
            caller.begun(RATE * DEATH_SECONDS)
            for pid in agents[0].children():
                os.kill(pid, signal.SIGKILL)
        outcome = caller.finish()
        table = farm.status(control)["servers"]
        until(lambda: bound(behind[0]), "the load manager that was killed started again")
        for agent in agents:
            agent.popen.terminate()
        for server in answering:
            server.end()
    shares = [server["new_calls"] for server in table]
    loads = [server["load_permille"] for server in table]
    problems = []
    if outcome.failed or outcome.good != count:
        problems.append(f"{outcome.failed} calls failed ({outcome.causes()}), {outcome.good} of {count} good: {outcome.errors}")
    if min(shares) <= 0:
        problems.append("one load manager got no call")
    if None in loads:
        problems.append("a load manager told no load")
    return f"{outcome.good} of {count} calls good, new calls to each {shares}, their load {loads} permille", problems


def main():
    report = Report("levels")
    report.case("least_loaded", in_front, False)
    report.case("one_behind_killed", in_front, True)
    report.end()


if __name__ == "__main__":
    main()
