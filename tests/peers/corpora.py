"""The torture messages of RFC 4475 and RFC 5118 through a running load manager.

Each message goes once as a datagram and once over TCP byte by byte; a few go over TCP cut in two at every place. The manifest
beside the messages says what is expected. The results are printed, and written to docs/corpora.md on demand."""

import os
import select
import socket
import time

from farm import ROOT, Address, Farm
from report import Report
from wire import Datagrams, Dialog, Message, Stream

CORPORA = ROOT / "tests/src"
PAGE = ROOT / "docs/corpora.md"

# Datagrams come from an address of their own, as answers go to its port 5060, or to the port in the Via (RFC 3261 §18.2.2; 5050
# in quotbal.dat, 5061 if the Via says TLS).
SOURCE = "127.0.77.1"
PORTS = [5060, 5050, 5061]

SILENCE = 0.4

# Over a stream these messages are treated differently than the manifest says of datagrams.
OVER_STREAM = {
    "clerr.dat": {"waits"},
    "ncl.dat": {"400", "closed"},
    "mcl01.dat": {"400", "closed"},
    "badinv01.dat": {"400"},
    "inv2543.dat": {"forward", "400", "closed"},
    "baddn.dat": {"waits", "closed"},
    "extra/test.dat": {"waits", "closed"},
    "orig-content-length/ipv6-in-sdp.sip": {"waits"},
}
CUT_EVERYWHERE = ["wsinv.dat", "mpart01.dat", "zeromf.dat", "ipv6-in-sdp.sip"]


def manifest(folder):
    """(file, section, treatment) of each line of the manifest's table."""
    for line in (CORPORA / folder / "MANIFEST.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) >= 4 and "." in cells[0] and cells[0] != "file":
            yield cells[0], cells[1], cells[2]


def expected(treatment, message, name, stream):
    """The treatments that are allowed. A response without our own Via must not be passed on, whatever it looks like."""
    if stream and name in OVER_STREAM:
        return OVER_STREAM[name]
    if treatment in ("drop", "malformed") or message.startswith(b"SIP/2.0"):
        return {"drop"}
    return {treatment}


class Server:
    """A server behind the load manager: it takes messages and answers none."""

    def __init__(self, address):
        self.address, self.streams = address, []
        self.datagrams = Datagrams(address)
        self.listener = socket.create_server((address.ip, address.port))

    def got(self, seconds):
        """The next message that reaches the server, by either transport."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            ready = select.select([self.listener, self.datagrams.socket, *(stream.socket for stream in self.streams)], [], [], left)[0]
            if self.listener in ready:
                self.streams.append(Stream(None, self.listener.accept()[0]))
            elif self.datagrams.socket in ready:
                return self.datagrams.receive()
            for stream in [stream for stream in self.streams if stream.socket in ready]:
                if message := stream.receive(0.05):
                    return message
                if stream.ended:
                    self.streams.remove(stream)
        return None

    def quiet(self):
        while self.got(0.005):
            pass

    def got_of(self, sent, seconds):
        """Likewise, if the message belongs to the call that was sent; late messages of the previous call are skipped."""
        received = self.got(seconds)
        return received if received and (received.first("Call-ID") or received.first("i")).encode() in sent else None


def unchanged(sent, received):
    """The names of foreign header fields, or the body, that did not arrive byte for byte."""
    ours = {b"via", b"v", b"max-forwards", b"route", b"record-route", b"content-length", b"l"}
    head, _, body = sent.partition(b"\r\n\r\n")
    lost, mine = [], True
    for line in head.split(b"\r\n")[1:]:
        if line[:1] not in (b" ", b"\t"):
            mine = line.partition(b":")[0].strip().lower() in ours
        if not mine and line not in received:
            lost.append(line[:30].decode("latin-1"))
    got = received.partition(b"\r\n\r\n")[2]
    return lost + ([] if body.startswith(got) else ["body"])


def by_datagram(farm, front, server, message):
    sources = [Datagrams(Address("udp", SOURCE, port)) for port in PORTS]
    try:
        sources[0].send(message, front)
        seen, received = "drop", None
        deadline = time.monotonic() + SILENCE
        while (left := deadline - time.monotonic()) > 0:
            for source in select.select([one.socket for one in sources], [], [], 0.005)[0]:
                return str(Message(source.recv(65536)).status), []
            if received := server.got_of(message, min(left, 0.01)):
                return "forward", unchanged(message, received.data)
        return seen, []
    finally:
        for source in sources:
            source.close()


def by_stream(farm, front, server, pieces):
    """One connection for one message, sent in these pieces."""
    message = b"".join(pieces)
    with Stream(front) as stream:
        for piece in pieces:
            try:
                stream.send(piece)
            except ConnectionError:
                break
        deadline = time.monotonic() + SILENCE
        while time.monotonic() < deadline:
            if received := server.got_of(message, 0.01):
                return "forward", unchanged(message, received.data)
            if answer := stream.receive(0.01):
                return str(answer.status), []
        if stream.closed(0.01):
            return "closed", []
        still = Dialog(Address("tcp", "127.0.0.1", 9)).request("OPTIONS", 1)
        stream.send(still)
        received = server.got(SILENCE)
        return ("drop" if received and received.method == "OPTIONS" else "waits"), []


def load_manager(farm, transport):
    front, server = farm.address(transport), Server(farm.address(transport))
    farm.load_manager(front, [server.address], "--hold-setup", "off", "--workers", 1, "--health", "off")
    return front, server


def run(results):
    """Every message over UDP, then over TCP byte by byte."""
    messages = [(folder, *row) for folder in ("rfc4475", "rfc5118") for row in manifest(folder)]
    problems = []
    for transport in ("udp", "tcp"):
        with Farm(f"corpora-{transport}") as farm:
            front, server = load_manager(farm, transport)
            for folder, name, section, treatment in messages:
                message = (CORPORA / folder / name).read_bytes()
                server.quiet()
                if transport == "udp":
                    seen, lost = by_datagram(farm, front, server, message)
                else:
                    seen, lost = by_stream(farm, front, server, [message[at : at + 1] for at in range(len(message))])
                wanted = expected(treatment, message, name, transport == "tcp")
                results.append((folder, name, section, transport, wanted, seen))
                if seen not in wanted:
                    problems.append(f"{transport} {name}: {seen}, expected {' or '.join(sorted(wanted))}")
                if lost:
                    problems.append(f"{transport} {name}: changed {lost}")
    good = sum(seen in wanted for *_, wanted, seen in results)
    return f"{len(messages)} messages over UDP and over TCP byte by byte, {good} of {len(results)} as expected", problems


def cut(name):
    """One message over TCP, cut in two at every place."""
    folder = "rfc4475" if name.endswith(".dat") else "rfc5118"
    message = (CORPORA / folder / name).read_bytes()
    treatment = next(row[2] for row in manifest(folder) if row[0] == name)
    wanted, outcomes = expected(treatment, message, name, True), {}
    with Farm(f"corpora-cut-{name}") as farm:
        front, server = load_manager(farm, "tcp")
        for at in range(1, len(message)):
            server.quiet()
            seen, lost = by_stream(farm, front, server, [message[:at], message[at:]])
            outcomes.setdefault("changed" if lost else seen, []).append(at)
    problems = [f"{seen} when cut at {places[:5]}" for seen, places in outcomes.items() if seen not in wanted]
    return f"{len(message) - 1} cuts, each {' or '.join(sorted(wanted))}", problems


def write_page(results):
    """docs/corpora.md: the expected and the observed treatments."""
    table = {}
    for folder, name, section, transport, wanted, seen in results:
        row = table.setdefault((folder, name, section), {})
        row[transport] = f"{seen}" if seen in wanted else f"**{seen}**, expected {' or '.join(sorted(wanted))}"
        row.setdefault("wanted", " or ".join(sorted(wanted)))
    lines = [
        "# The torture messages through a running load manager",
        "",
        "Written by `./test.sh --only corpora --write`. Each message of RFC 4475 and RFC 5118 was sent to `strowger lb` as one datagram, and over",
        "TCP byte by byte. *forward*: the message reached the server, with body and foreign header fields unchanged. A number: the message was",
        "answered with that status. *drop*: nothing came out on any side, and the next message was handled as usual. *waits*: over a stream, the",
        "load manager waits for more bytes. *closed*: the connection was closed, because its framing was lost. Responses without the load manager's",
        "own Via are dropped. `tests/src/rfc4475/MANIFEST.md` and `tests/src/rfc5118/MANIFEST.md` say what each message is about.",
        "",
        "| message | section | expected | UDP | TCP |",
        "|---|---|---|---|---|",
    ]
    for (folder, name, section), row in table.items():
        document = f"RFC {folder[3:]}" + (f" §{section}" if section[0].isdigit() else "")
        lines.append(f"| {name} | {document} | {row['wanted']} | {row['udp']} | {row['tcp']} |")
    PAGE.write_text("\n".join(lines) + "\n")


def main():
    report, results = Report("corpora"), []
    report.case("all", run, results)
    for name in CUT_EVERYWHERE:
        report.case(f"cut_everywhere/{name}", cut, name)
    if results and os.environ.get("PEERS_WRITE"):
        write_page(results)
    report.end()


if __name__ == "__main__":
    main()
