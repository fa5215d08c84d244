"""A headless Chromium with one page of telephones: JsSIP user agents that carry out commands and report events.

This program serves the page, and the page speaks with it only by HTTP, so the browser needs no driver. npm delivers JsSIP, with
its version and hash from browser/package-lock.json, and this program joins it into one script."""

import base64
import contextlib
import hashlib
import http.server
import json
import pathlib
import re
import shutil
import subprocess
import threading
import time

from certificates import Authority
from farm import HERE, ROOT, Farm

SOURCES = HERE / "browser"
PACKAGES = ROOT / "target/browser"
PATIENCE = 60
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --disable-dev-shm-usage --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-extensions --use-fake-device-for-media-stream --use-fake-ui-for-media-stream "
    "--enable-logging=stderr --log-level=0"
)
PAGE = b'<!doctype html><meta charset="utf-8"><title>Telephones</title><script src="/jssip.js"></script><script src="/telephone.js"></script>'


def install():
    """JsSIP and its dependencies, in the versions and with the hashes in the lock file."""
    done = PACKAGES / "node_modules/.package-lock.json"
    if done.exists() and (PACKAGES / "package-lock.json").read_bytes() == (SOURCES / "package-lock.json").read_bytes():
        return
    shutil.rmtree(PACKAGES, ignore_errors=True)
    PACKAGES.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(SOURCES / name, PACKAGES)
    npm = ["npm", "ci", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(npm, cwd=PACKAGES, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=300)


def script():
    """JsSIP as one script: each CommonJS module becomes a function, and each `require` gets the path of its module."""
    packages, modules = PACKAGES / "node_modules", {}

    def resolve(name, folder):
        if name.startswith("."):
            path = folder / name
        else:
            package = json.loads((packages / name / "package.json").read_text())
            path = packages / name / next(word for word in (package.get("browser"), package.get("main")) if isinstance(word, str))
        tried = (path, path.with_name(path.name + ".js"), path / "index.js")
        return next(path for path in tried if path.is_file()).resolve()

    def add(path):
        if path in modules:
            return
        modules[path] = ""
        text = path.read_text()
        if path.suffix == ".json":
            modules[path] = f"module.exports = {text};"
            return

        def required(match):
            other = resolve(match[1], path.parent)
            add(other)
            return f"require({json.dumps(str(other.relative_to(packages)))})"

        modules[path] = re.sub(r"require\(['\"]([^'\"]+)['\"]\)", required, text)

    main = resolve("jssip", packages)
    add(main)
    functions = ",\n".join(
        f"{json.dumps(str(path.relative_to(packages)))}: function (require, module, exports) {{\n{text}\n}}" for path, text in modules.items()
    )
    return (
        f"window.JsSIP = (function (modules) {{\nconst loaded = {{}};\nfunction require(name) {{\n"
        f"if (!loaded[name]) {{ const module = (loaded[name] = {{ exports: {{}} }}); modules[name](require, module, module.exports); }}\n"
        f"return loaded[name].exports;\n}}\nreturn require({json.dumps(str(main.relative_to(packages)))});\n}})({{\n{functions}\n}});\n"
    ).encode()


class Browser:
    """The browser and the events of its page; it is started at the first use, and all cases of a program share it."""

    def __init__(self):
        self.stack, self.changed = contextlib.ExitStack(), threading.Condition()
        self.orders, self.events, self.process = [], [], None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ended = True
        self.stack.close()

    ended = False

    def start(self):
        """Returns when the page is loaded."""
        if self.process:
            return self
        install()
        self.farm = self.stack.enter_context(Farm("browser"))
        self.authority = Authority(self.farm, "authority")
        self.own = self.authority.sign()
        self.files = {"/": ("text/html", PAGE), "/jssip.js": ("text/javascript", script())}
        self.files["/telephone.js"] = ("text/javascript", (SOURCES / "telephone.js").read_bytes())
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.stack.callback(server.shutdown)
        profile = self.farm.directory / "profile"
        trusted = f"--ignore-certificate-errors-spki-list={_key_hash(self.own.certificate)}"
        page = f"http://127.0.0.1:{server.server_port}/"
        self.process = self.farm.start("chromium", ["chromium", *FLAGS.split(), trusted, f"--user-data-dir={profile}", page])
        self.expect("page", "ready", seconds=90)
        return self

    def tell(self, telephone, command, **words):
        with self.changed:
            self.orders.append({"telephone": telephone, "command": command, **words})
            self.changed.notify_all()

    def expect(self, telephone, event, seconds=PATIENCE, **words):
        """The next event of this name at this telephone that contains these words; earlier events are skipped, except errors
        and unexpected failures."""
        deadline = time.monotonic() + seconds
        with self.changed:
            while True:
                while (index := self._next_of(telephone)) is not None:
                    found = self.events.pop(index)
                    if found["event"] == event and all(found.get(word) == value for word, value in words.items()):
                        return found
                    if found["event"] in UNEXPECTED:
                        raise AssertionError(f"{telephone} was to see {event} {words}, and saw {found}")
                if not self.process.alive():
                    raise RuntimeError(f"Chromium ended: {self.process.tail()}")
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{telephone}: no {event} {words or ''} in {seconds} s")
                self.changed.wait(0.2)

    def _next_of(self, telephone):
        return next((index for index, event in enumerate(self.events) if event["telephone"] == telephone), None)

    def heard(self, event):
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()

    def next_orders(self):
        """The next command for the page; nothing after a while, so that the page asks again."""
        with self.changed:
            self.changed.wait_for(lambda: self.orders or self.ended, 5)
            orders, self.orders = self.orders, []
            return orders


UNEXPECTED = {"error", "failed", "registrationFailed", "peerconnection:setremotedescriptionfailed"}


def _handler(browser):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            if self.path == "/next":
                self._answer(200, "application/json", json.dumps(browser.next_orders()).encode())
            elif self.path in browser.files:
                self._answer(200, *browser.files[self.path])
            else:
                self._answer(404, "text/plain", b"")

        def do_POST(self):
            browser.heard(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self._answer(200, "text/plain", b"")

        def _answer(self, status, kind, body):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler


def _key_hash(certificate: pathlib.Path):
    """The hash by which Chromium is told to trust one key without an authority."""
    done = subprocess.run(["openssl", "x509", "-in", certificate, "-pubkey", "-noout"], capture_output=True, check=True, text=True)
    return base64.b64encode(hashlib.sha256(base64.b64decode("".join(done.stdout.splitlines()[1:-1]))).digest()).decode()
