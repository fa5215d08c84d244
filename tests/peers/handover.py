"""A load manager whose place is taken by another process while calls begin and are up: nothing that is sent meanwhile is lost, no
connection is refused or closed, and the calls go on. A process that cannot take the place changes nothing.

STROWGER_NEXT may name the program of another build, for a hand-over to it and back: one with next_hand_over.patch, which adds fields to
what is known of each server, to each held request and to each connection. It takes a build of its own, and is no part of test.sh."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time

from certificates import Authority
from farm import STROWGER, Farm, until
from handover_failures import failed_starts, silent_winner
from handover_proxied import behind_proxy
from report import Report, calls
from scenario import calling
from sipp import start_client
from taking import SERVERS, Scene, made, answered
from tls import connect
from tunnel import Tunnel
from wire import Dialog, Stream

# Another build, with next_hand_over.patch: for a machine that has the time to make it.
NEXT = os.environ.get("STROWGER_NEXT")
# What that build says when it takes a place.
FIELDS = re.compile(r"fields of the next build: (\d+)")
# Between two heartbeats, so that a busy machine does not make a server silent.
SLOW_MS = 1000


def over_udp(rate, overs, threads):
    """Calls begin and end all the time."""
    with Farm(f"handover-udp-{threads}-{rate}") as farm:
        scene = Scene(farm, "udp", options=["--threads", threads])
        seconds = calls(4, 5, 20)
        caller = start_client(farm, calling(), scene.listen[0], rate * seconds, rate, "-d", 1000)
        problems = []
        for _ in range(overs):
            time.sleep(seconds / (overs + 1))
            problems += scene.hand_over()
        outcome = caller.finish()
        count = rate * seconds
        if outcome.failed or outcome.good != count:
            problems.append(f"{outcome.failed} of {count} calls failed, {outcome.good} good ({outcome.causes()}): {outcome.errors}")
    return f"{outcome.good} of {count} calls good at {rate}/s, {outcome.retransmissions} repeated messages, {scene.figures()}", problems


def over_tcp(rate, overs):
    """Calls begin and end over one connection of SIPp, servers are reached over connections of the load manager. Beside it, each of
    many connections has a call that is up: in each hand-over some of them have half a message, and some are silent."""
    with Farm(f"handover-tcp-{rate}") as farm:
        scene = Scene(farm, "tcp", "udp", servers="tcp")
        place, count = scene.listen[0], calls(20, 60, 400)
        seconds = calls(4, 5, 20)
        caller, problems = farm.address("tcp"), []
        with contextlib.ExitStack() as open_ones:
            held = [(open_ones.enter_context(Stream(place)), Dialog(caller)) for _ in range(count)]
            for stream, dialog in held:
                problems += made(stream, dialog)
            client = start_client(farm, calling(), place, rate * seconds, rate, "-d", 1000)
            for number in range(overs):
                time.sleep(seconds / (overs + 1))
                half = held[number % 3 :: 3]
                requests = [dialog.request("OPTIONS", 2 + number).encode() for _, dialog in half]
                for (stream, _), request in zip(half, requests):
                    stream.send(request[:100])
                problems += scene.hand_over()
                for (stream, dialog), request in zip(half, requests):
                    stream.send(request[100:])
                    problems += answered(stream, dialog, "half of a request came before")
            outcome = client.finish()
            for stream, dialog in held:
                stream.send(dialog.request("BYE", 100))
                problems += answered(stream, dialog, "BYE")
        total = rate * seconds
        if outcome.failed or outcome.good != total:
            problems.append(f"{outcome.failed} of {total} calls failed, {outcome.good} good ({outcome.causes()}): {outcome.errors}")
        if scene.closed():
            problems.append(f"connections were closed: {scene.closed()}")
    return f"{outcome.good} of {total} calls good at {rate}/s, {count} connections with a call each stayed open, {scene.figures()}", problems[:5]


def other_listeners():
    """The next process has one listener more, and the one after it has none of that again."""
    with Farm("handover-listeners") as farm:
        scene = Scene(farm, "udp")
        more, problems = farm.address("tcp"), []
        first = list(scene.listen)
        problems += scene.hand_over(listen=first + [more])
        farm.serving(scene.processes[-1], [more])
        with Stream(more) as stream:
            dialog = Dialog(farm.address("tcp"))
            problems += made(stream, dialog)
            problems += scene.hand_over(listen=first + [more])
            stream.send(dialog.request("BYE", 2))
            problems += answered(stream, dialog, "BYE over the new listener")
            problems += scene.hand_over(listen=first)
            if not stream.closed(5):
                problems.append("a connection of a listener that is gone stays open")
        with contextlib.suppress(ConnectionRefusedError), Stream(more):
            problems.append("a listener that is gone takes connections")
    return scene.figures(), problems


def over_tls(rate, overs):
    """Calls over TLS and over secure WebSocket. The connections stay open; the processes that do their TLS end with the last of them."""
    with Farm(f"handover-tls-{rate}") as farm, contextlib.ExitStack() as open_ones:
        authority = Authority(farm, "authority")
        own = authority.sign()
        scene = Scene(farm, "tls", "wss", "udp", options=["--certificate", own.certificate, "--key", own.key])
        count, seconds, problems = calls(6, 20, 200), calls(4, 4, 20), []
        context = authority.client()
        held = [(open_ones.enter_context(connect(scene.listen[0], context)), Dialog(farm.address("tls"))) for _ in range(count)]
        for stream, dialog in held:
            problems += made(stream, dialog)
        tunnels = [open_ones.enter_context(Tunnel(farm.address("tcp"), place, connect=context, websocket=place.transport == "wss")) for place in scene.listen[:2]]
        clients = [start_client(farm, calling(), tunnel.place, rate * seconds, rate, "-d", 1000) for tunnel in tunnels]
        for number in range(overs):
            time.sleep(seconds / (overs + 1))
            half = held[number % 2 :: 2]
            requests = [dialog.request("OPTIONS", 2 + number).encode() for _, dialog in half]
            for (stream, _), request in zip(half, requests):
                stream.send(request[:100])
            problems += scene.hand_over(ends=False)
            for (stream, dialog), request in zip(half, requests):
                stream.send(request[100:])
                problems += answered(stream, dialog, "half of a request came before")
        outcomes = [client.finish() for client in clients]
        for stream, dialog in held:
            stream.send(dialog.request("BYE", 100))
            problems += answered(stream, dialog, "BYE")
        total = rate * seconds
        for outcome in outcomes:
            if outcome.failed or outcome.good != total:
                problems.append(f"{outcome.failed} of {total} calls failed, {outcome.good} good ({outcome.causes()}): {outcome.errors}")
        for tunnel in tunnels:
            problems += tunnel.errors
        if scene.closed():
            problems.append(f"connections were closed: {scene.closed()}")
        open_ones.close()
        until(lambda: not any(process.alive() for process in scene.processes[:-1]), "the processes that did the TLS end", 20)
    good = " and ".join(str(outcome.good) for outcome in outcomes)
    return f"{good} of {total} calls each good over TLS and secure WebSocket at {rate}/s, {count} connections with a call each stayed open, {scene.figures()}", problems[:5]


def servers_stay():
    """Servers that are known by their heartbeats alone are known at once, a drained one stays drained, and the next heartbeats arrive."""
    with Farm("handover-servers") as farm:
        heartbeat, servers = farm.address(), [farm.address() for _ in range(SERVERS)]
        scene = Scene(farm, "udp", own=False, options=["--heartbeat", heartbeat.host_port])
        for server in servers:
            command = [STROWGER, "agent", "--sip", server.host_port, "--to", heartbeat.host_port, "--period-ms", SLOW_MS]
            farm.serving(farm.start("agent", [*command, "--", STROWGER, "answer", "--listen", server]), [server])
        states = lambda: [farm.server_states(farm.control()).get(server.port) for server in servers]
        until(lambda: states() == ["active"] * SERVERS, "heartbeats arrive", 20)
        subprocess.run([STROWGER, "ctl", "drain", servers[0].host_port, "--control", farm.control()], capture_output=True, check=True)
        before, problems = states(), scene.hand_over()
        if (at_once := states()) != before or before[0] == "active":
            problems.append(f"before {before}, after {at_once}")
        caller = start_client(farm, calling(), scene.listen[0], 40, 40)
        outcome = caller.finish()
        # Longer than an agent may be silent.
        time.sleep(3.5 * SLOW_MS / 1000)
        if states() != before or outcome.good != 40:
            problems.append(f"later {states()}, {outcome.good} of 40 calls good: {outcome.errors}")
        ready = lambda: subprocess.run([STROWGER, "ctl", "ready", "--control", farm.control()], capture_output=True).returncode == 0
        drain = [STROWGER, "ctl", "drain", servers[1].host_port, "--control", farm.control()]
        for takes_calls in (True, False):
            if not takes_calls:
                subprocess.run(drain, capture_output=True, check=True)
            before, was_ready = states(), ready()
            problems += scene.hand_over()
            if (after := (states(), ready())) != (before, was_ready) or was_ready != takes_calls:
                problems.append(f"in the end {before}, ready {was_ready}; after it {after}")
    return f"{before} before and after, {outcome.good} of 40 calls good, {scene.figures()}", problems


def by_command():
    """`strowger ctl hand-over` starts the program anew, and says how that went; the service manager is told which process is the main
    one. With a file that has an error, nothing changes."""
    with Farm("handover-command") as farm, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        place, server = farm.address("udp"), farm.address("udp")
        farm.answer([server])
        manager.bind(str(farm.sockets / "manager"))
        configuration = farm.directory / "lb.toml"
        configuration.write_text(f'[[listen]]\naddress = "{place}"\n[[server]]\naddress = "{server}"\n[control]\npath = "{farm.control()}"\n')
        argv = [STROWGER, "lb", "--config", configuration]
        first = farm.serving(farm.start("lb", argv, env={"NOTIFY_SOCKET": str(farm.sockets / "manager"), "WATCHDOG_USEC": "10000000"}), [place])
        command = [STROWGER, "ctl", "hand-over", "--control", farm.control()]
        caller, problems = start_client(farm, calling(), place, 200, 50, "-d", 500), []
        pids = [farm.status(farm.control())["pid"]]
        for _ in range(2):
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            pids.append(farm.status(farm.control())["pid"])
            farm.callback(end, pids[-1])
            if done.returncode or str(pids[-1]) not in done.stdout or pids[-1] in pids[:-1]:
                problems.append(f"status {done.returncode}: {done.stdout} {done.stderr}, processes {pids}")
        until(lambda: not first.alive(), "the first process ends")
        told = heard(manager)
        if [f"MAINPID={pid}" for pid in pids[1:]] != [line for line in told if line.startswith("MAINPID=")] or "WATCHDOG=1" not in told:
            problems.append(f"processes {pids}, and the service manager was told {told}")
        configuration.write_text(configuration.read_text() + "[nonsense]\n")
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if done.returncode != 4 or "has ended" not in done.stderr or farm.status(farm.control())["pid"] != pids[-1]:
            problems.append(f"with an error in the file: status {done.returncode}, {done.stderr}")
        outcome = caller.finish()
        if outcome.failed or outcome.good != 200:
            problems.append(f"{outcome.failed} of 200 calls failed ({outcome.causes()}): {outcome.errors}")
    return f"{outcome.good} of 200 calls good around 2 hand-overs and one in vain", problems


def heard(manager):
    """All that the service manager was told so far, line by line."""
    lines = []
    with contextlib.suppress(BlockingIOError):
        while True:
            lines += manager.recv(4096, socket.MSG_DONTWAIT).decode().splitlines()
    return lines


def end(pid):
    """A process that no process of ours has started, by its number."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def between_builds(rate):
    """Forward to another build, to one of its kind, and back, under calls; that build knows fields that this one does not."""
    with Farm("handover-builds") as farm:
        scene = Scene(farm, "udp", "tcp")
        seconds = calls(6, 12, 30)
        clients = [start_client(farm, calling(), place, rate * seconds, rate, "-d", 1000) for place in scene.listen]
        problems, told = [], []
        for program in (NEXT, NEXT, STROWGER):
            time.sleep(seconds / 4)
            problems += scene.hand_over(program=program)
            told += FIELDS.findall(scene.processes[-1].log.read_text(errors="replace"))
        for client in clients:
            outcome = client.finish()
            if outcome.failed or outcome.good != rate * seconds:
                problems.append(f"{outcome.failed} of {rate * seconds} calls failed, {outcome.good} good ({outcome.causes()}): {outcome.errors}")
        if told != ["0", str(SERVERS)]:
            problems.append(f"the other build has read its own fields {told} times")
    return f"{rate * seconds} calls each good over UDP and TCP, {scene.figures()}; fields that only the other build knows: {' and '.join(told)}", problems


def main():
    report = Report("handover")
    overs = calls(2, 3, 10)
    report.case("udp", over_udp, calls(100, 100, 500), overs, "per-core")
    report.case("udp/one", over_udp, calls(50, 100, 300), overs, "one")
    report.case("tcp", over_tcp, calls(50, 100, 500), overs)
    report.case("tls", over_tls, calls(20, 30, 100), overs)
    report.case("servers", servers_stay)
    report.case("proxied", behind_proxy)
    report.case("command", by_command)
    report.case("failed", failed_starts)
    report.case("silent", silent_winner)
    report.case("listeners", other_listeners)
    if NEXT:
        report.case("builds", between_builds, calls(50, 100, 300))
    report.end()


if __name__ == "__main__":
    main()
