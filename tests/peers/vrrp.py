"""The keepalived example of docs/redundant-load-managers.md, run as the page has it: two load managers in network namespaces of
their own, one address that moves between them by VRRP, SIPp on a third host and a server on a fourth.

Then the load manager that has the address is killed, or its whole host is cut off, while calls are being set up and talked: the
address moves, and every call goes on. Needs root, for the namespaces; keepalived is Debian's."""

import re
import time

from farm import STROWGER, Farm, until
from network import ADDRESS, Network, example, fail_overs, read
from report import calls

INNER = {"one": "10.0.0.1", "two": "10.0.0.2"}
OTHER = {"one": "two", "two": "one"}
SERVER, CALLER = "192.0.2.21", "192.0.2.22"
RATE = 50


class Pair:
    """Two load managers with keepalived, configured by the page except for paths and the user of the script."""

    def __init__(self, farm, others=None):
        """`others`: the addresses of further hosts, by their names."""
        self.farm = farm
        hosts = {"one": ["192.0.2.1", INNER["one"]], "two": ["192.0.2.2", INNER["two"]]}
        self.network = Network(farm, hosts | (others or {"server": [SERVER], "caller": [CALLER]}))
        self.load_managers, self.keepalived = {}, {}
        for host, other in OTHER.items():
            sysctl = re.search(r"sysctl -w (\S+)", example("must be able to listen on an address")).group(1)
            self.network.on(host, "sysctl", "-qw", sysctl)
            self.load_managers[host] = self.load_manager(host, INNER[host], INNER[other])
            self.keep(host)

    def load_manager(self, host, own, other):
        return self.network.load_manager(host, own, other, SERVER)

    def keep(self, host):
        config = example("/etc/keepalived/keepalived.conf").replace("user strowger", "user root")
        config = config.replace("/usr/local/bin/strowger status --json", f"{STROWGER} status --json --control {self.farm.control(host)}")
        config = config.replace("priority 100            # 90 on the other", "priority 100" if host == "one" else "priority 90")
        path = self.farm.directory / f"keepalived-{host}.conf"
        path.write_text(config)
        pids = [f"--{what}={self.farm.directory}/{what}-{host}" for what in ("pid", "vrrp_pid")]
        self.keepalived[host] = self.network.start(host, "keepalived", "keepalived", "-n", "-l", "-D", "-P", "-f", path, *pids)

    def holder(self):
        """The hosts that have the address."""
        return [host for host in OTHER if f"inet {ADDRESS}/" in self.network.on(host, "ip", "-4", "address", "show", "dev", "eth0")]

    def settled(self):
        """The host with the address and the host without it, once this is stable: on a busy machine either may be the first to
        take the address."""
        deadline = time.monotonic() + 30
        before = None
        while time.monotonic() < deadline:
            now = self.holder()
            if len(now) == 1 and now == before:
                return now[0], OTHER[now[0]]
            before = now
            time.sleep(1)
        raise TimeoutError(f"the address is at {before}")


def fail_over(how):
    count, problems = calls(150, 200, 1500), []
    with Farm(f"vrrp-{how}") as farm:
        pair = Pair(farm)
        network = pair.network
        server = network.answer("server", SERVER)
        first, second = pair.settled()
        caller, statistics = network.sipp("caller", CALLER, count, RATE)
        until(lambda: network.new_calls(first) >= count // 4, "a quarter of the calls", 30)
        if how == "load_manager":
            pair.load_managers[first].kill()
        else:
            network.cut_off(first)
        began = time.monotonic()
        # A host that is cut off still believes that it has the address.
        until(lambda: second in pair.holder(), "the address at the second", 20)
        moved = time.monotonic() - began
        caller.wait(60)
        counters = read(statistics)
        took_over = network.new_calls(second)
        if not server.alive():
            problems.append("the server ended")
    if counters.good != count:
        problems.append(f"{counters.good} of {count} calls good ({counters.causes()})")
    if not took_over:
        problems.append("no call went by the second")
    return f"{counters.good} of {count} calls, the address moved after {moved:.1f} s, {took_over} new calls by the second, {counters.retransmissions} repetitions", problems


if __name__ == "__main__":
    fail_overs("vrrp", fail_over)
