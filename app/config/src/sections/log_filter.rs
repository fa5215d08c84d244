//! The filter of the log's lines: a level for all, and levels for modules, as `info,net=debug,lb::control=warn`.

/// The importance of a line. A filter lets through its level and all levels before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Level {
    const WORDS: [(&'static str, Level); 6] = [
        ("off", Level::Off),
        ("error", Level::Error),
        ("warn", Level::Warn),
        ("info", Level::Info),
        ("debug", Level::Debug),
        ("trace", Level::Trace),
    ];
}

/// Parts of a load manager that write lines. A filter with any other name has no effect, so it is refused. The text after `::`
/// is one of the part's modules.
const MODULES: [&str; 5] = ["lb", "net", "perf", "refused", "roles"];

/// Most parts of a filter; each line is compared with all of them.
const PARTS_MAX: usize = 64;

/// A checked filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter {
    /// The level of modules that no part names.
    pub level: Level,
    /// Module and level.
    pub modules: Vec<(String, Level)>,
}

impl Default for LogFilter {
    fn default() -> LogFilter {
        LogFilter { level: Level::Info, modules: Vec::new() }
    }
}

impl LogFilter {
    /// Reads a filter; the error is in words, with the remedy.
    pub fn parse(text: &str) -> Result<LogFilter, String> {
        let mut filter = LogFilter::default();
        if text.split(',').count() > PARTS_MAX {
            return Err(format!("a filter has at most {PARTS_MAX} parts"));
        }
        for part in text.split(',').map(str::trim) {
            match part.split_once('=') {
                None => filter.level = level(part)?,
                Some((module, word)) => {
                    let module = module.trim();
                    let first = module.split("::").next().unwrap_or_default();
                    if !MODULES.contains(&first) {
                        return Err(format!("`{first}` is no module; modules are {}", MODULES.join(", ")));
                    }
                    filter.modules.push((module.to_owned(), level(word.trim())?));
                }
            }
        }
        Ok(filter)
    }
}

fn level(word: &str) -> Result<Level, String> {
    let found = Level::WORDS.iter().find(|(known, _)| *known == word);
    found.map(|(_, level)| *level).ok_or_else(|| {
        let words: Vec<&str> = Level::WORDS.iter().map(|(word, _)| *word).collect();
        format!("`{word}` is no level; levels are {}", words.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_for_all_and_levels_for_modules() {
        let filter = LogFilter::parse("warn, net=debug,lb::control=off").unwrap();
        assert_eq!(filter.level, Level::Warn);
        let modules: Vec<_> =
            filter.modules.iter().map(|(module, level)| (module.as_str(), *level)).collect();
        assert_eq!(modules, [("net", Level::Debug), ("lb::control", Level::Off)]);
        assert_eq!(LogFilter::parse("net=trace").unwrap().level, Level::Info);
    }

    #[test]
    fn a_mistake_is_named_with_what_would_be_right() {
        for (text, said) in [
            ("loud", "`loud` is no level; levels are off, error, warn, info, debug, trace"),
            ("", "`` is no level"),
            ("info,nte=debug", "`nte` is no module; modules are lb, net"),
            ("net=", "`` is no level"),
            ("answer=debug", "`answer` is no module"),
            (&"net=info,".repeat(100), "at most 64 parts"),
        ] {
            let error = LogFilter::parse(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
