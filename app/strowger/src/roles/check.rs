//! Shows all errors of a configuration file, and starts nothing.

use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  strowger check farm.toml
  strowger check --reference > docs/configuration.md

Status: 0 when the file can be used (warnings do not count), 64 when it cannot.
";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The file to check
    #[arg(value_name = "FILE", required_unless_present_any = ["reference", "openapi", "metrics"])]
    file: Option<PathBuf>,
    /// Print the reference page of all sections and keys
    #[arg(long, conflicts_with = "file")]
    reference: bool,
    /// Print the OpenAPI document of the HTTP API
    #[arg(long, conflicts_with = "file")]
    openapi: bool,
    /// Print the page of metrics
    #[arg(long, conflicts_with = "file")]
    metrics: bool,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let Some(file) = &args.file else {
        match (args.openapi, args.metrics) {
            (true, _) => outln!("{:#}", crate::ctl::http::document()),
            (false, true) => out!("{}", crate::ctl::http::page()),
            (false, false) => out!("{}", config::reference()),
        }
        return ExitCode::SUCCESS;
    };
    match config::load(file) {
        Ok(checked) => {
            for notice in &checked.notices {
                outln!("{notice}");
            }
            let settings = &checked.settings;
            outln!("{}: good", file.display());
            for listener in &settings.listeners {
                outln!(
                    "  listens on {} {}, known to others as {}",
                    listener.transport.via_token(),
                    listener.bind,
                    listener.known_as()
                );
            }
            for named in &checked.named_servers {
                outln!("  servers found by the name {}, priority {}", named.written, named.priority);
            }
            for server in &settings.servers {
                let limit = |name: &str, max: Option<u32>| {
                    max.map_or_else(String::new, |max| format!(", {name} {max}"))
                };
                outln!(
                    "  server {} by {}, weight {}, priority {}{}{}",
                    server.address,
                    server.transport.via_token(),
                    server.weight,
                    server.priority,
                    limit("calls_max", server.calls_max),
                    limit("calls_per_second_max", server.calls_per_second_max)
                );
            }
            if let Some(tls) = &checked.process.tls {
                outln!("  certificate valid until {}", tls.last_day());
            }
            outln!(
                "  affinity {}, selection {}",
                config::word(settings.affinity),
                config::word(settings.selection)
            );
            let restart = checked.written_for_a_start();
            if !restart.is_empty() {
                outln!("  changed only by a restart: {}", restart.join(", "));
            }
            ExitCode::SUCCESS
        }
        Err(problems) => {
            err!("{problems}");
            ExitCode::from(config::EXIT_USAGE)
        }
    }
}
