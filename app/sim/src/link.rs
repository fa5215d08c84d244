//! The network. Datagrams may be lost, doubled and overtaken; a stream delivers everything in order if its other end lives. The
//! way between two addresses can be cut, in one direction or both: datagrams are lost there, and messages on streams wait until
//! the cut is healed. A connection is closed after all its messages have arrived, or it is torn, and the messages on their way
//! are lost.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use base::{Chance, Duration, Time};

/// One message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub from: SocketAddr,
    pub to: SocketAddr,
    /// True: the message is on a connection between the two; false: it is a datagram.
    pub stream: bool,
    pub bytes: Vec<u8>,
}

/// The quality of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// Lost datagrams of a thousand.
    pub loss_permille: u32,
    /// Doubled datagrams of a thousand.
    pub double_permille: u32,
    /// Each message takes between `delay_min` and `delay_max`; a larger difference makes more datagrams overtake each other.
    pub delay_min: Duration,
    pub delay_max: Duration,
}

impl Weather {
    /// No datagram is lost or doubled, and few are overtaken.
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

/// A way from one address to another, and back if `both`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Way {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub both: bool,
}

impl Way {
    fn directions(self) -> impl Iterator<Item = (IpAddr, IpAddr)> {
        let (from, to) = (self.from.ip(), self.to.ip());
        std::iter::once((from, to)).chain(self.both.then_some((to, from)))
    }
}

#[derive(Debug)]
pub struct Link {
    weather: Weather,
    chance: Chance,
    /// Arrival time of the last message in each direction of each connection.
    streams: HashMap<(SocketAddr, SocketAddr), Time>,
    /// Directions that are cut, with the number of cuts.
    cuts: HashMap<(IpAddr, IpAddr), u32>,
    /// Messages on streams whose way is cut, in order.
    waiting: Vec<Packet>,
    /// Time when the connection between two addresses was last torn.
    torn: HashMap<(SocketAddr, SocketAddr), Time>,
}

impl Link {
    pub fn new(weather: Weather, chance: Chance) -> Link {
        Link {
            weather,
            chance,
            streams: HashMap::new(),
            cuts: HashMap::new(),
            waiting: Vec::new(),
            torn: HashMap::new(),
        }
    }

    pub fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// The packet's arrival times: none, one or two.
    pub fn send(&mut self, now: Time, packet: &Packet) -> Vec<Time> {
        let cut = self.is_cut(packet.from, packet.to);
        if packet.stream && cut {
            self.streams.entry((packet.from, packet.to)).or_default();
            self.waiting.push(packet.clone());
            return Vec::new();
        }
        if packet.stream {
            return vec![self.in_order(now, packet)];
        }
        if cut || self.chance.permille(self.weather.loss_permille) {
            return Vec::new();
        }
        let copies = if self.chance.permille(self.weather.double_permille) { 2 } else { 1 };
        (0..copies).map(|_| now + self.delay()).collect()
    }

    fn in_order(&mut self, now: Time, packet: &Packet) -> Time {
        let arrives = now + self.delay();
        let last = self.streams.entry((packet.from, packet.to)).or_default();
        *last = arrives.max(*last);
        *last
    }

    pub fn is_cut(&self, from: SocketAddr, to: SocketAddr) -> bool {
        self.cuts.contains_key(&(from.ip(), to.ip()))
    }

    /// From now on no message passes this way. Cuts of one way add up, and each is healed separately.
    pub fn cut(&mut self, way: Way) {
        for direction in way.directions() {
            *self.cuts.entry(direction).or_default() += 1;
        }
    }

    /// Ends one cut of this way; returns the waiting messages and their arrival times.
    pub fn heal(&mut self, now: Time, way: Way) -> Vec<(Time, Packet)> {
        for direction in way.directions() {
            if let Some(cuts) = self.cuts.get_mut(&direction) {
                *cuts -= 1;
                if *cuts == 0 {
                    self.cuts.remove(&direction);
                }
            }
        }
        let (waiting, free): (Vec<Packet>, Vec<Packet>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|p| self.is_cut(p.from, p.to));
        self.waiting = waiting;
        free.into_iter().map(|packet| (self.in_order(now, &packet), packet)).collect()
    }

    /// The far ends of this address's connections, in a fixed order.
    pub fn connected(&self, address: SocketAddr) -> Vec<SocketAddr> {
        let other = |(from, to): &(SocketAddr, SocketAddr)| match address {
            _ if address == *from => Some(*to),
            _ if address == *to => Some(*from),
            _ => None,
        };
        let others: HashSet<SocketAddr> = self.streams.keys().filter_map(other).collect();
        let mut others: Vec<SocketAddr> = others.into_iter().collect();
        others.sort_unstable();
        others
    }

    /// Closes the connection between the two in good order; returns the time when everything sent has arrived. `None`: there is
    /// no connection, or its messages wait for a cut to be healed.
    pub fn close(&mut self, now: Time, one: SocketAddr, other: SocketAddr) -> Option<Time> {
        let between = |a: SocketAddr, b: SocketAddr| (a, b) == (one, other) || (a, b) == (other, one);
        if self.waiting.iter().any(|packet| between(packet.from, packet.to)) {
            return None;
        }
        let last = self.streams.iter().filter(|((a, b), _)| between(*a, *b)).map(|(_, last)| *last).max()?;
        self.streams.retain(|(a, b), _| !between(*a, *b));
        Some(last.max(now))
    }

    /// Tears the connection between the two: all messages on their way are lost.
    pub fn tear(&mut self, now: Time, one: SocketAddr, other: SocketAddr) {
        for pair in [(one, other), (other, one)] {
            self.streams.remove(&pair);
            self.torn.insert(pair, now);
            self.waiting.retain(|packet| (packet.from, packet.to) != pair);
        }
    }

    /// Whether a packet sent at this time was on its way when its connection was torn.
    pub fn is_torn(&self, sent: Time, packet: &Packet) -> bool {
        packet.stream && self.torn.get(&(packet.from, packet.to)).is_some_and(|torn| sent <= *torn)
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

    #[test]
    fn a_cut_loses_datagrams_and_holds_up_streams_until_the_last_cut_is_healed() {
        let mut link = Link::new(Weather::FAIR, Chance::seeded(7));
        let (one, back) =
            (packet(true), Packet { from: packet(true).to, to: packet(true).from, ..packet(true) });
        let way = Way { from: one.from, to: one.to, both: false };
        link.cut(way);
        link.cut(Way { both: true, ..way });
        assert!(link.send(Time::ZERO, &packet(false)).is_empty() && link.send(Time::ZERO, &one).is_empty());
        assert!(link.send(Time::ZERO, &back).is_empty());
        assert_eq!(link.close(Time::ZERO, one.from, one.to), None, "something waits");
        let healed = link.heal(Time::from_secs(1), Way { both: true, ..way });
        assert_eq!(healed.iter().map(|(_, packet)| packet).collect::<Vec<_>>(), [&back]);
        assert!(link.send(Time::from_secs(2), &packet(false)).is_empty());
        let healed = link.heal(Time::from_secs(3), way);
        assert!(healed.len() == 1 && healed[0].1 == one && healed[0].0 > Time::from_secs(3));
        assert_eq!(link.send(Time::from_secs(4), &packet(false)).len(), 1);
    }

    #[test]
    fn a_closed_connection_has_delivered_all_and_a_torn_one_has_not() {
        let mut link = Link::new(Weather::FAIR, Chance::seeded(7));
        let one = packet(true);
        let arrives = link.send(Time::from_secs(1), &one);
        assert_eq!(link.connected(one.to), [one.from]);
        assert_eq!(link.close(Time::from_secs(1), one.to, one.from), Some(arrives[0]));
        assert_eq!((link.close(arrives[0], one.to, one.from), link.connected(one.to)), (None, Vec::new()));
        link.send(Time::from_secs(2), &one);
        link.tear(Time::from_secs(2), one.to, one.from);
        assert!(link.is_torn(Time::from_secs(2), &one) && !link.is_torn(Time::from_secs(3), &one));
    }
}
