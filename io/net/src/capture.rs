//! Whether a program captures packets on this host by packet(7), as tcpdump, sngrep, HOMER's agents and Wireshark do. Such a
//! program sees what leaves before the kernel cuts datagrams apart, so during a capture each datagram leaves by itself.

use std::fs;

/// The packet sockets of this network namespace.
const PACKET_SOCKETS: &str = "/proc/thread-self/net/packet";

/// The protocols that the sockets are bound to, as numbers of Ethernet: all protocols, IPv4, IPv6. Other protocols (LLDP,
/// ARP, EAPOL) see no UDP.
const SEES_UDP: [u16; 3] = [0x0003, 0x0800, 0x86DD];

/// Whether some packet socket of this network namespace sees UDP. False also if the kernel does not tell. Reads one short
/// file.
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
