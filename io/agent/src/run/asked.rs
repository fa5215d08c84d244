//! What others ask of the agent, or have to tell it: performance servers, commands on the control socket, load managers.

use heartbeat::Ignored;
use heartbeat::stream::{End, Frame, framed};
use tracing::info;

use super::Agent;
use crate::control::Command;
use crate::status;
use crate::supervise::Event;

impl Agent {
    /// What load managers tell of other servers of the state tier goes to the server.
    pub(super) fn pass_on(&mut self) {
        self.sender.take_reports(self.clock.now());
        for socket in self.sender.sockets() {
            self.notices.take(socket, self.settings.key.as_deref(), self.sender.state_tier());
        }
    }

    /// Answers "get data" of performance servers, from the same figures.
    pub(super) fn serve(&mut self) {
        let now = self.now();
        let Some(stream) = &mut self.stream else { return };
        let (key, sender) = (self.settings.key.as_deref(), &mut self.sender);
        stream.turn(now, key, |nonce| {
            let mut answer = framed(&sender.answer(nonce));
            answer.extend(Frame::End(End { nonce, servers: 1 }).encode(key));
            answer
        });
    }

    pub(super) fn obey(&mut self) {
        let now = self.now();
        // One command a turn: a client that asks without end does not delay the supervision.
        if let Some(asked) = self.control.as_mut().and_then(|control| control.next(now)) {
            let command = asked.command;
            if command != Command::Status {
                info!("command {} received on the control socket", command.word());
            }
            match command {
                Command::Status => {}
                Command::Drain => self.act(Event::Drain),
                Command::Resume => self.act(Event::Resume),
                Command::Stop => self.act(Event::Stop),
                Command::Detach => self.act(Event::Detach),
            }
            asked.answer(&self.status());
        }
    }

    fn status(&self) -> String {
        let mut text = status::figures(&self.sender.heartbeat(self.supervisor.state(), self.load));
        status::line(&mut text, "server", Some(self.supervisor.phase().meaning()));
        status::line(&mut text, "pid", self.supervisor.pid());
        status::line(&mut text, "draining", Some(self.supervisor.draining()));
        status::line(&mut text, "restarts", Some(self.supervisor.restarts_total()));
        if let Some(shard) = &self.shard {
            shard.status(self.clock.now(), &mut text);
        }
        for (to, word) in self.sender.targets() {
            status::line(&mut text, "heartbeats_to", Some(format!("{to} {word}")));
        }
        if self.sender.state_tier().is_some() {
            status::line(&mut text, "notices_passed", Some(self.notices.passed));
            status::line(&mut text, "notices_ignored", Some(self.notices.ignored));
        }
        if let Some(get_data) = &self.get_data {
            status::line(&mut text, "queries_answered", Some(get_data.answered));
            for reason in Ignored::ALL {
                let count = get_data.ignored[reason.index()];
                if count > 0 {
                    status::line(&mut text, &format!("queries_ignored_{}", reason.name()), Some(count));
                }
            }
        }
        if let Some(stream) = &self.stream {
            let counts = &stream.counts;
            status::line(&mut text, "get_data_connections", Some(stream.connections()));
            status::line(&mut text, "get_data_answered", Some(counts.answered));
            status::line(&mut text, "get_data_notified", Some(counts.notified));
            status::line(&mut text, "get_data_refused", Some(counts.connections_refused));
            status::line(&mut text, "get_data_given_up", Some(counts.connections_given_up));
            for reason in Ignored::ALL {
                let count = counts.ignored[reason.index()];
                if count > 0 {
                    status::line(&mut text, &format!("get_data_ignored_{}", reason.name()), Some(count));
                }
            }
        }
        text
    }
}
