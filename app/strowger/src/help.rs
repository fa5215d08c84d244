//! The first page of help: every verb stands in one group, with the line that its own help begins with. The library that reads
//! command lines lists verbs without groups; so the page is a template made from its list.

use clap::Command;

/// A new verb gets a place here.
const GROUPS: [(&str, &[&str]); 4] = [
    ("Run a part of a farm, or all of it", &["lb", "engine", "state", "agent", "perf", "answer", "run"]),
    ("Look at what runs", &["status", "top", "calls", "call", "why"]),
    ("Change something, or prepare it", &["ctl", "check", "import", "key"]),
    ("Try it", &["demo"]),
];

const EXAMPLE: &str = "\
A first load manager, in front of two servers:
  strowger lb --listen udp:127.0.0.1:5060 --server 127.0.0.1:7000 --server 127.0.0.1:7001

`strowger VERB --help` shows the options and examples of a verb.
";

/// The command line with this page as its help.
pub(crate) fn grouped(command: Command) -> Command {
    let page = page(&command);
    command.subcommand_value_name("VERB").help_template(page)
}

fn page(command: &Command) -> String {
    let mut page = "{about-with-newline}\n{usage-heading} {usage}\n".to_owned();
    let width = command.get_subcommands().map(|verb| verb.get_name().len()).max().unwrap_or_default();
    for (title, names) in GROUPS {
        page.push_str(&format!("\n{title}:\n"));
        let named = |name: &&str| command.find_subcommand(name);
        for verb in names.iter().filter_map(named) {
            let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            page.push_str(&format!("  {:width$}  {about}\n", verb.get_name()));
        }
    }
    page.push_str("\nOptions:\n{options}\n\n");
    page.push_str(EXAMPLE);
    page
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::CommandLine;

    #[test]
    fn every_verb_is_in_one_group() {
        let command = CommandLine::command();
        for verb in command.get_subcommands() {
            let places = GROUPS.iter().flat_map(|(_, names)| *names).filter(|name| **name == verb.get_name());
            assert_eq!(places.count(), usize::from(!verb.is_hide_set()), "{}", verb.get_name());
        }
        for name in GROUPS.iter().flat_map(|(_, names)| *names) {
            assert!(command.find_subcommand(name).is_some(), "there is no verb {name}");
        }
    }

    #[test]
    fn the_page_has_each_verb_on_a_line_of_its_own() {
        let page = grouped(CommandLine::command()).render_help().to_string();
        for verb in CommandLine::command().get_subcommands().filter(|verb| !verb.is_hide_set()) {
            let begins = format!("  {} ", verb.get_name());
            let lines: Vec<&str> = page.lines().filter(|line| line.starts_with(&begins)).collect();
            let [line] = lines[..] else {
                panic!("{} is there {} times:\n{page}", verb.get_name(), lines.len())
            };
            let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(line.ends_with(&about) && !about.is_empty(), "{line}");
        }
        // A template is not wrapped, and its words in braces are replaced.
        for line in page.lines() {
            assert!(line.chars().count() <= 100 && !line.contains(['{', '}']), "{line}");
        }
        assert!(page.contains("--version"), "{page}");
    }
}
