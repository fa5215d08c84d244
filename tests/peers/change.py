"""A load manager that is changed while calls go through it: reload, add, remove, drain, weight, policy, keys; over the control
socket, over HTTP and by signal. No call may fail. Wrong tokens and bad configurations change nothing. Prometheus scrapes it."""

import json
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

from farm import STROWGER, Farm, until
from report import Report, calls
from scenario import answering, calling
from sipp import Sipp, start_client

TALK_MS = 500
CHANGE, READ = "change-change-change", "read-read-read-read-read"
KEYS = ["1 00112233445566778899aabbccddeeff", "2 ffeeddccbbaa99887766554433221100"]


class Scene:
    """A load manager started from a file that the test rewrites, with two servers behind it."""

    def __init__(self, farm, **sections):
        self.farm = farm
        self.front, self.http, self.control = farm.address(), farm.address("tcp"), farm.control()
        self.servers = [self.server() for _ in range(2)]
        self.file, self.tokens = farm.directory / "lb.toml", farm.directory / "tokens"
        self.tokens.write_text(f"change {CHANGE}\nread {READ}\n")
        self.tokens.chmod(0o600)
        self.keys, self.sections = KEYS[:1], sections
        self.write(self.servers)
        self.process = farm.serving(farm.start("lb", [STROWGER, "lb", "--config", self.file]), [self.front, self.http])

    def server(self):
        return Sipp(self.farm, answering(), self.farm.address())

    def write(self, servers, weight=1, more=""):
        lines = ["[[listen]]", f'address = "{self.front}"']
        for server in servers:
            lines += ["[[server]]", f'address = "{server.place}"', f"weight = {weight}"]
        lines += ["[keys]", f"tag = {json.dumps(self.keys)}", "[control]", f'path = "{self.control}"']
        lines += ["[api]", f'listen = "{self.http.host_port}"', f'tokens = "{self.tokens}"', "[limits]", "count_calls = true"]
        for name, keys in self.sections.items():
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
        self.file.write_text("\n".join(lines) + "\n" + more)
        self.file.chmod(0o600)

    def ctl(self, *words, expected=0):
        done = subprocess.run([STROWGER, "ctl", *map(str, words), "--control", self.control], capture_output=True, text=True, timeout=60)
        if done.returncode != expected:
            raise AssertionError(f"ctl {words} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def ask(self, method, path, token=None, body=None):
        request = urllib.request.Request(f"http://{self.http.host_port}{path}", method=method, data=body and json.dumps(body).encode())
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def counters(self):
        return self.farm.counters(self.control)


def changed_under_load():
    rate = calls(50, 100, 500)
    with Farm("change-load") as farm:
        scene = Scene(farm)
        caller = start_client(farm, calling(), scene.front, rate * 14, rate, "-d", TALK_MS)
        caller.begun(rate)
        first, second = scene.servers
        third, fourth = scene.server(), scene.server()
        scene.ctl("add", third.place, "--weight", 2)
        scene.ctl("weight", third.place.host_port, 5)
        scene.write([first, second, third, fourth], weight=2)
        reloaded = scene.ctl("reload")
        scene.ctl("policy", "tlwl")
        scene.keys = KEYS[::-1]
        scene.write([first, second, third, fourth], weight=2, more='[selection]\nkind = "tlwl"\n')
        scene.process.popen.send_signal(signal.SIGHUP)
        time.sleep(1)
        drained = scene.ctl("drain", first.place.host_port, "--wait", "--timeout", 30)
        scene.ctl("remove", first.place.host_port)
        # The file no longer names the second server: it is removed when it has no calls left.
        scene.write([third, fourth], weight=2, more='[selection]\nkind = "tlwl"\n')
        scene.ctl("reload")
        until(lambda: len(farm.status(scene.control)["servers"]) == 2, "two servers left", 20)
        before = scene.ctl("status", "--json")
        scene.write([third], more='[selection]\nkind = "tlwll"\n')
        bad = scene.ctl("reload", expected=4)
        scene.write([third], more='[threads]\nmodel = "one"\n')
        fixed = scene.ctl("reload", expected=4)
        servers = [(server["address"], server["weight"]) for server in farm.status(scene.control)["servers"]]
        scene.keys = KEYS[1:]
        scene.write([third, fourth], weight=3, more='[selection]\nkind = "tlwl"\n')
        scene.ctl("reload")
        outcome = caller.finish()
        stopped = [server.stop() for server in (first, second, third, fourth)]
        counted = scene.counters()
    problems = [] if outcome.good == rate * 14 else [f"{outcome.failed} calls failed ({outcome.causes()}): {outcome.errors}"]
    problems += [f"server {number}: {end.failed} calls failed" for number, end in enumerate(stopped) if end.failed]
    for name in ("forged_tags", "taken_over", "no_server"):
        if counted[name]:
            problems.append(f"{name} {counted[name]}")
    if f"server {fourth.place.host_port}: added" not in reloaded or f"{third.place.host_port}: weight: 5 becomes 2" not in reloaded:
        problems.append(f"the difference was {reloaded!r}")
    if "no call is left" not in drained:
        problems.append(f"drain said {drained!r}")
    if "lb.toml:" not in bad or "did you mean `tlwl`" not in bad:
        problems.append(f"a bad file was refused by {bad!r}")
    if "restart needed for: [threads]" not in fixed:
        problems.append(f"threads were refused by {fixed!r}")
    if servers != [(server["address"], server["weight"]) for server in json.loads(before)["servers"]]:
        problems.append(f"a refused reload changed {servers}")
    if min(end.created for end in stopped) == 0:
        problems.append(f"calls per server {[end.created for end in stopped]}")
    return f"{outcome.good} calls at {rate}/s, {outcome.failed} failed, calls per server {[end.created for end in stopped]}", problems


def wrong_tokens():
    with Farm("change-tokens") as farm:
        scene = Scene(farm)
        server = scene.servers[0].place.host_port
        tries = [None, "", "wrong-wrong-wrong-wrong", READ[:-1], READ + "x", CHANGE[:-1] + "E"]
        answers = [scene.ask("GET", "/v1/status", token)[0] for token in tries]
        read_only = scene.ask("POST", f"/v1/servers/{server}/drain", READ)[0]
        states = farm.server_states(scene.control)
        counted = scene.counters()
        good = scene.ask("POST", f"/v1/servers/{server}/drain", CHANGE)[0]
        unknown = scene.ask("POST", "/v1/servers/192.0.2.9:5060/drain", CHANGE)
        log = scene.process.log.read_text()
    problems = []
    if set(answers) != {401} or read_only != 403 or good != 200 or unknown[0] != 404:
        problems.append(f"answers {answers}, read token {read_only}, good token {good}, unknown server {unknown}")
    if set(states.values()) != {"active"}:
        problems.append(f"wrong tokens changed {states}")
    if (counted["api_unauthorized"], counted["api_forbidden"]) != (len(tries), 1):
        problems.append(f"counted {counted['api_unauthorized']} and {counted['api_forbidden']}")
    if CHANGE in log or READ in log:
        problems.append("a token is in the log")
    return f"{len(answers)} wrong tokens refused and counted, a read token may not drain", problems


def told_to_stop():
    """SIGTERM: answered calls go on to their end, new calls are refused, then the process ends by itself."""
    count = calls(20, 40, 200)
    with Farm("change-stop") as farm:
        scene = Scene(farm, drain={"seconds": 30})
        caller = start_client(farm, calling(), scene.front, count, count, "-d", 5000)
        until(lambda: sum(server["calls"] or 0 for server in farm.status(scene.control)["servers"]) == count, "all calls are up", 20)
        scene.process.popen.terminate()
        until(lambda: "SIGTERM received" in scene.process.log.read_text(), "it heard the signal")
        late = start_client(farm, calling(), scene.front, 3, 10, "-d", 100)
        refused = late.finish()
        outcome = caller.finish()
        status = scene.process.wait(20)
        log = scene.process.tail(3)
    problems = [] if outcome.good == count else [f"{outcome.good} of {count} calls good ({outcome.causes()})"]
    if refused.good or not refused.failed:
        problems.append(f"{refused.good} of 3 late calls were taken")
    if status or "no call is left" not in log:
        problems.append(f"it ended with {status}: {log}")
    return f"{outcome.good} of {count} calls went on to their end, {refused.failed} late ones refused", problems


def scraped_by_prometheus():
    with Farm("change-prometheus") as farm:
        scene = Scene(farm)
        outcome = start_client(farm, calling(), scene.front, 20, 50, "-d", 50).finish()
        place = farm.address("tcp")
        config = farm.directory / "prometheus.yml"
        config.write_text(
            "global: { scrape_interval: 1s, scrape_timeout: 1s }\nscrape_configs:\n"
            f"  - job_name: strowger\n    static_configs: [{{ targets: ['{scene.http.host_port}'] }}]\n"
        )
        options = [f"--config.file={config}", f"--storage.tsdb.path={farm.directory / 'data'}", f"--web.listen-address={place.host_port}"]
        farm.start("prometheus", ["prometheus", *options])

        def value(query):
            url = f"http://{place.host_port}/api/v1/query?query={urllib.parse.quote(query)}"
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    found = json.load(answer)["data"]["result"]
            except OSError:
                return None
            return sum(float(row["value"][1]) for row in found) if found else None

        until(lambda: value("strowger_new_calls_total") == 20, "20 new calls in Prometheus", 30)
        values = {query: value(query) for query in ("strowger_servers", "sum(strowger_server_new_calls_total)", "strowger_session_establishment_ratio", "up")}
    problems = [] if outcome.good == 20 else [f"{outcome.good} of 20 calls good"]
    if values != {"strowger_servers": 2, "sum(strowger_server_new_calls_total)": 20, "strowger_session_establishment_ratio": 1, "up": 1}:
        problems.append(f"Prometheus has {values}")
    return "Prometheus scraped the counters, the servers and the ratio of RFC 6076", problems


def main():
    report = Report("change")
    report.case("under_load", changed_under_load)
    report.case("wrong_tokens", wrong_tokens)
    report.case("sigterm", told_to_stop)
    report.case("prometheus", scraped_by_prometheus)
    report.end()


if __name__ == "__main__":
    main()
