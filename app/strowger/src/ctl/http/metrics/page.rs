//! docs/metrics.md: what each metric means, its unit, its source, and what to watch.

use std::fmt::Write as _;

use lb::counters::Counter;

use super::definitions::{COUNTERS_OF_PARTS, DELAYS, GAUGES, GAUGES_OF_SOCKETS, Gauge, OF_SERVERS, READY};
use super::parts::{OF_ENGINES, OF_STATE, definitions, is_gauge, of_state_tier};

const HEAD: &str = "\
# Metrics

<!-- Made by `strowger check --metrics`; change app/strowger/src/ctl/http/metrics instead. -->

`GET /metrics` at `api.listen` gives the text format of OpenMetrics, which Prometheus asks for first:

```yaml
scrape_configs:
  - job_name: strowger
    static_configs: [{ targets: [\"127.0.0.1:8060\"] }]
```

If `api.open_metrics` is false, Prometheus needs a token (`authorization: { credentials: … }`). The control thread answers a scrape from
counters that the workers write without locks; a scrape delays no message. Counters begin at 0 with the process and are summed over the
workers; use `rate()` and `increase()`. `strowger ctl counters` shows each counter, too, without `strowger_` and `_total`. The label
`server` is transport, address and port.

## What to watch

[alerts.md](alerts.md) has rules for Prometheus, each with what it means and what to do, and a dashboard for Grafana.

## RFC 6076: how well sessions go

The load manager keeps nothing of a request that it has forwarded: the time travels in the load manager's own Via and comes back with the
response. Delays are therefore measured for every call, however long it rings, by any load manager that gets the response. The clock is
the wall clock, in steps of 64 µs. Each delay is the server's, seen from the load manager: from sending the request to receiving the
response. A caller sees more: the network between caller and load manager comes on top.

| RFC 6076 | here | how |
|---|---|---|
| §4.1 registration request delay (RRD) | `strowger_server_registration_request_delay_seconds` | From a REGISTER to its 2xx. A challenge ends one request; the next request has a delay of its own. |
| §4.2 ineffective registration attempts (IRA) | `(rate(strowger_registers_failed_total[5m]) + rate(strowger_registers_unanswered_total[5m])) / rate(strowger_registers_total[5m])` | Refusals other than 401, 402, 407, and REGISTERs without an answer; the latter are only known with `register.to = \"all\"` or a registrar. |
| §4.3 session request delay (SRD) | `strowger_server_session_request_delay_seconds` | `successful`: from an INVITE to the first provisional response other than 100, or to the 2xx if there is none. `failed`: from an INVITE to a failure without such a provisional response. |
| §4.4 session disconnect delay (SDD) | `strowger_server_session_disconnect_delay_seconds` | From a BYE of a client to the server's 2xx or failure. |
| §4.5 session duration time (SDT) | none | The load manager does not keep the time of the answer. The servers' own records have the duration. |
| §4.6 session establishment ratio (SER) | `strowger_session_establishment_ratio` | Since the start. For five minutes, compute the same from `rate(…[5m])` of the counters `strowger_sessions_…`. |
| §4.7 session establishment effectiveness ratio (SEER) | `strowger_session_establishment_effectiveness_ratio` | As SER, but 480, 486, 600 and 603 count as success: the callee chose them. |
| §4.8 ineffective session attempts (ISA) | `strowger_ineffective_session_attempts_ratio` | 408, 500, 503, 504. |
| §4.9 session completion ratio (SCR) | `strowger_session_completion_ratio` | BYEs that were answered 2xx, divided by all session attempts. Calls that are still up are missing in it. |

Attempts are calls that got a final answer other than a challenge. Redirected calls are left out of SER and SEER, as in the RFC. A
repeated response is counted and timed only once while its call is remembered (`limits.new_call_seconds`). Some requests have no delay:
INVITEs of calls that found the memory full, requests of servers, and requests of clients on a stream over IPv6.

";

/// docs/metrics.md.
pub(crate) fn page() -> String {
    let mut page = String::from(HEAD);
    page.push_str("## Every part\n\n| gauge | unit | meaning |\n|---|---|---|\n");
    let _ = writeln!(page, "| `{}` | {} | {} |\n", READY.name, READY.unit, READY.help);
    page.push_str("## Delays\n\nHistograms; `_bucket`, `_sum` and `_count` in seconds.\n\n");
    page.push_str("| metric | labels | meaning |\n|---|---|---|\n");
    for (name, _, results, help) in DELAYS {
        let results = results.join(" or ");
        let _ = writeln!(page, "| `{name}_seconds` | `server`, `result`: {results} | {help} |");
    }
    page.push_str("\n## Servers\n\n| counter | meaning |\n|---|---|\n");
    for (name, help) in OF_SERVERS {
        let _ = writeln!(page, "| `{name}_total` | {help}. Label `server`. |");
    }
    page.push_str("\n| gauge | labels | unit | meaning |\n|---|---|---|---|\n");
    for gauge in GAUGES {
        let labels: Vec<String> = gauge.labels.iter().map(|label| format!("`{label}`")).collect();
        let _ =
            writeln!(page, "| `{}` | {} | {} | {} |", gauge.name, labels.join(", "), gauge.unit, gauge.help);
    }
    page.push_str("\n## Messages and calls\n\n| counter | meaning |\n|---|---|\n");
    for counter in Counter::ALL {
        let _ = writeln!(page, "| `strowger_{}_total` | {} |", counter.name(), counter.help().trim());
    }
    page.push_str("\n## Sockets and connections\n\n| metric | type | meaning |\n|---|---|---|\n");
    for (name, help) in net::Counters::definitions() {
        let is_gauge = GAUGES_OF_SOCKETS.contains(&name);
        let (end, kind) = if is_gauge { ("", "gauge") } else { ("_total", "counter") };
        let help = if help.is_empty() { format!("{}.", words(name)) } else { help.trim().to_owned() };
        let _ = writeln!(page, "| `strowger_{name}{end}` | {kind} | {help} |");
    }
    part(
        &mut page,
        "Engines",
        "An engine has these, those of sockets and connections, and those of the API.",
        OF_ENGINES,
        definitions(),
    );
    let intro = "A process of `strowger state` has these and those of the API. Redis and Valkey have exporters of their own; engines \
                 say of them what calls need.";
    part(&mut page, "State tier", intro, OF_STATE, of_state_tier());
    page.push_str("\n## Heartbeats, polls, others\n\n| counters | meaning |\n|---|---|\n");
    for (names, help) in COUNTERS_OF_PARTS {
        let _ = writeln!(page, "| {names} | {help} |");
    }
    page
}

/// Gauges and counters of a part of the farm behind the load manager.
fn part(
    page: &mut String,
    name: &str,
    intro: &str,
    gauges: &[Gauge],
    definitions: impl Iterator<Item = (String, &'static str)>,
) {
    let _ =
        writeln!(page, "\n## {name}\n\n{intro}\n\n| gauge | labels | unit | meaning |\n|---|---|---|---|");
    for gauge in gauges {
        let labels: Vec<String> = gauge.labels.iter().map(|label| format!("`{label}`")).collect();
        let _ =
            writeln!(page, "| `{}` | {} | {} | {} |", gauge.name, labels.join(", "), gauge.unit, gauge.help);
    }
    page.push_str("\n| metric | type | meaning |\n|---|---|---|\n");
    for (name, help) in definitions {
        let (end, kind) = if is_gauge(&name) { ("", "gauge") } else { ("_total", "counter") };
        let _ = writeln!(page, "| `strowger_{name}{end}` | {kind} | {} |", super::capital(help));
    }
}

/// A name, with a capital letter first.
fn words(name: &str) -> String {
    let mut text = name.replace('_', " ");
    text[..1].make_ascii_uppercase();
    text
}
