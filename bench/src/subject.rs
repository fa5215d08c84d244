//! The measured programs: the floors, Strowger in each affinity and as an engine, Kamailio in each mode, sippy; and their start.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::calls::Kind;
use crate::farm::Layout;
use crate::process::Program;
use crate::secrets::Secrets;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    Floor,
    Strowger(Affinity),
    KamailioStateless,
    KamailioStateful,
    /// The floor of a back-to-back user agent: it answers each INVITE with a 100, too.
    EngineFloor,
    Engine(State),
    /// The example of a back-to-back user agent that comes with the Python library `sippy`.
    Sippy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Affinity {
    Tag,
    /// The same with `limits.segments_max = 1`.
    TagOneByOne,
    Session,
    Hash,
}

/// Where the records of an engine's calls lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum State {
    /// In the engine's own process.
    Own,
    /// In `strowger state`.
    Process,
    /// In a Redis server with one replica: a write counts when the replica has it.
    Redis,
}

impl State {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            State::Own => "strowger engine",
            State::Process => "strowger engine + strowger state",
            State::Redis => "strowger engine + Redis and replica",
        }
    }
}

impl Affinity {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Affinity::Tag | Affinity::TagOneByOne => "tag",
            Affinity::Session => "session",
            Affinity::Hash => "hash",
        }
    }
}

impl Subject {
    pub(crate) const ALL: [Subject; 7] = [
        Subject::Floor,
        Subject::Strowger(Affinity::Tag),
        Subject::Strowger(Affinity::TagOneByOne),
        Subject::Strowger(Affinity::Session),
        Subject::Strowger(Affinity::Hash),
        Subject::KamailioStateless,
        Subject::KamailioStateful,
    ];

    /// What calls pass through, one server behind each.
    pub(crate) const CALLS: [Subject; 8] = [
        Subject::EngineFloor,
        Subject::Engine(State::Own),
        Subject::Engine(State::Process),
        Subject::Engine(State::Redis),
        Subject::Floor,
        Subject::Strowger(Affinity::Tag),
        Subject::KamailioStateful,
        Subject::Sippy,
    ];

    fn every() -> impl Iterator<Item = Subject> {
        Subject::ALL.into_iter().chain(Subject::CALLS)
    }

    /// By name, for the command line.
    pub(crate) fn find(name: &str) -> Result<Subject, String> {
        let names = || Subject::every().map(Subject::name).collect::<Vec<_>>().join(", ");
        Subject::every().find(|subject| subject.name() == name).ok_or_else(|| format!("one of: {}", names()))
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Subject::Floor => "floor",
            Subject::Strowger(Affinity::Tag) => "strowger tag",
            Subject::Strowger(Affinity::TagOneByOne) => "strowger tag, one by one",
            Subject::Strowger(Affinity::Session) => "strowger session",
            Subject::Strowger(Affinity::Hash) => "strowger hash",
            Subject::KamailioStateless => "kamailio forward()",
            Subject::KamailioStateful => "kamailio t_relay()",
            Subject::EngineFloor => "floor, two sides",
            Subject::Engine(state) => state.name(),
            Subject::Sippy => "sippy",
        }
    }

    /// What it does with dialogs.
    pub(crate) const fn kind(self) -> Kind {
        match self {
            Subject::Floor | Subject::EngineFloor => Kind::Passes { vias: 1 },
            Subject::Strowger(_) | Subject::KamailioStateless | Subject::KamailioStateful => {
                Kind::Passes { vias: 2 }
            }
            Subject::Engine(_) | Subject::Sippy => Kind::EndsDialogs,
        }
    }

    /// With several, an engine would have each call ring at all of them.
    pub(crate) const fn has_one_server(self) -> bool {
        matches!(self, Subject::Floor | Subject::EngineFloor | Subject::Engine(_) | Subject::Sippy)
    }

    /// Outstanding calls that keep the subject busy without filling its receive buffer: Kamailio's holds about 200 messages.
    pub(crate) const fn window(self) -> usize {
        match self {
            Subject::Floor | Subject::EngineFloor | Subject::Strowger(_) | Subject::Engine(_) => 192,
            Subject::KamailioStateless | Subject::KamailioStateful => 48,
            Subject::Sippy => 8,
        }
    }
}

/// The places of programs and their files.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// Directory of the release binaries, which is this binary's own.
    pub(crate) binaries: PathBuf,
    pub(crate) kamailio: PathBuf,
    pub(crate) redis: PathBuf,
    /// The back-to-back user agent of `sippy`, where bench/run.sh installs it.
    pub(crate) sippy: PathBuf,
    /// Generated configurations and logs.
    pub(crate) scratch: PathBuf,
}

impl Places {
    pub(crate) fn find() -> io::Result<Places> {
        let own = std::env::current_exe()?;
        let binaries = own.parent().unwrap_or(Path::new(".")).to_owned();
        let scratch = std::env::temp_dir().join(format!("strowger-bench-{}", std::process::id()));
        fs::create_dir_all(&scratch)?;
        Ok(Places {
            sippy: binaries.join("../sippy/bin/b2bua_simple"),
            binaries,
            kamailio: PathBuf::from("/usr/sbin/kamailio"),
            redis: PathBuf::from("/usr/bin/redis-server"),
            scratch,
        })
    }

    pub(crate) fn can_start(&self, subject: Subject) -> bool {
        match subject {
            Subject::Floor | Subject::EngineFloor => true,
            Subject::Strowger(_) | Subject::Engine(State::Own | State::Process) => {
                self.binaries.join("strowger").exists()
            }
            Subject::Engine(State::Redis) => self.binaries.join("strowger").exists() && self.redis.exists(),
            Subject::KamailioStateless | Subject::KamailioStateful => self.kamailio.exists(),
            Subject::Sippy => self.sippy.exists(),
        }
    }

    /// Starts the subject over UDP on `layout.target` and waits until it listens.
    pub(crate) fn start(&self, subject: Subject, layout: &Layout) -> io::Result<Program> {
        let beside = match subject {
            Subject::Engine(state) => self.start_state(state, layout)?,
            _ => Vec::new(),
        };
        let command = match subject {
            Subject::Floor => self.floor(layout),
            Subject::EngineFloor => {
                let mut command = self.floor(layout);
                command.arg("--two-sided");
                command
            }
            Subject::Engine(state) => self.engine(state, layout, layout),
            Subject::Sippy => self.sippy(layout),
            Subject::Strowger(Affinity::TagOneByOne) => self.one_by_one(layout)?,
            Subject::Strowger(affinity) => self.strowger(affinity, "udp", layout.target, &layout.servers()),
            Subject::KamailioStateless => self.kamailio("forward()", "udp", layout, None)?,
            Subject::KamailioStateful => self.kamailio("t_relay()", "udp", layout, None)?,
        };
        Ok(self.launch(subject, command, "udp", layout.target.port())?.with(beside))
    }

    /// The same over TCP, or with `secrets` over TLS, towards clients and servers. The floor handles only datagrams.
    pub(crate) fn start_streams(
        &self,
        subject: Subject,
        layout: &Layout,
        secrets: Option<&Secrets>,
    ) -> io::Result<Program> {
        let transport = if secrets.is_some() { "tls" } else { "tcp" };
        let command = match subject {
            Subject::Floor | Subject::EngineFloor | Subject::Engine(_) | Subject::Sippy => {
                return Err(io::Error::other("measured with datagrams only"));
            }
            Subject::Strowger(affinity) => {
                let mut command = self.strowger(affinity, transport, layout.target, &layout.servers());
                if let Some(Secrets { certificate, key, .. }) = secrets {
                    command.arg("--certificate").arg(certificate).arg("--key").arg(key);
                    command.arg("--server-ca").arg(certificate);
                }
                command
            }
            Subject::KamailioStateless => self.kamailio("forward()", transport, layout, secrets)?,
            Subject::KamailioStateful => self.kamailio("t_relay()", transport, layout, secrets)?,
        };
        self.launch(subject, command, "tcp", layout.target.port())
    }

    pub(crate) fn launch(
        &self,
        subject: Subject,
        command: Command,
        table: &str,
        port: u16,
    ) -> io::Result<Program> {
        self.launch_until(subject.name(), command, |program| program.await_port(table, port))
    }

    /// Starts a program and waits until it is ready; an error has the end of its log.
    pub(crate) fn launch_until(
        &self,
        name: &str,
        command: Command,
        ready: impl FnOnce(&mut Program) -> io::Result<()>,
    ) -> io::Result<Program> {
        let log = self.scratch.join(format!("{}.log", name.replace(' ', "-")));
        let mut program = Program::start(command, Some(fs::File::create(&log)?))
            .map_err(|error| io::Error::other(format!("{name}: {error}")))?;
        ready(&mut program).map_err(|error| {
            let text = fs::read_to_string(&log).unwrap_or_default();
            io::Error::other(format!("{name}: {error}\n{}", tail(&text)))
        })?;
        Ok(program)
    }

    fn floor(&self, layout: &Layout) -> Command {
        let mut command = Command::new(self.binaries.join("strowger-bench"));
        command.arg("floor");
        command.args(["--listen", &layout.target.to_string(), "--client", &layout.client.to_string()]);
        command.args(["--server", &layout.server(0).to_string()]);
        command
    }

    pub(crate) fn strowger(
        &self,
        affinity: Affinity,
        transport: &str,
        listen: SocketAddrV4,
        servers: &[SocketAddrV4],
    ) -> Command {
        let mut command = Command::new(self.binaries.join("strowger"));
        command.args(["lb", "--listen", &format!("{transport}:{listen}")]);
        for server in servers {
            command.args(["--server", &format!("{transport}:{server}")]);
        }
        command.args(["--affinity", affinity.name()]);
        // With affinity hash, the selection is also hash.
        if affinity != Affinity::Hash {
            command.args(["--selection", "round-robin"]);
        }
        command.args(["--workers", "1", "--health", "off"]);
        command
    }

    /// Affinity tag, with a setting that has no command line option.
    fn one_by_one(&self, layout: &Layout) -> io::Result<Command> {
        let path = self.scratch.join(format!("one-by-one-{}.toml", layout.target.port()));
        let mut file = fs::File::create(&path)?;
        writeln!(file, "[[listen]]\naddress = \"udp:{}\"", layout.target)?;
        for server in layout.servers() {
            writeln!(file, "[[server]]\naddress = \"udp:{server}\"")?;
        }
        writeln!(file, "[limits]\nsegments_max = 1\n[selection]\nkind = \"round-robin\"")?;
        writeln!(file, "[threads]\nworkers = 1\n[health]\nprobe = \"off\"")?;
        let mut command = Command::new(self.binaries.join("strowger"));
        command.args(["lb", "--config"]).arg(&path);
        Ok(command)
    }

    /// Two workers, no log, dispatcher with algorithm 0 (hash of the Call-ID). The routing script has only what the call flow
    /// needs.
    fn kamailio(
        &self,
        send: &str,
        transport: &str,
        layout: &Layout,
        secrets: Option<&Secrets>,
    ) -> io::Result<Command> {
        let directory = self.scratch.join(format!("kamailio-{transport}-{}", layout.target.port()));
        fs::create_dir_all(&directory)?;
        let list = directory.join("dispatcher.list");
        let mut file = fs::File::create(&list)?;
        for server in layout.servers() {
            writeln!(file, "1 sip:{server};transport={transport}")?;
        }
        let configuration = directory.join("kamailio.cfg");
        let text = include_str!("../kamailio.cfg")
            .replace("@LISTEN@", &format!("{transport}:{}", layout.target))
            .replace("@TCP@", if transport == "udp" { "disable_tcp=yes" } else { "disable_tcp=no" })
            .replace("@TLS@", &secrets.map_or_else(String::new, kamailio_tls))
            .replace("@LIST@", &list.display().to_string())
            .replace("@SEND@", send);
        fs::write(&configuration, text)?;
        let mut command = Command::new(&self.kamailio);
        command.args(["-DD", "-E", "-m", "512", "-M", "16", "-Y"]).arg(&directory);
        command.arg("-P").arg(directory.join("pid")).arg("-f").arg(&configuration);
        Ok(command)
    }
}

/// One certificate for both sides. The generator speaks only TLS 1.3; this release of Kamailio has no setting for TLS 1.3
/// alone.
fn kamailio_tls(secrets: &Secrets) -> String {
    let (certificate, key) = (secrets.certificate.display(), secrets.key.display());
    format!(
        "enable_tls=yes\nloadmodule \"tls.so\"\nmodparam(\"tls\", \"tls_method\", \"TLSv1.2+\")\n\
         modparam(\"tls\", \"certificate\", \"{certificate}\")\nmodparam(\"tls\", \"private_key\", \"{key}\")\n"
    )
}

impl Drop for Places {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.scratch);
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}
