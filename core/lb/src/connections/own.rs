//! Our own addresses: whether a URI is ours, which listener a message leaves by, and how we write our own address.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use sip::headers::via::Via;
use sip::{Host, SIP_PORT, SIPS_PORT, Transport, Uri};

use crate::settings::Listener;
use crate::signed::hop::BEHIND_BRANCH;
use crate::signed::tag;

/// A listener with its text for Via and Record-Route, made once.
#[derive(Debug)]
pub struct OwnAddress {
    pub transport: Transport,
    /// The address that others know; a wildcard, if they know only a name.
    pub address: SocketAddr,
    /// The host name that others know instead, in lower case.
    name: Option<Box<[u8]>>,
    /// `Via: SIP/2.0/UDP 192.0.2.1:5060;branch=`
    pub via: Vec<u8>,
    /// `<sip:192.0.2.1:5060;lr;farmtag=`, with `;transport=tcp` for a stream; and with `sips:`.
    entry: Vec<u8>,
    secure_entry: Vec<u8>,
}

#[derive(Debug)]
pub struct OwnAddresses {
    all: Vec<OwnAddress>,
    names: Vec<Vec<u8>>,
    /// Addresses of load managers whose calls come to us when they are gone: we read their Route entries as our own.
    others: Vec<SocketAddr>,
}

/// How a Via line of ours begins.
const VIA: &[u8] = b"Via: ";

/// RFC 3261 §19.1.2; with RFC 7118 §5.2.3, WebSocket keeps the ports of HTTP.
const fn default_port(transport: Option<Transport>) -> u16 {
    match transport {
        None | Some(Transport::Udp | Transport::Tcp) => SIP_PORT,
        Some(Transport::Tls) => SIPS_PORT,
        Some(Transport::Ws) => 80,
        Some(Transport::Wss) => 443,
    }
}

impl OwnAddresses {
    pub fn new(listeners: &[Listener], names: &[String]) -> OwnAddresses {
        let others = names.iter().filter_map(|name| name.parse().ok()).collect();
        let all: Vec<OwnAddress> = listeners.iter().map(OwnAddress::new).collect();
        let advertised = all.iter().filter_map(|own| own.name.as_ref().map(|name| name.to_vec()));
        let names = names.iter().map(|name| name.clone().into_bytes()).chain(advertised).collect();
        OwnAddresses { all, names, others }
    }

    /// The length of the beginning of a Via line of ours, up to the value of its branch; `None`: the line is none of ours.
    pub(crate) fn via_length(&self, line: &[u8]) -> Option<usize> {
        self.all.iter().find(|own| line.starts_with(&own.via)).map(|own| own.via.len())
    }

    /// The listener and the tag of a Route field that is one entry exactly as we write it.
    pub(crate) fn route<'m>(&self, field: &'m [u8]) -> Option<(u8, &'m [u8])> {
        let secure = field.starts_with(b"<sips:");
        let (index, own) =
            self.all.iter().enumerate().find(|(_, own)| field.starts_with(own.entry(secure)))?;
        let start = own.entry(secure).len();
        let end = sip::text::plain_end(field, start);
        (&field[end..] == b">").then_some((index as u8, &field[start..end]))
    }

    pub fn is_own_ip(&self, ip: IpAddr) -> bool {
        self.all.iter().any(|own| own.address.ip() == ip)
    }

    pub fn get(&self, index: u8) -> Option<&OwnAddress> {
        self.all.get(usize::from(index))
    }

    /// The listener that a Via of ours names when it comes back, and whether address and port match: the server may have
    /// written these in another way, or another load manager of the farm wrote them.
    pub(crate) fn named_by(&self, via: &Via<'_>) -> Option<(u8, bool)> {
        let speaks =
            |own: &OwnAddress| own.transport.via_token().as_bytes().eq_ignore_ascii_case(via.transport);
        let is_at = |own: &OwnAddress| {
            let is_host = match (via.host, &own.name) {
                (Host::Name(name), Some(own)) => own.eq_ignore_ascii_case(name),
                (Host::Ip(ip), None) => ip == own.address.ip(),
                (Host::Name(_), None) | (Host::Ip(_), Some(_)) => false,
            };
            is_host && via.port.is_none_or(|port| port == own.address.port())
        };
        let exact = self.all.iter().position(|own| speaks(own) && is_at(own));
        let found = exact.or_else(|| self.all.iter().position(speaks))?;
        Some((found as u8, exact.is_some()))
    }

    /// The Via of a request that left by this listener with this branch and hop, without the field name.
    pub(crate) fn via_of(&self, listener: u8, branch: &[u8], hop: &[u8]) -> Option<Vec<u8>> {
        let own = self.get(listener)?;
        let alias: &[u8] = if own.transport == Transport::Tls { b";alias" } else { b"" };
        Some([&own.via[VIA.len()..], branch, BEHIND_BRANCH, hop, alias].concat())
    }

    /// The listener that a URI names: by address and port, and by transport if several listeners share them.
    pub fn find(&self, uri: &Uri<'_>) -> Option<u8> {
        let transport = transport_of(uri);
        let port = uri.port.unwrap_or(default_port(transport));
        let host = host_to_ask(uri)?;
        let ours = |own: &OwnAddress| match host {
            Host::Ip(ip) => {
                let named = SocketAddr::new(ip, port);
                own.address == named || self.others.contains(&named)
            }
            // A name without a port may have been resolved to any port (RFC 3263 §4.2).
            Host::Name(name) => {
                uri.port.is_none_or(|port| own.address.port() == port)
                    && self.names.iter().any(|known| known.eq_ignore_ascii_case(name))
            }
        };
        let first = self.all.iter().position(ours)?;
        if self.all.len() == 1 {
            return Some(first as u8);
        }
        // Of several listeners with one address and port, the one that the URI fits best.
        let alike = |place: &&OwnAddress| ours(place).then(|| likeness(uri, place.transport));
        let best = self.all.iter().filter_map(|place| alike(&place)).max()?;
        let best = self.all.iter().position(|place| alike(&place) == Some(best));
        Some(best.unwrap_or(first) as u8)
    }

    /// The listener by which a message leaves: the one it came in by if that fits, else the first that fits.
    pub fn outgoing(&self, came_by: u8, transport: Transport, to: IpAddr) -> Option<u8> {
        let fits =
            |place: &OwnAddress| place.transport == transport && place.address.is_ipv4() == to.is_ipv4();
        if self.get(came_by).is_some_and(fits) {
            return Some(came_by);
        }
        self.all.iter().position(fits).map(|index| index as u8)
    }
}

impl OwnAddress {
    fn new(listener: &Listener) -> OwnAddress {
        let (address, transport) = (listener.advertise, listener.transport);
        let known_as = listener.known_as();
        let name = listener.name.as_ref().map(|name| {
            let host = name.rsplit_once(':').map_or(name.as_str(), |(host, _)| host);
            host.to_ascii_lowercase().into_bytes().into()
        });
        let mut via = VIA.to_vec();
        write!(via, "SIP/2.0/{} {known_as};branch=", transport.via_token()).expect("a Vec takes all");
        let entry = |secure: bool| {
            let mut text = Vec::new();
            let scheme = if secure { "sips" } else { "sip" };
            write!(text, "<{scheme}:{known_as}").expect("a Vec takes all");
            if let Some(token) = written_transport(secure, transport) {
                write!(text, ";transport={token}").expect("a Vec takes all");
            }
            text.extend_from_slice(b";lr;");
            text.extend_from_slice(tag::PARAMETER);
            text.push(b'=');
            text
        };
        let (entry, secure_entry) = (entry(false), entry(true));
        OwnAddress { transport, address, name, via, entry, secure_entry }
    }

    /// Our entry in a Record-Route up to its tag. `secure`: with `sips:`.
    pub(crate) fn entry(&self, secure: bool) -> &[u8] {
        if secure { &self.secure_entry } else { &self.entry }
    }
}

/// The `transport` parameter of our own URIs. In a `sips:` URI the scheme says TLS, and `tls` must not be written (RFC 3261
/// §26.2.2, RFC 5630 §3.1.4); in a `sip:` URI nothing else says it.
fn written_transport(secure: bool, transport: Transport) -> Option<&'static str> {
    match (secure, transport) {
        (_, Transport::Udp) | (true, Transport::Tls) => None,
        (_, transport) => Some(transport.uri_token()),
    }
}

/// How well a URI with our address fits a listener of this transport: best as we write it, else as RFC 3261 reads it.
fn likeness(uri: &Uri<'_>, transport: Transport) -> u8 {
    let asked = uri.parameter(b"transport").filter(|token| !token.is_empty());
    let is = |token: &str| asked.is_some_and(|asked| asked.eq_ignore_ascii_case(token.as_bytes()));
    let as_written = match written_transport(uri.secure, transport) {
        Some(token) => is(token),
        None => asked.is_none() || is(transport.uri_token()),
    };
    let as_read = transport_of(uri).is_some_and(|asked| asked.uri_token() == transport.uri_token());
    // Our own entry with `sips:` was written for that scheme, whatever protects the connection.
    u8::from(as_written) * 2 + u8::from(as_read) + u8::from(uri.secure && as_written && transport.is_secure())
}

/// The transport that a URI asks for; UDP if it names none (RFC 3263 §4.1, for an address), `None` if we do not support
/// it. `sips` asks for TLS under any transport that it names (RFC 3261 §26.2.2), which UDP cannot have.
pub(crate) fn transport_of(uri: &Uri<'_>) -> Option<Transport> {
    let is = |token: &[u8], known: &str| token.eq_ignore_ascii_case(known.as_bytes());
    match (uri.parameter(b"transport"), uri.secure) {
        (None | Some(b""), false) => Some(Transport::Udp),
        (None | Some(b""), true) => Some(Transport::Tls),
        (Some(token), false) if is(token, "udp") => Some(Transport::Udp),
        (Some(token), false) if is(token, "tcp") => Some(Transport::Tcp),
        (Some(token), _) if is(token, "tls") || is(token, "tcp") => Some(Transport::Tls),
        (Some(token), false) if is(token, "ws") => Some(Transport::Ws),
        (Some(token), _) if is(token, "ws") || is(token, "wss") => Some(Transport::Wss),
        (Some(_), _) => None,
    }
}

/// The host that a request to this URI is sent to: `maddr`, if the URI has one (RFC 3261 §19.1.1). `None`: `maddr` is no
/// host.
pub(crate) fn host_to_ask<'m>(uri: &Uri<'m>) -> Option<Host<'m>> {
    match uri.parameter(b"maddr") {
        Some(maddr) => Host::parse(maddr),
        None => Some(uri.host),
    }
}

/// The address that a URI names, if it is an address of one host.
pub(crate) fn address_of(uri: &Uri<'_>) -> Option<SocketAddr> {
    match host_to_ask(uri)? {
        Host::Ip(ip) if is_of_one_host(ip) => {
            Some(SocketAddr::new(ip, uri.port.unwrap_or(default_port(transport_of(uri)))))
        }
        Host::Ip(_) | Host::Name(_) => None,
    }
}

/// Not a group, not all hosts, not the unspecified address: nothing is sent there.
pub(crate) fn is_of_one_host(ip: IpAddr) -> bool {
    let all = matches!(ip.to_canonical(), IpAddr::V4(ip) if ip.is_broadcast());
    let ip = ip.to_canonical();
    !all && !ip.is_multicast() && !ip.is_unspecified()
}
