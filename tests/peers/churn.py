"""Servers that come and go under load, and the requests of a call in set-up that must not move meanwhile.

The agents' servers are started and stopped; no call may fail. Then message by message: a repeated INVITE, its CANCEL, the ACK
to its failure and its PRACK reach the server that got the INVITE, though one server came and another left in between
(RFC 3261 §16.11)."""

import struct
import time

from farm import PERIOD_MS, Farm, until
from report import Report, calls
from scenario import calling
from sipp import start_client
from wire import Datagrams, Dialog, answer, fresh

RATE = 100
TALK_MS = 1000
STOPPED, STARTED, DRAINING = 0, 1, 2
PROTOCOL_ID = 0xDEADFACE


def under_load():
    """Two servers stay; a third comes, a fourth comes and both leave again."""
    count = calls(800, 1000, 10000)
    with Farm("churn-load") as farm:
        front, control, heartbeat = _load_manager(farm, "tag")
        for _ in range(2):
            farm.agent(farm.address(), heartbeat.host_port)
        until(lambda: len(farm.status(control)["active"]) == 2, "two active servers")
        caller = start_client(farm, calling(), front, count, RATE, "-d", TALK_MS)
        sizes = []
        visitors = []
        for size in (3, 4):
            caller.begun(RATE * (size - 2))
            visitors.append(farm.agent(farm.address(), heartbeat.host_port))
            until(lambda size=size: len(farm.status(control)["active"]) == size, f"{size} active servers")
        sizes.append(4)
        for visitor, size in zip(visitors, (3, 2)):
            caller.begun(RATE * (6 - size))
            visitor.popen.terminate()
            until(lambda size=size: len(farm.status(control)["active"]) == size, f"{size} active servers again", 10)
        sizes.append(2)
        outcome = caller.finish()
        messages = [server["messages"] for server in farm.status(control)["servers"]]
    problems = [] if outcome.good == count else [f"{outcome.failed} calls failed ({outcome.causes()}), {outcome.good} of {count} good"]
    return f"{outcome.good} of {count} calls good, active servers 2, {sizes[0]}, {sizes[1]}, messages to each {messages}", problems


def _load_manager(farm, affinity):
    front, control, heartbeat = farm.address(), farm.control(), farm.address()
    farm.configured(
        {front: front.host_port},
        affinity={"kind": affinity, "hash": "consistent"},
        selection={"kind": "hash" if affinity == "hash" else "round-robin"},
        heartbeat={"listen": heartbeat.host_port, "period_ms": PERIOD_MS, "decay_periods": 5},
        control={"path": str(control)},
    )
    return front, control, heartbeat


class Beating:
    """A server that sends its own heartbeats, in the plain form: protocol id, server id, SIP port, state."""

    def __init__(self, farm, heartbeat):
        self.address, self.heartbeat, self.state = farm.address(), heartbeat, STARTED
        self.datagrams = Datagrams(self.address)
        self.beat()

    def beat(self):
        self.datagrams.send(struct.pack(">IIII", PROTOCOL_ID, self.address.port, self.address.port, self.state), self.heartbeat)

    def leave(self):
        self.state = STOPPED
        self.beat()


def _beat_all(servers):
    for server in servers:
        server.beat()


def _who_got(servers, call_id, method, seconds=0.5):
    """The server that this call's request of this method reached, and the request."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for server in servers:
            message = server.datagrams.receive(0.005)
            if message and message.first("Call-ID") == call_id and message.method == method:
                return server, message
    return None, None


def set_changes(affinity):
    """For each call: INVITE, the set of servers changes, then the other requests. Counts the requests that reached a wrong
    server."""
    count = calls(20, 60, 500)
    wrong = {"INVITE again": 0, "CANCEL": 0, "ACK": 0, "PRACK": 0}
    with Farm(f"churn-{affinity}") as farm:
        front, control, heartbeat = _load_manager(farm, affinity)
        servers = [Beating(farm, heartbeat) for _ in range(3)]
        until(lambda: len(farm.status(control)["active"]) == 3, "three active servers")
        caller = farm.address()
        with Datagrams(caller) as socket:
            for number in range(count):
                _beat_all(servers)
                dialog, branch = Dialog(caller), fresh("z9hG4bK")
                invite = dialog.request("INVITE", 1, branch)
                socket.send(invite, front)
                first, request = _who_got(servers, dialog.call_id, "INVITE")
                if not first:
                    raise RuntimeError(f"INVITE {number} reached no server")
                # A server comes, and the oldest other server that does not have this call leaves.
                servers.append(Beating(farm, heartbeat))
                leaving = next(server for server in servers if server is not first)
                leaving.leave()
                servers.remove(leaving)
                leaving.datagrams.close()
                expected = sorted(server.address.port for server in servers)
                until(lambda: sorted(port for port, state in farm.server_states(control).items() if state == "active") == expected, "the new set")
                first.datagrams.send(answer(request, 180, first.address, "ring" + dialog.call_id), front)
                ringing = socket.expect(lambda message: message.status == 180)
                if not ringing:
                    raise RuntimeError("180 did not come back")
                socket.send(invite, front)
                wrong["INVITE again"] += _who_got(servers, dialog.call_id, "INVITE")[0] is not first
                dialog.learn(ringing)
                socket.send(dialog.request("PRACK", 2, headers=["RAck: 1 1 INVITE"]), front)
                wrong["PRACK"] += _who_got(servers, dialog.call_id, "PRACK")[0] is not first
                dialog.routes, dialog.to_tag, dialog.target = [], "", "sip:service@example.com"
                for method in ("CANCEL", "ACK"):
                    socket.send(dialog.request(method, 1, branch), front)
                    wrong[method] += _who_got(servers, dialog.call_id, method)[0] is not first
    problems = [f"{times} of {count} {what} went elsewhere" for what, times in wrong.items() if times]
    return f"{count} calls, a server came and one went in each: INVITE again, CANCEL, ACK, PRACK at the INVITE's server", problems


def main():
    report = Report("churn")
    report.case("servers_come_and_go_under_load", under_load)
    report.case("set_changes_during_set_up/tag", set_changes, "tag")
    report.case("set_changes_during_set_up/session", set_changes, "session")
    report.case("set_changes_during_set_up/hash", set_changes, "hash")
    report.end()


if __name__ == "__main__":
    main()
