//! Performance server: polls agents over lasting connections and serves the newest figures to load managers (SPEC B3).

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ::perf::Poller;
use config::{KeyOption, PERF_OPTIONS, Perf, PerfForm, Problems};
use tracing::info;

use crate::process::signals::Signals;
use crate::roles::key_options::{KeyOptions, List};

const EXAMPLES: &str = "\
Examples:
  Two agents, their figures served at port 5779:
    strowger perf --agent 10.0.0.11:5778 --agent 10.0.0.12:5778 \\
        --listen 10.0.0.1:5779 --key-file farm.keys

  The agents, started with --get-data:
    strowger agent --sip 10.0.0.11:5060 --to 10.0.0.1:5777 \\
        --get-data 10.0.0.11:5778 --key-file farm.keys -- kamailio -DD -E

  The load manager that chooses by them, in its file:
    [selection]
    kind = \"score\"

    [[measure]]
    by = \"performance-server\"
    address = \"10.0.0.1:5779\"

Without this process: such sections with by = \"agent\" in the load manager's own file. All settings, and servers without our agent: docs/perf.md
";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Read the sections `perf`, `measure` and `keys` of this file (docs/configuration.md)
    #[arg(long, short, value_name = "FILE", conflicts_with = "short")]
    config: Option<PathBuf>,
    #[command(flatten)]
    short: Short,
}

#[derive(clap::Args, Debug)]
#[group(id = "short", multiple = true)]
struct Short {
    /// An agent: its --get-data address. May be repeated
    #[arg(long, value_name = "ADDRESS:PORT", group = "short", required_unless_present = "config")]
    agent: Vec<String>,
    #[command(flatten)]
    options: KeyOptions<PerformanceServer>,
}

#[derive(Debug)]
struct PerformanceServer;

impl List for PerformanceServer {
    const OPTIONS: &'static [KeyOption] = PERF_OPTIONS;
}

impl Args {
    fn checked(self) -> Result<Perf, Problems> {
        if let Some(path) = &self.config {
            return config::load_perf(path);
        }
        let Short { agent, options } = self.short;
        config::perf_form(&PerfForm { agent, options: options.given })
    }
}

pub(crate) fn run(args: Args) -> ExitCode {
    match args.checked() {
        Ok(perf) => serve(perf),
        Err(problems) => {
            err!("{problems}");
            ExitCode::from(config::EXIT_USAGE)
        }
    }
}

fn serve(perf: Perf) -> ExitCode {
    let signals = Signals::hold(&[libc::SIGTERM, libc::SIGINT]);
    crate::process::log::start_plainly();
    for notice in &perf.notices {
        errln!("{notice}");
    }
    let places = match perf.measures.measured.len() {
        1 => "1 place".to_owned(),
        places => format!("{places} places"),
    };
    // Each connection is a descriptor. If the limit cannot be raised, there are fewer connections.
    let _ = net::option::raise_descriptor_limit();
    let poller = match Poller::open(perf.measures, perf.key, os::Clock::start()) {
        Ok(poller) => poller,
        Err(error) => {
            errln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    match poller.address() {
        Some(address) => info!("performance server polls {places}; data is served at {address}"),
        None => {
            info!("performance server polls {places}; data is not served: --listen (perf.listen) is missing")
        }
    }
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let thread = std::thread::spawn(move || poller.run(&stopped, |_| ()));
    while signals.wait(std::time::Duration::from_secs(3600)).is_none() {}
    info!("stop: signal received");
    stop.store(true, Ordering::Relaxed);
    if thread.join().is_err() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
