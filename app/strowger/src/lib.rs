//! One binary with several roles; [`roles::run`] shows them all. The file of a role has its arguments and its `run`. The
//! program is a library so that fuzz targets can reach its readers.

#![deny(clippy::print_stdout, clippy::print_stderr, reason = "they panic where nothing can be written")]

// This module comes first, because all others print by its macros.
#[macro_use]
mod process;

mod ctl;
mod demo;
mod engine;
mod lb;
mod report;
mod roles;
mod run;
mod top;

#[cfg(any(test, fuzzing))]
pub use ctl::control_side::ControlSide;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};

use roles::Role;

const OVERVIEW: &str = "\
strowger puts one address in front of a farm of SIP servers.

  strowger demo                 run a farm on this machine, send calls through it, and kill engines under calls
  strowger run                  run a whole farm on this machine: load manager, engines, their calls' records
  strowger engine               run a server whose calls outlive it, in front of your callees
  strowger state                keep the records of calls for the engines of this machine; check Redis for more
  strowger lb                   run the load manager: one address for the whole farm
  strowger agent -- COMMAND     run beside each SIP server: start it, watch it, send its heartbeat
  strowger perf                 poll agents and serve their figures to load managers, for selection by score
  strowger status               show what runs here: load manager, engines, state tier
  strowger calls                list the calls of a farm; `strowger call ID` tells the story of one
  strowger top                  show the farm live: calls and messages per second, failures
  strowger why CALL-ID          explain why a call went to its server
  strowger ctl VERB             change a running load manager: drain a server, reload the configuration
  strowger answer               run a small SIP server that answers calls, to try a farm
  strowger check FILE           show all errors of a configuration, with line, column and remedy
  strowger key                  print a new key for load managers and agents to share

A first load manager, in front of two servers:

  strowger lb --listen udp:127.0.0.1:5060 --server 127.0.0.1:7000 --server 127.0.0.1:7001

`strowger ROLE --help` shows the options and examples of a role.
";

/// How an error of the library that reads command lines ends.
const CLAPS_END: &str = "For more information, try '--help'.";

#[derive(Parser)]
#[command(name = "strowger", version, about = "One address in front of a farm of SIP servers")]
struct CommandLine {
    #[command(subcommand)]
    role: Option<Role>,
}

/// The whole program: reads the command line, and ends with this status.
pub fn main() -> ExitCode {
    process::print::finish(run())
}

fn run() -> ExitCode {
    if std::env::args_os().len() <= 1 {
        out!("{OVERVIEW}");
        return ExitCode::SUCCESS;
    }
    match CommandLine::try_parse() {
        Ok(CommandLine { role: Some(role) }) => roles::run(role),
        Ok(CommandLine { role: None }) => {
            process::print::note(CommandLine::command().print_help());
            ExitCode::SUCCESS
        }
        // Help and version were asked for; everything else is a bad command line.
        Err(error) if error.use_stderr() => {
            err!("{}", with_remedy(&error.render().to_string()));
            ExitCode::from(config::EXIT_USAGE)
        }
        Err(error) => {
            process::print::note(error.print());
            ExitCode::SUCCESS
        }
    }
}

/// An error of the command line ends as all our errors do.
fn with_remedy(text: &str) -> String {
    let named = std::env::args().nth(1);
    let role = named.filter(|name| CommandLine::command().find_subcommand(name).is_some());
    let command = role.map_or_else(|| "strowger --help".to_owned(), |role| format!("strowger {role} --help"));
    let text = text.trim_end().trim_end_matches(CLAPS_END).trim_end();
    format!("{text}\n\n  remedy: `{command}` shows all options, and examples\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn no_line_of_the_examples_is_cut() {
        for role in CommandLine::command().get_subcommands() {
            let examples = role.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(!examples.is_empty(), "{} has no examples", role.get_name());
            // Prose may be cut, but half of a command misleads. 100 is clap's widest.
            for line in examples.lines().filter(|line| line.starts_with("  ")) {
                assert!(line.chars().count() <= 100, "{}: cut in two: {line}", role.get_name());
            }
        }
    }
}
