"""Health checks of those in front: /healthz and /readyz without a token, OPTIONS that the load manager answers for itself (sipsak asks,
too), `strowger ctl ready`. All say the same while servers are lost and come back, the state tier is away, and the process ends."""

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request

from farm import STROWGER, Address, Farm, until
from report import Report
from tier import Tier
from wire import Datagrams, Dialog

READY, NOT_READY = {"/readyz": 200, "/healthz": 200}, {"/readyz": 503, "/healthz": 200}
# sipsak writes no port but the usual one into a URI without a user.
USUAL = Address("udp", "127.0.0.77", 5060)
TOKEN = "read-read-read-read-read"


class Asker:
    """Asks a part over HTTP, without a token."""

    def __init__(self, api):
        self.api, self.problems = api, []

    def ask(self, path):
        try:
            with urllib.request.urlopen(f"http://{self.api.host_port}{path}", timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"{}")

    def says(self, expected, when):
        """Waits for /readyz, then compares all."""
        until(lambda: self.ask("/readyz")[0] == expected["/readyz"], f"{when}: /readyz {expected['/readyz']}", 30)
        found = {path: self.ask(path)[0] for path in expected}
        if found != expected:
            self.problems.append(f"{when}: {found}")
        return self.ask("/readyz")[1]


class Front(Asker):
    """A load manager that answers OPTIONS for itself."""

    def __init__(self, farm):
        self.farm, self.front, self.control = farm, farm.address(), farm.control()
        super().__init__(farm.address("tcp"))
        self.servers = [farm.address() for _ in range(2)]
        self.answering = [farm.answer(place) for place in self.servers]
        tokens = farm.directory / "tokens"
        tokens.write_text(f"read {TOKEN}\n")
        tokens.chmod(0o600)
        self.process = farm.configured(
            {self.front: {}, USUAL: {}}, self.servers,
            health={"probe": "options", "interval_ms": 200, "answer_options": True},
            drain={"seconds": 60, "new_calls": "serve"},
            api={"listen": self.api.host_port, "tokens": str(tokens)},
            control={"path": str(self.control)},
        )
        farm.serving(self.process, [self.api])
        self.caller = farm.enter_context(Datagrams(farm.address()))

    def options(self):
        """Status and Retry-After of the answer to OPTIONS."""
        dialog = Dialog(self.caller.address)
        dialog.target = f"sip:{self.front.host_port}"
        self.caller.send(dialog.request("OPTIONS", 1), self.front)
        response = self.caller.expect(lambda message: message.first("Call-ID") == dialog.call_id, 10)
        return (response.status, response.first("Retry-After")) if response else None

    def compare(self, expected, when):
        answer = self.says(expected, when)
        wanted = (200, "") if expected is READY else (503, "5")
        # A worker sees a change a moment later than those who ask the tables.
        until(lambda: self.options() == wanted, f"{when}: OPTIONS {wanted}", 10)
        asked = subprocess.run(["sipsak", "-H", USUAL.ip, "-s", f"sip:{USUAL.ip}"], capture_output=True, timeout=20)
        if (asked.returncode == 0) != (expected is READY):
            self.problems.append(f"{when}: sipsak ended with {asked.returncode}")
        told = subprocess.run([STROWGER, "ctl", "ready", "--control", self.control], capture_output=True, timeout=20)
        if told.returncode != (0 if expected is READY else 3):
            self.problems.append(f"{when}: ctl ready ended with {told.returncode}")
        if "127.0.0.1" in json.dumps(answer):
            self.problems.append(f"{when}: a stranger is told {answer}")
        return answer


def load_manager():
    with Farm("health-lb") as farm:
        front = Front(farm)
        front.compare(READY, "at the start")
        if front.ask("/v1/status")[0] != 401:
            front.problems.append("the status needs no token")
        for server in front.answering:
            server.kill()
        lost = front.compare(NOT_READY, "without servers")
        farm.answer(front.servers[0])
        front.compare(READY, "with one server")
        front.process.popen.send_signal(signal.SIGTERM)
        ending = front.compare(NOT_READY, "after SIGTERM")
    for answer, words in ((lost, "no server takes new calls"), (ending, "about to end")):
        if words not in answer.get("detail", ""):
            front.problems.append(f"the reason was {answer}")
    return "ready, lost, ready, ending: HTTP, OPTIONS, sipsak and ctl agree", front.problems


def engine():
    with Farm("health-engine") as farm:
        tier, place, callee, api = Tier(farm, "state"), farm.address(), farm.address(), farm.address("tcp")
        nodes = [word for node in tier.nodes for word in ("--state", node)]
        argv = [STROWGER, "engine", "--listen", place, "--to", f"sip:{callee.host_port}", "--api", api.host_port, *nodes]
        farm.serving(farm.start("engine", argv), [place, api])
        asker = Asker(api)
        asker.says(READY, "at the start")
        tier.stop()
        away = asker.says(NOT_READY, "without its state tier")
        os.kill(tier.process.pid, signal.SIGCONT)
        asker.says(READY, "with its state tier")
    if "state tier" not in away.get("detail", ""):
        asker.problems.append(f"the reason was {away}")
    return "ready, state tier away, ready", asker.problems


def main():
    report = Report("health")
    report.case("load_manager", load_manager)
    report.case("engine", engine)
    report.end()


if __name__ == "__main__":
    main()
