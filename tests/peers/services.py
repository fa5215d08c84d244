"""What each role tells the service manager that started it (sd_notify(3)): ready when it serves, around a reload, that it still does its
work, and that it ends; and that a stopped process falls silent. The test is the manager: it owns the socket and reads datagrams."""

import os
import signal
import socket
import time

from farm import STROWGER, Farm, until
from report import Report

WATCHDOG_MS = 1000
# Two messages in each time of the watchdog; a busy machine may swallow some of them.
BEATS = 3


class Manager:
    """The socket that $NOTIFY_SOCKET names, and what has come there from which process."""

    def __init__(self, farm):
        path = farm.sockets / "notify"
        self.socket = farm.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(str(path))
        self.socket.setblocking(False)
        self.env = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": str(WATCHDOG_MS * 1000)}
        self.heard = []

    def listen(self):
        while True:
            try:
                data, credentials, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(12))
            except BlockingIOError:
                return self.heard
            sender = int.from_bytes(credentials[0][2][:4], "little")
            self.heard.append((sender, dict(line.split("=", 1) for line in data.decode().split("\n"))))

    def count(self, field):
        return sum(field in fields for _, fields in self.listen())

    def waits(self, field, count=1, seconds=30):
        until(lambda: self.count(field) >= count, f"{count} times {field}, heard {self.heard}", seconds)


def roles(farm):
    """Each role: its options, the signal that has it reload, and whether it says that it ends."""
    server, front, inner = farm.address(), farm.address(), farm.address()
    state = farm.sockets / "state.sock"
    config = farm.directory / "one.toml"
    config.write_text(f'[[listen]]\naddress = "{farm.address()}"\n[[server]]\naddress = "{server.host_port}"\n[threads]\nmodel = "one"\n'
                      f'[control]\npath = "{farm.control("one")}"\n')
    answer = [STROWGER, "answer", "--listen", f"udp:{inner.host_port}"]
    return {
        "lb": (["lb", "--listen", front, "--server", server.host_port, "--control", farm.control()], signal.SIGHUP, True),
        "lb/one thread": (["lb", "--config", config], signal.SIGHUP, True),
        "engine": (["engine", "--listen", farm.address(), "--to", f"sip:{server.host_port}"], None, True),
        "state": (["state", "--listen", f"unix:{state}"], None, False),
        "agent": (["agent", "--sip", inner.host_port, "--to", farm.address().host_port, "--drain-ms", 100, "--", *answer], None, True),
        "run": (["run", "--folder", farm.sockets / "run", "--listen", farm.address(), "--to", f"sip:{server.host_port}", "--engines", 2],
                signal.SIGHUP, True),
    }


def told(role):
    with Farm(f"services-{role.replace('/', '-').replace(' ', '-')}") as farm:
        manager = Manager(farm)
        options, reload, says_end = roles(farm)[role]
        process = farm.start("role", [STROWGER, *options], env=manager.env)
        manager.waits("READY")
        problems = []
        if reload:
            before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            os.kill(process.pid, reload)
            manager.waits("RELOADING")
            manager.waits("READY", 2, 60)
            at = next(int(fields["MONOTONIC_USEC"]) for _, fields in manager.heard if "RELOADING" in fields)
            after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            if not before <= at <= after:
                problems.append(f"a reload at {at}, but it was between {before} and {after}")
        manager.waits("WATCHDOG", manager.count("WATCHDOG") + BEATS)
        # A process that stands still must fall silent, or the watchdog is none.
        os.kill(process.pid, signal.SIGSTOP)
        until(lambda: "T" in (open(f"/proc/{process.pid}/stat").read().rpartition(")")[2].split()[0]), "it is stopped")
        beats = manager.count("WATCHDOG")
        time.sleep(2 * WATCHDOG_MS / 1000)
        if manager.count("WATCHDOG") > beats:
            problems.append("it says that it works while it is stopped")
        os.kill(process.pid, signal.SIGCONT)
        os.kill(process.pid, signal.SIGTERM)
        if process.wait(30) != 0:
            problems.append(f"it ended with {process.popen.returncode}: {process.tail()}")
        if manager.count("STOPPING") != int(says_end):
            problems.append(f"it said {manager.count('STOPPING')} times that it ends")
        # Children of an agent and of `run` have the manager's variables taken from them.
        strangers = {sender for sender, _ in manager.heard} - {process.pid}
        if strangers:
            problems.append(f"processes that the manager did not start spoke: {strangers}")
        words = [next(iter(fields)) for _, fields in manager.heard if "WATCHDOG" not in fields]
        return f"{', '.join(words)}; {manager.count('WATCHDOG')} times at work", problems


def main():
    report = Report("services")
    for role in ("lb", "lb/one thread", "engine", "state", "agent", "run"):
        report.case(role, told, role)
    report.end()


if __name__ == "__main__":
    main()
