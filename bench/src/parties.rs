//! Callers and callees of many calls, in one process: it makes calls at a rate, with drawn times of ringing and talking, by
//! datagrams and over the connections of telephones, and writes one line a call with the time of each of its messages. Programs
//! that kill parts of the farm read from these lines in which state each call was, and what became of it. After SIGTERM no call
//! begins; the program ends when all calls are over.

mod book;
mod call;
mod text;
mod wires;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;

use book::{Book, Way};
use call::{Call, End, Line, Plan, TICK_MICROS, TICKS_PER_SECOND};
use text::{Own, Texts};
use wires::Wires;

/// The port of telephones that cannot be reached but over their own connection.
const NO_PORT: u16 = 9;
/// The longest wait of a turn.
const TURN: Duration = Duration::from_millis(20);
/// Calls that rang after their end, by number.
const SHOWN_MAX: usize = 20;
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// SIGTERM came.
static ENOUGH: AtomicBool = AtomicBool::new(false);

extern "C" fn enough(_signal: libc::c_int) {
    ENOUGH.store(true, Ordering::Relaxed);
}

#[derive(Args)]
pub(crate) struct Arguments {
    /// Own address of the callers; telephones listen there too.
    #[arg(long)]
    caller: SocketAddrV4,
    /// Own address of the callees.
    #[arg(long)]
    callee: SocketAddrV4,
    /// The farm's address for datagrams.
    #[arg(long)]
    farm: SocketAddrV4,
    /// The farm's address for connections; without, it is the one for datagrams.
    #[arg(long)]
    farm_stream: Option<SocketAddrV4>,
    /// Calls a second.
    #[arg(long, default_value_t = 300.0)]
    rate: f64,
    /// Seconds during which calls begin.
    #[arg(long, default_value_t = 3600.0)]
    seconds: f64,
    /// Shortest and longest time of ringing, in milliseconds.
    #[arg(long, num_args = 2, default_values_t = [1000, 8000])]
    ring_ms: Vec<u32>,
    /// Shortest and longest time of talking, in milliseconds.
    #[arg(long, num_args = 2, default_values_t = [5000, 60000])]
    talk_ms: Vec<u32>,
    /// Telephones with a connection of their own; half of the calls are theirs. 0: all calls go by datagrams.
    #[arg(long, default_value_t = 100)]
    phones: u16,
    /// So many of them cannot be reached but over that connection.
    #[arg(long, default_value_t = 0)]
    unreachable: u16,
    /// So many of these ask within the dialogs of their calls when they have a new connection.
    #[arg(long, default_value_t = 0)]
    asking: u16,
    /// How long a call that is over is remembered, in milliseconds: an INVITE that comes later rings for nobody.
    #[arg(long, default_value_t = 10_000)]
    linger_ms: u32,
    /// Of a hundred calls so many are cancelled, and as many refused.
    #[arg(long, default_value_t = 5)]
    unanswered_percent: u32,
    /// Where the lines go.
    #[arg(long)]
    out: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> io::Result<()> {
    let farm_stream = arguments.farm_stream.unwrap_or(arguments.farm);
    let phones = usize::from(arguments.phones);
    let mut wires = Wires::new(arguments.caller, arguments.callee, arguments.farm, farm_stream, phones)?;
    let unreachable = usize::from(arguments.unreachable);
    let own = (0..phones).map(|number| {
        let port = if number < unreachable { NO_PORT } else { arguments.caller.port() };
        Own { address: SocketAddrV4::new(*arguments.caller.ip(), port), stream: true }
    });
    let run = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u32;
    let texts = Texts { run, farm: arguments.farm, callee: arguments.callee };
    let mut book = Book::new(texts, arguments.caller, own.collect());
    book.asking = arguments.asking.min(arguments.unreachable);
    book.linger = arguments.linger_ms * (TICKS_PER_SECOND / 1000);
    let mut file = BufWriter::new(File::create(&arguments.out)?);
    writeln!(file, "{}", Call::head())?;

    let began = Instant::now();
    while !wires.connected() {
        if began.elapsed() > CONNECT_LIMIT {
            return Err(io::Error::other(format!("{farm_stream} accepts no connections")));
        }
        wires.turn(TURN)?;
    }
    let start = monotonic_micros();
    let mut draw = Draw(u64::from(run));
    let mut wanted = (arguments.rate * arguments.seconds) as u32;
    // SAFETY: the handler only stores into an atomic.
    unsafe { libc::signal(libc::SIGTERM, enough as extern "C" fn(libc::c_int) as libc::sighandler_t) };
    let mut flushed = Instant::now();
    println!("begun");
    loop {
        let now = ((monotonic_micros() - start) / TICK_MICROS) as u32 + 1;
        let seconds = f64::from(now) / f64::from(TICKS_PER_SECOND);
        while book.begun() < wanted && f64::from(book.begun()) <= seconds * arguments.rate {
            book.begin(draw.plan(arguments), now);
        }
        if ENOUGH.load(Ordering::Relaxed) {
            wanted = wanted.min(book.begun());
        }
        book.expire(now);
        for (way, message) in book.out.drain(..) {
            wires.send(way, &message);
        }
        for (number, call) in book.rows.drain(..) {
            let line = match call.plan.line {
                Line::Udp => "udp",
                Line::Phone(phone) if phone < book.asking => "asking",
                Line::Phone(phone) if usize::from(phone) < unreachable => "unreachable",
                Line::Phone(_) => "tcp",
            };
            writeln!(file, "{}", call.row(number, line, start))?;
        }
        if flushed.elapsed() > Duration::from_secs(1) {
            file.flush()?;
            flushed = Instant::now();
        }
        if book.begun() >= wanted && book.in_progress() == 0 {
            break;
        }
        let arrived = wires.turn(wait(&book, now, seconds, wanted, arguments.rate))?;
        let now = ((monotonic_micros() - start) / TICK_MICROS) as u32 + 1;
        for (way, message) in arrived.messages {
            match way {
                Way::Callee => book.callee_receives(&message, now),
                _ => book.caller_receives(&message, way, now),
            }
        }
        for phone in arrived.reconnected {
            book.reconnected(phone, now);
        }
    }
    file.flush()?;
    println!("calls {}", book.begun());
    println!("rang after their end {}", book.again.len());
    for (number, tick) in book.again.iter().take(SHOWN_MAX) {
        println!("{number} rang after its end at {}", start + u64::from(*tick) * TICK_MICROS);
    }
    println!("messages of no call {}", book.stray);
    println!("connections lost {}", wires.lost);
    Ok(())
}

/// How long nothing is due.
fn wait(book: &Book, now: u32, seconds: f64, wanted: u32, rate: f64) -> Duration {
    let ticks = book.due().map_or(u32::MAX, |due| due.saturating_sub(now));
    let timer = Duration::from_micros(u64::from(ticks) * TICK_MICROS);
    let call = match book.begun() < wanted {
        true => Duration::from_secs_f64((f64::from(book.begun()) / rate - seconds).max(0.0)),
        false => TURN,
    };
    timer.min(call).min(TURN)
}

/// Microseconds of the clock that Python's `time.monotonic` reads too.
fn monotonic_micros() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}

/// Drawn numbers (SplitMix64).
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((u64::from((mixed ^ mixed >> 31) as u32) * u64::from(bound)) >> 32) as u32
    }

    fn ticks(&mut self, least_and_most_ms: &[u32]) -> u32 {
        let (least, most) = (least_and_most_ms[0], least_and_most_ms[1]);
        (least + self.below(most.saturating_sub(least) + 1)) * (TICKS_PER_SECOND / 1000)
    }

    fn plan(&mut self, arguments: &Arguments) -> Plan {
        let unanswered = arguments.unanswered_percent;
        let end = match self.below(100) {
            drawn if drawn < unanswered => End::Cancel,
            drawn if drawn < 2 * unanswered => End::Refuse,
            drawn if drawn % 2 == 0 => End::Caller,
            _ => End::Callee,
        };
        let line = match arguments.phones {
            0 => Line::Udp,
            phones => match self.below(2) {
                0 => Line::Udp,
                _ => Line::Phone(self.below(phones.into()) as u16),
            },
        };
        Plan { end, line, ring: self.ticks(&arguments.ring_ms), talk: self.ticks(&arguments.talk_ms) }
    }
}
