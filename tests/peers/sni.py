"""Several certificates at one listener: openssl asks by name (SNI), over TLS and over WebSocket, and gets the certificate that has the
name; a reload takes other ones."""

import json
import subprocess

from certificates import Authority
from farm import STROWGER, Farm, until
from report import Report


def shown(place, name=None):
    """The certificate that openssl is shown, in PEM. Without a name, it asks for none."""
    asked = ["-servername", name] if name else ["-noservername"]
    argv = ["openssl", "s_client", "-connect", place.host_port, *asked]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    begin, end = (f"-----{word} CERTIFICATE-----" for word in ("BEGIN", "END"))
    _, _, rest = done.stdout.partition(begin)
    return (begin + rest.partition(end)[0] + end).split()


def by_name():
    with Farm("sni") as farm:
        authority = Authority(farm, "authority")
        own, pbx, wild, renewed = (authority.sign(names=names) for names in (
            ["IP:127.0.0.1", "DNS:sip.example.com"], ["DNS:pbx.example.org"], ["DNS:*.example.net"], ["DNS:pbx.example.org", "DNS:new.example.org"],
        ))
        secure, browsers, server, control = farm.address("tls"), farm.address("wss"), farm.address(), farm.control()
        farm.answer(server)
        text = [f'[[listen]]\naddress = "{place}"' for place in (secure, browsers, farm.address())]
        text += [f'[[server]]\naddress = "{server}"', f'[control]\npath = "{control}"']
        file = farm.directory / "lb.toml"

        def write(second):
            more = [f"[{heading}]\n" + "\n".join(f"{key} = {json.dumps(str(value))}" for key, value in (("certificate", pair.certificate), ("key", pair.key)))
                    for heading, pair in (("tls", own), ("[certificate]", second), ("[certificate]", wild))]
            file.write_text("\n".join(text + more) + "\n")

        write(pbx)
        farm.serving(farm.start("lb", [STROWGER, "lb", "--config", file]), [secure, browsers])
        wanted = {None: own, "sip.example.com": own, "pbx.example.org": pbx, "a.example.net": wild, "PBX.example.org": pbx, "a.b.example.net": own, "new.example.org": own}
        problems = []
        for place in (secure, browsers):
            for name, pair in wanted.items():
                if shown(place, name) != pair.certificate.read_text().split():
                    problems.append(f"{place} shows another certificate for {name}")
        told = len(farm.status(control)["certificates"])
        if told != 3:
            problems.append(f"the status tells of {told} certificates")
        write(renewed)
        done = subprocess.run([STROWGER, "ctl", "reload", "--control", control], capture_output=True, text=True, timeout=20)
        if done.returncode:
            problems.append(f"the reload ended with {done.returncode}: {done.stderr}")
        until(lambda: shown(secure, "new.example.org") == renewed.certificate.read_text().split(), "the renewed certificate is shown", 20)
    return f"{len(wanted)} names at two listeners, another certificate by a reload", problems


def main():
    report = Report("sni")
    report.case("by_name", by_name)
    report.end()


if __name__ == "__main__":
    main()
