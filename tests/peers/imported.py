"""The destinations of a Kamailio and of an OpenSIPS, forty each, become a configuration, and the load manager spreads calls as
Kamailio does with the same list beside it."""

import collections
import select
import socket
import subprocess
import threading

from farm import STROWGER, Farm
from kamailio import start_kamailio
from report import Report, calls
from scenario import calling
from sipp import clean, client
from wire import Message

DESTINATIONS = 40
CALLS = calls(1000, 1000, 10_000)
RATE = 400
# Kamailio's weights are percents: a hundred calls go round once.
WEIGHTS = [(1, 2, 3, 4)[index % 4] for index in range(DESTINATIONS)]
# Beside the weight of each call's server, the one call that may be under way to another when the round ends.
SPARE = 1


class Servers:
    """All destinations in one thread: each answers an INVITE with 200, and counts the calls that came to it."""

    def __init__(self, farm):
        self.places = [farm.address() for _ in range(DESTINATIONS)]
        self.sockets = {}
        for place in self.places:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((place.ip, place.port))
            farm.callback(sock.close)
            self.sockets[sock.fileno()] = (sock, place)
        self.calls = {place.port: set() for place in self.places}
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()
        farm.callback(self.end)

    def end(self):
        self.ended.set()
        self.thread.join()

    def serve(self):
        poll = select.epoll()
        for fileno in self.sockets:
            poll.register(fileno, select.EPOLLIN)
        while not self.ended.is_set():
            for fileno, _ in poll.poll(0.2):
                sock, place = self.sockets[fileno]
                data, source = sock.recvfrom(65536)
                request = Message(data)
                if request.method == "INVITE":
                    self.calls[place.port].add(request.first("Call-ID"))
                if request.status is None and request.method != "ACK":
                    sock.sendto(answer(request, place), source)

    def counted(self):
        """New calls of each destination since it was asked last, in the order of the list."""
        counts = [len(self.calls[place.port]) for place in self.places]
        for known in self.calls.values():
            known.clear()
        return counts


def answer(request, place):
    tag = "" if ";tag=" in request.first("To") else f";tag={place.port}"
    lines = ["SIP/2.0 200 OK"]
    lines += [f"{name}: {value}" for name in ("Via", "Record-Route", "From") for value in request.all(name)]
    lines += [f"To: {request.first('To')}{tag}", f"Call-ID: {request.first('Call-ID')}", f"CSeq: {request.first('CSeq')}"]
    lines += [f"Contact: <sip:{place.host_port}>", "Content-Length: 0", "", ""]
    return "\r\n".join(lines).encode()


def dispatcher_list(servers, attributes):
    """Rows of the set that is asked for, and of another with its destinations in between."""
    rows = []
    for index, place in enumerate(servers.places):
        rows.append(f"1 sip:{place.host_port} 0 0 {attributes(index)}".strip())
        if index % 10 == 0:
            rows.append("2 sip:192.0.2.77:5060 0 0")
    return "# the servers of this farm\n" + "\n".join(rows) + "\n"


def opensips_table(servers):
    """The table `dispatcher` as `mysqldump` writes it."""
    names = "id,setid,destination,socket,state,probe_mode,weight,priority,attrs,description"
    rows = [
        f"({index + 1},1,'sip:{place.host_port}',NULL,0,0,'{WEIGHTS[index]}',0,'','server {index}')"
        for index, place in enumerate(servers.places)
    ]
    columns = ", ".join(f"`{name}`" for name in names.split(","))
    return f"-- MariaDB dump\nINSERT INTO `dispatcher` ({columns}) VALUES {','.join(rows)};\n"


def imported(farm, program, text, algorithm):
    """A load manager that runs on what `strowger import` made; its address, and what the import said."""
    source, made, front = farm.directory / f"{program}.txt", farm.directory / f"{program}.toml", farm.address()
    source.write_text(text)
    argv = [STROWGER, "import", program, source, "--set", "1", "--algorithm", algorithm, "--listen", front, "-o", made]
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=10)
    if done.returncode:
        raise RuntimeError(f"strowger import: {done.stderr}")
    made.write_text(made.read_text() + f'\n[control]\npath = "{farm.control()}"\n')
    checked = subprocess.run([STROWGER, "check", made], capture_output=True, text=True, timeout=10)
    if checked.returncode:
        raise RuntimeError(f"strowger check: {checked.stderr}")
    farm.serving(farm.start("lb", [STROWGER, "lb", "--config", made]), [front])
    return front


def spread(farm, servers, front):
    caller = client(farm, calling(), front, CALLS, RATE, "-d", "10")
    return servers.counted(), clean("client", caller, CALLS)


def beside_kamailio(algorithm, attributes):
    with Farm(f"imported-kamailio-{algorithm}") as farm:
        servers = Servers(farm)
        text = dispatcher_list(servers, attributes)
        path = farm.directory / "dispatcher.list"
        path.write_text(text)
        proxy = farm.address()
        start_kamailio(farm, "dispatcher.cfg", proxy, list=path, algorithm=algorithm)
        theirs, problems = spread(farm, servers, proxy)
        ours, more = spread(farm, servers, imported(farm, "kamailio", text, algorithm))
    return judged(ours, theirs, problems + more)


def of_opensips():
    """There is no OpenSIPS here: Kamailio gets the same destinations and weights."""
    with Farm("imported-opensips") as farm:
        servers = Servers(farm)
        path = farm.directory / "dispatcher.list"
        path.write_text(dispatcher_list(servers, lambda index: f"weight={WEIGHTS[index]}"))
        proxy = farm.address()
        start_kamailio(farm, "dispatcher.cfg", proxy, list=path, algorithm=9)
        theirs, problems = spread(farm, servers, proxy)
        # By weight, in turn: OpenSIPS's algorithm 4.
        ours, more = spread(farm, servers, imported(farm, "opensips", opensips_table(servers), 4))
    return judged(ours, theirs, problems + more)


def judged(ours, theirs, problems):
    apart = max(abs(our - their) for our, their in zip(ours, theirs))
    if apart > SPARE:
        problems.append(f"ours {ours}, Kamailio's {theirs}")
    if sum(ours) != CALLS or sum(theirs) != CALLS:
        problems.append(f"{sum(ours)} and {sum(theirs)} calls of {CALLS} arrived")
    kinds = sorted(collections.Counter(ours).items())
    return f"{CALLS} calls each, {DESTINATIONS} destinations, at most {apart} apart; calls and destinations that had them: {kinds}", problems


def main():
    report = Report("imported")
    report.case("kamailio/in_turn", beside_kamailio, 4, lambda index: "")
    report.case("kamailio/by_weight", beside_kamailio, 9, lambda index: f"weight={WEIGHTS[index]}")
    report.case("kamailio/by_relative_weight", beside_kamailio, 11, lambda index: f"rweight={WEIGHTS[index]}")
    report.case("opensips/by_weight", of_opensips)
    report.end()


if __name__ == "__main__":
    main()
