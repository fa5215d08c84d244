//! One step of the collection loop (SPEC B3): CPU and memory of the host and of the server's processes, from /proc.
//!
//! The server's processes are the processes of its session and all their descendants.

use std::collections::{HashMap, HashSet};

use heartbeat::Load;
use procfs::process::Stat;
use procfs::{Current, CurrentSI, KernelStats, Meminfo};

/// Clock ticks of all processors since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HostTicks {
    total: u64,
    idle: u64,
}

/// Turns counters into figures. CPU use is the use between two calls of [`Collector::collect`].
#[derive(Debug, Default)]
pub struct Collector {
    host: Option<HostTicks>,
    /// Ticks used so far by each process of the server (by pid and start time). Empty at first and after a restart.
    server: HashMap<(i32, u64), u64>,
    server_seen: bool,
}

impl Collector {
    /// Measures now. `server` is the server's first process. CPU use is unknown the first time.
    pub fn collect(&mut self, server: Option<i32>) -> Load {
        let mut load = Load::default();
        if let Ok(memory) = Meminfo::current() {
            load.memory_available_kib = Some(memory.mem_available.unwrap_or(memory.mem_free) / 1024);
        }
        let before = self.host.take();
        self.host = host_ticks();
        let elapsed = match (before, self.host) {
            (Some(before), Some(now)) if now.total > before.total => Some((before, now)),
            _ => None,
        };
        load.cpu_permille = elapsed.map(|(before, now)| {
            let total = now.total - before.total;
            let idle = now.idle.saturating_sub(before.idle).min(total);
            share(total - idle, total)
        });
        let Some(server) = server else {
            self.server.clear();
            self.server_seen = false;
            return load;
        };
        let stats = all_stats();
        let members = members(&stats, server);
        load.server_memory_kib =
            Some(members.iter().map(|stat| stat.rss).sum::<u64>().saturating_mul(procfs::page_size() / 1024));
        let now: HashMap<(i32, u64), u64> =
            members.iter().map(|stat| ((stat.pid, stat.starttime), stat.utime + stat.stime)).collect();
        // A process that is new since the last time has used all its ticks since then. The last ticks of an ended process
        // are lost.
        let used: u64 = now
            .iter()
            .map(|(process, ticks)| ticks.saturating_sub(self.server.get(process).copied().unwrap_or(0)))
            .sum();
        load.server_cpu_permille =
            elapsed.filter(|_| self.server_seen).map(|(before, now)| share(used, now.total - before.total));
        self.server = now;
        self.server_seen = true;
        load
    }
}

fn share(part: u64, whole: u64) -> u16 {
    (u128::from(part.min(whole)) * 1000 / u128::from(whole.max(1))) as u16
}

fn host_ticks() -> Option<HostTicks> {
    let cpu = KernelStats::current().ok()?.total;
    let idle = cpu.idle + cpu.iowait.unwrap_or(0);
    // Guests are already in `user`. Stolen time counts as busy, because nobody on this host can use it.
    let busy = cpu.user
        + cpu.nice
        + cpu.system
        + cpu.irq.unwrap_or(0)
        + cpu.softirq.unwrap_or(0)
        + cpu.steal.unwrap_or(0);
    Some(HostTicks { total: busy + idle, idle })
}

fn all_stats() -> Vec<Stat> {
    let Ok(all) = procfs::process::all_processes() else { return Vec::new() };
    all.flatten().filter_map(|process| process.stat().ok()).collect()
}

/// The processes of `stats` that belong to the server whose first process is `first`.
fn members(stats: &[Stat], first: i32) -> Vec<&Stat> {
    let mut ids: HashSet<i32> =
        stats.iter().filter(|stat| stat.pid == first || stat.session == first).map(|stat| stat.pid).collect();
    // Each round finds the children of the processes found so far. The loop ends when a round finds no process.
    loop {
        let before = ids.len();
        for stat in stats {
            if ids.contains(&stat.ppid) {
                ids.insert(stat.pid);
            }
        }
        if ids.len() == before {
            break;
        }
    }
    stats.iter().filter(|stat| ids.contains(&stat.pid)).collect()
}
