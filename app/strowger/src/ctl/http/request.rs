//! One request: who asks, for what, and the answer.

#![allow(clippy::result_large_err, reason = "an error is an answer, made once for each request")]

use std::convert::Infallible;
use std::sync::Arc;

use config::{Grant, Tokens};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use hyper::{Request, Response, StatusCode};
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq as _;

use super::metrics;
use crate::ctl::asked::Asked;
use crate::ctl::{ParameterPlace, RefusalKind, Refused, VERBS, Verb};

/// Far larger than any body of a verb.
const BODY_BYTES_MAX: usize = 64 * 1024;

type Reply = Response<Full<Bytes>>;

pub(super) async fn answer(
    request: Request<Incoming>,
    open_metrics: bool,
    asked: &Arc<dyn Asked>,
) -> Result<Reply, Infallible> {
    let reply = match respond(request, open_metrics, asked).await {
        Ok(reply) | Err(reply) => reply,
    };
    asked.api().answered(reply.status().as_u16());
    Ok(reply)
}

async fn respond(
    request: Request<Incoming>,
    open_metrics: bool,
    asked: &Arc<dyn Asked>,
) -> Result<Reply, Reply> {
    let tokens = asked.tokens();
    let path = request.uri().path().to_owned();
    let reads = request.method() == hyper::Method::GET;
    match path.as_str() {
        "/healthz" | "/readyz" if reads || request.method() == hyper::Method::HEAD => {
            return health(path == "/readyz", asked).await;
        }
        "/openapi.json" if reads => return Ok(reply(200, "application/json", super::document().to_string())),
        "/metrics" if reads => {
            if !open_metrics {
                allowed(&request, &tokens, Grant::Read)?;
            }
            let asked = Arc::clone(asked);
            let text = waiting(move || metrics::text(&*asked)).await.map_err(|refused| problem(&refused))?;
            return Ok(reply(200, metrics::TYPE, text));
        }
        _ => {}
    }
    // The token is checked before the path: a client that may not ask learns nothing about the paths.
    allowed(&request, &tokens, if reads { Grant::Read } else { Grant::Change })?;
    let (verb, mut given) = route(request.method(), &path)?;
    if let Some(query) = request.uri().query() {
        read_query(verb, query, &mut given).map_err(|refused| problem(&refused))?;
    }
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await;
    let body = body.map_err(|_| {
        let what = format!("the body broke off, or it has more than {BODY_BYTES_MAX} bytes");
        problem(&Refused::bad(what, "send a smaller body"))
    })?;
    read_body(&body.to_bytes(), &mut given).map_err(|refused| problem(&refused))?;
    let asked = Arc::clone(asked);
    let done = waiting(move || asked.ask(verb.name, given)).await.map_err(|refused| problem(&refused))?;
    Ok(reply(200, "application/json", done.document.to_string()))
}

/// For health checks, without a token. A process that says that it is not ready is alive.
async fn health(ready: bool, asked: &Arc<dyn Asked>) -> Result<Reply, Reply> {
    let asked = Arc::clone(asked);
    match waiting(move || asked.ask("ready", Map::new())).await {
        Ok(done) if ready => Ok(reply(200, "application/json", done.document.to_string())),
        Err(refused) if ready || refused.why != RefusalKind::Conflict => {
            Err(error(503, &refused.what, &refused.remedy))
        }
        Ok(_) | Err(_) => Ok(reply(200, "application/json", json!({ "alive": true }).to_string())),
    }
}

/// Whoever is asked answers within a few hundredths of a second, or reads records for some seconds. The runtime's thread must not wait for it.
async fn waiting<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    let lost = || Refused::new(RefusalKind::Busy, "the request was lost", "ask again");
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(lost()))
}

/// RFC 6750: 401 if the request has no good token, 403 if the token does not allow the request.
fn allowed(request: &Request<Incoming>, tokens: &Tokens, wanted: Grant) -> Result<(), Reply> {
    if tokens.0.is_empty() {
        return match wanted {
            Grant::Read => Ok(()),
            Grant::Change => {
                Err(error(403, "there are no tokens, so HTTP can change nothing", "set api.tokens"))
            }
        };
    }
    let shown = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    match shown.and_then(|shown| grant_of(tokens, shown)) {
        Some(grant) if grant == Grant::Change || wanted == Grant::Read => Ok(()),
        Some(_) => Err(error(403, "this token may look, but not change anything", "use a `change` token")),
        None => {
            let mut reply = error(401, "the request has no good token", "send `Authorization: Bearer TOKEN`");
            reply.headers_mut().insert(WWW_AUTHENTICATE, hyper::header::HeaderValue::from_static("Bearer"));
            Err(reply)
        }
    }
}

/// Compares all tokens, each in a time that does not depend on the place of the first difference.
fn grant_of(tokens: &Tokens, shown: &str) -> Option<Grant> {
    let mut found = None;
    for (grant, token) in &tokens.0 {
        if bool::from(token.as_bytes().ct_eq(shown.as_bytes())) {
            found = Some(*grant);
        }
    }
    found
}

/// The verb of a route, with the parameters in the path.
fn route(method: &hyper::Method, path: &str) -> Result<(&'static Verb, Map<String, Value>), Reply> {
    let mut others = Vec::new();
    for verb in VERBS {
        if let Some(given) = in_path(verb, path) {
            if verb.route.method.name() == method.as_str() {
                return Ok((verb, given));
            }
            others.push(verb.route.method.name());
        }
    }
    if others.is_empty() {
        return Err(error(404, &format!("there is no {path}"), "/openapi.json lists what there is"));
    }
    let mut reply = error(405, &format!("{path} allows only {}", others.join(", ")), "use that method");
    if let Ok(value) = others.join(", ").parse() {
        reply.headers_mut().insert(ALLOW, value);
    }
    Err(reply)
}

fn in_path(verb: &Verb, path: &str) -> Option<Map<String, Value>> {
    let (mut wanted, mut present) = (verb.route.path.split('/'), path.split('/'));
    let mut given = Map::new();
    loop {
        match (wanted.next(), present.next()) {
            (None, None) => return Some(given),
            (Some(wanted), Some(present)) => {
                match wanted.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                    Some(name) => drop(given.insert(name.to_owned(), decoded(present)?.into())),
                    None if wanted == present => {}
                    None => return None,
                }
            }
            _ => return None,
        }
    }
}

/// RFC 3986 §2.1. `None`: the bytes are not text.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'%', [high, low, after @ ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                bytes.push((digit(high)? * 16 + digit(low)?) as u8);
                rest = after;
            }
            (b'%', _) => return None,
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).ok()
}

fn read_query(verb: &Verb, query: &str, given: &mut Map<String, Value>) -> Result<(), Refused> {
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, text) = pair.split_once('=').unwrap_or((pair, "true"));
        let text = decoded(&text.replace('+', " ")).ok_or_else(|| {
            Refused::bad(format!("`{name}` is not text"), "write it in UTF-8, percent-encoded")
        })?;
        let parameter =
            verb.parameters.iter().find(|one| one.name == name && one.place == ParameterPlace::Body);
        let value = match parameter {
            Some(parameter) => parameter.value_of(&text)?,
            None => Value::from(text),
        };
        given.insert(name.to_owned(), value);
    }
    Ok(())
}

fn read_body(body: &[u8], given: &mut Map<String, Value>) -> Result<(), Refused> {
    if body.trim_ascii().is_empty() {
        return Ok(());
    }
    let remedy = "send a JSON object with the arguments, or nothing";
    let read: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| Refused::bad(format!("the body is not a JSON object: {error}"), remedy))?;
    for (name, value) in read {
        if given.insert(name.clone(), value).is_some() {
            return Err(Refused::bad(
                format!("`{name}` is in the path and in the body"),
                "write it in one place",
            ));
        }
    }
    Ok(())
}

fn problem(refused: &Refused) -> Reply {
    error_of(refused.why.http(), refused.why.title(), &refused.what, &refused.remedy)
}

fn error(status: u16, what: &str, remedy: &str) -> Reply {
    let title = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    error_of(status, title.unwrap_or_default(), what, remedy)
}

/// A problem document (RFC 9457), with the remedy beside it.
fn error_of(status: u16, title: &str, what: &str, remedy: &str) -> Reply {
    let document = json!({ "status": status, "title": title, "detail": what, "remedy": remedy });
    reply(status, "application/problem+json", document.to_string())
}

fn reply(status: u16, content: &'static str, text: String) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(text + "\n")));
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    reply.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content));
    reply
}
