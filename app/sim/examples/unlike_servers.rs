//! Writes docs/unlike-servers.md and its plot: a farm of one fast, one slow and one loaded server under each selection.

use strowger_sim::{unlike, unlike_page};

fn main() -> std::io::Result<()> {
    let rows = unlike::rows();
    let before = std::fs::read_to_string("docs/unlike-servers.md").unwrap_or_default();
    let page = unlike_page::page(&rows, &before);
    print!("{page}");
    std::fs::write("docs/unlike-servers.md", page)?;
    std::fs::write("docs/unlike-servers.svg", unlike_page::plot(&rows))
}
