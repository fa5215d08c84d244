//! Options of `strowger answer` that make it a member of a group that shifts workload (docs/workload-shifting.md).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base::Key;
use clap::{ValueEnum, value_parser};
use lb::settings::Listener;
use net::Clock;
use shift::{AllAbove, Criterion, Group, Identity, Measure, Model, ServiceState, Settings, Sharing};
use sip::Transport;

use answer::Shifting;

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Workload shifting")]
#[group(id = "workload_shifting")]
pub(super) struct Args {
    /// Be this member of a group, and receive the group's datagrams at this address
    #[arg(long, value_name = "NAME=ADDRESS:PORT", requires_all = ["peer", "key_file", "threshold"], value_parser = member)]
    member: Option<(String, SocketAddr)>,
    /// Another member of the group. May be repeated
    #[arg(long, value_name = "NAME=ADDRESS:PORT", requires = "member", value_parser = member)]
    peer: Vec<(String, SocketAddr)>,
    /// Key file with the heartbeat line that the farm, or all members, share
    #[arg(long, value_name = "PATH")]
    pub(super) key_file: Option<PathBuf>,
    /// Threshold: MEASURE=VALUE, with bytes_per_second, clients, calls, calls_per_second or cpu_permille; or
    /// model=MEASURE=VALUE*WEIGHT,…. May be repeated; the measure nearest to its threshold counts
    #[arg(long, value_name = "MEASURE=VALUE", requires = "member")]
    threshold: Vec<String>,
    /// How members learn each other's workload
    #[arg(long, value_name = "WAY", default_value = "push", requires = "member")]
    sharing: Way,
    /// What decides between members, the most important first: workload, first, cost, region, state, quality
    #[arg(long, value_name = "CRITERION", value_delimiter = ',', default_value = "workload", requires = "member", value_parser = criterion)]
    choose_by: Vec<Criterion>,
    /// How the client learns which member takes its call
    #[arg(long, value_name = "WAY", default_value = "chain", requires = "member")]
    identity: HowTold,
    /// What to do when all members are above their thresholds
    #[arg(long, value_name = "WHAT", default_value = "least-loaded", requires = "member")]
    all_above: WhenAllAbove,
    /// Retry-After of a refusal, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5, requires = "member", value_parser = value_parser!(u32).range(1..=3600))]
    retry_after: u32,
    /// Time between two reports, milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000, requires = "member", value_parser = value_parser!(u64).range(10..=60_000))]
    period_ms: u64,
    /// Cost of a call at this member
    #[arg(long, value_name = "N", default_value_t = 0, requires = "member")]
    cost: u32,
    /// Region of this member
    #[arg(long, value_name = "NAME", default_value = "", requires = "member")]
    region: String,
    /// Service state of this member
    #[arg(long, value_name = "STATE", default_value = "normal", requires = "member")]
    service_state: Service,
    /// Quality of this member
    #[arg(long, value_name = "0-100", default_value_t = 50, requires = "member", value_parser = value_parser!(u8).range(0..=100))]
    quality: u8,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Way {
    /// Each member tells all others, once a period
    Push,
    /// A member that has a call to pass on asks all others first
    Poll,
    /// Each member keeps asking, and each answer goes to all
    Collect,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum HowTold {
    /// Back through the members that passed the call on
    Chain,
    /// By the member that takes the call, where SIP allows it
    Straight,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum WhenAllAbove {
    /// The member with the least work takes the call
    LeastLoaded,
    /// The call is answered 503 with Retry-After
    Refuse,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Service {
    Normal,
    Limited,
    /// Takes no calls of others, and passes on its own
    Draining,
}

fn member(text: &str) -> Result<(String, SocketAddr), String> {
    let (name, address) = text.split_once('=').ok_or("write NAME=ADDRESS:PORT")?;
    let address: SocketAddr = address
        .parse()
        .map_err(|_| format!("`{address}` is not an address with a port, such as 192.0.2.1:5790"))?;
    if address.ip().is_unspecified() || address.port() == 0 {
        return Err(format!("{address} is not a usable address: write the address and port of one host"));
    }
    Ok((name.to_owned(), address))
}

fn criterion(text: &str) -> Result<Criterion, String> {
    let names = || Criterion::ALL.map(Criterion::name).join(", ");
    let found = Criterion::ALL.into_iter().find(|it| it.name() == text);
    found.ok_or_else(|| format!("`{text}` is not one of {}", names()))
}

/// `MEASURE=VALUE`; the value is at least 1.
fn threshold(text: &str) -> Result<(Measure, u32), String> {
    let names = || Measure::ALL.map(Measure::name).join(", ");
    let (name, value) = text.split_once('=').ok_or_else(|| format!("`{text}`: write MEASURE=VALUE"))?;
    let measure = Measure::ALL
        .into_iter()
        .find(|it| it.name() == name)
        .ok_or_else(|| format!("`{name}` is not one of {}", names()))?;
    let value = value.parse().ok().filter(|value| *value > 0);
    Ok((measure, value.ok_or_else(|| format!("`{text}`: the value must be a whole number, at least 1"))?))
}

fn model(texts: &[String]) -> Result<Model, String> {
    let mut model = Model::default();
    for text in texts {
        let Some(terms) = text.strip_prefix("model=") else {
            model.thresholds.push(threshold(text)?);
            continue;
        };
        for term in terms.split(',') {
            let (share, weight) =
                term.split_once('*').ok_or_else(|| format!("`{term}`: write MEASURE=VALUE*WEIGHT"))?;
            let (measure, whole) = threshold(share)?;
            let weight = weight.parse().ok().filter(|weight| *weight > 0);
            let weight =
                weight.ok_or_else(|| format!("`{term}`: the weight must be a whole number, at least 1"))?;
            model.weighted.push((measure, whole, weight));
        }
    }
    Ok(model)
}

impl Args {
    /// The key in the key file. `None`: there is no key file.
    pub(super) fn key(&self) -> Result<Option<Key>, String> {
        self.key_file.as_deref().map(super::agent::key).transpose()
    }

    /// The listener for the group's datagrams.
    pub(super) fn listener(&self) -> Option<Listener> {
        let (_, bind) = self.member.as_ref()?;
        Some(Listener { transport: Transport::Udp, bind: *bind, advertise: *bind, name: None })
    }

    /// The server's part in the group. `listeners` are those of SIP; the group's listener follows them.
    pub(super) fn shifting(
        &self,
        listeners: &[Listener],
        clock: Clock,
        cpu_permille: Arc<AtomicU32>,
    ) -> Result<Option<Shifting>, String> {
        let (Some((name, _)), Some(key_file)) = (&self.member, &self.key_file) else { return Ok(None) };
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let wall = u64::try_from(wall).unwrap_or(u64::MAX);
        let contacts = listeners
            .iter()
            .map(|listener| {
                let transport = match listener.transport {
                    Transport::Udp => heartbeat::Transport::Udp,
                    _ => heartbeat::Transport::Tcp,
                };
                (transport, listener.advertise.to_string())
            })
            .collect();
        let settings = Settings {
            name: name.clone(),
            peers: self.peer.clone(),
            key: super::agent::key(key_file)?,
            sharing: match self.sharing {
                Way::Push => Sharing::Push,
                Way::Poll => Sharing::Poll,
                Way::Collect => Sharing::Collect,
            },
            period: Duration::from_millis(self.period_ms),
            decay_periods: heartbeat::Decay::PERIODS_DEFAULT,
            model: model(&self.threshold).map_err(|why| format!("--threshold {why}"))?,
            criteria: self.choose_by.clone(),
            all_above: match self.all_above {
                WhenAllAbove::LeastLoaded => AllAbove::LeastLoaded,
                WhenAllAbove::Refuse => AllAbove::Refuse,
            },
            retry_after_seconds: self.retry_after,
            state: match self.service_state {
                Service::Normal => ServiceState::Normal,
                Service::Limited => ServiceState::Limited,
                Service::Draining => ServiceState::Draining,
            },
            cost: self.cost,
            quality: self.quality,
            region: self.region.clone(),
            contacts,
            started_at_micros: wall.saturating_sub(clock.now().as_micros()),
            chance: os::chance().map_err(|error| error.to_string())?,
        };
        let identity = match self.identity {
            HowTold::Chain => Identity::Chain,
            HowTold::Straight => Identity::Straight,
        };
        let group = Group::new(settings)?;
        let listener = u8::try_from(listeners.len()).map_err(|_| "more than 255 listeners".to_owned())?;
        Ok(Some(Shifting::new(group, listener, identity, cpu_permille)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_read_and_wrong_ones_are_named() {
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let read = model(&texts(&["calls=100", "model=calls=200*3,cpu_permille=800*1"])).unwrap();
        assert_eq!(read.thresholds, [(Measure::Calls, 100)]);
        assert_eq!(read.weighted, [(Measure::Calls, 200, 3), (Measure::CpuPermille, 800, 1)]);
        for wrong in ["calls", "calls=0", "calls=x", "noise=3", "model=calls=3", "model=calls=3*0", "model="]
        {
            assert!(model(&texts(&[wrong])).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_member_is_a_name_and_an_address_of_one_host() {
        assert_eq!(member("a=192.0.2.1:5790"), Ok(("a".into(), "192.0.2.1:5790".parse().unwrap())));
        for wrong in ["a", "192.0.2.1:5790", "a=192.0.2.1", "a=0.0.0.0:5790", "a=192.0.2.1:0"] {
            assert!(member(wrong).is_err(), "{wrong}");
        }
    }
}
