"""The HTTP of one application server, on Python's own http.server: it tells its name and the request, returns bodies, sends
large bodies, and changes to another protocol on request.

usage: server.py PORT NAME"""

import http.server
import json
import sys

PIECE = bytes(range(256)) * 256


class Application(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body of an answer leave in one piece; otherwise each answer would wait for an acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self):
        if self.headers.get("Upgrade") == "echo":
            return self.echo()
        if self.path.startswith("/large/"):
            return self.large(int(self.path.split("/")[2]))
        told = {"server": sys.argv[2], "path": self.path, "headers": [[name.lower(), value] for name, value in self.headers.items()]}
        self.answer(json.dumps(told).encode())

    do_HEAD = do_GET

    def do_POST(self):
        """Returns the received body; it may have come in chunks."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = bytearray()
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(body)

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Server", sys.argv[2])
        # This field is for this connection only: no client may see it.
        self.send_header("Connection", "X-Own")
        self.send_header("X-Own", "1")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def large(self, pieces):
        """Sends a body in chunks, whose number is not announced."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for _ in range(pieces):
            self.wfile.write(b"%x\r\n" % len(PIECE) + PIECE + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def echo(self):
        self.send_response(101)
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", "echo")
        self.end_headers()
        self.wfile.flush()
        while line := self.rfile.readline():
            self.wfile.write(line.upper())
            self.wfile.flush()
        self.close_connection = True

    def log_message(self, *_):
        """Logs nothing: otherwise the log would be full of lines for requests."""


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Application)
    server.daemon_threads = True
    server.serve_forever()
