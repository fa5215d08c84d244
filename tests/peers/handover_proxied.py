"""Clients behind a proxy for TCP, and the HTTP API, while another process takes the place of the load manager."""

import contextlib
import http.client
import threading
import urllib.error
import urllib.request

from certificates import Authority
from farm import STROWGER, Address, Farm, until
from taking import Place, made, answered, final
from wire import Dialog, Stream


def behind_proxy():
    """Connections of a proxy for TCP, which begin with the address of their client: in a hand-over one has a call that is up, one has half
    of the header, one has not begun. The load manager goes on knowing who the clients are. The HTTP API has TLS, and is asked all the
    time whether calls would be served."""
    with Farm("handover-proxied") as farm, contextlib.ExitStack() as opened:
        authority = Authority(farm, "authority")
        own = authority.sign()
        place, udp, api, server = farm.address("tcp"), farm.address("udp"), farm.address("tcp"), farm.address("udp")
        farm.answer([server])
        path = farm.directory / "lb.toml"
        path.write_text(
            f'[[listen]]\naddress = "{place}"\nproxy_protocol = ["127.0.0.1/32"]\n[[listen]]\naddress = "{udp}"\n'
            f'[[server]]\naddress = "{server}"\n[control]\npath = "{farm.control()}"\n'
            f'[api]\nlisten = "{api.host_port}"\ncertificate = "{own.certificate}"\nkey = "{own.key}"\n'
        )
        argv = [STROWGER, "lb", "--config", path]
        scene = Place(farm, farm.serving(farm.start("lb", argv), [place, udp, api]))
        header = lambda number: f"PROXY TCP4 192.0.2.{number} 127.0.0.1 40000 5060\r\n".encode()
        asker, problems = Asker(api, authority.client()), []
        # As clients behind NAT: they do not know their address.
        dialogs = [Dialog(Address("tcp", "192.0.2.77", 5060)) for _ in range(3)]

        def next_one():
            problems.extend(scene.taken_by(farm.start("lb", [*argv, "--take-over"])))
            asker.asked_again()

        with asker, Stream(place) as known:
            known.send(header(1))
            problems += made(known, dialogs[0])
            next_one()
            # These have 10 s for their header.
            half, late = (opened.enter_context(Stream(place)) for _ in range(2))
            half.send(header(2)[:20])
            next_one()
            half.send(header(2)[20:])
            late.send(header(3))
            for number, (stream, dialog) in enumerate(zip((known, half, late), dialogs), 1):
                stream.send(dialog.request("OPTIONS", 2 + number))
                response = final(stream, dialog)
                told = response and response.first("Via")
                if response is None or f"received=192.0.2.{number}" not in told:
                    problems.append(f"client {number}: {told or 'no answer'}")
            known.send(dialogs[0].request("BYE", 100))
            problems += answered(known, dialogs[0], "BYE")
        problems += asker.problems
    return f"3 clients behind a proxy are known after 2 hand-overs, {asker.count} answers of /readyz over TLS were 200, {scene.figures()}", problems[:5]


class Asker:
    """Asks whether a load manager would serve calls, over HTTPS, again and again."""

    def __init__(self, api, context):
        self.api, self.context, self.problems, self.count, self.over = api, context, [], 0, threading.Event()
        self.thread = threading.Thread(target=self.ask)

    def ask(self):
        while not self.over.is_set():
            try:
                with urllib.request.urlopen(f"https://{self.api.host_port}/readyz", timeout=10, context=self.context) as answer:
                    self.count += answer.status == 200
            except urllib.error.HTTPError as error:
                self.problems.append(f"/readyz: {error.code}, {error.read()}")
            except (OSError, http.client.HTTPException):
                # Accepted by the old process, which then let go.
                pass
            self.over.wait(0.01)

    def asked_again(self):
        """Waits for answers of whoever serves now."""
        before = self.count
        until(lambda: self.count >= before + 3, "/readyz is answered", 20)

    def __enter__(self):
        self.thread.start()
        self.asked_again()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
