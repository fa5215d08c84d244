//! The datagrams that members of a group exchange: any bytes as one, without and behind a right authenticator, and what a
//! group does with them.

#![no_main]

use base::Time;
use heartbeat::Transport;
use heartbeat::authenticator;
use libfuzzer_sys::fuzz_target;
use shift::{
    AllAbove, Call, Criterion, Datagram, Group, Measure, Measures, Model, Outbox, ServiceState, Settings, Sharing,
};

const KEY: &[u8] = b"a key";

fn group() -> Group {
    let mut group = Group::new(Settings {
        name: "a".into(),
        peers: vec![("b".into(), "10.0.0.2:1".parse().unwrap()), ("c".into(), "10.0.0.3:1".parse().unwrap())],
        key: KEY.to_vec().into(),
        sharing: Sharing::Poll,
        period: base::Duration::from_secs(1),
        decay_periods: 3,
        model: Model { thresholds: vec![(Measure::Calls, 1)], weighted: vec![] },
        criteria: vec![Criterion::First],
        all_above: AllAbove::LeastLoaded,
        retry_after_seconds: 1,
        state: ServiceState::Normal,
        cost: 0,
        quality: 1,
        region: String::new(),
        contacts: vec![(Transport::Udp, "10.0.0.1:5060".into())],
        started_at_micros: 1,
        chance: base::Chance::seeded(1),
    })
    .unwrap();
    group.set_measures(Measures { calls: 2, ..Measures::default() });
    group
}

fuzz_target!(|bytes: &[u8]| {
    assert!(Datagram::decode(bytes, b"a key that no input is signed with").is_err());
    // Many datagrams in one input, each behind a length byte, signed as a member would.
    let (mut group, mut out, mut now) = (group(), Outbox::default(), Time::from_secs(1));
    group.join(now, &mut out);
    let call = Call {
        client: "192.0.2.1:5060".parse().unwrap(),
        transport: Transport::Udp,
        user: b"u".to_vec(),
        answer: Vec::new(),
        max_forwards: 70,
    };
    group.offer(now, call, &mut out);
    let mut rest = bytes;
    while let Some((length, after)) = rest.split_first() {
        let (one, behind) = after.split_at(usize::from(*length).min(after.len()));
        rest = behind;
        let mut signed = one.to_vec();
        if signed.len() >= 8 {
            let total = (signed.len() + 16) as u16;
            signed[..5].copy_from_slice(&[0xDE, 0xAD, 0xFA, 0xD0, 1]);
            signed[6..8].copy_from_slice(&total.to_be_bytes());
        }
        let authenticator = authenticator::make(KEY, &signed);
        signed.extend_from_slice(&authenticator);
        if let Ok(datagram) = Datagram::decode(&signed, KEY) {
            let again = datagram.encode(KEY).expect("what was read fits");
            assert_eq!(Datagram::decode(&again, KEY), Ok(datagram));
        }
        group.handle(now, &signed, &mut out);
        now = now + base::Duration::from_millis(50);
        group.handle_timeout(now, &mut out);
    }
    assert!(out.datagrams.iter().all(|(to, _)| to.port() == 1), "only members are written to");
});
