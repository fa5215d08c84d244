//! The key of a call's record: one server transaction, one record.

use sip::Message;
use state::Key;
use transaction::key::ServerKey;

use crate::secret::{FarmSecret, Purpose};

/// The key of the call that an INVITE begins, and the same for its copies, its CANCEL and the ACK to its failure: they have its
/// branch. The partition depends on the Call-ID alone, so all sessions of one Call-ID lie in one. `None`: the request lacks
/// what every request has.
pub fn key_of_request(secret: &FarmSecret, request: &Message<'_>) -> Option<Key> {
    let call_id = request.first_value(sip::Name::CallId)?;
    let from = sip::headers::address::tag(request.first_value(sip::Name::From)?).ok()??;
    let transaction = ServerKey::of_cancelled(request)?;
    // Tags are compared without case (RFC 3261 §7.3.1), Call-IDs with it (§20.8).
    let from = from.to_ascii_lowercase();
    Some(key(secret, call_id, &[call_id, &from, transaction.text()]))
}

/// The partition of all calls of this Call-ID.
pub fn partition_of_call_id(secret: &FarmSecret, call_id: &[u8]) -> u8 {
    of_hash(secret.hash(Purpose::Partition, &[call_id])).partition()
}

/// The key of a record that an application finds by a name, such as a conference.
pub fn key_of_name(secret: &FarmSecret, application: &[u8], name: &[u8]) -> Key {
    of_hash(secret.hash(Purpose::Name, &[application, name]))
}

fn key(secret: &FarmSecret, call_id: &[u8], parts: &[&[u8]]) -> Key {
    let mut key = of_hash(secret.hash(Purpose::RecordKey, parts));
    key.0[0] = partition_of_call_id(secret, call_id);
    key
}

/// The first 96 bits.
fn of_hash(hash: u128) -> Key {
    let bytes = hash.to_be_bytes();
    Key(std::array::from_fn(|at| bytes[at]))
}

#[cfg(test)]
mod tests {
    use sip::Parser;

    use super::*;

    fn key_of(method: &str, call_id: &str, from: &str, via: &str) -> Key {
        let text = format!(
            "{method} sip:b@c SIP/2.0\r\nVia: SIP/2.0/UDP {via}\r\nFrom: <sip:a@b>;tag={from}\r\nTo: <sip:b@c>\r\n\
             Call-ID: {call_id}\r\nCSeq: 7 {method}\r\nContent-Length: 0\r\n\r\n"
        );
        key_of_request(&FarmSecret::new([7; 32]), &Parser::new().parse(text.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn copies_a_cancel_and_the_ack_to_a_failure_have_the_key_of_their_invite() {
        let key = key_of("INVITE", "x", "1", "host;branch=z9hG4bKa");
        assert_eq!(key.to_string(), "xjureoyelkiry5bc7cka");
        for method in ["INVITE", "CANCEL", "ACK"] {
            assert_eq!(key_of(method, "x", "1", "HOST;branch=Z9HG4BKA"), key, "{method}");
        }
    }

    #[test]
    fn another_call_id_from_tag_or_branch_is_another_call() {
        let key = key_of("INVITE", "x", "a", "host;branch=z9hG4bKa");
        let forked = key_of("INVITE", "x", "a", "host;branch=z9hG4bKb");
        assert_ne!(key, forked);
        assert_eq!(key.partition(), forked.partition(), "one Call-ID, one partition");
        assert_ne!(key, key_of("INVITE", "x", "b", "host;branch=z9hG4bKa"));
        assert_ne!(key, key_of("INVITE", "X", "a", "host;branch=z9hG4bKa"));
        assert_eq!(key, key_of("INVITE", "x", "A", "host;branch=z9hG4bKa"));
    }

    #[test]
    fn a_sender_without_the_cookie_is_known_by_the_fields_that_it_repeats() {
        let key = key_of("INVITE", "x", "1", "host;branch=1");
        assert_eq!(key, key_of("CANCEL", "x", "1", "host;branch=1"));
        assert_ne!(key, key_of("INVITE", "x", "1", "host;branch=2"));
    }

    #[test]
    fn a_name_has_one_key_in_each_application() {
        let secret = FarmSecret::new([7; 32]);
        let key = key_of_name(&secret, b"conference", b"4711");
        assert_eq!(key, key_of_name(&secret, b"conference", b"4711"));
        assert_ne!(key, key_of_name(&secret, b"conference4", b"711"));
    }
}
