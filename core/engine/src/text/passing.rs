//! What passes from one leg to the other, and what a leg keeps for itself (RFC 7092 §4).

use sip::headers::address;
use sip::write::With;
use sip::{Header, Message, Name, Start, Uri, Writer};

use crate::settings::Settings;

/// Fields of a leg of its own that `sip` has no name for.
const OF_A_LEG: [&[u8]; 8] =
    [b"allow", b"session-expires", b"x", b"min-se", b"path", b"service-route", b"rseq", b"rack"];

/// Whether a field passes. What a leg says about itself, its way and its extensions does not.
fn passes(message: &Message<'_>, header: &Header) -> bool {
    match header.name {
        Name::Via
        | Name::Route
        | Name::RecordRoute
        | Name::From
        | Name::To
        | Name::CallId
        | Name::CSeq
        | Name::MaxForwards
        | Name::MaxBreadth
        | Name::Contact
        | Name::ContentLength
        | Name::ProxyRequire
        | Name::Require
        | Name::Supported
        | Name::StrowgerTag => false,
        Name::Other => {
            let name = message.name(header);
            !OF_A_LEG.iter().any(|own| name.eq_ignore_ascii_case(own))
        }
        Name::ContentType | Name::RetryAfter | Name::Expires | Name::Replaces | Name::Join => true,
    }
}

/// Copies all fields that pass.
pub(super) fn pass<'w>(writer: Writer<'w>, message: &Message<'_>) -> Writer<'w> {
    let passing = message.headers().iter().filter(|header| passes(message, header));
    passing.fold(writer, |writer, header| writer.copy_field(message, header))
}

/// What must stay of a request so that answers to it can be written again: start line, Vias, From, To, Call-ID, CSeq, and the
/// routes of the dialog.
pub(crate) fn kept(request: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let Start::Request { token, uri, .. } = request.start() else { return out };
    let method = std::str::from_utf8(token).unwrap_or_default();
    let mut writer = Writer::request(&mut out, method, uri);
    for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq, Name::RecordRoute] {
        writer = match name {
            Name::Via | Name::RecordRoute => writer.copy(request, name),
            _ => writer.copy_first(request, name),
        };
    }
    writer.finish();
    out
}

/// The route set that a message's Record-Route makes (RFC 3261 §12.1). `reverse`: the message is a response to us.
///
/// If the message has none, requests leave by the load manager nonetheless: it has our address, and gets their answers. It may write
/// no Record-Route, and a callee may leave it out of its answers.
pub(crate) fn routes_of_dialog(settings: &Settings, message: &Message<'_>, reverse: bool) -> Vec<Box<[u8]>> {
    let fields = message.all(Name::RecordRoute).map(|header| message.value(header));
    let values = fields.flat_map(|field| address::values(field).map_while(Result::ok));
    let mut routes: Vec<Box<[u8]>> = values.map(|value| Box::from(value.bytes)).collect();
    if reverse {
        routes.reverse();
    }
    if routes.is_empty() {
        routes.extend(settings.route.clone());
    }
    routes
}

/// The URI in the first value of an address field.
pub(crate) fn uri_of(message: &Message<'_>, name: Name) -> Option<Box<[u8]>> {
    Some(address::first(message.first_value(name)?).ok()?.uri.into())
}

/// An address field without its tag, as the other leg writes it.
pub(crate) fn without_tag(field: &[u8]) -> Box<[u8]> {
    let Ok(parsed) = address::parse(field) else { return field.into() };
    let Some(tag) = parsed.tag() else { return field.into() };
    // From the semicolon before the parameter to its end.
    let at = tag.as_ptr() as usize - field.as_ptr() as usize;
    let front = field[..at].iter().rposition(|byte| *byte == b';').unwrap_or(at);
    [field[..front].trim_ascii_end(), &field[at + tag.len()..]].concat().into()
}

/// The Request-URI towards a target of the configuration: without a user of its own it gets that of the request.
pub(crate) fn request_uri(target: &[u8], asked: &[u8]) -> Box<[u8]> {
    let (Ok(to), Ok(asked)) = (Uri::parse(target), Uri::parse(asked)) else { return target.into() };
    match (to.user, asked.user) {
        (None, Some(user)) => {
            let scheme = target.iter().position(|byte| *byte == b':').map_or(0, |at| at + 1);
            [&target[..scheme], user, b"@", &target[scheme..]].concat().into()
        }
        _ => target.into(),
    }
}

/// All routes, one field each.
pub(super) fn route<'w>(writer: Writer<'w>, routes: &[Box<[u8]>]) -> Writer<'w> {
    routes.iter().fold(writer, |writer, route| writer.route(&route[..]))
}

/// An address with a tag.
pub(super) fn tagged<'t>(address: &'t [u8], tag: &'t [u8]) -> With<impl FnOnce(&mut Vec<u8>) + use<'t>> {
    With(move |out: &mut Vec<u8>| {
        out.extend_from_slice(address);
        if !tag.is_empty() {
            out.extend_from_slice(b";tag=");
            out.extend_from_slice(tag);
        }
    })
}
