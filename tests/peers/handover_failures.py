"""Processes that cannot take the place of a load manager: the running one serves on."""

import json
import os
import signal
import socket
import subprocess
import sys

from farm import STROWGER, Farm
from scenario import calling
from sipp import start_client
from taking import Scene


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
        caller, problems = start_client(farm, calling(), scene.listen[0], 200, 50, "-d", 500), []
        caller.begun(20)
        silent = farm.start("silent", [sys.executable, "-c", SILENT, farm.control(), len(os.sched_getaffinity(0))])
        status = silent.wait(20)
        if status != -signal.SIGKILL or "told to go" not in silent.log.read_text():
            problems.append(f"the silent process ended with {status}: {silent.tail()}")
        problems += scene.hand_over()
        outcome = caller.finish()
        if outcome.failed or outcome.good != 200:
            problems.append(f"{outcome.failed} of 200 calls failed ({outcome.causes()}): {outcome.errors}")
        if "was killed" not in scene.processes[0].log.read_text(errors="replace"):
            problems.append(f"the log does not say it: {scene.processes[0].tail()}")
    return f"{outcome.good} of 200 calls good around it; after it, {scene.figures()}", problems
