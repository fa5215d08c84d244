//! The checks of RFC 3261 §16.3 and of the torture corpora, in the order that decides which status is sent.
//!
//! What an element in the middle must understand is checked; what it only forwards is not (a bad Date, Contact or
//! Content-Type passes). Messages of RFC 2543, without branch, From tag, Max-Forwards or Content-Length, pass. In a
//! response, only the topmost Via and the CSeq are checked (RFC 3261 §17.1.3).

use crate::extensions::{self, Passing};
use crate::headers::address;
use crate::headers::cseq::{self, CSeq};
use crate::headers::max_forwards;
use crate::headers::via::{self, Via};
use crate::message::{Length, Message, Method, Name, Start};
use crate::scan::{uri_end, visible_end};
use crate::status::Reject;
use crate::uri::{BadUri, Uri};

/// Why a response is unusable; it is dropped and counted, never answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadResponse(pub &'static str);

/// A branch that is the magic cookie alone names no transaction (RFC 4475 §3.2.1).
const EMPTY_BRANCH: &[u8] = b"z9hG4bK";

/// A request that can be forwarded, with the parts that validation has read.
#[derive(Clone, Copy, Debug)]
pub struct GoodRequest<'a> {
    pub via: Via<'a>,
    pub from_tag: Option<&'a [u8]>,
    /// Absent in a request that belongs to no dialog yet (RFC 3261 §8.1.1.2).
    pub to_tag: Option<&'a [u8]>,
    pub cseq: CSeq<'a>,
    pub uri: Uri<'a>,
}

/// A response whose transaction can be found, with the parts that validation has read.
#[derive(Clone, Copy, Debug)]
pub struct GoodResponse<'a> {
    pub via: Via<'a>,
    /// Something is below the topmost Via, so the response is forwarded if the topmost is ours. The next element checks what
    /// is below.
    pub has_below: bool,
    pub cseq: CSeq<'a>,
}

/// `Err` is the answer to send: 400, 416, 420, 483, 505 … An ACK is never answered; the caller drops it.
pub fn request<'a>(message: &Message<'a>) -> Result<GoodRequest<'a>, Reject> {
    request_with(message, &Passing::NONE)
}

/// The same, but these extensions of Proxy-Require pass.
pub fn request_with<'a>(message: &Message<'a>, passing: &Passing) -> Result<GoodRequest<'a>, Reject> {
    let Start::Request { method, token, uri, version } = message.start() else {
        return Err(Reject::bad_request("Not a Request"));
    };
    let is_current = version == b"SIP/2.0";
    // What may be in a URI is visible: mostly one look is enough for both.
    let is_uri = uri_end(uri, 0) == uri.len();
    if (!is_uri && visible_end(uri, 0) != uri.len())
        || (!is_current && visible_end(version, 0) != version.len())
    {
        return Err(Reject::bad_request("Bad White Space in Request Line"));
    }
    if message.has_loose_control() {
        return Err(Reject::bad_request("Control Character in Header Fields"));
    }
    body(message).map_err(Reject::bad_request)?;
    if !is_current && !version.eq_ignore_ascii_case(b"SIP/2.0") {
        return Err(Reject::version());
    }
    let fields = Fields::of(message).map_err(Reject::bad_request)?;
    // No map_err and no tuple around what is read: each would move a few hundred bytes once more.
    let Some(cseq) = cseq::parse(fields.cseq) else { return Err(Reject::bad_request("Bad CSeq")) };
    let Ok(via) = via::first(fields.via) else { return Err(Reject::bad_request("Bad Via")) };
    if via.branch == Some(EMPTY_BRANCH) {
        return Err(Reject::bad_request("Bad Via Branch"));
    }
    if cseq.token != token {
        return Err(Reject::bad_request("CSeq Method Does Not Match"));
    }
    let Ok(from_tag) = address::tag(fields.from) else { return Err(Reject::bad_request("Bad From")) };
    let Ok(to_tag) = address::tag(fields.to) else { return Err(Reject::bad_request("Bad To")) };
    if !is_uri {
        return Err(Reject::bad_request("Bad Request-URI"));
    }
    let uri = match Uri::parse_scanned(uri) {
        Ok(uri) => uri,
        Err(BadUri::Scheme) => Uri::without_host(uri).ok_or(Reject::unsupported_scheme())?,
        Err(BadUri::Syntax) => return Err(Reject::bad_request("Bad Request-URI")),
    };
    if !uri.headers.is_empty() {
        return Err(Reject::bad_request("Header Fields in Request-URI"));
    }
    match message.first_value(Name::MaxForwards).map(max_forwards::parse) {
        Some(None) => return Err(Reject::bad_request("Bad Max-Forwards")),
        Some(Some(0)) => return Err(Reject::too_many_hops()),
        Some(Some(_)) | None => {}
    }
    // In a CANCEL or an ACK it has no meaning and is ignored (RFC 3261 §8.2.2.3).
    if !matches!(method, Method::Cancel | Method::Ack)
        && extensions::refused(message, passing).next().is_some()
    {
        return Err(Reject::bad_extension());
    }
    Ok(GoodRequest { via, from_tag, to_tag, cseq, uri })
}

/// A response belongs to a request by its topmost Via and its CSeq alone (RFC 3261 §17.1.3), so nothing else is required: a
/// stateless element that checked more would drop responses that a stateful one acts upon. The author of the topmost Via
/// knows from it where the response goes; a broadcast address in the Via below leads nowhere (RFC 4475 §3.3.10).
pub fn response<'a>(message: &Message<'a>) -> Result<GoodResponse<'a>, BadResponse> {
    let Start::Response { version, status, .. } = message.start() else {
        return Err(BadResponse("Not a Response"));
    };
    if message.has_loose_control() {
        return Err(BadResponse("Control Character in Header Fields"));
    }
    body(message).map_err(BadResponse)?;
    if !version.eq_ignore_ascii_case(b"SIP/2.0") {
        return Err(BadResponse("Bad Version"));
    }
    if !(100..700).contains(&status) {
        return Err(BadResponse("Bad Status Code"));
    }
    let value = |name, missing| message.first_value(name).ok_or(BadResponse(missing));
    let (via, cseq) = (value(Name::Via, "Missing Via")?, value(Name::CSeq, "Missing CSeq")?);
    let Some(cseq) = cseq::parse(cseq) else { return Err(BadResponse("Bad CSeq")) };
    let Ok(via) = via::first(via) else { return Err(BadResponse("Bad Via")) };
    Ok(GoodResponse { via, has_below: via::has_below(message, &via), cseq })
}

/// The body against Content-Length. More octets than it says are ignored (RFC 3261 §18.3).
fn body(message: &Message<'_>) -> Result<(), &'static str> {
    match message.length() {
        Length::Bytes(length) if message.body().len() < length as usize => {
            Err("Body Shorter than Content-Length")
        }
        Length::Bytes(_) | Length::Absent => Ok(()),
        Length::Bad => Err("Bad Content-Length"),
    }
}

/// The values of the fields that every request has (RFC 3261 §8.1.1), each once but Via.
struct Fields<'a> {
    via: &'a [u8],
    from: &'a [u8],
    to: &'a [u8],
    cseq: &'a [u8],
}

impl<'a> Fields<'a> {
    #[inline]
    fn of(message: &Message<'a>) -> Result<Fields<'a>, &'static str> {
        let value = |name, missing| message.first_value(name).ok_or(missing);
        let via = value(Name::Via, "Missing Via")?;
        let from = value(Name::From, "Missing From")?;
        let to = value(Name::To, "Missing To")?;
        let call_id = value(Name::CallId, "Missing Call-ID")?;
        let cseq = value(Name::CSeq, "Missing CSeq")?;
        if message.repeated_of(SINGLE) != 0 {
            return Err(repeated(message));
        }
        if call_id.is_empty() || visible_end(call_id, 0) != call_id.len() {
            return Err("Bad Call-ID");
        }
        Ok(Fields { via, from, to, cseq })
    }
}

/// The fields that a request may have only once.
const SINGLE: u64 =
    Name::From.bit() | Name::To.bit() | Name::CallId.bit() | Name::CSeq.bit() | Name::MaxForwards.bit();

#[cold]
fn repeated(message: &Message<'_>) -> &'static str {
    for (name, reason) in [
        (Name::From, "More than One From"),
        (Name::To, "More than One To"),
        (Name::CallId, "More than One Call-ID"),
        (Name::CSeq, "More than One CSeq"),
    ] {
        if message.is_repeated(name) {
            return reason;
        }
    }
    "More than One Max-Forwards"
}
