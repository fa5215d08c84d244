//! Single calls through a fair network, each with one fault at one moment, from the caller's point of view.

use base::{Duration, Time};
use lb::settings::{Affinity, HoldSetup, Selection};
use sip::Transport;

use crate::callers::{Outcome, Plan};
use crate::checkers;
use crate::farm::Farm;
use crate::fate::{Fate, Manners};
use crate::fault::{Fault, What};
use crate::link::Weather;
use crate::scenario::{Kind, Scenario};

fn ms(ms: u64) -> Time {
    Time::from_millis(ms)
}

/// One call at 1 s, by TCP, to the first of two servers, which rings for 2 to 4 s and answers.
fn story(change: impl FnOnce(&mut Scenario)) -> Farm {
    let mut scenario = Scenario::drawn(0, Kind::ServerLost);
    scenario.weather = Weather::FAIR;
    scenario.workers = 2;
    scenario.managers.truncate(1);
    scenario.icmp = false;
    scenario.clocks = Default::default();
    scenario.phones.clear();
    scenario.server_transport = Transport::Udp;
    scenario.faults.clear();
    scenario.manners = Manners { refuses_permille: 0, hangs_up_permille: 0, rings: Duration::from_secs(4) };
    scenario.servers.truncate(2);
    let settings = &mut scenario.managers[0];
    settings.servers.truncate(2);
    settings.affinity = Affinity::Tag;
    settings.selection = Selection::RoundRobin;
    settings.hold_setup = HoldSetup::Stream;
    let manager = settings.listeners[0].advertise;
    scenario.calls = vec![Plan {
        transport: Transport::Tcp,
        manager,
        starts: ms(1000),
        talks: Duration::from_secs(2),
        patience: None,
    }];
    change(&mut scenario);
    Farm::new(scenario).run()
}

/// The server at which a story's only call rings. A run without a fault finds it: the same seed chooses the same server.
fn rings_at() -> usize {
    let farm = story(|_| {});
    assert_eq!(farm.callers[0].outcome, Outcome::Answered);
    farm.servers.iter().position(|server| !server.witness.seen.is_empty()).expect("it rang somewhere")
}

fn lost(at: u64, fate: Fate) -> Fault {
    Fault::server(ms(at), rings_at(), fate)
}

fn is_right(farm: &Farm) {
    assert_eq!(checkers::all(farm), Vec::<String>::new());
}

/// T3: killed between the 180 and the 200.
#[test]
fn a_server_dies_while_it_rings_and_the_caller_hears_another() {
    let farm = story(|scenario| scenario.faults.push(lost(2000, Fate::Dead)));
    let caller = &farm.callers[0];
    assert_eq!((caller.outcome, caller.early.len(), &caller.byes[..]), (Outcome::Answered, 2, &[200][..]));
    assert_eq!(farm.managers[0].shared.held.counts().rerouted_failed, 1);
    is_right(&farm);
}

/// The same without holding, to show the purpose of holding.
#[test]
fn without_holding_the_call_is_dead() {
    let farm = story(|scenario| {
        scenario.managers[0].hold_setup = HoldSetup::Off;
        scenario.faults.push(lost(2000, Fate::Dead));
    });
    assert_eq!(farm.callers[0].outcome, Outcome::Pending);
}

/// T4: killed between the 200 and the ACK. The call is answered; its other messages go to the server that takes over.
#[test]
fn a_server_dies_when_it_has_answered() {
    let answers_at = story(|_| {})
        .servers
        .iter()
        .find_map(|server| server.witness.answered.first().cloned())
        .expect("it answers")
        .1;
    // The answer reaches the caller within 2 to 4 ms, and the ACK takes as long.
    let farm = story(|scenario| scenario.faults.push(lost(answers_at.as_millis() + 2, Fate::Dead)));
    assert_eq!(farm.callers[0].outcome, Outcome::Answered);
    // 481: the server that took over does not know the dialog, and so the call ends for the caller, too.
    assert_eq!(farm.callers[0].byes, [481]);
    is_right(&farm);
}

#[test]
fn a_caller_gives_up_on_the_second_server() {
    let farm = story(|scenario| {
        scenario.faults.push(lost(1500, Fate::Dead));
        scenario.calls[0].patience = Some(Duration::from_millis(2800));
    });
    let caller = &farm.callers[0];
    assert_eq!((caller.outcome, caller.early.len()), (Outcome::Refused(487), 2));
    is_right(&farm);
}

#[test]
fn a_caller_gives_up_and_then_the_server_dies() {
    let farm = story(|scenario| {
        scenario.calls[0].patience = Some(Duration::from_millis(500));
        // The server gets the CANCEL and never answers it.
        scenario.faults.push(lost(1501, Fate::Dead));
    });
    let caller = &farm.callers[0];
    assert_eq!((caller.outcome, caller.early.len()), (Outcome::Refused(487), 1));
    assert_eq!(farm.managers[0].shared.held.counts().answered, 1);
    is_right(&farm);
}

#[test]
fn a_server_hangs_before_it_says_anything_and_another_is_asked() {
    let farm = story(|scenario| {
        scenario.faults.push(lost(0, Fate::Hung));
        scenario.faults.push(lost(20_000, Fate::Alive));
    });
    let counts = farm.managers[0].shared.held.counts();
    assert_eq!(farm.callers[0].outcome, Outcome::Answered);
    assert_eq!(
        (counts.rerouted_silent + counts.rerouted_failed, counts.cancelled > 0),
        (1, true),
        "{counts:?}"
    );
    is_right(&farm);
}

#[test]
fn what_the_table_cannot_hold_goes_through_unheld() {
    let farm = story(|scenario| {
        scenario.managers[0].held_max = 2;
        let call = scenario.calls[0];
        scenario.calls = (0..6).map(|number| Plan { starts: ms(1000 + number * 10), ..call }).collect();
    });
    let counts = farm.managers[0].shared.held.counts();
    assert_eq!(farm.callers.iter().filter(|caller| caller.outcome == Outcome::Answered).count(), 6);
    assert!(counts.kept >= 2 && counts.full >= 4, "{counts:?}");
    is_right(&farm);
}

/// If all copies of a BYE are lost, it gets no answer, and no node is to blame.
#[test]
fn a_bye_that_the_network_lost_with_all_its_copies_is_nobodys_fault() {
    let farm = story(|scenario| {
        scenario.calls[0].transport = Transport::Udp;
        scenario.manners.rings = Duration::from_secs(2);
        let silence = Weather { loss_permille: 1000, ..Weather::FAIR };
        scenario.faults.push(Fault { at: ms(4000), what: What::Weather(silence) });
        scenario.faults.push(Fault { at: ms(60_000), what: What::Weather(Weather::FAIR) });
    });
    assert_eq!((farm.callers[0].outcome, &farm.callers[0].byes[..]), (Outcome::Answered, &[408][..]));
    assert_eq!(farm.unlucky().len(), 1);
    is_right(&farm);
}
