//! One command to one server, for those who set servers up. It waits for the answer, so it is nothing for a worker's thread.

use std::io;

use super::call::Call;
use super::greeting::Login;
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
