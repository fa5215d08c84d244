"""Two baresip telephones with Kamailio as their registrar call each other through engines, and an engine is killed with kill -9
between each two steps of a call."""

import collections
import json
import os
import signal
import socket
import time

from engines import Engines
from farm import Farm, until
from kamailio import start_kamailio
from phones import PHONE
from report import Report
from tier import Tier

# The telephone of phones.py, with a port for commands.
STEERED = PHONE + """module ctrl_tcp.so
ctrl_tcp_listen {control}
"""

Registrar = collections.namedtuple("Registrar", "place")


class Phone:
    """A baresip that a test steers through its control port."""

    def __init__(self, farm, user, registrar, front):
        self.user, self.place = user, farm.address()
        # A baresip also takes the next port, for TLS.
        farm.address()
        control = farm.address("tcp")
        folder = farm.directory / user
        folder.mkdir()
        (folder / "config").write_text(STEERED.format(listen=self.place.host_port, control=control.host_port))
        # Registered at the registrar itself; calls leave through the load manager in front of the engines.
        account = f'<sip:{user}@{registrar.host_port}>;auth_user={user};auth_pass=1;regint=60;answermode=manual'
        (folder / "accounts").write_text(account + "\n")
        (folder / "contacts").write_text("")
        self.front = front
        self.process = farm.start(user, ["baresip", "-4", "-f", folder])
        self.events, self.heard = [], b""
        until(lambda: self.connected(control), f"{user} listens to commands", 10)
        until(lambda: "1 binding" in self.process.log.read_text(errors="replace"), f"{user} is registered", 10)

    def connected(self, control):
        try:
            self.socket = socket.create_connection((control.ip, control.port), 1)
            return True
        except OSError:
            return False

    def command(self, command, parameters=""):
        text = json.dumps({"command": command, "params": parameters, "token": "1"})
        self.socket.sendall(f"{len(text)}:{text},".encode())

    def take(self):
        """Reads the events that have come."""
        self.socket.settimeout(0.05)
        try:
            self.heard += self.socket.recv(65536)
        except TimeoutError:
            pass
        while b":" in self.heard:
            length, _, rest = self.heard.partition(b":")
            if len(rest) <= int(length):
                break
            message = json.loads(rest[: int(length)])
            self.heard = rest[int(length) + 1 :]
            if message.get("event"):
                self.events.append(message["type"])
        return self.events

    def wait(self, kind, seconds=12):
        until(lambda: kind in self.take(), f"{self.user}: {kind}; heard {self.events}", seconds)

    def dial(self, other):
        self.command("dial", f"sip:{other.user}@{self.front.host_port}")


def call(story):
    """Kills an engine before each step of the story."""
    with Farm(f"engine-phones-{story}") as farm:
        registrar = farm.address()
        start_kamailio(farm, "registrar.cfg", registrar, expires=3600, challenges=0, password="1")
        engines = Engines(farm, "udp", Tier(farm, "state"), callee=Registrar(registrar))
        alice, bob = (Phone(farm, user, registrar, engines.front) for user in ("alice", "bob"))
        killed = 0

        def kill():
            nonlocal killed
            for _, agent in engines.agents:
                for pid in agent.children()[:1]:
                    os.kill(pid, signal.SIGKILL)
                killed += 1
                # The next one dies when this one is back: somebody must go on with its calls.
                time.sleep(2.5)

        kill()
        alice.dial(bob)
        bob.wait("CALL_INCOMING")
        alice.wait("CALL_RINGING")
        kill()
        if story == "busy":
            bob.command("hangup")
        elif story == "cancel":
            alice.command("hangup")
        else:
            bob.command("accept")
            alice.wait("CALL_ESTABLISHED")
            bob.wait("CALL_ESTABLISHED")
            kill()
            (alice if story == "caller_ends" else bob).command("hangup")
        alice.wait("CALL_CLOSED")
        bob.wait("CALL_CLOSED")
        rang = bob.take().count("CALL_INCOMING")
    problems = [] if rang == 1 else [f"bob rang {rang} times"]
    return f"{killed} engines killed, heard by alice {alice.events}, by bob {bob.events}", problems


def main():
    report = Report("engine_phones")
    for story in ("caller_ends", "callee_ends", "cancel", "busy"):
        report.case(story, call, story)
    report.end()


if __name__ == "__main__":
    main()
