//! What one server of a cluster says when its state is asked: three answers, read together.

use base::Time;

use crate::view::{NoSight, Sight};

/// See the head of this module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// When it was asked. The answer may have waited longer than the one who reads it knows.
    pub asked: Time,
    /// Who has which partitions, and who replaces whom.
    pub cluster: Sight,
    /// Its own part: which replicas are connected to it, or whose replica it is.
    pub replication: Sight,
    /// It lets commands in, as far as it knows the cluster.
    pub serves: bool,
    /// A replica: bytes of its primary's stream that it has. They only grow as long as it keeps its copy.
    pub offset: u64,
    /// A replica that throws away what it has, for a whole copy.
    pub copying: bool,
    /// It has records.
    pub holds: bool,
}

impl Word {
    /// Reads the answers of the server at `server` to `CLUSTER NODES`, `CLUSTER INFO` and `INFO replication keyspace`.
    pub fn read(
        server: &str,
        asked: Time,
        nodes: &str,
        cluster: &str,
        replication: &str,
    ) -> Result<Word, NoSight> {
        let field = |text: &str, name: &str| {
            let mut lines = text.lines().filter_map(|line| line.trim().split_once(':'));
            lines.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
        };
        let offset = field(replication, "slave_repl_offset").unwrap_or_default();
        Ok(Word {
            asked,
            cluster: Sight::of_cluster(server, nodes)?,
            replication: Sight::of_replication(server, replication)?,
            serves: field(cluster, "cluster_state").as_deref() == Some("ok"),
            offset: offset.parse().unwrap_or(0),
            copying: field(replication, "master_sync_in_progress").is_some_and(|flag| flag != "0"),
            holds: replication.lines().any(|line| line.starts_with("db0:keys=")),
        })
    }

    /// The primary whose replica it is, and whether it is connected to it.
    pub(super) fn follows(&self, server: &str) -> Option<(&str, bool)> {
        let own = self.replication.replicas.iter().find(|replica| &*replica.address == server)?;
        Some((&own.primary, own.in_view))
    }
}
