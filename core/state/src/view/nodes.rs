//! `CLUSTER NODES`, as Redis 7.0 and Valkey write it: one line a server.
//!
//! ```text
//! id address:port@bus[,hostname[,name=value…]] flags primary ping pong epoch link slots…
//! ```

use super::address::address;
use super::slots::Partitions;
use super::{NoSight, Primary, Replica, Sight};

struct Line<'a> {
    id: &'a str,
    /// Empty: the server does not know its own address yet, or nobody knows it.
    address: Box<str>,
    flags: &'a str,
    primary: &'a str,
    epoch: u64,
    partitions: Partitions,
}

impl Line<'_> {
    fn is(&self, flag: &str) -> bool {
        self.flags.split(',').any(|word| word == flag)
    }
}

pub(super) fn read(asked: &str, text: &str) -> Result<Sight, NoSight> {
    let lines: Vec<Line> =
        text.lines().filter(|line| !line.trim().is_empty()).map(read_line).collect::<Result<_, _>>()?;
    if lines.iter().filter(|line| line.is("myself")).count() != 1 {
        return Err(NoSight("not one line is flagged myself".into()));
    }
    // The asker reaches the server at this address, whatever the server calls itself.
    let address = |line: &Line| if line.is("myself") { asked.into() } else { line.address.clone() };
    let known = |line: &&Line| !line.is("noaddr") && !line.is("handshake");
    let mut sight = Sight::default();
    for line in lines.iter().filter(known).filter(|line| line.is("master")) {
        let primary = Primary { address: address(line), epoch: line.epoch, partitions: line.partitions };
        sight.primaries.push(primary);
    }
    for line in lines.iter().filter(known).filter(|line| line.is("slave")) {
        let Some(primary) = lines.iter().find(|other| other.id == line.primary) else { continue };
        let in_view = !line.is("fail") && !line.is("nofailover");
        sight.replicas.push(Replica { address: address(line), primary: address(primary), in_view });
    }
    sight.count(asked);
    Ok(sight)
}

fn read_line(line: &str) -> Result<Line<'_>, NoSight> {
    let wrong = || NoSight(line.into());
    let mut words = line.split_ascii_whitespace();
    let mut word = || words.next().ok_or_else(wrong);
    let (id, address, flags, primary) = (word()?, word()?, word()?, word()?);
    let (_ping, _pong, epoch, _link) = (word()?, word()?, word()?, word()?);
    let epoch = epoch.parse().map_err(|_| wrong())?;
    let mut partitions = Partitions::default();
    // A slot on its way from one server to another is written in brackets beside the slots that the server has.
    for slots in words.filter(|slots| !slots.starts_with('[')) {
        let (first, last) = slots.split_once('-').unwrap_or((slots, slots));
        let number = |text: &str| text.parse().map_err(|_| wrong());
        partitions.add_slots(number(first)?, number(last)?);
    }
    Ok(Line { id, address: read_address(address).ok_or_else(wrong)?, flags, primary, epoch, partitions })
}

/// The address for clients, with brackets around an IPv6 address.
fn read_address(word: &str) -> Option<Box<str>> {
    let (host, port) = word.split(['@', ',']).next()?.rsplit_once(':')?;
    let _: u16 = port.parse().ok()?;
    Some(address(host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three primaries; a replica of each; one more of the first, which may not be promoted.
    const REDIS: &str = "\
07c37dfeb235213a872192d90877d0cd55635b91 127.0.0.1:30004@31004,host4 slave e7d1eecce10fd6bb5eb35b9f99a514335d9ba9ca 0 1426238317239 1 connected
67ed2db8d677e59ec4a4cefb06858cf2a1a89fa1 127.0.0.1:30002@31002,host2 master - 0 1426238316232 2 connected 5461-10922
292f8b365bb7edb5e285caf0b7e6ddc7265d2f4f 127.0.0.1:30003@31003 master - 0 1426238318243 3 connected 10923-16383 [93-<-67ed2db8d677e59ec4a4cefb06858cf2a1a89fa1]
6ec23923021cf3ffec47632106199cb7f496ce01 127.0.0.1:30005@31005 slave,fail? 67ed2db8d677e59ec4a4cefb06858cf2a1a89fa1 0 1426238316232 2 connected
824fe116063bc5fcf9f4ffd895bc17aee7731ac3 127.0.0.1:30006@31006 slave,nofailover e7d1eecce10fd6bb5eb35b9f99a514335d9ba9ca 0 1426238317741 1 connected
e7d1eecce10fd6bb5eb35b9f99a514335d9ba9ca 127.0.0.1:30001@31001 myself,master - 0 0 1 connected 0-5459 5460
";

    fn view(asked: &str, text: &str) -> Option<u32> {
        read(asked, text).expect("the nodes").view
    }

    #[test]
    fn primaries_have_the_partitions_of_their_slots() {
        let sight = read("127.0.0.1:30001", REDIS).expect("the nodes");
        assert_eq!(sight.primaries.len(), 3);
        for partition in 0..=255 {
            let holders: Vec<&str> = sight
                .primaries
                .iter()
                .filter(|one| one.partitions.holds(partition))
                .map(|one| &*one.address)
                .collect();
            let expected = match super::super::slot(partition) {
                0..=5460 => "127.0.0.1:30001",
                5461..=10922 => "127.0.0.1:30002",
                _ => "127.0.0.1:30003",
            };
            assert_eq!(holders, [expected]);
        }
    }

    #[test]
    fn the_view_counts_replicas_that_may_be_promoted() {
        let asked = "127.0.0.1:30001";
        assert_eq!(view(asked, REDIS), Some(1));
        for (flags, expected) in [
            ("slave", 2),
            ("slave,fail?", 2),
            ("slave,fail", 1),
            ("slave,nofailover", 1),
            ("slave,fail,nofailover", 1),
            ("slave,noaddr", 1),
            ("slave,handshake", 1),
        ] {
            assert_eq!(view(asked, &REDIS.replace("slave,nofailover", flags)), Some(expected), "{flags}");
        }
    }

    #[test]
    fn a_server_that_is_no_primary_has_no_view() {
        let as_replica = REDIS.replace("myself,", "").replace("slave,fail?", "myself,slave");
        assert_eq!(view("127.0.0.1:30005", &as_replica), None);
    }

    #[test]
    fn the_form_of_valkey_and_addresses_without_host() {
        let text = "\
a [::] wrong\n"
            .to_owned();
        assert!(read("h:1", &text).is_err());
        let text = "\
aa :7000@17000,,tls-port=0,shard-id=5 myself,master - 0 0 7 connected 0-16383
bb fd00::2:7001@17001,,tls-port=0,shard-id=5 slave aa 0 1 7 connected
";
        let sight = read("10.0.0.1:7000", text).expect("the nodes");
        assert_eq!(&*sight.primaries[0].address, "10.0.0.1:7000");
        assert_eq!(&*sight.replicas[0].address, "[fd00::2]:7001");
        assert_eq!((sight.view, sight.primaries[0].epoch), (Some(1), 7));
        assert_eq!(sight.primaries[0].partitions, Partitions::ALL);
    }

    #[test]
    fn what_no_server_writes_is_refused() {
        for text in [
            "",
            "aa 1.1.1.1:1@2 master - 0 0 1 connected",
            "aa 1.1.1.1:1@2 myself,master - 0 0 one connected",
            "aa 1.1.1.1:1@2 myself,master - 0 0 1",
            "aa 1.1.1.1:1@2 myself,master - 0 0 1 connected 0-x",
            "aa 1.1.1.1:70000@2 myself,master - 0 0 1 connected",
            "ERR This instance has cluster support disabled",
        ] {
            assert!(read("1.1.1.1:1", text).is_err(), "{text}");
        }
    }
}
