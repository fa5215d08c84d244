"""The rules of packaging/prometheus as the tests use them: what each watches, the same with short times, and a story of figures for
each, in which `promtool test rules` sees it come and go."""

import json
import re

from farm import ROOT

RULES = ROOT / "packaging/prometheus/strowger.rules.yaml"
DASHBOARD = ROOT / "packaging/grafana/strowger.json"
# Windows of rate() and increase(), and waiting times, of the live test.
WINDOW, WAIT = "15s", "1s"
# Stories: a figure each 15 s. All is well until 5 min, wrong until 20 min, well again afterwards.
STEP_S, WRONG_FROM, WELL_FROM, STEPS = 15, 20, 80, 240


def names():
    """The alerts, in their order."""
    return re.findall(r"- alert: (\w+)", RULES.read_text())


def shortened():
    """The rules with short windows and waiting times."""
    text = re.sub(r"\bfor: \w+", f"for: {WAIT}", RULES.read_text())
    return re.sub(r"\[\d+m\]", f"[{WINDOW}]", text)


def expressions():
    """What the panels of the dashboard ask, with the dashboard's variables filled in."""
    found = []

    def look(part):
        if isinstance(part, dict):
            found.extend([part["expr"]] if isinstance(part.get("expr"), str) else [])
            part = list(part.values())
        if isinstance(part, list):
            for one in part:
                look(one)

    look(json.loads(DASHBOARD.read_text()))
    for variable, value in (("$__rate_interval", "1m"), ("$job", ".*"), ("$instance", ".*")):
        found = [expression.replace(variable, value) for expression in found]
    return found


def recorded():
    """The dashboard's expressions as rules that promtool can read."""
    rules = [{"record": f"panel:{at}", "expr": expression} for at, expression in enumerate(expressions())]
    return json.dumps({"groups": [{"name": "dashboard", "rules": rules}]})


def _gauge(well, wrong):
    return f"{well}x{WRONG_FROM - 1} {wrong}x{WELL_FROM - WRONG_FROM - 1} {well}x{STEPS - WELL_FROM}"


def gauge(name, labels, well, wrong):
    """A figure that goes from one value to another and back."""
    return name, labels, _gauge(f"{well}+0", f"{wrong}+0")


def appearing(name, labels, value):
    """A figure that is there only while something is wrong."""
    return name, labels, f"_x{WRONG_FROM} {value}+0x{WELL_FROM - WRONG_FROM - 1} stale _x{STEPS - WELL_FROM - 1}"


def counter(name, labels="", step=30):
    """A counter that rises while something is wrong."""
    most = step * (WELL_FROM - WRONG_FROM)
    return name, labels, f"0+0x{WRONG_FROM - 1} 0+{step}x{WELL_FROM - WRONG_FROM - 1} {most}+0x{STEPS - WELL_FROM}"


def zeros(*names):
    """Counters that stay where they are: a sum needs all of its parts."""
    return [(name, "", f"0+0x{STEPS}") for name in names]


def delays(server, bound, others):
    """A histogram of a server all of whose calls fall below this bound while something is wrong."""
    name = "strowger_server_session_request_delay_seconds_bucket"
    rows = []
    for le in ("0.01", "0.5", "2", "+Inf"):
        labels = f'server="{server}",result="successful",le="{le}"'
        rows.append(counter(name, labels) if float(le) >= bound else (name, labels, f"0+0x{STEPS}"))
    return rows + list(others)


FULL = ("strowger_memory_full_total", "strowger_held_full_total", "strowger_registers_full_total", "strowger_flows_full_total", "strowger_heartbeats_refused_total")
CONNECTIONS = tuple(f"strowger_connections_refused_{of}_total" for of in ("worker_full", "source_full", "handshakes_full", "source_handshakes_full"))
SESSIONS = tuple(f"strowger_sessions_{end}_total" for end in ("established", "declined", "ineffective", "failed"))
REFUSED = tuple(f"strowger_engine_refused_{why}_total" for why in ("out_of_reach", "full", "memory", "share"))
FORGED = ("strowger_forged_tags_total", "strowger_foreign_responses_total", "strowger_forged_encapsulations_total")
UNSIGNED = tuple(f"strowger_heartbeats_ignored_{why}_total" for why in ("bad_authenticator", "no_authenticator"))
CERTIFICATE = "strowger_certificate_end_timestamp_seconds"
NODE = 'node="192.0.2.21:6379"'
# In an hour and in 20 days; time begins at 0.
SOON, LATE, OVER = 86400, 40 * 86400, 1


def one_of(all_names, wrong, step=30):
    return [counter(wrong, step=step), *zeros(*(name for name in all_names if name != wrong))]


STORIES = {
    "StrowgerDown": [("up", 'job="strowger-lb"', _gauge("1+0", "0+0"))],
    "StrowgerAllServersLost": [gauge("strowger_servers", 'state="active"', 2, 0)],
    "StrowgerServerLost": [appearing("strowger_server_state", 'server="udp:192.0.2.9:5060",state="failed",reason="silent"', 1)],
    "StrowgerNameNotCurrent": [appearing("strowger_name_state", 'name="farm.example.net",state="kept"', 1)],
    "StrowgerCallsRefused": [counter("strowger_no_server_total")],
    "StrowgerServerAtLimit": [counter("strowger_server_at_limit_total", 'server="udp:192.0.2.9:5060"')],
    "StrowgerCallsMoved": [counter("strowger_taken_over_total"), *zeros("strowger_setups_moved_total")],
    "StrowgerSetUpsSlow": delays("a", 2, []),
    "StrowgerOneServerSlower": delays("a", 0.5, delays("b", 0.01, [])),
    "StrowgerSessionsIneffective": one_of(SESSIONS, "strowger_sessions_ineffective_total"),
    "StrowgerTableNearlyFull": [gauge("strowger_memory_entries", 'memory="new calls"', 10, 900), gauge("strowger_memory_entries_max", 'memory="new calls"', 1000, 1000)],
    "StrowgerTableFull": one_of(FULL, "strowger_registers_full_total"),
    "StrowgerDatagramsLost": [counter("strowger_datagrams_lost_in_kernel_total")],
    "StrowgerConnectionsRefused": one_of(CONNECTIONS, CONNECTIONS[1]),
    "StrowgerCertificateEnds": [gauge(CERTIFICATE, 'file="a.pem"', LATE, SOON)],
    "StrowgerCertificateEnded": [gauge(CERTIFICATE, 'file="a.pem"', LATE, OVER)],
    "StrowgerForged": one_of(FORGED, FORGED[1]),
    "StrowgerHeartbeatsUnsigned": one_of(UNSIGNED, UNSIGNED[0]),
    "StrowgerTokensGuessed": [counter("strowger_api_unauthorized_total")],
    "StrowgerStateTierAway": [gauge("strowger_state_tier_unreachable", "", 0, 86)],
    "StrowgerStateTierNodeDown": [gauge("strowger_state_tier_node_up", NODE, 1, 0)],
    "StrowgerReplicaMissing": [gauge("strowger_state_tier_node_missing", NODE, 0, 1)],
    "StrowgerWithoutReplica": [gauge("strowger_state_tier_node_partitions", NODE, 86, 86), gauge("strowger_state_tier_node_in_step", NODE, 1, 0)],
    "StrowgerFailover": [counter("strowger_state_tier_failovers_total")],
    "StrowgerEngineDied": [counter("strowger_engine_deaths_total")],
    "StrowgerEngineHung": [counter("strowger_engine_stood_still_total")],
    "StrowgerEngineRefuses": one_of(REFUSED, REFUSED[0]),
    "StrowgerClockSkew": [gauge("strowger_state_tier_clock_ahead_seconds", "", "0.02", "-0.8")],
    "StrowgerStateNearlyFull": [gauge("strowger_state_bytes", "", 100, 750), gauge("strowger_state_memory", "", 1000, 1000)],
    "StrowgerStateFull": [counter("strowger_state_full_total")],
}


def unit_tests(directory):
    """The stories as a file for `promtool test rules`."""
    tests = []
    for alert, rows in STORIES.items():
        series = [{"series": f'{name}{{instance="i"{"," if labels else ""}{labels}}}', "values": values} for name, labels, values in rows]
        firing = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})'
        # Before, while something is wrong, and when the longest window is over.
        expected = ((WRONG_FROM, []), (WELL_FROM, [{"value": 1}]), (STEPS, []))
        checks = [{"expr": firing, "eval_time": f"{(step - 1) * STEP_S}s", "exp_samples": samples} for step, samples in expected]
        tests.append({"name": alert, "interval": f"{STEP_S}s", "input_series": series, "promql_expr_test": checks})
    path = directory / "alerts.test.yaml"
    path.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": f"{STEP_S}s", "tests": tests}, indent=1))
    return path
