//! Heads on their way through: which requests are forwarded, and with which header fields.

use std::net::SocketAddr;

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use hyper::{Method, Request, StatusCode, Uri, Version};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Why a request is not forwarded.
pub(super) struct Unfit(pub(super) StatusCode, pub(super) &'static str);

/// Whether two readers would understand the request in the same way (RFC 9112 §11.2); otherwise it is not forwarded. Length
/// and framing were read strictly before: a request that is chunked and also has a length lost the length, and its
/// connection ends after it.
pub(super) fn check<B>(request: &Request<B>, body_bytes_max: u64) -> Result<(), Unfit> {
    let headers = request.headers();
    if request.method() == Method::CONNECT {
        return Err(Unfit(
            StatusCode::METHOD_NOT_ALLOWED,
            "CONNECT is not supported: this is not a proxy to other sites",
        ));
    }
    // RFC 9112 §3.2.
    let hosts = headers.get_all(HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        return Err(Unfit(StatusCode::BAD_REQUEST, "a request must have exactly one Host field"));
    }
    // Another transfer coding would have to be kept, but it is no longer valid once the chunks are read.
    let plain = |value: &HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if codings.next().is_some_and(|coding| !plain(coding)) || codings.next().is_some() {
        return Err(Unfit(
            StatusCode::NOT_IMPLEMENTED,
            "the only transfer coding that is supported is chunked",
        ));
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > body_bytes_max) {
        return Err(Unfit(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"));
    }
    Ok(())
}

/// The protocols that the request asks to change to, if any.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    named(headers).any(|name| name == UPGRADE).then(|| headers.get(UPGRADE).cloned())?
}

/// The target as a server expects it: path and query, or `*`.
pub(super) fn target(uri: &Uri) -> Uri {
    let target = uri.path_and_query().and_then(|target| target.as_str().parse().ok());
    target.unwrap_or_else(|| Uri::from_static("/"))
}

/// The header fields of the request for the server.
pub(super) fn to_server(
    headers: &mut HeaderMap,
    uri: &Uri,
    client: SocketAddr,
    version: Version,
    upgrade: Option<&HeaderValue>,
) {
    end_to_end(headers, upgrade);
    // RFC 9112 §3.2.2: the authority of the target overrides the field.
    if let Some(host) = uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok()) {
        headers.insert(HOST, host);
    }
    add(headers, FORWARDED_FOR, &client.ip().to_canonical().to_string());
    add(headers, FORWARDED_PROTO, "http");
    // RFC 9110 §7.6.3.
    add(headers, VIA, if version == Version::HTTP_10 { "1.0 strowger" } else { "1.1 strowger" });
}

/// Removes what was meant for this connection alone (RFC 9110 §7.6.1).
pub(super) fn end_to_end(headers: &mut HeaderMap, upgrade: Option<&HeaderValue>) {
    let own: Vec<HeaderName> = named(headers).collect();
    for name in own {
        // Removing these at the client's wish would send another request than the one that was checked.
        if name != HOST && name != CONTENT_LENGTH {
            headers.remove(name);
        }
    }
    for name in [CONNECTION, TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
    if let Some(upgrade) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, upgrade.clone());
    }
}

/// The fields that `Connection` names.
fn named(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> + '_ {
    let lists = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).filter_map(|name| name.trim().parse().ok())
}

/// Appends to what others wrote.
fn add(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    let before = headers.get_all(&name).iter().filter_map(|value| value.to_str().ok());
    let all: Vec<&str> = before.chain([value]).collect();
    if let Ok(all) = HeaderValue::from_str(&all.join(", ")) {
        headers.insert(name, all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri("/a?b");
        for (name, value) in text {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn what_two_readers_may_take_differently_is_refused() {
        for (fields, status) in [
            (&[("host", "a")][..], None),
            (&[][..], Some(400)),
            (&[("host", "a"), ("host", "b")][..], Some(400)),
            (&[("host", "a"), ("transfer-encoding", "Chunked")][..], None),
            (&[("host", "a"), ("transfer-encoding", "gzip, chunked")][..], Some(501)),
            (
                &[("host", "a"), ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")][..],
                Some(501),
            ),
            (&[("host", "a"), ("content-length", "100")][..], None),
            (&[("host", "a"), ("content-length", "101")][..], Some(413)),
        ] {
            let refused = check(&request(fields), 100).err().map(|unfit| unfit.0.as_u16());
            assert_eq!(refused, status, "{fields:?}");
        }
        let connect =
            Request::builder().method("CONNECT").uri("evil.example:25").header("host", "a").body(());
        assert_eq!(check(&connect.unwrap(), 0).err().map(|unfit| unfit.0.as_u16()), Some(405));
    }

    #[test]
    fn a_server_gets_what_is_meant_for_it() {
        let mut headers = request(&[
            ("host", "app.example"),
            ("connection", "close, X-Hop, Host"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("x-forwarded-for", "203.0.113.9"),
            ("cookie", "a=b"),
        ])
        .headers()
        .clone();
        let client = "192.0.2.1:4711".parse().unwrap();
        to_server(&mut headers, &Uri::from_static("/a?b"), client, Version::HTTP_11, None);
        let mut left: Vec<(String, String)> = headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        left.sort();
        let expected = [
            ("cookie", "a=b"),
            ("host", "app.example"),
            ("via", "1.1 strowger"),
            ("x-forwarded-for", "203.0.113.9, 192.0.2.1"),
            ("x-forwarded-proto", "http"),
        ];
        assert_eq!(left, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn an_upgrade_is_asked_for_by_both_fields() {
        let asked = request(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        let upgraded = upgrade(asked.headers()).unwrap();
        assert_eq!(upgraded, "websocket");
        assert_eq!(upgrade(request(&[("upgrade", "websocket")]).headers()), None);
        let mut headers = asked.headers().clone();
        end_to_end(&mut headers, Some(&upgraded));
        assert_eq!((&headers[CONNECTION], &headers[UPGRADE]), (&"upgrade".parse().unwrap(), &upgraded));
    }

    #[test]
    fn the_authority_of_a_target_is_the_host_and_no_place_to_go() {
        let uri = Uri::from_static("http://inside.example:25/a?b");
        assert_eq!(target(&uri), "/a?b");
        let mut headers = request(&[("host", "other")]).headers().clone();
        to_server(&mut headers, &uri, "192.0.2.1:1".parse().unwrap(), Version::HTTP_11, None);
        assert_eq!(headers[HOST], "inside.example:25");
        assert_eq!(target(&Uri::from_static("*")), "*");
    }
}
