//! OPTIONS for the load manager itself, by which those in front find out whether to send calls here (RFC 3261 §11): an answer
//! from what this worker sees at that moment, without a server and without state.

use sip::{Message, Method, Reject};

use crate::counters::Counter;
use crate::way::draft::Draft;
use crate::way::route_set::Along;
use crate::way::turn::Turn;
use crate::way::view::View;

impl View {
    /// The request asks us and nobody else: it is outside of a dialog, its Request-URI is ours and names no user, and no Route
    /// leads on. A tag or a Path entry leads on, too.
    pub(crate) fn is_asked_itself(&self, draft: &Draft<'_, '_>) -> bool {
        let (request, set) = (draft.request, &draft.set);
        request.method == Method::Options
            && self.shared.settings.answer_options
            && request.first
            && set.is_meant_for_us()
            && set.uri(request).user.is_none()
            && set.tag.is_none()
            && matches!(set.along, Along::Nothing)
    }

    /// A proxy names no methods (RFC 3261 §11.2), so the answer has nothing but its status.
    #[cold]
    pub(crate) fn answer_for_itself(&self, turn: &mut Turn<'_>, message: &Message<'_>) {
        let answer = match self.shared.not_ready(&self.snapshot) {
            None => Reject::ok(),
            Some(_) => Reject::no_server(self.shared.settings.retry_after),
        };
        self.count(Counter::OptionsAnswered);
        self.write_answer(turn, message, &answer);
    }
}
