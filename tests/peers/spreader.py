"""What stands before engines that share an address and has no idea of calls: it gives each message that comes from outside to any
engine, and sends what comes from an engine where the message says."""

import random
import re
import socket
import threading

READ = 65536
ROUTE = re.compile(rb"\r\nRoute: *<sip:([^;>]+)[^>]*>[^\r]*", re.IGNORECASE)
VIA = re.compile(rb"\r\nVia: *SIP/2\.0/UDP +([^;\s]+)", re.IGNORECASE)


class Spreader:
    """Listens at `place`, over UDP, for the engines at `engines`. Its choice is by chance."""

    def __init__(self, place, engines):
        self.place, self.engines = place, {(engine.ip, engine.port) for engine in engines}
        self.choice = sorted(self.engines)
        self.entry = f"Record-Route: <sip:{place.host_port};lr>\r\n".encode()
        self.spread, self.ended = 0, False
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.bind((place.ip, place.port))
        self.socket.settimeout(0.2)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ended = True
        self.thread.join(5)
        self.socket.close()

    def _run(self):
        while not self.ended:
            try:
                message, source = self.socket.recvfrom(READ)
            except TimeoutError:
                continue
            if source not in self.engines:
                self.spread += 1
                self.socket.sendto(message, random.choice(self.choice))
            else:
                self._out(message)

    def _out(self, message):
        if message.startswith(b"SIP/2.0 "):
            # Clients of these tests tell their true address.
            to = VIA.search(message)
        else:
            message = self._without_own_route(message)
            if message.startswith(b"INVITE "):
                line, _, rest = message.partition(b"\r\n")
                message = line + b"\r\n" + self.entry + rest
            to = ROUTE.search(message) or re.match(rb"\S+ sip:(?:[^@\s]*@)?([^;\s]+)", message)
        host, _, port = to.group(1).decode().partition(":")
        self.socket.sendto(message, (host, int(port or 5060)))

    def _without_own_route(self, message):
        route = ROUTE.search(message)
        if route and route.group(1).decode() == self.place.host_port:
            return message[: route.start()] + message[route.end() :]
        return message
