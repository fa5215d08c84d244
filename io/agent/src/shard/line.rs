//! A connection to one server of a cluster: what it was asked, in order, and what its answers mean.

use std::collections::VecDeque;
use std::io;

use base::{Duration, Time};
use state::failover::Word;
use state_redis::link::{Settings, Talk};
use state_redis::resp::Value;

/// Questions of one kind that may wait for their answers; the next is left out.
const WAITING_MAX: usize = 2;
/// A connection on which the oldest question waits longer is given up.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Three answers make a [`Word`].
    Look(Time),
    Force,
    Shield,
}

impl Question {
    const fn answers(self) -> usize {
        match self {
            Question::Look(_) => 3,
            Question::Force | Question::Shield => 1,
        }
    }
}

/// What an answer means.
pub(super) enum News {
    Word(Box<Word>),
    Done,
    Refused(Question, String),
}

pub(super) struct Line {
    talk: Talk,
    waiting: VecDeque<Question>,
    /// Answers to the first of them, as far as they have come.
    answers: Vec<Value>,
    /// When it was opened, or asked last.
    pub(super) used: Time,
    /// Something was asked and not sent.
    to_send: bool,
}

impl Line {
    pub(super) fn open(address: &str, settings: &Settings, now: Time) -> io::Result<Line> {
        let talk = Talk::open(address, settings)?;
        Ok(Line { talk, waiting: VecDeque::new(), answers: Vec::new(), used: now, to_send: false })
    }

    pub(super) fn watched(&self) -> libc::pollfd {
        let (fd, writes) = self.talk.watched();
        os::poll::watched(fd, if writes { libc::POLLIN | libc::POLLOUT } else { libc::POLLIN })
    }

    pub(super) fn has_to_send(&self) -> bool {
        self.to_send
    }

    pub(super) fn is_stuck(&self, now: Time) -> bool {
        self.waiting.iter().any(|question| match question {
            Question::Look(asked) => now.since(*asked) > PATIENCE,
            Question::Force | Question::Shield => false,
        })
    }

    pub(super) fn look(&mut self, now: Time) {
        if self.waiting.len() < WAITING_MAX {
            let words: [&[&str]; 3] =
                [&["CLUSTER", "NODES"], &["CLUSTER", "INFO"], &["INFO", "replication", "keyspace"]];
            self.ask(Question::Look(now), &words);
        }
    }

    pub(super) fn ask(&mut self, question: Question, commands: &[&[&str]]) {
        commands.iter().for_each(|words| self.talk.ask(words));
        self.waiting.push_back(question);
        self.to_send = true;
    }

    /// Sends and reads. After an error, only `news` are left of it.
    pub(super) fn turn(&mut self, address: &str, news: &mut Vec<News>) -> io::Result<()> {
        self.to_send = false;
        let ended = self.talk.turn(&mut self.answers);
        while let Some(question) = self.waiting.front().copied()
            && self.answers.len() >= question.answers()
        {
            self.waiting.pop_front();
            let rest = self.answers.split_off(question.answers());
            let answers = std::mem::replace(&mut self.answers, rest);
            news.push(meaning(address, question, &answers));
        }
        ended
    }
}

fn meaning(address: &str, question: Question, answers: &[Value]) -> News {
    if let Some(Value::Error(why)) = answers.iter().find(|answer| matches!(answer, Value::Error(_))) {
        return News::Refused(question, why.to_string());
    }
    match (question, answers) {
        (Question::Look(asked), [nodes, cluster, replication]) => {
            let [nodes, cluster, replication] = [nodes, cluster, replication].map(text);
            match Word::read(address, asked, &nodes, &cluster, &replication) {
                Ok(word) => News::Word(Box::new(word)),
                Err(wrong) => News::Refused(question, format!("what nobody understands: {}", wrong.0)),
            }
        }
        _ => News::Done,
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    }
}
