//! A word with one server before there are links: for those who set servers up, or start what needs them. Both functions wait, so
//! they are nothing for a worker's thread.

use std::io;

use super::call::Call;
use super::greeting::Login;
use super::settings::Settings;
use super::start::explained;
use crate::resp::Value;

/// `address`: `host:port`, or `unix:/path`.
///
/// # Errors
///
/// Nobody answers within two seconds, or the answer is an error.
pub fn say(address: &str, words: &[&str]) -> io::Result<Value> {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    Call::connect(address, &Login::default())?.value(&words)
}

/// Whether any of the nodes is there, and lets this user in.
///
/// # Errors
///
/// None answers within two seconds; the error is that of the last one.
pub fn reach(settings: &Settings) -> io::Result<()> {
    let (login, mut failed) = (settings.login(), io::Error::from(io::ErrorKind::NotFound));
    for address in settings.addresses()? {
        match Call::connect(&address, &login) {
            Ok(_) => return Ok(()),
            Err(error) => failed = error,
        }
    }
    Err(explained(&failed))
}
