//! What an operator writes, made into what the program runs with: a TOML file or the short form of the command line
//! becomes checked [`lb::settings::Settings`], or a list of everything that is wrong with it.
//!
//! Every key is defined once, in [`definition`]: its parser, default, range and help, from which the reference page is made.

mod api;
mod certificate_files;
mod certificates;
mod checked;
mod checked_http;
mod checked_keys;
mod checked_peers;
mod checked_perf;
mod checked_register;
mod control_path;
mod definition;
mod key_file;
mod perf_form;
mod problem;
mod reference;
mod section;
mod short_form;
mod syntax;
mod validity;
mod value;
mod words;

pub use api::{Grant, Tokens, fresh_token_line};
pub use certificates::{Shown, Tls};
pub use checked::{Api, Checked, Drain, Faults, load, load_perf, load_to_start, parse};
pub use checked_http::Http;
pub use checked_perf::Perf;
pub use control_path::control_path;
pub use key_file::{BadKeyLine, KeyFile, fresh_heartbeat_line, fresh_tag_line};
pub use perf_form::{PerfForm, perf_form};
pub use problem::{Place, Problem, Problems, nearest};
pub use reference::{help, reference};
pub use short_form::{ShortForm, server_tls, short_form};
pub use value::{Choice, Endpoint, SIP_PORT, Wrong, parse_address, parse_endpoint, word};
pub use words::{LogFormat, NewCalls};

/// Exit status for a bad configuration or command line: EX_USAGE of sysexits.h.
pub const EXIT_USAGE: u8 = 64;
