"""The BIRD example of docs/redundant-load-managers.md, run as the page has it: two load managers announce one address to a
router, which spreads flows over both, in network namespaces of their own.

Then one load manager is killed and its address withdrawn, as systemd does it, or its whole host is cut off, while calls are
being set up and talked: every call goes on through the other. Needs root, for the namespaces; BIRD is Debian's."""

import time

from farm import Farm, until
from network import ADDRESS, Network, example, fail_overs, read
from report import calls

ROUTER = "198.51.100.1"
HOSTS = {"one": "198.51.100.11", "two": "198.51.100.12"}
SERVER, CALLER = "198.51.100.21", "198.51.100.22"
CALLERS = 4
RATE = 15

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
    """Two load managers with BIRD, configured by the page except for paths and the hosts' addresses; and the router."""

    def __init__(self, farm):
        self.farm = farm
        hosts = {host: [address] for host, address in {**HOSTS, "router": ROUTER, "server": SERVER, "caller": CALLER}.items()}
        self.network = network = Network(farm, hosts)
        for host in hosts:
            if host == "router":
                # The router spreads flows, not only pairs of addresses.
                for setting in ("net.ipv4.ip_forward=1", "net.ipv4.fib_multipath_hash_policy=1", "net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.eth0.send_redirects=0"):
                    network.on(host, "sysctl", "-qw", setting)
            else:
                network.on(host, "ip", "route", "add", "default", "via", ROUTER)
        neighbours = "".join(NEIGHBOUR.format(name=host, address=address) for host, address in HOSTS.items())
        self.bird("router", ROUTER_CONFIG.format(router=ROUTER, neighbours=neighbours))
        self.load_managers = {}
        for host, other in (("one", "two"), ("two", "one")):
            network.on(host, "ip", "address", "add", f"{ADDRESS}/32", "dev", "lo")
            self.load_managers[host] = network.load_manager(host, HOSTS[host], HOSTS[other], SERVER)
            self.bird(host, f"router id {HOSTS[host]};\n" + example("/etc/bird/bird.conf"))

    def bird(self, host, config):
        path = self.farm.directory / f"bird-{host}.conf"
        path.write_text(config)
        self.network.start(host, "bird", "bird", "-f", "-c", path, "-s", self.farm.sockets / f"bird-{host}")

    def announcing(self):
        """The next hops to which the router sends the address."""
        route = self.network.on("router", "ip", "route", "show", f"{ADDRESS}/32")
        return [host for host, address in HOSTS.items() if f"via {address} " in route]


def fail_over(how):
    count, problems = calls(160, 240, 1600), []
    with Farm(f"anycast-{how}") as farm:
        pair = Pair(farm)
        network = pair.network
        server = network.answer("server", SERVER)
        until(lambda: pair.announcing() == ["one", "two"], "the address by both", 60)
        started = [network.sipp("caller", CALLER, count // CALLERS, RATE, number) for number in range(CALLERS)]
        until(lambda: sum(network.new_calls(host) for host in HOSTS) >= count // 3, "a third of the calls", 30)
        by_both = {host: network.new_calls(host) for host in HOSTS}
        victim, other = ("one", "two") if by_both["one"] else ("two", "one")
        if how == "load_manager":
            pair.load_managers[victim].kill()
            network.on(victim, "ip", "address", "del", f"{ADDRESS}/32", "dev", "lo")
        else:
            network.cut_off(victim)
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


if __name__ == "__main__":
    fail_overs("anycast", fail_over)
