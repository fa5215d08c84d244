//! How a Redis or Valkey server of the state tier must be configured. One list gives the judgement of a server that runs and
//! the lines of a right file.

/// Who starts the server again when it has died. The appended file depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartedBy {
    /// Our agent: it promotes the replica first, and never starts a primary empty.
    Agent,
    /// Somebody else, who may start a primary again at once: without a file its calls are gone, and its replica copies the
    /// emptiness.
    Other,
}

/// What the server is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    pub cluster: bool,
    pub started_by: StartedBy,
    /// For the file: bytes of memory for records.
    pub memory_max_bytes: u64,
}

/// A line of the configuration that loses calls or holds them up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// As the server has it.
    pub line: String,
    pub why: &'static str,
    /// The line to write instead.
    pub remedy: String,
}

struct Rule {
    name: &'static str,
    wanted: Wanted,
    why: &'static str,
}

enum Wanted {
    Is(&'static str),
    /// A number that is not zero: the memory of the setup.
    Memory,
}

const fn rule(name: &'static str, value: &'static str, why: &'static str) -> Rule {
    Rule { name, wanted: Wanted::Is(value), why }
}

const ALWAYS: &[Rule] = &[
    rule("save", "", "a dump on disk brings old calls back to life"),
    rule("rdb-del-sync-files", "yes", "the dump that a replica was made from brings old calls back to life"),
    Rule {
        name: "maxmemory",
        wanted: Wanted::Memory,
        why: "without a bound the system kills the server; with one, new calls are refused early",
    },
    rule("maxmemory-policy", "noeviction", "any other policy throws away records of calls that are up"),
    rule("repl-diskless-sync", "yes", "a copy on disk delays the return of a replica"),
    rule("repl-diskless-sync-delay", "0", "a replica that returns waits before it gets its copy"),
    rule("min-replicas-to-write", "0", "a fixed number of replicas stops all calls after each failover"),
];

const IN_CLUSTER: &[Rule] = &[
    rule("cluster-enabled", "yes", "the engines expect a cluster"),
    rule("cluster-node-timeout", "1500", "calls wait for this time and more until a replica is promoted"),
    rule("cluster-require-full-coverage", "no", "the loss of one primary and its replica stops all calls"),
];

const BY_AGENT: &[Rule] =
    &[rule("appendonly", "no", "the agent promotes a replica instead, and each commit costs 8 µs more")];

const BY_OTHERS: &[Rule] = &[
    rule("appendonly", "yes", "a primary that is started again at once would be empty, and its calls lost"),
    rule("appendfsync", "everysec", "always waits for the disk at each commit; no may lose half a minute"),
];

impl Setup {
    fn rules(self) -> impl Iterator<Item = &'static Rule> {
        let cluster = if self.cluster { IN_CLUSTER } else { &[] };
        let appended = match self.started_by {
            StartedBy::Agent => BY_AGENT,
            StartedBy::Other => BY_OTHERS,
        };
        ALWAYS.iter().chain(cluster).chain(appended)
    }

    /// What is wrong. `value`: what the server says about one name (`CONFIG GET`); `None`: it does not know the name.
    pub fn judge<'a>(self, value: impl Fn(&str) -> Option<&'a str>) -> Vec<Wrong> {
        let wrong = |rule: &Rule| {
            let present = value(rule.name);
            let right = match rule.wanted {
                Wanted::Is(wanted) => present == Some(wanted),
                Wanted::Memory => {
                    present.and_then(|text| text.parse().ok()).is_some_and(|bytes: u64| bytes > 0)
                }
            };
            let line =
                present.map_or_else(|| format!("({} is not known)", rule.name), |text| line(rule.name, text));
            (!right).then(|| Wrong { line, why: rule.why, remedy: self.line(rule) })
        };
        self.rules().filter_map(wrong).collect()
    }

    /// The lines of a right file, each with its reason above it.
    pub fn file(self) -> String {
        self.rules().map(|rule| format!("# Why: {}.\n{}\n", rule.why, self.line(rule))).collect()
    }

    fn line(self, rule: &Rule) -> String {
        match rule.wanted {
            Wanted::Is(value) => line(rule.name, value),
            Wanted::Memory => line(rule.name, &self.memory_max_bytes.to_string()),
        }
    }
}

fn line(name: &str, value: &str) -> String {
    if value.is_empty() { format!("{name} \"\"") } else { format!("{name} {value}") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn setups() -> impl Iterator<Item = Setup> {
        let both = [StartedBy::Agent, StartedBy::Other];
        both.into_iter().flat_map(|started_by| {
            [false, true].map(|cluster| Setup { cluster, started_by, memory_max_bytes: 1 << 30 })
        })
    }

    fn read(file: &str) -> BTreeMap<&str, &str> {
        let lines = file.lines().filter(|line| !line.starts_with('#'));
        lines
            .filter_map(|line| line.split_once(' '))
            .map(|(name, value)| (name, value.trim_matches('"')))
            .collect()
    }

    #[test]
    fn the_file_that_is_written_is_right_and_each_line_of_it_matters() {
        for setup in setups() {
            let file = setup.file();
            let lines = read(&file);
            assert_eq!(setup.judge(|name| lines.get(name).copied()), []);
            for name in lines.keys() {
                let other = |asked: &str| if asked == *name { Some("0") } else { lines.get(asked).copied() };
                let missing = |asked: &str| if asked == *name { None } else { lines.get(asked).copied() };
                if !matches!(*name, "repl-diskless-sync-delay" | "min-replicas-to-write") {
                    assert_eq!(setup.judge(other).len(), 1, "{name}");
                }
                assert_eq!(setup.judge(missing).len(), 1, "{name}");
            }
        }
    }

    #[test]
    fn the_defaults_of_redis_are_wrong_in_these_lines() {
        let setup = Setup { cluster: true, started_by: StartedBy::Other, memory_max_bytes: 1 << 30 };
        let defaults = "save \"3600 1 300 100 60 10000\"\nrdb-del-sync-files no\nmaxmemory 0\n\
            maxmemory-policy noeviction\nrepl-diskless-sync yes\nrepl-diskless-sync-delay 5\n\
            min-replicas-to-write 0\ncluster-enabled no\ncluster-node-timeout 15000\n\
            cluster-require-full-coverage yes\nappendonly no\nappendfsync everysec\n";
        let lines = read(defaults);
        let wrong = setup.judge(|name| lines.get(name).copied());
        let remedies: Vec<&str> = wrong.iter().map(|wrong| wrong.remedy.as_str()).collect();
        assert_eq!(
            remedies,
            [
                "save \"\"",
                "rdb-del-sync-files yes",
                "maxmemory 1073741824",
                "repl-diskless-sync-delay 0",
                "cluster-enabled yes",
                "cluster-node-timeout 1500",
                "cluster-require-full-coverage no",
                "appendonly yes",
            ]
        );
        assert_eq!(wrong[0].line, "save 3600 1 300 100 60 10000");
    }
}
