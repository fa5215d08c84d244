"""Telephones and tools that were not written for tests: sipsak and baresip, through the load manager."""

import subprocess
import time

from farm import Farm
from kamailio import start_kamailio
from report import Report

TALK_SECONDS = 2
PHONE = """module_path /usr/lib/baresip/modules
module g711.so
module aubridge.so
module_app account.so
module_app menu.so
audio_player aubridge,loop
audio_source aubridge,loop
audio_alert aubridge,ring
sip_listen {listen}
"""


def sipsak(request):
    """sipsak through the load manager to Kamailio: its exit status says whether a 200 came."""
    with Farm(f"phones-sipsak-{request}") as farm:
        places = [farm.address() for _ in range(2)]
        for place in places:
            start_kamailio(farm, "answer.cfg", place)
        front = farm.address()
        farm.load_manager(front, places)
        arguments = {
            "options": ["-s", f"sip:service@{front.host_port}"],
            "register": ["-U", "-C", f"sip:caller@{front.ip}:9", "-s", f"sip:caller@{front.host_port}"],
        }[request]
        done = subprocess.run(["sipsak", "-v", "-H", front.ip, *arguments], capture_output=True, text=True, timeout=20, check=False)
    problems = [] if done.returncode == 0 else [f"status {done.returncode}: {' '.join((done.stdout + done.stderr).split())[:200]}"]
    return "200", problems


def _phone(farm, name, place, user, *options, outbound=None):
    """A baresip with one account, its sound looped."""
    folder = farm.directory / name
    folder.mkdir()
    (folder / "config").write_text(PHONE.format(listen=place.host_port))
    route = f';outbound="sip:{outbound.host_port};transport={outbound.transport}"' if outbound else ""
    (folder / "accounts").write_text(f"<sip:{user}@{place.host_port};transport={place.transport}>;regint=0;answermode=auto{route}\n")
    (folder / "contacts").write_text("")
    return farm.start(name, ["baresip", "-4", "-f", folder, *options])


def baresip(transport):
    """One baresip calls another; the caller hangs up."""
    with Farm(f"phones-baresip-{transport}") as farm:
        # A baresip also takes the next port, for TLS.
        server, _, front, place, _ = (farm.address(transport) for _ in range(5))
        called = farm.serving(_phone(farm, "called", server, "service"), [server])
        farm.load_manager(front, [server])
        dial = f"/dial sip:service@{server.host_port}"
        caller = _phone(farm, "caller", place, "caller", "-e", dial, "-t", TALK_SECONDS, outbound=front)
        caller.wait(TALK_SECONDS + 10)
        time.sleep(0.5)
        texts = [phone.log.read_text(errors="replace") for phone in (caller, called)]
    problems = [f"{who}: the call was not established" for who, text in zip(("caller", "called"), texts) if "Call established" not in text]
    if "session closed" not in texts[1]:
        problems.append("called: the BYE did not come")
    return f"a call of {TALK_SECONDS} s, answered and hung up", problems


def main():
    report = Report("phones")
    for request in ("options", "register"):
        report.case(f"sipsak/{request}", sipsak, request)
    for transport in ("udp", "tcp"):
        report.case(f"baresip/{transport}", baresip, transport)
    report.end()


if __name__ == "__main__":
    main()
