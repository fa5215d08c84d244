"""Registrations at all servers: some ask for a password, one never answers; registered users can be called."""

import hashlib
import itertools
import time

from farm import Farm, until
from kamailio import start_kamailio
from phones import PHONE
from report import Report
from wire import Datagrams, Stream

PASSWORD = "opensesame"
EXPIRES = {0: 120, 1: 90, 2: 300}
CALLS = 6
SDP = "v=0\r\no=a 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"

_numbers = itertools.count(1)


class Servers:
    """Three Kamailios, of which some ask for a password, a fourth server that never answers, and the load manager in front."""

    def __init__(self, farm, transport, challengers, path="supported"):
        self.farm = farm
        self.places = [farm.address() for _ in range(3)]
        for index, place in enumerate(self.places):
            challenges = "1 == 1" if index in challengers else "1 == 0"
            start_kamailio(farm, "registrar.cfg", place, expires=EXPIRES[index], challenges=challenges, password=PASSWORD)
        self.silent = farm.address()
        self.nobody = farm.enter_context(Datagrams(self.silent))
        self.udp = farm.address()
        self.front = self.udp if transport == "udp" else farm.address("tcp")
        listen = [self.udp] if transport == "udp" else [self.udp, self.front]
        listen = {address: address.host_port for address in listen}
        control, threads = {"path": str(farm.control())}, {"workers": 2}
        farm.configured(listen, [*self.places, self.silent], register={"to": "all", "path": path}, control=control, threads=threads)

    def counter(self, name):
        return self.farm.counters(self.farm.control())[name]

    def without_the_silent(self):
        """Returns when the load manager has called the silent server failed, so that calls go to the others."""
        until(lambda: self.farm.server_states(self.farm.control())[self.silent.port] == "failed", "the silent server to fail", 20)


def _md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def _digest(challenge, method, uri):
    part = {name.strip(): value.strip('" ') for name, _, value in (word.partition("=") for word in challenge.partition(" ")[2].split(","))}
    realm, nonce = part["realm"], part["nonce"]
    response = _md5(":".join((_md5(f"bob:{realm}:{PASSWORD}"), nonce, _md5(f"{method}:{uri}"))))
    values = {"username": "bob", "realm": realm, "nonce": nonce, "uri": uri, "response": response}
    return "Authorization: Digest " + ", ".join(f'{name}="{value}"' for name, value in values.items()) + "\r\n"


class Telephone:
    """A user agent on one TCP connection; only that connection leads to its contact."""

    def __init__(self, front):
        self.front, self.stream = front, Stream(front)
        self.call_id, self.cseq = f"register-{next(_numbers)}-{time.monotonic_ns()}", 0

    def register(self, attempts=6):
        """The last answer, and the number of answers until then."""
        credentials = {}
        uri = f"sip:{self.front.host_port}"
        for attempt in range(1, attempts + 1):
            self.cseq += 1
            self.stream.send(
                f"REGISTER {uri} SIP/2.0\r\nVia: SIP/2.0/TCP phone.invalid;branch=z9hG4bK-{self.call_id}-{self.cseq}\r\nMax-Forwards: 70\r\n"
                f"From: <sip:bob@{self.front.host_port}>;tag=b\r\nTo: <sip:bob@{self.front.host_port}>\r\nCall-ID: {self.call_id}\r\n"
                f"CSeq: {self.cseq} REGISTER\r\nContact: <sip:bob@phone.invalid;transport=tcp>\r\nExpires: 600\r\nSupported: path\r\n"
                + "".join(credentials.values()) + "Content-Length: 0\r\n\r\n"
            )
            answer = self.stream.receive(10)
            if answer and answer.first("CSeq") != f"{self.cseq} REGISTER":
                raise AssertionError(f"{self.cseq} REGISTER was answered with CSeq {answer.first('CSeq')}")
            if answer is None or answer.status != 401:
                return answer, attempt
            for challenge in answer.all("WWW-Authenticate"):
                credentials[challenge.split('realm="')[1].split('"')[0]] = _digest(challenge, "REGISTER", uri)
        return answer, attempts

    def close(self):
        self.stream.close()


def _answer(request, status, headers="", tag="callee"):
    copied = [(name, value) for name, value in request.fields if name.lower() in ("via", "record-route", "from", "call-id", "cseq")]
    to = request.first("To") + ("" if ";tag=" in request.first("To") else f";tag={tag}")
    lines = "".join(f"{name}: {value}\r\n" for name, value in copied)
    return f"SIP/2.0 {status}\r\n{lines}To: {to}\r\n{headers}Content-Length: 0\r\n\r\n"


def _request(method, number, caller, call_id, uri, to, headers="", body=""):
    return (
        f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {caller.host_port};branch=z9hG4bK-{call_id}-{number}-{method};rport\r\nMax-Forwards: 70\r\n"
        f"From: <sip:alice@{caller.host_port}>;tag=a\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {number} {method}\r\n"
        f"Contact: <sip:alice@{caller.host_port}>\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}"
    )


def _call(line, front, serve=lambda: None):
    """A call to bob through the load manager, hung up when it is answered. Returns the status that ended the set-up, or the
    fault."""
    caller, call_id, uri = line.address, f"call-{next(_numbers)}-{time.monotonic_ns()}", f"sip:bob@{front.host_port}"
    headers = "Content-Type: application/sdp\r\n"
    line.send(_request("INVITE", 1, caller, call_id, uri, f"<{uri}>", headers, SDP), front)
    serve()
    final = line.expect(lambda message: (message.status or 0) >= 200 and message.first("Call-ID") == call_id, 8)
    if final is None:
        return "no answer"
    to = final.first("To")
    if final.status != 200:
        line.send(_request("ACK", 1, caller, call_id, uri, to), front)
        return final.status
    target = final.first("Contact").split("<")[1].split(">")[0]
    routes = "".join(f"Route: {route}\r\n" for route in reversed(final.routes()))
    line.send(_request("ACK", 1, caller, call_id, target, to, routes), front)
    line.send(_request("BYE", 2, caller, call_id, target, to, routes), front)
    serve()
    done = line.expect(lambda message: message.first("CSeq") == "2 BYE", 5)
    return 200 if done and done.status == 200 else "the BYE was not answered"


def phone(transport, challengers):
    """baresip registers with its password, and is called through each server."""
    with Farm(f"register-baresip-{transport}-{len(challengers)}") as farm:
        servers = Servers(farm, transport, challengers, path="always")
        # A baresip also takes the next port, for TLS.
        place, _, line_place = (farm.address(transport) for _ in range(3))
        folder = farm.directory / "phone"
        folder.mkdir()
        (folder / "config").write_text(PHONE.format(listen=place.host_port))
        front = f"{servers.front.host_port};transport={transport}"
        account = f"<sip:bob@{front}>;auth_user=bob;auth_pass={PASSWORD};regint=60;answermode=auto;outbound=\"sip:{front}\""
        (folder / "accounts").write_text(account + "\n")
        (folder / "contacts").write_text("")
        farm.start("phone", ["baresip", "-4", "-f", folder])
        until(lambda: servers.counter("registers_accepted") > 0, "baresip to be registered", 20)
        servers.without_the_silent()
        line_place.transport = "udp"
        with Datagrams(line_place) as line:
            ended = [_call(line, servers.udp) for _ in range(CALLS)]
        problems = [f"call {number}: {status}" for number, status in enumerate(ended, 1) if status != 200]
        challenged = servers.counter("registers_challenged")
        if challenged < len(challengers):
            problems.append(f"{challenged} challenges passed on, {len(challengers)} servers ask")
    return f"registered after {challenged} challenges, {ended.count(200)} of {CALLS} calls", problems


def wire():
    """The answers to the telephone, and the ways to reach it: only on its connection, and on the newest one."""
    problems = []
    with Farm("register-wire") as farm:
        servers = Servers(farm, "tcp", {0, 1})
        telephone = Telephone(servers.front)
        answer, attempts = telephone.register()
        status = answer.status if answer else None
        contacts = answer.all("Contact") if answer else []
        if status != 200 or len(contacts) != 1:
            problems.append(f"registered with {status} and contacts {contacts}")
        expires = contacts[0].split("expires=")[1].split(";")[0] if contacts and "expires=" in contacts[0] else "?"
        if expires != str(min(EXPIRES.values())):
            problems.append(f"expires {expires}, and the first server forgets after {min(EXPIRES.values())}")
        servers.without_the_silent()
        line = farm.enter_context(Datagrams(farm.address()))

        def reached(telephone):
            """Three calls, one through each server, answered on the connection."""
            def serve():
                # An ACK may come before the BYE.
                for _ in range(2):
                    request = telephone.stream.receive(5)
                    if request is None or request.method == "ACK":
                        continue
                    contact = "Contact: <sip:bob@phone.invalid;transport=tcp>\r\n"
                    telephone.stream.send(_answer(request, "200 OK", contact))
                    return
            return [_call(line, servers.udp, serve) for _ in range(3)]

        first = reached(telephone)
        # The telephone comes back over another connection, and registers there.
        telephone.close()
        again = Telephone(servers.front)
        answer, _ = again.register()
        second = reached(again)
        # The telephone goes, and nobody registers after that.
        before = servers.counter("connections_open")
        again.close()
        until(lambda: servers.counter("connections_open") < before, "the connection is closed")
        gone = [_call(line, servers.udp) for _ in range(3)]
        for when, statuses, expected in (("registered", first, 200), ("back", second, 200), ("gone", gone, 430)):
            if statuses != [expected] * 3:
                problems.append(f"{when}: calls ended with {statuses}, not {expected}")
        forged = _request("MESSAGE", 1, servers.nobody.address, "forged", "sip:bob@phone.invalid", "<sip:bob@x>", f"Route: <sip:{servers.udp.host_port};lr;farmflow=AAAAAAAAAAAAAAAAAAAAAAAAAAAA>\r\n")
        servers.nobody.send(forged, servers.udp)
        refused = servers.nobody.expect(lambda message: message.status is not None, 3)
        if not refused or refused.status != 403 or servers.counter("forged_flow_tokens") != 1:
            problems.append(f"a forged token was answered with {refused and refused.status}, counted {servers.counter('forged_flow_tokens')} times")
    return f"200 after {attempts} attempts, expires {expires}, calls {first} {second} {gone}", problems


def wrong_password():
    """The telephone gets the refusal, and is not asked by one server after the other."""
    global PASSWORD
    with Farm("register-wrong-password") as farm:
        servers = Servers(farm, "tcp", {0, 1, 2})
        right, PASSWORD = PASSWORD, "wrong"
        try:
            answer, attempts = Telephone(servers.front).register(2)
        finally:
            PASSWORD = right
    stale = answer is not None and any("stale=true" in field for field in answer.all("WWW-Authenticate"))
    problems = [] if answer and answer.status == 401 and not stale else [f"answer {answer and answer.start}, stale {stale}"]
    return f"401 after {attempts} attempts", problems


def main():
    report = Report("register")
    report.case("baresip/udp/one_challenges", phone, "udp", {1})
    report.case("baresip/tcp/all_challenge", phone, "tcp", {0, 1, 2})
    report.case("wire/tcp", wire)
    report.case("wrong_password", wrong_password)
    report.end()


if __name__ == "__main__":
    main()
