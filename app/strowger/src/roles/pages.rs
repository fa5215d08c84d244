//! Writes manual pages and completions for shells from the definitions of the command line, for those who make packages. So they
//! tell of the very program that writes them.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

const EXAMPLES: &str = "\
Examples:
  strowger pages target/pages && man target/pages/man/strowger-lb.1
";

/// The shells, and the file that each looks for.
const SHELLS: [(Shell, &str); 3] = [
    (Shell::Bash, "completions/strowger.bash"),
    (Shell::Zsh, "completions/_strowger"),
    (Shell::Fish, "completions/strowger.fish"),
];

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The folder; it gets the folders `man` and `completions`
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// `command` is the whole command line of the program.
pub(crate) fn run(args: &Args, command: Command) -> ExitCode {
    match write(&args.folder, command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            errln!(
                "error: {}: {error}\n  remedy: name a folder that this user may write",
                args.folder.display()
            );
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path, command: Command) -> io::Result<()> {
    for name in ["man", "completions"] {
        fs::create_dir_all(folder.join(name))?;
    }
    for (shell, file) in SHELLS {
        let mut file = fs::File::create(folder.join(file))?;
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command.clone(), "strowger", &mut script);
        file.write_all(&script)?;
    }
    // No page for `help`: `man` has its task.
    let mut command = command.disable_help_subcommand(true);
    command.build();
    write_manual(&command, &folder.join("man"))
}

/// A page for the command, and one for each of its verbs.
fn write_manual(command: &Command, folder: &Path) -> io::Result<()> {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        write_manual(verb, folder)?;
    }
    let page = Man::new(command.clone()).manual("Strowger").source("Strowger");
    fs::write(folder.join(page.get_filename()), text(command, &page)?)
}

/// The sections that the library makes, and the examples line by line: it would run them together as one paragraph.
fn text(command: &Command, page: &Man) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    if command.has_subcommands() {
        page.render_subcommands_section(&mut text)?;
    }
    if let Some(examples) = command.get_after_help() {
        let examples = examples.to_string();
        writeln!(text, ".SH EXAMPLES\n.nf")?;
        for line in examples.trim().trim_start_matches("Examples:").trim_start_matches('\n').lines() {
            writeln!(text, "{}", escaped(line))?;
        }
        writeln!(text, ".fi")?;
    }
    Ok(text)
}

/// A line of text for roff(7): nothing in it is a request or a hyphen.
fn escaped(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-");
    // A full stop or an apostrophe at the beginning of a line would begin a request.
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
}

#[cfg(test)]
mod tests {
    use clap::Subcommand as _;

    use super::*;
    use crate::roles::Role;

    fn whole() -> Command {
        Role::augment_subcommands(Command::new("strowger"))
    }

    fn pages(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("strowger-pages-{}-{name}", std::process::id()));
        write(&folder, whole()).unwrap();
        folder
    }

    #[test]
    fn every_verb_has_a_page_with_its_options_and_examples() {
        let folder = pages("man");
        let read = |name: &str| fs::read_to_string(folder.join("man").join(name));
        for verb in whole().get_subcommands() {
            let page = read(&format!("strowger-{}.1", verb.get_name()));
            assert_eq!(page.is_ok(), !verb.is_hide_set(), "{}", verb.get_name());
        }
        let page = read("strowger-lb.1").unwrap();
        assert!(page.contains(".TH strowger-lb 1"), "{page}");
        assert!(page.contains("\\-\\-listen"), "{page}");
        // An example is one line, as it is typed.
        assert!(
            page.contains(
                "\n    strowger lb \\-\\-listen udp:127.0.0.1:5060 \\-\\-server 127.0.0.1:7000 \\-\\-server 127.0.0.1:7001\n"
            ),
            "{page}"
        );
        assert!(read("strowger-ctl-drain.1").is_ok());
        assert!(read("strowger.1").unwrap().contains("strowger\\-lb(1)"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn each_shell_completes_verbs_and_options() {
        let folder = pages("shells");
        for (_, file) in SHELLS {
            let script = fs::read_to_string(folder.join(file)).unwrap();
            for word in ["status", "heartbeat", "redis-conf"] {
                assert!(script.contains(word), "{file} lacks {word}");
            }
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_line_stays_text() {
        assert_eq!(escaped(".so a\\-b"), "\\&.so a\\e\\-b");
        assert_eq!(escaped("'x"), "\\&'x");
        assert_eq!(escaped("  . x"), "  . x");
    }
}
