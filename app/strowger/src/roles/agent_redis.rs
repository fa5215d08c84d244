//! Options of an agent beside a server of a Redis or Valkey cluster, in place of those of a SIP server.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use ::agent::Settings;
use ::agent::settings::ShardSettings;

#[derive(clap::Args)]
pub(super) struct RedisArgs {
    /// The server is no SIP server, but one of a Redis or Valkey cluster, and the others know it at this address: when it
    /// dies as a primary, its replica is promoted before it is started again. Replaces --sip and --to
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = super::addresses::address,
        conflicts_with_all = ["sip", "to", "transport", "id", "key_file", "query", "get_data", "state_tier", "ready", "drain_ms"])]
    pub(super) redis: Option<SocketAddr>,
    /// With --redis: user at the servers of that cluster [default: their user `default`]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// With --redis: file whose first line is the password there [default: the variable STROWGER_STATE_PASSWORD, if there is one]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl RedisArgs {
    /// Settings for this server; none for a SIP server.
    pub(super) fn settings(&self, command: Vec<OsString>) -> Result<Option<Settings>, String> {
        let Some(address) = self.redis else {
            return match (&self.user, &self.password_file) {
                (None, None) => Ok(None),
                _ => Err("--user and --password-file are for a server of a cluster\n  remedy: give --redis"
                    .to_owned()),
            };
        };
        let password =
            crate::process::password::of_state_tier(self.password_file.as_deref(), self.user.is_some())?;
        let user = self.user.as_deref().map(Box::from);
        let shard = ShardSettings { user, password: password.map(base::Key::from) };
        Ok(Some(Settings::of_shard(address, shard, command)))
    }
}
