"""The processes of one test: load manager, servers, agents, peers.

Each is started in its own process group with its output in a file, and is ended by its pid when the test ends, however it ends.
Addresses come from a range of ports, and each port is tried before it is given out."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
STROWGER = os.environ.get("STROWGER", str(ROOT / "target/release/strowger"))
LOGS = pathlib.Path(os.environ.get("PEERS_LOGS", ROOT / "target/peers"))
FIRST_PORT = int(os.environ.get("PEERS_FIRST_PORT", "22000"))
PORTS = 1000
PERIOD_MS = 200


class Address:
    """A transport, an IP address and a port, written as the command line and as SIP write them."""

    def __init__(self, transport, ip, port):
        self.transport, self.ip, self.port = transport, ip, port

    @property
    def host(self):
        return f"[{self.ip}]" if ":" in self.ip else self.ip

    @property
    def host_port(self):
        return f"{self.host}:{self.port}"

    @property
    def family(self):
        return socket.AF_INET6 if ":" in self.ip else socket.AF_INET

    def __str__(self):
        return f"{self.transport}:{self.host_port}"


class Process:
    """A started program; `pid` is also its process group."""

    def __init__(self, name, argv, directory, env=None):
        self.name, self.log = name, directory / f"{name}.log"
        with open(self.log, "ab") as log:
            self.popen = subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        self.pid = self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def wait(self, seconds):
        return self.popen.wait(timeout=seconds)

    def kill(self):
        """kill -9 of this process alone: its children live on."""
        self.popen.kill()
        self.popen.wait(timeout=5)

    def children(self):
        return [int(pid) for pid in pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def end(self, seconds=3):
        # An agent puts its server into its own process group, and may be killed while the server is still draining.
        children = self.children() if self.alive() else []
        if self.alive():
            self.popen.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(timeout=seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.popen.wait(timeout=5)

    def resident_kib(self):
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        return 0

    def tail(self, lines=5):
        return " | ".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Farm(contextlib.ExitStack):
    """Directory, ports and processes of one test."""

    port = FIRST_PORT

    def __init__(self, name):
        super().__init__()
        self.directory = LOGS / name
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        self.started = 0
        # A separate directory, since the path of a unix socket must be short.
        self.sockets = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory(prefix="strowger-")))

    def address(self, transport="udp", ip="127.0.0.1"):
        """An address whose port is now free for UDP and TCP."""
        for _ in range(PORTS):
            Farm.port = FIRST_PORT + (Farm.port + 1 - FIRST_PORT) % PORTS
            candidate = Address(transport, ip, Farm.port)
            if _free(candidate):
                return candidate
        raise RuntimeError(f"no free port from {FIRST_PORT} on")

    def start(self, name, argv, env=None):
        self.started += 1
        process = Process(f"{self.started:02}-{name}", argv, self.directory, env)
        self.callback(process.end)
        return process

    def control(self, name="control"):
        """Path of a load manager's control socket."""
        return self.sockets / name

    def load_manager(self, listen, servers, *options):
        """`listen` and `servers` are addresses; returns when the load manager accepts messages."""
        argv = [STROWGER, "lb"]
        for address in listen if isinstance(listen, list) else [listen]:
            argv += ["--listen", address]
        for address in servers:
            argv += ["--server", address]
        if "--control" not in options:
            argv += ["--control", self.control()]
        process = self.start("lb", argv + list(options))
        return self.serving(process, listen if isinstance(listen, list) else [listen])

    def configured(self, listen, servers=(), **sections):
        """A load manager started from a file. `listen` maps its address to the advertised address, or to its keys; `servers`
        may map its addresses to keys, too; a section is a dictionary."""
        lines = []
        for address, keys in listen.items():
            keys = keys if isinstance(keys, dict) else {"advertise": keys}
            lines += ["[[listen]]", f'address = "{address}"', *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
        for server in servers:
            keys = servers[server] if isinstance(servers, dict) else {}
            lines += ["[[server]]", f'address = "{server}"', *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
        for name, keys in sections.items():
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
        self.started += 1
        path = self.directory / f"lb-{self.started}.toml"
        path.write_text("\n".join(lines) + "\n")
        return self.serving(self.start("lb", [STROWGER, "lb", "--config", path]), listen)

    def serving(self, process, addresses):
        """Returns the process when it is bound to these addresses."""
        for address in addresses:
            until(lambda address=address: bound(address) or not process.alive(), f"{process.name} at {address}")
            if not process.alive():
                raise RuntimeError(f"{process.name} ended: {process.tail()}")
        return process

    def status(self, control):
        """The answer of `strowger status` for the load manager with this control socket."""
        done = subprocess.run([STROWGER, "status", "--control", control, "--json"], capture_output=True, timeout=5, check=True)
        return json.loads(done.stdout)

    def counters(self, control):
        """Name of each counter of the load manager with this control socket to its value."""
        return {counter["name"]: counter["value"] for counter in self.status(control)["counters"]}

    def server_states(self, control):
        """Port of each server to its state."""
        return {int(server["address"].rpartition(":")[2]): server["state"] for server in self.status(control)["servers"]}

    def agent(self, server, heartbeat, *options, command=None):
        """An agent with a server under it, `command` or Strowger's answering server; returns when the server is ready."""
        argv = [STROWGER, "agent", "--sip", server.host_port, "--transport", server.transport, "--to", heartbeat, "--period-ms", PERIOD_MS]
        command = command or [STROWGER, "answer", "--listen", server, "--take-over"]
        process = self.start("agent", [*argv, *options, "--", *command])
        return self.serving(process, [server])

    def answer(self, addresses, *options):
        """Strowger's own answering server."""
        addresses = addresses if isinstance(addresses, list) else [addresses]
        listen = [word for address in addresses for word in ("--listen", address)]
        return self.serving(self.start("answer", [STROWGER, "answer", *listen, *options]), addresses)


def _free(address):
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(address.family, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address.ip, address.port))
            except OSError:
                return False
    return True


def bound(address):
    """Whether a process is bound to this address: for UDP and TCP alike, without sending anything."""
    kind = "udp" if address.transport == "udp" else "tcp"
    table = pathlib.Path(f"/proc/net/{kind}{'6' if address.family == socket.AF_INET6 else ''}")
    listening = "07" if kind == "udp" else "0A"
    for line in table.read_text().splitlines()[1:]:
        words = line.split()
        if words[3] == listening and int(words[1].rpartition(":")[2], 16) == address.port:
            return True
    return False


def until(condition, what, seconds=5):
    """Waits for a condition; `what` describes it in the error if it never holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s in vain: {what}")
        time.sleep(0.02)
