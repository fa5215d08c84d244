//! A load manager's tables, and what verbs know besides them, without workers and sockets: for tests and for the fuzz target
//! of the control socket.

use std::sync::Arc;

use fcaps::{FaultLog, Output};
use net::Clock;

use super::desk::work_of;
use super::socket::reply;
use super::{Context, Host};
use crate::lb::choices::ChoiceLog;
use crate::lb::control::Control;

pub struct ControlSide {
    pub(super) control: Control,
    pub(super) host: Host,
}

impl ControlSide {
    /// From a file if one is given; a reload then reads that file.
    pub fn of(checked: config::Checked) -> ControlSide {
        let clock = Clock::start();
        let mut control = Control::new(clock.now(), checked.settings.clone(), 1).unwrap();
        let faults = FaultLog::start(Output::Off).unwrap();
        let shared = control.shared();
        let choices = ChoiceLog::new(Arc::clone(&shared), clock);
        choices.write_to(&checked.choices).unwrap();
        let host = Host {
            clock,
            started: clock.now(),
            shared,
            workers: Vec::new(),
            faults,
            choices,
            file: checked.file.clone(),
            certificates: Default::default(),
            tokens: Default::default(),
            api: Default::default(),
            https: Default::default(),
            converged: None,
            peers: None,
            giving: None,
        };
        control.run_as(checked);
        ControlSide { control, host }
    }

    /// The control socket's answer to one line.
    pub fn reply(&mut self, line: &str) -> Vec<u8> {
        let (control, host, now) = (&mut self.control, &self.host, self.host.clock.now());
        let ask = |verb: &str, given| work_of(host, verb, given)?(&mut Context { now, control, host });
        reply(line, ask).unwrap()
    }
}
