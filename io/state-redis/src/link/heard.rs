//! What an answer of a node means to [`state::links`].

use state::links::{Fault, Progress, Said, Words};
use state::view::{Sight, address};

use crate::resp::Value;
use crate::wire::{Unread, read_answer};

/// The answer to one question. `first`: the earlier of the two values that answer [`Words::Look`].
pub(super) fn said(address: &str, expected: &Words<'_>, first: Option<Value>, value: Value) -> Said {
    match expected {
        Words::Command { command, .. } => match read_answer(command, value) {
            Ok(answer) => Said::Answer(answer),
            Err(Unread::Error(text)) => Said::Fault(fault(&text)),
            Err(Unread::Strange) => Said::Fault(Fault::Refused),
        },
        Words::Wait { .. } => match value {
            Value::Integer(replicas) => Said::Replicas(u32::try_from(replicas).unwrap_or(0)),
            other => refused(other),
        },
        Words::Progress => progress(&value).map_or_else(|| refused(value), Said::Progress),
        Words::Time => micros(&value).map_or_else(|| refused(value), Said::Micros),
        Words::Look => sight(address, first, value),
    }
}

fn refused(value: Value) -> Said {
    match value {
        Value::Error(text) => Said::Fault(fault(&text)),
        _ => Said::Fault(Fault::Refused),
    }
}

/// By the first word of an error; the rest is for people.
fn fault(text: &str) -> Fault {
    let mut words = text.split(' ');
    match words.next().unwrap_or_default() {
        "MOVED" => Fault::Elsewhere(words.nth(1).unwrap_or_default().into()),
        "ASK" | "TRYAGAIN" | "CLUSTERDOWN" | "LOADING" | "BUSY" | "MASTERDOWN" | "READONLY"
        | "NOREPLICAS" | "MISCONF" | "UNBLOCKED" => Fault::NotNow,
        "OOM" => Fault::NoRoom,
        "ERR" if text.contains("Function not found") => Fault::NoFunctions,
        _ => Fault::Refused,
    }
}

/// `ROLE` of a primary: `master`, its offset, and of each replica host, port and offset.
fn progress(value: &Value) -> Option<Progress> {
    let Value::Array(values) = value else { return None };
    let [Value::Bytes(role), Value::Integer(offset), Value::Array(replicas)] = &values[..] else {
        return None;
    };
    let replica = |replica: &Value| {
        let Value::Array(values) = replica else { return None };
        let [Value::Bytes(host), Value::Bytes(port), Value::Bytes(offset)] = &values[..] else { return None };
        let [host, port, offset] = [host, port, offset].map(|bytes| std::str::from_utf8(bytes));
        Some((address(host.ok()?, port.ok()?), offset.ok()?.parse().ok()?))
    };
    let replicas = replicas.iter().map(replica).collect::<Option<_>>()?;
    (**role == *b"master").then_some(Progress { offset: u64::try_from(*offset).ok()?, replicas })
}

/// `TIME`: seconds since 1970, and microseconds.
fn micros(value: &Value) -> Option<u64> {
    let Value::Array(values) = value else { return None };
    let [Value::Bytes(seconds), Value::Bytes(micros)] = &values[..] else { return None };
    let number = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse::<u64>().ok();
    number(seconds)?.checked_mul(1_000_000)?.checked_add(number(micros)?)
}

/// What a node of a cluster says of it, or what a node without a cluster says of its replicas.
fn sight(address: &str, nodes: Option<Value>, replication: Value) -> Said {
    let text = |value| match value {
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        _ => None,
    };
    let sight = match (nodes.and_then(text), text(replication)) {
        (Some(nodes), _) => Sight::of_cluster(address, &nodes),
        (None, Some(replication)) => Sight::of_replication(address, &replication),
        (None, None) => return Said::Fault(Fault::NotNow),
    };
    sight.map_or(Said::Fault(Fault::Refused), Said::Sight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use state::Command;

    fn bytes(text: &str) -> Value {
        Value::Bytes(text.as_bytes().into())
    }

    fn error(text: &str) -> Value {
        Value::Error(text.into())
    }

    #[test]
    fn errors_say_whether_asking_again_helps() {
        let command = Command::Find { name: Box::default() };
        let words = Words::Command { partition: 7, command: &command };
        for (text, expected) in [
            ("MOVED 3999 10.0.0.2:6381", Fault::Elsewhere("10.0.0.2:6381".into())),
            ("MOVED", Fault::Elsewhere("".into())),
            ("TRYAGAIN Multiple keys request during rehashing of slot", Fault::NotNow),
            ("READONLY You can't write against a read only replica.", Fault::NotNow),
            ("CLUSTERDOWN Hash slot not served", Fault::NotNow),
            ("OOM command not allowed when used memory > 'maxmemory'.", Fault::NoRoom),
            ("ERR Function not found", Fault::NoFunctions),
            ("ERR wrong number of arguments", Fault::Refused),
            ("", Fault::Refused),
        ] {
            assert_eq!(said("h:1", &words, None, error(text)), Said::Fault(expected), "{text}");
        }
        assert_eq!(said("h:1", &words, None, Value::Integer(3)), Said::Fault(Fault::Refused));
    }

    #[test]
    fn times_and_numbers_are_read() {
        let time = Value::Array(vec![bytes("1790000000"), bytes("000017")]);
        assert_eq!(said("h:1", &Words::Time, None, time), Said::Micros(1_790_000_000_000_017));
        let time = Value::Array(vec![bytes("99999999999999999999"), bytes("0")]);
        assert_eq!(said("h:1", &Words::Time, None, time), Said::Fault(Fault::Refused));
        let wait = Words::Wait { replicas: 1, millis: 100 };
        assert_eq!(said("h:1", &wait, None, Value::Integer(2)), Said::Replicas(2));
        assert_eq!(said("h:1", &wait, None, Value::Integer(-2)), Said::Replicas(0));
        assert_eq!(said("h:1", &wait, None, error("UNBLOCKED x")), Said::Fault(Fault::NotNow));
    }

    #[test]
    fn a_primary_says_how_far_its_replicas_are() {
        let replica = |host, offset| Value::Array(vec![bytes(host), bytes("6379"), bytes(offset)]);
        let role = |replicas| Value::Array(vec![bytes("master"), Value::Integer(72), Value::Array(replicas)]);
        let expected = Progress {
            offset: 72,
            replicas: vec![("10.0.0.2:6379".into(), 72), ("[fd00::3]:6379".into(), 14)],
        };
        let both = role(vec![replica("10.0.0.2", "72"), replica("fd00::3", "14")]);
        assert_eq!(said("h:1", &Words::Progress, None, both), Said::Progress(expected));
        let replica_itself = Value::Array(vec![
            bytes("slave"),
            bytes("h"),
            Value::Integer(6379),
            bytes("connected"),
            Value::Integer(1),
        ]);
        for wrong in [role(vec![replica("h", "many")]), role(vec![Value::Nil]), replica_itself] {
            assert_eq!(said("h:1", &Words::Progress, None, wrong), Said::Fault(Fault::Refused));
        }
    }

    #[test]
    fn a_node_without_a_cluster_is_read_by_its_replication() {
        let none = error("ERR This instance has cluster support disabled");
        let alone = bytes("# Replication\r\nrole:master\r\nconnected_slaves:0\r\n");
        let sight = said("unix:/x", &Words::Look, Some(none.clone()), alone);
        assert_eq!(sight, Said::Sight(Sight::alone("unix:/x")));
        assert_eq!(said("h:1", &Words::Look, Some(none.clone()), none), Said::Fault(Fault::NotNow));
    }
}
