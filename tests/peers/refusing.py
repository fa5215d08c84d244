"""One of four servers fails every call: it answers 500, or 503, or never. At most its first ten calls may fail; after them, 99
of 100 calls are answered. If the load manager holds set-ups, every call is answered: another server gets the refused calls."""

import contextlib
import socket

from farm import Farm
from report import Report, calls
from scenario import answering, calling, expect, respond
from sipp import Sipp, client

LIVING = 3
RATE = 100
FIRST = 10
# Longer than a set-up that is given up after 16·T1 and then answered by another server.
PATIENCE_MS = 20000


@contextlib.contextmanager
def silent(farm, transport):
    """Receives messages and answers none."""
    place = farm.address(transport)
    with socket.socket(place.family, socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM) as mute:
        mute.bind((place.ip, place.port))
        if transport == "tcp":
            mute.listen(64)
        yield place


@contextlib.contextmanager
def refusing(farm, transport, status):
    yield Sipp(farm, [expect("INVITE"), respond(status, repeated=True), expect("ACK")], farm.address(transport)).place


def run(transport, hold, says):
    count = calls(300, 600, 4000)
    with Farm(f"refusing-{transport}-{hold}-{says}") as farm, contextlib.ExitStack() as stack:
        failing = stack.enter_context(refusing(farm, transport, says) if says else silent(farm, transport))
        living = [farm.address(transport) for _ in range(LIVING)]
        for place in living:
            # Where the failing server is silent, callers repeat their INVITEs, and a copy may cross the answer. SIPp as a server tells a
            # copy by its bytes, not by its branch (RFC 3261 §17.2.3): it would take the copy for a fault and give up the call.
            farm.answer(place) if says is None else Sipp(farm, answering(), place)
        front, control = farm.address(transport), farm.control()
        farm.configured(
            {front: front.host_port},
            [failing, *living],
            selection={"kind": "round-robin"},
            hold_setup={"kind": hold},
            control={"path": str(control)},
        )
        outcome = client(farm, calling(), front, count, RATE, "-d", 20, "-recv_timeout", PATIENCE_MS)
        given = {server["address"]: server["new_calls"] for server in farm.status(control)["servers"]}[failing.host_port]
    bad = count - outcome.good
    problems = []
    if (bad - min(bad, FIRST)) * 100 > count - FIRST:
        problems.append(f"{bad} of {count} calls failed ({outcome.causes()})")
    if hold != "off" and bad:
        problems.append(f"{bad} of {count} calls failed though they were held ({outcome.causes()})")
    # In a long run the server is tried again, and gets a few more.
    if says and given > 2 * FIRST:
        problems.append(f"it was not set aside, and given {given}")
    return f"{outcome.good} of {count} calls good, it was given {given}", problems


def main():
    report = Report("refusing")
    for says in (500, 503, None):
        for transport, hold in (("udp", "off"), ("udp", "all"), ("tcp", "stream")):
            report.case(f"{transport}/{hold}/{says or 'silent'}", run, transport, hold, says)
    report.end()


if __name__ == "__main__":
    main()
