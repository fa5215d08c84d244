"""Callers and servers with different transports: UDP and TCP, IPv4 and IPv6, in every pairing.

The load manager stands between them with a listener for each, and writes one Record-Route entry for each side if they differ. A
call with a re-INVITE that the server ends proves both directions."""

from farm import Farm
from report import Report, calls
from scenario import SDP, agree, answering, calling, expect, pause, server_bye, within
from sipp import Sipp, all_clean, client

SERVERS = 2
RATE = 200
LOOPBACK = {"ipv4": "127.0.0.1", "ipv6": "::1"}
PAIRS = [
    (("tcp", "ipv4"), ("udp", "ipv4")),
    (("udp", "ipv4"), ("tcp", "ipv4")),
    (("udp", "ipv6"), ("udp", "ipv6")),
    (("tcp", "ipv6"), ("tcp", "ipv6")),
    (("udp", "ipv6"), ("udp", "ipv4")),
    (("udp", "ipv4"), ("udp", "ipv6")),
    (("tcp", "ipv6"), ("tcp", "ipv4")),
    (("tcp", "ipv4"), ("tcp", "ipv6")),
    (("tcp", "ipv6"), ("udp", "ipv4")),
    (("udp", "ipv4"), ("tcp", "ipv6")),
]

REINVITE = [within("INVITE", 2, SDP), expect(100, optional=True), expect(200), within("ACK", 2)]
REINVITED = [expect("INVITE"), agree(SDP), expect("ACK")]
ENDINGS = {
    "caller_ends": (calling(*REINVITE, pause(20)), answering(*REINVITED)),
    "server_ends": (calling(*REINVITE, end=[expect("BYE"), agree()]), answering(*REINVITED, pause(20), end=[server_bye(), expect(200)])),
}


def run(near, far, ending):
    count = calls(20, 300, 5000)
    caller_steps, callee_steps = ENDINGS[ending]
    with Farm(f"transports-{'-'.join(near)}-{'-'.join(far)}-{ending}") as farm:
        servers = [Sipp(farm, callee_steps, farm.address(far[0], LOOPBACK[far[1]])) for _ in range(SERVERS)]
        front = farm.address(near[0], LOOPBACK[near[1]])
        back = [] if near == far else [farm.address(far[0], LOOPBACK[far[1]])]
        places = [server.place for server in servers]
        farm.load_manager([front, *back], places, "--affinity", "tag", "--selection", "round-robin", "--workers", 2)
        caller = client(farm, caller_steps, front, count, RATE)
        answered = [server.stop() for server in servers]
    return f"{caller.good} calls, {caller.failed} failed", all_clean(caller, count, answered)


def main():
    report = Report("transports")
    for near, far in PAIRS:
        for ending in ENDINGS:
            report.case(f"{'-'.join(near)}_to_{'-'.join(far)}/{ending}", run, near, far, ending)
    report.end()


if __name__ == "__main__":
    main()
