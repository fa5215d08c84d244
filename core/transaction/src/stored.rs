//! Stored machines: their bytes are a promise to the cluster's other processes, of this release and of the next.

use base::{Duration, Time};
use proptest::prelude::*;

use crate::clock::{Clock, State};
use crate::*;

/// Lines of `machine state bytes`, in hexadecimal.
const GOLDEN: &str = include_str!("../golden/machines.txt");

const ORIGIN: Time = Time::from_secs(1000);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Each machine in each state on the way to its end, one second after its start.
fn machines() -> Vec<(&'static str, String, [u8; MACHINE_BYTES])> {
    let (timers, later) = (Timers::default(), ORIGIN + Duration::from_secs(1));
    let mut all = Vec::new();
    macro_rules! steps {
        ($name:literal, $machine:expr, $($event:expr),*) => {
            let mut machine = $machine;
            all.push(($name, format!("{:?}", machine.state()), machine.to_bytes(ORIGIN)));
            $(
                machine.handle(later, $event, &timers);
                all.push(($name, format!("{:?}", machine.state()), machine.to_bytes(ORIGIN)));
            )*
        };
    }
    use InviteClientEvent as Ic;
    steps!(
        "InviteClient",
        InviteClient::start(ORIGIN, false, &timers),
        Ic::TimerA,
        Ic::Provisional,
        Ic::Failure,
        Ic::TimerD
    );
    steps!("InviteClient", InviteClient::start(ORIGIN, true, &timers), Ic::Success);
    use NonInviteClientEvent as Nc;
    steps!(
        "NonInviteClient",
        NonInviteClient::start(ORIGIN, false, &timers),
        Nc::TimerE,
        Nc::Provisional,
        Nc::Final,
        Nc::TimerK
    );
    use InviteServerEvent as Is;
    steps!("InviteServer", InviteServer::start(false), Is::Failure, Is::TimerG, Is::Ack, Is::TimerI);
    steps!(
        "InviteServer",
        InviteServer::start_unanswered(ORIGIN, true, &timers),
        Is::TimerTrying,
        Is::Success
    );
    use NonInviteServerEvent as Ns;
    steps!(
        "NonInviteServer",
        NonInviteServer::start(ORIGIN, false, &timers),
        Ns::TimerTrying,
        Ns::Final,
        Ns::TimerJ
    );
    steps!("Success", Success::start(ORIGIN, &timers), SuccessEvent::TimerRepeat, SuccessEvent::Ack);
    all
}

#[test]
fn the_bytes_are_those_of_the_golden_file() {
    let mut written = String::new();
    for (machine, state, bytes) in machines() {
        written += &format!("{machine} {state} {}\n", hex(&bytes));
    }
    println!("{written}");
    assert_eq!(written, GOLDEN);
}

#[test]
fn each_is_as_large_as_it_was() {
    assert_eq!(MACHINE_BYTES, 20);
    assert_eq!(size_of::<InviteClient>(), 24);
    assert_eq!(size_of::<InviteServer>(), 24);
    assert_eq!(size_of::<NonInviteClient>(), 24);
    assert_eq!(size_of::<NonInviteServer>(), 24);
    assert_eq!(size_of::<Success>(), 24);
}

/// Another process has another clock; the stored times count from a moment that both know.
#[test]
fn a_deadline_is_as_far_away_for_the_reader_as_for_the_writer() {
    let timers = Timers::default();
    let machine = InviteClient::start(ORIGIN, false, &timers);
    let there = Time::from_secs(5);
    let read = InviteClient::from_bytes(&machine.to_bytes(ORIGIN), there).unwrap();
    assert_eq!(read, InviteClient::start(there, false, &timers));
    // A deadline in the past is due at once.
    let late = InviteClient::from_bytes(&machine.to_bytes(ORIGIN + Duration::from_secs(60)), there).unwrap();
    assert_eq!(late.due(there), Some(InviteClientEvent::TimerB));
}

#[test]
fn bytes_of_another_machine_or_state_are_refused() {
    let timers = Timers::default();
    let good = Success::start(ORIGIN, &timers).to_bytes(ORIGIN);
    assert_eq!(InviteClient::from_bytes(&good, ORIGIN), Err(BadMachine::Kind));
    for (at, value, expected) in [
        (0, 0x25, BadMachine::Kind),
        (1, 2, BadMachine::State),
        (1, 255, BadMachine::State),
        (2, 2, BadMachine::State),
    ] {
        let mut bytes = good;
        bytes[at] = value;
        assert_eq!(Success::from_bytes(&bytes, ORIGIN), Err(expected));
    }
}

/// Bytes that can be read are written back the same, and their machine can be driven on.
fn check<S: State + std::fmt::Debug>(mut bytes: [u8; MACHINE_BYTES], origin: Time) {
    bytes[0] = 0x10 | S::KIND;
    bytes[1] %= S::ALL.len() as u8;
    bytes[2] %= 2;
    let read = Clock::<S>::from_bytes(&bytes, origin).unwrap();
    // A deadline beyond the end of time never comes.
    assert_eq!(Clock::<S>::from_bytes(&read.to_bytes(origin), origin), Ok(read));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in any::<[u8; MACHINE_BYTES]>(), seconds in 0u64..1 << 40, near in any::<bool>()) {
        let (origin, timers) = (Time::from_secs(seconds), Timers::default());
        let mut bytes = bytes;
        if near {
            bytes[4..8].fill(0);
            bytes[12..16].fill(0);
        }
        check::<InviteClientState>(bytes, origin);
        check::<InviteServerState>(bytes, origin);
        check::<NonInviteClientState>(bytes, origin);
        check::<NonInviteServerState>(bytes, origin);
        check::<SuccessState>(bytes, origin);
        bytes[0] = 0x13;
        if let Ok(mut machine) = InviteServer::from_bytes(&bytes, origin)
            && let Some(event) = machine.due(origin)
        {
            machine.handle(origin, event, &timers);
        }
    }
}
