"""Two load managers with one key in front of the same servers; all know them by one address.

Every request goes through one of them and its answers through the other; then both are killed and started again in the middle
of the calls. They share only the key, and no message may be lost or go astray."""

import os
import subprocess

from farm import STROWGER, Farm
from report import Report, calls
from wire import Datagrams, Dialog, answer

SERVERS = 3


class Twins:
    """Two load managers that advertise one address, that of the first; and the servers behind them."""

    def __init__(self, farm, affinity):
        self.farm = farm
        self.fronts = [farm.address(), farm.address()]
        self.servers = [Datagrams(farm.address()) for _ in range(SERVERS)]
        self.affinity, self.processes = affinity, []
        self.key_file = farm.directory / "farm.keys"
        self.key_file.write_bytes(subprocess.run([STROWGER, "key"], capture_output=True, check=True, timeout=5).stdout)
        os.chmod(self.key_file, 0o600)
        self.start()

    def start(self):
        for front in self.fronts:
            process = self.farm.configured(
                {front: self.fronts[0].host_port},
                [server.address for server in self.servers],
                affinity={"kind": self.affinity, "hash": "consistent"},
                selection={"kind": "hash"},
                keys={"file": str(self.key_file)},
                health={"probe": "off"},
                control={"path": str(self.farm.control(f"control-{front.port}"))},
            )
            self.processes.append(process)

    def restart(self):
        for process in self.processes:
            process.kill()
        self.processes.clear()
        self.start()

    def got(self, call_id, method):
        """The server that this request reached."""
        for server in self.servers:
            if message := server.expect(lambda message: (message.first("Call-ID"), message.method) == (call_id, method), 0.01):
                return server, message
        for server in self.servers:
            if message := server.expect(lambda message: (message.first("Call-ID"), message.method) == (call_id, method), 0.3):
                return server, message
        raise RuntimeError(f"{method} reached no server")

    def exchange(self, socket, dialog, request, method, way):
        """A request through one, its answer through the other; returns the server that it reached and the answer that came
        back."""
        socket.send(request, self.fronts[way])
        server, message = self.got(dialog.call_id, method)
        server.send(answer(message, 200, server.address, "to" + dialog.call_id), self.fronts[1 - way])
        reply = socket.expect(lambda message: message.status == 200 and message.first("Call-ID") == dialog.call_id, 1)
        if not reply:
            raise RuntimeError(f"the answer to {method} did not come back")
        return server, reply


def run(affinity, restarted):
    count = calls(20, 200, 2000)
    elsewhere = 0
    with Farm(f"twins-{affinity}-{restarted}") as farm:
        twins = Twins(farm, affinity)
        with Datagrams(farm.address()) as socket:
            dialogs = []
            for number in range(count):
                dialog = Dialog(socket.address)
                server, reply = twins.exchange(socket, dialog, dialog.request("INVITE", 1), "INVITE", number % 2)
                dialog.learn(reply)
                dialogs.append((dialog, server))
            if restarted:
                twins.restart()
            for number, (dialog, server) in enumerate(dialogs):
                for method, sequence in (("INFO", 2), ("BYE", 3)):
                    reached, _ = twins.exchange(socket, dialog, dialog.request(method, sequence), method, (number + sequence) % 2)
                    elsewhere += reached is not server
    problems = [f"{elsewhere} requests reached another server than the INVITE"] if elsewhere else []
    words = "both killed and started again mid-call, " if restarted else ""
    return f"{count} calls, {words}requests through one, answers through the other, 0 lost", problems


def main():
    report = Report("twins")
    for affinity in ("tag", "hash"):
        report.case(f"request_by_one_answer_by_other/{affinity}", run, affinity, False)
        report.case(f"both_restarted_mid_call/{affinity}", run, affinity, True)
    report.end()


if __name__ == "__main__":
    main()
