//! The binary forms that members of a farm send each other under one key. The first field distinguishes them. Each has its
//! own id, so that a signature on one form is never valid on another, and a receiver can say what it received.

/// First field of every datagram, in network byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Form {
    /// What a server reports of itself, in either byte order: [`crate::Heartbeat`].
    Heartbeat = 0xDEAD_FACE,
    /// Asks for a heartbeat out of turn: [`crate::Query`].
    Query = 0xDEAD_FACF,
    /// Ends an answer over a stream: [`crate::stream::End`].
    End = 0xDEAD_FAD0,
    /// What load managers tell each other of their calls: [`crate::notice`].
    Notice = 0xDEAD_FAD1,
    /// What servers that shift workload tell each other (docs/workload-shifting.md).
    Shift = 0xDEAD_FAD2,
    /// A load manager tells the servers of a state tier that one of them is gone: [`crate::death`].
    Death = 0xDEAD_FAD3,
}

impl Form {
    pub const ALL: [Form; 6] =
        [Form::Heartbeat, Form::Query, Form::End, Form::Notice, Form::Shift, Form::Death];

    pub const fn id(self) -> u32 {
        self as u32
    }

    /// The form with which these bytes begin, if it is one of ours.
    pub fn of(bytes: &[u8]) -> Option<Form> {
        let id = u32::from_be_bytes(*bytes.first_chunk()?);
        let other_order = (id.swap_bytes() == Form::Heartbeat.id()).then_some(Form::Heartbeat);
        Form::ALL.into_iter().find(|form| form.id() == id).or(other_order)
    }

    /// For people: what was received instead of the expected form.
    pub const fn name(self) -> &'static str {
        match self {
            Form::Heartbeat => "a heartbeat",
            Form::Query => "a load query",
            Form::End => "the end of a \"get data\" answer",
            Form::Notice => "a notice of a load manager",
            Form::Shift => "a datagram of workload shifting",
            Form::Death => "a notice that a server is gone",
        }
    }
}

/// What these bytes are, as far as their beginning shows.
pub fn named(bytes: &[u8]) -> &'static str {
    let looks_like_sip = || bytes.first().is_some_and(u8::is_ascii_uppercase) && bytes.is_ascii();
    match Form::of(bytes) {
        Some(form) => form.name(),
        None if looks_like_sip() => "text such as SIP",
        None => "something that Strowger does not send",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::death::{self, Death};
    use crate::notice::{self, Notice, What};
    use crate::stream::{End, Frame};
    use crate::{Heartbeat, Ignored, Query, ServerState};

    const KEY: &[u8] = b"sixteen bytes...";

    #[test]
    fn each_form_has_an_id_of_its_own() {
        for (at, form) in Form::ALL.into_iter().enumerate() {
            for other in &Form::ALL[at + 1..] {
                assert_ne!(form.id(), other.id());
                assert_ne!(form.id(), other.id().swap_bytes(), "nor in the other byte order");
            }
            assert_eq!(Form::of(&form.id().to_be_bytes()), Some(form));
        }
    }

    #[test]
    fn what_came_is_named_and_no_form_is_taken_for_another() {
        let heartbeat = Heartbeat::plain(7, 5060, ServerState::Started);
        let mut notices = Vec::new();
        let told = Notice { call: 1, server: 2, what: What::Begun };
        notice::encode(3, 4, &[told], (1, KEY), &mut notices);
        let death = Death { state_tier: 1, server_id: 2, sip: ([192, 0, 2, 1], 5060).into() };
        let forms = [
            (Form::Heartbeat, heartbeat.encode(Some(KEY))),
            (Form::Query, Query { nonce: 1 }.encode(Some(KEY)).to_vec()),
            (Form::End, Frame::End(End { nonce: 1, servers: 1 }).encode(Some(KEY)).split_off(2)),
            (Form::Notice, notices),
            (Form::Death, death.encode(3, 4, Some(KEY)).to_vec()),
        ];
        for (form, bytes) in &forms {
            assert_eq!((Form::of(bytes), named(bytes)), (Some(*form), form.name()));
            let wrong = Err(Ignored::WrongProtocol);
            if *form != Form::Heartbeat {
                assert_eq!(Heartbeat::decode(bytes, Some(KEY)), wrong, "{form:?}");
            }
            if *form != Form::Notice {
                assert!(notice::decode(bytes, |_| Some(KEY)).is_err(), "{form:?}");
            }
            if *form != Form::Death {
                assert_eq!(
                    death::decode(bytes, Some(KEY)),
                    wrong.map(|_: Heartbeat| unreachable!()),
                    "{form:?}"
                );
            }
        }
        assert_eq!(named(b"OPTIONS sip:a@example.com SIP/2.0\r\n"), "text such as SIP");
        assert_eq!(named(&[0xCE, 0xFA, 0xAD, 0xDE]), "a heartbeat", "of the other byte order");
        for nothing in [&b""[..], &[0xDE, 0xAD], &[0; 40]] {
            assert_eq!(named(nothing), "something that Strowger does not send");
        }
    }
}
