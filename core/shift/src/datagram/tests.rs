//! Golden bytes, made without this code (by Python's struct and hmac), and properties over all values. A change to these
//! bytes is a change of the protocol.

use proptest::prelude::*;

use super::*;

const KEY: &[u8] = b"group key";

fn datagram(body: Body) -> Datagram {
    Datagram { from: "one".into(), to: "two".into(), instance: 7, count: 9, body }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_poll_is_these_bytes() {
    let bytes = datagram(Body::Poll { nonce: 5, share: true }).encode(KEY).unwrap();
    assert_eq!(
        hex(&bytes),
        "deadfad20102004700000000000000070000000000000009000100036f6e650002000374776f0003000800000000000000050004000101f0b8b1505f8a263ad30bbe1f79cd7cc1"
    );
}

fn names() -> impl Strategy<Value = String> {
    "[A-Za-z0-9_.-]{1,32}"
}

fn uri_text(most: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop::sample::select(b"abc123:;=@.-_~!$&'()*+,/?[]%".to_vec()), 1..most)
}

fn reports() -> impl Strategy<Value = Body> {
    let numbers = (any::<u64>(), any::<u32>(), any::<u32>(), any::<[u32; 4]>(), 0u32..=1000);
    let words = (0usize..3, any::<u32>(), 0u8..=100, "[a-z]{0,32}", any::<u32>(), any::<bool>());
    (numbers, words).prop_map(|((nonce, workload, call_permille, measured, cpu_permille), words)| {
        let (state, cost, quality, region, period_ms, present) = words;
        let state = [ServiceState::Normal, ServiceState::Limited, ServiceState::Draining][state];
        let [bytes_per_second, clients, calls, calls_per_second] = measured;
        let measures = Measures { bytes_per_second, clients, calls, calls_per_second, cpu_permille };
        let workload = Workload(workload);
        Body::Report(Report {
            nonce,
            present,
            workload,
            call_permille,
            measures,
            state,
            cost,
            quality,
            region,
            period_ms,
        })
    })
}

fn calls() -> impl Strategy<Value = CallName> {
    (names(), any::<u64>()).prop_map(|(origin, number)| CallName { origin, number })
}

fn paths() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(names(), 1..=VISITED_MAX)
}

fn offers() -> impl Strategy<Value = Body> {
    let who = (calls(), any::<u64>(), paths(), proptest::collection::vec(names(), 0..3));
    let how = (any::<u8>(), any::<bool>(), any::<bool>(), any::<[u8; 16]>(), any::<bool>(), 1u16..);
    let what = (uri_text(USER_BYTES_MAX), proptest::collection::vec(any::<u8>(), 0..1500));
    (who, how, what).prop_map(|((call, to_instance, visited, avoid), how, (user, answer))| {
        let (hops_left, must_take, v6, ip, tcp, port) = how;
        let ip = if v6 { ip.into() } else { std::net::IpAddr::from([ip[0], ip[1], ip[2], ip[3]]) };
        Body::Offer(Box::new(Offer {
            call,
            to_instance,
            visited,
            avoid,
            hops_left,
            must_take,
            client: SocketAddr::new(ip, port),
            transport: if tcp { Transport::Tcp } else { Transport::Udp },
            user,
            answer,
        }))
    })
}

fn bodies() -> impl Strategy<Value = Body> {
    let taken = (calls(), paths(), uri_text(CONTACT_BYTES_MAX), any::<bool>())
        .prop_map(|(call, path, contact, told)| Body::Taken { call, path, contact, told });
    let refused = (calls(), paths(), any::<u32>())
        .prop_map(|(call, path, retry_after_seconds)| Body::Refused { call, path, retry_after_seconds });
    let poll = (any::<u64>(), any::<bool>()).prop_map(|(nonce, share)| Body::Poll { nonce, share });
    prop_oneof![reports(), poll, offers(), taken, refused]
}

proptest! {
    #[test]
    fn what_is_written_is_read(body in bodies(), instance: u64, count: u64, from in names(), to in names()) {
        let datagram = Datagram { from, to, instance, count, body };
        let bytes = datagram.encode(KEY).expect("all of these fit");
        prop_assert_eq!(Datagram::decode(&bytes, KEY), Ok(datagram));
        prop_assert_eq!(Datagram::decode(&bytes, b"another key"), Err(Ignored::BadAuthenticator));
        prop_assert_eq!(heartbeat::Heartbeat::decode(&bytes, None).err(), Some(heartbeat::Ignored::WrongProtocol));
    }

    #[test]
    fn no_changed_byte_and_no_part_is_believed(body in bodies(), at in any::<prop::sample::Index>(), flip in 1u8..) {
        let bytes = datagram(body).encode(KEY).expect("all of these fit");
        let mut changed = bytes.clone();
        changed[at.index(bytes.len())] ^= flip;
        prop_assert!(Datagram::decode(&changed, KEY).is_err());
        prop_assert!(Datagram::decode(&bytes[..at.index(bytes.len())], KEY).is_err());
        prop_assert!(Datagram::decode(&[&bytes[..], b"x"].concat(), KEY).is_err());
    }

    /// What a member with the key could send: any bytes with a right authenticator.
    #[test]
    fn any_signed_sections_are_read_without_harm(kind in 0u8..8, sections in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut bytes = PROTOCOL_ID.to_be_bytes().to_vec();
        let length = (HEAD_BYTES + sections.len() + AUTHENTICATOR_BYTES) as u16;
        bytes.extend_from_slice(&[VERSION, kind]);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&[0; 16]);
        bytes.extend_from_slice(&sections);
        bytes.extend_from_slice(&authenticator::make(KEY, &bytes.clone()));
        let _ = Datagram::decode(&bytes, KEY);
    }
}

#[test]
fn what_is_too_long_is_not_written_and_what_cannot_be_a_uri_is_not_read() {
    let offer = |answer: usize, user: &[u8]| {
        datagram(Body::Offer(Box::new(Offer {
            call: CallName { origin: "one".into(), number: 1 },
            to_instance: 0,
            visited: vec!["one".into()],
            avoid: Vec::new(),
            hops_left: 1,
            must_take: false,
            client: "192.0.2.1:5060".parse().unwrap(),
            transport: Transport::Udp,
            user: user.to_vec(),
            answer: vec![b'x'; answer],
        })))
        .encode(KEY)
    };
    assert_eq!(offer(DATAGRAM_BYTES_MAX, b"bob"), None);
    assert_eq!(offer(70_000, b"bob"), None);
    for bad in [&b"a>b"[..], b"a b", b"a\r\nb", b"<", b"\"", b"\xC3\xA4"] {
        let bytes = offer(0, bad).unwrap();
        assert_eq!(Datagram::decode(&bytes, KEY), Err(Ignored::BadSection), "{bad:?}");
    }
}
