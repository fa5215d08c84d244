//! An operator's configuration becomes what the program runs with: a TOML file or the options of the command line become
//! checked [`lb::settings::Settings`], or a list of all errors.
//!
//! Every key is defined once, in [`sections`]: its parser, default, range and help. The reference page is made from the
//! definitions.

mod checks;
mod files;
mod forms;
pub mod import;
mod language;
mod sections;

pub use checks::api::{Api, Grant, Tokens, fresh_token_line};
pub use checks::http::Http;
pub use checks::https::Https;
pub use checks::lb::{Checked, Drain};
pub use checks::pair::Shown;
pub use checks::perf::Perf;
pub use checks::process::{Faults, Process, Streams};
pub use checks::resolver::Resolving;
pub use checks::run::{callee, twice};
pub use checks::servers::NamedServers;
pub use checks::tls::Tls;
pub use files::control_path::{SERVICE_FOLDER, control_path, control_path_to_ask, state_path};
pub use files::keys::{BadKeyLine, KeyFile, fresh_heartbeat_line, fresh_tag_line};
pub use files::run_folder::run_folder;
pub use forms::api::api_form;
pub use forms::file::{load, load_perf, load_to_start, parse};
pub use forms::options::{Given, KeyOption, LB_OPTIONS, PERF_OPTIONS};
pub use forms::perf::{PerfForm, perf_form};
pub use forms::run::{Generated, Run, RunForm, load_run, run_form};
pub use forms::short::{ShortForm, server_tls, short_form};
pub use language::problem::{Problem, Problems, SourcePosition, nearest};
pub use language::role::Differs;
pub use language::value::{Choice, Endpoint, Wrong, parse_address, parse_endpoint, quoted, word};
pub use sections::log_filter::{Level, LogFilter};
pub use sections::reference::{help, range, reference};
pub use sections::words::{LogFormat, NewCalls};

/// Exit status for a bad configuration or command line: EX_USAGE of sysexits.h.
pub const EXIT_USAGE: u8 = 64;
