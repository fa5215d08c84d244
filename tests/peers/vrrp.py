"""The keepalived example of docs/redundant-load-managers.md, run as it stands there: two load managers in network namespaces of
their own, one address that moves between them by VRRP, SIPp on a third host and a server on a fourth.

Then the load manager that has the address is killed, or its whole host is cut off, while calls are being set up and talked:
the address moves, and every call goes on. Needs root, for the namespaces; keepalived is Debian's."""

import os
import pathlib
import re
import subprocess
import time

from farm import ROOT, STROWGER, Farm, until
from report import Report, calls
from scenario import calling, write
from sipp import Counters

PAGE = ROOT / "docs/redundant-load-managers.md"
ADDRESS = "192.0.2.10"
SERVER, CALLER = "192.0.2.21", "192.0.2.22"
RATE = 50
TALK_MS = 3000


class Network:
    """Hosts on one switch, each a namespace with an `eth0`, as the page has it. All of it goes with the test."""

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

    def start(self, host, name, *argv):
        """A program on that host; `ip` becomes it, so that its number is the program's."""
        return self.farm.start(f"{name}-{host}", ["ip", "netns", "exec", self.names[host], *argv])

    def has(self, host, address):
        return f"inet {address}/" in self.run(self.names[host], "ip", "-4", "address", "show", "dev", "eth0")


def example(title):
    """The indented text of the page that begins behind a line with `title`."""
    return re.search(rf"{re.escape(title)}.*?```\w*\n(.*?)```", PAGE.read_text(), re.S).group(1)


class Pair:
    """Two load managers with keepalived, configured by the page but for paths and the user that the script runs as."""

    def __init__(self, farm):
        self.farm = farm
        inner = {"one": "10.0.0.1", "two": "10.0.0.2"}
        hosts = {"one": ["192.0.2.1", inner["one"]], "two": ["192.0.2.2", inner["two"]], "server": [SERVER], "caller": [CALLER]}
        self.network = Network(farm, hosts)
        keys = farm.directory / "farm.keys"
        keys.write_bytes(subprocess.run([STROWGER, "key"], capture_output=True, check=True, timeout=5).stdout)
        os.chmod(keys, 0o600)
        self.load_managers, self.keepalived = {}, {}
        for host, other in (("one", "two"), ("two", "one")):
            sysctl = re.search(r"sysctl -w (\S+)", example("must be able to listen on an address")).group(1)
            self.network.run(self.network.names[host], "sysctl", "-qw", sysctl)
            control = farm.control(host)
            config = example("## What each needs").replace("/etc/strowger/farm.keys", str(keys))
            config = re.sub(r'(?<=\[peers\]\nlisten = ")[^:]*', inner[host], config)
            config = re.sub(r'(?<=\nto = \[")[^:]*', inner[other], config)
            config += f'[[server]]\naddress = "{SERVER}:5060"\n[health]\nprobe = "off"\n[control]\npath = "{control}"\n'
            path = farm.directory / f"lb-{host}.toml"
            path.write_text(config)
            self.load_managers[host] = self.network.start(host, "lb", STROWGER, "lb", "--config", path)
            until(lambda control=control: control.exists(), f"load manager {host}")
            self.keep(host, control)

    def keep(self, host, control):
        config = example("/etc/keepalived/keepalived.conf").replace("user strowger", "user root")
        config = config.replace("/usr/local/bin/strowger status --json", f"{STROWGER} status --json --control {control}")
        config = config.replace("priority 100            # 90 on the other", "priority 100" if host == "one" else "priority 90")
        path = self.farm.directory / f"keepalived-{host}.conf"
        path.write_text(config)
        pids = [f"--{what}={self.farm.directory}/{what}-{host}" for what in ("pid", "vrrp_pid")]
        self.keepalived[host] = self.network.start(host, "keepalived", "keepalived", "-n", "-l", "-D", "-P", "-f", path, *pids)

    def holder(self):
        """Who has the address."""
        return [host for host in ("one", "two") if self.network.has(host, ADDRESS)]

    def settled(self):
        """Who has the address, and who has not, once that has stayed so: on a busy machine either may be the first to take it."""
        deadline = time.monotonic() + 30
        before = None
        while time.monotonic() < deadline:
            now = self.holder()
            if len(now) == 1 and now == before:
                return now[0], {"one": "two", "two": "one"}[now[0]]
            before = now
            time.sleep(1)
        raise TimeoutError(f"the address is at {before}")


def sipp(pair, count):
    farm = pair.farm
    path = write(farm.directory / "calling.xml", "calling", calling())
    statistics = farm.directory / "calling.csv"
    argv = ["sipp", f"{ADDRESS}:5060", "-sf", path, "-i", CALLER, "-p", 5060, "-m", count, "-r", RATE, "-d", TALK_MS, "-nostdin"]
    argv += ["-trace_stat", "-stf", statistics, "-fd", "1", "-timeout", "60s", "-recv_timeout", "33000"]
    return pair.network.start("caller", "sipp", *map(str, argv)), statistics


def fail_over(how):
    count, problems = calls(150, 200, 1500), []
    with Farm(f"vrrp-{how}") as farm:
        pair = Pair(farm)
        server = pair.network.start("server", "answer", STROWGER, "answer", "--listen", f"udp:{SERVER}:5060", "--answer-ms", "500")
        first, second = pair.settled()
        caller, statistics = sipp(pair, count)
        until(lambda: new_calls(pair, first) >= count // 4, "a quarter of the calls", 30)
        if how == "load_manager":
            pair.load_managers[first].kill()
        else:
            pair.network.run(pair.network.switch, "ip", "link", "set", pair.network.ports[first], "down")
        began = time.monotonic()
        # A host that is cut off still believes that the address is its own.
        until(lambda: second in pair.holder(), "the address at the second", 20)
        moved = time.monotonic() - began
        caller.wait(60)
        counters = read(statistics)
        took_over = new_calls(pair, second)
        if not server.alive():
            problems.append("the server ended")
    if counters.good != count:
        problems.append(f"{counters.good} of {count} calls good ({counters.causes()})")
    if not took_over:
        problems.append("no call went by the second")
    return f"{counters.good} of {count} calls, the address moved after {moved:.1f} s, {took_over} new calls by the second, {counters.retransmissions} repetitions", problems


def namespaces():
    """Whether this machine lets us make a network of our own."""
    name = f"sw{os.getpid()}-may"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, timeout=10).returncode == 0
    try:
        needed = [["ip", "link", "add", "br0", "type", "bridge"], ["sysctl", "-qw", "net.ipv4.ip_nonlocal_bind=1"]]
        within = ["ip", "netns", "exec", name]
        return made and all(subprocess.run([*within, *argv], capture_output=True, timeout=10).returncode == 0 for argv in needed)
    finally:
        if made:
            subprocess.run(["ip", "netns", "delete", name], timeout=10)


def new_calls(pair, host):
    return sum(server["new_calls"] for server in pair.farm.status(pair.farm.control(host))["servers"])


def read(statistics):
    head, *_, last = pathlib.Path(statistics).read_text().splitlines()
    return Counters(zip(head.split(";"), last.split(";"), strict=True))


def main():
    report = Report("vrrp")
    if not namespaces():
        # Not a failure of what is tested: containers without this right are common.
        print("NOT RUN vrrp: network namespaces cannot be made here (ip netns add needs root and CAP_SYS_ADMIN)")
        return
    for how in ("load_manager", "host"):
        report.case(f"killed/{how}", fail_over, how)
    report.end()


if __name__ == "__main__":
    main()
