"""What belongs together reaches one server: an INVITE that replaces or joins a call, and the SUBSCRIBEs, PUBLISHes and REGISTERs of one
user, through a load manager to four servers that the test plays itself."""

import threading

from farm import Address, Farm
from report import Report, calls
from wire import Datagrams, Dialog, answer

SERVERS = 4


class Servers:
    """Answer each request with 200, and note where it came."""

    def __init__(self, farm):
        self.sockets = [farm.enter_context(Datagrams(farm.address())) for _ in range(SERVERS)]
        self.places = [one.address for one in self.sockets]
        self.seen, self.over = {}, threading.Event()
        self.threads = [threading.Thread(target=self.serve, args=(number,), daemon=True) for number in range(SERVERS)]
        for thread in self.threads:
            thread.start()

    def serve(self, number):
        while not self.over.is_set():
            message = self.sockets[number].receive(0.2)
            if message and message.status is None and message.method != "ACK":
                self.seen.setdefault((message.method, message.first("Call-ID")), number)
                text = answer(message, 200, self.places[number], f"server{number}")
                self.sockets[number].send(text, Address("udp", *message.source[:2]))

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


class Scene:
    def __init__(self, farm, **affinity):
        self.servers = Servers(farm)
        self.front, self.control = farm.address(), farm.control()
        farm.configured({self.front: {}}, self.servers.places, affinity=affinity, control={"path": str(self.control)}, health={"probe": "off"})
        self.caller = farm.enter_context(Datagrams(farm.address()))

    def ask(self, method, headers=(), target=None, to=None):
        """Sends a request until it is answered; the dialog, and the number of the server that got it."""
        dialog = Dialog(self.caller.address)
        dialog.target = target or dialog.target
        text = dialog.request(method, 1, headers=headers)
        if to:
            text = text.replace("To: <sip:service@example.com>", f"To: <{to}>")
        for _ in range(10):
            self.caller.send(text, self.front)
            response = self.caller.expect(lambda message: message.status and message.status >= 200 and message.first("Call-ID") == dialog.call_id, 2)
            if response:
                dialog.learn(response)
                return dialog, self.servers.seen[method, dialog.call_id]
        raise TimeoutError(f"no answer to {method}")


def replacing(kind):
    count = calls(10, 20, 100)
    with Farm(f"belonging-{kind}") as farm:
        scene, wrong, used = Scene(farm, kind=kind), 0, set()
        for _ in range(count):
            first, server = scene.ask("INVITE")
            used.add(server)
            for field in ("Replaces", "Join"):
                value = f"{field}: {first.call_id};to-tag={first.to_tag};from-tag={first.from_tag}"
                wrong += scene.ask("INVITE", [value])[1] != server
        scene.servers.stop()
    problems = [f"{wrong} of {2 * count} went elsewhere"] if wrong else []
    if len(used) < 2:
        problems.append(f"all calls were at {used}")
    return f"{2 * count} INVITEs with Replaces or Join at the server of their call, one of {len(used)}", problems


def presence():
    count = calls(10, 20, 100)
    with Farm("belonging-presence") as farm:
        scene, wrong, used = Scene(farm, presentity=True), 0, set()
        for number in range(count):
            user = f"sip:user{number}@example.com"
            _, server = scene.ask("REGISTER", target="sip:example.com", to=user)
            used.add(server)
            asked = [scene.ask(method, ["Event: presence"], target=user)[1] for method in ("PUBLISH", "SUBSCRIBE", "SUBSCRIBE", "PUBLISH")]
            wrong += sum(other != server for other in asked)
        scene.servers.stop()
    problems = [f"{wrong} of {4 * count} went elsewhere"] if wrong else []
    if len(used) < 2:
        problems.append(f"all users were at {used}")
    return f"{4 * count} requests of presence at the server of their user, one of {len(used)}", problems


def main():
    report = Report("belonging")
    for kind in ("tag", "session", "hash"):
        report.case(f"replaces/{kind}", replacing, kind)
    report.case("presence", presence)
    report.end()


if __name__ == "__main__":
    main()
