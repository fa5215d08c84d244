"""Debian's HAProxy in front of the load manager, with the PROXY protocol in both versions, over TCP and through it over TLS: calls are
good, the load manager knows the client and not the proxy, and believes nobody else who sends such a header."""

import socket
import subprocess

from certificates import Authority
from farm import Address, Farm, bound, until
from report import Report, calls
from scenario import calling
from sipp import client
from wire import Datagrams, Dialog, Stream, answer

RATE = 50
# The client's address; HAProxy comes from PROXY.
CLIENT, PROXY = "127.0.0.2", "127.0.0.9"


class Front:
    """A load manager for TCP and TLS, with HAProxy before it; a place of HAProxy for each transport and version."""

    def __init__(self, farm, servers):
        self.farm, self.control = farm, farm.control()
        self.plain, self.secure = farm.address("tcp"), farm.address("tls")
        self.authority = Authority(farm, "authority")
        own = self.authority.sign()
        udp = farm.address()
        trusted = {"proxy_protocol": [f"{PROXY}/32"]}
        farm.configured(
            {self.plain: trusted, self.secure: trusted, udp: {}}, servers, control={"path": str(self.control)},
            tls={"certificate": str(own.certificate), "key": str(own.key)},
        )
        self.places = {}
        lines = ["global", "  maxconn 2000", "defaults", "  mode tcp", "  timeout connect 5s", "  timeout client 60s", "  timeout server 60s"]
        for to in (self.plain, self.secure):
            for version, option in ((1, "send-proxy"), (2, "send-proxy-v2")):
                place = self.places[to.transport, version] = farm.address("tcp")
                name = f"{to.transport}{version}"
                lines += [f"listen {name}", f"  bind {place.host_port}", f"  server lb {to.host_port} {option} check inter 500 source {PROXY}"]
        path = farm.directory / "haproxy.cfg"
        path.write_text("\n".join(lines) + "\n")
        checked = subprocess.run(["haproxy", "-c", "-f", path], capture_output=True, text=True, timeout=20)
        if checked.returncode:
            raise RuntimeError(checked.stderr)
        farm.start("haproxy", ["haproxy", "-db", "-f", path])
        for place in self.places.values():
            until(lambda place=place: bound(place), f"HAProxy at {place}", 20)

    def connect(self, transport, version=None, ip=CLIENT):
        """A connection of a client; without a version, past HAProxy."""
        to = {"tcp": self.plain, "tls": self.secure}[transport] if version is None else self.places[transport, version]
        plain = socket.create_connection((to.ip, to.port), timeout=10, source_address=(ip, 0))
        if transport == "tls":
            plain = self.authority.client().wrap_socket(plain, server_hostname="127.0.0.1")
        return Stream(to, plain)


def whole_calls():
    count = calls(50, 100, 1000)
    with Farm("proxied-calls") as farm:
        server = farm.address()
        farm.answer(server)
        front = Front(farm, [server])
        outcomes = {version: client(farm, calling(), front.places["tcp", version], count, RATE, "-d", 50) for version in (1, 2)}
        counted = front.farm.counters(front.control)
    problems = [f"version {version}: {outcome.good} of {count} good ({outcome.causes()})" for version, outcome in outcomes.items() if outcome.good != count]
    if counted["introductions_failed"]:
        problems.append(f"{counted['introductions_failed']} headers were wrong")
    return f"{count} calls of SIPp by each version", problems


def who_it_is():
    """What the server hears of the client, and that the answer finds it."""
    problems, told = [], []
    with Farm("proxied-who") as farm, Datagrams(farm.address()) as server:
        front = Front(farm, [server.address])
        ways = [("tcp", 1), ("tcp", 2), ("tls", 1), ("tls", 2), ("tcp", None), ("tls", None)]
        for transport, version in ways:
            with front.connect(transport, version) as stream:
                own = stream.socket.getsockname()
                # As a client behind NAT: it does not know its address.
                dialog = Dialog(Address(transport, "192.0.2.77", 5060))
                stream.send(dialog.request("OPTIONS", 1))
                request = server.expect(lambda message: message.first("Call-ID") == dialog.call_id, 10)
                if request is None:
                    problems.append(f"{transport} {version}: no request came")
                    continue
                vias = [via.strip() for value in request.all("Via") for via in value.split(",")]
                if f"received={own[0]}" not in vias[1] or f"rport={own[1]}" not in vias[1]:
                    problems.append(f"{transport} {version}: the client is {own}, the Via {vias[1]}")
                server.send(answer(request, 200), Address("udp", *request.source[:2]))
                response = stream.receive(10)
                if response is None or response.status != 200:
                    problems.append(f"{transport} {version}: the answer was {response and response.start}")
                told.append(f"{transport} {version or 'past it'}")
        # A stranger who claims to be somebody else.
        with front.connect("tcp", None, "127.0.0.3") as stream:
            stream.send("PROXY TCP4 192.0.2.1 127.0.0.1 40000 5060\r\n" + Dialog(Address("tcp", "127.0.0.3", 5060)).request("OPTIONS", 1))
            heard = server.receive(1)
            if heard:
                problems.append(f"a stranger's header was taken: {heard.data}")
        # A proxy that sends none.
        with front.connect("tcp", None, PROXY) as stream:
            stream.send(Dialog(Address("tcp", PROXY, 5060)).request("OPTIONS", 1))
            if not stream.closed(10):
                problems.append("a proxy without a header is served")
        until(lambda: farm.counters(front.control)["introductions_failed"] == 1, "it is counted", 10)
    return f"the server hears the client's address by {', '.join(told)}; a stranger's header is not believed", problems


def main():
    report = Report("proxied")
    report.case("calls", whole_calls)
    report.case("who", who_it_is)
    report.end()


if __name__ == "__main__":
    main()
