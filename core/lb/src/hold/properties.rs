//! For any events in any order: the bounds hold, each action can be done, and in the end nothing is left.

use base::Time;
use base::fields::{Reader, Writer};
use proptest::prelude::*;

use super::tests::{at, kept_over};
use super::*;

const ENTRIES_MAX: usize = 6;
const BYTES_MAX: usize = 2500;

#[derive(Clone, Debug)]
enum Step {
    Keep {
        key: u64,
        class: Class,
        transport: sip::Transport,
        server: u32,
        server_reliable: bool,
        failover: bool,
        to_client: bool,
    },
    Response {
        key: u64,
        class: Class,
        status: u16,
        server: u32,
        /// It is of a state tier with all others.
        of_tier: bool,
    },
    Cancel {
        key: u64,
    },
    Acknowledged {
        key: u64,
    },
    Passed {
        key: u64,
        server: u32,
    },
    Failed {
        server: u32,
        of_tier: bool,
    },
    AskedAgain {
        key: u64,
        class: Class,
        server: u32,
    },
    Lost {
        server: u32,
    },
    Unsent {
        server: u32,
    },
    Wait {
        ms: u64,
    },
    /// Another load manager goes on with all of it.
    HandedOver,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..4_u64;
    let server = 0..3_u32;
    let class = prop_oneof![3 => Just(Class::Invite), 1 => Just(Class::Other)];
    let any_class = prop_oneof![4 => Just(Class::Invite), 1 => Just(Class::Other), 2 => Just(Class::Cancel)];
    let transport = prop_oneof![Just(sip::Transport::Udp), Just(sip::Transport::Tcp)];
    let status =
        prop_oneof![4 => Just(180_u16), 1 => Just(100), 2 => Just(200), 2 => Just(486), 1 => Just(487)];
    prop_oneof![
        2 => (key.clone(), class.clone(), server.clone())
            .prop_map(|(key, class, server)| Step::AskedAgain { key, class, server }),
        4 => (key.clone(), class, transport, server.clone(), any::<bool>(), any::<bool>(), 0..5_u8).prop_map(
            |(key, class, transport, server, server_reliable, failover, kind)| Step::Keep {
                key, class, transport, server, server_reliable, failover, to_client: kind == 0
            }
        ),
        6 => (key.clone(), any_class, status, server.clone(), any::<bool>()).prop_map(
            |(key, class, status, server, of_tier)| Step::Response { key, class, status, server, of_tier }
        ),
        1 => key.clone().prop_map(|key| Step::Cancel { key }),
        1 => key.clone().prop_map(|key| Step::Acknowledged { key }),
        2 => (key, server.clone()).prop_map(|(key, server)| Step::Passed { key, server }),
        2 => (server.clone(), any::<bool>()).prop_map(|(server, of_tier)| Step::Failed { server, of_tier }),
        3 => server.clone().prop_map(|server| Step::Lost { server }),
        2 => server.prop_map(|server| Step::Unsent { server }),
        1 => Just(Step::HandedOver),
        4 => prop_oneof![0..1000_u64, 1000..40_000_u64].prop_map(|ms| Step::Wait { ms }),
    ]
}

/// A router that does as it is told: chooses the first server that was not tried, if `choose` allows.
fn obey(held: &Held, alarms: &mut Alarms, now: Time, choose: bool) {
    let mut message = Vec::new();
    let mut actions = 0;
    while let Some(action) = held.next_due(now, alarms, &mut message) {
        actions += 1;
        assert!(actions <= 100, "no end of actions at {now:?}");
        assert!(!message.is_empty(), "{action:?} without its message");
        let Action { key, class, .. } = action;
        match action.what {
            What::Send { .. } => {}
            What::Answer { .. } | What::Passed => assert_eq!(class, Class::Invite),
            What::Reroute { .. } if action.to_client => panic!("{action:?}: no server takes that over"),
            What::Reroute { tried, .. } => match (0..3)
                .map(ServerId)
                .find(|id| choose && !tried.contains(*id))
            {
                Some(server) => assert!(held.moved(now, alarms, key, class, server, key.is_multiple_of(2))),
                None => held.no_server(now, alarms, key, class),
            },
        }
    }
    assert!(alarms.next_deadline().is_none_or(|deadline| deadline > now));
}

/// All of it as bytes, in an order that does not depend on the table.
fn written(held: &Held) -> Vec<u8> {
    let mut writer = Writer::default();
    held.write(1, &mut writer);
    let bytes = writer.into_bytes();
    let mut groups: Vec<&[u8]> = Reader::new(&bytes).all(1).collect();
    groups.sort_unstable();
    let mut sorted = Writer::default();
    groups.into_iter().for_each(|group| sorted.bytes(1, group));
    sorted.into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bounds_hold_and_all_ends(steps in prop::collection::vec((step(), 0..2_usize), 1..80), choose in any::<bool>()) {
        let mut held = Held::new(Limits::new(ENTRIES_MAX, BYTES_MAX));
        let mut workers = [Alarms::new(0, ENTRIES_MAX), Alarms::new(1, ENTRIES_MAX)];
        let mut ms = 0;
        for (step, worker) in steps {
            let alarms = &mut workers[worker];
            match step {
                Step::Keep { key, class, transport, server, server_reliable, failover, to_client } => {
                    let to = Target::Datagram { listener: 0, to: std::net::SocketAddr::from(([192, 0, 2, 9], 5060)) };
                    let message = format!("M{key} sip:x SIP/2.0\r\n{}", "x".repeat(key as usize * 100));
                    let kept = Kept { class, server: ServerId(server), server_reliable, failover, to_client: to_client.then_some(to), ..kept_over(transport, message.as_bytes()) };
                    let _ = held.keep(at(ms), alarms, key, &kept);
                }
                Step::Response { key, class, status, server, of_tier } => {
                    let speaker = Speaker { server: ServerId(server), speaks_for: &|_| of_tier };
                    let verdict = held.response(at(ms), alarms, key, class, status, speaker);
                    // A 2xx to an INVITE has made a dialog: it always reaches the caller (RFC 6026 §7.2).
                    prop_assert!(class != Class::Invite || status != 200 || verdict == Verdict::Pass);
                }
                Step::Cancel { key } => {
                    let message = format!("CANCEL sip:{key} SIP/2.0\r\n");
                    held.cancel(at(ms), alarms, key, &Kept { class: Class::Cancel, ..kept_over(sip::Transport::Tcp, message.as_bytes()) });
                }
                Step::Acknowledged { key } => { held.acknowledged(at(ms), alarms, key); }
                Step::Passed { key, server } => {
                    let (flow, failure) = (kept_over(sip::Transport::Udp, b"").flow, [b'x'; 700]);
                    held.failure_passed(at(ms), alarms, key, ServerId(server), (flow, &failure));
                }
                Step::Failed { server, of_tier: false } => held.server_failed(at(ms), alarms, ServerId(server)),
                Step::Failed { server, of_tier: true } => held.server_failed_in_tier(at(ms), alarms, ServerId(server)),
                Step::AskedAgain { key, class, server } => {
                    let message = format!("M{key} sip:x SIP/2.0\r\n{}", "y".repeat(server as usize * 400));
                    let kept = Kept { class, server: ServerId(server), ..kept_over(sip::Transport::Tcp, message.as_bytes()) };
                    let back = Target::Datagram { listener: 0, to: std::net::SocketAddr::from(([192, 0, 2, 9], 5060)) };
                    let asker = Asker { server: ServerId(server), back, via: b"SIP/2.0/TCP farm".as_slice().into() };
                    held.asked_again(at(ms), alarms, key, (&kept, asker), |_| true);
                }
                Step::Lost { server } => { held.connection_lost(at(ms), alarms, ServerId(server)); }
                Step::Unsent { server } => { held.unsent(at(ms), alarms, ServerId(server)); }
                Step::Wait { ms: more } => ms += more,
                Step::HandedOver => {
                    let before = held;
                    let bytes = written(&before);
                    held = Held::new(Limits::new(ENTRIES_MAX, BYTES_MAX));
                    workers = [Alarms::new(0, ENTRIES_MAX), Alarms::new(1, ENTRIES_MAX)];
                    for group in Reader::new(&bytes).groups(1) {
                        let taken: Vec<_> = (0..2_u8)
                            .filter_map(|own| held.read(at(ms), &mut workers[usize::from(own)], group, |by| by == own))
                            .collect();
                        prop_assert_eq!(taken, [true]);
                    }
                    prop_assert_eq!((held.len(), held.bytes()), (before.len(), before.bytes()));
                    prop_assert_eq!(written(&held), bytes);
                }
            }
            for alarms in &mut workers {
                obey(&held, alarms, at(ms), choose);
            }
            prop_assert!(held.len() <= ENTRIES_MAX && held.bytes() <= BYTES_MAX);
        }
        // Timer C, and anything that may follow it.
        for minute in 0..10 {
            for alarms in &mut workers {
                obey(&held, alarms, at(ms + minute * 60_000), choose);
            }
        }
        prop_assert_eq!((held.len(), held.bytes()), (0, 0));
        prop_assert!(workers.iter().all(Alarms::is_empty));
    }
}
