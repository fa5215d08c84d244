//! The control socket: lines from whoever may write to it, one after the other, to a load manager with two servers.
//!
//! Besides not panicking: each line has one line back, which is an answer or a refusal with its remedy; whatever was asked before,
//! the status can be told, and the table of servers is bounded.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use strowger::ControlSide;

/// With the table of hashes that is cheap to build: each input has a load manager of its own.
const CONFIGURATION: &str = "[[listen]]\naddress = \"udp:127.0.0.1:5060\"\n[[listen]]\naddress = \"tcp:127.0.0.1:5060\"\n\
    [[server]]\naddress = \"127.0.0.1:7000\"\n[[server]]\naddress = \"127.0.0.1:7001\"\n\
    [affinity]\nhash = \"modulo\"\n[heartbeat]\ntable_size = 8\n[limits]\nnew_calls_max = 1000\nsessions_max = 1000\n\
    [log]\nwhy_calls = 16\n[keys]\ntag = [\"1 00112233445566778899aabbccddeeff\"]\n[control]\npath = \"/nowhere\"\n";
/// Of the configuration above.
const SERVERS_MAX: usize = 8;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    static CHECKED: OnceLock<config::Checked> = OnceLock::new();
    let checked = CHECKED.get_or_init(|| config::parse(CONFIGURATION).expect("a configuration"));
    let mut side = ControlSide::of(checked.clone());
    for line in text.lines() {
        answered(&side.reply(line));
    }
    let status = answered(&side.reply("{\"verb\": \"status\"}"));
    let servers = status["done"]["document"]["servers"].as_array().expect("the status can be told");
    assert!(servers.len() <= SERVERS_MAX, "{} servers", servers.len());
});

/// The one line back.
fn answered(reply: &[u8]) -> Value {
    let (end, line) = reply.split_last().expect("an answer");
    assert!(*end == b'\n' && !line.contains(&b'\n'));
    let reply: Value = serde_json::from_slice(line).expect("it is JSON");
    match (&reply["done"], &reply["refused"]) {
        (Value::Object(answer), Value::Null) => assert!(answer["text"].is_string()),
        (Value::Null, refused) => {
            for word in ["why", "what", "remedy"] {
                assert!(refused[word].as_str().is_some_and(|text| !text.is_empty()), "{reply}");
            }
        }
        _ => panic!("both done and refused: {reply}"),
    }
    reply
}
