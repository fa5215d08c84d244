//! The results of a run: a Markdown table on the screen and in a file, and every sample as tab-separated values.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::PathBuf;

/// The folder of results, relative to the directory in which the bench is started (the repository); git ignores it.
const DIRECTORY: &str = "bench/results";
/// The document that shows the results.
const DOCUMENT: &str = "docs/performance.md";

/// A table with a heading, printed and kept in a file.
#[derive(Debug)]
pub(crate) struct Report {
    name: &'static str,
    text: String,
    samples: String,
}

impl Report {
    /// Begins with the machine and the command: without them a figure says little.
    pub(crate) fn new(name: &'static str, title: &str) -> Report {
        let mut report = Report { name, text: String::new(), samples: String::new() };
        report.line(&format!("## {title}\n"));
        let command: Vec<String> = std::env::args().skip(1).collect();
        report.line(&format!("`strowger-bench {}` on {}\n", command.join(" "), machine()));
        report
    }

    pub(crate) fn line(&mut self, text: &str) {
        println!("{text}");
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// The first row of a table; the first column is text, the others are figures.
    pub(crate) fn header(&mut self, columns: &[&str]) {
        self.line(&format!("| {} |", columns.join(" | ")));
        self.line(&format!("|---|{}", "---:|".repeat(columns.len() - 1)));
    }

    pub(crate) fn row(&mut self, cells: &[String]) {
        self.line(&format!("| {} |", cells.join(" | ")));
    }

    /// One line of the file of samples; the first line has the names.
    pub(crate) fn sample(&mut self, cells: &[String]) {
        let _ = writeln!(self.samples, "{}", cells.join("\t"));
    }

    /// Writes `bench/results/NAME.md` and `NAME.tsv`.
    pub(crate) fn save(&self) -> io::Result<()> {
        let directory = PathBuf::from(DIRECTORY);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(format!("{}.md", self.name)), &self.text)?;
        if !self.samples.is_empty() {
            fs::write(directory.join(format!("{}.tsv", self.name)), &self.samples)?;
        }
        Ok(())
    }
}

/// Puts the existing reports into the document, each between `<!-- figures: NAME -->` and `<!-- end -->`.
pub(crate) fn publish() -> io::Result<()> {
    let document = fs::read_to_string(DOCUMENT)?;
    fs::write(DOCUMENT, filled(&document, |name| fs::read_to_string(format!("{DIRECTORY}/{name}.md")).ok()))
}

/// The document with the result of `report` for each name; a place without a report stays as it is.
fn filled(document: &str, report: impl Fn(&str) -> Option<String>) -> String {
    const BEGIN: &str = "<!-- figures: ";
    const CLOSE: &str = " -->\n";
    const END: &str = "<!-- end -->";
    let (mut out, mut rest) = (String::new(), document);
    while let Some(at) = rest.find(BEGIN) {
        let behind = at + BEGIN.len();
        let Some(close) = rest[behind..].find(CLOSE) else { break };
        let body = behind + close + CLOSE.len();
        let Some(end) = rest[body..].find(END) else { break };
        out.push_str(&rest[..body]);
        match report(&rest[behind..behind + close]) {
            // The document has its own heading.
            Some(text) => {
                let text = text.split_once('\n').map_or("", |(_, rest)| rest).trim();
                out.push_str(text);
                out.push('\n');
            }
            None => out.push_str(&rest[body..body + end]),
        }
        rest = &rest[body + end..];
    }
    out.push_str(rest);
    out
}

fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("?", |pair| pair.1);
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{model}, {cores} cores, Linux {}", kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_go_to_their_places() {
        let document =
            "a\n<!-- figures: one -->\nold\n<!-- end -->\nb\n<!-- figures: two -->\nkept\n<!-- end -->\n";
        let report = |name: &str| (name == "one").then(|| "## heading\n\nnew\n".to_string());
        let expected = document.replace("old", "new");
        assert_eq!(filled(document, report), expected);
        assert_eq!(filled(&expected, report), expected);
    }
}
