//! Session descriptions (RFC 8866): the offer in a request, and our answer (RFC 3264 §6). The server plays no media: it accepts
//! one audio stream and directs it to the discard port.

use std::net::IpAddr;

use sdp_types::{Attribute, Connection, Media, MediaType, Origin, Session, Time, TransportProto};
use sip::{Message, Name};

/// The discard port, where nobody listens.
const PORT: u16 = 9;

/// The port of a refused stream (RFC 3264 §6).
const REFUSED: u16 = 0;

/// The server's offer or answer for a session.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The request has no offer, so the answer carries ours (RFC 3261 §13.3.1.4).
    Offer(String),
    Answer(String),
    /// No offered stream is acceptable, or the offer cannot be read: 488 (RFC 3261 §13.3.1).
    NotAcceptable,
}

impl Said {
    /// `version` grows with every change of the session (RFC 3264 §8).
    pub(super) fn to(request: &Message<'_>, own: IpAddr, version: u32) -> Said {
        if request.body().is_empty() || !is_sdp(request) {
            return Said::Offer(written(own, version, vec![our_offer()]));
        }
        // The text may have another character set; only fields that no answer repeats hold bytes that are not UTF-8.
        let text = String::from_utf8_lossy(request.body());
        let Ok(offer) = Session::parse(text.as_bytes()) else { return Said::NotAcceptable };
        let taken = offer.medias.iter().position(is_acceptable);
        if taken.is_none() && offer.medias.iter().any(|media| media.port != REFUSED) {
            return Said::NotAcceptable;
        }
        let answers = offer.medias.iter().enumerate().map(|(at, media)| match taken == Some(at) {
            true => accepted(media, &offer),
            false => refused(media),
        });
        Said::Answer(written(own, version, answers.collect()))
    }

    pub(super) fn text(self) -> Option<String> {
        match self {
            Said::Offer(text) | Said::Answer(text) => Some(text),
            Said::NotAcceptable => None,
        }
    }
}

/// Bodies of other types are no offers and are ignored.
fn is_sdp(request: &Message<'_>) -> bool {
    let kind = request.first_value(Name::ContentType).unwrap_or_default();
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"application/sdp")
}

fn is_acceptable(media: &Media) -> bool {
    let by_rtp = ["RTP/AVP", "RTP/AVPF"].contains(&&media.proto[..]);
    media.media == "audio" && by_rtp && media.port != REFUSED && !media.fmt.trim().is_empty()
}

/// The first offered format with its attributes in the offer, and the answer's direction.
fn accepted(media: &Media, offer: &Session) -> Media {
    let format = media.fmt.split(' ').find(|format| !format.is_empty()).unwrap_or_default();
    let is_of_format = |attribute: &&Attribute| {
        let value = attribute.value.as_deref().unwrap_or_default();
        ["rtpmap", "fmtp"].contains(&&attribute.attribute[..]) && value.split(' ').next() == Some(format)
    };
    let mut answer = refused(media);
    (answer.port, answer.fmt) = (PORT, format.to_owned());
    answer.attributes = media.attributes.iter().filter(is_of_format).cloned().collect();
    answer.add_attribute_from_str(mirrored(media, offer));
    answer
}

/// The answer's direction (RFC 3264 §6.1). The session's direction holds for all its streams without one.
fn mirrored(media: &Media, offer: &Session) -> &'static str {
    let direction = media.attributes.iter().chain(&offer.attributes).find_map(|attribute| {
        let directions = [
            ("sendonly", "recvonly"),
            ("recvonly", "sendonly"),
            ("sendrecv", "sendrecv"),
            ("inactive", "inactive"),
        ];
        let found = directions.into_iter().find(|(offered, _)| *offered == attribute.attribute);
        found.map(|(_, answered)| answered)
    });
    direction.unwrap_or("sendrecv")
}

/// The offered media line with port 0, so that the answer has as many lines in the same order.
fn refused(media: &Media) -> Media {
    Media {
        media: media.media.clone(),
        port: REFUSED,
        num_ports: None,
        proto: media.proto.clone(),
        fmt: media.fmt.clone(),
        media_title: None,
        connections: Vec::new(),
        bandwidths: Vec::new(),
        key: None,
        attributes: Vec::new(),
    }
}

fn our_offer() -> Media {
    let mut media = Media::new(MediaType::Audio, PORT, TransportProto::RtpAvp, 0);
    media.add_attribute_with_value("rtpmap", "0 PCMU/8000");
    media.add_attribute_from_str("recvonly");
    media
}

fn written(own: IpAddr, version: u32, medias: Vec<Media>) -> String {
    let mut origin = Origin::with_ip_addr(1, u64::from(version), own);
    origin.username = Some("answer".to_owned());
    let mut session = Session::new(origin, "-");
    session.connection = Some(Connection::from_ip_addr(own));
    session.times = vec![Time::new(0, 0)];
    session.medias = medias;
    let mut bytes = Vec::new();
    // A write into memory cannot fail.
    let _ = session.write(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use sip::Parser;

    use super::*;

    /// The answer to this body, from the first media line on; or `488`.
    fn said(kind: &str, body: &[u8]) -> String {
        let head = format!(
            "INVITE sip:a@b SIP/2.0\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let bytes = [head.as_bytes(), body].concat();
        let mut parser = Parser::new();
        let said = Said::to(&parser.parse(&bytes).unwrap(), IpAddr::from([127, 0, 0, 1]), 7);
        let Some(text) = said.text() else { return "488".into() };
        let head = "v=0\r\no=answer 1 7 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n";
        text.strip_prefix(head).expect(&text).replace("\r\n", "|")
    }

    const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=x\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";

    #[test]
    fn an_offer_is_answered_line_by_line() {
        let ours = "m=audio 9 RTP/AVP 0|a=rtpmap:0 PCMU/8000|a=recvonly|";
        for (offer, expected) in [
            ("m=audio 4000 RTP/AVP 0|", "m=audio 9 RTP/AVP 0|a=sendrecv|"),
            (
                "m=audio 4000 RTP/AVP 96 0|a=rtpmap:96 opus/48000/2|a=fmtp:96 useinbandfec=1|a=rtpmap:0 PCMU/8000|a=sendonly|",
                "m=audio 9 RTP/AVP 96|a=rtpmap:96 opus/48000/2|a=fmtp:96 useinbandfec=1|a=recvonly|",
            ),
            ("a=inactive|m=audio 4000 RTP/AVP 8|", "m=audio 9 RTP/AVP 8|a=inactive|"),
            ("a=inactive|m=audio 4000 RTP/AVP 8|a=recvonly|", "m=audio 9 RTP/AVP 8|a=sendonly|"),
            (
                "m=video 4002 RTP/AVP 97|m=audio 4000 RTP/AVP 0|m=audio 4004 RTP/AVP 0|",
                "m=video 0 RTP/AVP 97|m=audio 9 RTP/AVP 0|a=sendrecv|m=audio 0 RTP/AVP 0|",
            ),
            ("m=audio 0 RTP/AVP 0|", "m=audio 0 RTP/AVP 0|"),
            ("m=video 4002 RTP/AVP 97|", "488"),
            ("m=audio 4000 RTP/SAVP 0|", "488"),
            ("", ""),
        ] {
            let body = format!("{HEAD}{}", offer.replace('|', "\r\n"));
            assert_eq!(said("application/sdp", body.as_bytes()), expected, "{offer}");
            assert_eq!(said("text/plain", body.as_bytes()), ours, "no offer");
        }
        assert_eq!(said("Application/SDP ;x=y", b""), ours);
        assert_eq!(said("application/sdp", b"hello"), "488");
    }

    #[test]
    fn a_name_in_another_character_set_does_no_harm() {
        let mut body = HEAD.replace("s=x", "s=Caf?").into_bytes();
        let at = body.iter().position(|byte| *byte == b'?').unwrap();
        body[at] = 0xE9;
        body.extend_from_slice(b"m=audio 4000 RTP/AVP 0\r\n");
        assert_eq!(said("application/sdp", &body), "m=audio 9 RTP/AVP 0|a=sendrecv|");
    }

    #[test]
    fn nothing_that_is_cut_or_changed_brings_it_down() {
        let whole = format!(
            "{HEAD}b=AS:64\r\nm=audio 4000/2 RTP/AVP 0 96\r\na=rtpmap:96 x/8000\r\nk=clear:x\r\nr=7d 1h 0\r\n"
        );
        for at in 0..whole.len() {
            said("application/sdp", &whole.as_bytes()[..at]);
            for byte in [0, b'\n', b' ', b'/', 0xFF] {
                let mut changed = whole.clone().into_bytes();
                changed[at] = byte;
                said("application/sdp", &changed);
            }
        }
    }
}
