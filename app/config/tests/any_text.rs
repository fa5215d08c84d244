//! Whatever a file holds, it is read or complained about; nothing panics, and every complaint can be shown.

use proptest::prelude::*;
use strowger_config as config;

const EXAMPLE: &str = include_str!("../../../docs/example.toml");

fn check(text: &str) {
    if let Err(problems) = config::parse(text) {
        assert!(problems.has_errors());
        let shown = problems.to_string();
        let errors = problems.list.iter().filter(|problem| !problem.warning).count();
        assert_eq!(shown.lines().filter(|line| line.starts_with("error: ")).count(), errors, "{shown}");
        assert!(shown.matches("  remedy: ").count() >= errors, "{shown}");
    }
}

proptest! {
    #[test]
    fn any_text(text in "\\PC{0,200}") {
        check(&text);
    }

    #[test]
    fn the_example_with_a_piece_replaced(at in 0..EXAMPLE.len(), length in 0usize..40, with in "[ -~\\n\u{e9}]{0,12}") {
        let mut bytes = EXAMPLE.as_bytes().to_vec();
        let end = (at + length).min(bytes.len());
        bytes.splice(at..end, with.bytes());
        check(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_value_of_any_key(
        section in prop::sample::select(vec!["listen", "server", "affinity", "keys", "heartbeat", "limits", "threads", "log"]),
        key in prop::sample::select(vec!["address", "weight", "kind", "tag", "file", "listen", "group", "table_size", "workers", "faults"]),
        value in prop::sample::select(vec!["0", "-1", "1e9", "true", "\"\"", "\"é\"", "[]", "[[1]]", "{}", "1979-05-27", "\"udp:\"",
            "\"[::]:1\"", "\"tcp:1.2.3.4:99999\"", "18446744073709551616", "0xffffffffffffffff", "nan"]),
        double in any::<bool>(),
    ) {
        let head = if double { format!("[[{section}]]") } else { format!("[{section}]") };
        check(&format!("{head}\n{key} = {value}\n"));
    }
}
