"""Two load managers behind one address that moves: they tell each other of new calls, so that a call in set-up survives the
death of one of them.

Message by message: an INVITE through one load manager, its repetition and its CANCEL through the other, at the same server.
Then SIPp through the first, kill -9, and its traffic moved to the other, as a virtual address moves: no call is lost, and none
reaches two servers."""

import os
import select
import socket
import subprocess
import threading
import time

from farm import STROWGER, Farm, bound, until
from report import Report, calls
from scenario import calling
from sipp import start_client
from wire import Datagrams, Dialog, answer, fresh

SERVERS = 4
RING_MS = 500
TALK_MS = 3000
DEATH_SECONDS = 3
# Time until the address has moved; keepalived needs about as long.
GONE_SECONDS = 1.0
DEAF_SECONDS = 0.3


class Pair:
    """Two load managers with one key and the same servers; each makes its own choices."""

    def __init__(self, farm, servers, fronts, known_as, tell=True, overheard=()):
        self.farm, self.fronts, self.processes = farm, fronts, []
        self.peers = [farm.address(), farm.address()]
        self.controls = [farm.control(f"control-{number}") for number in range(2)]
        key_file = farm.directory / "farm.keys"
        key_file.write_bytes(subprocess.run([STROWGER, "key"], capture_output=True, check=True, timeout=5).stdout)
        os.chmod(key_file, 0o600)
        for number, front in enumerate(fronts):
            to = [self.peers[1 - number].host_port, *(address.host_port for address in overheard)]
            more = {"peers": {"listen": self.peers[number].host_port, "to": to}} if tell else {}
            process = farm.configured(
                {front: known_as.host_port},
                servers,
                selection={"kind": "round-robin"},
                keys={"file": str(key_file)},
                health={"probe": "off"},
                control={"path": str(self.controls[number])},
                **more,
            )
            self.processes.append(process)
        if tell:
            until(lambda: all(bound(peer) for peer in self.peers), "ports for each other")

    def counter(self, number, name):
        return self.farm.counters(self.controls[number])[name]


def said(servers, call_id, method):
    """The server that this request reached."""
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        readable = select.select([server.socket for server in servers], [], [], 0.5)[0]
        for server in servers:
            if server.socket in readable and (message := server.receive(0)):
                if (message.first("Call-ID"), message.method) == (call_id, method):
                    return server, message
    raise RuntimeError(f"{method} reached no server")


def told(tell):
    """An INVITE through one; the other gets its own call, then the repetition, then the CANCEL."""
    count, elsewhere = calls(50, 300, 3000), 0
    with Farm(f"redundant-told-{tell}") as farm:
        servers = [Datagrams(farm.address()) for _ in range(SERVERS)]
        fronts = [farm.address(), farm.address()]
        pair = Pair(farm, [server.address for server in servers], fronts, fronts[0], tell)
        with Datagrams(farm.address()) as caller:
            begun = []
            # One call more; otherwise their turns would stay equal.
            caller.send(Dialog(caller.address).request("INVITE", 1), fronts[1])
            for _ in range(count):
                stranger, dialog = Dialog(caller.address), Dialog(caller.address)
                caller.send(stranger.request("INVITE", 1), fronts[1])
                said(servers, stranger.call_id, "INVITE")
                invite = dialog.request("INVITE", 1)
                caller.send(invite, fronts[0])
                begun.append((dialog.call_id, invite, said(servers, dialog.call_id, "INVITE")[0]))
            learnt = lambda: pair.counter(1, "notices_learnt") if tell else count  # noqa: E731
            until(lambda: learnt() == count, "all learnt by the other", 10)
            for call_id, invite, server in begun:
                caller.send(invite, fronts[1])
                again, _ = said(servers, call_id, "INVITE")
                caller.send(invite.replace("INVITE", "CANCEL"), fronts[1])
                cancelled, _ = said(servers, call_id, "CANCEL")
                elsewhere += again is not server or cancelled is not again
    problems = []
    if tell and elsewhere:
        problems.append(f"{elsewhere} calls reached two servers")
    if not tell and not elsewhere:
        problems.append("each would have found its server untold: this shows nothing")
    return f"{count} calls, repetition and CANCEL by the other, {elsewhere} at another server", problems


def forged():
    """Notices without a signature, with another key's signature, and signed ones sent again: they are counted, and move no
    call."""
    with Farm("redundant-forged") as farm:
        servers = [Datagrams(farm.address()) for _ in range(SERVERS)]
        fronts, ear = [farm.address(), farm.address()], farm.address()
        with Datagrams(farm.address()) as caller, Datagrams(ear) as listener:
            pair = Pair(farm, [server.address for server in servers], fronts, fronts[0], overheard=[ear])
            count = calls(20, 100, 1000)
            batches = []
            for _ in range(count):
                dialog = Dialog(caller.address)
                caller.send(dialog.request("INVITE", 1), fronts[0])
                said(servers, dialog.call_id, "INVITE")
                batches.append(listener.socket.recv(2048))
            for batch in batches:
                listener.send(batch, pair.peers[1])
                listener.send(batch[:-1] + bytes([batch[-1] ^ 1]), pair.peers[1])
                listener.send(batch[:5] + bytes([batch[5] ^ 0x55]) + batch[6:], pair.peers[1])
                listener.send(batch[:4] + b"\x02" + batch[5:], pair.peers[1])
                listener.send(os.urandom(len(batch)), pair.peers[1])
                time.sleep(0.001)
            reasons = ["replayed", "bad_authenticator", "unknown_key", "version", "no_batch"]
            ignored = lambda: [pair.counter(1, f"notices_ignored_{reason}") for reason in reasons]  # noqa: E731
            until(lambda: sum(ignored()) == 5 * count, "all counted", 5)
            counted, heard = ignored(), pair.counter(1, "notices_heard")
    problems = [] if counted == [count] * 5 else [f"ignored {dict(zip(reasons, counted))} of {count} each"]
    problems += [] if heard == count else [f"{heard} of {count} believed"]
    return f"{count} each replayed, forged, of an unknown key and version, and rubbish: counted and ignored", problems


class Moving(threading.Thread):
    """An address that belongs to one load manager and then to the other: passes datagrams on to its present owner, if any."""

    def __init__(self, place, owner):
        super().__init__(daemon=True)
        self.owner, self.lost, self.wanted = owner, 0, True
        # Ports from which no datagram passes.
        self.deaf_to = set()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind((place.ip, place.port))
        self.socket.settimeout(0.2)

    def run(self):
        while self.wanted:
            try:
                data, source = self.socket.recvfrom(65536)
            except OSError:
                continue
            owner = self.owner
            if owner is None or source[1] in self.deaf_to:
                self.lost += 1
                continue
            try:
                self.socket.sendto(data, (owner.ip, owner.port))
            except OSError:
                self.lost += 1

    def end(self):
        self.wanted = False
        self.join(2)
        self.socket.close()


def summary(server, what):
    """A figure that an answering server prints when it ends."""
    for line in server.log.read_text().splitlines():
        if line.strip().startswith(what):
            return int(line.split()[-1])
    return 0


def killed():
    rate = calls(100, 100, 500)
    count = rate * 6
    with Farm("redundant-killed") as farm:
        # Servers that answer to the address in the Via, which SIPp does not.
        places = [farm.address() for _ in range(SERVERS)]
        servers = [farm.answer(server, "--answer-ms", RING_MS) for server in places]
        place, fronts = farm.address(), [farm.address(), farm.address()]
        address = Moving(place, fronts[0])
        farm.callback(address.end)
        address.start()
        pair = Pair(farm, places, fronts, place)
        # Without rport, so that answers go to the caller and not to the moving address, from which no caller sends.
        steps = [step.replace(";rport", "") for step in calling()]
        caller = start_client(farm, steps, place, count, rate, "-d", TALK_MS)
        caller.begun(rate * DEATH_SECONDS)
        # The last calls reach their servers, but no answer comes back: the callers will repeat them through the other load
        # manager.
        address.deaf_to = {place.port for place in places}
        time.sleep(DEAF_SECONDS)
        new_before = pair.counter(0, "new_calls")
        address.owner = None
        pair.processes[0].kill()
        time.sleep(GONE_SECONDS)
        address.deaf_to, address.owner = set(), fronts[1]
        outcome = caller.finish()
        learnt, known, chosen = (pair.counter(1, name) for name in ("notices_learnt", "remembered", "new_calls"))
        for server in servers:
            server.end()
    made, unknown = (sum(summary(server, what) for server in servers) for what in ("calls offered", "requests of unknown calls"))
    problems = []
    if outcome.failed or outcome.good != count:
        problems.append(f"{outcome.failed} calls failed ({outcome.causes()}), {outcome.good} of {count} good: {outcome.errors}")
    if made != count:
        problems.append(f"the servers saw {made} calls, {count} were made: some reached two")
    if unknown:
        problems.append(f"{unknown} requests reached a server that knew nothing of their call")
    if new_before <= 0 or learnt < new_before or known <= 0 or chosen <= 0:
        problems.append(f"{new_before} new calls by the one; by the other {learnt} learnt, {known} repetitions, {chosen} new calls: not what was to be shown")
    figures = f"{outcome.good} of {count} calls good at {rate}/s, one load manager killed, {address.lost} datagrams lost with its address"
    return f"{figures}; the other had learnt of {learnt} calls, {known} repetitions found their server there, {made} calls at the servers", problems


def main():
    report = Report("redundant")
    report.case("repetition_and_cancel_by_the_other", told, True)
    report.case("untold_they_go_astray", told, False)
    report.case("forged_and_replayed", forged)
    report.case("one_killed", killed)
    report.end()


if __name__ == "__main__":
    main()
