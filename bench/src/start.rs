//! P16: the time from the start of a program until a call passes through it. A caller sends an INVITE each few milliseconds; the
//! first one that reaches a server ends the time.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::measure::{Spread, layout};
use crate::process::Program;
use crate::report::Report;
use crate::subject::{Affinity, Places, Subject};
use crate::texts::{Number, Texts};

/// Servers behind the load manager alone.
const SERVERS: usize = 1000;
const REPEATS: usize = 7;
const REPEATS_QUICK: usize = 3;
/// Time between two INVITEs.
const EVERY: Duration = Duration::from_millis(2);
const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn run(places: &Places, port: u16, quick: bool) -> io::Result<()> {
    let repeats = if quick { REPEATS_QUICK } else { REPEATS };
    let mut report = Report::new("start", "Start");
    report.header(&["what", "first call after, ms", "aim, ms"]);
    let subject = Subject::Strowger(Affinity::Tag);
    for (name, servers, aim) in
        [("strowger lb, 1,000 servers", SERVERS, 100), ("strowger run, three engines", 1, 500)]
    {
        let layout = layout(port, subject, servers);
        let texts = Texts::new("UDP", std::process::id(), layout.client, layout.target, &layout.servers());
        let mut times = Vec::new();
        for repeat in 0..repeats {
            let command = match servers {
                1 => whole_farm(places, layout.target, layout.server(0)),
                _ => places.strowger(Affinity::Tag, "udp", layout.target, &layout.servers()),
            };
            let taken =
                first_call(command, &texts, [layout.client, layout.target], layout.server_port, repeat);
            times.push(taken?.as_secs_f64() * 1000.0);
        }
        report.row(&[name.into(), Spread::show(Spread::of(times), 0), aim.to_string()]);
    }
    report.save()
}

fn whole_farm(places: &Places, listen: SocketAddrV4, server: SocketAddrV4) -> Command {
    let mut command = Command::new(places.binaries.join("strowger"));
    command.args(["run", "--listen", &format!("udp:{listen}"), "--to", &format!("sip:{server}"), "--folder"]);
    command.arg(places.scratch.join("run"));
    command
}

fn first_call(
    command: Command,
    texts: &Texts,
    [from, to]: [SocketAddrV4; 2],
    server_port: u16,
    repeat: usize,
) -> io::Result<Duration> {
    let client = UdpSocket::bind(from)?;
    let server = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, server_port))?;
    server.set_read_timeout(Some(EVERY))?;
    let (mut invite, mut received) = (Vec::new(), [0; 4096]);
    let begin = Instant::now();
    let _program = Program::start(command, None)?;
    for slot in 0.. {
        invite.clear();
        texts.invite(&Number { slot, generation: repeat as u32 }.digits(), &mut invite);
        // Until the program listens, nobody takes it.
        let _ = client.send_to(&invite, to);
        if server.recv(&mut received).is_ok_and(|length| received[..length].starts_with(b"INVITE ")) {
            return Ok(begin.elapsed());
        }
        if begin.elapsed() > LIMIT {
            break;
        }
    }
    Err(io::Error::other(format!("no call passed in {LIMIT:?}")))
}
