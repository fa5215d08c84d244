"""pjsip over TLS with `sips:`: a telephone calls another telephone that is a server of the farm, and that telephone calls back,
both through the load manager; the caller changes the session by re-INVITE or UPDATE, and either of them hangs up.

pip delivers pjsip, with its version, and it is kept below target."""

import json
import os
import subprocess
import sys

from certificates import Authority
from farm import HERE, ROOT, Farm, until
from report import Report

PACKAGE = "pjsua2-python==2.15.1.post1"
LIBRARY = ROOT / "target/tools" / PACKAGE
STORIES = {
    "client_calls/reinvite/callee_ends": ("client", "reinvite", False),
    "client_calls/update/caller_ends": ("client", "update", True),
    "server_calls/reinvite/callee_ends": ("server", "reinvite", False),
    "server_calls/update/caller_ends": ("server", "update", True),
}


def install():
    """The library, downloaded once; if it is missing, the program ends."""
    if not LIBRARY.exists():
        new = LIBRARY.with_suffix(f".{os.getpid()}")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--root-user-action=ignore", "--no-deps", "--only-binary=:all:", "--target", new, PACKAGE]
        subprocess.run(pip, check=True, stdin=subprocess.DEVNULL, timeout=300)
        new.rename(LIBRARY)


class Phone:
    def __init__(self, farm, authority, place, user, proxy, **task):
        own = authority.sign()
        files = {"certificate": str(own.certificate), "key": str(own.key), "authority": str(authority.certificate)}
        task = {"port": place.port, "user": user, "proxy": proxy.host_port, **files, **task}
        self.name = user
        self.process = farm.start(user, [sys.executable, HERE / "pjsua_phone.py", json.dumps(task)], {"PYTHONPATH": str(LIBRARY)})

    def said(self):
        return self.process.log.read_text(errors="replace").splitlines()

    def ready(self):
        until(lambda: "ready" in self.said() or not self.process.alive(), f"{self.name} is ready", 10)
        return self

    def missing(self, *lines):
        """The expected lines that it has not printed."""
        said = self.said()
        return [f"{self.name}: no `{line}`" for line in lines if line not in said]


def talk(caller, change, caller_ends):
    with Farm(f"pjsua-{caller}-{change}") as farm:
        authority = Authority(farm, "authority")
        own = authority.sign()
        front, server, client = (farm.address("tls") for _ in range(3))
        farm.configured(
            {front: front.host_port},
            [server],
            tls={"certificate": str(own.certificate), "key": str(own.key), "server_ca": str(authority.certificate)},
            control={"path": str(farm.control())},
        )
        dials = {"client": f"sips:service@{front.host_port}", "server": f"sips:client@{client.host_port}"}
        places = {"client": client, "server": server}
        callee = "server" if caller == "client" else "client"
        called = Phone(farm, authority, places[callee], callee, front, dial=None, changes=[], hangs_up=not caller_ends).ready()
        calling = Phone(farm, authority, places[caller], caller, front, dial=dials[caller], changes=[change], hangs_up=caller_ends)
        for phone in (calling, called):
            phone.process.wait(30)
        counters = farm.counters(farm.control())
    method = {"reinvite": "INVITE", "update": "UPDATE"}[change]
    problems = calling.missing(f"UAC {method} 200", "UAC INVITE 200", "ended 200")
    problems += called.missing(f"UAS {method} 200", "UAS INVITE 200", "ended 200")
    problems += (called if caller_ends else calling).missing("UAS BYE 200")
    if calling.said().count("UAC INVITE 200") != (2 if change == "reinvite" else 1):
        problems.append("the session was not changed")
    there, back = counters.get("requests_to_server", 0), counters.get("requests_to_client", 0)
    # INVITE, ACK and the change go one way; a re-INVITE has an ACK; the side that hangs up determines the BYE's way.
    expected = (4 if change == "reinvite" else 3) + caller_ends
    if (there if caller == "client" else back) < expected:
        problems.append("the load manager was gone past")
    return f"{there} requests to the server, {back} to the client", problems


def main():
    install()
    report = Report("pjsua")
    for name, story in STORIES.items():
        report.case(name, talk, *story)
    report.end()


if __name__ == "__main__":
    main()
