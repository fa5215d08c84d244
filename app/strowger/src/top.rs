//! `strowger top` asks the parts of a farm again and again, and shows what changed. On a terminal it redraws one picture
//! and reads keys; elsewhere it prints one table after the other.

mod order;
mod parts;
mod picture;
mod sight;
mod terminal;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::process::print;
use crate::report::table::terminal_size;
pub(crate) use order::Order;
use picture::Looks;
use sight::Sight;
use terminal::{Key, Terminal};

/// Lines of the picture besides the servers.
const OTHER_LINES: usize = 9;

/// Runs until a key ends it, the time is over, or nobody answers any longer.
pub(crate) fn run(sockets: &[PathBuf], every: u64, seconds: Option<u64>, order: Order) -> io::Result<()> {
    let begun = Instant::now();
    let end = seconds.map(|seconds| begun + Duration::from_secs(seconds));
    let (mut before, mut before_at) = (Sight::take(sockets)?, begun);
    let mut screen = Screen { terminal: Terminal::take(), order, first: 0 };
    // The first look has nothing to compare with: the first wait is short, so that the screen does not stay empty.
    let mut due = begun + Duration::from_millis(200).min(Duration::from_secs(every));
    let mut last: Option<(Sight, u64)> = None;
    loop {
        if end.is_some_and(|end| end < due) || print::is_over() {
            return Ok(());
        }
        while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            if screen.wait(left) {
                return Ok(());
            }
            if let Some((earlier, millis)) = &last {
                screen.show(earlier, &before, *millis);
            }
        }
        let (now, now_at) = (Sight::take(sockets)?, Instant::now());
        let millis = now_at.duration_since(before_at).as_millis() as u64;
        screen.show_anew(&before, &now, millis);
        last = Some((std::mem::replace(&mut before, now), millis));
        (before_at, due) = (now_at, now_at + Duration::from_secs(every));
    }
}

/// The terminal, and the state that the keys have set.
struct Screen {
    terminal: Option<Terminal>,
    order: Order,
    /// Number of servers scrolled away.
    first: usize,
}

impl Screen {
    /// Waits for a key, at most this long. True: the end.
    fn wait(&mut self, at_most: Duration) -> bool {
        let Some(terminal) = &self.terminal else {
            std::thread::sleep(at_most);
            return false;
        };
        match terminal.key(at_most) {
            Some(Key::Quit) => return true,
            Some(Key::Sort) => self.order = self.order.next(),
            Some(Key::Up) => self.first = self.first.saturating_sub(1),
            Some(Key::Down) => self.first += 1,
            None => {}
        }
        false
    }

    /// A new look.
    fn show_anew(&mut self, before: &Sight, now: &Sight, millis: u64) {
        if self.terminal.is_some() {
            return self.show(before, now, millis);
        }
        let parts = parts::picture(before, now, millis);
        outln!("{}{parts}", of_lb(before, now, millis, self.order, 0, usize::MAX));
    }

    /// Shows the same look again, after a key.
    fn show(&mut self, before: &Sight, now: &Sight, millis: u64) {
        let Some(terminal) = &self.terminal else { return };
        let (columns, lines) = terminal_size().filter(|(_, lines)| *lines > 0).unwrap_or((80, 24));
        let parts = parts::picture(before, now, millis);
        let rows = lines.saturating_sub(OTHER_LINES + parts.lines().count()).max(1);
        let servers = now.lb.as_ref().map_or(0, |lb| lb.servers.len());
        self.first = self.first.min(servers.saturating_sub(rows));
        let text = of_lb(before, now, millis, self.order, self.first, rows) + &parts;
        let cut = |line: &str| line.chars().take(columns).chain(['\n']).collect::<String>();
        let body: String = text.lines().take(lines.saturating_sub(1)).map(cut).collect();
        terminal.show(&format!("{body}q quits, s sorts (now by {}), arrows scroll", self.order.name()));
    }
}

/// The load manager's part of the picture.
fn of_lb(before: &Sight, now: &Sight, millis: u64, order: Order, first: usize, rows: usize) -> String {
    let Some(now) = &now.lb else { return String::new() };
    let before = before.lb.as_ref().unwrap_or(now);
    picture::picture(&Looks { before, now, millis }, order, first, rows)
}
