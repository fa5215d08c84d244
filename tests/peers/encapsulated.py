"""Encapsulated responses, and the way back if the client's connection is gone (RFC 3261 §18.2.2).

Servers that name the next hop and servers that leave it to the load manager's Via must both bring every call to its end."""

import socket

from farm import STROWGER, Farm
from report import Report, calls
from scenario import calling
from sipp import clean, start_client
from wire import Dialog, Stream

KEY = "4d" * 32
RATE = 100


def farm_of(farm, transport, encapsulate, *options):
    """A load manager and two answering servers; returns its front address and a reader of its counters."""
    key_file = farm.directory / "farm.keys"
    key_file.write_text(f"heartbeat {KEY}\n")
    key_file.chmod(0o600)
    words = ["--encapsulate", "--key-file", key_file] if encapsulate else []
    servers = [farm.address(transport) for _ in range(2)]
    for server in servers:
        farm.answer(server, *words, *options)
    front, control = farm.address(transport), farm.control()
    farm.configured({front: front.host_port}, servers, selection={"kind": "round-robin"}, keys={"heartbeat": KEY}, control={"path": str(control)})
    return front, lambda: farm.counters(control)


def whole_calls(transport):
    """Calls whose responses all come encapsulated."""
    number = calls(100, 300, 3000)
    with Farm(f"encapsulated-{transport}") as farm:
        front, counters = farm_of(farm, transport, True)
        outcome = start_client(farm, calling(), front, number, RATE, "-d", 200).finish()
        counted = counters()
    problems = clean("caller", outcome, number, resent=number)
    if counted.get("encapsulated", 0) < 3 * number or counted.get("forged_encapsulations"):
        problems.append(f"{counted.get('encapsulated')} responses encapsulated, {counted.get('forged_encapsulations')} refused")
    return f"{outcome.good} of {number} calls good, {counted.get('encapsulated')} responses encapsulated", problems


def of_engine(transport):
    """The same calls, answered by an engine whose callee lies behind the load manager."""
    number = calls(50, 300, 3000)
    with Farm(f"encapsulated-engine-{transport}") as farm:
        key_file = farm.directory / "farm.keys"
        key_file.write_text(f"heartbeat {KEY}\n")
        key_file.chmod(0o600)
        callee, engine, front, control = farm.address(), farm.address(transport), farm.address(transport), farm.control()
        farm.answer(callee)
        argv = [STROWGER, "engine", "--listen", engine, "--listen", farm.address("udp" if transport == "tcp" else "tcp")]
        argv += ["--to", f"sip:{callee.host_port}", "--encapsulate", "--key-file", key_file]
        farm.serving(farm.start("engine", argv), [engine])
        farm.configured({front: front.host_port}, [engine], keys={"heartbeat": KEY}, control={"path": str(control)})
        outcome = start_client(farm, calling(), front, number, RATE, "-d", 200).finish()
        counted = farm.counters(control)
    problems = clean("caller", outcome, number, resent=number)
    if counted.get("encapsulated", 0) < 3 * number or counted.get("forged_encapsulations"):
        problems.append(f"{counted.get('encapsulated')} responses encapsulated, {counted.get('forged_encapsulations')} refused")
    return f"{outcome.good} of {number} calls good, {counted.get('encapsulated')} responses encapsulated", problems


def connection_gone(encapsulate):
    """The client's connection closes while the call rings; the answer goes to the address in its Via, over a new connection."""
    with Farm(f"encapsulated-gone-{encapsulate}") as farm:
        front, _ = farm_of(farm, "tcp", encapsulate, "--ring-ms", 1500)
        client = farm.address("tcp")
        with socket.create_server((client.ip, client.port)) as listener:
            dialog = Dialog(client)
            with Stream(front) as stream:
                stream.send(dialog.request("INVITE", 1, headers=[f"Contact: <sip:caller@{client.host_port};transport=tcp>"]))
                trying = stream.receive(5)
            listener.settimeout(10)
            connection, source = listener.accept()
            with Stream(None, connection) as stream:
                answers = [stream.receive(5)]
                while answers[-1] and answers[-1].status < 200:
                    answers.append(stream.receive(5))
    problems = []
    if not trying or trying.status != 100:
        problems.append(f"before the end of the connection: {trying and trying.start}")
    if source[0] != front.ip:
        problems.append(f"the connection came from {source}")
    if not answers[-1] or answers[-1].status != 200 or answers[-1].first("Call-ID") != dialog.call_id:
        problems.append(f"by the new connection: {[answer and answer.start for answer in answers]}")
    if answers[-1] and len(answers[-1].all("Via")) != 1:
        problems.append("the answer has not one Via")
    return "answered by a new connection to the address of the Via", problems


def main():
    report = Report("encapsulated")
    for transport in ("udp", "tcp"):
        report.case(f"calls/{transport}", whole_calls, transport)
        report.case(f"engine/{transport}", of_engine, transport)
    report.case("gone/by-via", connection_gone, False)
    report.case("gone/encapsulated", connection_gone, True)
    report.end()


if __name__ == "__main__":
    main()
