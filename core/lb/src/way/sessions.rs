//! Sessions and registrations, counted and timed by RFC 6076.

use base::Time;

use crate::counters::Counter;
use crate::farm::delays::Delay;
use crate::memory::calls::ended::{Ended, News};
use crate::signed::hop::{Asked, Hop};
use crate::signed::stamp::Stamp;
use crate::way::own_via::Response;
use crate::way::view::View;

impl View {
    /// Counts and times what a response says of its session or registration (RFC 6076 §4). A repeated response counts once,
    /// as long as its call is remembered.
    pub(crate) fn measure(&self, now: Time, response: &Response<'_>, ended: Ended, news: News) {
        let &Response { hop, status, .. } = response;
        let repeated = news == News::Repeated;
        let first = news == News::First;
        let challenge = matches!(status, 401 | 402 | 407);
        let delay = match (hop.asked, ended) {
            (Asked::Invite, Ended::Ringing) => first.then_some(Delay::Session),
            (Asked::Invite, Ended::Answered) => {
                if !repeated && !hop.to_client {
                    self.count_session(status);
                }
                first.then_some(Delay::Session)
            }
            (Asked::Invite, Ended::Failed | Ended::Broken) => {
                if !repeated && !hop.to_client {
                    self.count_session(status);
                }
                (first && status >= 400 && !challenge).then_some(Delay::FailedSession)
            }
            (Asked::Bye | Asked::ByeOfServersCall, Ended::Over) => {
                let good = status < 300;
                if !repeated && !challenge && hop.asked == Asked::Bye {
                    self.count(if good { Counter::SessionCompleted } else { Counter::SessionNotCompleted });
                }
                let what = if good { Delay::Disconnect } else { Delay::FailedDisconnect };
                (!repeated && !challenge).then_some(what)
            }
            (Asked::Register, _) if !hop.to_client => {
                if status >= 300 && !challenge {
                    self.count(Counter::RegisterFailed);
                }
                (200..300).contains(&status).then_some(Delay::Registration)
            }
            _ => None,
        };
        if let Some(delay) = delay {
            self.took(now, hop, delay);
        }
    }

    /// A server answered, and this is how long it took.
    pub(crate) fn took(&self, now: Time, hop: &Hop, delay: Delay) {
        if hop.to_client || !hop.is_timed() {
            return;
        }
        if let Some(took) = Stamp::new(now, self.shared.clock_began_us).since(hop.sent)
            && let Some(server) = self.snapshot.by_id(hop.server)
        {
            self.shared.tables.delays.note(self.worker, server.seat, delay, took);
        }
    }

    /// How the set-up of a session ended, in the classes of RFC 6076 §4.
    fn count_session(&self, status: u16) {
        self.count(match status {
            200..300 => Counter::SessionEstablished,
            300..=399 => Counter::SessionRedirected,
            401 | 402 | 407 => return,
            480 | 486 | 600 | 603 => Counter::SessionDeclined,
            408 | 500 | 503 | 504 => Counter::SessionIneffective,
            _ => Counter::SessionFailed,
        });
    }
}
