"""The alerts of engines and of the state tier: two engines on a Redis cluster, one of them with a clock that the test moves, and a third
on a small `strowger state`."""

import contextlib
import os
import signal
import threading
import time

from farm import STROWGER, Address, Farm
from tier import Cluster
from watcher import Faults, Prometheus
from wire import Datagrams, Dialog, answer

# The least memory that `strowger state` takes, and bodies that fill it soon.
MEMORY, BODY = "16M", "x" * 50_000
CALLS = 400
# Longer than engines and tier need to see that somebody stands still.
STILL_S = 4


class Scene:
    def __init__(self, farm):
        self.farm, self.targets = farm, {}
        self.callee = farm.enter_context(Datagrams(farm.address()))
        threading.Thread(target=self.ring, daemon=True).start()
        self.clock = farm.directory / "clock"
        self.move_clock(0)
        self.tier = Cluster(farm)
        self.places = [farm.address() for _ in range(3)]
        self.apis = {name: farm.address("tcp") for name in ("first", "second", "small", "state")}
        self.first = self.engine("first", self.places[0], self.tier.nodes)
        library = next(path for path in faketime_libraries() if os.path.exists(path))
        self.second = self.engine("second", self.places[1], self.tier.nodes, {
            "LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(self.clock), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        })
        self.path = farm.sockets / "small.sock"
        self.start_state()
        self.engine("small", self.places[2], [f"unix:{self.path}"])
        self.caller = farm.enter_context(Datagrams(farm.address()))
        self.faults = Faults(Prometheus(farm, self.apis))

    def ring(self):
        """Calls ring, and nobody answers them."""
        with contextlib.suppress(OSError, ValueError):
            while True:
                message = self.callee.receive(60)
                if message and message.method == "INVITE":
                    source = Address("udp", *message.source[:2])
                    self.callee.send(answer(message, 180, self.callee.address, "callee"), source)

    def engine(self, name, place, nodes, env=None):
        words = [word for node in nodes for word in ("--state", node)]
        argv = [STROWGER, "engine", "--listen", place, "--to", f"sip:{self.callee.address.host_port}", "--api", self.apis[name].host_port]
        process = self.farm.start(name, [*argv, "--ringing-per-source", 0, *words], env)
        return self.farm.serving(process, [place, self.apis[name]])

    def start_state(self):
        self.path.unlink(missing_ok=True)
        self.state = self.farm.start("state", [STROWGER, "state", "--listen", f"unix:{self.path}", "--memory", MEMORY, "--api", self.apis["state"].host_port])
        self.farm.serving(self.state, [self.apis["state"]])

    def move_clock(self, seconds):
        self.clock.write_text(f"{seconds:+d}\n")

    def invite(self, place, count=1, body=""):
        for _ in range(count):
            headers = ("Content-Type: text/plain",) if body else ()
            self.caller.send(Dialog(self.caller.address).request("INVITE", 1, headers=headers, body=body), place)
            time.sleep(0.02)

    def stand_still(self, process, place):
        """An engine notices it if it has calls."""
        self.invite(place, 3)
        time.sleep(0.5)
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(STILL_S)
        os.kill(process.pid, signal.SIGCONT)


def faketime_libraries():
    machine = os.uname().machine
    return [f"/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/lib/faketime/libfaketimeMT.so.1"]


def engines():
    """All alerts of engines and of the state tier."""
    with Farm("alerts-engines") as farm:
        scene = Scene(farm)
        tier, faults = scene.tier, scene.faults
        dead = []
        down = {"StrowgerStateTierNodeDown": "first", "StrowgerWithoutReplica": "first"}
        faults.cause(down, lambda: dead.append(tier.kill_replica()), lambda: tier.restart(dead.pop()))

        primary = tier.primaries()[0]
        replica = tier.replicas(primary)[0]

        def keep_out():
            # A replica with a wrong password lives, so it is in step for the cluster; but it follows no longer.
            replica.say("CONFIG", "SET", "masterauth", "wrong")
            primary.say("CLIENT", "KILL", "TYPE", "replica")
            scene.invite(scene.places[0], 100)

        def let_in():
            replica.say("CONFIG", "SET", "masterauth", "")
            tier.whole()

        faults.cause({"StrowgerReplicaMissing": "first"}, keep_out, let_in)

        def fail_over():
            dead.append(tier.kill_primary())
            tier.taken_over(dead[0])

        faults.cause({"StrowgerFailover": "first"}, fail_over, lambda: tier.restart(dead.pop()))

        def take_away():
            tier.stop()
            time.sleep(2)
            scene.invite(scene.places[0], 5)

        faults.cause({"StrowgerStateTierAway": "first", "StrowgerEngineRefuses": "first"}, take_away, tier.go_on)
        tier.whole()
        hung = {"StrowgerEngineHung": "second", "StrowgerEngineDied": "first"}
        faults.cause(hung, lambda: scene.stand_still(scene.second, scene.places[1]))
        faults.cause({"StrowgerClockSkew": "second"}, lambda: scene.move_clock(5), lambda: scene.move_clock(0))
        fill = lambda: scene.invite(scene.places[2], CALLS, BODY)

        def empty():
            scene.state.kill()
            scene.start_state()

        faults.cause({"StrowgerStateNearlyFull": "state", "StrowgerStateFull": "state"}, fill, empty)
        return faults.outcome()
