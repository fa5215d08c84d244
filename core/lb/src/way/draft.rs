//! A request on its way: its route set as read, and the changes that it leaves with. The request can be written again, for
//! another listener or another server: each time the changes begin anew, and the message stays as received.

use std::ops::Range;

use sip::{Edits, Method, Name, Reject};

use crate::counters::Counter;
use crate::register::path;
use crate::signed::branch::BranchKey;
use crate::signed::tag::Tag;
use crate::way::forward::{self, Outfit, Passage};
use crate::way::request::Request;
use crate::way::route_set::RouteSet;
use crate::way::taken_over;
use crate::way::turn::Turn;
use crate::way::view::View;

pub(crate) struct Draft<'m, 'e> {
    pub request: &'m Request<'m>,
    pub set: RouteSet<'m>,
    /// The key of the branch in our own Via.
    pub branch: BranchKey,
    /// Fields that are taken out of the request.
    pub without: Box<[Range<u32>]>,
    edits: &'e mut Edits,
}

impl<'m, 'e> Draft<'m, 'e> {
    pub(crate) fn new(request: &'m Request<'m>, branch: BranchKey, edits: &'e mut Edits) -> Draft<'m, 'e> {
        Draft { request, set: RouteSet::default(), branch, without: Box::default(), edits }
    }

    /// Reads the route set, and the tag beside it.
    pub(crate) fn read_routes(&mut self, view: &View) -> Result<(), Reject> {
        self.set.take(self.request, &view.shared.own, &view.shared.keys)?;
        self.add_echoed_tag(view);
        Ok(())
    }

    /// If the Route has no tag: takes the tag from the extension header field of a server that echoes the tag.
    fn add_echoed_tag(&mut self, view: &View) {
        if self.set.tag.is_none()
            && !self.set.forged
            && view.shared.settings.tag_header
            && let Some(header) = self.request.message.first(Name::StrowgerTag)
        {
            let field = self.request.message.value(header);
            self.set.tag = Tag::read(&view.shared.keys, field, self.request.call, self.request.call_id);
        }
    }

    /// Appends the request to the outbox, as it leaves by this listener. Returns its range there.
    pub(crate) fn write(
        &mut self,
        view: &View,
        outfit: &Outfit,
        leaves_by: u8,
        turn: &mut Turn<'_>,
    ) -> Result<Range<u32>, Reject> {
        let shared = &*view.shared;
        let (Some(came_by), Some(leaves_by)) =
            (shared.own.get(turn.flow.listener), shared.own.get(leaves_by))
        else {
            view.count(Counter::NoListener);
            return Err(Reject::server_error("No Listener"));
        };
        let (request, edits, hop) = (self.request, &mut *self.edits, &outfit.hop);
        let message = request.message;
        edits.clear();
        self.set.write(request, edits);
        if !hop.to_client {
            taken_over::edit_routes(request, &self.set, hop.server, &view.snapshot, edits);
        }
        let tag_header = shared.settings.tag_header;
        let secure = self.set.is_secure(request);
        let passage = Passage { keys: &shared.keys, outfit, tag_header, secure, came_by, leaves_by };
        forward::edit(request, turn.flow, &passage, edits);
        if request.method == Method::Register && !hop.to_client {
            let entry = leaves_by.entry(secure);
            edits
                .insert(message.headers_start(), |text| path::write(shared, message, turn.flow, entry, text));
        }
        for field in &self.without {
            edits.delete(field.clone());
        }
        let from = turn.out.bytes.len() as u32;
        edits.write_into(message.bytes(), message.end(), &mut turn.out.bytes);
        Ok(from..turn.out.bytes.len() as u32)
    }
}
