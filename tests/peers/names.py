"""Names, with dnsmasq as the name server. Servers by name: SRV records with weights and priorities, NAPTR, a host name; records that
change under calls; a name server that is silent; a name that does not exist. A load manager that others know by a name. Requests of
servers to names. No call may fail by any of it."""

import signal
import subprocess
import time

from farm import STROWGER, Farm, until
from report import Report, calls
from scenario import answering, calling
from sipp import Sipp, start_client
from wire import Datagrams, fresh

SERVICE = "_sip._udp.farm.test"


class NameServer:
    """dnsmasq with the records of the domain `test`, good for one second. Other records need another process."""

    def __init__(self, farm, *records):
        self.farm, self.place = farm, farm.address()
        self.process = None
        self.serve(*records)

    def serve(self, *records):
        if self.process:
            self.process.end()
        argv = ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--pid-file=", "--local=/test/"]
        argv += ["--local-ttl=1", "--bind-interfaces", f"--listen-address={self.place.ip}", f"--port={self.place.port}"]
        self.process = self.farm.serving(self.farm.start("dnsmasq", argv + list(records)), [self.place])

    def silent(self, silent=True):
        self.process.popen.send_signal(signal.SIGSTOP if silent else signal.SIGCONT)


def service(server, priority=0, weight=1):
    """The SRV record of a server."""
    return f"--srv-host={SERVICE},host.test,{server.place.port},{priority},{weight}"


HOST = "--host-record=host.test,127.0.0.1"


def found_by(farm, names, name_server, timeout_ms=500, advertise=None):
    """A load manager whose servers have these names."""
    front = farm.address()
    resolver = {"name_servers": [name_server.place.host_port], "timeout_ms": timeout_ms, "failure_seconds": 1}
    known_as = {"advertise": f"{advertise}:{front.port}"} if advertise else {}
    farm.configured({front: known_as}, names, resolver=resolver, control={"path": str(farm.control())}, limits={"count_calls": True})
    return front


def names_of(farm):
    return {name["name"]: name for name in farm.status(farm.control())["names"]}


def ports(farm):
    return sorted(int(server["address"].rpartition(":")[2]) for server in farm.status(farm.control())["servers"])


def server(farm):
    return Sipp(farm, answering(), farm.address())


def changing():
    """Weights and priorities; then a server goes and another comes, while calls are up."""
    count = calls(60, 200, 1000)
    with Farm("names-changing") as farm:
        first, second, behind, late = (server(farm) for _ in range(4))
        name_server = NameServer(farm, HOST, service(first, 10, 1), service(second, 10, 3), service(behind, 20, 1))
        front = found_by(farm, {SERVICE: {}}, name_server)
        shares = start_client(farm, calling(), front, count, 50, "-d", 50).finish()
        given = [row["new_calls"] for row in farm.status(farm.control())["servers"]]
        talking = start_client(farm, calling(), front, 20, 20, "-d", 5000)
        until(lambda: sum(row["calls"] or 0 for row in farm.status(farm.control())["servers"]) == 20, "20 calls are up", 20)
        name_server.serve(HOST, service(second, 10, 3), service(late, 10, 3))
        until(lambda: late.place.port in ports(farm), "the new server is there", 20)
        states = farm.server_states(farm.control())
        after = start_client(farm, calling(), front, count, 50, "-d", 50).finish()
        talked = talking.finish()
        until(lambda: ports(farm) == sorted([second.place.port, late.place.port]), "the servers without a record are gone", 30)
        ended = [row.stop() for row in (first, second, behind, late)]
    problems = [f"{outcome.failed} calls failed: {outcome.causes()} {outcome.errors}" for outcome in (shares, talked, after) if outcome.failed]
    problems += [f"server {at}: {end.failed} calls failed" for at, end in enumerate(ended) if end.failed]
    # Each worker deals out by itself, so the shares are exact to a call or two.
    if min(given) or abs(sorted(given)[1] - count // 4) > count // 20:
        problems.append(f"weights 1 and 3 and a server of the next priority got {given} of {count} calls")
    if states[first.place.port] != "known calls only" or states[late.place.port] != "active":
        problems.append(f"states after the change: {states}")
    if ended[3].created == 0 or ended[2].created:
        problems.append(f"the new server got {ended[3].created} calls, the one behind {ended[2].created}")
    return f"{count} calls by weight: {given}; 20 calls went on when their server's record was gone; the new server got {ended[3].created}", problems


def silent():
    """The name server is silent, answers, and knows no such name: the servers stay, and calls go on in time."""
    count = calls(100, 200, 1000)
    with Farm("names-silent") as farm:
        one = server(farm)
        name_server = NameServer(farm, HOST, service(one))
        front = found_by(farm, {SERVICE: {}, "nobody.test:5060": {}}, name_server)
        before = names_of(farm)
        name_server.silent()
        until(lambda: names_of(farm)[SERVICE]["state"] == "kept", "the silence is said", 20)
        began = time.monotonic()
        outcome = start_client(farm, calling(), front, count, 50, "-d", 50).finish()
        took = time.monotonic() - began
        kept = names_of(farm)[SERVICE]
        said = subprocess.run([STROWGER, "status", "--control", farm.control()], capture_output=True, text=True, timeout=30).stdout
        name_server.silent(False)
        until(lambda: names_of(farm)[SERVICE]["state"] == "current", "the name is current again", 20)
        name_server.serve(HOST)
        until(lambda: "no record" in names_of(farm)[SERVICE]["reason"], "the missing name is said", 20)
        still = start_client(farm, calling(), front, 20, 50, "-d", 50).finish()
    problems = [f"{end.failed} calls failed: {end.causes()} {end.errors}" for end in (outcome, still) if end.failed]
    if before["nobody.test:5060"]["state"] != "nowhere" or before[SERVICE]["state"] != "current":
        problems.append(f"at the start: {before}")
    if outcome.retransmissions:
        problems.append(f"{outcome.retransmissions} messages were repeated while the name server was silent")
    if "no name server answers" not in kept["reason"] or "last good answer" not in said:
        problems.append(f"the silence was said as {kept} and {said!r}")
    return f"{outcome.good} calls in {took:.1f} s while the name server was silent, {still.good} when it knew no such name", problems


def located():
    """NAPTR leads to SRV, a host name with a port to its addresses."""
    with Farm("names-located") as farm:
        by_naptr, by_port = server(farm), server(farm)
        records = [HOST, f"--srv-host=_service._udp.else.test,host.test,{by_naptr.place.port},0,0"]
        records += ["--naptr-record=main.test,10,10,s,SIP+D2U,,_service._udp.else.test", "--naptr-record=main.test,5,10,s,SIPS+D2T,,none.test"]
        front = found_by(farm, {"main.test": {}, f"host.test:{by_port.place.port}": {}}, NameServer(farm, *records))
        outcome = start_client(farm, calling(), front, 20, 50, "-d", 50).finish()
        ended = [row.stop() for row in (by_naptr, by_port)]
    problems = [f"{outcome.failed} calls failed: {outcome.causes()} {outcome.errors}"] if outcome.failed else []
    if [end.created for end in ended] != [10, 10]:
        problems.append(f"calls by NAPTR and by host name: {[end.created for end in ended]}")
    return f"{outcome.good} calls, {[end.created for end in ended]} by NAPTR and by host name", problems


def advertised():
    """The load manager's name stands in Via and Record-Route; the requests of each call find their server by it."""
    with Farm("names-advertised") as farm:
        one = server(farm)
        front = found_by(farm, {one.place: {}}, NameServer(farm, HOST), advertise="sbc.test")
        outcome = start_client(farm, calling(), front, 20, 50, "-d", 50, "-trace_msg", "-message_file", farm.directory / "messages").finish()
        counted = farm.counters(farm.control())
        one.stop()
        written = (farm.directory / "messages").read_text(errors="replace")
    problems = [f"{outcome.failed} calls failed: {outcome.causes()} {outcome.errors}"] if outcome.failed else []
    if f"<sip:sbc.test:{front.port};lr;farmtag=" not in written:
        problems.append("the name is in no Record-Route")
    if counted["remembered"] or counted["forged_tags"]:
        problems.append(f"requests found no tag of ours: remembered {counted['remembered']}, forged {counted['forged_tags']}")
    return f"{outcome.good} calls by the name, no request without its tag", problems


def invite(uri, place):
    return (
        f"INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {place.host_port};branch={fresh('z9hG4bK')}\r\nMax-Forwards: 70\r\n"
        f"From: <sip:server@example.com>;tag=s\r\nTo: <{uri}>\r\nCall-ID: {fresh('call')}\r\nCSeq: 1 INVITE\r\n"
        f"Contact: <sip:{place.host_port}>\r\nContent-Length: 0\r\n\r\n"
    )


def called():
    """A server calls names: by SRV records; a name that nobody knows; one whose answer is late, which holds up nobody else."""
    with Farm("names-called") as farm:
        place, known, late = (farm.address() for _ in range(3))
        records = [HOST, "--host-record=late.test,127.0.0.1"]
        records += [f"--srv-host=_sip._udp.phones.test,host.test,{known.port},1,0", f"--srv-host=_sip._udp.phones.test,host.test,{late.port},2,0"]
        name_server = NameServer(farm, *records)
        front = found_by(farm, {place: {}}, name_server, timeout_ms=5000)
        with Datagrams(place) as caller, Datagrams(known) as phone, Datagrams(late) as other:
            caller.send(invite("sip:bob@phones.test", place), front)
            first = phone.expect(lambda message: message.method == "INVITE", 10)
            caller.send(invite("sip:bob@nobody.test", place), front)
            refused = caller.expect(lambda message: message.status, 10)
            name_server.silent()
            caller.send(invite(f"sip:bob@late.test:{late.port}", place), front)
            until(lambda: farm.counters(farm.control())["names_waited"] == 3, "the request waits")
            caller.send(invite("sip:bob@phones.test", place), front)
            meanwhile = phone.expect(lambda message: message.method == "INVITE", 10)
            early = other.receive(0)
            name_server.silent(False)
            waited = other.expect(lambda message: message.method == "INVITE", 10)
    problems = []
    if not first or not first.start.startswith("INVITE sip:bob@phones.test "):
        problems.append("the first SRV target got no INVITE")
    if not refused or refused.status != 404:
        problems.append(f"an unknown name was answered {refused and refused.start}")
    if not meanwhile or early:
        problems.append("a request to a known name waited for another" if not meanwhile else "an INVITE arrived before its name was known")
    if not waited:
        problems.append("the request whose answer was late never arrived")
    return "INVITEs by SRV; 404 for an unknown name; one that waited for its answer held up no other", problems


def main():
    report = Report("names")
    report.case("changing", changing)
    report.case("silent", silent)
    report.case("located", located)
    report.case("advertised", advertised)
    report.case("called", called)
    report.end()


if __name__ == "__main__":
    main()
