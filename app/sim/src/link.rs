//! The network: datagrams may be lost, doubled and overtaken; a stream delivers all of it, in order, if its other end lives.

use std::collections::HashMap;
use std::net::SocketAddr;

use base::{Chance, Duration, Time};

/// One message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub from: SocketAddr,
    pub to: SocketAddr,
    /// On a connection between the two, rather than a datagram.
    pub stream: bool,
    pub bytes: Vec<u8>,
}

/// How bad the network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// Of a thousand datagrams, so many are lost.
    pub loss_permille: u32,
    /// Of a thousand datagrams, so many arrive twice.
    pub double_permille: u32,
    /// Each message takes between these; the more they differ, the more datagrams overtake each other.
    pub delay_min: Duration,
    pub delay_max: Duration,
}

impl Weather {
    /// Nothing is lost or doubled, and little overtaken.
    pub const FAIR: Weather = Weather {
        loss_permille: 0,
        double_permille: 0,
        delay_min: Duration::from_millis(1),
        delay_max: Duration::from_millis(2),
    };

    /// One datagram in ten is lost, one in twenty comes twice, and they come in any order.
    pub const FOUL: Weather = Weather {
        loss_permille: 100,
        double_permille: 50,
        delay_min: Duration::from_millis(1),
        delay_max: Duration::from_millis(80),
    };
}

#[derive(Debug)]
pub struct Link {
    weather: Weather,
    chance: Chance,
    /// When the last message of each direction of each connection arrives.
    streams: HashMap<(SocketAddr, SocketAddr), Time>,
}

impl Link {
    pub fn new(weather: Weather, chance: Chance) -> Link {
        Link { weather, chance, streams: HashMap::new() }
    }

    /// When the packet arrives: never, once or twice.
    pub fn send(&mut self, now: Time, packet: &Packet) -> Vec<Time> {
        if packet.stream {
            let arrives = now + self.delay();
            let last = self.streams.entry((packet.from, packet.to)).or_default();
            *last = arrives.max(*last);
            return vec![*last];
        }
        if self.chance.permille(self.weather.loss_permille) {
            return Vec::new();
        }
        let copies = if self.chance.permille(self.weather.double_permille) { 2 } else { 1 };
        (0..copies).map(|_| now + self.delay()).collect()
    }

    fn delay(&mut self) -> Duration {
        let spread = (self.weather.delay_max - self.weather.delay_min).as_micros() as u64;
        self.weather.delay_min + Duration::from_micros(self.chance.below(spread + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(stream: bool) -> Packet {
        let at = |host| SocketAddr::from(([10, 0, 0, host], 5060));
        Packet { from: at(1), to: at(2), stream, bytes: Vec::new() }
    }

    #[test]
    fn a_stream_keeps_all_in_order_and_datagrams_suffer() {
        let mut link = Link::new(Weather::FOUL, Chance::seeded(7));
        let sent = |step: u64| Time::from_millis(step);
        let stream: Vec<Time> = (0..1000).flat_map(|step| link.send(sent(step), &packet(true))).collect();
        assert!(stream.len() == 1000 && stream.is_sorted());
        let datagrams: Vec<Vec<Time>> = (0..1000).map(|step| link.send(sent(step), &packet(false))).collect();
        let of = |count| datagrams.iter().filter(|copies| copies.len() == count).count();
        assert!((60..140).contains(&of(0)) && (20..80).contains(&of(2)), "{} {}", of(0), of(2));
        assert!(!datagrams.concat().is_sorted());
    }
}
