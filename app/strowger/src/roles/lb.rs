//! The command line of a load manager: a file, or the short form. The same checks apply to both.

use std::path::PathBuf;
use std::process::ExitCode;

use config::{Checked, KeyOption, LB_OPTIONS, LogFormat, Problems, ShortForm};
use tracing::warn;

use crate::lb::start::serve;
use crate::process::log;
use crate::roles::key_options::{KeyOptions, List};

const EXAMPLES: &str = "\
Examples:
  Two servers, nothing else needed:
    strowger lb --listen udp:127.0.0.1:5060 --server 127.0.0.1:7000 --server 127.0.0.1:7001

  UDP and TCP on one port; calls go where the least work is left:
    strowger lb --listen udp:192.0.2.1:5060 --listen tcp:192.0.2.1:5060 \\
        --server 10.0.0.11 --server 10.0.0.12 --selection tlwl

  Phones by TLS and browsers by WebSocket, servers by UDP:
    strowger lb --listen udp:192.0.2.1:5060 --listen tls:192.0.2.1:5061 \\
        --listen wss:192.0.2.1:443 --certificate chain.pem --key key.pem \\
        --server 10.0.0.11 --server 10.0.0.12

  Servers with agents come by themselves; a shared key, so that calls survive a restart:
    strowger key > farm.keys; chmod 600 farm.keys
    strowger lb --listen udp:192.0.2.1:5060 --heartbeat 0.0.0.0:5777 --key-file farm.keys

  All settings, in a file:
    strowger check farm.toml && strowger lb --config farm.toml
";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Read all settings from this file (docs/configuration.md); the options below set the most important ones without a
    /// file
    #[arg(long, short, value_name = "FILE", conflicts_with = "short")]
    config: Option<PathBuf>,
    /// Take the place of the load manager that runs here: its sockets, connections and memories, under calls. PATH is its
    /// control socket, if that is not the one of this configuration
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true)]
    take_over: Option<Option<PathBuf>>,
    #[command(flatten)]
    short: Short,
}

#[derive(clap::Args, Debug)]
#[group(id = "short", multiple = true)]
struct Short {
    /// Address to listen on: udp:ADDRESS:PORT, or with tcp:, tls:, ws: or wss: in front. May be repeated
    #[arg(long, value_name = "ENDPOINT", group = "short", required_unless_present = "config")]
    listen: Vec<String>,
    /// A SIP server: ADDRESS:PORT, with udp:, tcp: or tls: in front if needed. May be repeated
    #[arg(long, value_name = "ENDPOINT", group = "short")]
    server: Vec<String>,
    #[command(flatten)]
    options: KeyOptions<Lb>,
}

#[derive(Debug)]
struct Lb;

impl List for Lb {
    const OPTIONS: &'static [KeyOption] = LB_OPTIONS;
}

impl Args {
    /// Reads the file or the short form, and the files that they name. Call it again after such a file has changed.
    pub(crate) fn checked(&self) -> Result<Checked, Problems> {
        self.read(false)
    }

    /// The same for a start: some errors are warnings, because serving with them is better than not serving.
    pub(crate) fn checked_to_start(&self) -> Result<Checked, Problems> {
        self.read(true)
    }

    fn read(&self, to_start: bool) -> Result<Checked, Problems> {
        if let Some(path) = &self.config {
            return if to_start { config::load_to_start(path) } else { config::load(path) };
        }
        let short = &self.short;
        config::short_form(&ShortForm {
            listen: short.listen.clone(),
            server: short.server.clone(),
            options: short.options.given.clone(),
            to_start,
        })
    }
}

/// Runs until it is told to stop.
pub(crate) fn run(args: &Args) -> ExitCode {
    let checked = match args.checked_to_start() {
        Ok(checked) => checked,
        Err(problems) => {
            err!("{problems}");
            return ExitCode::from(config::EXIT_USAGE);
        }
    };
    log::start(checked.process.log_format, &checked.process.log_filter);
    for notice in &checked.notices {
        match checked.process.log_format {
            LogFormat::Text => errln!("{notice}"),
            LogFormat::Json => warn!("{}", notice.trim()),
        }
    }
    let own = checked.process.control.clone();
    let before = args.take_over.clone().map(|path| path.unwrap_or(own));
    match serve(checked, &|| args.checked(), before.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            errln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
