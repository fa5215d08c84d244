//! The one set of load figures. Heartbeat, load query and status show the same figures (SPEC A12).

/// What an agent measured. A figure that could not be measured is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// CPU use of the host, 0 … 1000.
    pub cpu_permille: Option<u16>,
    /// Available memory of the host, KiB.
    pub memory_available_kib: Option<u64>,
    /// CPU use of the server's processes, 0 … 1000 of the whole host.
    pub server_cpu_permille: Option<u16>,
    /// Resident memory of the server's processes, KiB.
    pub server_memory_kib: Option<u64>,
    /// Calls in progress, if the server tells them.
    pub calls: Option<u32>,
    /// How many more calls the server will take now; 0 means full (SPEC A6).
    pub residual_calls: Option<u32>,
    /// Use of the host's network, 0 … 1000 of the capacity of its links, in the busier direction.
    pub network_permille: Option<u16>,
    /// How long the server took to answer an OPTIONS, microseconds. The program that asks measures it, never the agent.
    pub latency_us: Option<u32>,
}

impl Load {
    /// How loaded the server is, 0 idle … 1000 full: the larger of the CPU use of the host and the used share of its calls,
    /// `calls / (calls + residual_calls)`. `None` if neither is known.
    ///
    /// The larger counts, because a server is as full as its scarcest resource. CPU use of the host counts rather than that
    /// of the server, because other programs on the host slow the server, too. Memory is not part of it: available memory is
    /// not a share; it counts in the score (SPEC B1).
    pub fn load_permille(&self) -> Option<u32> {
        let cpu = self.cpu_permille.or(self.server_cpu_permille).map(|cpu| u32::from(cpu.min(1000)));
        cpu.max(self.calls_permille())
    }

    fn calls_permille(&self) -> Option<u32> {
        match (self.calls, self.residual_calls) {
            (_, Some(0)) => Some(1000),
            (Some(calls), Some(residual)) => {
                let (calls, residual) = (u64::from(calls), u64::from(residual));
                Some((calls * 1000 / (calls + residual)) as u32)
            }
            (None, Some(_)) | (_, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(cpu: Option<u16>, calls: Option<u32>, residual: Option<u32>, expected: Option<u32>) {
        let load = Load { cpu_permille: cpu, calls, residual_calls: residual, ..Load::default() };
        assert_eq!(load.load_permille(), expected);
    }

    #[test]
    fn load_is_that_of_the_scarcest_resource() {
        check(None, None, None, None);
        check(Some(250), None, None, Some(250));
        check(Some(250), Some(30), Some(70), Some(300));
        check(Some(450), Some(30), Some(70), Some(450));
        check(None, Some(30), None, None);
        check(Some(0), None, Some(0), Some(1000));
        check(None, Some(u32::MAX), Some(u32::MAX), Some(500));
        check(None, Some(0), Some(1), Some(0));
        check(Some(u16::MAX), None, None, Some(1000));
    }

    #[test]
    fn cpu_of_the_server_stands_in_where_that_of_the_host_is_unknown() {
        let load = Load { server_cpu_permille: Some(120), ..Load::default() };
        assert_eq!(load.load_permille(), Some(120));
    }
}
