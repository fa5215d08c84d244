//! The commands of a server of records: calls of functions, and what engines and `redis-cli` send besides.

use std::fmt::Write as _;

use super::store::Store;
use crate::functions;
use crate::resp::{write_array, write_bytes, write_error, write_integer, write_nil, write_status};
use crate::wire::{self, read_command, read_field, write_answer};

type Word = Box<[u8]>;

/// The name by which the one node of this cluster is known.
const NODE: &str = "0000000000000000000000000000000000000000";

/// Carries out a command and writes its answer.
pub(super) fn execute(words: Vec<Word>, store: &mut Store, out: &mut Vec<u8>) {
    // Names of commands are short; case does not matter.
    let name = words[0].to_ascii_uppercase();
    let rest: Vec<&[u8]> = words.iter().skip(1).map(|word| &word[..]).collect();
    match (&name[..], &rest[..]) {
        (b"FCALL" | b"FCALL_RO", _) => match read_command(words) {
            Ok((partition, command)) => write_answer(&store.apply(partition, command), out),
            Err(bad) => write_error(&bad.to_string(), out),
        },
        (b"PING", []) => write_status("PONG", out),
        (b"PING" | b"ECHO", [text]) => write_bytes(text, out),
        (b"TIME", []) => time(out),
        (b"GET", [name]) => match store.values.get(name) {
            Some(value) => write_bytes(value, out),
            None => write_nil(out),
        },
        (b"SET", [name, value]) => written(store.values.set(name, value), out),
        (b"SET", [name, value, option]) if option.eq_ignore_ascii_case(b"NX") => {
            if store.values.get(name).is_some() {
                write_nil(out);
            } else {
                written(store.values.set(name, value), out);
            }
        }
        (b"INCR", [name]) => match store.values.increase(name) {
            Ok(number) => write_integer(number, out),
            Err(why) => write_error(why, out),
        },
        (b"HGET", [name, field]) => field_of(store, name, field, out),
        // There is no replica to wait for.
        (b"WAIT", [_, _]) => write_integer(0, out),
        (b"HELLO", []) | (b"HELLO", [b"2", ..]) => hello(out),
        (b"HELLO", _) => write_error("NOPROTO unsupported protocol version", out),
        (b"INFO", _) => write_bytes(info(store).as_bytes(), out),
        (b"CLUSTER", [what]) if what.eq_ignore_ascii_case(b"NODES") => {
            write_bytes(format!("{NODE} :0@0 myself,master - 0 0 0 connected 0-16383\n").as_bytes(), out);
        }
        (b"CLUSTER", [what]) if what.eq_ignore_ascii_case(b"SLOTS") => slots(out),
        // The functions are there already.
        (b"FUNCTION", [what, ..]) if what.eq_ignore_ascii_case(b"LOAD") => write_bytes(b"strowger", out),
        (b"FUNCTION", [what, ..]) if what.eq_ignore_ascii_case(b"LIST") => library(out),
        _ => {
            let name = String::from_utf8_lossy(&words[0]);
            let name: String = name.chars().take(64).collect();
            write_error(&format!("ERR unknown command or wrong number of arguments: {name}"), out);
        }
    }
}

fn written(result: Result<(), &'static str>, out: &mut Vec<u8>) {
    match result {
        Ok(()) => write_status("OK", out),
        Err(why) => write_error(why, out),
    }
}

/// Seconds since 1970, and microseconds.
fn time(out: &mut Vec<u8>) {
    let now = os::since_1970();
    write_array(2, out);
    write_bytes(now.as_secs().to_string().as_bytes(), out);
    write_bytes(now.subsec_micros().to_string().as_bytes(), out);
}

/// A counter, or the votes for a choice.
fn field_of(store: &Store, name: &[u8], field: &[u8], out: &mut Vec<u8>) {
    let value = match read_field(name) {
        Some((partition, wire::Field::Counter)) => store.partition(partition).counter(field),
        Some((partition, wire::Field::Votes(poll))) => {
            i64::try_from(store.partition(partition).votes(poll, field)).unwrap_or(i64::MAX)
        }
        None => return write_nil(out),
    };
    write_bytes(value.to_string().as_bytes(), out);
}

fn hello(out: &mut Vec<u8>) {
    let fields = [
        ("server", "strowger"),
        ("version", env!("CARGO_PKG_VERSION")),
        ("mode", "standalone"),
        ("role", "master"),
    ];
    write_array(2 + fields.len() * 2, out);
    write_bytes(b"proto", out);
    write_integer(2, out);
    for (name, value) in fields {
        write_bytes(name.as_bytes(), out);
        write_bytes(value.as_bytes(), out);
    }
}

fn info(store: &Store) -> String {
    let mut text = String::new();
    let mut section = |name: &str, lines: &[(&str, String)]| {
        // Writing to a string does not fail.
        let _ = write!(text, "# {name}\r\n");
        for (name, value) in lines {
            let _ = write!(text, "{name}:{value}\r\n");
        }
        text.push_str("\r\n");
    };
    let up = store.seconds_up();
    section(
        "Server",
        &[
            ("strowger_version", env!("CARGO_PKG_VERSION").into()),
            // Drawn at each start: engines see by it that the records of an earlier life are gone.
            ("run_id", store.run_id().into()),
            ("uptime_in_seconds", up.to_string()),
        ],
    );
    section(
        "Memory",
        &[
            ("used_memory", store.bytes().to_string()),
            ("maxmemory", store.memory_bytes().to_string()),
            ("maxmemory_policy", "noeviction".into()),
        ],
    );
    section(
        "Records",
        &[("records", store.records().to_string()), ("effects_waiting", store.effects().to_string())],
    );
    section("Replication", &[("role", "master".into()), ("connected_slaves", "0".into())]);
    text
}

/// All slots at one node, whose address is where the client reached it.
fn slots(out: &mut Vec<u8>) {
    write_array(1, out);
    write_array(3, out);
    write_integer(0, out);
    write_integer(16_383, out);
    write_array(3, out);
    write_bytes(b"", out);
    write_integer(0, out);
    write_bytes(NODE.as_bytes(), out);
}

/// As `FUNCTION LIST` names our library.
fn library(out: &mut Vec<u8>) {
    write_array(1, out);
    write_array(6, out);
    write_bytes(b"library_name", out);
    write_bytes(functions::NAME.as_bytes(), out);
    write_bytes(b"engine", out);
    write_bytes(b"LUA", out);
    write_bytes(b"functions", out);
    write_array(wire::FUNCTIONS.len(), out);
    for function in wire::FUNCTIONS {
        write_array(2, out);
        write_bytes(b"name", out);
        write_bytes(function.as_bytes(), out);
    }
}
