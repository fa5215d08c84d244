"""Outbound and connection reuse: a telephone is reached by its flow, loses it, and comes back; keep-alives are answered; false
claims are not believed."""

import socket
import time

from certificates import Authority
from farm import Farm, until
from kamailio import start_kamailio
from report import Report
from tls import Secure
from tunnel import TEXT, frame, upgrade
from wire import Datagrams, Message, Stream, answer, fresh

BINDING = bytes([0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42])
KINDS = ("tcp", "tls", "ws")


class WebSocket(Stream):
    """SIP over WebSocket, one message a frame."""

    def __init__(self, to):
        super().__init__(to)
        self.socket.sendall(upgrade()[0])
        heard = b""
        while b"\r\n\r\n" not in heard:
            heard += self.socket.recv(1)
        if not heard.startswith(b"HTTP/1.1 101 "):
            raise ConnectionError(f"no WebSocket: {heard!r}")

    def send(self, data):
        self.socket.sendall(frame(data if isinstance(data, bytes) else data.encode()))

    def _cut(self):
        """The payload of the next frame as a message: a server does not mask."""
        if len(self.pending) < 2:
            return None
        length, start = self.pending[1], 2
        if length == 126:
            length, start = int.from_bytes(self.pending[2:4], "big"), 4
        if len(self.pending) < start + length:
            return None
        kind, payload = self.pending[0] & 15, self.pending[start : start + length]
        self.pending = self.pending[start + length :]
        return Message(payload) if kind == TEXT else self._cut()


class Front:
    """A load manager with a listener of each kind, and a UDP listener through which it reaches its servers."""

    def __init__(self, farm, servers, udp=None, back=None, tls=None, **sections):
        self.farm, self.control = farm, farm.control()
        self.authority = Authority(farm, "authority")
        own = self.authority.sign()
        self.places = {kind: farm.address(kind) for kind in KINDS}
        self.udp = udp or farm.address()
        self.process = farm.configured(
            {place: place.host_port for place in (*self.places.values(), self.udp)},
            servers,
            tls={"certificate": str(own.certificate), "key": str(own.key), **(tls or {})},
            control={"path": str(self.control)},
            threads={"workers": 2},
            drain={"seconds": 0},
            **sections,
        )

    def count(self, name):
        return self.farm.counters(self.control).get(name, 0)

    def closes(self, stream):
        """Closes a client's connection, and returns when the load manager has noticed."""
        before = self.count("connections_open")
        stream.close()
        until(lambda: self.count("connections_open") < before, "the connection is closed")

    def claims(self):
        """Number of aliases that were requested and judged."""
        return self.count("aliases") + self.count("aliases_refused")

    def connect(self, kind):
        place = self.places[kind]
        if kind == "ws":
            return WebSocket(place)
        if kind == "tls":
            raw = socket.create_connection((place.ip, place.port), timeout=5)
            return Secure(place, self.authority.client().wrap_socket(raw, server_hostname=place.ip))
        return Stream(place)


class Telephone:
    """A user agent with `outbound` behind connections that come and go; its contact is a name that nobody can look up."""

    def __init__(self, front, kind, user="bob"):
        self.front, self.kind, self.user, self.number = front, kind, user, 0
        self.instance, self.host = f'"<urn:uuid:{fresh("0")}>"', f"{fresh('h')}.invalid"
        self.call_id, self.stream = fresh("registration"), front.connect(kind)

    def come_back(self):
        """Opens a new connection and leaves the old one as it is; returns the old one."""
        old, self.stream = self.stream, self.front.connect(self.kind)
        return old

    @property
    def contact(self):
        transport = "tls" if self.kind == "tls" else self.kind
        return f"sip:{self.user}@{self.host};transport={transport};ob"

    def request(self, method, call_id, number, uri, to, tag="phone", headers=""):
        return (
            f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{self.kind.upper()} {self.host};branch={fresh('z9hG4bK')}\r\nMax-Forwards: 70\r\n"
            f"From: <sip:{self.user}@example.com>;tag={tag}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {number} {method}\r\n"
            f"Supported: path, outbound\r\nContact: <{self.contact}>;reg-id=1;+sip.instance={self.instance}\r\n{headers}Content-Length: 0\r\n\r\n"
        )

    def register(self):
        self.number += 1
        self.stream.send(self.request("REGISTER", self.call_id, self.number, "sip:example.com", f"<sip:{self.user}@example.com>"))
        return self.stream.receive(5)


class Call:
    """A call that a telephone makes; the server is a UDP socket of the test."""

    def __init__(self, telephone, server):
        self.telephone, self.server, self.call_id, self.number = telephone, server, fresh("call"), 0
        self.to, self.routes = "<sip:service@example.com>", ""
        invited = self.ask("INVITE", contact=server.address)
        if not invited or invited.status != 200:
            raise ConnectionError(f"INVITE: {invited and invited.start}")
        self.to = invited.first("To")
        self.routes = "".join(f"Route: {route}\r\n" for route in reversed(invited.routes()))

    def write(self, method, routes=None):
        self.number += 1
        uri = f"sip:service@{self.server.address.host_port}"
        return self.telephone.request(method, self.call_id, self.number, uri, self.to, headers=self.routes if routes is None else routes)

    def ask(self, method, contact=None):
        """Sends a request of the telephone, which the server answers; returns the answer that comes back."""
        self.telephone.stream.send(self.write(method))
        arrived = self.server.expect(lambda message: message.method == method)
        if arrived is None:
            return None
        if method == "INVITE":
            self.back = "".join(f"Route: {route}\r\n" for route in arrived.routes())
            self.front, self.tag = arrived.source, "server"
        self.server.socket.sendto(answer(arrived, 200, contact, "server").encode(), arrived.source)
        while (heard := self.telephone.stream.receive(5)) and heard.status is None:
            pass
        return heard

    def from_server(self, method, routes=None):
        """Sends a request of the server within the dialog."""
        self.number += 1
        self.server.socket.sendto(
            (
                f"{method} {self.telephone.contact} SIP/2.0\r\nVia: SIP/2.0/UDP {self.server.address.host_port};branch={fresh('z9hG4bK')};rport\r\n"
                f"Max-Forwards: 70\r\nFrom: {self.to}\r\nTo: <sip:{self.telephone.user}@example.com>;tag=phone\r\nCall-ID: {self.call_id}\r\n"
                f"CSeq: {self.number} {method}\r\n{self.back if routes is None else routes}Contact: <sip:service@{self.server.address.host_port}>\r\n"
                "Content-Length: 0\r\n\r\n"
            ).encode(),
            self.front,
        )

    def reaches(self, method, stream, what):
        """The faults when a request of the server must reach this connection, and its answer the server."""
        self.from_server(method)
        heard = stream.receive(3)
        if heard is None or heard.method != method:
            said = self.server.expect(lambda message: message.status is not None, 0.2)
            return [f"{what}: {method} did not come, but {heard and heard.start}; the server was told {said and said.start}"]
        stream.send(answer(heard, 200))
        said = self.server.expect(lambda message: message.status is not None)
        return [] if said and said.status == 200 else [f"{what}: the answer to {method} was {said and said.start}"]

    def fails(self, method, status, what, routes=None):
        """The faults when a request of the server must be refused."""
        self.from_server(method, routes)
        said = self.server.expect(lambda message: message.status is not None, 3)
        return [] if said and said.status == status else [f"{what}: {method} was answered with {said and said.start}, not {status}"]


def dialog(kind):
    """A server's requests within a dialog go down the telephone's flow, and 430 comes back when the flow is gone."""
    with Farm(f"outbound-dialog-{kind}") as farm, Datagrams(farm.address()) as server:
        front = Front(farm, [server.address])
        telephone = Telephone(front, kind)
        call = Call(telephone, server)
        problems = call.reaches("INVITE", telephone.stream, "re-INVITE")
        forged = call.back.replace("farmtag=", "farmtag=A")
        problems += call.fails("INFO", 403, "forged", forged)
        if front.count("forged_tags") != 1:
            problems.append(f"forged_tags is {front.count('forged_tags')}")
        problems += call.reaches("INFO", telephone.stream, "after that")
        front.closes(telephone.stream)
        problems += call.fails("BYE", 430, "gone")
        if front.count("flows_failed") < 1:
            problems.append("flows_failed was not counted")
    return "re-INVITE and INFO by the flow, then 403 and 430", problems


def comes_back(kind, registers):
    """A telephone comes back on another connection while the old one still seems open: it continues the dialog, or registers
    again. The server's next request takes the new connection; a party that knows only what the server was told, as the other
    party of the call does, gets nothing."""
    with Farm(f"outbound-back-{kind}-{registers}") as farm, Datagrams(farm.address()) as server:
        front = Front(farm, [server.address])
        telephone = Telephone(front, kind)
        if registers:
            server_answers(telephone, server)
        call = Call(telephone, server)
        problems = call.reaches("INFO", telephone.stream, "first")
        own = call.routes
        old = telephone.come_back()
        other = Telephone(front, kind, "mallory")
        # The route set as the server saw it, which it tells the other party.
        call.routes = call.back
        other.stream.send(call.write("INFO"))
        server.expect(lambda message: message.method == "INFO")
        call.routes = own
        if registers:
            # A browser's contact may differ each time.
            telephone.host = f"{fresh('h')}.invalid"
            server_answers(telephone, server)
        else:
            said = call.ask("INFO")
            problems += [] if said and said.status == 200 else [f"INFO on the new connection: {said and said.start}"]
        problems += call.reaches("INFO", telephone.stream, "back, with the old one open")
        front.closes(old)
        problems += call.reaches("BYE", telephone.stream, "back, with the old one closed")
        while heard := other.stream.receive(0.3):
            if heard.status is None:
                problems.append(f"the other party got {heard.start}")
        if front.count("rebound") != 2:
            problems.append(f"rebound is {front.count('rebound')}, not 2")
    return "two requests on the new connection", problems


def server_answers(telephone, server):
    """Registers the telephone at a server of the test, which accepts."""
    telephone.number += 1
    uri = f"<sip:{telephone.user}@example.com>"
    telephone.stream.send(telephone.request("REGISTER", telephone.call_id, telephone.number, "sip:example.com", uri))
    arrived = server.expect(lambda message: message.method == "REGISTER")
    server.socket.sendto(answer(arrived, 200, to_tag="registrar").encode(), arrived.source)
    said = telephone.stream.receive(5)
    if not said or said.status != 200:
        raise ConnectionError(f"REGISTER: {said and said.start}")


def keep_alives():
    """On streams CRLF answers CRLF CRLF; on the UDP port of SIP a STUN Binding request gets its answer."""
    with Farm("outbound-keep-alives") as farm, Datagrams(farm.address()) as server, Datagrams(farm.address()) as telephone:
        front, problems = Front(farm, [server.address]), []
        for kind in KINDS:
            with front.connect(kind) as stream:
                stream.send(b"\r\n\r\n")
                wanted = b"\x81\x02\r\n" if kind == "ws" else b"\r\n"
                heard = stream.socket.recv(100)
                if heard != wanted:
                    problems.append(f"{kind}: {heard!r}")
        transaction = b"twelve bytes"
        telephone.send(BINDING + transaction, front.udp)
        heard = telephone.socket.recv(100)
        port = int.from_bytes(heard[26:28], "big") ^ 0x2112
        if heard[:2] != b"\x01\x01" or heard[8:20] != transaction or port != telephone.address.port:
            problems.append(f"STUN: {heard!r}")
        if front.count("stun_answers") != 1:
            problems.append("stun_answers was not counted")
    return f"{len(KINDS)} pongs and a binding", problems


def registrar():
    """Kamailio with its outbound module keeps the registration; calls go along the flow, and also along the new flow after a
    change."""
    with Farm("outbound-registrar") as farm, Datagrams(farm.address()) as line:
        place = farm.address()
        start_kamailio(farm, "outbound.cfg", place)
        front, problems = Front(farm, [place]), []
        telephone = Telephone(front, "tcp")

        def called(what, expected):
            call_id, uri = fresh("call"), "sip:bob@example.com"
            line.send(
                f"INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {line.address.host_port};branch={fresh('z9hG4bK')};rport\r\nMax-Forwards: 70\r\n"
                f"From: <sip:alice@example.com>;tag=a\r\nTo: <{uri}>\r\nCall-ID: {call_id}\r\nCSeq: 1 INVITE\r\n"
                f"Contact: <sip:alice@{line.address.host_port}>\r\nContent-Length: 0\r\n\r\n",
                front.udp,
            )
            if expected == 200:
                heard = telephone.stream.receive(5)
                if heard is None or heard.method != "INVITE":
                    return [f"{what}: no INVITE came, but {heard and heard.start}"]
                telephone.stream.send(answer(heard, 200, to_tag="bob"))
            said = line.expect(lambda message: (message.status or 0) >= 200 and message.first("Call-ID") == call_id, 8)
            return [] if said and said.status == expected else [f"{what}: {said and said.start}"]

        for what in ("registered", "registered again"):
            said = telephone.register()
            wanted = {"Require": "outbound", "Flow-Timer": "120"}
            wrong = {name: said.first(name) for name, value in wanted.items() if said.first(name) != value}
            if said.status != 200 or wrong or "reg-id=1" not in said.first("Contact"):
                problems.append(f"{what}: {said.start}, {wrong}, Contact {said.first('Contact')}")
            problems += called(what, 200)
            if what == "registered":
                telephone.come_back().close()
        front.closes(telephone.stream)
        problems += called("gone", 430)
    return "two flows, then 430", problems


class Caller:
    """Calls by UDP through the load manager, made only to see whether an INVITE arrives, and where."""

    def __init__(self, line, front):
        self.line, self.front = line, front

    def invite(self):
        call_id = fresh("call")
        self.line.send(
            f"INVITE sip:service@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {self.line.address.host_port};branch={fresh('z9hG4bK')};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=a\r\nTo: <sip:service@example.com>\r\nCall-ID: {call_id}\r\nCSeq: 1 INVITE\r\n"
            f"Contact: <sip:alice@{self.line.address.host_port}>\r\nContent-Length: 0\r\n\r\n",
            self.front,
        )
        return call_id

    def heard(self, call_id):
        return self.line.expect(lambda message: (message.status or 0) >= 200 and message.first("Call-ID") == call_id, 3)


def options(place, transport, parameters):
    """The message by which a server makes itself known on a connection that it opens."""
    return (
        f"OPTIONS sip:lb@example.com SIP/2.0\r\nVia: SIP/2.0/{transport.upper()} {place.host_port};branch={fresh('z9hG4bK')}{parameters}\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:server@example.com>;tag=s\r\nTo: <sip:lb@example.com>\r\nCall-ID: {fresh('options')}\r\n"
        "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )


def alias_over_tls():
    """A server opens a TLS connection and says `alias`: calls come to it over that connection only if its certificate proves
    its identity."""
    with Farm("outbound-alias-tls") as farm, Datagrams(farm.address()) as line:
        place, authority, strangers = farm.address("tls"), Authority(farm, "servers"), Authority(farm, "strangers")
        both = farm.directory / "both.pem"
        both.write_bytes(authority.certificate.read_bytes() + strangers.certificate.read_bytes())
        # Either authority may sign clients, only one may sign servers.
        tls = {"client_certificate": "optional", "client_ca": str(both), "server_ca": str(authority.certificate)}
        front, problems, ways = Front(farm, [place], tls=tls), [], []
        caller = Caller(line, front.udp)
        listening = socket.create_server((place.ip, place.port))
        farm.callback(listening.close)
        listening.settimeout(3)
        listening = authority.server(authority.sign()).wrap_socket(listening, server_side=True)

        def opened(own, parameters):
            to = front.places["tls"]
            raw = socket.create_connection((to.ip, to.port), timeout=5)
            stream = Secure(to, front.authority.client(own).wrap_socket(raw, server_hostname=to.ip))
            before = front.claims()
            stream.send(options(place, "tls", parameters))
            stream.receive(0.3)
            if parameters:
                # The alias is judged after its answer has gone, and the next call may come to another worker.
                until(lambda: front.claims() > before, f"the claim of {what} is judged")
            return stream

        accepted = None
        cases = (
            ("no certificate", None, ";alias", False),
            ("a certificate that no server has", strangers.sign(), ";alias", False),
            ("no alias", authority.sign(), "", False),
            ("proven", authority.sign(), ";alias", True),
        )
        for what, own, parameters, expected in cases:
            with opened(own, parameters) as stream:
                call_id = caller.invite()
                if expected:
                    way, invite = stream, stream.receive(3)
                else:
                    if accepted is None:
                        accepted = Secure(place, listening.accept()[0])
                    way, invite = accepted, accepted.receive(3)
                ways.append(what)
                if invite is None or invite.method != "INVITE" or invite.first("Call-ID") != call_id:
                    problems.append(f"{what}: no INVITE, but {invite and invite.start}")
                    continue
                if not invite.first("Via").endswith(";alias"):
                    problems.append(f"{what}: we do not ask: {invite.first('Via')}")
                way.send(answer(invite, 200, place, "server"))
                said = caller.heard(call_id)
                if not said or said.status != 200:
                    problems.append(f"{what}: {said and said.start}")
                if expected:
                    # The opposite direction: a request of the server over the connection that the load manager opened.
                    routes = "".join(f"Route: {route}\r\n" for route in invite.routes())
                    bye = f"BYE sip:alice@{line.address.host_port} SIP/2.0\r\nVia: SIP/2.0/TLS {place.host_port};branch={fresh('z9hG4bK')};alias\r\nMax-Forwards: 70\r\n"
                    bye += f"From: <sip:service@example.com>;tag=server\r\nTo: <sip:alice@example.com>;tag=a\r\nCall-ID: {call_id}\r\nCSeq: 1 BYE\r\n{routes}Content-Length: 0\r\n\r\n"
                    accepted.send(bye)
                    heard = line.expect(lambda message: message.method == "BYE", 3)
                    if not heard:
                        problems.append("no BYE by the connection that the load manager opened")
        counted = (front.count("aliases"), front.count("aliases_refused"))
        if counted != (1, 2):
            problems.append(f"aliases and aliases_refused are {counted}, not (1, 2)")
        # The proven connection is gone: the next call takes a connection that we open.
        call_id = caller.invite()
        invite = accepted.receive(3)
        if invite is None or invite.first("Call-ID") != call_id:
            problems.append("no call after the connection was gone")
        accepted.close()
    return f"{len(ways)} connections, one believed", problems


def alias_over_tcp(allowed):
    """Over TCP nothing is proven: an alias counts only if the operator permits it."""
    with Farm(f"outbound-alias-tcp-{allowed}") as farm, Datagrams(farm.address()) as line:
        place = farm.address("tcp")
        front = Front(farm, [place], connections={"tcp_alias": allowed})
        caller, problems = Caller(line, front.udp), []
        with socket.create_server((place.ip, place.port)) as listening, Stream(front.places["tcp"]) as stream:
            listening.settimeout(3)
            stream.send(options(place, "tcp", ";alias"))
            stream.receive(0.3)
            until(lambda: front.claims() == 1, "the claim is judged")
            call_id = caller.invite()
            way = stream if allowed else Stream(place, listening.accept()[0])
            invite = way.receive(3)
            if invite is None or invite.first("Call-ID") != call_id:
                problems.append(f"no INVITE, but {invite and invite.start}")
            else:
                way.send(answer(invite, 200, place, "server"))
                said = caller.heard(call_id)
                problems += [] if said and said.status == 200 else [f"{said and said.start}"]
        counted = (front.count("aliases"), front.count("aliases_refused"))
        if counted != ((1, 0) if allowed else (0, 1)):
            problems.append(f"aliases and aliases_refused are {counted}")
    return "one call", problems


def main():
    report = Report("outbound")
    report.case("keep_alives", keep_alives)
    for kind in KINDS:
        report.case(f"dialog/{kind}", dialog, kind)
        report.case(f"comes_back/{kind}/continues", comes_back, kind, False)
        report.case(f"comes_back/{kind}/registers", comes_back, kind, True)
    report.case("registrar/kamailio", registrar)
    report.case("alias/tls", alias_over_tls)
    for allowed in (False, True):
        report.case(f"alias/tcp/{'allowed' if allowed else 'default'}", alias_over_tcp, allowed)
    report.end()


if __name__ == "__main__":
    main()
