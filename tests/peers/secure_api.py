"""The HTTP API over TLS: Python's and curl's clients check the certificate; a reload takes another one for new connections; whoever
speaks plain HTTP, or breaks off the handshake, is served nothing and harms nobody."""

import json
import signal
import socket
import ssl
import subprocess
import urllib.error
import urllib.request

from certificates import Authority
from farm import STROWGER, Farm, until
from report import Report

TOKEN = "read-read-read-read-read"


def ask(place, context, path, token=None):
    """Status and body."""
    request = urllib.request.Request(f"https://{place.host_port}{path}")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def shown(place, authority):
    """The certificate that the API shows, in PEM."""
    with socket.create_connection((place.ip, place.port), timeout=10) as plain:
        with authority.client().wrap_socket(plain, server_hostname=place.ip) as secure:
            return ssl.DER_cert_to_PEM_cert(secure.getpeercert(binary_form=True))


def is_that_of(pair, pem):
    return pem.split() == pair.certificate.read_text().split()


def speaks_plainly(place):
    """Whether plain HTTP gets an answer."""
    with socket.create_connection((place.ip, place.port), timeout=10) as plain:
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        try:
            return b"HTTP/1." in plain.recv(4096)
        except ConnectionError:
            return False


def load_manager():
    with Farm("secure-api-lb") as farm:
        authority, strangers = Authority(farm, "authority"), Authority(farm, "strangers")
        first, second = authority.sign(), authority.sign()
        files = [farm.directory / f"api.{ending}" for ending in ("pem", "key")]

        def show(pair):
            for file, of in zip(files, (pair.certificate, pair.key)):
                file.write_bytes(of.read_bytes())
                file.chmod(0o600)

        show(first)
        front, server, api, control = farm.address(), farm.address(), farm.address("tcp"), farm.control()
        tokens = farm.directory / "tokens"
        tokens.write_text(f"read {TOKEN}\n")
        tokens.chmod(0o600)
        farm.answer(server)
        process = farm.configured(
            {front: {}}, [server], control={"path": str(control)},
            api={"listen": api.host_port, "tokens": str(tokens), "certificate": str(files[0]), "key": str(files[1])},
        )
        farm.serving(process, [api])
        problems, context = [], authority.client()
        for path, token, wanted in (("/readyz", None, 200), ("/v1/status", None, 401), ("/v1/status", TOKEN, 200), ("/metrics", None, 200)):
            status, body = ask(api, context, path, token)
            if status != wanted:
                problems.append(f"{path}: {status}, {body}")
        told = [row["file"] for row in farm.status(control)["certificates"]]
        if told != [str(files[0])]:
            problems.append(f"the status tells of {told}")
        curl = ["curl", "-s", "--max-time", "10", "--cacert", authority.certificate, f"https://{api.host_port}/healthz"]
        done = subprocess.run(curl, capture_output=True, text=True, timeout=20)
        if done.returncode or not json.loads(done.stdout)["alive"]:
            problems.append(f"curl: {done}")
        try:
            ask(api, strangers.client(), "/readyz")
            problems.append("another authority's client believes it")
        except urllib.error.URLError:
            pass
        if speaks_plainly(api):
            problems.append("plain HTTP is answered")
        half = socket.create_connection((api.ip, api.port), timeout=10)
        half.sendall(b"\x16\x03\x01")
        if not is_that_of(first, shown(api, authority)):
            problems.append("it shows another certificate than the first")
        show(second)
        process.popen.send_signal(signal.SIGHUP)
        until(lambda: is_that_of(second, shown(api, authority)), "the second certificate is shown", 20)
        half.close()
        file = next(farm.directory.glob("lb-*.toml"))
        file.write_text("".join(line for line in file.read_text().splitlines(True) if not line.startswith(("certificate", "key"))))
        done = subprocess.run([STROWGER, "ctl", "reload", "--control", control], capture_output=True, text=True, timeout=20)
        if "restart needed for: api.certificate" not in done.stderr:
            problems.append(f"a reload without a certificate: {done}")
    return "status, metrics, health over TLS; another certificate by SIGHUP", problems


def parts():
    with Farm("secure-api-parts") as farm:
        authority = Authority(farm, "authority")
        own = authority.sign()
        problems = []
        place, callee, state = farm.address(), farm.address(), farm.sockets / "state.sock"
        for role, options in (("engine", ["--listen", place, "--to", f"sip:{callee.host_port}"]), ("state", ["--listen", f"unix:{state}"])):
            api = farm.address("tcp")
            argv = [STROWGER, role, *options, "--api", api.host_port, "--api-certificate", own.certificate, "--api-key", own.key]
            farm.serving(farm.start(role, argv), [api])
            status, body = ask(api, authority.client(), "/metrics")
            if status != 200 or "strowger_ready 1" not in body:
                problems.append(f"{role}: {status}, {body[-300:]}")
    return "engine and state tier", problems


def main():
    report = Report("secure_api")
    report.case("load_manager", load_manager)
    report.case("parts", parts)
    report.end()


if __name__ == "__main__":
    main()
