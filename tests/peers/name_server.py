"""dnsmasq as a name server whose records a test chooses."""

import signal

# A record that dnsmasq gets as an option.
HOST = "--host-record=host.test,127.0.0.1"


class NameServer:
    """dnsmasq with the records of the domain `test`, good for one second. Other records need another process."""

    def __init__(self, farm, *records):
        self.farm, self.place = farm, farm.address()
        self.process = None
        self.serve(*records)

    def serve(self, *records):
        if self.process:
            self.process.end()
        argv = ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--pid-file=", "--local=/test/"]
        argv += ["--local-ttl=1", "--bind-interfaces", f"--listen-address={self.place.ip}", f"--port={self.place.port}"]
        self.process = self.farm.serving(self.farm.start("dnsmasq", argv + list(records)), [self.place])

    def silent(self, silent=True):
        self.process.popen.send_signal(signal.SIGSTOP if silent else signal.SIGCONT)
