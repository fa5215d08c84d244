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
