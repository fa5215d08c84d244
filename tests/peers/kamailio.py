"""Kamailio as the servers behind the load manager, and as a proxy before it."""

import re
import time

from farm import HERE, Farm
from report import Report, calls
from scenario import SDP, agree, answering, calling, expect, pause, server_bye, within
from setup import LONG_SDP, cancelled, refused
from sipp import Sipp, all_clean, clean, client, start_client

SERVERS = 2
RATE = 200
# Time from the last answer until one of the servers dies, and again from then until the callers hang up.
DEATH_MS = 4000


def start_kamailio(farm, configuration, place, **words):
    """Kamailio in the foreground with a file of kamailio/; `@NAME@` in it is replaced."""
    text = (HERE / "kamailio" / configuration).read_text()
    given = {"listen": place, "ip": place.ip, "port": place.port, "secret": f"secret of {place.port}"}
    for word, value in {**given, **words}.items():
        text = text.replace(f"@{word.upper()}@", str(value))
    path = farm.directory / f"{place.port}.cfg"
    path.write_text(text)
    run_directory = farm.directory / f"run-{place.port}"
    run_directory.mkdir()
    memory = ["-m", "32", "-M", "4"]
    process = farm.start("kamailio", ["kamailio", "-f", path, "-DD", "-E", "-Y", run_directory, "-P", run_directory / "pid", *memory])
    return farm.serving(process, [place])


def as_server(transport):
    """Calls and registrations that Kamailio answers statelessly."""
    count = calls(20, 500, 5000)
    with Farm(f"kamailio-server-{transport}") as farm:
        places = [farm.address(transport) for _ in range(SERVERS)]
        for place in places:
            start_kamailio(farm, "answer.cfg", place)
        front = farm.address(transport)
        farm.load_manager(front, places, "--affinity", "tag", "--selection", "round-robin", "--workers", 2)
        caller = client(farm, calling(), front, count, RATE, "-d", "20")
    return f"{caller.good} calls, {caller.failed} failed", clean("client", caller, count)


def as_proxy(transport):
    """Kamailio record-routes before the load manager does; both ends then follow two routes."""
    count = calls(20, 500, 5000)
    caller_steps = calling(pause(20), within("INVITE", 2, SDP), expect(100, optional=True), expect(200), within("ACK", 2), end=[expect("BYE"), agree()])
    callee_steps = answering(expect("INVITE"), agree(SDP), expect("ACK"), pause(20), end=[server_bye(), expect(200)])
    with Farm(f"kamailio-proxy-{transport}") as farm:
        servers = [Sipp(farm, callee_steps, farm.address(transport)) for _ in range(SERVERS)]
        front, proxy = farm.address(transport), farm.address(transport)
        farm.load_manager(front, [server.place for server in servers], "--affinity", "tag", "--selection", "round-robin", "--workers", 2)
        start_kamailio(farm, "proxy.cfg", proxy, next=f"sip:{front.host_port};transport={transport}")
        caller = client(farm, caller_steps, proxy, count, RATE)
        answered = [server.stop() for server in servers]
    return f"{caller.good} calls, {caller.failed} failed", all_clean(caller, count, answered)


def followed(story, takes_tcp):
    """INVITEs above 1,300 bytes go to Kamailio by TCP, or by UDP if Kamailio has no TCP. Kamailio knows the CANCEL and the ACK
    to a failure only if they come the way of the INVITE: otherwise it says 481 and the callee rings on."""
    count = calls(20, 200, 2000)
    caller_steps, callee_steps = cancelled(LONG_SDP, vias=3) if story == "cancel" else refused(486, LONG_SDP)
    with Farm(f"kamailio-followed-{story}-{takes_tcp}") as farm:
        callee = Sipp(farm, callee_steps, farm.address())
        proxy, front = farm.address(), farm.address()
        listen = f"{proxy}\nlisten=tcp:{proxy.host_port}" if takes_tcp else proxy
        start_kamailio(farm, "proxy.cfg", proxy, listen=listen, next=f"sip:{callee.place.host_port}")
        farm.load_manager([front, farm.address("tcp")], [proxy], "--workers", 2)
        caller = client(farm, caller_steps, front, count, RATE)
        answered = callee.stop()
    return f"{caller.good} calls, {caller.failed} failed", all_clean(caller, count, [answered])


def taken_over():
    """Two Kamailios, one of which dies while calls are talking: the other knows none of the calls, and must bring the BYEs to
    the callees. The callee answers to the address in the Via; SIPp cannot do this, since it answers the sender of the
    INVITE."""
    count = calls(20, 200, 2000)
    with Farm("kamailio-taken-over") as farm:
        callee, proxies, front = farm.address(), [farm.address(), farm.address()], farm.address()
        answering_server = farm.answer(callee)
        started = [start_kamailio(farm, "proxy.cfg", place, next=f"sip:{callee.host_port}") for place in proxies]
        farm.load_manager(front, proxies, "--selection", "round-robin", "--workers", 2)
        caller = start_client(farm, calling(), front, count, RATE, "-d", str(DEATH_MS * 2))
        time.sleep(count / RATE + DEATH_MS / 1000)
        started[0].end()
        outcome = caller.finish()
        taken = farm.counters(farm.control())["taken_over"]
        answering_server.end()
        said = answering_server.log.read_text()
    ended = re.search(r"calls ended by BYE of the caller\s+(\d+)", said)
    heard = int(ended[1]) if ended else 0
    problems = [] if outcome.good == heard == count else [f"of {count} calls {outcome.good} ended for callers, {heard} for callees: {outcome.errors}"]
    if taken < count / 2:
        problems.append(f"only {taken} requests were taken over: the test proves nothing")
    return f"{outcome.good} calls ended for both ends, {taken} requests taken over", problems


def main():
    report = Report("kamailio")
    for transport in ("udp", "tcp"):
        report.case(f"behind/{transport}", as_server, transport)
        report.case(f"before/{transport}", as_proxy, transport)
    for story in ("cancel", "busy"):
        report.case(f"followed/{story}/by_tcp", followed, story, True)
        report.case(f"followed/{story}/tcp_refused", followed, story, False)
    report.case("taken_over/udp", taken_over)
    report.end()


if __name__ == "__main__":
    main()
