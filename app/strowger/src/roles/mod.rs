//! The roles of the binary: one variant, one arm and one file each.

mod addresses;
mod agent;
mod agent_redis;
mod answer;
mod answer_figures;
mod answer_shift;
mod calls;
mod check;
mod control_options;
mod ctl;
mod demo;
mod demo_whole;
mod engine;
mod import;
mod key;
mod key_options;
mod lb;
mod pages;
mod perf;
mod run;
mod sockets;
mod state;
mod state_part;
mod status;
mod top;
mod why;

use std::process::ExitCode;

use clap::{Command, Subcommand};

#[derive(Subcommand)]
pub(crate) enum Role {
    /// A whole farm on this machine: load manager, engines, records of their calls
    Run(Box<run::Args>),
    /// Load manager: one address in front of a farm of SIP servers
    Lb(Box<lb::Args>),
    /// Run beside a SIP server: start it, watch it, measure it, send its heartbeat
    Agent(Box<agent::Args>),
    /// Performance server: poll agents and serve the newest figures to load managers
    Perf(perf::Args),
    /// Engine: a back-to-back user agent whose calls outlive it
    Engine(Box<engine::Args>),
    /// State tier of one machine: keep records of calls for engines; or check Redis for more
    State(state::Args),
    /// Run a small SIP server that answers calls, to try a farm
    Answer(Box<answer::Args>),
    /// Run a farm on this machine, send calls through it, and kill engines under calls
    Demo(demo::Args),
    /// Show what runs here: load manager, engines, state tier, on one screen
    Status(status::Args),
    /// List the calls of a farm, whichever engine has them
    Calls(calls::Args),
    /// Tell the story of one call: who called whom, when it rang, its legs, what is owed
    Call(calls::OneArgs),
    /// Show the farm live: servers, calls and messages per second, failures
    Top(top::Args),
    /// Explain why a call went to its server
    Why(why::Args),
    /// Change a running load manager, or ask it something
    Ctl(ctl::Args),
    /// Show all errors of a configuration file, and start nothing
    Check(check::Args),
    /// Make a configuration from the destinations of Kamailio or OpenSIPS
    Import(Box<import::Args>),
    /// Print a new key line for a key file
    Key(key::Args),
    /// Write manual pages and completions for shells into a folder, for packages
    #[command(hide = true)]
    Pages(pages::Args),
}

/// `command` makes the command line that the role was read from.
pub(crate) fn run(role: Role, command: fn() -> Command) -> ExitCode {
    if matches!(
        role,
        Role::Run(_) | Role::Lb(_) | Role::Perf(_) | Role::Agent(_) | Role::Engine(_) | Role::State(_)
    ) {
        // The process holds keys now, or may after a reload.
        os::privilege::hide_memory();
    }
    match role {
        Role::Run(args) => run::run(&args),
        Role::Lb(args) => lb::run(&args),
        Role::Agent(args) => agent::run(*args),
        Role::Perf(args) => perf::run(args),
        Role::Engine(args) => engine::run(*args),
        Role::State(args) => state::run(&args),
        Role::Answer(args) => answer::run(&args),
        Role::Demo(args) => demo::run(&args),
        Role::Status(args) => status::run(&args),
        Role::Calls(args) => calls::run(&args),
        Role::Call(args) => calls::run_one(&args),
        Role::Top(args) => top::run(&args),
        Role::Why(args) => why::run(&args),
        Role::Ctl(args) => ctl::run(&args),
        Role::Check(args) => check::run(&args),
        Role::Import(args) => import::run(&args),
        Role::Key(args) => key::run(&args),
        Role::Pages(args) => pages::run(&args, command()),
    }
}
