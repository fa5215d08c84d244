//! The cost of a call in an engine's core and in its state, without a socket: the parts of P8, and what an application adds (P14).

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::Time;
use engine::application::{Application, Call, Invitation, Verdict};
use engine::{Address, Answer, Engine, FarmSecret, Settings};
use sip::{Flow, Target, Transport};
use state::{Ask, Bounds, Partition, Reply};
use turn::{Core, Input};

use crate::calls::{Calls, Kind};
use crate::measure::{Spread, layout};
use crate::post::Post;
use crate::process::{self, GENERATOR_CORE};
use crate::report::Report;
use crate::subject::{State, Subject};
use crate::texts::Texts;

/// Calls of one repeat, and how many are set up at a time.
const CALLS: usize = 20_000;
const TOGETHER: usize = 64;
const REPEATS: usize = 5;
/// Events of a call that its application hears: INVITE, 2xx, end.
const EVENTS: f64 = 3.0;
/// The state tier's clock at the beginning, in microseconds.
const BEGIN_MICROS: u64 = 1_700_000_000_000_000;

type Outbox = turn::Outbox<Ask, engine::Letter, engine::Event>;

/// The least that an application can be.
#[derive(Debug)]
struct Idle;

impl Application for Idle {
    fn number(&self) -> u32 {
        1
    }

    fn invited(&self, _call: &mut Call<'_>, _invite: &Invitation<'_>) -> Verdict {
        Verdict::Forward
    }
}

/// An application that keeps a few bytes with each call, as a class of service and a count would be, and changes them at each
/// event.
#[derive(Debug)]
struct Keeps;

impl Application for Keeps {
    fn number(&self) -> u32 {
        2
    }

    fn invited(&self, call: &mut Call<'_>, invite: &Invitation<'_>) -> Verdict {
        let mut data = invite.from().to_vec();
        data.truncate(32);
        // Far below the bound.
        let _ = call.set_data(&data);
        Verdict::Forward
    }

    fn answered(&self, call: &mut Call<'_>) {
        change(call);
    }

    fn ended(&self, call: &mut Call<'_>) {
        change(call);
    }
}

fn change(call: &mut Call<'_>) {
    let now = call.now();
    let mut data = call.data().to_vec();
    data.extend_from_slice(&now.to_be_bytes());
    let _ = call.set_data(&data);
}

pub(crate) fn report(port: u16) -> io::Result<()> {
    process::pin(GENERATOR_CORE)?;
    let (mut core, mut state, mut added) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        let per_call = |spent: Duration| spent.as_nanos() as f64 / CALLS as f64;
        let (without, in_state) = run(port, Arc::new(Idle))?;
        let (with, _) = run(port, Arc::new(Keeps))?;
        core.push(per_call(without));
        state.push(per_call(in_state));
        added.push((per_call(with) - per_call(without)) / EVENTS);
    }
    let mut report = Report::new("engine-parts", "The parts of an engine");
    report.header(&["part", "ns"]);
    for (name, times) in [
        ("core: a call of 13 messages, from bytes to bytes", core),
        ("state in memory: its three writes and one look", state),
        ("P14: what an application adds for each event", added),
    ] {
        report.row(&[name.into(), Spread::show(Spread::of(times), 0)]);
    }
    report.save()
}

fn settings(target: SocketAddrV4, server: SocketAddrV4, application: Arc<dyn Application>) -> Settings {
    Settings {
        mode: engine::Mode::B2bua,
        secret: FarmSecret::new([7; 32]),
        engine: 1,
        worker: 0,
        workers: 1,
        listeners: vec![Address {
            transport: Transport::Udp,
            sent_by: target.to_string().into_bytes().into(),
            is_ipv4: true,
        }],
        letters: target.to_string().into_bytes().into(),
        application,
        to: vec![format!("sip:{server}").into_bytes().into()],
        route: None,
        hosts: HashMap::new(),
        timers: transaction::Timers::default(),
        ring_max: base::Duration::from_secs(180),
        silence_max: base::Duration::from_secs(43_200),
        bounds: engine::Bounds::default(),
    }
}

/// Carries calls through a core and a state in memory; returns the time that each of both took.
fn run(port: u16, application: Arc<dyn Application>) -> io::Result<(Duration, Duration)> {
    let layout = layout(port, Subject::Engine(State::Own), 1);
    let settings = settings(layout.target, layout.server(0), application);
    let mut core = Engine::new(settings, (Time::ZERO, BEGIN_MICROS));
    let bounds = Bounds { bytes_max: usize::MAX, effects_max: usize::MAX };
    let mut tier: Vec<Partition> = (0..=u8::MAX).map(|_| Partition::new(bounds)).collect();
    let texts = Texts::new("UDP", 1, layout.client, layout.target, &layout.servers());
    let mut calls = Calls::new(texts, Kind::EndsDialogs, TOGETHER, false);
    let (mut from_client, mut from_server, mut out) = (Post::default(), Post::default(), Outbox::default());
    let (mut in_core, mut in_state) = (Duration::ZERO, Duration::ZERO);
    let mut micros = 0;
    while calls.counters.calls < CALLS as u64 {
        // A turn takes 1 ms: no timer of a call runs out.
        micros += 1000;
        let now = Time::from_micros(micros);
        while calls.outstanding() < TOGETHER && calls.start(micros * 1000, &mut from_client) {}
        let received = [(layout.client, take(&mut from_client)), (layout.server(0), take(&mut from_server))];
        let begin = Instant::now();
        for (remote, messages) in &received {
            let remote = SocketAddr::from(*remote);
            for bytes in messages {
                let flow = Flow { listener: 0, transport: Transport::Udp, remote, connection: None };
                core.handle(now, Input::Message { bytes, flow }, &mut out);
            }
        }
        in_core += begin.elapsed();
        while !out.asks.is_empty() {
            let begin = Instant::now();
            let replies: Vec<Reply> = out.asks.drain(..).map(|ask| answer(&mut tier, micros, ask)).collect();
            let between = Instant::now();
            for reply in replies {
                core.handle(now, Input::Answer(&Answer::Reply(reply)), &mut out);
            }
            in_state += between - begin;
            in_core += between.elapsed();
        }
        let begin = Instant::now();
        core.handle_timeout(now, &mut out);
        in_core += begin.elapsed();
        for send in &out.sends {
            let bytes = &out.bytes[send.bytes.start as usize..send.bytes.end as usize];
            match send.to {
                Target::Datagram { to: SocketAddr::V4(to), .. } if to == layout.client => {
                    calls.client_receives(bytes, micros * 1000, &mut from_client);
                }
                _ => calls.server_receives(0, bytes, micros * 1000, &mut from_server),
            }
        }
        out.bytes.clear();
        out.sends.clear();
        calls.expire(micros * 1000);
        if calls.counters.failures() > 0 {
            return Err(io::Error::other(calls.counters.describe_failures()));
        }
    }
    Ok((in_core, in_state))
}

fn answer(tier: &mut [Partition], micros: u64, ask: Ask) -> Reply {
    let partition = &mut tier[usize::from(ask.partition)];
    Reply { token: ask.token, answer: Ok(partition.apply((BEGIN_MICROS + micros) / 1000, ask.command)) }
}

fn take(post: &mut Post) -> Vec<Vec<u8>> {
    let text =
        |message: &crate::post::Written| post.bytes[message.start as usize..message.end as usize].to_vec();
    let messages = post.messages.iter().map(text).collect();
    post.clear();
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_pass_through_a_core_and_its_state() {
        let (core, state) = run(21500, Arc::new(Keeps)).expect("calls");
        assert!(core > Duration::ZERO && state > Duration::ZERO);
    }
}
