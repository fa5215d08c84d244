//! Whether a program captures packets on this host: packet(7), as tcpdump, sngrep, HOMER's agents and Wireshark use it. It sees
//! what leaves before the kernel cuts datagrams apart, so while one captures none are to leave as one.

use std::fs;

/// The packet sockets of this network namespace.
const PACKET_SOCKETS: &str = "/proc/thread-self/net/packet";

/// What they are bound to, as numbers of Ethernet's protocols: all of them, IPv4, IPv6. Others (LLDP, ARP, EAPOL) see no UDP.
const SEES_UDP: [u16; 3] = [0x0003, 0x0800, 0x86DD];

/// Some packet socket of this network namespace sees UDP. False too where the kernel does not tell. One short file.
pub fn is_capturing() -> bool {
    fs::read_to_string(PACKET_SOCKETS).is_ok_and(|text| sees_udp(&text))
}

fn sees_udp(text: &str) -> bool {
    let protocol = |line: &str| u16::from_str_radix(line.split_whitespace().nth(3)?, 16).ok();
    text.lines().skip(1).filter_map(protocol).any(|protocol| SEES_UDP.contains(&protocol))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n";

    #[test]
    fn only_sockets_that_see_udp_count() {
        let with = |protocol: &str| {
            format!("{HEAD}00000000a1b2c3d4 3      3    {protocol}   2     1 0      0      86141\n")
        };
        for (protocol, expected) in [
            ("0003", true),
            ("0800", true),
            ("86dd", true),
            ("88cc", false),
            ("0806", false),
            ("0000", false),
            ("", false),
        ] {
            assert_eq!(sees_udp(&with(protocol)), expected, "{protocol}");
        }
        assert!(!sees_udp(HEAD) && !sees_udp(""));
        assert!(sees_udp(&(with("88cc") + with("0003").lines().nth(1).unwrap_or_default())));
    }
}
