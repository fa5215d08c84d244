"""A load manager that is ended by SIGTERM and started again at once, at the same port, with the same key file and the same
memory file, while calls begin and calls are up. Over UDP no call is refused and none is lost. Over TCP no answered call is
lost.

The servers are `strowger answer`, because an INVITE that is repeated across the restart has another time in our Via: SIPp as a
server recognises a repeated request by its bytes, not by its branch (RFC 3261 §17.2.3), and would give up the call."""

import signal
import subprocess
import time

from farm import STROWGER, Farm
from report import Report, calls
from scenario import SDP, calling
from sipp import start_client
from wire import Dialog, Stream

SERVERS = 2
RESTARTS = 3
SDP_LINES = SDP.strip().replace("[media_ip_type]", "4").replace("[media_ip]", "127.0.0.1").replace("[media_port]", "6000").replace("\n", "\r\n") + "\r\n"


class Scene:
    def __init__(self, farm, transport, affinity="tag"):
        self.farm = farm
        keys = farm.directory / "farm.keys"
        keys.write_text(subprocess.run([STROWGER, "key"], capture_output=True, text=True, check=True).stdout)
        keys.chmod(0o600)
        self.place = farm.address(transport)
        places = [farm.address(transport) for _ in range(SERVERS)]
        for place in places:
            farm.answer(place)
        argv = [STROWGER, "lb", "--listen", self.place, "--key-file", keys, "--affinity", affinity, "--control", farm.control()]
        argv += ["--memory-file", farm.directory / "memory"]
        for place in places:
            argv += ["--server", place]
        self.argv, self.longest = argv, 0
        self.process = farm.serving(farm.start("lb", argv), [self.place])

    def restart(self):
        """Ends the load manager and starts it again; records the longest time without a listener, seconds."""
        began = time.monotonic()
        self.process.popen.send_signal(signal.SIGTERM)
        status = self.process.wait(5)
        self.process = self.farm.serving(self.farm.start("lb", self.argv), [self.place])
        self.longest = max(self.longest, time.monotonic() - began)
        return [] if status == 0 else [f"it ended with status {status}"]


def over_udp(rate, affinity):
    """Calls begin and end all the time."""
    with Farm(f"restart-udp-{affinity}-{rate}") as farm:
        scene = Scene(farm, "udp", affinity)
        seconds = calls(8, 12, 20)
        caller = start_client(farm, calling(), scene.place, rate * seconds, rate, "-d", 2000)
        problems = []
        for _ in range(RESTARTS):
            time.sleep(seconds / (RESTARTS + 2))
            problems += scene.restart()
        outcome = caller.finish()
        count = rate * seconds
        if outcome.failed or outcome.good != count:
            problems.append(f"{outcome.failed} of {count} calls failed, {outcome.good} good ({outcome.causes()}): {outcome.errors}")
    return f"{outcome.good} of {count} calls good at {rate}/s around {RESTARTS} restarts, nobody listened for {scene.longest * 1000:.0f} ms at most", problems


def over_tcp(rate):
    """Calls that are up when the load manager ends: their caller comes back on a new connection and hangs up a third of them
    after each restart."""
    with Farm(f"restart-tcp-{rate}") as farm:
        scene = Scene(farm, "tcp")
        caller, count, problems = farm.address("tcp"), calls(1, 2, 4) * rate, []
        dialogs = [Dialog(caller) for _ in range(count)]
        with Stream(scene.place) as stream:
            for dialog in dialogs:
                stream.send(dialog.request("INVITE", 1, headers=["Content-Type: application/sdp"], body=SDP_LINES))
                response = final(stream, dialog)
                if response is None or response.status != 200:
                    problems.append(f"a call was not made: {response and response.start}")
                    continue
                dialog.learn(response)
                stream.send(dialog.request("ACK", 1))
                time.sleep(0.5 / rate)
        for number in range(RESTARTS):
            problems += scene.restart()
            with Stream(scene.place) as stream:
                for dialog in dialogs[number::RESTARTS]:
                    stream.send(dialog.request("BYE", 2))
                    response = final(stream, dialog)
                    if response is None or response.status != 200:
                        problems.append(f"a call that was up is lost: {response and response.start}")
    return f"{count} calls that were up were ended by their caller after {RESTARTS} restarts", problems[:5]


def final(stream, dialog):
    """The final answer to the last request of a call."""
    while (response := stream.receive(5)) is not None:
        if response.status and response.status >= 200 and response.first("Call-ID") == dialog.call_id:
            return response
    return None


def main():
    report = Report("restart")
    for rate in (20, 500):
        for affinity in ("tag", "hash", "session"):
            report.case(f"udp/{affinity}/{rate}", over_udp, rate, affinity)
        report.case(f"tcp/{rate}", over_tcp, rate)
    report.end()


if __name__ == "__main__":
    main()
