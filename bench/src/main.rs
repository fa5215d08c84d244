//! Measures the load manager against the floor and against Kamailio, in one run on one machine. docs/performance.md
//! says how and why.

mod calls;
mod counters;
mod datagrams;
mod engine_flatness;
mod engine_parts;
mod engines;
mod engines_together;
mod farm;
mod flatness;
mod floor;
mod head;
mod histogram;
mod idle;
mod latency;
mod limit;
mod link;
mod measure;
mod memory;
mod micro;
mod parties;
mod per_call;
mod plot;
mod post;
mod process;
mod report;
mod secrets;
mod set_up;
mod start;
mod streams;
mod subject;
mod table;
mod tcp;
mod texts;

use std::net::SocketAddrV4;
use std::time::Duration;

use clap::{Parser, Subcommand};

use farm::{Idle, Pace, Until};
use measure::{Bench, Load, Plan};
use subject::Places;

#[derive(Parser)]
struct Arguments {
    /// First of the ports used, on the loopback only.
    #[arg(long, global = true, default_value_t = 21500)]
    port: u16,
    /// Go before all other programs of the machine (as root), for figures where it is not quiet.
    #[arg(long, global = true)]
    first: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The forwarder that reads nothing, until it is ended.
    Floor {
        #[arg(long)]
        listen: SocketAddrV4,
        #[arg(long)]
        server: SocketAddrV4,
        #[arg(long)]
        client: SocketAddrV4,
        /// Datagrams per system call.
        #[arg(long, default_value_t = 64)]
        batch: usize,
        /// Answer each INVITE with a 100, as a back-to-back user agent does.
        #[arg(long)]
        two_sided: bool,
    },
    /// P1: CPU per message of floor, Strowger and Kamailio, with the ratios.
    Table {
        /// Under two minutes instead of under ten; the spread is wider.
        #[arg(long)]
        quick: bool,
    },
    /// P8, P9: CPU per call of the engine with each kind of state, beside floors and peers.
    Calls {
        /// About a minute; the spread is wider.
        #[arg(long)]
        quick: bool,
    },
    /// P13: time from INVITE to 200 at a fifth of the engine's limit, against the load manager alone.
    SetUp {
        #[arg(long)]
        quick: bool,
    },
    /// P15: CPU per call of one engine and of three on one state.
    Engines {
        #[arg(long)]
        quick: bool,
    },
    /// P16: time until a call passes through a program that was started.
    Start {
        #[arg(long)]
        quick: bool,
    },
    /// P10, P15: CPU and memory of each call while up to 1,000,000 are up.
    EngineFlatness {
        /// At most 100,000 calls.
        #[arg(long)]
        quick: bool,
    },
    /// One subject under one load, for a look or a profiler.
    One {
        /// A row of the table: "floor", "strowger tag", …
        #[arg(value_parser = subject::Subject::find)]
        subject: subject::Subject,
        /// Messages a second; saturated without.
        #[arg(long)]
        rate: Option<u32>,
        #[arg(long, default_value_t = 5.0)]
        seconds: f64,
        /// Calls kept in progress.
        #[arg(long, default_value_t = 0)]
        hold: usize,
        #[arg(long, default_value_t = 4)]
        servers: usize,
    },
    /// P2: CPU per message from 4 to 1,000 servers and from 100 to 1,000,000 calls in progress.
    Flatness {
        /// At most 100,000 calls and one repeat.
        #[arg(long)]
        quick: bool,
    },
    /// P3: resident memory while calls in progress grow to 1,000,000, and 35 s later.
    Memory {
        /// At most 100,000 calls.
        #[arg(long)]
        quick: bool,
    },
    /// P4: CPU per message over TCP, against Kamailio.
    Tcp {
        #[arg(long)]
        quick: bool,
    },
    /// P4: the same over TLS.
    Tls {
        /// Under a minute.
        #[arg(long)]
        quick: bool,
    },
    /// P4: resident memory of each of 10,000 idle connections over TCP, TLS and WebSocket.
    Idle {
        /// 1,000 connections.
        #[arg(long)]
        quick: bool,
    },
    /// P5: time a message takes at a fifth of the limit, against the floor.
    Latency {
        #[arg(long)]
        quick: bool,
    },
    /// Writes the last reports into docs/performance.md.
    Publish,
    /// Nanoseconds of the parts, without sockets.
    Micro,
    /// Callers and callees of many calls, for programs that kill parts of the farm: one line a call.
    Parties(parties::Arguments),
    /// P14: the same of an engine, and of an application's event.
    EngineParts,
    /// RFC 7502: the largest rate at which no session of 50,000 fails.
    Limit {
        /// 10,000 sessions at a rate.
        #[arg(long)]
        quick: bool,
    },
}

fn main() -> std::io::Result<()> {
    let Arguments { port, first, command } = Arguments::parse();
    if first {
        process::go_first();
    }
    match command {
        Command::Floor { listen, server, client, batch, two_sided } => {
            floor::run(listen, server, client, batch, two_sided)
        }
        Command::Table { quick } => table::run(&Places::find()?, port, quick),
        Command::Calls { quick } => per_call::run(&Places::find()?, port, quick),
        Command::SetUp { quick } => set_up::run(&Places::find()?, port, quick),
        Command::Engines { quick } => engines_together::run(&Places::find()?, port, quick),
        Command::Start { quick } => start::run(&Places::find()?, port, quick),
        Command::EngineFlatness { quick } => engine_flatness::run(&Places::find()?, port, quick),
        Command::One { subject, rate, seconds, hold, servers } => {
            one(&Places::find()?, port, subject, rate, seconds, hold, servers)
        }
        Command::Flatness { quick } => flatness::run(&Places::find()?, port, quick),
        Command::Memory { quick } => memory::run(&Places::find()?, port, quick),
        Command::Tcp { quick } => tcp::run(&Places::find()?, port, quick, false),
        Command::Tls { quick } => tcp::run(&Places::find()?, port, quick, true),
        Command::Idle { quick } => idle::run(&Places::find()?, port, quick),
        Command::Latency { quick } => latency::run(&Places::find()?, port, quick),
        Command::Publish => report::publish(),
        Command::Micro => micro::run(port),
        Command::Parties(arguments) => parties::run(&arguments),
        Command::EngineParts => engine_parts::report(port),
        Command::Limit { quick } => limit::run(&Places::find()?, port, quick),
    }
}

fn one(
    places: &Places,
    port: u16,
    subject: subject::Subject,
    rate: Option<u32>,
    seconds: f64,
    hold: usize,
    servers: usize,
) -> std::io::Result<()> {
    let layout = measure::layout(port, subject, servers);
    let mut bench = Bench::start(places, subject, layout, hold + 4096, false, Idle::Spin)?;
    bench.farm.calls.set_hold(hold);
    bench.farm.run(Pace::Closed(subject.window()), Until::InProgress(hold))?;
    let load = rate.map_or(Load::Saturated, Load::MessagesPerSecond);
    let plan = Plan { measured: Duration::from_secs_f64(seconds), ..Plan::new(true) };
    eprintln!("processes: {:?}", bench.program.processes());
    let sample = bench.measure(load, plan)?;
    bench.finish()?;
    println!(
        "{}, {}: {:.3} us per message, {:.1} per call, {:.0} messages/s, {:.0} % of the core, {} failed, {:.0} % disturbed",
        subject.name(),
        load.name(),
        sample.micros_per_message(),
        sample.micros_per_call(),
        sample.messages_per_second(),
        100.0 * sample.busy(),
        sample.counters.failures(),
        100.0 * sample.disturbed
    );
    Ok(())
}
