//! One binary with several roles; [`roles::run`] shows them all. The file of a role has its arguments and its `run`. The
//! program is a library so that fuzz targets can reach its readers.

#![deny(clippy::print_stdout, clippy::print_stderr, reason = "they panic where nothing can be written")]

// This module comes first, because all others print by its macros.
#[macro_use]
mod process;

mod ctl;
mod demo;
#[cfg(test)]
mod docs_tests;
mod engine;
mod help;
mod lb;
#[cfg(test)]
mod packaging_tests;
mod report;
mod roles;
mod run;
mod top;

#[cfg(any(test, fuzzing))]
pub use ctl::control_side::ControlSide;

use std::process::ExitCode;

use clap::{Command, CommandFactory as _, FromArgMatches as _, Parser};

use roles::Role;

/// How an error of the library that reads command lines ends.
const CLAPS_END: &str = "For more information, try '--help'.";

#[derive(Parser)]
#[command(name = "strowger", version = env!("STROWGER_VERSION"), about = "One address in front of a farm of SIP servers")]
struct CommandLine {
    #[command(subcommand)]
    role: Option<Role>,
}

/// The whole program: reads the command line, and ends with this status.
pub fn main() -> ExitCode {
    process::print::finish(run())
}

/// How the program reads its command line.
fn command() -> Command {
    help::grouped(CommandLine::command())
}

fn run() -> ExitCode {
    let given = command().try_get_matches();
    match given.and_then(|given| CommandLine::from_arg_matches(&given)) {
        Ok(CommandLine { role: Some(role) }) => roles::run(role, command),
        Ok(CommandLine { role: None }) => {
            process::print::note(command().print_help());
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
    let role = named.filter(|name| command().find_subcommand(name).is_some());
    let command = role.map_or_else(|| "strowger --help".to_owned(), |role| format!("strowger {role} --help"));
    let text = text.trim_end().trim_end_matches(CLAPS_END).trim_end();
    format!("{text}\n\n  remedy: `{command}` shows all options, and examples\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn the_version_is_that_of_the_package() {
        let version = command().get_version().unwrap_or_default().to_owned();
        let commit = version.strip_prefix(env!("CARGO_PKG_VERSION")).expect("the version of the package");
        let within = commit.strip_prefix(" (").and_then(|rest| rest.strip_suffix(')'));
        assert!(commit.is_empty() || within.is_some_and(|commit| commit.len() >= 7), "{version}");
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
