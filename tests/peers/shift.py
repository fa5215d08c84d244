"""Servers of a group that shift workload to each other, and clients that follow their redirects.

The primary takes calls up to its threshold; all further calls must end on the other servers, by 302, in each way of sharing."""

import hashlib
import hmac
import os
import signal
import struct
import time

from farm import Farm, until
from report import Report, calls
from scenario import SDP, _send, expect, pause, within
from sipp import clean, start_client
from wire import Datagrams, Dialog

NAMES = ("one", "two", "three")
KEY = "6b" * 32
THRESHOLD = 10
PROTOCOL_ID = 0xDEADFAD2
RATE = 50
TALK_MS = 500


class Group:
    """Three servers that share a key; the first is the primary."""

    def __init__(self, farm, *options, primary=(), period_ms=200, others=THRESHOLD * 1000):
        self.farm = farm
        self.sip = [farm.address() for _ in NAMES]
        self.group = [farm.address() for _ in NAMES]
        self.key_file = farm.directory / "group.keys"
        self.key_file.write_text(f"heartbeat {KEY}\n")
        self.key_file.chmod(0o600)
        self.servers = [self.start(index, options, primary if index == 0 else (), THRESHOLD if index == 0 else others, period_ms) for index in range(len(NAMES))]
        for server in self.servers:
            until(lambda server=server: count(server, "members that came") >= 2, f"{server.name} knows both others")

    def start(self, index, options, more, threshold, period_ms):
        words = ["--member", f"{NAMES[index]}={self.group[index].host_port}", "--key-file", self.key_file, "--threshold", f"calls={threshold}", "--period-ms", period_ms]
        for other, address in enumerate(self.group):
            if other != index:
                words += ["--peer", f"{NAMES[other]}={address.host_port}"]
        return self.farm.answer(self.sip[index], *words, *options, *more)


def counters(server):
    """The output of a server that is asked for its counters."""
    before = server.log.stat().st_size
    server.popen.send_signal(signal.SIGUSR1)
    until(lambda: "shift: reports sent" in since(server, before), f"{server.name} prints its counters")
    rows = (line.strip().rsplit(None, 1) for line in since(server, before).splitlines())
    return {words[0].strip().removeprefix("shift: "): int(words[1]) for words in rows if len(words) == 2 and words[1].isdigit()}


def since(server, offset):
    """What a server has printed since then."""
    with open(server.log, "rb") as log:
        log.seek(offset)
        return log.read().decode()


def count(server, what):
    return counters(server).get(what, 0)


def following(*talk):
    """A caller that follows a redirect: RFC 3261 §8.1.3.4. After the 302 it sends to the address in the Contact."""
    first = invite("sip:service@[remote_ip]:[remote_port]", 1)
    contact = '<action><ereg regexp="sip:[^@]*@([0-9.]+):([0-9]+)[^>]*" search_in="hdr" header="Contact:" assign_to="whole,host,port"/>'
    ack = _send(
        [
            "ACK sip:service@[remote_ip]:[remote_port] SIP/2.0",
            "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch-INVITE]",
            "[last_From:]",
            "[last_To:]",
            "Call-ID: [call_id]",
            "CSeq: 1 ACK",
            "Max-Forwards: 70",
        ],
        "",
        False,
    )
    return [
        first,
        expect(100, optional=True),
        expect(302, action=contact + "</action>"),
        ack,
        '<nop><action><setdest host="[$host]" port="[$port]" protocol="udp"/></action></nop>',
        invite("[$whole]", 2),
        expect(100, optional=True),
        expect(180, optional=True),
        expect(200, routes=True),
        within("ACK", 2),
        *(talk or [pause()]),
        within("BYE", 3),
        expect(200),
    ]


def invite(uri, number):
    lines = [
        f"INVITE {uri} SIP/2.0",
        "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
        "From: caller <sip:caller@[local_ip]:[local_port]>;tag=[pid]c[call_number]",
        "To: service <sip:service@[remote_ip]:[remote_port]>",
        "Call-ID: [call_id]",
        f"CSeq: {number} INVITE",
        "Contact: <sip:caller@[local_ip]:[local_port];transport=[transport]>",
        "Max-Forwards: 70",
    ]
    return _send(lines, SDP, True)


def fill(group):
    """Fills the primary up to its threshold with calls that nobody ends."""
    with Datagrams(group.farm.address()) as caller:
        for _ in range(THRESHOLD):
            dialog = Dialog(caller.address)
            caller.send(dialog.request("INVITE", 1, headers=[f"Contact: <sip:caller@{caller.address.host_port}>"]), group.sip[0])
            answer = caller.expect(lambda message: message.status == 200)
            if answer is None:
                raise RuntimeError("the primary did not take a call below its threshold")
            dialog.learn(answer)
            caller.send(dialog.request("ACK", 1), group.sip[0])


def shifted(sharing, identity):
    """The primary is full: every new call ends on one of the others, and is redirected once."""
    number = calls(100, 300, 3000)
    with Farm(f"shift-{sharing}-{identity}") as farm:
        group = Group(farm, "--sharing", sharing, "--identity", identity)
        fill(group)
        outcome = start_client(farm, following(), group.sip[0], number, RATE * number // 100, "-d", TALK_MS).finish()
        primary, *others = [counters(server) for server in group.servers]
    taken = [other.get("calls answered", 0) for other in others]
    redirected = primary.get("calls sent to another member", 0)
    problems = clean("caller", outcome, number, resent=number)
    if sum(taken) != number or redirected != number:
        problems.append(f"{redirected} of {number} calls redirected, {sum(taken)} taken")
    if primary.get("calls answered") != THRESHOLD:
        problems.append(f"the primary answered {primary.get('calls answered')} calls, its threshold is {THRESHOLD}")
    if min(taken) == 0:
        problems.append(f"one of the others took nothing: {taken}")
    again = sum(other.get("calls sent to another member", 0) + other.get("calls of other members passed on", 0) for other in others)
    if again:
        problems.append(f"{again} calls were sent on again")
    if identity == "straight" and sum(other.get("clients told straight", 0) for other in others) < number:
        problems.append("not every client was told straight")
    return f"{outcome.good} of {number} calls good, taken by the others {taken}", problems


def section(number, value):
    return struct.pack("!HH", number, len(value)) + value


def offer(sender, receiver, client, count, key):
    """An offer for the client `client`, with the answer for that client."""
    answer = b"SIP/2.0 302 Moved Temporarily\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKx\r\n"
    body = section(1, sender) + section(2, receiver) + section(32, sender) + section(33, struct.pack("!Q", count))
    body += section(34, struct.pack("!Q", count)) + section(35, bytes([len(sender)]) + sender) + section(36, b"\5") + section(37, b"\1")
    body += section(38, bytes(map(int, client.ip.split("."))) + struct.pack("!H", client.port)) + section(40, b"\0") + section(41, b"bob") + section(42, answer)
    head = struct.pack("!IBBHQQ", PROTOCOL_ID, 1, 3, 24 + len(body) + 16, 1, count)
    return head + body + hmac.new(key, head + body, hashlib.sha256).digest()[:16]


def forged():
    """Messages that a stranger can send to a group: forged offers against a victim, unknown names, noise. Calls go on beside
    them."""
    number = calls(100, 200, 1000)
    with Farm("shift-forged") as farm:
        group = Group(farm, "--identity", "straight")
        fill(group)
        with Datagrams(farm.address()) as stranger, Datagrams(farm.address()) as victim:
            caller = start_client(farm, following(), group.sip[0], number, RATE, "-d", TALK_MS)
            for index in range(600):
                to, name = group.group[index % 3], NAMES[index % 3].encode()
                sender = NAMES[(index + 1) % 3].encode()
                # With a guessed key; with the key, but from an unknown member; meant for another; noise.
                stranger.send(offer(sender, name, victim.address, 1 << 60 | index, b"guess"), to)
                stranger.send(offer(b"mallory", name, victim.address, index, bytes.fromhex(KEY)), to)
                stranger.send(offer(sender, sender, victim.address, index, bytes.fromhex(KEY)), to)
                stranger.send(os.urandom(index % 200), to)
                time.sleep(0.002)
            outcome = caller.finish()
            hit = victim.receive(0.3)
        counted = [counters(server) for server in group.servers]
    problems = clean("caller", outcome, number, resent=number)
    if hit:
        problems.append(f"the victim got {hit.start}")
    ignored = {name: sum(one.get(f"datagrams ignored: {name}", 0) for one in counted) for name in ("bad_authenticator", "stranger", "not_for_us", "wrong_protocol", "short")}
    problems += [f"none ignored as {name}" for name, seen in ignored.items() if seen == 0]
    # They are sent slowly, but a server that waits for a processor may lose some in its socket.
    if ignored["bad_authenticator"] < 300:
        problems.append("forged offers that were not counted")
    return f"{outcome.good} of {number} calls good, ignored {', '.join(f'{name} {seen}' for name, seen in ignored.items())}", problems


def all_full(policy):
    """All servers are at their thresholds: the least loaded takes the call, or it is refused with Retry-After."""
    with Farm(f"shift-{policy}") as farm:
        group = Group(farm, "--all-above", policy, "--retry-after", 7, others=1)
        fill(group)
        with Datagrams(farm.address()) as caller:
            for address in group.sip[1:]:
                full = Dialog(caller.address)
                caller.send(full.request("INVITE", 1, headers=[f"Contact: <sip:caller@{caller.address.host_port}>"]), address)
                full.learn(caller.expect(lambda message: message.status == 200))
                caller.send(full.request("ACK", 1), address)
            # Two periods, so that all know each other's load.
            time.sleep(1)
            dialog = Dialog(caller.address)
            caller.send(dialog.request("INVITE", 1, headers=[f"Contact: <sip:caller@{caller.address.host_port}>"]), group.sip[0])
            answer = caller.expect(lambda message: (message.status or 0) >= 200 and message.first("Call-ID") == dialog.call_id, 5)
    seen = f"{answer.status} {answer.first('Retry-After') or answer.first('Contact')}" if answer else "nothing"
    good = seen == "503 7" if policy == "refuse" else answer is not None and answer.status in (200, 302)
    return f"answered {seen}", [] if good else [f"answered {seen}"]


def main():
    report = Report("shift")
    for sharing in ("push", "poll", "collect"):
        for identity in ("chain", "straight"):
            report.case(f"{sharing}/{identity}", shifted, sharing, identity)
    for policy in ("refuse", "least-loaded"):
        report.case(f"all-above/{policy}", all_full, policy)
    report.case("forged", forged)
    report.end()


if __name__ == "__main__":
    main()
