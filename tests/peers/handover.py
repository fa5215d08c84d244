"""A load manager whose place is taken by another process while calls begin and are up: nothing that is sent meanwhile is lost, no
connection is refused or closed, and the calls go on. A process that cannot take the place changes nothing."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

from certificates import Authority
from farm import STROWGER, Farm, until
from report import Report, calls
from scenario import SDP, calling
from sipp import start_client
from tls import connect
from tunnel import Tunnel
from wire import Dialog, Stream

SERVERS = 2
# Between two heartbeats, so that a busy machine does not make a server silent.
SLOW_MS = 1000
SDP_LINES = SDP.strip().replace("[media_ip_type]", "4").replace("[media_ip]", "127.0.0.1").replace("[media_port]", "6000").replace("\n", "\r\n") + "\r\n"
WAITED = re.compile(r"it has (\d+) calls.* messages waited for (\d+) ms")


class Scene:
    """A load manager with two servers of its `own`, and the processes that take its place."""

    def __init__(self, farm, *transports, servers="udp", own=True, options=()):
        self.farm, self.options = farm, list(options)
        keys = farm.directory / "farm.keys"
        keys.write_text(subprocess.run([STROWGER, "key"], capture_output=True, text=True, check=True).stdout)
        keys.chmod(0o600)
        self.keys = keys
        self.listen = [farm.address(transport) for transport in transports]
        self.servers = [farm.address(servers) for _ in range(SERVERS if own else 0)]
        if own:
            farm.answer(self.servers)
        self.processes = [farm.serving(farm.start("lb", self.argv()), self.listen)]
        self.waited, self.given = [], []

    def argv(self, *more, listen=None):
        argv = [STROWGER, "lb", "--key-file", self.keys, "--control", self.farm.control(), *self.options]
        for place in listen or self.listen:
            argv += ["--listen", place]
        for place in self.servers:
            argv += ["--server", place]
        return argv + list(more)

    def hand_over(self, listen=None, ends=True):
        """The next process takes the place of the last one, which `ends` at once if it has no TLS. Returns what was not as it should
        be."""
        before = self.processes[-1]
        after = self.farm.start("lb", self.argv("--take-over", listen=listen))
        self.processes.append(after)
        said = lambda: WAITED.search(before.log.read_text(errors="replace"))
        until(lambda: said() or not after.alive() or not before.alive(), "the place is taken", 20)
        if not said() or not after.alive():
            return [f"the place is not taken: {before.tail()}; {after.tail()}"]
        self.given.append(int(said().group(1)))
        self.waited.append(int(said().group(2)))
        if ends and before.wait(5) != 0:
            return [f"the old process ended with {before.popen.returncode}: {before.tail()}"]
        return [] if ends or before.alive() else ["the old process ended, and did the TLS of open connections"]

    def closed(self):
        """Counters of connections that the load managers closed, or that were closed to them."""
        counted = self.farm.counters(self.farm.control())
        return {name: value for name, value in counted.items() if name.startswith("connections_closed") and name != "connections_closed_by_peer" and value}

    def figures(self):
        most = max(self.given, default=0)
        return f"{len(self.waited)} hand-overs with up to {most} calls, messages waited for {max(self.waited, default=0)} ms at most"


def over_udp(rate, overs, threads):
    """Calls begin and end all the time."""
    with Farm(f"handover-udp-{threads}-{rate}") as farm:
        scene = Scene(farm, "udp", options=["--threads", threads])
        seconds = calls(4, 8, 20)
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
        seconds = calls(4, 8, 20)
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


def made(stream, dialog):
    stream.send(dialog.request("INVITE", 1, headers=["Content-Type: application/sdp"], body=SDP_LINES))
    response = final(stream, dialog)
    if response is None or response.status != 200:
        return [f"a call was not made: {response and response.start}"]
    dialog.learn(response)
    stream.send(dialog.request("ACK", 1))
    return []


def answered(stream, dialog, what):
    response = final(stream, dialog)
    if response is None or response.status >= 500 or stream.ended:
        return [f"{what}: {response.start if response else 'the connection is closed' if stream.ended else 'no answer'}"]
    return []


def final(stream, dialog):
    """The final answer to the last request of a call."""
    while (response := stream.receive(10)) is not None:
        if response.status and response.status >= 200 and response.first("Call-ID") == dialog.call_id:
            return response
    return None


def failed_starts():
    """Processes that cannot take the place: the running one serves on, and its control socket too."""
    with Farm("handover-failed") as farm:
        scene = Scene(farm, "udp", "tcp")
        caller = start_client(farm, calling(), scene.listen[0], 400, 100, "-d", 500)
        first, problems = scene.processes[0], []
        other_keys = farm.directory / "other.keys"
        other_keys.write_text(subprocess.run([STROWGER, "key"], capture_output=True, text=True, check=True).stdout)
        other_keys.chmod(0o600)
        taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        taken.bind(("127.0.0.1", 0))
        busy = f"udp:127.0.0.1:{taken.getsockname()[1]}"
        for what, argv, expected in [
            ("a wrong option", scene.argv("--take-over", "--affinity", "nonsense"), "affinity"),
            *([("other workers", scene.argv("--take-over", "--threads", "one"), "--threads")] if os.cpu_count() > 1 else []),
            ("other listeners", scene.argv("--take-over", listen=list(reversed(scene.listen))), "[[listen]]"),
            ("other keys", [word if word != scene.keys else other_keys for word in scene.argv("--take-over")], "tag key"),
            ("a taken port", scene.argv("--take-over", "--listen", busy), "cannot listen"),
        ]:
            process = farm.start("refused", argv)
            status = process.wait(20)
            said = process.log.read_text(errors="replace")
            if status == 0 or not first.alive() or expected not in said:
                problems.append(f"{what}: status {status}, {process.tail()}")
        problems += silent_taker(farm)
        farm.status(farm.control())
        problems += scene.hand_over()
        outcome = caller.finish()
        if outcome.failed or outcome.good != 400:
            problems.append(f"{outcome.failed} of 400 calls failed ({outcome.causes()}): {outcome.errors}")
        said = first.log.read_text(errors="replace")
        if "it was given up, and this load manager goes on" not in said:
            problems.append("the log does not say that a hand-over was given up")
    return f"{outcome.good} of 400 calls good; after these, {scene.figures()}", problems


def silent_taker(farm):
    """A process that asks, gets all sockets, and then says nothing sensible."""
    for words in (b"", b"\x02" + bytes(12), b"\x63" + bytes(12)):
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(farm.control()))
            asking.sendall(json.dumps({"verb": "take-over"}).encode() + b"\n")
            offer = asking.recv(65536)
            if b"done" not in offer:
                return [f"it was offered {offer!r}"]
            asking.sendall(words)
    return []


SILENT = """
import json, socket, struct, sys
asking = socket.socket(socket.AF_UNIX)
asking.connect(sys.argv[1])
asking.sendall(json.dumps({"verb": "take-over"}).encode() + b"\\n")
stream = asking.makefile("rb")
stream.readline()

def parcel(kind):
    head = stream.read(13)
    assert head[0] == kind, head
    count, length = struct.unpack(">IQ", head[1:])
    stream.read(length)
    for _ in range(-(-count // 253)):
        assert stream.read(1) == b"d"

parcel(1)
asking.sendall(bytes([2]) + bytes(12))
parcel(3)
for _ in range(int(sys.argv[2])):
    parcel(4)
asking.sendall(bytes([5]) + bytes(12))
parcel(6)
print("told to go", flush=True)
stream.read()
"""


def silent_winner():
    """A process that has taken everything, was told to go, and does nothing: it is killed, and the running one goes on after the 3 s
    that it waits. Over UDP, callers repeat what they said meanwhile."""
    with Farm("handover-silent") as farm:
        scene = Scene(farm, "udp")
        caller, problems = start_client(farm, calling(), scene.listen[0], 300, 50, "-d", 500), []
        caller.begun(20)
        silent = farm.start("silent", [sys.executable, "-c", SILENT, farm.control(), len(os.sched_getaffinity(0))])
        status = silent.wait(20)
        if status != -signal.SIGKILL or "told to go" not in silent.log.read_text():
            problems.append(f"the silent process ended with {status}: {silent.tail()}")
        problems += scene.hand_over()
        outcome = caller.finish()
        if outcome.failed or outcome.good != 300:
            problems.append(f"{outcome.failed} of 300 calls failed ({outcome.causes()}): {outcome.errors}")
        if "was killed" not in scene.processes[0].log.read_text(errors="replace"):
            problems.append(f"the log does not say it: {scene.processes[0].tail()}")
    return f"{outcome.good} of 300 calls good around it; after it, {scene.figures()}", problems


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
        count, seconds, problems = calls(6, 20, 200), calls(4, 6, 20), []
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
        problems += scene.hand_over()
        if states() != before:
            problems.append(f"in the end {states()}")
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
        caller, problems = start_client(farm, calling(), place, 300, 50, "-d", 500), []
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
        if outcome.failed or outcome.good != 300:
            problems.append(f"{outcome.failed} of 300 calls failed ({outcome.causes()}): {outcome.errors}")
    return f"{outcome.good} of 300 calls good around 2 hand-overs and one in vain", problems


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


def main():
    report = Report("handover")
    overs = calls(2, 3, 10)
    report.case("udp", over_udp, calls(100, 100, 500), overs, "per-core")
    report.case("udp/one", over_udp, calls(50, 100, 300), overs, "one")
    report.case("tcp", over_tcp, calls(50, 100, 500), overs)
    report.case("tls", over_tls, calls(20, 30, 100), overs)
    report.case("servers", servers_stay)
    report.case("command", by_command)
    report.case("failed", failed_starts)
    report.case("silent", silent_winner)
    report.case("listeners", other_listeners)
    report.end()


if __name__ == "__main__":
    main()
