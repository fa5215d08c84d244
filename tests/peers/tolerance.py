"""What old telephones send: NUL bytes and line ends in front of messages and between them, keep-alives of such bytes alone, and
Proxy-Require. With the settings all calls are good; without them these are refused, and nothing else is."""

from farm import Address, Farm, until
from report import Report
from wire import Datagrams, Dialog, Stream

STRAY = ["\0", "\0\0\0\0", "\r\n", "\n", "\r\n\0\r\n"]
SETTINGS = {"proxy_require": ["privacy"], "stray_bytes": True}


class Scene:
    def __init__(self, farm, **tolerance):
        self.farm, self.control = farm, farm.control()
        self.fronts = {"udp": farm.address(), "tcp": farm.address("tcp")}
        server = farm.address()
        farm.answer(server)
        farm.configured({place: {} for place in self.fronts.values()}, [server], tolerance=tolerance, control={"path": str(self.control)})
        self.caller = farm.enter_context(Datagrams(farm.address()))

    def counters(self):
        return self.farm.counters(self.control)

    def request(self, headers=(), transport="udp"):
        place = self.caller.address if transport == "udp" else Address("tcp", "127.0.0.1", 5060)
        dialog = Dialog(place)
        return dialog, dialog.request("OPTIONS", 1, headers=headers)

    def by_udp(self, front="", headers=(), seconds=10):
        dialog, text = self.request(headers)
        self.caller.send(front + text, self.fronts["udp"])
        return self.caller.expect(lambda message: message.first("Call-ID") == dialog.call_id, seconds)


def passes():
    with Farm("tolerance-passes") as farm:
        scene, problems = Scene(farm, **SETTINGS), []
        for stray in STRAY:
            scene.caller.send(stray, scene.fronts["udp"])
            response = scene.by_udp(stray)
            if response is None or response.status != 200:
                problems.append(f"{stray!r} over UDP: {response and response.start}")
        with Stream(scene.fronts["tcp"]) as stream:
            for stray in STRAY:
                stream.send(stray + scene.request(transport="tcp")[1] + stray)
                response = stream.receive(10)
                if response is None or response.status != 200:
                    problems.append(f"{stray!r} over TCP: {response and response.start}")
                    break
        response = scene.by_udp(headers=["Proxy-Require: privacy"])
        if response is None or response.status != 200:
            problems.append(f"Proxy-Require: {response and response.start}")
        response = scene.by_udp(headers=["Proxy-Require: privacy, other"])
        if response is None or (response.status, response.first("Unsupported")) != (420, "other"):
            problems.append(f"Proxy-Require with another tag: {response and response.data}")
        until(lambda: scene.counters()["blank_datagrams"] == len(STRAY), "keep-alives are counted", 10)
        counted = scene.counters()
        if counted["malformed"] or counted["frames_broken"]:
            problems.append(f"malformed {counted['malformed']}, broken {counted['frames_broken']}")
    return f"{len(STRAY)} kinds of stray bytes over UDP and TCP, Proxy-Require", problems


def refused():
    with Farm("tolerance-refused") as farm:
        scene, problems = Scene(farm), []
        if scene.by_udp("\0", seconds=1):
            problems.append("a NUL byte in front of a message passes")
        with Stream(scene.fronts["tcp"]) as stream:
            stream.send("\0" + scene.request(transport="tcp")[1])
            if not stream.closed(10):
                problems.append("a NUL byte on a connection passes")
        response = scene.by_udp(headers=["Proxy-Require: privacy"])
        if response is None or (response.status, response.first("Unsupported")) != (420, "privacy"):
            problems.append(f"Proxy-Require: {response and response.data}")
        response = scene.by_udp()
        if response is None or response.status != 200:
            problems.append(f"an ordinary request: {response and response.start}")
    return "without the settings: malformed, closed, 420", problems


def main():
    report = Report("tolerance")
    report.case("passes", passes)
    report.case("refused", refused)
    report.end()


if __name__ == "__main__":
    main()
