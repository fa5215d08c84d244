//! The operator's log: lines on standard error, as text or as JSON (`log.format`); or fields in the journal, if systemd
//! connected standard error with the journal. Crates write lines by `tracing`; [`filter_by`] chooses which lines are
//! written. Credentials never come here: a line names the source, the method and the Call-ID, not the message.

use std::fmt::{self, Write as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::SystemTime;

use config::{Level, LogFilter, LogFormat};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::{Registry, reload};

/// Crates whose names in targets differ from the names that people write.
const CRATES: [&str; 4] = ["agent", "net", "perf", "state_redis"];

static JSON: AtomicBool = AtomicBool::new(false);
static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Begins the log, once in a process.
pub(crate) fn start(format: LogFormat, filter: &LogFilter) {
    write_as(format);
    let (targets, handle) = reload::Layer::new(targets(filter));
    let begun = match journal() {
        Some(journal) => tracing::subscriber::set_global_default(
            tracing_subscriber::registry().with(journal.with_filter(targets)),
        ),
        None => tracing::subscriber::set_global_default(
            tracing_subscriber::registry().with(Lines.with_filter(targets)),
        ),
    };
    if begun.is_ok() {
        let _ = FILTER.set(handle);
    }
}

/// Begins the log of a role that has no configuration for it.
pub(crate) fn start_plainly() {
    start(LogFormat::Text, &LogFilter::default());
}

/// Sets the form of lines on standard error from now on.
pub(crate) fn write_as(format: LogFormat) {
    JSON.store(format == LogFormat::Json, Relaxed);
}

/// Sets which lines are written from now on.
pub(crate) fn filter_by(filter: &LogFilter) {
    if let Some(handle) = FILTER.get() {
        // This fails only if the log has ended with the process.
        let _ = handle.reload(targets(filter));
    }
}

fn targets(filter: &LogFilter) -> Targets {
    let modules = filter.modules.iter().map(|(module, level)| (target(module), level_filter(*level)));
    // Of libraries, only warnings are written.
    Targets::new()
        .with_default(level_filter(filter.level).min(LevelFilter::WARN))
        .with_target("strowger", level_filter(filter.level))
        .with_targets(modules)
}

/// The target of a module: `net::tls` is `strowger_net::tls`, `lb::control` is `strowger::lb::control`.
fn target(module: &str) -> String {
    let first = module.split("::").next().unwrap_or_default();
    if CRATES.contains(&first) { format!("strowger_{module}") } else { format!("strowger::{module}") }
}

/// The name that people write: the reverse of [`target`].
fn module(target: &str) -> &str {
    target.strip_prefix("strowger::").or_else(|| target.strip_prefix("strowger_")).unwrap_or(target)
}

fn level_filter(level: Level) -> LevelFilter {
    match level {
        Level::Off => LevelFilter::OFF,
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    }
}

/// The journal, if standard error leads to it: systemd tells the file by device and inode.
fn journal() -> Option<tracing_journald::Layer> {
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::MetadataExt as _;
    let said = std::env::var("JOURNAL_STREAM").ok()?;
    let stderr = std::fs::File::from(std::io::stderr().as_fd().try_clone_to_owned().ok()?);
    let file = stderr.metadata().ok()?;
    (said == format!("{}:{}", file.dev(), file.ino())).then(tracing_journald::layer)?.ok()
}

/// Writes one line for each event.
struct Lines;

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        let (level, target) = (event.metadata().level().as_str(), module(event.metadata().target()));
        let now = SystemTime::now();
        let json = JSON.load(Relaxed);
        let line = if json { said.json(now, level, target) } else { said.text(now, level, target) };
        os::log::write(&line);
    }
}

/// The message of an event, and its fields.
#[derive(Default)]
struct Said {
    message: String,
    fields: Map<String, Value>,
}

impl Said {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(message)) => self.message = message,
            (name, value) => _ = self.fields.insert(name.to_owned(), value),
        }
    }

    /// `2026-11-20T10:56:25.042Z INFO lb: server 10.0.0.1:5060 joins`, and then the fields.
    fn text(&self, now: SystemTime, level: &str, module: &str) -> String {
        let mut line = format!("{} {level} {module}: {}", fcaps::rfc3339(now), self.message);
        for (name, value) in &self.fields {
            let _ = match value {
                Value::String(text) if !text.contains(|c: char| c.is_whitespace() || c.is_control()) => {
                    write!(line, " {name}={text}")
                }
                value => write!(line, " {name}={value}"),
            };
        }
        line.push('\n');
        line
    }

    fn json(&self, now: SystemTime, level: &str, module: &str) -> String {
        let mut line = serde_json::json!({
            "time": fcaps::rfc3339(now),
            "log": "operation",
            "level": level.to_ascii_lowercase(),
            "module": module,
            "message": self.message,
        });
        if let Value::Object(object) = &mut line {
            for (name, value) in &self.fields {
                object.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        format!("{line}\n")
    }
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn said() -> Said {
        let fields =
            [("call_id", Value::from("a b\"c")), ("source", "192.0.2.7:5060".into()), ("status", 400.into())];
        Said {
            message: "refused".into(),
            fields: fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        }
    }

    #[test]
    fn a_line_in_words_has_date_level_module_and_fields() {
        let now = UNIX_EPOCH + Duration::from_millis(1_795_172_185_042);
        assert_eq!(
            said().text(now, "INFO", "refused"),
            "2026-11-20T10:56:25.042Z INFO refused: refused call_id=\"a b\\\"c\" source=192.0.2.7:5060 status=400\n"
        );
    }

    #[test]
    fn a_line_as_an_object_stays_one_line() {
        let now = UNIX_EPOCH + Duration::from_millis(1_795_172_185_042);
        let line = Said { message: "a\n\"b\"".into(), ..said() }.json(now, "WARN", "net::tls");
        assert_eq!(line.matches('\n').count(), 1);
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["time"], "2026-11-20T10:56:25.042Z");
        assert_eq!((&line["log"], &line["message"]), (&"operation".into(), &"a\n\"b\"".into()));
        assert_eq!((&line["level"], &line["module"]), (&"warn".into(), &"net::tls".into()));
        assert_eq!((&line["status"], &line["source"]), (&400.into(), &"192.0.2.7:5060".into()));
    }

    #[test]
    fn modules_are_named_as_people_write_them() {
        for name in ["net::tls", "agent", "lb::control", "refused"] {
            assert_eq!(module(&target(name)), name);
        }
        assert_eq!(target("net"), "strowger_net");
        assert_eq!(target("lb::control"), "strowger::lb::control");
    }

    #[test]
    fn a_filter_lets_through_its_level_and_those_of_modules() {
        let targets = targets(&LogFilter::parse("warn,net=debug").unwrap());
        let passes = |target, level| targets.would_enable(target, &level);
        assert!(passes("strowger_net::tls", tracing::Level::DEBUG));
        assert!(!passes("strowger_net::tls", tracing::Level::TRACE));
        assert!(passes("strowger::lb", tracing::Level::WARN));
        assert!(!passes("strowger::lb", tracing::Level::INFO));
        assert!(!passes("hyper", tracing::Level::INFO));
    }
}
