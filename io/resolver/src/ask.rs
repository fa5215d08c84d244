//! The thread's work: each question is asked by a task of its own, a few at a time.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use dns::record::{Answer, Failure, Kind, Question};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{TokioResolver, system_conf};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Receiver;
use tracing::warn;

use crate::answer::answer;
use crate::{Settings, Shared};

/// Questions that are asked at once.
const AT_ONCE: usize = 64;
/// How often a name server is asked before it counts as silent.
const ATTEMPTS: usize = 2;
/// However many name servers there are, a question ends after this many times the timeout.
const TIMEOUTS_MAX: u32 = 6;
const FILE: &str = "/etc/resolv.conf";
/// How often the file is looked at for a change.
const LOOK: Duration = Duration::from_secs(5);

/// Until the last handle is gone.
pub(crate) async fn serve(settings: Settings, mut questions: Receiver<Question>, shared: Arc<Shared>) {
    let mut servers = NameServers::new(settings.clone());
    let places = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(question) = questions.recv().await {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (resolver, shared) = (servers.resolver(), Arc::clone(&shared));
        let longest = settings.timeout * TIMEOUTS_MAX;
        tokio::spawn(async move {
            let outcome = match resolver {
                Some(resolver) => tokio::time::timeout(longest, one(&resolver, &question)).await,
                None => Ok(Answer::Failed(Failure::Broken)),
            };
            shared.answer(&question, outcome.unwrap_or(Answer::Failed(Failure::Silent)));
            drop(place);
        });
    }
}

async fn one(resolver: &TokioResolver, question: &Question) -> Answer {
    let Ok(mut name) = Name::from_ascii(question.name.as_str()) else {
        return Answer::Failed(Failure::Broken);
    };
    name.set_fqdn(!question.searched);
    let kind = match question.kind {
        Kind::Naptr => RecordType::NAPTR,
        Kind::Srv => RecordType::SRV,
        Kind::A => RecordType::A,
        Kind::Aaaa => RecordType::AAAA,
    };
    answer(question.kind, resolver.lookup(name, kind).await)
}

/// The name servers that are asked now.
struct NameServers {
    settings: Settings,
    resolver: Option<Arc<TokioResolver>>,
    /// When the file was looked at, and when it had been changed then.
    looked: Option<Instant>,
    changed: Option<SystemTime>,
}

impl NameServers {
    fn new(settings: Settings) -> NameServers {
        NameServers { settings, resolver: None, looked: None, changed: None }
    }

    /// `None`: there is no name server to ask. The log says so.
    fn resolver(&mut self) -> Option<Arc<TokioResolver>> {
        let is_due = self.looked.is_none_or(|looked| looked.elapsed() >= LOOK);
        let from_file = self.settings.name_servers.is_empty();
        if self.looked.is_none() || from_file && is_due {
            self.looked = Some(Instant::now());
            let changed = std::fs::metadata(FILE).and_then(|file| file.modified()).ok();
            if self.resolver.is_none() || changed != self.changed {
                self.changed = changed;
                self.resolver = self.made().map(Arc::new).or(self.resolver.take());
            }
        }
        self.resolver.clone()
    }

    fn made(&self) -> Option<TokioResolver> {
        let (config, mut options) = match self.settings.name_servers.as_slice() {
            [] => system(),
            given => {
                let servers = given.iter().map(|address| {
                    let at_port = |mut connection: ConnectionConfig| {
                        connection.port = address.port();
                        connection
                    };
                    let connections =
                        vec![at_port(ConnectionConfig::udp()), at_port(ConnectionConfig::tcp())];
                    NameServerConfig::new(address.ip(), true, connections)
                });
                (ResolverConfig::from_name_servers(servers.collect()), ResolverOpts::default())
            }
        };
        options.timeout = self.settings.timeout;
        options.attempts = ATTEMPTS;
        // Whoever asks remembers the answers, for the time that he wants.
        options.cache_size = 0;
        let provider = TokioRuntimeProvider::default();
        let made = TokioResolver::builder_with_config(config, provider).with_options(options).build();
        made.inspect_err(|error| warn!("name servers cannot be asked: {error}")).ok()
    }
}

/// The name servers and the search list of the system; without them, the name server of this machine, as in resolv.conf(5).
fn system() -> (ResolverConfig, ResolverOpts) {
    system_conf::read_system_conf().unwrap_or_else(|error| {
        warn!("{FILE} cannot be used: {error}; the name server at 127.0.0.1 is asked");
        let own = NameServerConfig::udp_and_tcp([127, 0, 0, 1].into());
        (ResolverConfig::from_name_servers(vec![own]), ResolverOpts::default())
    })
}
