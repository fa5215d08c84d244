//! The terminal while `top` runs: keys come one by one, and the picture has a screen of its own. However the program ends,
//! the terminal gets its old settings back.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use crate::process::print;

/// A key that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Sort,
    Up,
    Down,
}

/// Restores the terminal when it is dropped.
pub(super) struct Terminal {
    before: libc::termios,
}

impl Terminal {
    /// `None`: input or output is not a terminal.
    pub(super) fn take() -> Option<Terminal> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return None;
        }
        // SAFETY: both calls read or fill the plain structure they are given.
        let before = unsafe {
            let mut settings: libc::termios = std::mem::zeroed();
            if libc::tcgetattr(libc::STDIN_FILENO, &mut settings) != 0 {
                return None;
            }
            let before = settings;
            // Ctrl-C is read as a key, so that there is one way to end.
            settings.c_lflag &= !(libc::ICANON | libc::ECHO | libc::ISIG);
            libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, &settings);
            before
        };
        out!("\x1b[?1049h\x1b[?25l");
        Some(Terminal { before })
    }

    pub(super) fn show(&self, text: &str) {
        // Draws over the picture before, line by line: clearing the whole screen first would flicker.
        let lines: String = text.lines().map(|line| format!("{line}\x1b[K\r\n")).collect();
        out!("\x1b[H{}\x1b[J", lines.trim_end_matches("\r\n"));
        print::note(io::stdout().flush());
    }

    /// The next known key, if one comes in time.
    pub(super) fn key(&self, at_most: Duration) -> Option<Key> {
        let mut bytes = [0u8; 16];
        // SAFETY: one descriptor, one structure; read writes at most the buffer's length.
        let count = unsafe {
            let mut input = libc::pollfd { fd: libc::STDIN_FILENO, events: libc::POLLIN, revents: 0 };
            let wait = i32::try_from(at_most.as_millis()).unwrap_or(i32::MAX);
            if libc::poll(&mut input, 1, wait) < 1 {
                return None;
            }
            libc::read(libc::STDIN_FILENO, bytes.as_mut_ptr().cast(), bytes.len())
        };
        match usize::try_from(count) {
            // The terminal is gone.
            Err(_) | Ok(0) => Some(Key::Quit),
            Ok(count) => key_of(&bytes[..count]),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        out!("\x1b[?25h\x1b[?1049l");
        let _ = io::stdout().flush();
        // SAFETY: restores the settings that were read.
        unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, &self.before) };
    }
}

fn key_of(bytes: &[u8]) -> Option<Key> {
    match bytes {
        // Ctrl-C, Ctrl-D, and Escape by itself: the code of an arrow begins with Escape.
        [b'q' | b'Q' | 3 | 4 | 27] => Some(Key::Quit),
        [b's' | b'S'] => Some(Key::Sort),
        b"\x1b[A" | b"k" => Some(Key::Up),
        b"\x1b[B" | b"j" => Some(Key::Down),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        for (bytes, key) in [
            (&b"q"[..], Some(Key::Quit)),
            (b"\x03", Some(Key::Quit)),
            (b"s", Some(Key::Sort)),
            (b"\x1b[A", Some(Key::Up)),
            (b"j", Some(Key::Down)),
            (b"x", None),
            (b"\x1b[C", None),
        ] {
            assert_eq!(key_of(bytes), key, "{bytes:?}");
        }
    }
}
