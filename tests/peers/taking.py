"""A load manager whose place another process takes, and calls made by hand around that."""

import re
import subprocess

from farm import STROWGER, until
from scenario import SDP

SERVERS = 2
SDP_LINES = SDP.strip().replace("[media_ip_type]", "4").replace("[media_ip]", "127.0.0.1").replace("[media_port]", "6000").replace("\n", "\r\n") + "\r\n"
WAITED = re.compile(r"it has (\d+) calls.* messages waited for (\d+) ms")


class Place:
    """A load manager, and the processes that take its place."""

    def __init__(self, farm, first):
        self.farm, self.processes = farm, [first]
        self.waited, self.given = [], []

    def taken_by(self, after, ends=True):
        """A process was started to take the place of the last one, which `ends` at once if it has no TLS. Returns what was not as it
        should be."""
        before = self.processes[-1]
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

    def figures(self):
        most = max(self.given, default=0)
        return f"{len(self.waited)} hand-overs with up to {most} calls, messages waited for {max(self.waited, default=0)} ms at most"


class Scene(Place):
    """A load manager with two servers of its `own`, started with options."""

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
        super().__init__(farm, farm.serving(farm.start("lb", self.argv()), self.listen))

    def argv(self, *more, listen=None, program=STROWGER):
        argv = [program, "lb", "--key-file", self.keys, "--control", self.farm.control(), *self.options]
        for place in listen or self.listen:
            argv += ["--listen", place]
        for place in self.servers:
            argv += ["--server", place]
        return argv + list(more)

    def hand_over(self, listen=None, ends=True, program=STROWGER):
        """See [taken_by]."""
        after = self.farm.start("lb", self.argv("--take-over", listen=listen, program=program))
        return self.taken_by(after, ends)

    def closed(self):
        """Counters of connections that the load managers closed, or that were closed to them."""
        counted = self.farm.counters(self.farm.control())
        return {name: value for name, value in counted.items() if name.startswith("connections_closed") and name != "connections_closed_by_peer" and value}


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
