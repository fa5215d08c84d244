//! A whole farm on this machine by one command.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use config::{Generated, Problems, Run, RunForm};
use os::notify::{self, Watchdog};
use tracing::{error, info, warn};

use crate::engine::serve::hosts;
use crate::process::signals::Signals;
use crate::report::table::aligned;
use crate::run::{Farm, Folder, Plan, Said};

/// Engines, records and load manager have five seconds each.
const END: Duration = Duration::from_secs(20);
/// What the service manager shows while the farm runs.
const SERVES: &str = "the farm takes calls";
/// Time between two looks at the children.
const LOOK: Duration = Duration::from_millis(50);

const EXAMPLES: &str = "\
Examples:
  Calls to 192.0.2.1 go to the server 192.0.2.9; three engines, any of which may die:
    strowger run --listen udp:192.0.2.1:5060 --to sip:192.0.2.9

  The same, with records in an outside Redis or Valkey, so that this machine may die, too:
    strowger run --listen udp:192.0.2.1:5060 --to sip:192.0.2.9 \\
        --state 10.0.0.21:6379 --state 10.0.0.22:6379

  All settings, in a file: those of `strowger lb`, and section [run]:
    strowger run --config farm.toml

  Another build under calls, or a changed file: replace the program, then
    kill -HUP PID

SIGHUP reads the configuration again and replaces one engine after the other by the program that lies on the disk. SIGTERM and SIGINT \
end the farm. Exit status: 0 ended by a signal, 1 something could not be opened, 64 bad options or file.
";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Read all settings from this file (docs/configuration.md); the options below set the most important ones without a
    /// file
    #[arg(long, short, value_name = "FILE", conflicts_with = "run_short")]
    config: Option<PathBuf>,
    /// Folder for keys, sockets and logs [default: strowger-run in $XDG_RUNTIME_DIR; else /run/strowger for root; else
    /// /tmp/strowger-USER]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    short: Short,
}

#[derive(clap::Args, Debug)]
#[group(id = "run_short", multiple = true)]
struct Short {
    /// Address to listen on: udp:ADDRESS:PORT, or with tcp:, tls:, ws: or wss: in front. May be repeated; one must be udp:
    #[arg(long, value_name = "ENDPOINT", group = "run_short", required_unless_present = "config")]
    listen: Vec<String>,
    /// SIP URI that calls go to. A URI without a user gets the user that was called. If repeated, all ring at the same time
    #[arg(long, value_name = "URI", group = "run_short", required_unless_present = "config")]
    to: Vec<String>,
    #[arg(long, value_name = "N", group = "run_short", help = config::help("run.engines"))]
    engines: Option<String>,
    #[arg(long, value_name = "N", group = "run_short", help = config::help("run.workers"))]
    workers: Option<String>,
    /// A node of an outside state tier, Redis or Valkey: ADDRESS:PORT or unix:/PATH. May be repeated. If left out, a process
    /// of this farm keeps the records
    #[arg(long, value_name = "NODE", group = "run_short")]
    state: Vec<String>,
    #[arg(long, value_name = "NAME", group = "run_short", help = config::help("run.state_user"))]
    state_user: Option<String>,
    #[arg(long, value_name = "FILE", group = "run_short", help = config::help("run.state_password_file"))]
    state_password_file: Option<String>,
}

impl Args {
    fn read(&self, generated: &Generated) -> Result<Run, Problems> {
        if let Some(path) = &self.config {
            return config::load_run(path, generated);
        }
        let short = &self.short;
        let once = [
            ("engines", "engines", &short.engines),
            ("workers", "workers", &short.workers),
            ("state-user", "state_user", &short.state_user),
            ("state-password-file", "state_password_file", &short.state_password_file),
        ];
        let once = once.into_iter().filter_map(|(option, key, value)| Some((option, key, value.clone()?)));
        config::run_form(
            &RunForm {
                listen: short.listen.clone(),
                to: short.to.clone(),
                state: short.state.clone(),
                once: once.collect(),
            },
            generated,
        )
    }
}

pub(crate) fn run(args: &Args) -> ExitCode {
    crate::process::log::start_plainly();
    match serve(args) {
        Ok(status) => status,
        Err(error) => {
            errln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(args: &Args) -> io::Result<ExitCode> {
    let path = args.folder.clone().unwrap_or_else(config::run_folder);
    let folder = Folder::open(&path)
        .map_err(|error| io::Error::new(error.kind(), format!("the folder {}: {error}", path.display())))?;
    // `strowger status` finds the farm of the usual folder by itself.
    let control = match args.folder {
        Some(_) => folder.file("control.sock"),
        None => config::control_path(),
    };
    let generated = Plan::generated(&folder, control)?;
    let run = match args.read(&generated) {
        Ok(run) => run,
        Err(problems) => {
            err!("{problems}");
            return Ok(ExitCode::from(config::EXIT_USAGE));
        }
    };
    look_around(&run)?;
    run.lb.notices.iter().for_each(|notice| errln!("{notice}"));
    let plan = Plan::new(run, &folder)?;
    let signals = Signals::hold(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP]);
    outln!("starting {} engines, a load manager and what they need …", plan.engines.len());
    let mut farm = Farm::start(plan, folder)?;
    out!("{}", first_screen(&farm, args.folder.is_some()));
    notify::ready(SERVES);
    let (mut watchdog, mut reloading) = (Watchdog::of_manager(), false);
    loop {
        farm.turn().iter().for_each(log);
        watchdog.iter_mut().for_each(Watchdog::beat);
        if reloading && !farm.is_upgrading() {
            reloading = false;
            notify::ready(SERVES);
        }
        match signals.wait(LOOK) {
            None => {}
            Some(libc::SIGHUP) => {
                notify::reloading();
                reloading = true;
                match args.read(&generated) {
                    Ok(run) => log(&farm.upgrade(run)),
                    Err(problems) => error!("upgrade refused: the configuration has errors\n{problems}"),
                }
            }
            Some(_) => break,
        }
    }
    notify::stopping(END, "engines end first, the load manager last");
    info!("stop: signal received; engines end first, the load manager last");
    drop(farm);
    info!("the farm has ended");
    Ok(ExitCode::SUCCESS)
}

/// What no engine could start with: a name without an address, an outside state tier that is not there.
fn look_around(run: &Run) -> io::Result<()> {
    hosts(&run.to)?;
    let password = run.state_password_file.as_deref();
    let tier = super::engine::state(&run.state, run.state_user.as_deref(), password);
    match tier.map_err(io::Error::other)? {
        Some(settings) => state_redis::link::reach(&settings),
        None => Ok(()),
    }
}

fn log(said: &Said) {
    match said.bad {
        true => warn!("{}", said.text),
        false => info!("{}", said.text),
    }
}

/// What runs where, and what to do next.
fn first_screen(farm: &Farm, named: bool) -> String {
    let plan = farm.plan();
    let pid = |process: Option<u32>| process.map_or_else(|| "-".to_owned(), |process| process.to_string());
    let mut rows = Vec::new();
    let keeps = "keeps the records of calls";
    match &plan.own_state {
        Some(path) => rows.push(vec![
            "state".to_owned(),
            pid(farm.state_process()),
            format!("unix:{}", path.display()),
            format!("{keeps}: if this process or the machine dies, calls that are up end"),
        ]),
        None => {
            rows.push(vec!["state".to_owned(), "-".to_owned(), plan.run.state.join(" "), keeps.to_owned()])
        }
    }
    for (index, engine) in plan.engines.iter().enumerate() {
        let process = farm.engine_process(index).map(|process| process as u32);
        let what = format!("an engine under an agent; calls go to {}", plan.run.to.join(" "));
        rows.push(vec![format!("engine {}", index + 1), pid(process), engine.to_string(), what]);
    }
    let listeners = plan.run.lb.settings.listeners.iter();
    let listeners: Vec<String> =
        listeners.map(|listener| format!("{}:{}", listener.transport.word(), listener.bind)).collect();
    let what = "the load manager: phones and trunks send to it".to_owned();
    rows.push(vec!["lb".to_owned(), pid(farm.lb_process()), listeners.join(" "), what]);
    let option = match named {
        true => format!(" --folder {}", farm.folder().path().display()),
        false => String::new(),
    };
    format!(
        "{}\nKeys, logs and sockets: {}\n\nWhat next:\n  strowger status{option}   is all well, and what does each part do\n  \
         strowger top{option}   the same, live\n  strowger calls{option}   the calls, whichever engine has them\n  \
         kill -HUP {}   another build or another configuration, under calls\n",
        aligned(&["what", "process", "where", "for"], &rows),
        farm.folder().path().display(),
        std::process::id()
    )
}
