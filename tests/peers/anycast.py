"""The BIRD example of docs/redundant-load-managers.md, run as it stands there: two load managers announce one address to a router,
which spreads flows over both, in network namespaces of their own.

Then one load manager is killed and its address withdrawn, as systemd does it, or its whole host is cut off, while calls are
being set up and talked: every call goes on by the other. Needs root, for the namespaces; BIRD is Debian's."""

import os
import re
import subprocess
import time

from farm import STROWGER, Farm, until
from report import Report, calls
from scenario import calling, write
from vrrp import Network, example, namespaces, new_calls, read

ADDRESS, ROUTER = "192.0.2.10", "198.51.100.1"
HOSTS = {"one": "198.51.100.11", "two": "198.51.100.12"}
SERVER, CALLER = "198.51.100.21", "198.51.100.22"
CALLERS = 4
RATE = 15
TALK_MS = 3000

ROUTER_CONFIG = """
router id {router};
protocol device {{ }}
protocol kernel {{ ipv4 {{ export all; import none; }}; merge paths on; }}
protocol bfd {{ interface "eth0" {{ interval 100 ms; multiplier 3; }}; }}
{neighbours}
"""
NEIGHBOUR = """
protocol bgp {name} {{ local as 65000; neighbor {address} as 65010; bfd on; connect delay time 1; connect retry time 1; error wait time 1, 2; ipv4 {{ import all; export none; }}; }}
"""


class Pair:
    """Two load managers with BIRD, configured by the page but for paths and addresses of the hosts; and the router."""

    def __init__(self, farm):
        self.farm = farm
        hosts = {host: [address] for host, address in {**HOSTS, "router": ROUTER, "server": SERVER, "caller": CALLER}.items()}
        self.network = network = Network(farm, hosts)
        for host, name in network.names.items():
            if host == "router":
                # Flows, not packets' addresses alone, are what the router spreads.
                for setting in ("net.ipv4.ip_forward=1", "net.ipv4.fib_multipath_hash_policy=1", "net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.eth0.send_redirects=0"):
                    network.run(name, "sysctl", "-qw", setting)
            else:
                network.run(name, "ip", "route", "add", "default", "via", ROUTER)
        keys = farm.directory / "farm.keys"
        keys.write_bytes(subprocess.run([STROWGER, "key"], capture_output=True, check=True, timeout=5).stdout)
        os.chmod(keys, 0o600)
        neighbours = "".join(NEIGHBOUR.format(name=host, address=address) for host, address in HOSTS.items())
        self.bird("router", ROUTER_CONFIG.format(router=ROUTER, neighbours=neighbours))
        self.load_managers = {}
        for host, other in (("one", "two"), ("two", "one")):
            network.run(network.names[host], "ip", "address", "add", f"{ADDRESS}/32", "dev", "lo")
            config = example("## What each needs").replace("/etc/strowger/farm.keys", str(keys))
            config = re.sub(r'(?<=\[peers\]\nlisten = ")[^:]*', HOSTS[host], config)
            config = re.sub(r'(?<=\nto = \[")[^:]*', HOSTS[other], config)
            config += f'[[server]]\naddress = "{SERVER}:5060"\n[health]\nprobe = "off"\n[control]\npath = "{farm.control(host)}"\n'
            path = farm.directory / f"lb-{host}.toml"
            path.write_text(config)
            self.load_managers[host] = network.start(host, "lb", STROWGER, "lb", "--config", path)
            until(lambda host=host: farm.control(host).exists(), f"load manager {host}")
            self.bird(host, f"router id {HOSTS[host]};\n" + example("/etc/bird/bird.conf"))

    def bird(self, host, config):
        path = self.farm.directory / f"bird-{host}.conf"
        path.write_text(config)
        self.network.start(host, "bird", "bird", "-f", "-c", path, "-s", self.farm.sockets / f"bird-{host}")

    def announcing(self):
        """Whom the router sends the address to."""
        route = self.network.run(self.network.names["router"], "ip", "route", "show", f"{ADDRESS}/32")
        return [host for host, address in HOSTS.items() if f"via {address} " in route]


def callers(pair, count):
    path = write(pair.farm.directory / "calling.xml", "calling", calling())
    started = []
    for number in range(CALLERS):
        statistics, port = pair.farm.directory / f"calling-{number}.csv", 5100 + 10 * number
        argv = ["sipp", f"{ADDRESS}:5060", "-sf", path, "-i", CALLER, "-p", port, "-mp", 7000 + 10 * number, "-cp", 8800 + number]
        argv += ["-m", count // CALLERS, "-r", RATE, "-d", TALK_MS, "-nostdin", "-trace_stat", "-stf", statistics, "-fd", "1"]
        argv += ["-timeout", "60s", "-recv_timeout", "33000"]
        started.append((pair.network.start("caller", f"sipp-{number}", *map(str, argv)), statistics))
    return started


def fail_over(how):
    count, problems = calls(160, 240, 1600), []
    with Farm(f"anycast-{how}") as farm:
        pair = Pair(farm)
        server = pair.network.start("server", "answer", STROWGER, "answer", "--listen", f"udp:{SERVER}:5060", "--answer-ms", "500")
        until(lambda: pair.announcing() == ["one", "two"], "the address by both", 60)
        started = callers(pair, count)
        until(lambda: sum(new_calls(pair, host) for host in HOSTS) >= count // 3, "a third of the calls", 30)
        by_both = {host: new_calls(pair, host) for host in HOSTS}
        victim, other = ("one", "two") if by_both["one"] else ("two", "one")
        if how == "load_manager":
            pair.load_managers[victim].kill()
            pair.network.run(pair.network.names[victim], "ip", "address", "del", f"{ADDRESS}/32", "dev", "lo")
        else:
            pair.network.run(pair.network.switch, "ip", "link", "set", pair.network.ports[victim], "down")
        began = time.monotonic()
        until(lambda: pair.announcing() == [other], "the address by one alone", 20)
        moved = time.monotonic() - began
        good = repeated = 0
        for process, statistics in started:
            process.wait(60)
            counters = read(statistics)
            good, repeated = good + counters.good, repeated + counters.retransmissions
        if not server.alive():
            problems.append("the server ended")
    if good != count // CALLERS * CALLERS:
        problems.append(f"{good} of {count} calls good")
    return f"{good} of {count} calls, {by_both} by each before, withdrawn after {moved:.1f} s, {repeated} repetitions", problems


def main():
    report = Report("anycast")
    if not namespaces():
        print("NOT RUN anycast: network namespaces cannot be made here (ip netns add needs root and CAP_SYS_ADMIN)")
        return
    for how in ("load_manager", "host"):
        report.case(f"killed/{how}", fail_over, how)
    report.end()


if __name__ == "__main__":
    main()
