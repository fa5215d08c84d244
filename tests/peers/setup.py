"""Events in a call besides an answer: lost messages, CANCEL, failures, changes of the session, long messages with many Vias, a
server that hangs up. Over UDP and over TCP, in every affinity."""

from contextlib import nullcontext

from farm import Farm
from loss import LossyNetwork
from report import Report, calls
from scenario import (
    SDP, ack_failure, agree, answering, calling, cancel, expect, invite, pause, respond, server_bye, within,
)
from sipp import Sipp, all_clean, client

SERVERS = 2
RATE = 200
VIAS = 70
LOST_SHARE, LOSS_SEED = 0.05, 1889

# Longer than the 1300 bytes above which a request must leave by TCP (RFC 3261 §18.1.1).
LONG_SDP = SDP + "".join(f"a=x-candidate:{index} 1 udp 2113937151 192.0.2.{index} 30000 typ host\n" for index in range(1, 30))
TRAVELLED = "".join(f"Via: SIP/2.0/UDP 192.0.2.{hop}:5060;branch=z9hG4bKhop{hop}\n" for hop in range(1, VIAS + 1)).rstrip()

RELIABLE = "Require: 100rel\nRSeq: 1"


def remember_vias(count=2):
    """The Vias of an INVITE: the load manager's, then the caller's; one more for each proxy between."""
    found = "".join(
        f'<ereg regexp=".*" search_in="hdr" header="Via:" occurrence="{number}" check_it="true" assign_to="via_{number}"/>'
        for number in range(1, count + 1)
    )
    return f"<action>{found}</action>"


def to_invite(step, vias=2):
    """An answer to the INVITE after another request came: SIPp takes Via and CSeq from the last one."""
    written = "\n".join(f"Via:[$via_{number}]" for number in range(1, vias + 1))
    return step.replace("[last_Via:]", written).replace("[last_CSeq:]", "CSeq: 1 INVITE")


def cancelled(body=SDP, vias=2):
    caller = [invite(body), expect(100, optional=True), expect(180), pause(50), cancel(), expect(200), expect(487), ack_failure()]
    ended = to_invite(respond(487), vias)
    return caller, [expect("INVITE", action=remember_vias(vias)), respond(180), expect("CANCEL"), respond(200), pause(20), ended, expect("ACK")]


def refused(status, body=SDP):
    caller = [invite(body), expect(100, optional=True), expect(status), ack_failure()]
    return caller, [expect("INVITE"), respond(status, repeated=True), expect("ACK")]


def changed():
    """UPDATE, then a re-INVITE, each with an offer and an answer."""
    caller = calling(
        within("UPDATE", 2, SDP), expect(200),
        within("INVITE", 3, SDP), expect(100, optional=True), expect(200), within("ACK", 3),
    )
    return caller, answering(expect("UPDATE"), agree(SDP).replace(' retrans="500"', ""), expect("INVITE"), agree(SDP), expect("ACK"))


def reliable():
    """A provisional answer that is acknowledged: PRACK goes to the server that rings."""
    caller = [
        invite(headers="Supported: 100rel"), expect(100, optional=True), expect(180, routes=True),
        within("PRACK", 2, headers="RAck: 1 1 INVITE"), expect(200), expect(200, routes=True), within("ACK", 1),
        within("BYE", 3), expect(200),
    ]
    callee = [
        expect("INVITE", routes=True, action=remember_vias()), respond(180, headers=RELIABLE, repeated=True), expect("PRACK"), agree(), pause(50),
        to_invite(respond(200, SDP, to_tag="", repeated=True)), expect("ACK"), expect("BYE"), agree(),
    ]
    return caller, callee


def hung_up_by_server():
    caller = calling(end=[expect("BYE"), agree()])
    return caller, answering(pause(50), end=[server_bye(), expect(200)])


def lossy():
    """Time for an ACK to be repeated four times before the BYE comes, and for a BYE to be repeated six times."""
    return calling(pause(8000)), answering(linger_ms=16000)


STORIES = {
    "cancel_of_a_ringing_call": cancelled,
    "busy_486": lambda: refused(486),
    "unavailable_503": lambda: refused(503),
    "moved_302": lambda: refused(302),
    "update_and_reinvite": changed,
    "prack": reliable,
    "long_sdp": lambda: (calling(body=LONG_SDP), answering()),
    "seventy_vias": lambda: (calling(headers=TRAVELLED), answering()),
    "server_hangs_up": hung_up_by_server,
    "lost_messages": lossy,
}


def run(transport, affinity, story):
    count = calls(20, 200, 2000)
    loses = story == "lost_messages"
    caller_steps, callee_steps = STORIES[story]()
    with Farm(f"setup-{transport}-{affinity}-{story}") as farm:
        servers = [Sipp(farm, callee_steps, farm.address(transport)) for _ in range(SERVERS)]
        front = farm.address(transport)
        selection = "hash" if affinity == "hash" else "round-robin"
        places = [server.place for server in servers]
        farm.load_manager(front, places, "--affinity", affinity, "--selection", selection, "--workers", 2)
        with LossyNetwork(farm.address(transport), front, LOST_SHARE, LOSS_SEED) if loses else nullcontext() as network:
            caller = client(farm, caller_steps, network.place if network else front, count, RATE, "-d", "20")
        answered = [server.stop() for server in servers]
    resent = caller.retransmissions + sum(counters.retransmissions for counters in answered)
    figures = f"{caller.good} calls, {caller.failed} failed, {resent} messages sent again"
    if loses:
        problems = [] if caller.good == count and resent else [f"{caller.good} of {count} good ({caller.causes()}), {resent} sent again: {caller.errors}"]
        return f"{figures}, {network.lost} lost", problems
    return figures, all_clean(caller, count, answered)


def main():
    report = Report("setup")
    for story in STORIES:
        for transport in ("udp", "tcp"):
            for affinity in ("tag", "session", "hash"):
                if (transport, story) != ("tcp", "lost_messages"):
                    report.case(f"{transport}/{affinity}/{story}", run, transport, affinity, story)
    report.end()


if __name__ == "__main__":
    main()
