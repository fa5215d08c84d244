//! Requests that belong to a call or to a presentity that some server has.

use super::farm::*;
use crate::settings::*;
use crate::shared::Terms;

fn farm(affinity: Affinity, change: impl FnOnce(&mut Settings)) -> Farm {
    let selection = if affinity == Affinity::Hash { Selection::Hash } else { Selection::RoundRobin };
    let mut settings = settings(affinity, selection);
    change(&mut settings);
    Farm::new(settings)
}

fn invite(farm: &mut Farm, call: &str, more: &str) -> String {
    only(farm.udp(CLIENT, &request("INVITE", call, &format!("z9hG4bK{call}"), more))).address()
}

#[test]
fn an_invite_that_replaces_or_joins_a_call_goes_to_its_server_as_long_as_that_is_known() {
    for (affinity, counts, knows_later) in [
        (Affinity::Tag, false, false),
        (Affinity::Tag, true, true),
        (Affinity::Session, false, true),
        (Affinity::Hash, false, true),
    ] {
        let mut farm = farm(affinity, |settings| settings.count_calls = counts);
        let at: Vec<String> =
            (0..8).map(|call| establish(&mut farm, &format!("c{call}")).0.address()).collect();
        let mut number = 0;
        let mut find = |farm: &mut Farm| -> usize {
            let mut found = 0;
            for (call, server) in at.iter().enumerate() {
                for field in
                    ["Replaces: c{};to-tag=bob;from-tag=alice", "join:c{} ;from-tag=alice;to-tag=bob"]
                {
                    number += 1;
                    let more = field.replace("{}", &call.to_string()) + "\r\n";
                    found += usize::from(invite(farm, &format!("n{number}"), &more) == *server);
                }
            }
            found
        };
        assert_eq!(find(&mut farm), 16, "{affinity:?}, soon");
        farm.wait(60);
        let found = find(&mut farm);
        assert_eq!(found == 16, knows_later, "{affinity:?}, counted {counts}, later: {found}");
    }
}

#[test]
fn what_it_replaces_may_be_unknown_or_its_server_gone_or_the_setting_off() {
    let mut one = farm(Affinity::Tag, |_| {});
    let (sent, _) = establish(&mut one, "up");
    for (at, value) in ["nobody;to-tag=a;from-tag=b", "", ";;", "up"].into_iter().enumerate() {
        // Each gets some server, and the last one that of its call.
        let to = invite(&mut one, &format!("r{at}"), &format!("Replaces: {value}\r\n"));
        assert!(to.starts_with("udp 10.0.0."), "{to}");
        assert_eq!(to == sent.address(), value == "up", "{value:?}");
    }
    one.kill(&sent.address());
    assert_ne!(invite(&mut one, "gone", "Replaces: up\r\n"), sent.address());
    let mut off = farm(Affinity::Tag, |settings| settings.by_replaces = false);
    let (sent, _) = establish(&mut off, "up");
    let to: Vec<String> =
        (0..4).map(|call| invite(&mut off, &format!("o{call}"), "Replaces: up\r\n")).collect();
    assert!(to.iter().any(|to| *to != sent.address()), "{to:?}");
    // The end of the load manager refuses them as any new call.
    let mut ending = farm(Affinity::Tag, |_| {});
    establish(&mut ending, "up");
    ending.change(Terms::closing);
    let refused = only(ending.udp(CLIENT, &request("INVITE", "late", "z9hG4bKlate", "Replaces: up\r\n")));
    assert!(refused.start_line().starts_with("SIP/2.0 503"), "{}", refused.text);
}

#[test]
fn subscriptions_and_publications_of_a_presentity_go_where_its_registers_go() {
    for affinity in [Affinity::Tag, Affinity::Session, Affinity::Hash] {
        let mut farm = farm(affinity, |settings| settings.by_presentity = true);
        let mut servers = std::collections::BTreeSet::new();
        for user in 0..20 {
            let of = |method: &str, uri: &str, call: &str| {
                request(method, call, &format!("z9hG4bK{call}"), "")
                    .replace("sip:bob@198.51.100.1", uri)
                    .replace("sip:bob@example.com", &format!("sip:u{user}@example.com"))
            };
            let uri = format!("sip:u{user}@example.com");
            let register =
                only(farm.udp(CLIENT, &of("REGISTER", "sip:example.com", &format!("r{user}")))).address();
            for (at, uri) in
                [&uri, &format!("sip:u{user}@EXAMPLE.com:5060;transport=tcp"), &uri].iter().enumerate()
            {
                for method in ["SUBSCRIBE", "PUBLISH"] {
                    let sent = only(farm.udp(CLIENT, &of(method, uri, &format!("{method}{user}-{at}"))));
                    assert_eq!(sent.address(), register, "{affinity:?} {method} {uri}");
                }
            }
            servers.insert(register);
        }
        assert!(servers.len() > 1, "{servers:?}");
    }
}

#[test]
fn within_a_dialog_and_without_the_setting_nothing_changes() {
    let mut farm = farm(Affinity::Tag, |_| {});
    let to: std::collections::BTreeSet<String> = (0..4)
        .map(|call| {
            let text = request("SUBSCRIBE", &format!("s{call}"), &format!("z9hG4bKs{call}"), "");
            only(farm.udp(CLIENT, &text)).address()
        })
        .collect();
    assert_eq!(to.len(), 4, "round robin");
    farm.set(|settings| settings.by_presentity = true);
    let (sent, answer) = establish(&mut farm, "up");
    let within = from_client("SUBSCRIBE", "up", "z9hG4bKw", "bob", &routes(&answer));
    assert_eq!(only(farm.udp(CLIENT, &within)).address(), sent.address());
}
