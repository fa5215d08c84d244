//! Whether a Redis or Valkey server that runs is right for records of calls.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

use state::configuration::{Setup, StartedBy, Wrong};

use super::call::Call;
use super::settings::Settings;
use crate::resp::Value;

/// What a server says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// As `redis 7.0.15`.
    pub server: String,
    pub cluster: bool,
    /// Lines to change.
    pub wrong: Vec<Wrong>,
}

const STRANGE: &str = "this is no Redis or Valkey server";

/// The release of Redis from which on a server has functions; Valkey began with 7.2.
const FUNCTIONS_SINCE: u32 = 7;

/// Asks the first of the nodes that is there for its configuration, and judges it.
///
/// # Errors
///
/// There is no answer, it is none of a Redis server, or the server refuses to tell (`PermissionDenied`): this user needs
/// the commands `INFO` and `CONFIG GET`.
pub fn check(settings: &Settings, started_by: StartedBy) -> io::Result<Checked> {
    let (login, mut failed) = (settings.login(), io::Error::from(ErrorKind::NotFound));
    for address in settings.addresses()? {
        match Call::connect(&address, &login) {
            Ok(mut call) => return judge(&mut call, started_by),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn judge(call: &mut Call, started_by: StartedBy) -> io::Result<Checked> {
    let value = call.call(&[b"INFO", b"server"])?;
    let info = text(value).map_err(|(kind, text)| call.error(kind, &text))?;
    let line = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_prefix(':'));
    let valkey = line("valkey_version").map(|version| ("valkey", version));
    let Some((name, version)) = valkey.or_else(|| Some(("redis", line("redis_version")?))) else {
        return Err(call.error(ErrorKind::InvalidData, STRANGE));
    };
    let release = version.split('.').next().and_then(|number| number.parse::<u32>().ok()).unwrap_or(0);
    let value = call.call(&[b"CONFIG", b"GET", b"*"])?;
    let lines = lines(value).map_err(|(kind, text)| call.error(kind, &text))?;
    let value = |name: &str| lines.get(name).map(String::as_str);
    let cluster = value("cluster-enabled") == Some("yes");
    // The size is for a file; here only whether there is one matters.
    let setup = Setup { cluster, started_by, memory_max_bytes: 1 << 30 };
    let mut wrong = setup.judge(value);
    if release < FUNCTIONS_SINCE {
        wrong.push(Wrong {
            line: format!("(release {version})"),
            why: "the store works by functions, which older releases do not have",
            remedy: "Redis 7.0, or Valkey".into(),
        });
    }
    Ok(Checked { server: format!("{name} {version}"), cluster, wrong })
}

type Refused = (ErrorKind, Box<str>);

fn text(value: Value) -> Result<String, Refused> {
    match value {
        Value::Bytes(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        other => Err(refused(other)),
    }
}

/// The configuration, by names.
fn lines(value: Value) -> Result<BTreeMap<String, String>, Refused> {
    let Value::Array(values) = value else { return Err(refused(value)) };
    let mut words = values.into_iter().map(text);
    let mut lines = BTreeMap::new();
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        lines.insert(name?, value?);
    }
    Ok(lines)
}

fn refused(value: Value) -> Refused {
    match value {
        Value::Error(why) => (ErrorKind::PermissionDenied, why),
        _ => (ErrorKind::InvalidData, STRANGE.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Redis;
    use crate::link::Address;

    fn at(address: Address) -> Settings {
        Settings { nodes: vec![address], ..Settings::default() }
    }

    /// What is wrong with a server whose file has these lines.
    fn wrong(lines: &str, started_by: StartedBy) -> Vec<String> {
        let redis = Redis::with_file(lines);
        let checked = check(&at(redis.address()), started_by).expect("an answer");
        assert!(checked.server.starts_with("redis ") || checked.server.starts_with("valkey "));
        checked.wrong.into_iter().map(|wrong| wrong.remedy).collect()
    }

    #[test]
    fn a_server_with_the_file_that_we_write_is_right() {
        for started_by in [StartedBy::Agent, StartedBy::Other] {
            let setup = Setup { cluster: false, started_by, memory_max_bytes: 1 << 28 };
            assert_eq!(wrong(&setup.file(), started_by), [""; 0], "{started_by:?}");
        }
    }

    #[test]
    fn each_wrong_line_of_a_server_is_named() {
        let setup = Setup { cluster: false, started_by: StartedBy::Agent, memory_max_bytes: 1 << 28 };
        let lines = setup.file() + "save 60 1\nmaxmemory-policy allkeys-lru\n";
        let expected = ["save \"\"", "maxmemory-policy noeviction"];
        assert_eq!(wrong(&lines, StartedBy::Agent), expected);
        assert_eq!(wrong("", StartedBy::Other).len(), 5);
    }

    #[test]
    fn a_server_with_users_tells_those_that_may_ask() {
        let lines =
            "user default off\nuser tool on >secret ~* +info +config|get\nuser other on >secret +info\n";
        let redis = Redis::without_functions(lines);
        let ask = |user: &str, password: &str| {
            let (user, password) = (Some(user.into()), Some(password.to_owned().into()));
            check(&Settings { user, password, ..at(redis.address()) }, StartedBy::Agent)
        };
        for (user, password, why) in [("tool", "wrong", "WRONGPASS"), ("other", "secret", "config")] {
            let refused = ask(user, password).expect_err("no permission");
            assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
            assert!(refused.to_string().contains(why), "{refused}");
        }
        assert!(!ask("tool", "secret").expect("an answer").wrong.is_empty());
    }

    #[test]
    fn a_server_that_is_none_of_redis_is_told_from_one() {
        let server = crate::server::tests::Running::start(|_, _| ());
        let error = check(&at(Address::Unix(server.path.clone())), StartedBy::Agent).expect_err("no Redis");
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }
}
