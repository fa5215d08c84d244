"""Why this server: SIPp's calls under each selection, each explained by `strowger why`; the explanations, added up, are
compared with the servers' calls and the load manager's counts."""

import collections
import json
import subprocess

from farm import STROWGER, Farm, until
from report import Report, calls
from scenario import calling
from sipp import clean, start_client

SERVERS = 4
RATE = 300
TALK_MS = 3000
# Pauses of one, two and four seconds end while the late calls are made.
TRIALS_MAX = 3
# With these policies calls go to the server with the least in progress, so the counts can be compared with the winner's.
COUNTING = ("cjsq", "tjsq", "tlwl")


def why(farm, *question):
    """The load manager's answer to one question."""
    argv = [STROWGER, "why", "--control", farm.control(), "--json", *question]
    done = subprocess.run(argv, capture_output=True, timeout=10, check=False)
    return json.loads(done.stdout)


def new_calls(status):
    return {server["address"]: server["new_calls"] for server in status["servers"]}


def counter(status, name):
    return next(counter["value"] for counter in status["counters"] if counter["name"] == name)


def least(choice):
    """The winner has no more in progress than any other candidate."""
    open_to_it = [candidate for candidate in choice["candidates"] if not candidate["excluded"]]
    counted = {candidate["address"]: candidate["in_progress"] for candidate in open_to_it}
    return counted[choice["server"]] == min(counted.values())


def selected(selection):
    """One worker, so that nothing changes between the counts in a selection and its record."""
    count = calls(100, 1000, 10000)
    with Farm(f"why-{selection}") as farm:
        servers = [farm.address() for _ in range(SERVERS)]
        farm.answer(servers)
        front = farm.address()
        farm.load_manager(front, servers, "--selection", selection, "--workers", "1", "--health", "off")
        caller = start_client(farm, calling(), front, count, RATE)
        problems = clean("caller", caller.finish(), count)
        status = farm.status(farm.control())
        choices = why(farm, "--last", str(count + 1))["choices"]
        problems += [] if len(choices) == count else [f"{len(choices)} explanations of {count} calls"]
        problems += [] if len({choice["call_id"] for choice in choices}) == count else ["a call is explained twice"]
        winners = collections.Counter(choice["server"] for choice in choices)
        if dict(winners) != {address: got for address, got in new_calls(status).items() if got}:
            problems.append(f"winners {dict(winners)}, the servers' counters {new_calls(status)}")
        if counter(status, "new_calls") != count:
            problems.append(f"{counter(status, 'new_calls')} new calls counted")
        for choice in choices:
            won = [candidate["address"] for candidate in choice["candidates"] if candidate["won"]]
            if won != [choice["server"]] or len(choice["candidates"]) != SERVERS or not choice["reason"]:
                problems.append(f"not explained: {choice}")
                break
        if selection in COUNTING:
            wrong = [choice for choice in choices if not least(choice)]
            problems += [f"{len(wrong)} calls did not go to the least, as {wrong[0]}"] if wrong else []
        else:
            problems += in_order(choices)
        asked = choices[:: max(1, count // 20)]
        for choice in asked:
            again = why(farm, choice["call_id"])["choices"]
            # The time is computed when asked, and may differ in the last digit.
            if [{**said, "time": choice["time"]} for said in again] != [choice]:
                problems.append(f"asked for by its Call-ID, {choice['call_id']} is explained otherwise")
                break
    spread = "/".join(str(winners[server.host_port]) for server in servers)
    return f"{count} calls explained, {spread} to the four servers, the same as their counters; {len(asked)} asked for by Call-ID", problems


def in_order(choices):
    """The calls that each server had before a call are those of the earlier choices."""
    given = collections.Counter()
    for number, choice in enumerate(choices):
        said = {candidate["address"]: candidate["given"] for candidate in choice["candidates"]}
        if said != {address: given[address] for address in said}:
            return [f"call {number}: given before {said}, by the calls before {dict(given)}"]
        given[choice["server"]] += 1
    return []


def excluded():
    """One server is killed, one drains: both are named with the reason, and a call that moved names its former server."""
    count = calls(30, 90, 300)
    with Farm("why-excluded") as farm:
        front, heartbeat, control = farm.address(), farm.address(), farm.control()
        good, dead, draining = (farm.address() for _ in range(3))
        farm.answer(good, "--take-over")
        killed = farm.answer(dead)
        farm.load_manager(front, [good, dead], "--heartbeat", heartbeat.host_port, "--workers", "1", "--control", control)
        agent = farm.agent(draining, heartbeat.host_port)
        until(lambda: list(farm.server_states(control).values()) == ["active"] * 3, "three servers", 10)
        early = start_client(farm, calling(), front, count, RATE, "-d", TALK_MS)
        until(lambda: len(why(farm, "--last", "10000")["choices"]) >= count, "the calls are up", 20)
        agent.popen.terminate()
        until(lambda: farm.server_states(control)[draining.port] == "known calls only", "the one drains", 10)
        killed.kill()
        # The BYEs find the dead server dead, unless that was known before.
        early_outcome = early.finish()
        until(lambda: farm.server_states(control)[dead.port] == "failed", "the other failed", 10)
        before = len(why(farm, "--last", "10000")["choices"])
        late_outcome = start_client(farm, calling(), front, count, RATE).finish()
        choices = why(farm, "--last", "10000")["choices"]
        status = farm.status(control)
    problems = clean("early callers", early_outcome, count, resent=10 * count) + clean("late callers", late_outcome, count, resent=count)
    moved = [choice for choice in choices if choice["kind"] == "taken over"]
    if len(moved) != counter(status, "taken_over") or not moved:
        problems.append(f"{len(moved)} calls explained as taken over, {counter(status, 'taken_over')} counted")
    wrong = [choice for choice in moved if choice["from"] != dead.host_port or choice["server"] == choice["from"]]
    problems += [f"not explained: {wrong[0]}"] if wrong else []
    failed, tried = 0, 0
    for choice in choices[before:]:
        said = {candidate["address"]: candidate["excluded"] or "" for candidate in choice["candidates"]}
        on_trial = any(candidate["address"] == dead.host_port and candidate["state"] == "trial" for candidate in choice["candidates"])
        failed += said[dead.host_port].startswith("failed: ")
        tried += choice["server"] == dead.host_port
        if not on_trial and (choice["server"] != good.host_port or not said[dead.host_port].startswith("failed: ")) or said[good.host_port]:
            problems.append(f"not explained: {choice}")
            break
        if draining.host_port in said and not said[draining.host_port].startswith(("known calls only: ", "failed: ")):
            problems.append(f"not explained: {choice}")
            break
    # After each pause the dead server is tried with at most three calls.
    if not failed or tried > 3 * TRIALS_MAX:
        problems.append(f"{failed} calls say that the dead server failed, {tried} were given to it")
    return f"{len(choices) - before} calls say why they did not go to the dead or the draining server, {len(moved)} why they moved", problems


def logged():
    """Every choice of two workers is a line of the log, equal to its explanation; and the cost of each call is measured."""
    count = calls(100, 500, 5000)
    with Farm("why-logged") as farm:
        servers = [farm.address() for _ in range(SERVERS)]
        farm.answer(servers, "--answer-ms", "300")
        front, file = farm.address(), farm.directory / "choices.json"
        process = farm.configured(
            {front: front.host_port},
            servers,
            selection={"kind": "round-robin"},
            health={"probe": "off"},
            threads={"workers": 2},
            control={"path": str(farm.control())},
            log={"choices": str(file), "format": "json"},
        )
        problems = clean("caller", start_client(farm, calling(), front, count, RATE).finish(), count, resent=count)
        until(lambda: counter(farm.status(farm.control()), "choices_written") == count, f"{count} lines", 10)
        status = farm.status(farm.control())
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        winners = collections.Counter(line["server"] for line in lines)
        if dict(winners) != {address: got for address, got in new_calls(status).items() if got}:
            problems.append(f"winners {dict(winners)} in the log, the servers' counters {new_calls(status)}")
        if len({line["call_id"] for line in lines}) != count or {line["log"] for line in lines} != {"choice"}:
            problems.append(f"{len(lines)} lines of {count} calls")
        for line in lines[:: max(1, count // 20)]:
            [said] = why(farm, line["call_id"])["choices"]
            if {**said, "time": line["time"], "log": "choice", "candidates_left_out": 0} != line:
                problems.append(f"{line} is explained as {said}")
                break
        for name in ("session request", "session disconnect"):
            measured = sum(sum(delay["counts"]) for server in status["servers"] for delay in server["delays"] if delay["name"] == name)
            if measured != count:
                problems.append(f"{name}: {measured} of {count} calls measured")
        for line in process.log.read_text().splitlines():
            if json.loads(line)["log"] != "operation":
                problems.append(f"the operator's log says {line}")
    return f"{count} choices in the log, {counter(status, 'choices_dropped')} dropped, the same as explained; SRD and SDD of each call", problems


def main():
    report = Report("why")
    for selection in ("round-robin", "least-loaded", "score", *COUNTING, "hash"):
        report.case(f"each_call_is_explained/{selection}", selected, selection)
    report.case("excluded_and_moved", excluded)
    report.case("logged", logged)
    report.end()


if __name__ == "__main__":
    main()
