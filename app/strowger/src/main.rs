//! One binary, several roles; [`roles::run`] shows them all. A role's file holds its arguments and its `run`.

#![deny(clippy::print_stdout, clippy::print_stderr, reason = "they panic where nothing can be written")]

// First, as all others print by its macros.
#[macro_use]
mod process;

mod ctl;
mod demo;
mod lb;
mod report;
mod roles;
mod top;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};

use roles::Role;

const OVERVIEW: &str = "\
strowger puts one address in front of a farm of SIP servers.

  strowger demo                 a farm on this machine, calls through it, and a server killed: see it work
  strowger lb                   the load manager: one address for the whole farm
  strowger agent -- COMMAND     beside each SIP server: starts it, watches it, sends its heartbeat
  strowger perf                 polls agents and serves their figures to load managers, for selection by score
  strowger status               what a running load manager sees: servers, calls, memory, counters
  strowger top                  the same live: calls and messages per second, trouble
  strowger why CALL-ID          why a call went to the server it went to
  strowger ctl VERB             change a running load manager: drain a server, reload the configuration
  strowger answer               a small SIP server that answers calls, to try a farm with
  strowger check FILE           everything that is wrong with a configuration, with line, column and remedy
  strowger key                  a fresh key for load managers and agents to share

A first load manager, before two servers:

  strowger lb --listen udp:127.0.0.1:5060 --server 127.0.0.1:7000 --server 127.0.0.1:7001

`strowger ROLE --help` tells more about each.
";

#[derive(Parser)]
#[command(name = "strowger", version, about = "One address in front of a farm of SIP servers")]
#[command(disable_help_subcommand = true)]
struct CommandLine {
    #[command(subcommand)]
    role: Option<Role>,
}

fn main() -> ExitCode {
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
        // Help and version are asked for; anything else is a bad command line.
        Err(error) if error.use_stderr() => {
            let _ = error.print();
            ExitCode::from(config::EXIT_USAGE)
        }
        Err(error) => {
            process::print::note(error.print());
            ExitCode::SUCCESS
        }
    }
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
            // Prose may be cut, but the rest of a command that stands by itself misleads. 100 is clap's widest.
            for line in examples.lines().filter(|line| line.starts_with("  ")) {
                assert!(line.chars().count() <= 100, "{}: cut in two: {line}", role.get_name());
            }
        }
    }
}
