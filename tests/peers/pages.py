"""docs/with-kamailio.md followed to the letter: its files, Kamailio as registrar, two telephones of baresip. And what its readers are
told when a telephone behind a NAT is registered without Path."""

import re
import subprocess
import time

from farm import ROOT, STROWGER, Farm, until
from kamailio import start_kamailio
from phones import PHONE
from report import Report
from wire import Datagrams, answer

PAGE = "with-kamailio.md"
TALK_SECONDS = 2
# Where a telephone behind a NAT says it is: nobody is there.
INSIDE = "192.0.2.99:5060"
PAST_US = "calls go past us"


def blocks(page):
    """The blocks of a page, by the first word that is in no other: `[[listen]]`, `#!KAMAILIO`, `<sip:alice`."""
    text = (ROOT / "docs" / page).read_text()
    return re.findall(r"^```\w*\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def block(page, word):
    found = [text for text in blocks(page) if word in text]
    if len(found) != 1:
        raise AssertionError(f"{page} has {len(found)} blocks with {word}")
    return found[0]


class Places:
    """Each address of the page, and the address of this machine that stands for it here."""

    def __init__(self, farm):
        # One IP address for each: the page's Kamailio knows the servers by theirs. A load manager has UDP and TCP at one.
        self.load_manager = farm.address(ip="127.0.2.1")
        self.servers = [farm.address(ip=f"127.0.0.{last}") for last in (11, 12)]
        self.registrar = farm.address(ip="127.0.0.21")
        written = ["192.0.2.1", "10.0.0.11", "10.0.0.12", "10.0.0.21"]
        self.here = dict(zip(written, [self.load_manager, *self.servers, self.registrar]))

    def moved(self, text):
        for written, here in self.here.items():
            text = text.replace(f"{written}:5060", here.host_port).replace(f'"{written}"', f'"{here.ip}"')
        if left := re.findall(r"\b(?:192\.0\.2|10\.0\.0)\.\d+\b", text):
            raise AssertionError(f"no address of this machine stands for {left}")
        return text


def telephone(farm, name, account, *options):
    """baresip with one line of the page's `accounts`."""
    place, _ = farm.address(ip="127.0.0.1"), farm.address()  # baresip also takes the next port, for TLS
    folder = farm.directory / name
    folder.mkdir()
    (folder / "config").write_text(PHONE.format(listen=place.host_port))
    (folder / "accounts").write_text(account + "\n")
    (folder / "contacts").write_text("")
    return farm.start(name, ["baresip", "-4", "-f", folder, *options])


def followed():
    """The three files of the page, and alice calls bob, who is on TCP."""
    with Farm("pages-followed") as farm:
        places = Places(farm)
        began = time.monotonic()
        file = farm.directory / "farm.toml"
        file.write_text(places.moved(block(PAGE, "[[listen]]")) + f'[control]\npath = "{farm.control()}"\n')
        checked = subprocess.run([STROWGER, "check", file], capture_output=True, text=True, timeout=10, check=False)
        if checked.returncode != 0:
            return "", [f"strowger check: {checked.stdout}{checked.stderr}"]
        configuration = farm.directory / "kamailio.cfg"
        configuration.write_text(places.moved(block(PAGE, "#!KAMAILIO")))
        registrar = farm.serving(start_kamailio(farm, configuration, places.registrar), [places.registrar])
        manager = farm.serving(farm.start("lb", [STROWGER, "lb", "--config", file]), [places.load_manager])
        accounts = places.moved(block(PAGE, "<sip:alice")).splitlines()
        alice, bob = (next(line for line in accounts if line.startswith(f"<sip:{user}@")) for user in ("alice", "bob"))
        called = telephone(farm, "bob", bob)
        until(lambda: "200 OK" in said(called), "bob to be registered", 20)
        # The servers of the page are not there: the registrar is the last that takes calls.
        states = lambda: farm.server_states(farm.control())
        until(lambda: "active" not in [states()[place.port] for place in places.servers], "the absent servers to fail", 20)
        ready = time.monotonic() - began
        caller = telephone(farm, "alice", alice, "-e", "/dial sip:bob@example.com", "-t", TALK_SECONDS + 2)
        until(lambda: "Call established" in said(caller), "the call", 20)
        up = time.monotonic() - began
        caller.wait(TALK_SECONDS + 15)
        until(lambda: "session closed" in said(called), "the BYE at bob", 10)
        problems = [f"{who} died: {process.tail()}" for who, process in (("Kamailio", registrar), ("bob", called)) if not process.alive()]
        if PAST_US in said(manager):
            problems.append("the load manager says that calls go past it")
    return f"ready after {ready:.1f} s, alice talks to bob after {up:.1f} s, bob hears the BYE", problems


def said(process):
    return process.log.read_text(errors="replace")


def register(phone, front, call):
    phone.send(
        f"REGISTER sip:{front.host_port} SIP/2.0\r\nVia: SIP/2.0/UDP {INSIDE};branch=z9hG4bK-{call};rport\r\nMax-Forwards: 70\r\n"
        f"From: <sip:bob@example.com>;tag=b\r\nTo: <sip:bob@example.com>\r\nCall-ID: {call}\r\nCSeq: 1 REGISTER\r\n"
        f"Contact: <sip:bob@{INSIDE}>\r\nExpires: 60\r\nContent-Length: 0\r\n\r\n",
        front,
    )
    final = phone.expect(lambda message: (message.status or 0) >= 200, 8)
    return final and final.status


def behind_nat(path):
    """A telephone whose Contact leads nowhere. Without Path the log says so once; with Path a call reaches it."""
    problems = []
    with Farm(f"pages-nat-{path}") as farm:
        # From the IP address of a server, no telephone is expected.
        registrar, front = farm.address(ip="127.0.0.21"), farm.address(ip="127.0.2.1")
        start_kamailio(farm, "registrar.cfg", registrar, expires=60, challenges="1 == 0", password="none")
        manager = farm.load_manager(front, [registrar], "--path", path, "--health", "off")
        phone = farm.enter_context(Datagrams(farm.address(ip="127.0.3.1")))
        statuses = [register(phone, front, f"{path}-{number}-{time.monotonic_ns()}") for number in range(3)]
        if statuses != [200] * 3:
            problems.append(f"REGISTERs were answered with {statuses}")
        if path == "always":
            caller = farm.enter_context(Datagrams(farm.address()))
            caller.send(
                f"INVITE sip:bob@{front.host_port} SIP/2.0\r\nVia: SIP/2.0/UDP {caller.address.host_port};branch=z9hG4bK{time.monotonic_ns()};rport\r\n"
                f"Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=a\r\nTo: <sip:bob@example.com>\r\nCall-ID: call-{time.monotonic_ns()}\r\n"
                f"CSeq: 1 INVITE\r\nContact: <sip:alice@{caller.address.host_port}>\r\nContent-Length: 0\r\n\r\n",
                front,
            )
            invite = phone.expect(lambda message: message.method == "INVITE", 8)
            if invite is None:
                problems.append("the INVITE did not come along the Path")
            else:
                phone.send(answer(invite, 486, to_tag="busy"), front)
                busy = caller.expect(lambda message: message.status == 486, 8)
                problems += [] if busy else ["the 486 did not come back"]
        lines = lambda: [line for line in said(manager).splitlines() if PAST_US in line]
        expected = 1 if path == "supported" else 0
        if expected:
            until(lines, "the load manager to say that calls go past it")
        if len(lines()) != expected or not all('register.path = "always"' in line for line in lines()):
            problems.append(f"the log has {lines()}")
    return f"three REGISTERs; said in the log: {expected} times", problems


def main():
    report = Report("pages")
    report.case("with-kamailio", followed)
    report.case("behind_nat/without_path", behind_nat, "supported")
    report.case("behind_nat/with_path", behind_nat, "always")
    report.end()


if __name__ == "__main__":
    main()
