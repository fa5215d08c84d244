//! Via (RFC 3261 §20.42, §18.2, RFC 3581).

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use super::parameters::{self, Parameter};
use crate::edits::Edits;
use crate::host;
use crate::message::{Message, Name};
use crate::name::same;
use crate::scan::{token_end, value_end};
use crate::text::{is_lws, skip_lws, write_decimal, write_ip};
use crate::uri::{Host, port, read_port};

/// One Via value. A field may hold several, separated by commas; [`values`] walks them.
#[derive(Clone, Copy, Debug)]
pub struct Via<'a> {
    /// The whole value, from `SIP` to the last parameter.
    pub bytes: &'a [u8],
    /// As written: `UDP`, `TCP`, `TLS`, any token.
    pub transport: &'a [u8],
    pub host: Host<'a>,
    /// 0 from senders that do not know their own port.
    pub port: Option<u16>,
    /// `host[:port]` as written.
    pub sent_by: &'a [u8],
    pub branch: Option<&'a [u8]>,
    /// `None` also if it is not an address: the receiver of a request overwrites it.
    pub received: Option<IpAddr>,
    /// `Some(None)`: `rport` without a value, which asks for one (RFC 3581 §3); or with a value that is not a port.
    pub rport: Option<Option<u16>>,
    /// Header field parameters, after the first `;`. [`Via::parameter`] finds a parameter, and its place for an edit.
    pub parameters: &'a [u8],
    /// Their values as written, for [`Via::mark`].
    rport_value: &'a [u8],
    received_value: Option<&'a [u8]>,
    /// The offset behind the comma that follows in the field, or [`LAST`].
    behind: u32,
}

/// No value follows.
const LAST: u32 = u32::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadVia;

/// The Via values of one field, in order; an error ends them.
pub fn values(field: &[u8]) -> impl Iterator<Item = Result<Via<'_>, BadVia>> {
    let mut at = Some(0);
    std::iter::from_fn(move || {
        let via = read(field, at.take()?);
        if let Ok(via) = &via {
            at = via.next();
        }
        Some(via)
    })
}

/// The first value of a field.
pub fn first(field: &[u8]) -> Result<Via<'_>, BadVia> {
    read(field, 0)
}

/// The topmost Via of a message: the one that its sender added. `None` when there is no Via at all.
pub fn top<'a>(message: &Message<'a>) -> Option<Result<Via<'a>, BadVia>> {
    message.first_value(Name::Via).map(first)
}

/// The Via below the topmost, which is `top`: a response goes there if the topmost is ours. `None`: there is no other.
pub fn below<'a>(message: &Message<'a>, top: &Via<'a>) -> Option<Result<Via<'a>, BadVia>> {
    let mut fields = message.all(Name::Via).map(|header| message.value(header));
    let field = fields.next()?;
    match top.next() {
        Some(next) => Some(read(field, next)),
        None => fields.next().map(first),
    }
}

/// Whether anything stands below the topmost Via, which is `top`.
pub fn has_below(message: &Message<'_>, top: &Via<'_>) -> bool {
    let follows = |field: &[u8]| top.next().is_some_and(|next| skip_lws(field, next) < field.len());
    message.is_repeated(Name::Via) || message.first_value(Name::Via).is_some_and(follows)
}

/// All Via values of a message from the topmost down, across fields.
pub fn all<'a>(message: &Message<'a>) -> impl Iterator<Item = Result<Via<'a>, BadVia>> + use<'a> {
    let message = *message;
    message.all(Name::Via).flat_map(move |header| values(message.value(header)))
}

/// What to delete so that the topmost Via value `top` is gone.
pub fn pop(message: &Message<'_>, top: &Via<'_>) -> Option<Range<u32>> {
    Some(super::pop_range(message, message.first(Name::Via)?, top.bytes))
}

/// Reads the value that begins at `at`.
fn read(field: &[u8], at: usize) -> Result<Via<'_>, BadVia> {
    let start = skip_lws(field, at);
    let (transport, transport_end) = match field.get(start..start + 12) {
        Some(b"SIP/2.0/UDP ") => (start + 8, start + 11),
        _ => {
            let transport = protocol(field, start).ok_or(BadVia)?;
            (transport, token_end(field, transport))
        }
    };
    let sent_by = skip_lws(field, transport_end);
    if transport_end == transport || sent_by == transport_end {
        return Err(BadVia);
    }
    let (host, mut end) = Host::read(field, sent_by).ok_or(BadVia)?;
    let mut at = skip_lws(field, end);
    let mut port_value = None;
    if field.get(at) == Some(&b':') {
        let digits = skip_lws(field, at + 1);
        let (number, digits_end) =
            read_port(field, digits).or_else(|| no_port(field, digits)).ok_or(BadVia)?;
        (port_value, end) = (Some(number), digits_end);
        at = skip_lws(field, end);
    }
    let sent_by = &field[sent_by..end];
    let first = at + 1;
    let (mut branch, mut rport, mut received) = (None, None, None);
    let (mut rport_value, mut received_value) = (&field[end..end], None);
    while field.get(at) == Some(&b';') {
        let (parameter, next) = read_parameter(field, at + 1).ok_or(BadVia)?;
        // Of two with the same name the first counts.
        let value = parameter.value;
        match parameter.name.len() {
            6 if branch.is_none() && same(parameter.name, b"branch") => branch = Some(value),
            5 if rport.is_none() && same(parameter.name, b"rport") => {
                rport_value = value;
                rport = Some(port(value));
            }
            8 if received_value.is_none() && same(parameter.name, b"received") => {
                received_value = Some(value);
                received = host::ip(value);
            }
            _ => {}
        }
        (at, end) = (next, next);
    }
    // Without the white space that may stand before the comma.
    while is_lws(field[end - 1]) {
        end -= 1;
    }
    let parameters = field.get(first..end).unwrap_or(&field[end..end]);
    let behind = match field.get(at) {
        None => LAST,
        Some(b',') => at as u32 + 1,
        Some(_) => return Err(BadVia),
    };
    let bytes = &field[start..end];
    let transport = &field[transport..transport_end];
    Ok(Via {
        bytes,
        transport,
        host,
        port: port_value,
        sent_by,
        branch,
        received,
        rport,
        parameters,
        rport_value,
        received_value,
        behind,
    })
}

/// The port 0, written in any number of digits, and the offset behind it.
#[cold]
fn no_port(field: &[u8], at: usize) -> Option<(u16, usize)> {
    let zeros = field[at..].iter().take_while(|digit| **digit == b'0').count();
    let end = at + zeros;
    (zeros > 0 && !field.get(end).is_some_and(u8::is_ascii_digit)).then_some((0, end))
}

/// As [`parameters::read`]. A plainly written branch, which every Via has, and an empty `rport` are found without a search
/// for their names.
#[inline(always)]
fn read_parameter(field: &[u8], at: usize) -> Option<(Parameter<'_>, usize)> {
    if field[at..].starts_with(b"branch=") {
        let end = value_end(field, at + 7);
        if end > at + 7 && matches!(field.get(end), None | Some(b';' | b',')) {
            return Some((Parameter { name: &field[at..at + 6], value: &field[at + 7..end] }, end));
        }
    } else if field[at..].starts_with(b"rport") && matches!(field.get(at + 5), None | Some(b';' | b',')) {
        return Some((Parameter { name: &field[at..at + 5], value: &field[at + 5..at + 5] }, at + 5));
    }
    parameters::read(field, at)
}

/// `SIP / 2.0 /`, with white space around the slashes; returns the offset of the transport. Another protocol or version is
/// accepted, because we need not check what an element behind us spoke.
fn protocol(field: &[u8], at: usize) -> Option<usize> {
    if field[at..].starts_with(b"SIP/2.0/") {
        return Some(skip_lws(field, at + 8));
    }
    let mut at = at;
    for _ in 0..2 {
        let end = token_end(field, at);
        let slash = skip_lws(field, end);
        if end == at || field.get(slash) != Some(&b'/') {
            return None;
        }
        at = skip_lws(field, slash + 1);
    }
    Some(at)
}

impl<'a> Via<'a> {
    /// A parameter by name: `None` absent, `Some(b"")` without a value.
    pub fn parameter(&self, name: &[u8]) -> Option<&'a [u8]> {
        parameters::find(self.parameters, name)
    }

    /// `sent-by;branch=value` in one piece, if one follows the other directly, as in nearly all messages.
    pub fn sent_by_and_branch(&self) -> Option<&'a [u8]> {
        let start = self.sent_by.as_ptr() as usize - self.bytes.as_ptr() as usize;
        let behind = start + self.sent_by.len();
        let value = self.bytes[behind..].strip_prefix(b";branch=")?;
        let branch = self.branch.filter(|branch| branch.as_ptr() == value.as_ptr())?;
        Some(&self.bytes[start..behind + b";branch=".len() + branch.len()])
    }

    /// Where in its field the next value begins.
    fn next(&self) -> Option<usize> {
        (self.behind != LAST).then_some(self.behind as usize)
    }

    /// What the receiver of a request writes into its topmost Via: `received` if the sender's address differs from its Via
    /// or it asked for `rport`, and then the value of `rport` (RFC 3261 §18.2.1, RFC 3581 §4). What the sender itself wrote
    /// there is overwritten.
    fn marks(&self, remote: SocketAddr) -> [Option<Mark<'a>>; 2] {
        let ip = remote.ip().to_canonical();
        let rport = self.rport.map(|_| Mark::Port(self.rport_value));
        let received = match (self.received_value, rport.is_some() || self.host != Host::Ip(ip)) {
            (Some(_), _) if self.received == Some(ip) => None,
            (Some(written), _) => Some(Mark::Address(written)),
            (None, true) => Some(Mark::NewAddress(&self.bytes[self.bytes.len()..])),
            (None, false) => None,
        };
        match (rport, received) {
            (Some(port), Some(address)) if address.place().as_ptr() < port.place().as_ptr() => {
                [received, rport]
            }
            _ => [rport, received],
        }
    }

    /// Makes [`RFC 3261 §18.2.1`]'s and RFC 3581's changes to the topmost Via of a request, as edits.
    pub fn mark(&self, message: &Message<'_>, remote: SocketAddr, edits: &mut Edits) {
        for mark in self.marks(remote).into_iter().flatten() {
            edits.replace(message.range_of(mark.place()), |out| mark.write(remote, out));
        }
    }

    /// Appends `field`, which begins with this value, with the same changes.
    pub fn write_marked(&self, field: &[u8], remote: SocketAddr, out: &mut Vec<u8>) {
        let mut from = 0;
        for mark in self.marks(remote).into_iter().flatten() {
            let place = mark.place();
            let start = place.as_ptr() as usize - field.as_ptr() as usize;
            out.extend_from_slice(&field[from..start]);
            mark.write(remote, out);
            from = start + place.len();
        }
        out.extend_from_slice(&field[from..]);
    }
}

/// One change to a Via value and the slice that it replaces.
#[derive(Clone, Copy)]
enum Mark<'a> {
    /// The value of `rport`, or the empty place behind the name.
    Port(&'a [u8]),
    /// The value of `received`, or the empty place behind the name.
    Address(&'a [u8]),
    /// The end of the Via value.
    NewAddress(&'a [u8]),
}

impl<'a> Mark<'a> {
    fn place(&self) -> &'a [u8] {
        match self {
            Mark::Port(place) | Mark::Address(place) | Mark::NewAddress(place) => place,
        }
    }

    fn write(&self, remote: SocketAddr, out: &mut Vec<u8>) {
        match self {
            Mark::Port(place) => {
                if place.is_empty() {
                    out.push(b'=');
                }
                write_decimal(u64::from(remote.port()), out);
            }
            Mark::Address(place) => {
                if place.is_empty() {
                    out.push(b'=');
                }
                write_ip(remote.ip(), out);
            }
            Mark::NewAddress(_) => {
                out.extend_from_slice(b";received=");
                write_ip(remote.ip(), out);
            }
        }
    }
}

#[cfg(test)]
mod tests;
