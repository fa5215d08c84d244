//! Tells a running load manager what to do, over its control socket. The command line is made from the verbs.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value};

use crate::ctl::socket;
use crate::ctl::{Arguments, Outcome, Parameter, ParameterKind, ParameterPlace, VERBS, Verb};

const EXAMPLES: &str = "\
Examples:
  strowger ctl status
  strowger ctl drain 10.0.0.11:5060 --wait && strowger ctl remove 10.0.0.11:5060
  strowger ctl add 10.0.0.13:5060 --weight 2
  strowger ctl policy tlwl
  strowger ctl reload --dry-run

Exit status: 0 done, 1 no load manager answered, 2 no such server, 3 not in the present state, \
4 not possible while running, 5 busy, 64 a bad command line. See docs/ctl.md.
";

/// A verb and its arguments.
#[derive(Debug)]
pub(crate) struct Args {
    verb: &'static str,
    /// An error in the verb or its arguments.
    given: Result<Map<String, Value>, crate::ctl::Refused>,
    control: Option<PathBuf>,
    json: bool,
}

impl clap::Args for Args {
    fn augment_args(command: Command) -> Command {
        VERBS.iter().fold(
            command
                .subcommand_required(true)
                .arg_required_else_help(true)
                .disable_help_subcommand(true)
                .subcommand_value_name("VERB")
                .subcommand_help_heading("Verbs")
                .after_help(EXAMPLES)
                .arg(
                    Arg::new("control")
                        .long("control")
                        .value_name("PATH")
                        .value_parser(clap::value_parser!(PathBuf))
                        .global(true)
                        .help(config::help("control.path")),
                )
                .arg(
                    Arg::new("json")
                        .long("json")
                        .action(ArgAction::SetTrue)
                        .global(true)
                        .help("The answer as a JSON object, for scripts"),
                ),
            |command, verb| command.subcommand(subcommand(verb)),
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn subcommand(verb: &'static Verb) -> Command {
    let command = Command::new(verb.name).about(verb.about);
    verb.parameters.iter().fold(command, |command, parameter| {
        let arg = Arg::new(parameter.name).help(parameter.help);
        let stands_alone = parameter.place == ParameterPlace::Path || parameter.required;
        let arg = if stands_alone { arg.required(parameter.required) } else { arg.long(parameter.name) };
        command.arg(match parameter.kind {
            ParameterKind::Flag => arg.action(ArgAction::SetTrue),
            ParameterKind::Server => arg.value_name("ADDRESS:PORT"),
            ParameterKind::Text => arg.value_name("TEXT"),
            ParameterKind::Number(..) | ParameterKind::NumberOf(_) => arg.value_name("N"),
        })
    })
}

impl clap::FromArgMatches for Args {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Args, clap::Error> {
        let wrong = |text: String| clap::Error::raw(clap::error::ErrorKind::ValueValidation, text + "\n");
        let Some((name, matches)) = matches.subcommand() else {
            return Err(wrong("no verb was given".into()));
        };
        let Some(verb) = crate::ctl::verb(name) else {
            return Err(wrong(format!("there is no verb `{name}`")));
        };
        let values = verb.parameters.iter().filter_map(|parameter| {
            let value = value_of(parameter, matches).transpose()?;
            Some(value.map(|value| (parameter.name.to_owned(), value)))
        });
        let given = values.collect();
        Ok(Args {
            verb: verb.name,
            given,
            control: matches.get_one("control").cloned(),
            json: matches.get_flag("json"),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Args::from_arg_matches(matches)?;
        Ok(())
    }
}

fn value_of(parameter: &Parameter, matches: &ArgMatches) -> Result<Option<Value>, crate::ctl::Refused> {
    match parameter.kind {
        ParameterKind::Flag => Ok(matches.get_flag(parameter.name).then_some(Value::Bool(true))),
        ParameterKind::Server
        | ParameterKind::Text
        | ParameterKind::Number(..)
        | ParameterKind::NumberOf(_) => {
            matches.get_one::<String>(parameter.name).map(|text| parameter.value_of(text)).transpose()
        }
    }
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let path = args.control.clone().unwrap_or_else(config::control_path_to_ask);
    let mut unreachable = false;
    let mut ask = |verb: &str, given: Map<String, Value>| {
        socket::ask_verb(&path, verb, given).unwrap_or_else(|error| {
            unreachable = true;
            let what = format!("{}: {error}", path.display());
            Err(crate::ctl::Refused::bad(what, socket::remedy(&error)))
        })
    };
    let outcome = carry_out(args, &mut ask);
    match outcome {
        Ok(answer) if args.json => outln!("{:#}", answer.document),
        Ok(answer) => outln!("{}", answer.text.trim_end()),
        Err(refused) => {
            errln!("{refused}");
            return ExitCode::from(if unreachable { 1 } else { refused.why.exit() });
        }
    }
    ExitCode::SUCCESS
}

fn carry_out(args: &Args, ask: &mut dyn FnMut(&str, Map<String, Value>) -> Outcome) -> Outcome {
    let verb = crate::ctl::verb(args.verb).ok_or_else(|| crate::ctl::Refused::bad("no such verb", ""))?;
    let given = args.given.clone()?;
    let arguments = Arguments::read(verb, given.clone())?;
    let remote = |name: &str| {
        verb.parameters
            .iter()
            .all(|parameter| parameter.name != name || parameter.place != ParameterPlace::CommandLine)
    };
    let asked = given.iter().filter(|(name, _)| remote(name));
    let answer = ask(verb.name, asked.map(|(name, value)| (name.clone(), value.clone())).collect())?;
    match verb.follow {
        Some(follow) => follow(ask, answer, &arguments),
        None => Ok(answer),
    }
}
