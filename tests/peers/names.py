"""Names, with dnsmasq as the name server. Servers by name: SRV records with weights and priorities, NAPTR, a host name with several
addresses; records that change under calls; a name server that is silent; a name that does not exist. A load manager that others know by
a name. Requests of servers to names; clients whose Contact is a name. No call may fail by any of it."""

import subprocess

from farm import STROWGER, Address, Farm, until
from name_server import HOST, NameServer
from report import Report, calls
from scenario import calling
from sipp import start_client
from wire import Datagrams, Dialog, answer, fresh

SERVICE = "_sip._udp.farm.test"
# Of calls while the name server is silent, at most.
ROUNDS = 4


def service(server, priority=0, weight=1):
    """The SRV record of a server."""
    return f"--srv-host={SERVICE},host.test,{server.port},{priority},{weight}"


def found_by(farm, names, name_server, timeout_ms=500, advertise=None):
    """A load manager whose servers have these names."""
    front = farm.address()
    resolver = {"name_servers": [name_server.place.host_port], "timeout_ms": timeout_ms, "failure_seconds": 1}
    known_as = {"advertise": f"{advertise}:{front.port}"} if advertise else {}
    farm.configured({front: known_as}, names, resolver=resolver, control={"path": str(farm.control())}, limits={"count_calls": True}, health={"probe": "off"})
    return front


def names_of(farm):
    return {name["name"]: name for name in farm.status(farm.control())["names"]}


def ports(farm):
    return sorted(int(server["address"].rpartition(":")[2]) for server in farm.status(farm.control())["servers"])


def server(farm):
    """The address of a server that takes each call."""
    place = farm.address()
    farm.answer(place)
    return place


def new_calls(farm):
    """Port of each server to the new calls that it got."""
    return {int(row["address"].rpartition(":")[2]): row["new_calls"] for row in farm.status(farm.control())["servers"]}


def even(one, other):
    """Whether two servers shared 20 calls. Each worker deals out by itself, so a call more or less may go to either."""
    return one is not None and one + other == 20 and abs(one - other) <= 2


def changing():
    """Weights and priorities; then a server goes and another comes, while calls are up."""
    count = calls(60, 200, 1000)
    with Farm("names-changing") as farm:
        first, second, behind, late = (server(farm) for _ in range(4))
        name_server = NameServer(farm, HOST, service(first, 10, 1), service(second, 10, 3), service(behind, 20, 1))
        front = found_by(farm, {SERVICE: {}}, name_server)
        shares = start_client(farm, calling(), front, count, 50, "-d", 50).finish()
        given = new_calls(farm)
        talking = start_client(farm, calling(), front, 20, 20, "-d", 8000)
        until(lambda: sum(row["calls"] or 0 for row in farm.status(farm.control())["servers"]) == 20, "20 calls are up", 20)
        name_server.serve(HOST, service(second, 10, 3), service(late, 10, 3))
        until(lambda: late.port in ports(farm), "the new server is there", 20)
        states = farm.server_states(farm.control())
        after = start_client(farm, calling(), front, count, 50, "-d", 50).finish()
        came = new_calls(farm).get(late.port)
        talked = talking.finish()
        until(lambda: ports(farm) == sorted([second.port, late.port]), "the servers without a record are gone", 30)
    problems = [f"{outcome.failed} calls failed: {outcome.causes()} {outcome.errors}" for outcome in (shares, talked, after) if outcome.failed]
    given = [given[place.port] for place in (first, second, behind)]
    # Each worker deals out by itself, so the shares are exact to a call or two.
    if given[2] or sum(given) != count or abs(given[0] - count // 4) > count // 20:
        problems.append(f"weights 1 and 3 and a server of the next priority got {given} of {count} calls")
    if states.get(first.port, "gone") not in ("known calls only", "gone") or states[late.port] != "active":
        problems.append(f"states after the change: {states}")
    if not came or abs(came - count // 2) > count // 20:
        problems.append(f"the new server of the same weight got {came} of {count} calls")
    return f"{count} calls by weight: {given}; 20 calls went on when their server's record was gone; the new server got {came} of {count}", problems


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
        # A worker that waited for the name server would have repetitions in each round; a busy machine has some in one.
        rounds = []
        while not rounds or rounds[-1].retransmissions and len(rounds) < ROUNDS:
            rounds.append(start_client(farm, calling(), front, count, 50, "-d", 50).finish())
        asked = farm.counters(farm.control())["dns_silent"]
        kept = names_of(farm)[SERVICE]
        said = subprocess.run([STROWGER, "status", "--control", farm.control()], capture_output=True, text=True, timeout=30).stdout
        name_server.silent(False)
        until(lambda: names_of(farm)[SERVICE]["state"] == "current", "the name is current again", 20)
        name_server.serve(HOST)
        until(lambda: "no record" in names_of(farm)[SERVICE]["reason"], "the missing name is said", 20)
        still = start_client(farm, calling(), front, 20, 50, "-d", 50).finish()
    problems = [f"{end.failed} calls failed: {end.causes()} {end.errors}" for end in (*rounds, still) if end.failed]
    if before["nobody.test:5060"]["state"] != "nowhere" or before[SERVICE]["state"] != "current":
        problems.append(f"at the start: {before}")
    if rounds[-1].retransmissions:
        problems.append(f"messages were repeated while the name server was silent: {[one.retransmissions for one in rounds]}")
    line = next((line for line in said.splitlines() if SERVICE in line), "")
    if "no name server answers" not in kept["reason"] or "kept" not in line or "no name server answers" not in line:
        problems.append(f"the silence was said as {kept} and {line!r}")
    return f"{rounds[-1].good} calls without a repetition while the name server was silent to {asked} questions, {still.good} calls when it knew no such name", problems


def located():
    """NAPTR leads to SRV, a host name with a port to its addresses."""
    with Farm("names-located") as farm:
        by_naptr, by_port = server(farm), server(farm)
        records = [HOST, f"--srv-host=_service._udp.else.test,host.test,{by_naptr.port},0,0"]
        records += ["--naptr-record=main.test,10,10,s,SIP+D2U,,_service._udp.else.test", "--naptr-record=main.test,5,10,s,SIPS+D2T,,none.test"]
        front = found_by(farm, {"main.test": {}, f"host.test:{by_port.port}": {}}, NameServer(farm, *records))
        outcome = start_client(farm, calling(), front, 20, 50, "-d", 50).finish()
        given = [new_calls(farm)[place.port] for place in (by_naptr, by_port)]
    problems = [f"{outcome.failed} calls failed: {outcome.causes()} {outcome.errors}"] if outcome.failed else []
    if not even(*given):
        problems.append(f"calls by NAPTR and by host name: {given}")
    return f"{outcome.good} calls, {given} by NAPTR and by host name", problems


def headless():
    """A name with a port stands for all of its addresses, as a headless service of Kubernetes for its pods: pods come and go."""
    with Farm("names-headless") as farm:
        port = farm.address().port
        pods = [Address("udp", f"127.0.0.{last}", port) for last in (11, 12, 13)]
        for pod in pods:
            farm.answer(pod)
        records = [f"--host-record=pods.test,{pod.ip}" for pod in pods]
        name_server = NameServer(farm, *records[:2])
        front = found_by(farm, {f"pods.test:{port}": {}}, name_server)

        def served():
            return {row["address"]: row["new_calls"] for row in farm.status(farm.control())["servers"]}

        before = start_client(farm, calling(), front, 20, 50, "-d", 50).finish()
        first = served()
        name_server.serve(*records[1:])
        until(lambda: sorted(served()) == [pod.host_port for pod in pods[1:]], "one pod is gone, another is there", 20)
        after = start_client(farm, calling(), front, 20, 50, "-d", 50).finish()
        second = served()
    problems = [f"{end.failed} calls failed: {end.causes()} {end.errors}" for end in (before, after) if end.failed]
    old, stays, came = (pod.host_port for pod in pods)
    if not even(first.get(old), first.get(stays)) or not even(second[stays] - first[stays], second[came]):
        problems.append(f"calls of the pods: {first}, then {second}")
    return f"{before.good} calls to two pods, {after.good} when one had gone and another come", problems


def advertised():
    """The load manager's name stands in Via and Record-Route; the requests of each call find their server by it."""
    with Farm("names-advertised") as farm:
        one = server(farm)
        front = found_by(farm, {one: {}}, NameServer(farm, HOST), advertise="sbc.test")
        outcome = start_client(farm, calling(), front, 20, 50, "-d", 50, "-trace_msg", "-message_file", farm.directory / "messages").finish()
        counted = farm.counters(farm.control())
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


def contact():
    """A client over UDP that calls itself by a name which no name server has: its server's BYE reaches it where it was heard."""
    with Farm("names-contact") as farm:
        place, at = farm.address(), farm.address()
        name_server = NameServer(farm, HOST)
        front = found_by(farm, {place: {}}, name_server)
        with Datagrams(place) as callee, Datagrams(at) as client:
            written = Dialog(at).request("INVITE", 1).replace(f"<sip:caller@{at.host_port};transport=udp>", "<sip:caller@laptop.home>")
            client.send(written, front)
            asked = callee.expect(lambda message: message.method == "INVITE", 10)
            callee.send(answer(asked, 200, place, "callee"), front)
            answered = client.expect(lambda message: message.status == 200, 10)
            lines = ["BYE sip:caller@laptop.home SIP/2.0", f"Via: SIP/2.0/UDP {place.host_port};branch={fresh('z9hG4bK')}"]
            lines += [f"Route: {route}" for route in asked.routes()] + [f"From: {answered.first('To')}", f"To: {asked.first('From')}"]
            lines += [f"Call-ID: {asked.first('Call-ID')}", "CSeq: 1 BYE", "Max-Forwards: 70", "Content-Length: 0", "", ""]
            callee.send("\r\n".join(lines), front)
            ended = client.expect(lambda message: message.method == "BYE", 10)
            if ended:
                client.send(answer(ended, 200), front)
            over = callee.expect(lambda message: message.status, 10)
        counted = farm.counters(farm.control())
    problems = []
    if not ended or not ended.start.startswith("BYE sip:caller@laptop.home "):
        problems.append(f"the client got {ended and ended.start}; the server got {over and over.start}")
    elif not over or over.status != 200:
        problems.append(f"the server got {over and over.start} to its BYE")
    if counted["names_waited"]:
        problems.append("a client that was heard was looked up")
    return "a BYE to a Contact that nobody can look up reached the client", problems


def handed():
    """Another process takes the place of the load manager while the name server is silent: it has the servers, and a call that is up
    goes on."""
    with Farm("names-handed") as farm:
        place = server(farm)
        name_server = NameServer(farm, HOST, service(place))
        front = found_by(farm, {SERVICE: {}}, name_server)
        until(lambda: ports(farm) == [place.port], "the server is there", 20)
        talking = start_client(farm, calling(), front, 10, 20, "-d", 9000)
        until(lambda: sum(row["calls"] or 0 for row in farm.status(farm.control())["servers"]) == 10, "10 calls are up", 20)
        name_server.silent()
        first = farm.status(farm.control())["pid"]
        farm.start("lb", [STROWGER, "lb", "--config", next(farm.directory.glob("lb-*.toml")), "--take-over"])
        until(lambda: farm.status(farm.control())["pid"] != first, "another process serves", 30)
        outcome = start_client(farm, calling(), front, 20, 20, "-d", 50).finish()
        talked = talking.finish()
        name_server.silent(False)
        until(lambda: names_of(farm)[SERVICE]["state"] == "current", "the name is current", 20)
    problems = [f"{each.failed} calls failed: {each.causes()} {each.errors}" for each in (outcome, talked) if each.failed]
    return f"{talked.good} calls went on, {outcome.good} new ones while the name server was silent", problems


def main():
    report = Report("names")
    report.case("changing", changing)
    report.case("silent", silent)
    report.case("handed", handed)
    report.case("located", located)
    report.case("headless", headless)
    report.case("advertised", advertised)
    report.case("called", called)
    report.case("contact", contact)
    report.end()


if __name__ == "__main__":
    main()
