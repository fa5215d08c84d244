//! What is said on a connection before anything else: who we are, which life of the node this is, and, on a reader, our
//! functions where they are missing.

use std::collections::VecDeque;

use base::Key;

use crate::functions::LIBRARY;
use crate::resp::{Value, write_words};

/// Who we are.
#[derive(Clone, Debug, Default)]
pub(super) struct Login {
    /// Without one, the password is that of the default user.
    pub user: Option<Box<str>>,
    pub password: Option<Key<String>>,
}

impl Login {
    /// The words that say so; none without a password.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> bool {
        let Some(password) = &self.password else { return false };
        match &self.user {
            Some(user) => write_words(&[b"AUTH", user.as_bytes(), password], out),
            None => write_words(&[b"AUTH", password], out),
        }
        true
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Login,
    Life,
    Functions,
}

/// The answers that are still missing.
#[derive(Debug)]
pub(super) struct Greeting {
    missing: VecDeque<Step>,
    life: u64,
}

impl Greeting {
    /// Writes all of it at once.
    pub(super) fn write(login: &Login, with_functions: bool, out: &mut Vec<u8>) -> Greeting {
        let mut missing = VecDeque::new();
        if login.write(out) {
            missing.push_back(Step::Login);
        }
        write_words(&[b"INFO", b"server"], out);
        missing.push_back(Step::Life);
        if with_functions {
            // Without REPLACE: an engine of an older build that comes back must not take the newer functions away.
            write_words(&[b"FUNCTION", b"LOAD", LIBRARY.as_bytes()], out);
            missing.push_back(Step::Functions);
        }
        Greeting { missing, life: 0 }
    }

    /// Takes the next answer. The life of the node when all have come; an error where the node does not let us in.
    pub(super) fn heard(&mut self, value: &Value) -> Result<Option<u64>, Box<str>> {
        match (self.missing.pop_front(), value) {
            (Some(Step::Login), Value::Error(text)) => return Err(text.clone()),
            // Says NOAUTH where a password is wanted.
            (Some(Step::Life), Value::Error(text)) if text.starts_with("NO") => return Err(text.clone()),
            (Some(Step::Life), Value::Bytes(text)) => self.life = life(text),
            // They are there already, or the node is a replica, or it needs none.
            (Some(Step::Functions | Step::Life | Step::Login) | None, _) => {}
        }
        Ok(self.missing.is_empty().then_some(self.life))
    }
}

/// The first digits of the id that a server draws at its start; 0: it names none.
fn life(info: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(info);
    let id = text.lines().find_map(|line| line.trim().strip_prefix("run_id:"));
    id.and_then(|id| u64::from_str_radix(id.get(..16)?, 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Value {
        Value::Bytes(text.as_bytes().into())
    }

    #[test]
    fn a_password_is_said_first_and_a_refusal_ends_it() {
        let login = Login { user: Some("engine".into()), password: Some("secret".to_owned().into()) };
        let mut out = Vec::new();
        let mut greeting = Greeting::write(&login, true, &mut out);
        assert!(out.starts_with(b"*3\r\n$4\r\nAUTH\r\n$6\r\nengine\r\n$6\r\nsecret\r\n*2\r\n$4\r\nINFO"));
        assert_eq!(greeting.heard(&Value::Status("OK".into())), Ok(None));
        let info = "# Server\r\nrun_id:00000000000000ff0000000000000000000000aa\r\n";
        assert_eq!(greeting.heard(&bytes(info)), Ok(None));
        let there = Value::Error("ERR Library 'strowger' already exists".into());
        assert_eq!(greeting.heard(&there), Ok(Some(255)));
        let mut greeting = Greeting::write(&login, false, &mut out);
        assert!(greeting.heard(&Value::Error("WRONGPASS invalid".into())).is_err());
    }

    #[test]
    fn without_a_password_a_node_that_wants_one_says_so() {
        let mut greeting = Greeting::write(&Login::default(), false, &mut Vec::new());
        assert!(greeting.heard(&Value::Error("NOAUTH Authentication required.".into())).is_err());
        let mut greeting = Greeting::write(&Login::default(), false, &mut Vec::new());
        assert_eq!(greeting.heard(&bytes("redis_version:7.0.15")), Ok(Some(0)));
    }
}
