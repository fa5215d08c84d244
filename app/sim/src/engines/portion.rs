//! A search that goes on for days, in portions: what was found so far, and the seed that comes next, as a text that a file keeps.

use std::fmt::Write;

use super::case::What;
use super::runs::Summary;

/// See the head of this module.
#[derive(Clone, Debug, Default)]
pub struct Portion {
    /// The first seed that no kind of run has had.
    pub next: u64,
    pub summary: Summary,
}

impl Portion {
    /// One line for each count, and one for each failed seed.
    pub fn text(&self) -> String {
        let mut text = format!("next {}\n", self.next);
        for (name, count) in names().into_iter().zip(counts(&mut self.summary.clone())) {
            _ = writeln!(text, "{name} {count}");
        }
        for (name, runs) in &self.summary.seen {
            _ = writeln!(text, "seen {runs} {name}");
        }
        for failed in &self.summary.failed {
            _ = writeln!(text, "failed {}", failed.replace("\n  ", " | "));
        }
        text
    }

    /// Reads [`Portion::text`]. The error is the line that means nothing.
    pub fn read(text: &str) -> Result<Portion, String> {
        let mut portion = Portion::default();
        for line in text.lines() {
            portion.line(line).ok_or(line)?;
        }
        Ok(portion)
    }

    fn line(&mut self, line: &str) -> Option<()> {
        let (name, value) = line.split_once(' ')?;
        match name {
            "next" => self.next = value.parse().ok()?,
            "seen" => {
                let (runs, fault) = value.split_once(' ')?;
                let name = What::NAMES.into_iter().find(|name| *name == fault)?;
                self.summary.seen.insert(name, runs.parse().ok()?);
            }
            "failed" => self.summary.failed.push(value.replace(" | ", "\n  ")),
            name => {
                let at = names().iter().position(|known| *known == name)?;
                *counts(&mut self.summary)[at] = value.parse().ok()?;
            }
        }
        Some(())
    }
}

fn names() -> [&'static str; 8] {
    ["runs", "calls", "answered", "deaths", "taken_over", "conflicts", "again", "given_up"]
}

/// In the order of [`names`].
fn counts(of: &mut Summary) -> [&mut u64; 8] {
    let Summary { runs, calls, answered, deaths, taken_over, conflicts, again, given_up, .. } = of;
    [runs, calls, answered, deaths, taken_over, conflicts, again, given_up]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_goes_on_where_it_ended() {
        let mut portion = Portion { next: 700, ..Portion::default() };
        for (number, count) in (1..).zip(counts(&mut portion.summary)) {
            *count = number;
        }
        portion.summary.seen.insert("engine dies", 5);
        portion.summary.failed.push("STROWGER_SEED=3 Affinity\n  rings twice".into());
        let read = Portion::read(&portion.text()).expect("its own text");
        assert_eq!(format!("{read:?}"), format!("{portion:?}"));
        assert_eq!(read.summary.given_up, 8);
        for wrong in ["next x", "seen 5 nothing", "what 3", "runs"] {
            assert_eq!(Portion::read(wrong).err().as_deref(), Some(wrong));
        }
    }
}
