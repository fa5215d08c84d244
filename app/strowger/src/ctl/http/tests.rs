//! Requests as they come over the network, good and bad.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use config::{Grant, Tokens};
use serde_json::Value;

use super::*;
use crate::ctl::testing::Owner;

const CHANGE: &str = "changechangechangechange";
const READ: &str = "readreadreadreadreadread";

fn started(tokens: &[(Grant, &str)]) -> (Owner, SocketAddr) {
    let owner = Owner::of_two();
    let tokens = tokens.iter().map(|(grant, token)| (*grant, (*token).to_owned())).collect();
    owner.desk.host().tokens.store(Arc::new(Tokens(tokens)));
    let address =
        serve("127.0.0.1:0".parse().unwrap(), false, Arc::default(), Arc::new(owner.desk.clone())).unwrap();
    (owner, address)
}

fn raw(address: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

fn ask(address: SocketAddr, line: &str, token: &str, body: &str) -> (u16, Value) {
    let token = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    let length = body.len();
    let text = format!(
        "{line} HTTP/1.1\r\nHost: lb\r\nConnection: close\r\n{token}Content-Length: {length}\r\n\r\n{body}"
    );
    let answer = raw(address, &text);
    let status = answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    (status, serde_json::from_str(body).unwrap_or_default())
}

#[test]
fn verbs_are_reached_by_their_routes() {
    let (_owner, address) = started(&[(Grant::Change, CHANGE), (Grant::Read, READ)]);
    let (status, report) = ask(address, "GET /v1/status", READ, "");
    assert_eq!((status, report["servers"].as_array().unwrap().len()), (200, 2));
    let (status, drained) = ask(address, "POST /v1/servers/127.0.0.1%3A7000/drain", CHANGE, "");
    assert_eq!((status, &drained["drained"]), (200, &Value::Bool(true)));
    let (status, _) =
        ask(address, "POST /v1/servers", CHANGE, "{\"server\": \"127.0.0.1:7005\", \"weight\": 3}");
    assert_eq!(status, 200);
    let (status, choices) = ask(address, "GET /v1/choices?last=3", READ, "");
    assert_eq!((status, choices["choices"].as_array().map(Vec::len)), (200, Some(0)));
    assert_eq!(ask(address, "GET /openapi.json", "", "").1["openapi"], "3.1.0");
}

#[test]
fn each_mistake_has_its_status_and_a_remedy() {
    let (owner, address) = started(&[(Grant::Change, CHANGE), (Grant::Read, READ)]);
    let weight = "PUT /v1/servers/127.0.0.1:7000/weight";
    for (line, token, body, expected) in [
        ("GET /v1/status", "", "", 401),
        ("GET /v1/status", "readreadreadreadreadreaD", "", 401),
        ("GET /metrics", "", "", 401),
        ("GET /nowhere", "", "", 401),
        ("GET /nowhere", READ, "", 404),
        ("POST /v1/reload", READ, "", 403),
        ("DELETE /v1/status", CHANGE, "", 405),
        (weight, CHANGE, "{\"weight\": 0}", 400),
        (weight, CHANGE, "{\"weight\": 5", 400),
        (weight, CHANGE, "", 400),
        (weight, CHANGE, "{\"server\": \"127.0.0.1:7001\", \"weight\": 5}", 400),
        ("POST /v1/servers/127.0.0.1:7009/drain", CHANGE, "", 404),
        ("DELETE /v1/servers/127.0.0.1:7000", CHANGE, "", 409),
        ("PUT /v1/policy", CHANGE, "{\"selection\": \"hash\"}", 422),
        ("POST /v1/reload", CHANGE, "", 409),
    ] {
        let (status, problem) = ask(address, line, token, body);
        assert_eq!(status, expected, "{line}: {problem}");
        assert!(!problem["remedy"].as_str().unwrap().is_empty(), "{line}");
        assert_eq!(problem["status"], expected);
        assert!(!problem.to_string().contains("read"), "a token is never shown: {problem}");
    }
    let counted = owner.ask("counters", serde_json::json!({})).unwrap().document;
    assert_eq!((&counted["api_unauthorized"], &counted["api_forbidden"]), (&4.into(), &1.into()));
    assert!(raw(address, "\u{1}\u{2} nothing\r\n\r\n").starts_with("HTTP/1.1 400"));
    let long = format!("{{\"weight\": 5, \"x\": \"{}\"}}", "x".repeat(70_000));
    assert_eq!(ask(address, weight, CHANGE, &long).0, 400);
}

#[test]
fn without_tokens_all_may_look_and_none_may_change() {
    let (_owner, address) = started(&[]);
    assert_eq!(ask(address, "GET /v1/status", "", "").0, 200);
    assert_eq!(ask(address, "POST /v1/servers/127.0.0.1:7000/drain", "", "").0, 403);
}

#[test]
fn health_checks_need_no_token_and_are_told_whether_a_new_call_would_be_served() {
    let (owner, address) = started(&[(Grant::Change, CHANGE)]);
    assert_eq!(ask(address, "GET /healthz", "", ""), (200, serde_json::json!({ "alive": true })));
    assert_eq!(ask(address, "GET /readyz", "", ""), (200, serde_json::json!({ "ready": true })));
    let head = raw(address, "HEAD /readyz HTTP/1.1\r\nHost: lb\r\nConnection: close\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    for server in ["127.0.0.1:7000", "127.0.0.1:7001"] {
        owner.ask("drain", serde_json::json!({ "server": server })).unwrap();
    }
    let (status, problem) = ask(address, "GET /readyz", "", "");
    assert_eq!((status, &problem["detail"]), (503, &"not ready: no server takes new calls".into()));
    assert!(!problem.to_string().contains("127.0.0.1"), "{problem}");
    assert_eq!(ask(address, "GET /healthz", "", "").0, 200, "it lives, and says that it is not ready");
    assert_eq!(ask(address, "POST /readyz", "", "").0, 401);
    let counted = owner.ask("counters", serde_json::json!({})).unwrap().document;
    assert_eq!((&counted["api_requests"], &counted["api_refused"]), (&6.into(), &0.into()));
}
