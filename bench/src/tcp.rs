//! P4: CPU per message with TCP or TLS to clients and servers, compared with Kamailio.

use std::io;

use crate::farm::{Pace, Until};
use crate::measure::{Plan, Spread, layout};
use crate::process::{self, GENERATOR_CORE};
use crate::report::Report;
use crate::secrets::Secrets;
use crate::streams::StreamFarm;
use crate::subject::{Affinity, Places, Subject};

const SERVERS: usize = 4;
const SLOTS: usize = 4096;
/// Outstanding calls; enough to keep every connection busy.
const WINDOW: usize = 64;
const SLOW: f64 = 10_000.0 / 6.0;

pub(crate) fn run(places: &Places, port: u16, quick: bool, secure: bool) -> io::Result<()> {
    let secrets = match secure {
        true => Some(Secrets::new(&places.scratch, addresses(port))?),
        false => None,
    };
    let plan = Plan::new(quick);
    let subjects = [Subject::Strowger(Affinity::Tag), Subject::KamailioStateless, Subject::KamailioStateful];
    let subjects: Vec<Subject> = subjects.into_iter().filter(|&subject| places.can_start(subject)).collect();
    let mut costs: Vec<[Vec<f64>; 2]> = vec![Default::default(); subjects.len()];
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); subjects.len()];
    let mut failures = vec![0; subjects.len()];
    for repeat in 0..plan.repeats {
        for (index, &subject) in subjects.iter().enumerate() {
            eprintln!("repeat {} of {}: {}", repeat + 1, plan.repeats, subject.name());
            let layout = layout(port, subject, SERVERS);
            process::sleep_exactly();
            let mut farm = StreamFarm::new(layout.clone(), subject.kind(), SLOTS, secrets.clone())?;
            let started = places.start_streams(subject, &layout, secrets.as_ref());
            let Some(program) = started.map_err(|error| eprintln!("  left out: {error}")).ok() else {
                continue;
            };
            process::pin(GENERATOR_CORE)?;
            farm.connect()?;
            for (pace, cost) in
                [Pace::Closed(WINDOW), Pace::CallsPerSecond(SLOW)].into_iter().zip(&mut costs[index])
            {
                farm.run(pace, Until::Elapsed(plan.warm_up))?;
                let before = program.cpu();
                let interval = farm.run(pace, Until::Elapsed(plan.measured))?;
                let spent = program.cpu() - before;
                let messages = interval.counters.messages.max(1) as f64;
                cost.push(spent.as_secs_f64() * 1e6 / messages);
                if matches!(pace, Pace::Closed(_)) {
                    rates[index].push(messages / interval.elapsed.as_secs_f64());
                }
            }
            farm.drain()?;
            failures[index] += farm.calls.counters.failures();
            if farm.calls.counters.failures() > 0 {
                eprintln!("  {}: {}", subject.name(), farm.calls.counters.describe_failures());
            }
        }
    }
    let peer = subjects.iter().position(|&subject| subject == Subject::KamailioStateless);
    let (name, title) = match secure {
        true => ("tls", "CPU per message over TLS"),
        false => ("tcp", "CPU per message over TCP"),
    };
    let mut report = Report::new(name, title);
    report.header(&[
        "what",
        "µs, saturated",
        "Kamailio forward() ÷ this",
        "µs, 10,000/s",
        "messages/s",
        "failed",
    ]);
    for (index, subject) in subjects.iter().enumerate() {
        let ratio = peer.and_then(|peer| {
            Spread::of(costs[peer][0].iter().zip(&costs[index][0]).map(|(peer, own)| peer / own))
        });
        report.row(&[
            subject.name().into(),
            Spread::show(Spread::of(costs[index][0].iter().copied()), 2),
            Spread::show(ratio, 1),
            Spread::show(Spread::of(costs[index][1].iter().copied()), 2),
            Spread::show(Spread::of(rates[index].iter().copied()), 0),
            failures[index].to_string(),
        ]);
    }
    report.save()
}

/// The addresses in the certificate: the subject's and the servers'.
fn addresses(port: u16) -> Vec<String> {
    let layout = layout(port, Subject::Strowger(Affinity::Tag), SERVERS);
    let all = std::iter::once(layout.target).chain(layout.servers());
    all.map(|address| address.ip().to_string()).collect()
}
