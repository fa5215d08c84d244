//! Passwords that lie in files.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// The first line of a file. The error says which file, and why.
pub(crate) fn of_file(path: &Path) -> Result<String, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("the password file {}: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
    if std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0) {
        errln!("warning: others can read the password file {0}\n  remedy: chmod 600 {0}", path.display());
    }
    let line = text.lines().next().filter(|line| !line.is_empty());
    line.map(str::to_owned).ok_or_else(|| wrong(&"its first line is empty"))
}

/// The variable with the password of the state tier, if there is no file of it.
const VARIABLE: &str = "STROWGER_STATE_PASSWORD";

/// The password at a server of the state tier; none: nobody logs in. A user needs one.
pub(crate) fn of_state_tier(file: Option<&Path>, has_user: bool) -> Result<Option<String>, String> {
    let password = match file {
        Some(path) => Some(of_file(path)?),
        None => std::env::var(VARIABLE).ok(),
    };
    if has_user && password.is_none() {
        let remedy = format!("add --password-file FILE, or set the variable {VARIABLE}");
        return Err(format!("--user needs a password\n  remedy: {remedy}"));
    }
    Ok(password)
}
