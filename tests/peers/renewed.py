"""Certificates change while calls go on: by SIGHUP and by `strowger ctl reload`, with good and bad pairs. Open connections keep
their certificate, new connections are shown the new one, and no call fails on either. Each client reports the certificate that
it saw."""

import contextlib
import signal
import ssl
import subprocess
import threading
import time

from certificates import Authority
from farm import STROWGER, Farm, until
from report import Report, calls
from scenario import answering, calling
from sipp import Sipp, clean, start_client
from tls import SERVERS, Front, call, connect, refused
from tunnel import Tunnel
from wire import Datagrams, Dialog

TALK_MS = 500
# The calls of the first connections are begun over this many seconds, in which all changes are made.
LASTS = calls(4, 7, 14)
LATER_LASTS = calls(1, 1, 4)
TAKEN = "new connections use the certificate"


def der(pair):
    return ssl.PEM_cert_to_DER_cert(pair.certificate.read_text())


class Callers:
    """SIPp on its own connection, whose certificate must be `pair`, signed by `authority`."""

    def __init__(self, farm, front, authority, pair, rate, seconds, tunnels):
        self.front, self.expected, self.count = front, der(pair), int(rate * seconds)
        self.tunnel = tunnels.enter_context(Tunnel(farm.address("tcp"), front.place, connect=authority.client()))
        self.sipp = start_client(farm, calling(), self.tunnel.place, self.count, rate, "-d", TALK_MS)
        until(lambda: self.tunnel.shown, "the connection is there", 20)

    def problems(self, name):
        found = clean(name, self.sipp.finish(), self.count) + self.tunnel.errors
        if self.tunnel.shown != [self.expected]:
            found.append(f"{name}: {len(self.tunnel.shown)} connections, or not the certificate of that time")
        return found


class Newcomers(threading.Thread):
    """Calls by hand, one after the other, each on its own connection; records each certificate that was shown, once."""

    def __init__(self, front, authorities):
        super().__init__()
        self.front, self.over, self.made, self.failed, self.shown = front, threading.Event(), 0, [], []
        self.context = authorities[0].client()
        for authority in authorities[1:]:
            self.context.load_verify_locations(authority.certificate)

    def run(self):
        while not self.over.is_set():
            try:
                with self.front.connect(self.context) as stream:
                    shown = stream.socket.getpeercert(True)
                    if self.shown[-1:] != [shown]:
                        self.shown.append(shown)
                    self.failed.extend(filter(None, [call(stream, self.front)]))
                    self.made += 1
            except OSError as error:
                self.failed.append(repr(error))


class Changes:
    """Writes a pair where the load manager looks for it, and has it read."""

    def __init__(self, front):
        self.front, self.taken = front, front.process.log.read_text().count(TAKEN)

    def write(self, certificate, key):
        self.front.own.certificate.write_bytes(certificate)
        self.front.own.key.write_bytes(key)

    def reload(self):
        argv = [STROWGER, "ctl", "reload", "--control", str(self.front.control)]
        return subprocess.run(argv, capture_output=True, text=True, timeout=20)

    def good(self, pair, by_signal):
        self.write(pair.certificate.read_bytes(), pair.key.read_bytes())
        self.taken += 1
        if by_signal:
            self.front.process.popen.send_signal(signal.SIGHUP)
        elif self.reload().returncode:
            raise AssertionError("a good pair was refused")
        until(lambda: self.front.process.log.read_text().count(TAKEN) == self.taken, "the new certificate is taken", 20)

    def bad(self, certificate, key, why, by_signal):
        """The faults if this pair is not refused for the given reason."""
        self.write(certificate, key)
        if by_signal:
            self.front.process.popen.send_signal(signal.SIGHUP)
            until(lambda: why in self.front.process.log.read_text(), f"the log says: {why}", 20)
            return []
        done = self.reload()
        return [] if done.returncode and why in done.stderr else [f"no {why!r} in {done.stdout}{done.stderr}"]


def under_load():
    rate = calls(50, 150, 500)
    with Farm("renewed-load") as farm, contextlib.ExitStack() as tunnels:
        servers = [Sipp(farm, answering(), farm.address("tcp")) for _ in range(SERVERS)]
        front = Front(farm, "tls", [server.place for server in servers], "tcp")
        old, new = front.authority, Authority(farm, "new")
        # The later pairs are written into the files of the first pair.
        shown_first, pairs = der(front.own), [(new, new.sign()), (old, old.sign()), (new, new.sign())]
        changes, newcomers = Changes(front), Newcomers(front, [old, new])
        callers = [Callers(farm, front, old, front.own, rate / 2, LASTS, tunnels) for _ in range(2)]
        newcomers.start()
        problems = []
        try:
            for index, (authority, pair) in enumerate(pairs):
                changes.good(pair, by_signal=index != 1)
                callers.append(Callers(farm, front, authority, pair, rate / 5, LATER_LASTS, tunnels))
            authority, pair = pairs[-1]
            chain, key, other = pair.certificate.read_bytes(), pair.key.read_bytes(), old.sign().key.read_bytes()
            problems += changes.bad(chain, other, "does not belong to the certificate", True)
            problems += changes.bad(chain[: len(chain) // 2], key, "is not PEM", False)
            callers.append(Callers(farm, front, authority, pair, rate / 5, LATER_LASTS, tunnels))
            if not refused(front, old.client()):
                problems.append("the old certificate is still shown")
            for index, caller in enumerate(callers):
                problems += caller.problems(f"connection {index}")
        finally:
            newcomers.over.set()
            newcomers.join()
        answered = [server.stop() for server in servers]
    for index, counted in enumerate(answered):
        problems += clean(f"server {index}", counted)
    problems += newcomers.failed[:3]
    # The clients may miss a certificate, but must never see one that has been replaced.
    expected = iter([shown_first, *(der(pair) for _, pair in pairs)])
    if not newcomers.shown or not all(shown in expected for shown in newcomers.shown):
        problems.append(f"new connections were shown {len(newcomers.shown)} certificates, not in the order of the changes")
    count = sum(caller.count for caller in callers)
    return f"{count} calls at {rate}/s and more, {newcomers.made} on new connections, 3 changes, 2 bad pairs refused", problems


def files(pair):
    return {"certificate": str(pair.certificate), "key": str(pair.key)}


class Place:
    """One listener of a load manager, for connections."""

    def __init__(self, place):
        self.place = place

    def connect(self, context):
        return connect(self.place, context)

    def shows(self, context, pair):
        """The faults if a call here fails, or the certificate is another."""
        with self.connect(context) as stream:
            shown = stream.socket.getpeercert(True)
            return list(filter(None, [call(stream, self), "" if shown == der(pair) else f"another certificate at {self.place}"]))


def each_listener():
    """Phones are shown one certificate and asked for none; carriers are shown another and must show their own."""
    with Farm("renewed-listeners") as farm:
        server = farm.address()
        farm.answer(server)
        public, private, members = (Authority(farm, name) for name in ("public", "private", "members"))
        shared, own, control = public.sign(), private.sign(), farm.control()
        phones, carriers, back = Place(farm.address("tls")), Place(farm.address("tls")), farm.address()
        asks = {**files(own), "client_certificate": "required", "client_ca": str(members.certificate)}
        listen = {phones.place: {}, carriers.place: asks, back: {}}
        process = farm.configured(listen, [server], tls=files(shared), control={"path": str(control)})
        member = private.client(members.sign())
        problems = phones.shows(public.client(), shared) + carriers.shows(member, own)
        if not refused(carriers, private.client()):
            problems.append("a client without a certificate was let in among the carriers")
        # Only this listener's files change.
        renewed, count = private.sign(), process.log.read_text().count(TAKEN)
        own.certificate.write_bytes(renewed.certificate.read_bytes())
        own.key.write_bytes(renewed.key.read_bytes())
        process.popen.send_signal(signal.SIGHUP)
        until(lambda: process.log.read_text().count(TAKEN) > count, "the new certificate is taken", 20)
        problems += phones.shows(public.client(), shared) + carriers.shows(member, renewed)
        told = {row["file"] for row in farm.status(control)["certificates"]}
    if told != {str(shared.certificate), str(own.certificate)}:
        problems.append(f"the status tells of {told}")
    return "two listeners with a certificate each, one of them changed", problems


def expired_at_start():
    """A load manager whose certificate has ended starts, serves UDP, warns, and can be changed; it takes no other expired
    certificate."""
    with Farm("renewed-expired") as farm:
        server = farm.address()
        farm.answer(server)
        authority, control = Authority(farm, "authority"), farm.control()
        over, over_too, good = authority.sign(days=0), authority.sign(days=0), authority.sign()
        time.sleep(1.1)
        phones, plain = Place(farm.address("tls")), farm.address()
        process = farm.configured({phones.place: {}, plain: {}}, [server], tls=files(over), control={"path": str(control)})
        file = next(farm.directory.glob("lb-*.toml"))

        def reload():
            argv = [STROWGER, "ctl", "reload", "--control", str(control)]
            done = subprocess.run(argv, capture_output=True, text=True, timeout=20)
            return done.returncode, done.stdout + done.stderr

        problems = [] if refused(phones, authority.client()) else ["the test's own client believes a certificate that has ended"]
        with Datagrams(farm.address()) as caller:
            caller.send(Dialog(caller.address).request("INVITE", 1), plain)
            response = caller.receive(5)
            problems += [] if response and response.status in (180, 200) else [f"INVITE by UDP: {response and response.start}"]
        ends = [row["ends"] for row in farm.status(control)["certificates"]]
        if not (ends and ends[0] < time.time()):
            problems.append(f"the status tells of {ends}")
        if " ended on " not in process.log.read_text():
            problems.append("nothing was said at the start")
        file.write_text(file.read_text().replace('[[server]]\n', '[[server]]\nweight = 3\n'))
        status, said = reload()
        if status or "weight: 1 becomes 3" not in said:
            problems.append(f"the weight did not change: {said}")
        for pair, wanted in ((over_too, 4), (good, 0)):
            over.certificate.write_bytes(pair.certificate.read_bytes())
            over.key.write_bytes(pair.key.read_bytes())
            status, said = reload()
            if status != wanted:
                problems.append(f"reload with {pair.certificate.name}: {status}, {said}")
        problems += phones.shows(authority.client(), good)
    return "started with a certificate that has ended, mended by a reload", problems


def main():
    report = Report("renewed")
    report.case("under_load", under_load)
    report.case("each_listener", each_listener)
    report.case("expired_at_start", expired_at_start)
    report.end()


if __name__ == "__main__":
    main()
