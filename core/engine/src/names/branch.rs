//! The branch of a request of ours, and our Via: a response finds its record, whichever engine it comes to.

use sip::headers::via::Via;
use state::Key;

use super::{LEG_LETTERS, Leg, letters, number};
use crate::secret::{FarmSecret, Purpose};

/// RFC 3261 §8.1.1.7.
const COOKIE: &[u8] = b"z9hG4bK";

const HASH_LETTERS: usize = 12;
const HASH_MASK: u64 = (1 << (5 * HASH_LETTERS)) - 1;

const KEY_AT: usize = COOKIE.len();
const LEG_AT: usize = KEY_AT + Key::LETTERS;
const HASH_AT: usize = LEG_AT + LEG_LETTERS;

/// The parameter of our Via that names the engine.
const ENGINE: &[u8] = b"e";

/// The branch of a request of ours. Every engine makes the same one for the same request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Branch {
    pub key: Key,
    pub leg: Leg,
    hash: u64,
}

/// What a request of ours has that another of the same leg has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming<'m> {
    /// The number in the CSeq of our request.
    pub sequence: u32,
    /// The method of our request; of a CANCEL and of the ACK to a failure it is INVITE, since they have its branch.
    pub method: &'m [u8],
    /// Sent-by and branch in the topmost Via of the request that is passed on; none of a request of our own.
    pub via: Option<(&'m [u8], &'m [u8])>,
    /// The remote tag of a request within a dialog: the dialogs of one leg share its numbers.
    pub remote_tag: Option<&'m [u8]>,
}

impl Branch {
    /// Characters of a branch.
    pub const LENGTH: usize = HASH_AT + HASH_LETTERS;

    pub fn of(secret: &FarmSecret, key: Key, leg: Leg, birth: u64, incoming: &Incoming<'_>) -> Branch {
        // Branches, tags and hosts are compared without case.
        let lower = |text: &[u8]| text.to_ascii_lowercase();
        let (sent_by, branch) =
            incoming.via.map(|(sent_by, branch)| (lower(sent_by), lower(branch))).unwrap_or_default();
        let remote_tag = lower(incoming.remote_tag.unwrap_or_default());
        let parts: [&[u8]; 8] = [
            &key.0,
            &leg.to_be_bytes(),
            &birth.to_be_bytes(),
            &incoming.sequence.to_be_bytes(),
            incoming.method,
            &sent_by,
            &branch,
            &remote_tag,
        ];
        Branch { key, leg, hash: secret.hash(Purpose::Branch, &parts) as u64 & HASH_MASK }
    }

    pub fn text(self) -> [u8; Branch::LENGTH] {
        let mut text = [0; Branch::LENGTH];
        text[..KEY_AT].copy_from_slice(COOKIE);
        text[KEY_AT..LEG_AT].copy_from_slice(&self.key.text());
        text[LEG_AT..HASH_AT].copy_from_slice(&letters::<LEG_LETTERS>(self.leg.into()));
        text[HASH_AT..].copy_from_slice(&letters::<HASH_LETTERS>(self.hash));
        text
    }

    /// Reads a branch, in either case. It proves nothing: whoever has the record makes the branch of his request again, and
    /// compares.
    pub fn read(text: &[u8]) -> Option<Branch> {
        let text: &[u8; Branch::LENGTH] = text.try_into().ok()?;
        let cookie = text[..KEY_AT].eq_ignore_ascii_case(COOKIE);
        let (key, leg) = (Key::read(&text[KEY_AT..LEG_AT])?, number(&text[LEG_AT..HASH_AT])? as Leg);
        cookie.then_some(Branch { key, leg, hash: number(&text[HASH_AT..])? })
    }
}

/// Our Via, as a response brings it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnVia {
    pub branch: Branch,
    /// The engine that sent the request. `None`: somebody took the parameter away.
    pub engine: Option<u32>,
}

impl OwnVia {
    /// Writes the value of a Via. `sent_by`: the address of the farm for this leg, the same from every engine. `asks_port`:
    /// the response is to come to the port that the request left from (RFC 3581), because a load manager is in between.
    pub fn write(self, transport: &str, sent_by: &[u8], asks_port: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(b"SIP/2.0/");
        out.extend_from_slice(transport.as_bytes());
        out.push(b' ');
        out.extend_from_slice(sent_by);
        if asks_port {
            out.extend_from_slice(b";rport");
        }
        if let Some(engine) = self.engine {
            out.extend_from_slice(b";e=");
            sip::text::write_decimal(u64::from(engine), out);
        }
        out.extend_from_slice(b";branch=");
        out.extend_from_slice(&self.branch.text());
    }

    /// Reads a Via of ours.
    pub fn read(via: &Via<'_>) -> Option<OwnVia> {
        let branch = Branch::read(via.branch?)?;
        let engine = via.parameter(ENGINE).and_then(|engine| std::str::from_utf8(engine).ok()?.parse().ok());
        Some(OwnVia { branch, engine })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key([0x9A; 12]);
    const BIRTH: u64 = 1_700_000_000_123_456;

    fn invite() -> Incoming<'static> {
        Incoming { sequence: 1, method: b"INVITE", via: Some((b"host:5060", b"z9hG4bKa")), remote_tag: None }
    }

    fn branch(incoming: &Incoming<'_>) -> Branch {
        Branch::of(&FarmSecret::new([7; 32]), KEY, 1, BIRTH, incoming)
    }

    #[test]
    fn a_branch_is_read_as_it_was_written_in_either_case() {
        let branch = branch(&invite());
        let text = branch.text();
        assert_eq!(std::str::from_utf8(&text), Ok("z9hG4bKtknjvgu2tknjvgu2tknaab5gkhq3bwerla"));
        assert_eq!(Branch::read(&text), Some(branch));
        assert_eq!(Branch::read(&text.to_ascii_uppercase()), Some(branch));
        assert_eq!(Branch::read(&text[1..]), None);
        assert_eq!(Branch::read(b"z9hG4bK"), None);
        assert_eq!(Branch::read(&[b'1'; Branch::LENGTH]), None);
    }

    #[test]
    fn one_request_has_one_branch_and_another_request_another() {
        let one = branch(&invite());
        let same = Incoming { via: Some((b"HOST:5060", b"Z9hg4bka")), ..invite() };
        assert_eq!(one, branch(&same));
        for other in [
            Incoming { sequence: 2, ..invite() },
            Incoming { method: b"INFO", ..invite() },
            Incoming { via: Some((b"host:5061", b"z9hG4bKa")), ..invite() },
            Incoming { via: Some((b"host:5060", b"z9hG4bKb")), ..invite() },
            Incoming { via: None, ..invite() },
            Incoming { remote_tag: Some(b"b"), ..invite() },
        ] {
            assert_ne!(one, branch(&other), "{other:?}");
        }
        let secret = FarmSecret::new([7; 32]);
        assert_ne!(one, Branch::of(&secret, KEY, 2, BIRTH, &invite()));
        assert_ne!(one, Branch::of(&secret, KEY, 1, BIRTH + 1, &invite()), "the next call of this name");
    }

    #[test]
    fn our_via_comes_back_with_its_engine_and_branch() {
        let own = OwnVia { branch: branch(&invite()), engine: Some(17) };
        let mut text = Vec::new();
        own.write("UDP", b"192.0.2.1:5060", true, &mut text);
        let start = "SIP/2.0/UDP 192.0.2.1:5060;rport;e=17;branch=z9hG4bK";
        assert!(text.starts_with(start.as_bytes()), "{}", String::from_utf8_lossy(&text));
        assert_eq!(OwnVia::read(&sip::headers::via::first(&text).unwrap()), Some(own));
        let marked = String::from_utf8(text).unwrap().replace(";rport", ";rport=5060;received=192.0.2.9");
        assert_eq!(OwnVia::read(&sip::headers::via::first(marked.as_bytes()).unwrap()), Some(own));
        let bare = marked.replace(";e=17", "");
        let without = OwnVia { engine: None, ..own };
        assert_eq!(OwnVia::read(&sip::headers::via::first(bare.as_bytes()).unwrap()), Some(without));
        let foreign = sip::headers::via::first(b"SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa").unwrap();
        assert_eq!(OwnVia::read(&foreign), None);
    }
}
