//! One request: the server that it goes to, the way there, and the answer. A server that does not take the connection is passed
//! over for the next; once a server may have begun with it, only what may be sent twice is, and to the same one (RFC 9110 §9.2.2).

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use config::Http;
use http_body_util::{Either, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, COOKIE, HeaderValue, RETRY_AFTER, SET_COOKIE};
use hyper::http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode, Version};
use lb::farm::server::ServerId;
use lb::http::{Asked, Choice, Found, Head, View};
use lb::shared::Shared;
use tokio::time::{Instant, timeout_at};

use super::body::{Guarded, Progress};
use super::counters::Counter;
use super::head::{self, Unfit};
use super::pool::{Sender, connect};
use super::slot::Slot;
use super::{Front, tunnel};

pub(super) type Reply = Response<Either<Guarded, Full<Bytes>>>;
type Permit = Arc<Slot>;

/// How many servers are tried for one request.
const TRIES: usize = 4;

pub(super) async fn answer(
    front: Arc<Front>,
    client: SocketAddr,
    place: Permit,
    mut request: Request<Incoming>,
) -> Result<Reply, Infallible> {
    front.counters.add(Counter::Requests);
    let settings = front.settings.load_full();
    if let Err(Unfit(status, why)) = head::check(&request, settings.body_bytes_max) {
        front.counters.add(Counter::Refused);
        return Ok(refusal(status, why));
    }
    let upgraded = hyper::upgrade::on(&mut request);
    let shared = front.terms();
    let asked = read(&request, &shared, &settings);
    front.counters.add_many(Counter::Forged, u64::from(asked.forged));
    let (mut parts, body) = request.into_parts();
    let upgrade = head::upgrade(&parts.headers);
    head::to_server(&mut parts.headers, &parts.uri, client, parts.version, upgrade.as_ref());
    parts.uri = head::target(&parts.uri);
    let passage = Passage { front: &front, settings: &settings, shared: &shared, asked: &asked, parts };
    let reply = match passage.pass(body).await {
        Ok(Passed { response, choice, sender }) => {
            let upgraded = upgrade.map(|asked| (asked, upgraded));
            front.answered(&settings, response, &choice, sender, upgraded, place)
        }
        Err(reply) => reply,
    };
    Ok(reply)
}

fn read(request: &Request<Incoming>, shared: &Shared, settings: &Http) -> Asked {
    let of = |name: &str| -> Vec<&[u8]> {
        request.headers().get_all(name).iter().map(HeaderValue::as_bytes).collect()
    };
    let (header, cookies) = (of(&settings.names.header), of(COOKIE.as_str()));
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    Asked::read(&shared.keys, &settings.names, Head { target, header: &header, cookies: &cookies })
}

/// A request on its way, and what is known about it.
struct Passage<'a> {
    front: &'a Front,
    settings: &'a Http,
    shared: &'a Shared,
    asked: &'a Asked,
    parts: Parts,
}

struct Passed {
    response: Response<Incoming>,
    choice: Choice,
    sender: Sender,
}

/// The outcome of one attempt.
enum Attempt {
    Answered(Box<Passed>),
    /// The server has seen nothing of the request: the body is still whole.
    Untouched(Guarded),
    /// The server may have begun with the request: this is the answer, unless the request may be sent again.
    Broken(StatusCode, &'static str),
}

impl Passage<'_> {
    #[allow(clippy::result_large_err, reason = "an error is an answer, made once for each request")]
    async fn pass(self, body: Incoming) -> Result<Passed, Reply> {
        let (front, settings) = (self.front, self.settings);
        // Without a body, a second request is the same as the first.
        let repeatable = body.is_end_stream() && self.parts.method.is_idempotent();
        let progress = Progress::begin();
        let mut body =
            Guarded::of_request(body, settings.body_bytes_max, settings.idle, Arc::clone(&progress));
        let mut not: Vec<ServerId> = Vec::new();
        let mut broke_off = false;
        let mut same: Option<Choice> = None;
        for attempt in 0..TRIES {
            let Some(choice) = same.take().or_else(|| self.choose(&not)) else { break };
            let server = choice.server;
            // A connection that has waited may be closing at this moment, and a request that cannot be repeated would be
            // lost with it.
            let waiting = if repeatable && attempt == 0 { front.pool.take(choice.place) } else { None };
            let sender = match waiting {
                Some(sender) => sender,
                None => match connect(choice.place, settings.connect_time, settings.idle).await {
                    Ok(sender) => sender,
                    Err(_) => {
                        front.counters.add(Counter::NotConnected);
                        front.rest(server);
                        not.push(server);
                        continue;
                    }
                },
            };
            same = Some(choice.clone());
            match self.attempt(choice, sender, body, &progress).await {
                Attempt::Answered(passed) => return Ok(*passed),
                Attempt::Untouched(whole) => body = whole,
                Attempt::Broken(status, why) => {
                    // The same server is tried once more, on a new connection. If the server lives, it has the session, and
                    // only the old connection was closed; if not, it refuses. A request that kills one server is not given
                    // to the next.
                    let again = repeatable && status == StatusCode::BAD_GATEWAY;
                    if !again || std::mem::replace(&mut broke_off, true) {
                        return Err(self.broken(status, why));
                    }
                    body = Guarded::nothing(settings.idle);
                }
            }
        }
        front.counters.add(Counter::NoServer);
        let mut reply = refusal(StatusCode::SERVICE_UNAVAILABLE, "no server can take this request now");
        reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(self.shared.settings.retry_after));
        Err(reply)
    }

    /// Servers that do not accept connections at this moment are tried only if there is no other server.
    fn choose(&self, not: &[ServerId]) -> Option<Choice> {
        let snapshot = self.shared.snapshot();
        let now = self.front.clock.now();
        let view = View { now, shared: self.shared, snapshot: &snapshot, places: &self.settings.places };
        let choose =
            |not: &[ServerId]| self.front.chooser.choose(view, self.asked, not, &mut self.front.chance());
        let resting = self.front.resting();
        let others = if resting.is_empty() { None } else { choose(&[not, &resting].concat()) };
        others.or_else(|| choose(not))
    }

    async fn attempt(
        &self,
        choice: Choice,
        mut sender: Sender,
        body: Guarded,
        progress: &Progress,
    ) -> Attempt {
        let mut request = Request::new(body);
        *request.method_mut() = self.parts.method.clone();
        *request.uri_mut() = self.parts.uri.clone();
        *request.headers_mut() = self.parts.headers.clone();
        progress.note();
        let sent = {
            let mut sending = pin!(sender.try_send_request(request));
            loop {
                // While the body still moves, the server cannot be expected to answer.
                let end = progress.last() + self.settings.idle;
                match timeout_at(end, sending.as_mut()).await {
                    Ok(sent) => break Some(sent),
                    Err(_) if progress.last() + self.settings.idle > Instant::now() => {}
                    Err(_) => break None,
                }
            }
        };
        match sent {
            Some(Ok(response)) => Attempt::Answered(Box::new(Passed { response, choice, sender })),
            Some(Err(mut error)) => match error.take_message() {
                Some(whole) => Attempt::Untouched(whole.into_body()),
                None => {
                    let server =
                        (StatusCode::BAD_GATEWAY, "the server closed the connection without an answer");
                    let (status, why) = progress.wrong().unwrap_or(server);
                    Attempt::Broken(status, why)
                }
            },
            None => Attempt::Broken(StatusCode::GATEWAY_TIMEOUT, "the server was silent for too long"),
        }
    }

    fn broken(&self, status: StatusCode, why: &'static str) -> Reply {
        self.front.counters.add(match status {
            StatusCode::GATEWAY_TIMEOUT => Counter::Silent,
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::BAD_REQUEST => Counter::Refused,
            _ => Counter::BadGateway,
        });
        refusal(status, why)
    }
}

impl Front {
    /// The server's answer, as the client gets it.
    fn answered(
        self: &Arc<Front>,
        settings: &Http,
        mut response: Response<Incoming>,
        choice: &Choice,
        mut sender: Sender,
        upgraded: Option<(HeaderValue, OnUpgrade)>,
        place: Permit,
    ) -> Reply {
        self.counters.add(match choice.found {
            Found::Tag => Counter::ByTag,
            Found::Memory => Counter::ByMemory,
            Found::Hash => Counter::ByHash,
            Found::Selected => Counter::NewSession,
            Found::TakenOver => Counter::TakenOver,
        });
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let to = match (switches, upgraded) {
            (true, None) => {
                self.counters.add(Counter::BadGateway);
                return refusal(
                    StatusCode::BAD_GATEWAY,
                    "the server changed the protocol without being asked",
                );
            }
            (true, Some((asked, client))) => {
                self.counters.add(Counter::Upgraded);
                place.upgraded.store(true, Relaxed);
                let server = hyper::upgrade::on(&mut response);
                let idle = settings.upgraded_idle;
                tokio::spawn(async move {
                    tunnel::run(client, server, idle).await;
                    drop(place);
                });
                Some(response.headers().get(hyper::header::UPGRADE).cloned().unwrap_or(asked))
            }
            (false, _) => {
                let (front, at) = (Arc::clone(self), choice.place);
                tokio::spawn(async move {
                    // After the end of the body.
                    if sender.ready().await.is_ok() {
                        front.pool.put(at, sender);
                    }
                });
                None
            }
        };
        let (mut parts, body) = response.into_parts();
        parts.version = Version::HTTP_11;
        head::end_to_end(&mut parts.headers, to.as_ref());
        let cookie = choice
            .cookie
            .as_ref()
            .map(|value| format!("{}={value}; Path=/; HttpOnly; SameSite=Lax", settings.names.cookie));
        if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok()) {
            parts.headers.append(SET_COOKIE, cookie);
        }
        Response::from_parts(parts, Either::Left(Guarded::of_response(body, settings.idle)))
    }
}

fn refusal(status: StatusCode, why: &'static str) -> Reply {
    let mut reply = Response::new(Either::Right(Full::new(Bytes::from(format!("{why}\n")))));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    reply
}
