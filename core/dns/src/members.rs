//! The servers of a farm that a name stands for: one for each place, with its share of the calls by the weights of the records, and
//! its tier by their priorities.

use std::net::SocketAddr;

use sip::Transport;

use crate::locate::Choice;

/// The largest share. A record's weight may be larger.
pub const WEIGHT_MAX: u32 = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub address: SocketAddr,
    pub transport: Transport,
    /// `None`: the records give no weights, so all weigh alike.
    pub weight: Option<u32>,
    /// 0 for the lowest priority number among the records, 1 for the next, and so on.
    pub tier: u8,
}

/// One member for each address, in the order of their tiers and addresses. An address that comes twice counts where it is first.
pub fn members(choices: &[Choice]) -> Vec<Member> {
    let mut priorities: Vec<u16> = choices.iter().map(|choice| choice.priority).collect();
    priorities.sort_unstable();
    priorities.dedup();
    let mut all: Vec<Member> = Vec::new();
    for (tier, priority) in priorities.into_iter().enumerate() {
        let group: Vec<&Choice> = choices.iter().filter(|choice| choice.priority == priority).collect();
        let weights: Vec<u16> = group.iter().map(|choice| choice.weight).collect();
        let mut members: Vec<Member> = group
            .iter()
            .flat_map(|choice| {
                let weight = share(choice.weight, &weights);
                let tier = u8::try_from(tier).unwrap_or(u8::MAX);
                let transport = choice.transport;
                choice.addresses.iter().map(move |address| Member {
                    address: *address,
                    transport,
                    weight,
                    tier,
                })
            })
            .collect();
        members.sort_by_key(|member| member.address);
        for member in members {
            if all.iter().all(|known| known.address != member.address) {
                all.push(member);
            }
        }
    }
    all
}

/// The share of a record among the records of its priority: its weight. If one of them has no weight, or one has more than
/// [`WEIGHT_MAX`], the largest is taken as [`WEIGHT_MAX`], the others in proportion, and no share is zero: a record without weight
/// is to get little, not nothing (RFC 2782).
fn share(weight: u16, all: &[u16]) -> Option<u32> {
    let largest = u32::from(all.iter().copied().max().unwrap_or(0));
    if largest == 0 {
        return None;
    }
    let weight = u32::from(weight);
    let as_written = largest <= WEIGHT_MAX && !all.contains(&0);
    Some(if as_written { weight } else { (weight * WEIGHT_MAX / largest).max(1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(priority: u16, weight: u16, port: u16) -> Choice {
        let addresses = vec![SocketAddr::from(([192, 0, 2, 1], port))];
        Choice { priority, weight, transport: Transport::Udp, addresses }
    }

    fn told(choices: &[Choice]) -> Vec<(u16, Option<u32>, u8)> {
        members(choices).iter().map(|member| (member.address.port(), member.weight, member.tier)).collect()
    }

    #[test]
    fn weights_and_priorities_of_records_are_shares_and_tiers() {
        let as_written = [choice(20, 5, 3), choice(10, 30, 1), choice(10, 70, 2)];
        assert_eq!(told(&as_written), [(1, Some(30), 0), (2, Some(70), 0), (3, Some(5), 1)]);
        assert_eq!(told(&[choice(0, 0, 1), choice(0, 0, 2)]), [(1, None, 0), (2, None, 0)]);
        let with_none = [choice(0, 0, 1), choice(0, 1, 2), choice(0, 2, 3)];
        assert_eq!(told(&with_none), [(1, Some(1), 0), (2, Some(500), 0), (3, Some(1000), 0)]);
        let large = [choice(65535, 65535, 1), choice(65535, 655, 2)];
        assert_eq!(told(&large), [(1, Some(1000), 0), (2, Some(9), 0)]);
        assert_eq!(told(&[choice(1, 2, 1), choice(0, 3, 1)]), [(1, Some(3), 0)], "an address is one server");
        let tiers: Vec<Choice> = (0..300).map(|number| choice(number, 1, number + 1)).collect();
        assert_eq!(told(&tiers)[299].2, 255);
    }
}
