//! Keys as text: lines of a key file, entries of `keys.tag`, and new keys for `strowger key`.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

use base::Key;
use zeroize::Zeroizing;

use crate::language::value::Wrong;

/// Keys read from a file or from the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFile {
    /// Newest first, each with its id.
    pub tag: Vec<(u8, Key<[u8; 16]>)>,
    pub heartbeat: Option<Key>,
    /// Others than the owner may read the file.
    pub readable_by_others: bool,
}

/// An error in a line: the line's number from 1, the error, the remedy.
pub type BadKeyLine = (usize, String, String);

/// Far larger than any real key file. A larger file is some other file.
const FILE_BYTES_MAX: u64 = 64 * 1024;

impl KeyFile {
    /// Reads the lines `tag ID HEX` and `heartbeat HEX`; `#` begins a comment.
    pub fn read(path: &Path) -> Result<KeyFile, BadKeyLine> {
        let failed = |error: std::io::Error| {
            (
                0,
                format!("cannot be read: {error}"),
                "check the path and its permissions; `strowger key` prints a key line".into(),
            )
        };
        let file = std::fs::File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?;
        // The buffer has room for the whole file, so that growing it leaves no copy of a key behind.
        let room = mode.len().min(FILE_BYTES_MAX) as usize + 1;
        let mut text = Zeroizing::new(String::with_capacity(room));
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
        let mut keys = KeyFile::parse(&text)?;
        keys.readable_by_others = readable_by_others(&mode);
        Ok(keys)
    }

    pub fn parse(text: &str) -> Result<KeyFile, BadKeyLine> {
        let mut keys = KeyFile::default();
        for (at, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            let bad = |(what, remedy): (String, String)| (at + 1, what, remedy);
            match line.split_once(char::is_whitespace) {
                None if line.is_empty() => {}
                Some(("tag", rest)) => keys.tag.push(tag_key(rest).map_err(bad)?),
                Some(("heartbeat", rest)) => keys.heartbeat = Some(heartbeat_key(rest).map_err(bad)?),
                _ => {
                    return Err(bad((
                        "is not a key line".into(),
                        "write `tag ID HEX` or `heartbeat HEX`".into(),
                    )));
                }
            }
        }
        Ok(keys)
    }
}

#[cfg(unix)]
pub(crate) fn readable_by_others(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o044 != 0
}

/// `ID HEX`: id 0 … 255, 32 hex digits. A leading `tag`, as in a key file, is accepted, too.
pub(crate) fn tag_key(text: &str) -> Result<(u8, Key<[u8; 16]>), Wrong> {
    let remedy = || "write an id from 0 to 255 and 32 hex digits, as `strowger key` prints them".to_owned();
    let text = text.trim();
    let text = text.strip_prefix("tag ").unwrap_or(text);
    let (id, key) = text
        .split_once(|c: char| c.is_whitespace() || c == ':')
        .ok_or_else(|| ("a tag key has no id".to_owned(), remedy()))?;
    let id = id.trim().parse().map_err(|_| (format!("`{id}` is not a key id"), remedy()))?;
    let bytes = hex(key.trim())
        .ok_or_else(|| ("a tag key has something other than hex digits in it".to_owned(), remedy()))?;
    match <[u8; 16]>::try_from(&*bytes) {
        Ok(key) => Ok((id, key.into())),
        Err(_) => Err((format!("a tag key has {} hex digits", bytes.len() * 2), remedy())),
    }
}

/// 32 to 128 hex digits.
pub(crate) fn heartbeat_key(text: &str) -> Result<Key, Wrong> {
    let remedy = || "write 32 to 128 hex digits; `strowger key --heartbeat` prints one".to_owned();
    let text = text.trim();
    let bytes = hex(text.strip_prefix("heartbeat ").unwrap_or(text))
        .ok_or_else(|| ("a heartbeat key is not in pairs of hex digits".to_owned(), remedy()))?;
    match bytes.len() {
        16..=64 => Ok(bytes),
        length => Err((format!("a heartbeat key has {} hex digits", length * 2), remedy())),
    }
}

fn hex(text: &str) -> Option<Key> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    // The buffer has room for the whole key, so that growing it leaves no copy behind.
    let mut bytes = Vec::with_capacity(text.len() / 2);
    for at in (0..text.len()).step_by(2) {
        bytes.push(u8::from_str_radix(&text[at..at + 2], 16).ok()?);
    }
    Some(bytes.into())
}

/// Random bytes from the kernel.
pub(crate) fn random<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

pub(crate) fn as_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `tag ID HEX` with a new key. Without `id` the id is random, so that the next key rarely gets the same id.
pub fn fresh_tag_line(id: Option<u8>) -> std::io::Result<String> {
    let [random_id] = random::<1>()?;
    Ok(format!("tag {} {}", id.unwrap_or(random_id), as_hex(&random::<16>()?)))
}

/// `heartbeat HEX` with a new key.
pub fn fresh_heartbeat_line() -> std::io::Result<String> {
    Ok(format!("heartbeat {}", as_hex(&random::<32>()?)))
}
