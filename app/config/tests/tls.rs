//! Certificates and keys: what is good becomes TLS, what is wrong is told with its file and a remedy.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use strowger_config::{ShortForm, load, load_to_start, short_form};

/// A folder of one test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("strowger-tls-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// A certificate that is good from the first of one year to the first of another.
    fn pair(&self, name: &str, from: i32, to: i32) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        (
            self.file(&format!("{name}.pem"), &certificate),
            self.file(&format!("{name}.key"), &key.serialize_pem()),
        )
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const LISTEN: &str =
    "[[listen]]\naddress = \"tls:127.0.0.1:5061\"\n\n[[server]]\naddress = \"tls:127.0.0.1:7001\"\n\n";

/// What is said about a configuration with this in its [tls] section; empty when it is good.
fn complaint(folder: &Folder, tls: &str) -> String {
    let file = folder.file("lb.toml", &format!("{LISTEN}[tls]\n{tls}"));
    load(&file).map_or_else(|problems| problems.to_string(), |_| String::new())
}

fn keys(certificate: &Path, key: &Path, rest: &str) -> String {
    format!("certificate = \"{}\"\nkey = \"{}\"\n{rest}", certificate.display(), key.display())
}

/// The short form with a listener for TLS and one for UDP, and this pair.
fn short_with(certificate: PathBuf, key: PathBuf) -> ShortForm {
    ShortForm {
        listen: vec!["tls:127.0.0.1:5061".into(), "udp:127.0.0.1:5060".into()],
        server: vec!["127.0.0.1:7000".into()],
        ..ShortForm::default()
    }
    .with("certificate", certificate.display().to_string())
    .with("key", key.display().to_string())
}

/// Each of `wanted` is said of the configuration `given`.
fn holds(said: &str, wanted: &[&str], given: &str) {
    for part in wanted {
        assert!(said.contains(part), "no {part:?} in\n{said}\nfor\n{given}");
    }
}

#[test]
fn a_good_pair_becomes_tls() {
    let folder = Folder::new();
    let (certificate, key) = folder.pair("good", 2020, 2099);
    let authority = format!("server_ca = \"{}\"\n", certificate.display());
    let file = folder.file("lb.toml", &format!("{LISTEN}[tls]\n{}", keys(&certificate, &key, &authority)));
    let checked = load(&file).unwrap();
    let tls = checked.process.tls.unwrap();
    assert!(tls.client.is_some() && tls.server_name.is_none());
    assert_eq!(tls.shown.len(), 1);
    assert_eq!((&tls.shown[0].file, tls.shown[0].ends), (&certificate, 4_070_908_800));
    assert!(short_form(&short_with(certificate, key)).unwrap().process.tls.unwrap().client.is_none());
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_a_remedy() {
    let folder = Folder::new();
    let (certificate, key) = folder.pair("good", 2020, 2099);
    let (old, old_key) = folder.pair("old", 2001, 2002);
    let (young, young_key) = folder.pair("young", 2098, 2099);
    let text = folder.file("text", "no PEM at all\n");
    let nowhere = folder.0.join("nowhere.pem");
    let authority = format!("server_ca = \"{}\"\n", certificate.display());
    for (tls, wanted) in [
        (String::new(), ["lb.toml:2:", "needs a certificate", "--certificate FILE --key FILE"]),
        (keys(&certificate, &key, ""), ["lb.toml:5:", "cannot verify the certificate", "tls.server_ca"]),
        (format!("certificate = \"{}\"", certificate.display()), ["lb.toml:8:", "without `key`", "tls.key"]),
        (format!("key = \"{}\"", key.display()), ["lb.toml:8:", "without `certificate`", "tls.certificate"]),
        (keys(&nowhere, &key, &authority), ["lb.toml:8:", "nowhere.pem cannot be read", "check the path"]),
        (keys(&text, &key, &authority), ["lb.toml:8:", "has no certificate", "BEGIN CERTIFICATE"]),
        (keys(&certificate, &text, &authority), ["lb.toml:9:", "has no private key", "BEGIN PRIVATE KEY"]),
        (keys(&certificate, &old_key, &authority), ["lb.toml:9:", "does not belong to", "first in its file"]),
        (keys(&old, &old_key, &authority), ["lb.toml:8:", "ended on 2002-01-01", "get a new certificate"]),
        (keys(&young, &young_key, &authority), ["lb.toml:8:", "is not valid before 2098-01-01", "clock"]),
        (
            keys(&certificate, &key, &format!("{authority}client_certificate = \"required\"\n")),
            ["lb.toml:11:", "no authority is set", "tls.client_ca"],
        ),
        (
            keys(&certificate, &key, &format!("{authority}minimum_version = \"1.1\"\n")),
            ["lb.toml:11:", "`1.1` is not a known value", "1.2"],
        ),
        (
            keys(&certificate, &key, &format!("{authority}server_name = \"a b\"\n")),
            ["lb.toml:11:", "neither a host name nor an address", "certificates contain"],
        ),
    ] {
        holds(&complaint(&folder, &tls), &wanted, &tls);
    }
}

/// A [[listen]] section with more keys.
fn listen(endpoint: &str, more: &str) -> String {
    format!("[[listen]]\naddress = \"{endpoint}\"\n{more}\n")
}

#[test]
fn a_listener_may_have_a_certificate_of_its_own() {
    let folder = Folder::new();
    let (shared, shared_key) = folder.pair("shared", 2020, 2099);
    let (own, own_key) = folder.pair("own", 2020, 2098);
    let own_keys = keys(&own, &own_key, "");
    let asks = format!("{own_keys}client_certificate = \"required\"\nclient_ca = \"{}\"\n", shared.display());
    let server = "[[server]]\naddress = \"127.0.0.1:7000\"\n";
    let udp = listen("udp:127.0.0.1:5060", "");
    let first = listen("tls:127.0.0.1:5061", "");
    let second = listen("wss:127.0.0.1:5062", &asks);
    let tls = format!("[tls]\n{}", keys(&shared, &shared_key, ""));

    let file = folder.file("both.toml", &format!("{udp}{first}{second}{server}{tls}"));
    let both = load(&file).unwrap().process.tls.unwrap();
    let accepting: Vec<bool> = both.accepting.iter().map(Option::is_some).collect();
    assert_eq!(accepting, [false, true, true]);
    let files: Vec<_> = both.shown.iter().map(|shown| &shown.file).collect();
    assert_eq!(files, [&shared, &own]);
    assert_eq!(both.last_day(), "2098-01-01");

    let file = folder.file("own.toml", &format!("{udp}{second}{server}"));
    assert_eq!(load(&file).unwrap().process.tls.unwrap().shown.len(), 1);

    for (listeners, wanted) in [
        (
            listen("tls:127.0.0.1:5061", "") + &second,
            ["own.toml:2:", "needs a certificate", "to the listener"],
        ),
        (
            listen("tls:127.0.0.1:5061", &format!("key = \"{}\"", own_key.display())),
            ["own.toml:3:", "without `certificate`", "add certificate"],
        ),
        (
            listen("udp:127.0.0.1:5060", &own_keys),
            ["own.toml:3:", "uses no certificates", "`tls:` or `wss:`"],
        ),
        (
            listen("tls:127.0.0.1:5061", &format!("{own_keys}client_certificate = \"optional\"")),
            ["own.toml:5:", "no authority is set", "of the listener"],
        ),
        (
            listen("tls:127.0.0.1:5061", &keys(&own, &shared_key, "")),
            ["own.toml:4:", "does not belong to", "first in its file"],
        ),
    ] {
        let file = folder.file("own.toml", &format!("{listeners}{server}"));
        holds(&load(&file).unwrap_err().to_string(), &wanted, &listeners);
    }
}

#[test]
fn a_certificate_that_has_ended_is_refused_but_not_at_a_start() {
    let folder = Folder::new();
    let rest = listen("udp:127.0.0.1:5060", "") + "[[server]]\naddress = \"127.0.0.1:7000\"\n";
    for (name, from, to, said) in
        [("old", 2001, 2002, "ended on"), ("young", 2098, 2099, "is not valid before")]
    {
        let (certificate, key) = folder.pair(name, from, to);
        let text = listen("tls:127.0.0.1:5061", &keys(&certificate, &key, "")) + &rest;
        let file = folder.file("lb.toml", &text);
        assert!(load(&file).unwrap_err().to_string().starts_with("error: "));
        let started = load_to_start(&file).unwrap();
        assert!(started.process.tls.unwrap().accepting[0].is_some());
        let notices: String = started.notices.iter().map(ToString::to_string).collect();
        assert!(notices.starts_with("warning: ") && notices.contains(said), "{notices}");
        let short = short_with(certificate, key);
        assert!(short_form(&short).is_err());
        assert!(short_form(&ShortForm { to_start: true, ..short }).is_ok());
        // What is wrong beyond that is refused at a start, too.
        let nowhere = text.replace(".key", ".nowhere");
        assert!(load_to_start(&folder.file("lb.toml", &nowhere)).is_err());
    }
}

#[test]
fn websocket_is_for_clients_and_shares_its_ports_with_tcp() {
    let short = |listen: &[&str], server: &str| {
        let listen = listen.iter().map(|text| (*text).to_owned()).collect();
        let given = ShortForm { listen, server: vec![server.into()], ..ShortForm::default() };
        short_form(&given).map_or_else(|problems| problems.to_string(), |_| String::new())
    };
    assert_eq!(short(&["udp:127.0.0.1:5060", "ws:127.0.0.1:5060"], "127.0.0.1:7000"), "");
    assert!(short(&["ws:127.0.0.1:8080"], "ws:127.0.0.1:7000").contains("cannot be reached over WebSocket"));
    let both = short(&["tcp:127.0.0.1:8080", "ws:127.0.0.1:8080"], "tcp:127.0.0.1:7000");
    assert!(both.contains("already used by the listener tcp:127.0.0.1:8080"), "{both}");
    assert!(short(&["ws:127.0.0.1"], "127.0.0.1:7000").contains("has no port"));
}
