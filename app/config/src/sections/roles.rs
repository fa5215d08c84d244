//! The sections that each role reads, in the order of the reference page.

use toml::de::DeTable;

use crate::language::problem::{Problems, SourcePosition};
use crate::language::role::{
    Differs, differences, read_all, role, unknown_sections, unwritten, written_for_a_start,
};
use crate::language::section::{Section, SectionHelp, SectionName};
use crate::language::value::Wrong;
use crate::sections::farm::{
    AffinitySection, DrainSection, Health, HeartbeatSection, HoldSetupSection, HttpSection, Limits,
    MemorySection, PeersSection, RegisterSection, ResolverSection, SelectionSection, Server, Threads,
    ToleranceSection,
};
use crate::sections::measured::{MeasureSection, PerfSection, ScoreSection};
use crate::sections::run::RunSection;
use crate::sections::shared::{
    ApiSection, CertificateSection, ConnectionsSection, Control, Keys, Listen, Log, TlsSection,
};

role! {
    /// The file of a load manager as it was written. Each value has the right kind and is in its range; values are not yet checked
    /// against each other. The performance server reads the same file.
    Raw {
        many listen: Listen,
        many server: Server,
        one resolver: ResolverSection,
        one tls: TlsSection,
        many certificate: CertificateSection,
        one affinity: AffinitySection,
        one selection: SelectionSection,
        one score: ScoreSection,
        many measure: MeasureSection,
        one perf: PerfSection,
        one keys: Keys,
        one heartbeat: HeartbeatSection,
        one peers: PeersSection,
        one health: Health,
        one hold_setup: HoldSetupSection,
        one register: RegisterSection,
        one connections: ConnectionsSection,
        one tolerance: ToleranceSection,
        one limits: Limits,
        one threads: Threads,
        one drain: DrainSection,
        one memory: MemorySection,
        one api: ApiSection,
        one http: HttpSection,
        one run: RunSection,
        one control: Control,
        one log: Log,
    }
}
