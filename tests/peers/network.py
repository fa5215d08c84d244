"""Load managers of one address on separate hosts: network namespaces on one switch, configured as
docs/redundant-load-managers.md prints. For the programs that take one host away; needs root."""

import os
import pathlib
import re
import subprocess

from farm import ROOT, STROWGER, until
from report import Report
from scenario import calling, write
from sipp import Counters

PAGE = ROOT / "docs/redundant-load-managers.md"
ADDRESS = "192.0.2.10"
TALK_MS = 3000


class Network:
    """Hosts on one switch, each a namespace with an `eth0`, as on the page. All of it is removed with the test."""

    def __init__(self, farm, hosts):
        self.farm, self.names, self.ports = farm, {}, {}
        prefix = f"sw{os.getpid()}"
        self.switch = self.namespace(f"{prefix}-switch")
        self.run(self.switch, "ip", "link", "add", "br0", "type", "bridge")
        self.run(self.switch, "ip", "link", "set", "br0", "up")
        for number, (host, addresses) in enumerate(hosts.items()):
            name = self.names[host] = self.namespace(f"{prefix}-{host}")
            port = self.ports[host] = f"port{number}"
            self.run(self.switch, "ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
            self.run(self.switch, "ip", "link", "set", port, "master", "br0", "up")
            for address in addresses:
                self.run(name, "ip", "address", "add", f"{address}/24", "dev", "eth0")
            for link in ("lo", "eth0"):
                self.run(name, "ip", "link", "set", link, "up")

    def namespace(self, name):
        subprocess.run(["ip", "netns", "add", name], check=True, timeout=10)
        self.farm.callback(subprocess.run, ["ip", "netns", "delete", name], timeout=10)
        return name

    def run(self, name, *argv):
        done = subprocess.run(["ip", "netns", "exec", name, *map(str, argv)], capture_output=True, text=True, timeout=10)
        if done.returncode:
            raise RuntimeError(f"{' '.join(map(str, argv))}: {done.stderr.strip()}")
        return done.stdout

    def on(self, host, *argv):
        """The output of a program that runs on that host and ends."""
        return self.run(self.names[host], *argv)

    def start(self, host, name, *argv):
        """A program on that host; `ip` becomes the program, so the process id is the program's."""
        return self.farm.start(f"{name}-{host}", ["ip", "netns", "exec", self.names[host], *map(str, argv)])

    def cut_off(self, host):
        self.run(self.switch, "ip", "link", "set", self.ports[host], "down")

    def load_manager(self, host, own, other, server):
        """The page's load manager on that host, except for the inner addresses; `server` is its one server."""
        control = self.farm.control(host)
        config = example("## What each needs").replace("/etc/strowger/farm.keys", str(self.keys()))
        config = re.sub(r'(?<=\[peers\]\nlisten = ")[^:]*', own, config)
        config = re.sub(r'(?<=\nto = \[")[^:]*', other, config)
        config += f'[[server]]\naddress = "{server}:5060"\n[health]\nprobe = "off"\n[control]\npath = "{control}"\n'
        path = self.farm.directory / f"lb-{host}.toml"
        path.write_text(config)
        process = self.start(host, "lb", STROWGER, "lb", "--config", path)
        until(control.exists, f"load manager {host}")
        return process

    def keys(self):
        """The key file of all load managers."""
        path = self.farm.directory / "farm.keys"
        if not path.exists():
            path.write_bytes(subprocess.run([STROWGER, "key"], capture_output=True, check=True, timeout=5).stdout)
            path.chmod(0o600)
        return path

    def answer(self, host, address):
        return self.start(host, "answer", STROWGER, "answer", "--listen", f"udp:{address}:5060", "--answer-ms", 500)

    def sipp(self, host, own, count, rate, number=0):
        """SIPp calling the shared address; also the file that `read` reads when SIPp has ended."""
        path = write(self.farm.directory / f"calling-{number}.xml", "calling", calling())
        statistics = self.farm.directory / f"calling-{number}.csv"
        argv = ["sipp", f"{ADDRESS}:5060", "-sf", path, "-i", own, "-p", 5060 + 10 * number, "-mp", 7000 + 10 * number, "-cp", 8800 + number]
        argv += ["-m", count, "-r", rate, "-d", TALK_MS, "-nostdin", "-trace_stat", "-stf", statistics, "-fd", 1]
        argv += ["-timeout", "60s", "-recv_timeout", 33000]
        return self.start(host, f"sipp-{number}", *argv), statistics

    def new_calls(self, host):
        """New calls of the load manager on that host."""
        return sum(server["new_calls"] for server in self.farm.status(self.farm.control(host))["servers"])


def example(title):
    """The indented text of the page that begins after a line with `title`."""
    return re.search(rf"{re.escape(title)}.*?```\w*\n(.*?)```", PAGE.read_text(), re.S).group(1)


def read(statistics):
    """SIPp's last line of statistics."""
    head, *_, last = pathlib.Path(statistics).read_text().splitlines()
    return Counters(zip(head.split(";"), last.split(";"), strict=True))


def fail_overs(program, fail_over):
    """Both ways to lose a load manager, each a case; if namespaces cannot be made, a line that says so."""
    report = Report(program)
    if not may_make_namespaces():
        # This is no failure of the tested program: containers without this right are common.
        print(f"NOT RUN {program}: network namespaces cannot be made here (ip netns add needs root and CAP_SYS_ADMIN)")
        return
    for how in ("load_manager", "host"):
        report.case(f"killed/{how}", fail_over, how)
    report.end()


def may_make_namespaces():
    """Whether this machine permits network namespaces."""
    name = f"sw{os.getpid()}-may"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, timeout=10).returncode == 0
    try:
        needed = [["ip", "link", "add", "br0", "type", "bridge"], ["sysctl", "-qw", "net.ipv4.ip_nonlocal_bind=1"]]
        within = ["ip", "netns", "exec", name]
        return made and all(subprocess.run([*within, *argv], capture_output=True, timeout=10).returncode == 0 for argv in needed)
    finally:
        if made:
            subprocess.run(["ip", "netns", "delete", name], timeout=10)
