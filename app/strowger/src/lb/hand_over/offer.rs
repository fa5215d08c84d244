//! What a running load manager offers to the one that wants to take its place, and what must be alike: tags and hops in messages
//! on their way name workers, listeners and connections by number, and calls by hashes under the keys.

use std::path::PathBuf;

use config::{Checked, word};
use lb::settings::{Listener, Settings, Threads};
use lb::signed::keyring::KeyRing;
use serde::{Deserialize, Serialize};

use crate::lb::origin::Origin;
use crate::lb::workers::worker_count;

/// Raised when a build can no longer read what earlier builds write.
const VERSION: u32 = 1;

/// Fields that a later build adds have a default; a build skips fields that it does not know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Offer {
    version: u32,
    pub(super) pid: u32,
    /// When its clock began, microseconds of CLOCK_MONOTONIC.
    pub(super) began_us: u64,
    pub(super) run: u32,
    pub(super) clock_began_us: u64,
    workers: u8,
    threads: String,
    affinity: String,
    listeners: Vec<String>,
    /// The hash of nothing under the oldest key: alike if calls have the same hashes.
    of_nothing: u64,
    /// Keys that were made for this run: no file has them. Identifier and key.
    #[serde(default)]
    random_keys: Vec<(u8, [u8; 16])>,
    pub(super) control: PathBuf,
}

impl Offer {
    pub(super) fn of(checked: &Checked, keys: &KeyRing, origin: Origin, began_us: u64) -> Offer {
        let settings = &checked.settings;
        let random_keys = settings.keys.tag.iter().filter(|_| checked.random_keys);
        Offer {
            version: VERSION,
            pid: std::process::id(),
            began_us,
            run: origin.run,
            clock_began_us: origin.clock_began_us,
            workers: worker_count(settings.threads),
            threads: threads(settings),
            affinity: word(settings.affinity).to_string(),
            listeners: listeners(settings),
            of_nothing: keys.call(b"").0,
            random_keys: random_keys.map(|(id, key)| (*id, *key.get())).collect(),
            control: checked.process.control.clone(),
        }
    }

    /// Takes keys over that no file has.
    pub(super) fn adopt_keys(&self, checked: &mut Checked) {
        if checked.random_keys && !self.random_keys.is_empty() {
            checked.settings.keys.tag =
                self.random_keys.iter().map(|(id, key)| (*id, (*key).into())).collect();
        }
    }

    /// Why this configuration cannot go on where the other process is, and the remedy.
    pub(super) fn refuses(&self, checked: &Checked) -> Option<String> {
        let settings = &checked.settings;
        let restart = "or end the running load manager and start this one";
        if self.version != VERSION {
            return Some(format!(
                "it hands over in form {}, and this build reads form {VERSION}\n  remedy: end the running load manager and start this one",
                self.version
            ));
        }
        let workers = worker_count(settings.threads);
        if self.workers != workers {
            return Some(format!(
                "it has {} workers ({}), and this configuration gives {workers} ({}); messages on their way name them\n  remedy: keep \
                 the number (lb.threads, --threads), {restart}",
                self.workers,
                self.threads,
                threads(settings)
            ));
        }
        let affinity = word(settings.affinity).to_string();
        if self.affinity != affinity {
            return Some(format!(
                "its affinity is {}, and this configuration says {affinity}; a call keeps the affinity that it began with\n  remedy: \
                 keep affinity.kind, {restart}",
                self.affinity
            ));
        }
        let own = listeners(settings);
        if let Some((before, now)) = self.listeners.iter().zip(&own).find(|(before, now)| before != now) {
            return Some(format!(
                "its listener {before} has the place of {now}; messages on their way name listeners by their place\n  remedy: keep the \
                 order of [[listen]] and what each advertises: new ones go to the end, and only the last ones can be left out; {restart}"
            ));
        }
        (self.of_nothing != KeyRing::new(&settings.keys).call(b"").0).then(|| {
            format!(
                "its oldest tag key is another one, so no call would be known\n  remedy: put the new key in front and keep the old one \
                 (keys.file, --key-file), {restart}"
            )
        })
    }
}

fn listeners(settings: &Settings) -> Vec<String> {
    let known = |listener: &Listener| {
        let (word, bind, advertise) = (listener.transport.word(), listener.bind, listener.advertise);
        if bind == advertise {
            format!("{word}:{bind}")
        } else {
            format!("{word}:{bind}, known as {advertise},")
        }
    };
    settings.listeners.iter().map(known).collect()
}

fn threads(settings: &Settings) -> String {
    match settings.threads {
        Threads::One => "one".into(),
        Threads::Two => "two".into(),
        Threads::PerCore { workers } => format!("per-core, {workers}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Checked {
        config::parse(text).unwrap()
    }

    fn offer(of: &Checked) -> Offer {
        let origin = Origin { run: 1, clock_began_us: 2 };
        let offer = Offer::of(of, &KeyRing::new(&of.settings.keys), origin, 3);
        serde_json::from_str(&serde_json::to_string(&offer).unwrap()).unwrap()
    }

    #[test]
    fn what_messages_on_their_way_name_must_be_alike() {
        let before = checked(crate::ctl::testing::TWO);
        let offer = offer(&before);
        let mut same = checked(crate::ctl::testing::TWO);
        offer.adopt_keys(&mut same);
        assert_eq!(offer.refuses(&same), None);
        let refused = |change: &dyn Fn(&mut Checked)| {
            let mut next = same.clone();
            change(&mut next);
            offer.refuses(&next).unwrap_or_default()
        };
        let bind = "127.0.0.1:5070".parse().unwrap();
        let other = || Listener { bind, advertise: bind, ..same.settings.listeners[0].clone() };
        assert_eq!(refused(&|next| next.settings.listeners.push(other())), "", "one more");
        assert!(refused(&|next| next.settings.listeners.insert(0, other())).contains("[[listen]]"));
        assert!(
            refused(&|next| next.settings.listeners[0].advertise = bind).contains("known as 127.0.0.1:5070")
        );
        assert!(refused(&|next| next.settings.keys.tag = vec![(7, [1; 16].into())]).contains("tag key"));
        let workers = worker_count(same.settings.threads) + 1;
        let more = Threads::PerCore { workers };
        assert!(refused(&|next| next.settings.threads = more).contains("--threads"));
        let session = lb::settings::Affinity::Session;
        assert!(refused(&|next| next.settings.affinity = session).contains("affinity.kind"));
    }

    #[test]
    fn an_offer_of_another_build_is_read() {
        let checked = checked(crate::ctl::testing::TWO);
        let mut document = serde_json::to_value(offer(&checked)).unwrap();
        document["what only a newer build says"] = 7.into();
        document.as_object_mut().unwrap().remove("random_keys");
        assert!(serde_json::from_value::<Offer>(document.clone()).unwrap().random_keys.is_empty());
        document["version"] = 2.into();
        let newer: Offer = serde_json::from_value(document).unwrap();
        assert!(newer.refuses(&checked).unwrap().contains("form 2"));
    }
}
