//! The examples of the RFCs, and what a client makes against what a server verifies.

use super::*;
use crate::headers::auth;

fn credentials(field: &str) -> Credentials<'_> {
    Credentials::read(&auth::parse(field.as_bytes()).unwrap()).unwrap()
}

fn challenge(field: &str) -> Option<Challenge<'_>> {
    Challenge::read(&auth::parse(field.as_bytes()).unwrap())
}

/// RFC 7616 §3.9.1, with both algorithms.
#[test]
fn the_examples_of_http() {
    for (hash, algorithm, response) in [
        (Hash::Md5, "MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        (Hash::Sha256, "SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ] {
        let field = format!(
            "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", algorithm={algorithm}, \
             nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
             cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, response=\"{response}\", \
             opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        );
        let secret = Secret::of_password(hash, b"Mufasa", b"http-auth@example.org", b"Circle of Life");
        let given = credentials(&field);
        assert!(given.verify(&secret, b"GET", b"a body is not protected"), "{algorithm}");
        assert!(!given.verify(&secret, b"PUT", b""));
        let other = Secret::of_password(hash, b"Mufasa", b"http-auth@example.org", b"Circle of life");
        assert!(!given.verify(&other, b"GET", b""));
        assert!(
            Secret::stored(hash, secret.to_hex()).is_some_and(|stored| given.verify(&stored, b"GET", b""))
        );
    }
}

/// RFC 2617 §3.5, and the same without `qop` as RFC 3261 §22.4 still has it.
#[test]
fn the_examples_of_older_clients() {
    let secret = Secret::of_password(Hash::Md5, b"Mufasa", b"testrealm@host.com", b"Circle Of Life");
    assert_eq!(secret.to_hex(), b"939e7578ed9e3c518a452acee763bce9");
    for rest in [
        "qop=auth, nc=00000001, cnonce=\"0a4f113b\", response=\"6629fae49393a05397450978507c4ef1\"",
        "response=\"670FD8C2DF070C60B045671B8B24FF02\"",
    ] {
        let field = format!(
            "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", \
             nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", {rest}"
        );
        assert!(credentials(&field).verify(&secret, b"GET", b""), "{rest}");
    }
}

/// RFC 7616 §3.9.2. Its answer is of a SHA-512 that was cut, not of SHA-512/256; the erratum of the RFC has this one.
#[test]
fn the_example_of_sha_512_256() {
    let secret = Secret::of_password(
        Hash::Sha512_256,
        "J\u{e4}s\u{f8}n Doe".as_bytes(),
        b"api@example.org",
        b"Secret, or not?",
    );
    let field = "Digest username=\"x\", realm=\"api@example.org\", uri=\"/doe.json\", algorithm=SHA-512-256, \
        nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", nc=00000001, \
        cnonce=\"NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v\", qop=auth, \
        response=\"3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5\"";
    assert!(credentials(field).verify(&secret, b"GET", b""));
}

#[test]
fn what_a_client_answers_a_server_verifies() {
    for (name, algorithm) in Algorithm::KNOWN {
        for qop in [Qop::Auth, Qop::AuthInt] {
            let asked = Challenge {
                realm: b"biloxi \\\"x\\\"",
                nonce: b"84a4cc6f",
                opaque: Some(b""),
                algorithm,
                auth: true,
                auth_int: true,
                stale: true,
            };
            let (mut field, mut answer) = (Vec::new(), Vec::new());
            assert!(asked.write(&mut field));
            let read = Challenge::read(&auth::parse(&field).unwrap()).unwrap();
            assert_eq!(read, asked, "{}", String::from_utf8_lossy(&field));
            let secret = Secret::of_password(algorithm.hash, b"bob", read.realm, b"zanzibar");
            let protection = Protection { qop, nonce_count: 0xAB, cnonce: b"c" };
            let request = Protected { method: b"INVITE", uri: b"sip:bob@biloxi.com", body: b"v=0" };
            assert!(read.answer(b"bob", &secret, Some(protection), request, &mut answer));
            let given = Credentials::read(&auth::parse(&answer).unwrap()).unwrap();
            assert_eq!((given.protection, given.algorithm.name()), (Some(protection), name));
            assert_eq!((given.username, given.uri, given.opaque), (&b"bob"[..], request.uri, Some(&b""[..])));
            assert!(given.verify(&secret, b"INVITE", b"v=0"), "{name} {qop:?}");
            assert_eq!(given.verify(&secret, b"INVITE", b"v=1"), qop == Qop::Auth, "{name} {qop:?}");
            assert!(!given.verify(&secret, b"BYE", b"v=0"));
        }
    }
}

#[test]
fn only_what_was_offered_is_given() {
    let secret = Secret::of_password(Hash::Md5, b"bob", b"r", b"p");
    let answers = |field: &str, qop: Option<Qop>, uri: &str| {
        let protection = qop.map(|qop| Protection { qop, nonce_count: 1, cnonce: b"c" });
        let request = Protected { method: b"BYE", uri: uri.as_bytes(), body: b"" };
        let mut out = Vec::new();
        let done = challenge(field).unwrap().answer(b"bob", &secret, protection, request, &mut out);
        assert_eq!(done, !out.is_empty());
        done
    };
    let (plain, auth, int) = (
        "Digest realm=\"r\", nonce=\"n\"",
        "Digest realm=\"r\", nonce=\"n\", qop=\"auth, other\"",
        "Digest realm=\"r\", nonce=\"n\", qop=auth-int",
    );
    assert!(answers(plain, None, "sip:a") && !answers(plain, Some(Qop::Auth), "sip:a"));
    assert!(answers(auth, Some(Qop::Auth), "sip:a") && !answers(auth, Some(Qop::AuthInt), "sip:a"));
    assert!(answers(int, Some(Qop::AuthInt), "sip:a") && !answers(int, None, "sip:a"));
    assert!(!answers("Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256", None, "sip:a"), "another hash");
    for injected in ["sip:a\"", "sip:a\r\nX: y", "sip:a\0", "sip:a\\"] {
        assert!(!answers(plain, None, injected), "{injected:?}");
    }
}

#[test]
fn what_is_not_known_is_passed_over() {
    for field in [
        "Basic realm=\"r\", nonce=\"n\"",
        "Digest realm=\"r\", nonce=\"n\", algorithm=SHA-3",
        "Digest realm=\"r\", nonce=\"n\", qop=\"token\"",
        "Digest realm=\"r\"",
        "Digest nonce=\"n\"",
    ] {
        assert_eq!(challenge(field), None, "{field}");
    }
    let good = "Digest username=\"u\", realm=\"r\", nonce=\"n\", uri=\"u\", response=\"\", qop=auth, nc=00000001, cnonce=\"c\"";
    credentials(good);
    for (from, to) in [
        ("nc=00000001", "nc=1"),
        ("nc=00000001", "nc=0000000g"),
        ("qop=auth", "qop=x"),
        ("cnonce", "x"),
        ("Digest", "digest2"),
        ("username", "x"),
        ("response", "x"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert!(Credentials::read(&auth::parse(bad.as_bytes()).unwrap()).is_none(), "{bad}");
    }
}

#[test]
fn a_secret_is_never_printed() {
    let secret = Secret::of_password(Hash::Md5, b"Mufasa", b"r", b"Circle Of Life");
    let field =
        "Digest username=\"Mufasa\", realm=\"r\", nonce=\"n\", uri=\"u\", response=\"0123456789abcdef\"";
    let parsed = auth::parse(field.as_bytes()).unwrap();
    let printed = format!("{secret:?} {:?} {parsed:?}", credentials(field));
    let hash = String::from_utf8_lossy(secret.to_hex()).into_owned();
    assert!(!printed.contains(&hash) && !printed.contains("0123456789abcdef"), "{printed}");
    // Bytes of a slice are printed as numbers.
    assert!(!printed.contains("48, 49, 50"), "{printed}");
    assert!(
        Secret::stored(Hash::Md5, b"abc").is_none() && Secret::stored(Hash::Sha256, &[b'g'; 64]).is_none()
    );
}
