//! Measured programs: started on their own core, weighed by the run time that the scheduler counts, ended by their process ids.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io, mem, thread};

/// Core of the program under measurement, and core of the generator.
pub(crate) const SUBJECT_CORE: usize = 0;
pub(crate) const GENERATOR_CORE: usize = 1;

/// Longest time until a program's port is open, and until a program ends.
const START_LIMIT: Duration = Duration::from_secs(10);
const STOP_LIMIT: Duration = Duration::from_secs(3);
/// States in the system's tables of sockets.
const TCP_LISTEN: &str = "0A";
const UDP_OPEN: &str = "07";
/// Generations of child processes to search; Kamailio's are all children of its first process.
const DEPTH_MAX: usize = 4;

/// Pins the calling thread to a core; threads and processes that it starts later inherit this.
pub(crate) fn pin(core: usize) -> io::Result<()> {
    // SAFETY: an all-zero cpu_set_t is the empty set; the pointer is to a live set of the size given.
    let result = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, mem::size_of::<libc::cpu_set_t>(), &set)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes this thread's sleeps end on time, and not up to 50 µs late as is usual.
pub(crate) fn sleep_exactly() {
    // SAFETY: plain system call on the calling thread; one nanosecond is the least slack there is.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
}

/// Gives this process and its children priority over the machine's other programs, as far as permitted: for figures from a
/// machine that is not quiet. The process gets its own session, which no terminal interrupts.
pub(crate) fn go_first() {
    // SAFETY: plain system calls on the calling process; a refusal leaves things as they were.
    let own_session = unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, -20);
        libc::setsid() > 0
    };
    if own_session {
        let _ = fs::write("/proc/self/autogroup", "-20");
    }
}

/// A running program with all its processes, and the programs that it needs beside it. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    /// Measured with it; they end after it.
    beside: Vec<Program>,
}

impl Program {
    /// Starts the program on the subject's core. The program ends with this process, however this process ends.
    pub(crate) fn start(mut command: Command, log: Option<fs::File>) -> io::Result<Program> {
        command.stdin(Stdio::null());
        match log {
            Some(file) => command.stdout(file.try_clone()?).stderr(file),
            None => command.stdout(Stdio::null()).stderr(Stdio::inherit()),
        };
        // SAFETY: between fork and exec only two system calls are made; both are async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
                pin(SUBJECT_CORE)
            });
        }
        Ok(Program { child: command.spawn()?, beside: Vec::new() })
    }

    /// What these programs use is this program's, too.
    pub(crate) fn with(mut self, beside: Vec<Program>) -> Program {
        self.beside = beside;
        self
    }

    /// Waits until the program's port is open, according to the system's table of sockets.
    pub(crate) fn await_port(&mut self, table: &str, port: u16) -> io::Result<()> {
        let wanted = format!(":{port:04X}");
        let open = |line: &str| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let &[_, local, _, state, ..] = fields.as_slice() else { return false };
            local.ends_with(&wanted) && state == if table == "tcp" { TCP_LISTEN } else { UDP_OPEN }
        };
        let begin = Instant::now();
        loop {
            let sockets = fs::read_to_string(format!("/proc/net/{table}"))?;
            if sockets.lines().skip(1).any(open) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("ended before its port {port} was open: {status}")));
            }
            if begin.elapsed() > START_LIMIT {
                return Err(io::Error::other(format!("port {port} was not open after {START_LIMIT:?}")));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The first process and all its descendants, and those of the programs beside it.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let beside = self.beside.iter().flat_map(Program::processes);
        self.own_processes().into_iter().chain(beside).collect()
    }

    fn own_processes(&self) -> Vec<u32> {
        let mut all = vec![self.child.id()];
        let mut parents = all.clone();
        for _ in 0..DEPTH_MAX {
            let children: Vec<u32> = parents.iter().flat_map(|&parent| children_of(parent)).collect();
            all.extend(&children);
            parents = children;
        }
        all
    }

    /// User and system time of all threads of all processes so far, in nanoseconds as the scheduler counts it. It contains the
    /// kernel's work on packets on behalf of a thread, softirq included (no IRQ time accounting).
    pub(crate) fn cpu(&self) -> Duration {
        Duration::from_nanos(self.processes().into_iter().map(run_nanos).sum())
    }

    /// Resident memory of all processes. A page that several processes share counts once for each.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.processes().into_iter().map(resident_bytes).sum()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let processes = self.own_processes();
        // SAFETY: plain system call; the process is our child and not yet waited for, so the id is still its.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        let begin = Instant::now();
        while begin.elapsed() < STOP_LIMIT {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        for process in processes.into_iter().rev() {
            // SAFETY: plain system call on processes that were seen as our descendants three seconds ago.
            unsafe { libc::kill(process as i32, libc::SIGKILL) };
        }
        let _ = self.child.wait();
    }
}

fn tasks_of(process: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn children_of(process: u32) -> Vec<u32> {
    let read =
        |task: u32| fs::read_to_string(format!("/proc/{process}/task/{task}/children")).unwrap_or_default();
    let lists: Vec<String> = tasks_of(process).into_iter().map(read).collect();
    lists.iter().flat_map(|list| list.split_whitespace()).filter_map(|id| id.parse().ok()).collect()
}

fn run_nanos(process: u32) -> u64 {
    let read = |task: u32| {
        let text = fs::read_to_string(format!("/proc/{process}/task/{task}/schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    tasks_of(process).into_iter().filter_map(read).sum()
}

fn resident_bytes(process: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Run time of the calling thread so far.
pub(crate) fn own_cpu() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}

/// Time that a core was not idle since the machine started, including time stolen by other guests; in ticks of 10 ms.
pub(crate) fn core_busy(core: usize) -> Duration {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let name = format!("cpu{core} ");
    let line = text.lines().find_map(|line| line.strip_prefix(name.as_str())).unwrap_or_default();
    // user nice system idle iowait irq softirq steal; guest times are within user.
    let ticks = line.split_whitespace().take(8).enumerate().filter(|(index, _)| !matches!(index, 3 | 4));
    Duration::from_millis(10 * ticks.filter_map(|(_, value)| value.parse::<u64>().ok()).sum::<u64>())
}

/// Datagrams that the system has dropped at the sockets of this port since they were opened.
pub(crate) fn dropped(port: u16) -> u64 {
    let wanted = format!(":{port:04X}");
    let text = fs::read_to_string("/proc/net/udp").unwrap_or_default();
    let fields = text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let ours = fields.filter(|fields| fields.get(1).is_some_and(|local| local.ends_with(&wanted)));
    ours.filter_map(|fields| fields.last()?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_program_is_weighed_with_its_children_and_ended() {
        let mut command = Command::new("sh");
        command.args(["-c", "(while :; do :; done) & wait"]);
        let program = Program::start(command, None).unwrap();
        thread::sleep(Duration::from_millis(200));
        assert_eq!(program.processes().len(), 2);
        assert!(program.cpu() > Duration::from_millis(10), "{:?}", program.cpu());
        assert!(program.resident_bytes() > 100_000);
        // The subshell would survive: SIGTERM reaches only the first process, as with a program that leaves children.
        let orphan = program.processes()[1];
        drop(program);
        // SAFETY: plain system call on the subshell started above.
        unsafe { libc::kill(orphan as i32, libc::SIGKILL) };
    }
}
