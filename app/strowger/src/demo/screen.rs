//! The demo's screen: on a terminal a table that is redrawn in place, elsewhere one line per second.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;

use crate::process::print;
use crate::report::status::StatusReport;
use crate::report::table::{aligned, or_dash, terminal_size};

/// All data that is shown at one moment.
pub(crate) struct View<'a> {
    pub(crate) elapsed_millis: u64,
    pub(crate) seconds: u64,
    pub(crate) report: &'a StatusReport,
    /// Messages per second to each server, by index.
    pub(crate) rates: &'a [u64],
    pub(crate) begun: u64,
    pub(crate) up: u64,
    pub(crate) ended: u64,
    pub(crate) lost: u64,
    pub(crate) messages_per_second: u64,
    /// Time from INVITE to ringing in the last second, microseconds.
    pub(crate) p50: Option<u64>,
    pub(crate) p99: Option<u64>,
    /// Requests that another server took over; `None`: nobody counts them.
    pub(crate) taken_over: Option<usize>,
    pub(crate) events: &'a [String],
}

pub(crate) struct Screen {
    terminal: bool,
    lines: usize,
    events_shown: usize,
    line_shown_at: Option<u64>,
}

impl Screen {
    pub(crate) fn new() -> Screen {
        Screen { terminal: io::stdout().is_terminal(), lines: 0, events_shown: 0, line_shown_at: None }
    }

    pub(crate) fn show(&mut self, view: &View<'_>) {
        let text = if self.terminal { self.frame(view) } else { self.lines(view) };
        // The calls go on even if the reader has gone away.
        out!("{text}");
        print::note(io::stdout().flush());
    }

    /// The whole picture, drawn over the picture before.
    fn frame(&mut self, view: &View<'_>) -> String {
        // A line that wraps would take two lines, and the next picture would begin too low.
        let width = terminal_size().map_or(usize::MAX, |(columns, _)| columns);
        let cut = |line: &str| line.chars().take(width).chain(['\n']).collect::<String>();
        let picture: String = picture(view).lines().map(cut).collect();
        let mut text = String::new();
        if self.lines > 0 {
            // Moves up to the first line of the last picture, and clears the rest.
            let _ = write!(text, "\x1b[{}A\x1b[0J", self.lines);
        }
        self.lines = picture.lines().count();
        text.push_str(&picture);
        text
    }

    fn lines(&mut self, view: &View<'_>) -> String {
        let mut text = String::new();
        for event in view.events.iter().skip(self.events_shown) {
            let _ = writeln!(text, "{event}");
        }
        self.events_shown = view.events.len();
        let second = view.elapsed_millis / 1000;
        if self.line_shown_at.replace(second) != Some(second) {
            let active = view.report.active.len();
            let _ = writeln!(text, "{second:>3} s  {active} servers active, {}", calls(view));
        }
        text
    }
}

fn calls(view: &View<'_>) -> String {
    format!(
        "{} calls begun, {} up, {} ended, {} lost; {} messages/s; ringing after {} (half), {} (99 %){}",
        view.begun,
        view.up,
        view.ended,
        view.lost,
        view.messages_per_second,
        milliseconds(view.p50),
        milliseconds(view.p99),
        view.taken_over.map_or_else(String::new, |count| format!("; {count} requests taken over"))
    )
}

pub(crate) fn milliseconds(micros: Option<u64>) -> String {
    micros.map_or_else(|| "-".into(), |micros| format!("{}.{} ms", micros / 1000, micros / 100 % 10))
}

fn picture(view: &View<'_>) -> String {
    let mut text = String::new();
    let tenths = view.elapsed_millis / 100;
    let _ = writeln!(
        text,
        "{}.{} s{}   callers -> load manager {} -> servers under agents\n",
        tenths / 10,
        tenths % 10,
        if tenths / 10 < view.seconds {
            format!(" of {} s", view.seconds)
        } else {
            ": the last calls end".into()
        },
        view.report.listeners.join(" ")
    );
    let rows: Vec<Vec<String>> = view
        .report
        .servers
        .iter()
        .map(|server| {
            vec![
                server.address.as_ref().map_or_else(|| "-".into(), SocketAddr::to_string),
                server.state.clone(),
                or_dash(server.score),
                or_dash(server.load_permille.map(|load| format!("{} %", load / 10))),
                or_dash(server.calls),
                or_dash(view.rates.get(server.index as usize)),
                server.reason.clone(),
            ]
        })
        .collect();
    text.push_str(&aligned(&["server", "state", "score", "load", "calls", "messages/s", "reason"], &rows));
    let _ = writeln!(
        text,
        "\n  calls     {} begun, {} up, {} ended, {} lost",
        view.begun, view.up, view.ended, view.lost
    );
    let _ = writeln!(
        text,
        "  messages  {}/s{}",
        view.messages_per_second,
        view.taken_over
            .map_or_else(String::new, |count| format!("; {count} requests taken over by another server"))
    );
    let _ = writeln!(
        text,
        "  ringing   after {} (half of the calls), {} (99 of 100)\n",
        milliseconds(view.p50),
        milliseconds(view.p99)
    );
    for event in view.events {
        let _ = writeln!(text, "  {event}");
    }
    text
}
