//! What must hold after every run.

use base::Time;

use super::case::Kind;
use super::world::World;
use crate::callers::{Caller, Outcome};

impl World {
    /// All that somebody has to complain of. Calls that failed by the network's chance alone are excused.
    pub fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        type Check = fn(&World) -> Vec<String>;
        let all: [(&str, Check); 10] = [
            ("comes to an end", end),
            ("every call ends", ends),
            ("hung up from both sides", hung_up),
            ("rings once", rings),
            ("nobody talks to nobody", talks),
            ("no stray", strays),
            ("one text", texts),
            ("nothing goes round", rounds),
            ("no old record", stale),
            ("nothing left", left),
        ];
        for (name, check) in all {
            wrong.extend(check(self).into_iter().map(|line| format!("{name}: {line}")));
        }
        let unlucky = self.losses.unlucky(false);
        wrong.retain(|line| !unlucky.iter().any(|call_id| line.contains(call_id)));
        wrong
    }

    /// The caller of a callee's Call-ID.
    fn caller_of(&self, call_id: &str) -> Option<&Caller> {
        let name = self.tap.callers.get(call_id)?;
        self.callers.iter().find(|caller| name_of(caller) == name)
    }

    /// Callees that hung up this caller.
    fn callee_hung_up(&self, caller: &Caller) -> bool {
        let byes = self.callees.iter().flat_map(|callee| callee.witness.byes());
        byes.into_iter()
            .any(|(call_id, _)| self.tap.callers.get(call_id).is_some_and(|name| name == name_of(caller)))
    }
}

fn name_of(caller: &Caller) -> &str {
    caller.call_id.split('@').next().unwrap_or_default()
}

/// Nothing goes round and round.
fn end(world: &World) -> Vec<String> {
    if world.is_endless() { vec!["events without end".into()] } else { Vec::new() }
}

/// Each call is answered or refused as its callee and its caller want it, and in time.
fn ends(world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    for caller in &world.callers {
        let name = &caller.call_id;
        if !caller.is_done() {
            wrong.push(format!("{name} does not end"));
        }
        match caller.outcome {
            Outcome::Answered | Outcome::Refused(486) => {}
            Outcome::Refused(487) if caller.has_cancelled() => {}
            other => wrong.push(format!("{name}: {other:?}")),
        }
        let latest = latest(world, caller);
        if caller.settled.is_some_and(|settled| settled > latest) {
            wrong.push(format!("{name} was settled late: {:?}, not {latest:?}", caller.settled));
        }
    }
    wrong
}

/// When a call is settled at the latest: its callee has rung, or its caller has cancelled it, and all faults meanwhile have cost
/// their time.
fn latest(world: &World, caller: &Caller) -> Time {
    let case = &world.case;
    let rung = caller.plan.starts + case.manners.rings;
    let rung = rung + case.patience(caller.plan.starts);
    // A lossy network may lose the answer to the cancelled INVITE several times.
    let is_sure = case.weather.loss_permille == 0 && caller.cancel_status == Some(200);
    match caller.cancelled.filter(|_| is_sure) {
        Some(at) => rung.min(at + case.patience(at)),
        None => rung,
    }
}

/// A BYE is answered with 200, or with 481 where the other side or the farm has hung up as well.
fn hung_up(world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    for caller in &world.callers {
        for status in &caller.byes {
            let good =
                *status == 200 || *status == 481 && (world.callee_hung_up(caller) || caller.was_hung_up());
            if !good {
                wrong.push(format!("BYE of {}: {status}", caller.call_id));
            }
        }
    }
    for callee in &world.callees {
        for (call_id, status) in callee.witness.byes() {
            let caller = world.caller_of(call_id);
            let farm_hangs_up = world.case.talk_max.is_some();
            // A caller that hears a BYE sends its own no longer, and waits for no answer to it.
            let crossed = caller.is_some_and(|caller| {
                let has_hung_up = !caller.byes.is_empty() || caller.crossed().next().is_some();
                has_hung_up || farm_hangs_up && caller.was_hung_up()
            });
            if status != 200 && !(status == 481 && crossed) {
                let name = caller.map_or("?", |caller| &caller.call_id);
                wrong.push(format!("BYE of callee {} for {name}: {status}", callee.address));
            }
        }
    }
    wrong
}

/// A callee gets one INVITE for each INVITE of a caller, under one name.
fn rings(world: &World) -> Vec<String> {
    let several = world.tap.rings.iter().filter(|(_, names)| names.len() > 1);
    let several = several.map(|((callee, caller), names)| format!("{callee} rings for {caller}@: {names:?}"));
    let again = world.tap.tags.iter().filter(|(_, tags)| tags.len() > 1);
    let again = again.map(|((callee, call_id, _), tags)| {
        let name = world.caller_of(call_id).map_or("?", |caller| &caller.call_id);
        format!("{callee} rings again for one INVITE of {name}: {tags:?}")
    });
    several.chain(again).collect()
}

/// No callee has a call that its caller does not have.
fn talks(world: &World) -> Vec<String> {
    let live = world.callees.iter().filter(|callee| callee.calls() > 0);
    live.map(|callee| format!("{} has {} calls", callee.address, callee.calls())).collect()
}

/// Nobody gets a message that he cannot place.
fn strays(world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    let stood_still = world.seen.contains("engine stops");
    let ends_lost = !world.shard.ends_lost().is_empty();
    for caller in &world.callers {
        // A BYE that was sent again may be answered by two engines.
        // A refused call whose end was lost is refused once more when its record wakes up.
        // An engine that stood still may answer a copy of the INVITE or of its CANCEL when the call is over.
        let excused = |stray: &&String| {
            let came_back = ends_lost && stray.ends_with("in Terminated");
            let came_late = stood_still && stray.starts_with("late: ") && stray.contains(" (Cancel) ");
            stray.starts_with("late: 200 (Bye)") || is_late_refusal(stray) || came_late || came_back
        };
        let strays = caller.strays.iter().filter(|stray| !excused(stray));
        wrong.extend(strays.map(|stray| format!("{}: {stray}", caller.call_id)));
    }
    for callee in &world.callees {
        // A call whose end was lost with a primary is hung up once more when its record wakes up.
        let came_back = |stray: &str| ends_lost && stray.starts_with("unknown dialog: 481 (Bye)");
        for stray in callee.witness.strays().into_iter().filter(|stray| !came_back(stray)) {
            let caller = world.tap.callers.iter().find(|(call_id, _)| stray.contains(&***call_id));
            let caller = caller.and_then(|(call_id, _)| world.caller_of(call_id));
            let name = caller.map_or("?", |caller| &caller.call_id);
            wrong.push(format!("{} of {name}: {stray}", callee.address));
        }
    }
    wrong
}

fn is_late_refusal(stray: &str) -> bool {
    stray.starts_with("487 (Invite)") && stray.ends_with("in Accepted")
}

/// Two engines with one event and one record send the same bytes.
fn texts(world: &World) -> Vec<String> {
    world.tap.twice.clone()
}

/// Who hands a message over says how often that has happened: so it ends somewhere.
fn rounds(world: &World) -> Vec<String> {
    world.tap.uncounted.clone()
}

/// No request goes to a side that has no dialog any longer. Where the store is out of reach, engines go by what they remember; and
/// one that stood still repeats what it passed on before.
fn stale(world: &World) -> Vec<String> {
    match world.case.kind {
        Kind::StateTier => Vec::new(),
        _ if world.seen.contains("engine stops") => Vec::new(),
        Kind::Affinity | Kind::Scattered | Kind::Lasting => world.tap.stale.clone(),
    }
}

/// Records go, and what they leave for late messages. Only an end that was lost with a primary leaves its record; and so do BYEs
/// that crossed at an engine that died, since no side repeats its own: the farm asks both after hours.
fn left(world: &World) -> Vec<String> {
    let (counts, lost) = (world.shard.counts(), world.shard.ends_lost());
    let records = world.shard.records();
    let has_crossed = |key: &str| world.callers.iter().flat_map(Caller::crossed).any(|tag| tag.contains(key));
    let left = records.difference(&lost).map(ToString::to_string).filter(|key| !has_crossed(key));
    let mut wrong: Vec<String> = left.map(|key| format!("the record {key}")).collect();
    if counts.tombstones > 0 && lost.is_empty() {
        wrong.push(format!("{} tombstones", counts.tombstones));
    }
    wrong
}
