"""Datagrams that leave as one packet: they arrive one by one and in order, and while sngrep captures each leaves by itself."""

import pathlib
import re
import signal
import struct

from farm import Farm, until
from report import Report, calls
from scenario import answering, calling
from sipp import Sipp, clean, client

SERVERS = 4
RATE = 1000
# A SIP message begins with a method and a URI, or with the version.
START_LINE = re.compile(rb"^(?:[A-Z]+ sip:\S+ SIP/2\.0|SIP/2\.0 \d{3} [^\r]*)\r$", re.MULTILINE)


class Balanced:
    """SIPp servers behind a load manager with one worker, so that many messages come at a time."""

    def __init__(self, farm, **limits):
        self.farm, self.front, self.control = farm, farm.address(), farm.control()
        self.servers = [Sipp(farm, answering(), farm.address()) for _ in range(SERVERS)]
        farm.configured(
            {self.front: self.front.host_port},
            [server.place for server in self.servers],
            limits=limits,
            selection={"kind": "round-robin"},
            threads={"workers": 1},
            control={"path": str(self.control)},
        )

    def counter(self, name):
        return self.farm.counters(self.control)[name]

    def call(self, count):
        """Makes calls; returns their faults, and the number of their datagrams that left together with others."""
        before = self.counter("datagrams_joined")
        problems = clean("client", client(self.farm, calling(), self.front, count, RATE), count)
        return problems, self.counter("datagrams_joined") - before

    def end(self):
        return [problem for server in self.servers for problem in clean(f"server {server.place.port}", server.stop())]


def joined():
    count = calls(300, 3000, 10000)
    with Farm("segments-joined") as farm:
        balanced = Balanced(farm)
        elsewhere = balanced.counter("capture_seen")
        problems, together = balanced.call(count)
        problems += balanced.end()
    if elsewhere and together:
        problems.append(f"{together} datagrams left with others, though someone captures on this machine")
    if not elsewhere and not together:
        problems.append("no datagram left with another")
    return f"{count} calls, {together} of {6 * count} datagrams left with others" + (" (someone captures)" if elsewhere else ""), problems


def one_by_one():
    count = calls(300, 1000, 10000)
    with Farm("segments-apart") as farm:
        balanced = Balanced(farm, segments_max=1)
        problems, together = balanced.call(count)
        problems += balanced.end()
    if together:
        problems.append(f"{together} datagrams left with others")
    return f"{count} calls", problems


def captured():
    """Calls before, while and after sngrep looks at the port of the load manager."""
    count = calls(300, 2000, 5000)
    with Farm("segments-captured") as farm:
        balanced = Balanced(farm)
        before, _ = balanced.call(count)
        if balanced.counter("capture_seen"):
            return "", ["someone else captures on this machine: what sngrep changes cannot be seen"]
        file = farm.directory / "sngrep.pcap"
        sngrep = farm.start("sngrep", ["sngrep", "-N", "-q", "-B", "32", "-d", "lo", "-O", file, "port", balanced.front.port])
        until(lambda: balanced.counter("capture_seen") or not sngrep.alive(), "the load manager sees sngrep")
        if not sngrep.alive():
            return "", [f"sngrep ended: {sngrep.tail()}"]
        during, together = balanced.call(count)
        sngrep.popen.send_signal(signal.SIGINT)
        sngrep.wait(10)
        until(lambda: not balanced.counter("capture_seen"), "the load manager sees that sngrep is gone")
        after, again = balanced.call(count)
        problems = before + during + after + balanced.end()
        # On loopback a packet is captured once: each message once on its way in, once on its way out.
        packets = [data for data, ports in udp_packets(file) if balanced.front.port in ports]
    several = sum(len(START_LINE.findall(data)) != 1 for data in packets)
    if together:
        problems.append(f"{together} datagrams left with others while sngrep captured")
    if several:
        problems.append(f"{several} of {len(packets)} packets do not hold one message")
    # sngrep's losses under load, and the packets that it had not read when it was told to end, are not the load manager's
    # fault.
    if len(packets) < 0.8 * 12 * count:
        problems.append(f"sngrep saw {len(packets)} packets of {12 * count}")
    if not again:
        problems.append("no datagram left with another when sngrep was gone")
    return f"{count} calls, sngrep saw {len(packets)} packets of one message each; after it {again} datagrams left with others", problems


def udp_packets(path):
    """Payload and ports of each packet of a file of libpcap, Ethernet and IPv4."""
    data, at = pathlib.Path(path).read_bytes(), 24
    while at + 16 <= len(data):
        (length,) = struct.unpack_from("<I", data, at + 8)
        packet, at = data[at + 16 : at + 16 + length], at + 16 + length
        udp = 14 + 4 * (packet[14] & 15)
        yield packet[udp + 8 :], struct.unpack_from(">HH", packet, udp)


def main():
    report = Report("segments")
    report.case("joined", joined)
    report.case("one_by_one", one_by_one)
    report.case("captured", captured)
    report.end()


if __name__ == "__main__":
    main()
