"""Prometheus as the test sees it: it scrapes the parts of a farm, judges the rules with short times, and tells which alerts fire.
`Fault` is something that goes wrong, with the alerts that must come of it."""

import json
import time
import urllib.request

from alert_rules import shortened
from farm import bound, until

# On a busy machine scrapes come late.
PATIENCE = 60
# The longest memory of a bounded table, and the window of a rate.
CLEARED = 120


class Prometheus:
    """`targets`: name of each part to the address of its HTTP API."""

    def __init__(self, farm, targets):
        self.place, directory = farm.address("tcp"), farm.directory
        (directory / "strowger.rules.yaml").write_text(shortened())
        scraped = [{"targets": [place.host_port], "labels": {"instance": name}} for name, place in targets.items()]
        (directory / "prometheus.yaml").write_text(json.dumps({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["strowger.rules.yaml"],
            "scrape_configs": [{"job_name": "strowger", "static_configs": scraped}],
        }))
        options = ["--config.file", directory / "prometheus.yaml", "--storage.tsdb.path", directory / "data"]
        self.process = farm.start("prometheus", ["prometheus", *options, "--web.listen-address", self.place.host_port])
        until(lambda: bound(self.place), "Prometheus listens", PATIENCE)
        until(lambda: self.is_scraping(len(targets)), "each target is scraped", PATIENCE)

    def ask(self, path):
        try:
            with urllib.request.urlopen(f"http://{self.place.host_port}/api/v1/{path}", timeout=5) as answer:
                return json.load(answer)["data"]
        except OSError:
            return None

    def is_scraping(self, count):
        found = self.ask("query?query=count(up==1)")
        return bool(found and found["result"]) and float(found["result"][0]["value"][1]) == count

    def firing(self):
        """The alerts that fire, each with the parts that it names."""
        found = {}
        for alert in (self.ask("alerts") or {"alerts": []})["alerts"]:
            if alert["state"] == "firing":
                labels = alert["labels"]
                found.setdefault(labels["alertname"], set()).add(labels.get("instance"))
        return found


class Faults:
    """Makes faults one after the other, each when its alerts are silent, and sees them fire and clear."""

    def __init__(self, prometheus):
        self.prometheus, self.seen, self.problems = prometheus, {}, []

    def cause(self, alerts, make, mend=lambda: None):
        """`alerts`: names of alerts to the part that they must name."""
        began = time.monotonic()
        early = [name for name, part in alerts.items() if part in self.prometheus.firing().get(name, ())]
        if early:
            self.problems.append(f"{early} fire before their fault")
        make()
        waited = set(alerts)

        def all_fire():
            fires = self.prometheus.firing()
            waited.difference_update({name for name, part in alerts.items() if part in fires.get(name, ())})
            return not waited

        try:
            until(all_fire, "alerts", PATIENCE)
        except TimeoutError:
            self.problems.append(f"{sorted(waited)} did not fire; {sorted(self.prometheus.firing())} do")
        self.seen.update({name: time.monotonic() - began for name in set(alerts) - waited})
        mend()

    def clear(self):
        """All is mended: nothing may fire any more. Returns the seconds until then."""
        began = time.monotonic()
        try:
            until(lambda: not self.prometheus.firing(), "no alert fires", CLEARED)
        except TimeoutError:
            self.problems.append(f"{self.prometheus.firing()} still fire {CLEARED} s after their faults")
        return time.monotonic() - began

    def outcome(self):
        cleared = self.clear()
        return f"{len(self.seen)} alerts seen ({', '.join(self.seen)}), all cleared {cleared:.0f} s after the last", self.problems
