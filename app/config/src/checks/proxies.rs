//! The proxies for TCP in front of each listener: networks whose connections say who is behind them.

use base::Network;
use sip::Transport;

use crate::language::problem::Problems;
use crate::sections::shared::Listen;

/// By the index of the listener.
pub(crate) fn proxies(listen: &[Listen], problems: &mut Problems) -> Vec<Vec<Network>> {
    listen.iter().map(|listen| of_listener(listen, problems)).collect()
}

fn of_listener(listen: &Listen, problems: &mut Problems) -> Vec<Network> {
    let field = &listen.proxy_protocol;
    // Without a transport, it is UDP.
    let is_stream = listen.address.value.transport.is_some_and(Transport::is_reliable);
    if !field.value.is_empty() && !is_stream {
        let what = "`proxy_protocol` is for connections, and this listener receives datagrams";
        problems.error(&field.place, what, "remove it, or listen on `tcp:`, `tls:`, `ws:` or `wss:`");
    }
    let mut networks = Vec::new();
    for text in &field.value {
        match Network::parse(text) {
            Some(network) => networks.push(network),
            None => {
                let what = format!("`proxy_protocol`: `{text}` is no network");
                problems.error(
                    &field.place,
                    what,
                    "write networks or addresses: [\"10.0.0.0/8\", \"192.0.2.7\"]",
                );
            }
        }
    }
    networks
}

#[cfg(test)]
mod tests {
    use crate::parse;

    fn file(address: &str, proxies: &str) -> String {
        format!(
            "[[listen]]\naddress = \"udp:127.0.0.1:5060\"\n[[listen]]\naddress = \"{address}\"\n\
             proxy_protocol = {proxies}\n[[server]]\naddress = \"127.0.0.1:7000\"\n"
        )
    }

    #[test]
    fn each_listener_has_its_proxies() {
        let checked = parse(&file("tcp:127.0.0.1:5060", "[\"10.0.0.0/8\", \"2001:db8::1\"]")).unwrap();
        let shown = |networks: &[base::Network]| -> Vec<String> {
            networks.iter().map(ToString::to_string).collect()
        };
        let proxies: Vec<_> = checked.process.proxies.iter().map(|networks| shown(networks)).collect();
        assert_eq!(proxies, [vec![], vec!["10.0.0.0/8".to_owned(), "2001:db8::1/128".to_owned()]]);
    }

    #[test]
    fn what_is_no_network_and_a_listener_for_datagrams_are_named_with_a_remedy() {
        for (address, proxies, said) in [
            ("tcp:127.0.0.1:5061", "[\"10.0.0.1/8\"]", "`10.0.0.1/8` is no network"),
            ("tcp:127.0.0.1:5061", "[\"haproxy.example.com\"]", "is no network"),
            ("udp:127.0.0.1:5061", "[\"10.0.0.0/8\"]", "this listener receives datagrams"),
            ("127.0.0.1:5061", "[\"10.0.0.0/8\"]", "this listener receives datagrams"),
        ] {
            let problems = parse(&file(address, proxies)).unwrap_err().to_string();
            assert!(problems.contains(said) && problems.contains("remedy:"), "{problems}");
        }
    }
}
