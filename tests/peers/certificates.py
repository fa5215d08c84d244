"""Authorities and the certificates that they sign; openssl makes them for one test, and they are deleted with it."""

import ssl
import subprocess

DAYS = 30


DAY_S = 86400


def _openssl(*words, ago_s=0):
    """`ago_s`: as if it had been run so many seconds ago."""
    clock = ["faketime", "-f", f"-{ago_s}s"] if ago_s else []
    subprocess.run([*clock, "openssl", *map(str, words)], check=True, capture_output=True)


class Pair:
    """A certificate and its key, in two files."""

    def __init__(self, certificate, key):
        self.certificate, self.key = certificate, key


class Authority(Pair):
    """Signs certificates, for 127.0.0.1 if no names are given."""

    def __init__(self, farm, name):
        self.directory, self.name, self.signed = farm.directory, name, 0
        super().__init__(farm.directory / f"{name}.pem", farm.directory / f"{name}.key")
        _openssl("req", "-x509", *self._new_key(self.key), "-out", self.certificate, "-days", DAYS, "-subj", f"/CN={name}")

    @staticmethod
    def _new_key(path):
        return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path)

    def sign(self, days=DAYS, left_s=None, names=("IP:127.0.0.1", "IP:::1")):
        """A new pair; with zero days, the certificate ends when it begins. `left_s`: it ends in so many seconds. `names`: what it
        contains."""
        ago_s = 0 if left_s is None else days * DAY_S - left_s
        self.signed += 1
        pair = Pair(*(self.directory / f"{self.name}-{self.signed}.{ending}" for ending in ("pem", "key")))
        request, extensions = self.directory / f"{self.name}-{self.signed}.csr", self.directory / "extensions"
        extensions.write_text(f"subjectAltName={','.join(names)}\n")
        _openssl("req", *self._new_key(pair.key), "-out", request, "-subj", f"/CN={self.name} {self.signed}")
        _openssl(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial",
            "-days", days, "-extfile", extensions, "-out", pair.certificate, ago_s=ago_s,
        )
        return pair

    def client(self, own=None):
        """The context of a client that trusts only this authority, and shows `own` if it is asked."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        if own:
            context.load_cert_chain(own.certificate, own.key)
        return context

    def server(self, own):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own.certificate, own.key)
        return context
