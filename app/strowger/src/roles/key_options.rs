//! Options that each set one key of the configuration, as clap takes them: their names come from the configuration, their help
//! from the definition of the key.

use clap::{Arg, ArgMatches, Command};
use config::{Given, KeyOption, help};

/// Options of one role. They join the group `short`; what stands beside them must join it by name too.
pub(super) trait List {
    const OPTIONS: &'static [KeyOption];
}

/// What was given of them.
#[derive(Debug)]
pub(super) struct KeyOptions<L> {
    pub(super) given: Given,
    of: std::marker::PhantomData<L>,
}

impl<L: List> clap::FromArgMatches for KeyOptions<L> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = L::OPTIONS
            .iter()
            .filter_map(|option| Some((*option, matches.get_one::<String>(option.name)?.clone())))
            .collect();
        Ok(KeyOptions { given, of: std::marker::PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<L: List> clap::Args for KeyOptions<L> {
    fn augment_args(command: Command) -> Command {
        L::OPTIONS.iter().fold(command, |command, option| {
            let arg = Arg::new(option.name).long(option.name).value_name(option.value_name);
            command.arg(arg.help(help(option.key)).group("short"))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
