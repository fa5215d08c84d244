"""The state tier of a test: one node, or a cluster of Redis servers, each primary with its replicas. The cluster's servers can be
killed, stopped, started again, added and removed, and its slots moved, while engines have calls in it."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess

from farm import STROWGER, bound, until

SLOTS = 16384
# One in 64 has a partition.
SLOTS_AT_A_TIME = 32
# Longer than a failover takes, on a busy machine too.
PATIENCE = 30


class Refused(Exception):
    """An error that a server answers."""


class Tier:
    """A state tier of one node: `redis-server`, or `strowger state`."""

    def __init__(self, farm, kind):
        self.farm, self.kind, self.path = farm, kind, farm.sockets / f"state-{farm.started}"
        self.nodes = [f"unix:{self.path}"]
        self.start()

    def start(self):
        if self.kind == "redis":
            argv = ["redis-server", "--port", "0", "--unixsocket", self.path, "--save", "", "--appendonly", "no"]
        else:
            argv = [STROWGER, "state", "--listen", f"unix:{self.path}"]
        # One that was killed has left its socket.
        self.path.unlink(missing_ok=True)
        self.process = self.farm.start(self.kind, argv)
        until(self.path.exists, f"{self.kind} listens")

    def stop(self):
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def processor_seconds(self):
        return processor_seconds(self.process.pid)


class Server:
    """A Redis server of a cluster, with the configuration that `strowger state --redis-conf` prints."""

    def __init__(self, farm, memory, options=()):
        self.farm, self.place, self.bus = farm, farm.address("tcp"), farm.address("tcp")
        self.directory = farm.directory / f"redis-{self.place.port}"
        self.directory.mkdir()
        argv = [STROWGER, "state", "--redis-conf", "--cluster", "--memory", memory, *options]
        lines = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=10).stdout
        lines += f"bind {self.place.ip}\nport {self.place.port}\ncluster-port {self.bus.port}\ndir {self.directory}\n"
        (self.directory / "redis.conf").write_text(lines)
        self.start()
        self.id = self.say("CLUSTER", "MYID")

    def start(self):
        self.process = self.farm.start(f"redis-{self.place.port}", ["redis-server", self.directory / "redis.conf"])
        self.connection = None
        self.farm.serving(self.process, [self.place])

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.connection = None

    def say(self, *words):
        """The answer to a command."""
        return self.say_all([words])[0]

    def say_all(self, commands):
        """The answers to commands that are sent together."""
        if self.connection is None:
            self.connection = socket.create_connection((self.place.ip, self.place.port), timeout=PATIENCE).makefile("rwb")
        for words in commands:
            parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
            self.connection.write(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
        self.connection.flush()
        answers = [self._answer() for _ in commands]
        for answer in answers:
            if isinstance(answer, Refused):
                raise answer
        return answers

    def _answer(self):
        line = self.connection.readline()
        if not line:
            raise ConnectionError(f"{self.place} closed the connection")
        kind, text = line[:1], line[1:-2]
        if kind == b"-":
            return Refused(text.decode())
        if kind == b"+":
            return text.decode()
        if kind == b":":
            return int(text)
        if kind == b"*":
            return [self._answer() for _ in range(int(text))]
        if int(text) < 0:
            return None
        value = self.connection.read(int(text) + 2)[:-2]
        # A key of a record is no text.
        with contextlib.suppress(UnicodeDecodeError):
            return value.decode()
        return value

    def field(self, section, name):
        """A number or word of INFO."""
        rows = dict(line.split(":", 1) for line in self.say("INFO", section).splitlines() if ":" in line)
        return rows.get(name)

    def knows(self, *words):
        """Whether a line of its CLUSTER NODES has all of these words."""
        return any(all(word in line for word in words) for line in self.say("CLUSTER", "NODES").splitlines())


class Guarded(Server):
    """A server under an agent, which has its replica promoted when it dies, and starts it again."""

    def __init__(self, farm, memory, options, agent_options):
        self.agent_options = agent_options
        super().__init__(farm, memory, options)

    def start(self):
        """Starts the agent."""
        name = self.place.port
        argv = [STROWGER, "agent", "--redis", self.place.host_port, "--state-file", self.note, "--give-up", "never", *self.agent_options]
        self.agent = self.farm.start(f"agent-{name}", [*argv, "--", "redis-server", self.directory / "redis.conf"])
        self.farm.callback(self.end)
        self.process, self.connection = self, None
        self.farm.serving(self.agent, [self.place])

    @property
    def note(self):
        """The file in which its agent writes the server's process down."""
        return self.directory / "agent"

    @property
    def pid(self):
        try:
            words = self.note.read_text().split()
        except FileNotFoundError:
            return None
        return int(words[words.index("pid") + 1]) if "pid" in words else None

    def alive(self):
        """Whether it runs and takes connections."""
        try:
            return bool(self.pid) and os.readlink(f"/proc/{self.pid}/cwd") == str(self.directory) and bound(self.place)
        except OSError:
            return False

    def kill(self):
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        self.connection = None
        return pid

    def end(self):
        """Server and agent at once: an orderly stop would promote replicas, one after the other."""
        for one in (self.agent.kill, self.kill):
            with contextlib.suppress(ProcessLookupError, TypeError):
                one()

    def said(self, words):
        """How often its agents have said this."""
        return self.agent.log.read_text(errors="replace").count(words)


class Cluster:
    """Primaries, each with a replica. `appended`: their files are as they must be where something starts a server again at
    once; without, as they are under an agent. `agents`: each is under one, with these options."""

    def __init__(self, farm, primaries=3, memory="64M", appended=False, agents=None):
        self.farm, self.memory, self.agents = farm, memory, agents
        self.options = [] if appended else ["--under-agent"]
        self.servers = [self.new() for _ in range(2 * primaries)]
        heads = self.servers[:primaries]
        for number, server in enumerate(heads):
            first, end = SLOTS * number // primaries, SLOTS * (number + 1) // primaries
            server.say("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
            # Else servers that meet have the same epoch, and settle it while calls begin.
            server.say("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for server in self.servers[1:]:
            self.meet(server)
        for number, server in enumerate(self.servers[primaries:]):
            self.follow(server, heads[number])
        self.whole()

    @property
    def nodes(self):
        """What engines are told of it."""
        return [server.place.host_port for server in self.servers[:3]]

    def new(self):
        if self.agents is None:
            return Server(self.farm, self.memory, self.options)
        return Guarded(self.farm, self.memory, self.options, self.agents)

    def meet(self, server):
        first = self.servers[0]
        server.say("CLUSTER", "MEET", first.place.ip, first.place.port, first.bus.port)

    def follow(self, server, primary):
        """Makes a server the replica of a primary."""
        until(lambda: server.knows(primary.id), f"{server.place} knows {primary.place}", PATIENCE)
        server.say("CLUSTER", "REPLICATE", primary.id)

    def alive(self):
        return [server for server in self.servers if server.process.alive()]

    def primaries(self):
        return [server for server in self.alive() if server.field("replication", "role") == "master"]

    def replicas(self, primary=None):
        """Those of a primary, or all."""
        replicas = [server for server in self.alive() if server.field("replication", "role") == "slave"]
        port = primary and str(primary.place.port)
        return [server for server in replicas if port is None or server.field("replication", "master_port") == port]

    def whole(self):
        """Returns when each server that lives serves, sees all of them, and each replica has a copy."""

        def is_whole():
            try:
                return look()
            except Refused:  # a replica that loads its copy
                return False

        def look():
            alive = self.alive()
            if not all("cluster_state:ok" in server.say("CLUSTER", "INFO") for server in alive):
                return False
            replicas = self.replicas()
            followed = [server.field("replication", "master_link_status") for server in replicas]
            # A server votes for a replica of which it knows that it is one.
            seen = all(one.knows(other.id, "slave " if other in replicas else "master ") for one in alive for other in alive)
            return seen and all(status == "up" for status in followed)

        until(is_whole, "the cluster is whole", PATIENCE)

    def kill_primary(self, number=0):
        """kill -9 of a primary; its replica takes over. Returns the dead server."""
        dead = self.primaries()[number]
        dead.kill()
        return dead

    def kill_replica(self, number=0):
        dead = self.replicas()[number]
        dead.kill()
        return dead

    def taken_over(self, dead):
        """Returns when another has become the primary of what the dead server had."""
        left = self.alive()
        until(lambda: all(server.knows(dead.id, "fail ") or server.knows(dead.id, "fail,") for server in left), f"{dead.place} failed", PATIENCE)
        # A dead server that comes back before that would empty its replica.
        served = f"cluster_slots_ok:{SLOTS}"
        until(lambda: all(served in server.say("CLUSTER", "INFO") for server in left), "a replica has taken over", PATIENCE)

    def came_back(self, dead, before):
        """Returns when the agent of a dead server, whose process was `before`, has started it as a replica with a copy."""
        until(lambda: dead.pid not in (before, None) and dead.alive(), f"{dead.place} is started again", PATIENCE)
        self.whole()

    def restart(self, dead):
        """Starts a dead server again, after its replica has taken over: it follows that one."""
        dead.start()
        self.whole()

    def stop(self):
        """All servers stand still."""
        for server in self.alive():
            os.kill(server.process.pid, signal.SIGSTOP)

    def go_on(self):
        for server in self.alive():
            os.kill(server.process.pid, signal.SIGCONT)

    def fill(self, used):
        """Sets maxmemory such that this part of it is used, at each server."""
        for server in self.alive():
            server.say("CONFIG", "SET", "maxmemory", int(int(server.field("memory", "used_memory")) / used))

    def empty(self):
        """Sets maxmemory back."""
        for server in self.alive():
            server.say("CONFIG", "SET", "maxmemory", self.memory + "B")

    def records(self):
        """Records and tombstones of calls, of all primaries."""
        return sum(len(server.say("KEYS", "{p??}:*")) for server in self.primaries())

    def join(self):
        """A primary with its replica joins, without slots. Returns both."""
        pair = [self.new(), self.new()]
        for server in pair:
            self.meet(server)
        self.servers += pair
        self.follow(pair[1], pair[0])
        self.whole()
        return pair

    def leave(self, pair):
        """A primary without slots leaves with its replica."""
        self.servers = [server for server in self.servers if server not in pair]
        # All forget them within a minute, or gossip brings them back.
        for server in self.servers:
            server.say_all([("CLUSTER", "FORGET", gone.id) for gone in pair])
        for server in pair:
            server.process.end()

    def slots(self, server):
        """Slots of a primary."""
        for first, last, (_, port, *_), *_ in server.say("CLUSTER", "SLOTS"):
            if port == server.place.port:
                yield from range(first, last + 1)

    def move(self, slots, source, target):
        """Moves slots with all that lies in them, as `redis-cli --cluster reshard` does, some at a time. Returns the moved keys."""
        moved, primaries = 0, self.primaries()
        for first in range(0, len(slots), SLOTS_AT_A_TIME):
            some = slots[first : first + SLOTS_AT_A_TIME]
            target.say_all([("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id) for slot in some])
            source.say_all([("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id) for slot in some])
            for slot in some:
                while names := source.say("CLUSTER", "GETKEYSINSLOT", slot, 100):
                    source.say("MIGRATE", target.place.ip, target.place.port, "", 0, 5000, "KEYS", *names)
                    moved += len(names)
            # The new owner first: else both say that the other has it.
            given = [("CLUSTER", "SETSLOT", slot, "NODE", target.id) for slot in some]
            target.say_all(given)
            for server in {source, *primaries} - {target}:
                # A primary that has given away its last slot becomes a replica of who took it.
                with contextlib.suppress(Refused):
                    server.say_all(given)
        return moved

    def processor_seconds(self):
        return sum(processor_seconds(server.process.pid) for server in self.alive())


def processor_seconds(pid):
    """What a process has used of the processors since its start."""
    words = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
