//! The order in which one message tries the places of a name (RFC 2782, "Usage rules"): lower priority numbers first; among equal
//! ones by chance, in proportion to the weights.

use std::net::SocketAddr;

use base::Chance;
use sip::Transport;

use crate::locate::Choice;

/// All places, the first to be tried first. The addresses of one record stay together.
pub fn in_order(choices: &[Choice], chance: &mut Chance) -> Vec<(Transport, SocketAddr)> {
    let mut left: Vec<&Choice> = choices.iter().collect();
    // Records without weight stand first, so that chance reaches them seldom, but does.
    left.sort_by_key(|choice| (choice.priority, choice.weight != 0));
    let mut ordered = Vec::new();
    while let Some(first) = left.first() {
        let best = first.priority;
        let group = left.iter().take_while(|choice| choice.priority == best);
        let sum: u64 = group.clone().map(|choice| u64::from(choice.weight)).sum();
        let drawn = chance.below(sum + 1);
        let running = group.scan(0, |running, choice| {
            *running += u64::from(choice.weight);
            Some(*running)
        });
        let at = running.take_while(|running| *running < drawn).count();
        let choice = left.remove(at);
        ordered.extend(choice.addresses.iter().map(|address| (choice.transport, *address)));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn choice(priority: u16, weight: u16, last: u8) -> Choice {
        let addresses = vec![SocketAddr::from(([192, 0, 2, last], 5060))];
        Choice { priority, weight, transport: Transport::Udp, addresses }
    }

    #[test]
    fn each_place_is_tried_once_by_priority_and_weight() {
        let choices = [choice(20, 5, 9), choice(10, 0, 1), choice(10, 1, 2), choice(10, 3, 3)];
        let (mut chance, mut first) = (Chance::seeded(1), HashMap::new());
        for _ in 0..10_000 {
            let order: Vec<u8> = in_order(&choices, &mut chance)
                .iter()
                .map(|(_, address)| match address.ip() {
                    std::net::IpAddr::V4(ip) => ip.octets()[3],
                    std::net::IpAddr::V6(_) => 0,
                })
                .collect();
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!((sorted.as_slice(), order[3]), ([1, 2, 3, 9].as_slice(), 9));
            *first.entry(order[0]).or_insert(0) += 1;
        }
        // The draw is from 0 to 4: the record without weight has one of five, the others as many as they weigh.
        for (last, share) in [(1, 2_000), (2, 2_000), (3, 6_000)] {
            assert!((share - 250..share + 250).contains(&first[&last]), "{first:?}");
        }
    }

    #[test]
    fn the_same_chance_gives_the_same_order() {
        let choices: Vec<Choice> = (0..20).map(|number| choice(1, 10, number)).collect();
        let order = |seed| in_order(&choices, &mut Chance::seeded(seed));
        assert_eq!(order(7), order(7));
        assert_ne!(order(7), order(8));
        assert!(in_order(&[], &mut Chance::seeded(1)).is_empty());
    }
}
