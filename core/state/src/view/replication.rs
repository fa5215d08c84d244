//! `INFO replication`: a primary without a cluster, and its replicas. Such a store promotes nobody by itself.

use super::address::address;
use super::slots::Partitions;
use super::{NoSight, Primary, Replica, Sight};

pub(super) fn read(asked: &str, text: &str) -> Result<Sight, NoSight> {
    let lines = || text.lines().filter_map(|line| line.trim().split_once(':'));
    let value = |name: &str| lines().find(|(key, _)| *key == name).map(|(_, value)| value);
    let missing = |name: &str| NoSight(format!("no line {name}").into());
    let primary = |address| Primary { address, epoch: 0, partitions: Partitions::ALL };
    let mut sight = Sight::default();
    match value("role").ok_or_else(|| missing("role"))? {
        "master" => {
            sight.primaries.push(primary(asked.into()));
            let numbered = |key: &str| key.strip_prefix("slave").is_some_and(|n| n.parse::<u32>().is_ok());
            for (_, fields) in lines().filter(|(key, _)| numbered(key)) {
                let field = |name: &str| {
                    let mut fields = fields.split(',').filter_map(|field| field.split_once('='));
                    fields.find(|(key, _)| *key == name).map(|(_, value)| value).ok_or_else(|| missing(name))
                };
                let address = address(field("ip")?, field("port")?);
                let in_view = field("state")? == "online";
                sight.replicas.push(Replica { address, primary: asked.into(), in_view });
            }
        }
        "slave" => {
            let host = value("master_host").ok_or_else(|| missing("master_host"))?;
            let port = value("master_port").ok_or_else(|| missing("master_port"))?;
            let address = address(host, port);
            let in_view = value("master_link_status") == Some("up");
            sight.replicas.push(Replica { address: asked.into(), primary: address.clone(), in_view });
            sight.primaries.push(primary(address));
        }
        other => return Err(NoSight(format!("role:{other}").into())),
    }
    sight.count(asked);
    Ok(sight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_primary_counts_the_replicas_that_have_its_records() {
        let text = "# Replication\r\nrole:master\r\nconnected_slaves:3\r\n\
            slave0:ip=10.0.0.2,port=6379,state=online,offset=14,lag=0\r\n\
            slave1:ip=fd00::3,port=6379,state=online,offset=14,lag=1\r\n\
            slave2:ip=10.0.0.4,port=6379,state=wait_bgsave,offset=0,lag=0\r\nmaster_failover_state:no-failover\r\n";
        let sight = read("10.0.0.1:6379", text).expect("the text");
        assert_eq!((sight.view, sight.replicas.len()), (Some(2), 3));
        assert_eq!(&*sight.replicas[1].address, "[fd00::3]:6379");
        assert_eq!(sight.primaries[0].partitions, Partitions::ALL);
    }

    #[test]
    fn a_replica_names_its_primary_and_has_no_view() {
        let text = "role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\nmaster_link_status:up\r\n";
        let sight = read("10.0.0.2:6379", text).expect("the text");
        assert_eq!((sight.view, &*sight.primaries[0].address), (None, "10.0.0.1:6379"));
    }

    #[test]
    fn what_no_server_writes_is_refused() {
        for text in ["", "role:sentinel", "role:slave", "role:master\nslave0:port=1,state=online"] {
            assert!(read("h:1", text).is_err(), "{text}");
        }
    }
}
