"""A network that loses datagrams, between one client and the load manager.

A SIPp server that gets its INVITE again after its 200 falls silent, whatever lies between: it repeats neither 180 nor 200. So
this network loses datagrams in both directions, as SIPp's own `-lost` would, but no 180."""

import random
import select
import socket
import threading


class LossyNetwork:
    """Passes datagrams between a client that sends to `place` and `target`; each but a 180 is lost with the probability `share`."""

    def __init__(self, place, target, share, seed):
        self.place, self.lost = place, 0
        self._chance, self._share, self._target = random.Random(seed), share, (target.ip, target.port)
        self._near, self._far = (socket.socket(place.family, socket.SOCK_DGRAM) for _ in range(2))
        self._near.bind((place.ip, place.port))
        self._far.bind((place.ip, 0))
        self._client, self._open = None, True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while self._open:
            for ready in select.select([self._near, self._far], [], [], 0.2)[0]:
                data, source = ready.recvfrom(65536)
                if ready is self._near:
                    self._client = source
                if self._chance.random() < self._share and not data.startswith(b"SIP/2.0 180"):
                    self.lost += 1
                elif ready is self._near:
                    self._far.sendto(data, self._target)
                elif self._client:
                    self._near.sendto(data, self._client)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._open = False
        self._thread.join()
        self._near.close()
        self._far.close()
