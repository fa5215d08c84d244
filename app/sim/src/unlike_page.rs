//! Makes the page docs/unlike-servers.md and its plot from [`crate::unlike`].

use std::fmt::Write as _;

use crate::unlike::{Row, SERVERS};

const HEAD: &str = "\
# Unlike servers: who gets the calls, and how long set-ups take

This page shows one fast, one slow and one loaded server behind one load manager, with 88 calls a second, under each selection.
The processor of the fast server has speed 2, that of the slow server 0.5. The processor of the loaded server has speed 1, but
another program takes 60 % of it. An INVITE is 10 ms of work at speed 1, a BYE 3 ms; a call lasts 30 s on average. Each selection
gets the same 38,000 calls at the same times.

Server table, policies, ledger and scores are those of the product, on a virtual clock with one seed: every run gives exactly
these figures. Each server is a queue for one processor. The agents' figures are CPU use over the last second, and 4,000,000 KiB
of free memory for each server.

    cargo run -p strowger-sim --example unlike_servers

";

const FOOT: &str = "
![99 of 100 set-ups are faster than this, by selection](unlike-servers.svg)

* `round-robin` and `hash` give each server a third, whatever it can carry. The queue of the loaded server makes the slow set-ups.
* `score` gives calls by what is free. Memory is equal on all three servers here, so with memory in the score a part of each
  share is equal. With CPU only (`score.memory_weight = 0`), shares follow free CPU alone.
* `least-loaded` chooses the least loaded server until its figure, with the calls given since then, is no longer the smallest.
* `cjsq` makes calls in progress equal. Calls last as long on a fast server as on a slow server, so talking time becomes equal,
  but not work.
* `tjsq` and `tlwl` see at once when a queue grows, without any agent: transactions of a slow server stay in progress longer.

The scores themselves are in [score.md](score.md).
";

/// First line of the page's part that tests/peers/unlike.py measures with real processes.
const MEASURED: &str = "<!-- Real processes:";
const FOOT_BEGINS: &str = "The scores themselves";

/// docs/unlike-servers.md; the part with real processes is copied from the page `before`.
pub fn page(rows: &[Row], before: &str) -> String {
    let mut page = String::from(HEAD);
    let names: Vec<&str> = SERVERS.iter().map(|(name, ..)| *name).collect();
    let _ = writeln!(page, "| selection | calls: {} | half within | 99 of 100 within |", names.join(" | "));
    let _ = writeln!(page, "|---|--:|--:|--:|--:|--:|");
    for row in rows {
        let [fast, slow, loaded] = row.outcome.calls;
        let _ = writeln!(
            page,
            "| {} | {fast} | {slow} | {loaded} | {} | {} |",
            row.name,
            ms(row.outcome.p50_us),
            ms(row.outcome.p99_us)
        );
    }
    let (lessons, foot) = FOOT.split_at(FOOT.find(FOOT_BEGINS).unwrap_or(FOOT.len()));
    let measured = before.find(MEASURED).map_or("", |from| &before[from..]);
    let measured = measured.split(FOOT_BEGINS).next().unwrap_or_default();
    page + lessons + measured + foot
}

fn ms(us: u64) -> String {
    format!("{:.1} ms", us as f64 / 1000.0)
}

/// docs/unlike-servers.svg: bars of the 99th percentile, on a logarithmic scale.
pub fn plot(rows: &[Row]) -> String {
    const LEFT: f64 = 130.0;
    const WIDTH: f64 = 470.0;
    const STEP: f64 = 26.0;
    // From 1 ms to 10 s.
    let at = |us: f64| LEFT + (us.max(1000.0).log10() - 3.0) / 4.0 * WIDTH;
    let bottom = 40.0 + STEP * rows.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"720\" height=\"{:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"20\">99 of 100 set-ups are faster than this</text>\n",
        bottom + 30.0
    );
    for (text, us) in [("1 ms", 1e3), ("10 ms", 1e4), ("100 ms", 1e5), ("1 s", 1e6), ("10 s", 1e7)] {
        let x = at(us);
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"30\" x2=\"{x:.1}\" y2=\"{bottom:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
            bottom + 16.0
        );
    }
    for (row, y) in rows.iter().zip(0u8..).map(|(row, at)| (row, 40.0 + STEP * f64::from(at))) {
        let (end, text) = (at(row.outcome.p99_us as f64), ms(row.outcome.p99_us));
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"16\" fill=\"#4477aa\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
            LEFT - 8.0,
            y + 12.0,
            row.name,
            end - LEFT,
            end + 6.0,
            y + 12.0
        );
    }
    svg + "</svg>\n"
}
