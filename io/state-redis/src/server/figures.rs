//! What a running server of records shows to operators. Its thread writes the numbers, and any thread reads them.

use base::Counter;
use state::{Answer, Command};

macro_rules! figures {
    (now { $($gauge:ident: $gauge_text:literal,)* } since_start { $($name:ident: $text:literal,)* }) => {
        /// See the head of this module.
        #[derive(Debug, Default)]
        pub struct Figures {
            $(#[doc = $gauge_text] pub $gauge: Counter,)*
            $(#[doc = $text] pub $name: Counter,)*
        }

        impl Figures {
            /// Name and text of what there is now.
            pub const GAUGES: &'static [(&'static str, &'static str)] = &[$((stringify!($gauge), $gauge_text),)*];
            /// Name and text of what has happened since the start.
            pub const COUNTS: &'static [(&'static str, &'static str)] = &[$((stringify!($name), $text),)*];

            /// Name and value of each, first of what there is now.
            pub fn read(&self) -> Vec<(&'static str, u64)> {
                vec![
                    $((stringify!($gauge), self.$gauge.get()),)*
                    $((stringify!($name), self.$name.get()),)*
                ]
            }
        }
    };
}

figures! {
    now {
        records: "calls that have a record",
        tombstones: "calls that are gone, and whose late messages are still answered",
        bytes: "bytes of all records and what belongs to them",
        memory: "bytes that there may be; from 80 % of them on, no call begins",
        effects: "effects of calls that wait to be carried out",
        connections: "connections of engines and others",
    }
    since_start {
        commands: "commands of engines",
        begun: "records made",
        written: "records changed",
        ended: "records that ended",
        refused: "writes refused, because the record was another one: another engine had written first",
        full: "calls refused because there was no room",
        turned_away: "connections refused because there were too many",
    }
}

impl Figures {
    /// A command was answered.
    pub(super) fn count(&self, command: &Kind, answer: &Answer) {
        self.commands.add(1);
        match (command, answer) {
            (_, Answer::Full) => self.full.add(1),
            // A create that finds its record is a copy of an INVITE.
            (Kind::Put | Kind::Del, Answer::Refused(_)) => self.refused.add(1),
            (Kind::Create, Answer::Done) => self.begun.add(1),
            (Kind::Put, Answer::Done) => self.written.add(1),
            (Kind::Del, Answer::Done) => self.ended.add(1),
            _ => {}
        }
    }
}

/// What a command is, as far as it is counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Create,
    Put,
    Del,
    Other,
}

impl Kind {
    pub(super) fn of(command: &Command) -> Kind {
        match command {
            Command::Create(_) => Kind::Create,
            Command::Put(_) => Kind::Put,
            Command::Del(_) => Kind::Del,
            _ => Kind::Other,
        }
    }
}
