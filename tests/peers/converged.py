"""Converged sessions: SIP and HTTP of one session reach one server through the same load manager. The servers are SIPp for SIP
and Python's http.server for HTTP, the clients SIPp, curl and Python's http.client.

A server writes the tag of a call into a link, which reaches the caller in the 200; the caller follows it. Then web sessions
without calls: they stay where they began, and go to another server when their server is killed."""

import collections
import concurrent.futures
import contextlib
import hashlib
import http.client
import json
import pathlib
import re
import socket
import subprocess
import sys
import time
import urllib.parse

from farm import STROWGER, Farm, until
from report import Report, calls
from scenario import SDP, agree, answering, calling, expect, invite, respond, within
from sipp import Sipp, clean, client, start_client

SERVERS = 3
SERVER = pathlib.Path(__file__).resolve().parent / "converged" / "server.py"
HEAD_SECONDS = 2
MEBIBYTE = 1 << 20


class Site:
    """A load manager with a port for SIP and one for HTTP, and servers with both."""

    def __init__(self, farm, affinity="tag", sip=answering(), **http_settings):
        self.farm, self.front, self.web, self.control = farm, farm.address(), farm.address("tcp"), farm.control()
        self.places = [farm.address() for _ in range(SERVERS)]
        self.webs = [farm.address("tcp") for _ in range(SERVERS)]
        self.names = [str(place.port) for place in self.places]
        self.processes = [
            farm.serving(farm.start("http", [sys.executable, SERVER, web.port, name]), [web]) for web, name in zip(self.webs, self.names)
        ]
        steps = sip(self) if callable(sip) else sip
        self.answering = [Sipp(farm, steps, place) for place in self.places]
        self.load_manager = farm.configured(
            {self.front: self.front.host_port},
            {place: {"http": web.host_port} for place, web in zip(self.places, self.webs)},
            affinity={"kind": affinity, "tag_header": True},
            http={"listen": self.web.host_port, "head_seconds": HEAD_SECONDS, **http_settings},
            control={"path": str(self.control)},
        )

    def get(self, path="/", cookie=None, headers=None):
        """One request on its own connection: status, answering server, identifier in the cookie that was set."""
        connection = http.client.HTTPConnection(self.web.ip, self.web.port, timeout=10)
        try:
            headers = dict(headers or {}) | ({"Cookie": f"strowger={cookie}"} if cookie else {})
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            body = response.read()
            told = json.loads(body) if response.status == 200 else {"server": None}
            found = re.match("strowger=([^;]*)", response.headers.get("Set-Cookie", ""))
            return response.status, told, found and found[1]
        finally:
            connection.close()

    def server_of(self, *words, **more):
        return self.get(*words, **more)[1]["server"]

    def counters(self):
        return self.farm.counters(self.control)

    def ctl(self, *words):
        subprocess.run([STROWGER, "ctl", "--control", self.control, *words], capture_output=True, timeout=5, check=True)


def linking(site):
    """A server that writes the tag of the call into a link."""
    tag = '<action><ereg regexp="[^ ]+" search_in="hdr" header="Strowger-Tag:" check_it="true" assign_to="tag"/></action>'
    link = f"Call-Info: <http://{site.web.host_port}/call?strowger=[$tag]$[call_id]>"
    return [expect("INVITE", routes=True, action=tag), respond(200, SDP, headers=link, repeated=True), expect("ACK"), expect("BYE"), agree()]


def following():
    """A caller that notes the link, and the port of the server that answered."""
    seen = [("link", "Call-Info:", "http:[^&gt;]+"), ("server", "Contact:", ":[0-9]+;")]
    noted = "".join(f'<ereg regexp="{what}" search_in="hdr" header="{name}" check_it="true" assign_to="{to}"/>' for to, name, what in seen)
    noted = f'<action>{noted}<log message="[$link] [$server] [call_id]"/></action>'
    return [invite(), expect(100, optional=True), expect(180, optional=True), expect(200, routes=True, action=noted), within("ACK", 1), within("BYE", 2), expect(200)]


def one_place(affinity):
    """The same server by link, path, header field and cookie, and by the Call-ID alone if the hash decides."""
    count = calls(10, 30, 200)
    with Farm(f"converged-one-place-{affinity}") as farm:
        site = Site(farm, affinity, linking)
        log = farm.directory / "links.log"
        caller = client(farm, following(), site.front, count, 50, "-trace_logs", "-log_file", log)
        seen, wrong, used = 0, [], collections.Counter()
        for line in log.read_text().splitlines():
            link, server, call_id = line.split()
            server, text = server.strip(":;"), urllib.parse.urlsplit(link).query.partition("=")[2]
            quoted = urllib.parse.quote(text, safe="")
            ways = {
                "link": (f"/call?strowger={text}",),
                "quoted": (f"/call?x=1&strowger={quoted}",),
                "path": (f"/call;strowger={quoted}/more",),
                "header": ("/", None, {"Strowger-Session": text}),
                "cookie": ("/", quoted),
            }
            if affinity != "tag":
                ways["Call-ID"] = (f"/?strowger={urllib.parse.quote(call_id)}",)
            for way, words in ways.items():
                told, used[server] = site.server_of(*words), used[server] + 1
                wrong += [f"{way}: {told} instead of {server}"] if told != server else []
            # Pages request further files without the parameter.
            _, _, cookie = site.get(ways["link"][0])
            wrong += [] if cookie and site.server_of("/picture", cookie) == server else ["the link's cookie leads elsewhere"]
            seen += 1
        counters = site.counters()
    problems = clean("caller", caller, count)
    if wrong:
        problems.append(f"{len(wrong)} requests went wrong: {wrong[:3]}")
    if seen != count or len(used) != SERVERS:
        problems.append(f"{seen} of {count} links, at {len(used)} servers")
    if counters["http_forged_tags"]:
        problems.append(f"{counters['http_forged_tags']} tags taken for forged")
    return f"{seen} calls, {sum(used.values())} requests to their servers by link, path, header field and cookie", problems


def sticky():
    """Two hundred requests as a browser sends them; then a drained server, a forged tag, a killed server."""
    with Farm("converged-sticky") as farm:
        site = Site(farm)
        jar = farm.directory / "jar"
        problems = []
        urls = f"http://{site.web.host_port}/page/[1-200]"
        done = subprocess.run(["curl", "-sS", "-b", jar, "-c", jar, urls], capture_output=True, timeout=30, check=True)
        stuck = collections.Counter(re.findall(r'"server": "(\d+)"', done.stdout.decode()))
        if sum(stuck.values()) != 200 or len(stuck) != 1:
            problems.append(f"curl reached {dict(stuck)}")
        sessions = {}
        for _ in range(30):
            _, told, cookie = site.get()
            sessions[cookie] = told["server"]
        shares = collections.Counter(sessions.values())
        if sorted(shares.values()) != [10] * SERVERS:
            problems.append(f"thirty sessions were dealt out as {dict(shares)}")
        drained, killed = site.names[0], site.names[1]
        site.ctl("drain", f"127.0.0.1:{drained}")
        until(lambda: farm.server_states(site.control)[int(drained)] != "active", "the server drained")
        if any(site.server_of(cookie=cookie) != server for cookie, server in sessions.items()):
            problems.append("a session left the server that drains")
        if drained in {site.server_of() for _ in range(20)}:
            problems.append("a session began at the server that drains")
        forged = next(iter(sessions))
        forged = forged[:9] + ("A" if forged[9] != "A" else "B") + forged[10:]
        if site.get(cookie=forged)[2] is None or site.counters()["http_forged_tags"] != 1:
            problems.append("a forged tag was not taken for none")
        outcome = after_death(site, sessions, killed, problems)
        taken = site.counters()["http_taken_over"]
        if taken < shares[killed]:
            problems.append(f"{taken} taken over, {shares[killed]} sessions were at the server that was killed")
    return f"200 of curl at one server, 30 sessions {sorted(shares.values())}, {outcome}, {taken} taken over", problems


def after_death(site, sessions, killed, problems):
    """Requests of all sessions, while their server is killed."""
    good = moved = 0
    for round_ in range(10):
        if round_ == 3:
            site.processes[site.names.index(killed)].kill()
        for cookie, server in list(sessions.items()):
            status, told, renewed = site.get(cookie=cookie)
            good += status == 200
            if told["server"] != server:
                moved += 1
                if server != killed or not renewed:
                    problems.append(f"a session of {server} was moved to {told['server']}, its cookie: {renewed}")
                    continue
                del sessions[cookie]
                sessions[renewed] = told["server"]
    count = 10 * len(sessions)
    if good != count:
        problems.append(f"{count - good} of {count} requests failed when a server was killed")
    if moved != 10:
        problems.append(f"{moved} sessions moved, 10 were at the server that was killed")
    return f"{good} of {count} requests good around the death of a server"


def bodies():
    """Large bodies both ways, in one piece and in chunks; a body that is too large; another protocol."""
    with Farm("converged-bodies") as farm:
        site = Site(farm, body_bytes_max=32 * MEBIBYTE)
        problems = []
        sent = farm.directory / "sent"
        sent.write_bytes(hashlib.shake_256(b"converged").digest(10 * MEBIBYTE))
        url = f"http://{site.web.host_port}/"
        for way, more in {"length": [], "chunks": ["-H", "Transfer-Encoding: chunked"]}.items():
            back = farm.directory / f"back-{way}"
            subprocess.run(["curl", "-sS", "-o", back, *more, "--data-binary", f"@{sent}", url], timeout=20, check=True)
            if back.read_bytes() != sent.read_bytes():
                problems.append(f"10 MB by {way} did not come back as they were sent")
        done = subprocess.run(["curl", "-sS", f"{url}large/160"], capture_output=True, timeout=20, check=True)
        if len(done.stdout) != 160 * 65536 or set(done.stdout[::256]) != {0}:
            problems.append(f"{len(done.stdout)} bytes came of 10 MB in chunks")
        for more in ([], ["-H", "Transfer-Encoding: chunked"]):
            large = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *more, "--data-binary", "@-", url]
            status = subprocess.run(large, input=bytes(40 * MEBIBYTE), capture_output=True, timeout=20).stdout
            if status not in (b"413", b"000") or (status == b"000" and not more):
                problems.append(f"a body that is too large was answered {status}")
        said = upgraded(site)
        if said != b"HELLO\n":
            problems.append(f"another protocol: {said}")
        resident = site.load_manager.resident_kib()
        if resident > 200 * 1024:
            problems.append(f"the load manager holds {resident} KiB")
    return f"10 MB both ways, by length and in chunks, unharmed; too large refused; another protocol passed; {resident // 1024} MB resident", problems


def upgraded(site):
    with socket.create_connection((site.web.ip, site.web.port), timeout=5) as stream:
        stream.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += stream.recv(4096)
        if not answer.startswith(b"HTTP/1.1 101 "):
            return answer
        stream.sendall(b"hello\n")
        return stream.recv(4096)


HOSTILE = {
    "length twice": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", b"400"),
    "another coding": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", b"501"),
    "not chunked last": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", b"400"),
    "space before colon": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello", b"400"),
    "folded": (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", b"400"),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", b"400"),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
    "to elsewhere": (b"CONNECT example.com:25 HTTP/1.1\r\nHost: a\r\n\r\n", b"405"),
    "long head": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", b"431"),
    "no HTTP": (b"\x16\x03\x01 hello\r\n\r\n", b"400"),
}


def spoken(site, text):
    """The bytes that come until the connection ends or no more bytes come."""
    with socket.create_connection((site.web.ip, site.web.port), timeout=5) as stream:
        answer = b""
        # The rest of a request that was refused at its head is not read.
        with contextlib.suppress(OSError):
            stream.sendall(text)
        stream.settimeout(0.5)
        try:
            while part := stream.recv(65536):
                answer += part
        except OSError:
            pass
        return answer


def hostile():
    """Requests that two readers may understand differently, slow clients, and calls beside them."""
    count = calls(400, 1200, 5000)
    with Farm("converged-hostile") as farm:
        site = Site(farm)
        problems = []
        caller = start_client(farm, calling(), site.front, count, 200, "-d", "100")
        slow = [socket.create_connection((site.web.ip, site.web.port), timeout=10) for _ in range(20)]
        for stream in slow:
            stream.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        began = time.monotonic()
        for name, (text, status) in HOSTILE.items():
            answer = spoken(site, text)
            if answer.split(b" ")[1:2] != [status]:
                problems.append(f"{name}: {answer[:60]}")
        # With both fields, the chunks count, and the bytes after them are not taken for a request (RFC 9112 §6.3).
        smuggled = spoken(site, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        if smuggled.count(b"HTTP/1.1 200") != 1 or not smuggled.endswith(b"abc"):
            problems.append(f"both lengths: {smuggled[-80:]}")
        _, told, _ = site.get("http://elsewhere.example:25/a?b", headers={"X-Forwarded-For": "203.0.113.1", "Connection": "X-Hop", "X-Hop": "1", "TE": "trailers"})
        fields = dict(told["headers"])
        expected = {"host": "elsewhere.example:25", "x-forwarded-for": "203.0.113.1, 127.0.0.1", "x-forwarded-proto": "http", "via": "1.1 strowger"}
        if told["path"] != "/a?b" or any(fields.get(name) != value for name, value in expected.items()) or {"x-hop", "te", "connection"} & set(fields):
            problems.append(f"a server got {told}")
        for stream in slow:
            while stream.recv(4096):
                pass
            stream.close()
        cut = time.monotonic() - began
        if cut > HEAD_SECONDS + 8:
            problems.append(f"slow clients were cut off after {cut:.1f} s")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            good = sum(status == 200 for status, *_ in pool.map(lambda _: site.get(), range(calls(200, 500, 5000))))
        outcome = caller.finish()
        answered = [server.stop() for server in site.answering]
        counters = site.counters()
    problems += clean("caller", outcome, count, resent=count)
    if good != calls(200, 500, 5000):
        problems.append(f"{good} requests good beside the calls")
    if counters["http_slow_clients"] < len(slow):
        problems.append(f"{counters['http_slow_clients']} slow clients cut off")
    strays = sum(server.failed for server in answered)
    if strays:
        problems.append(f"{strays} calls failed at the servers")
    return f"{len(HOSTILE)} bad requests refused, slow clients cut off after {cut:.1f} s, {good} good ones beside {outcome.good} of {count} calls at 200/s", problems


def main():
    report = Report("converged")
    for affinity in ("tag", "session", "hash"):
        report.case(f"one_place_{affinity}", one_place, affinity)
    report.case("sticky", sticky)
    report.case("bodies", bodies)
    report.case("hostile", hostile)
    report.end()


if __name__ == "__main__":
    main()
