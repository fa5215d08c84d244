//! The processes of a farm: started in order, looked after, ended in order.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use config::Run;

use super::child::{child_of, last_lines};
use super::folder::Folder;
use super::kept::Kept;
use super::plan::Plan;
use super::said::Said;
use super::upgrade::{Hands, Upgrade};
use crate::ctl::socket;
use crate::report::status::StatusReport;

/// Longest wait until the state process listens and all engines take calls.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// Time from SIGTERM to the kill: agents give their engines two seconds.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// Time between two looks while the farm starts.
const LOOK: Duration = Duration::from_millis(20);

/// See the head of this module.
#[derive(Debug)]
pub(crate) struct Farm {
    plan: Plan,
    folder: Folder,
    control: PathBuf,
    state: Option<Kept>,
    lb: Kept,
    agents: Vec<Kept>,
    upgrade: Option<Upgrade>,
}

impl Farm {
    /// Starts everything, and waits until every engine takes calls.
    pub(crate) fn start(plan: Plan, folder: Folder) -> io::Result<Farm> {
        let program = plan.program.clone();
        let log = |name: &str| {
            let path = folder.file(&format!("{name}.log"));
            let _ = fs::remove_file(&path);
            path
        };
        folder.forget_engines()?;
        fs::write(folder.file("farm.toml"), plan.lb_text())?;
        let state = match plan.state(&folder) {
            Some(arguments) => Some(Kept::start("state", &program, arguments, log("state"))?),
            None => None,
        };
        let lb = Kept::start("lb", &program, plan.lb(&folder), log("lb"))?;
        let control = plan.run.lb.process.control.clone();
        let mut farm = Farm { control, state, lb, agents: Vec::new(), upgrade: None, plan, folder };
        let end = Instant::now() + START_PATIENCE;
        farm.wait_for_state(end)?;
        for index in 0..farm.plan.engines.len() {
            let name = format!("engine-{}", index + 1);
            let log = farm.folder.file(&format!("{name}.log"));
            let arguments = farm.plan.agent(index, &farm.folder);
            farm.agents.push(Kept::start(&name, &program, arguments, log)?);
        }
        farm.wait_for_engines(end)?;
        Ok(farm)
    }

    fn wait_for_state(&mut self, end: Instant) -> io::Result<()> {
        let Some(path) = self.plan.own_state.clone() else { return Ok(()) };
        while UnixStream::connect(&path).is_err() {
            self.still_starting(end, "state")?;
        }
        Ok(())
    }

    fn wait_for_engines(&mut self, end: Instant) -> io::Result<()> {
        while !self
            .report()
            .is_ok_and(|report| (0..self.plan.engines.len()).all(|index| self.plan.is_active(index, &report)))
        {
            self.still_starting(end, "engine-1")?;
        }
        Ok(())
    }

    /// An error if a child has ended, or if it takes too long; `slow` is then to blame.
    fn still_starting(&mut self, end: Instant, slow: &str) -> io::Result<()> {
        let ended = self.state.iter_mut().chain([&mut self.lb]).chain(&mut self.agents).find_map(|kept| {
            let status = kept.ended()?;
            Some((format!("{} ended: {status}", kept.name), kept.log().to_owned()))
        });
        if let Some((what, log)) = ended {
            return Err(failed(&what, &log));
        }
        if Instant::now() >= end {
            let what = format!("the farm does not take calls after {} s", START_PATIENCE.as_secs());
            return Err(failed(&what, &self.folder.file(&format!("{slow}.log"))));
        }
        std::thread::sleep(LOOK);
        Ok(())
    }

    /// Looks after the children. Returns what has happened since the last call.
    pub(crate) fn turn(&mut self) -> Vec<Said> {
        let (now, mut said) = (Instant::now(), Vec::new());
        if let Some(state) = &mut self.state
            && let Some(status) = state.look(now)
        {
            said.push(Said::bad(format!(
                "state ended: {status}; it starts empty: all calls that were up have lost their record, and end"
            )));
        }
        if let Some(status) = self.lb.look(now) {
            said.push(Said::bad(format!("lb ended: {status}; it is started again")));
        }
        let replaced = self.upgrade.as_ref().map(Upgrade::index);
        for (index, agent) in self.agents.iter_mut().enumerate().filter(|(index, _)| Some(*index) != replaced)
        {
            if let Some(status) = agent.look(now) {
                let number = index + 1;
                said.push(Said::bad(format!(
                    "the agent of engine {number} ended: {status}; it is started again"
                )));
            }
        }
        self.go_on_with_upgrade(now, &mut said);
        said
    }

    /// What the load manager sees.
    pub(crate) fn report(&self) -> io::Result<StatusReport> {
        socket::ask(&self.control)
    }

    /// Engines are being replaced.
    pub(crate) fn is_upgrading(&self) -> bool {
        self.upgrade.is_some()
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The process of an engine: the child of its agent.
    pub(crate) fn engine_process(&self, index: usize) -> Option<i32> {
        child_of(self.agents.get(index)?.pid()?)
    }

    pub(crate) fn state_process(&self) -> Option<u32> {
        self.state.as_ref().and_then(Kept::pid)
    }

    pub(crate) fn lb_process(&self) -> Option<u32> {
        self.lb.pid()
    }

    /// Begins to replace the engines. The load manager gets its part of the configuration at once.
    pub(crate) fn upgrade(&mut self, run: Run) -> Said {
        if self.upgrade.is_some() {
            return Said::bad("an upgrade is under way already");
        }
        self.plan.change(run);
        let file = self.folder.file("farm.toml");
        if let Err(error) = fs::write(&file, self.plan.lb_text()) {
            return Said::bad(format!("{}: {error}; nothing is replaced", file.display()));
        }
        self.lb.signal(libc::SIGHUP);
        for (index, agent) in self.agents.iter_mut().enumerate() {
            agent.arguments = self.plan.agent(index, &self.folder);
        }
        self.upgrade = Some(Upgrade::begin(&self.agents, Instant::now()));
        Said::well(format!("upgrade: {} engines are replaced one by one", self.agents.len()))
    }

    fn go_on_with_upgrade(&mut self, now: Instant, said: &mut Vec<Said>) {
        let Some(upgrade) = self.upgrade.take() else { return };
        let control = &self.control;
        let report = || socket::ask(control);
        let hands =
            Hands { plan: &self.plan, folder: &self.folder, agents: &mut self.agents, report: &report };
        self.upgrade = upgrade.go_on(now, hands, said);
    }
}

/// Engines end first, then the records, and the load manager last: it answers callers until then.
impl Drop for Farm {
    fn drop(&mut self) {
        for part in [&mut self.agents[..], self.state.as_mut_slice(), std::slice::from_mut(&mut self.lb)] {
            part.iter().for_each(|kept| kept.signal(libc::SIGTERM));
            let until = Instant::now() + STOP_PATIENCE;
            part.iter_mut().for_each(|kept| kept.wait(until));
        }
    }
}

fn failed(what: &str, log: &Path) -> io::Error {
    io::Error::other(format!(
        "{what}\n  {}\n  remedy: the whole log is in {}",
        last_lines(log),
        log.display()
    ))
}
