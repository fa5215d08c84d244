//! What names stood for last, for the process that takes the place of this one: its servers stay, even while name servers fail.

use base::Time;
use base::fields::{Reader, Writer};
use dns::members::{Member, WEIGHT_MAX};
use lb::farm::server_table::ServerTable;
use lb::settings::ServerEntry;
use turn::stored::{transport_number, transport_of};

use super::Names;

/// Beside the names of `lb::hand_over`, which has the small numbers: one group for each name.
const NAME: u8 = 64;

mod name {
    /// As the configuration writes it.
    pub(super) const WRITTEN: u8 = 1;
    /// One group for each server.
    pub(super) const MEMBER: u8 = 2;
    pub(super) const ADDRESS: u8 = 3;
    pub(super) const TRANSPORT: u8 = 4;
    pub(super) const WEIGHT: u8 = 5;
    pub(super) const TIER: u8 = 6;
}

impl Names {
    pub(crate) fn write(&self, into: &mut Writer) {
        for followed in &self.followed {
            into.group(NAME, |into| {
                into.text(name::WRITTEN, &followed.named.written);
                for member in followed.follower.members() {
                    into.group(name::MEMBER, |into| write_member(member, into));
                }
            });
        }
    }

    /// A name that this process has, too, and that nobody has answered yet stands for what it stood for.
    pub(crate) fn go_on_with(
        &mut self,
        from: Reader<'_>,
        now: Time,
        configured: &[ServerEntry],
        table: &mut ServerTable,
    ) {
        for from in from.groups(NAME) {
            let followed =
                self.followed.iter_mut().find(|known| from.text(name::WRITTEN) == Some(&known.named.written));
            if let Some(followed) = followed {
                followed.follower.go_on_with(from.groups(name::MEMBER).filter_map(read_member).collect());
            }
        }
        self.give(now, configured, table);
    }
}

fn write_member(member: &Member, into: &mut Writer) {
    into.address(name::ADDRESS, member.address);
    into.number(name::TRANSPORT, transport_number(member.transport));
    member.weight.iter().for_each(|weight| into.number(name::WEIGHT, u64::from(*weight)));
    into.number(name::TIER, u64::from(member.tier));
}

fn read_member(from: Reader<'_>) -> Option<Member> {
    Some(Member {
        address: from.address(name::ADDRESS)?,
        transport: transport_of(from.number(name::TRANSPORT)?)?,
        weight: from.small(name::WEIGHT).map(|weight: u32| weight.min(WEIGHT_MAX)),
        tier: from.small(name::TIER).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use sip::Transport;

    use super::*;

    #[test]
    fn a_server_is_read_as_it_was_written_and_without_an_address_it_is_none() {
        let member = Member {
            address: "192.0.2.1:5060".parse().unwrap(),
            transport: Transport::Tcp,
            weight: Some(7),
            tier: 2,
        };
        for member in [member, Member { weight: None, tier: 0, ..member }] {
            let mut writer = Writer::default();
            write_member(&member, &mut writer);
            let bytes = writer.into_bytes();
            assert_eq!(read_member(Reader::new(&bytes)), Some(member));
            assert_eq!(read_member(Reader::new(&bytes[..5])), None);
        }
    }
}
