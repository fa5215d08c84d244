//! Status codes and the one type that every crate turns its errors into.

/// An answer that the load manager gives itself. Built only by the constructors, so that no handler spells out a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    status: u16,
    reason: &'static str,
    retry_after: Option<u32>,
}

impl Reject {
    const fn of(status: u16, reason: &'static str) -> Reject {
        Reject { status, reason, retry_after: None }
    }

    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase: short, says what is wrong (`Bad CSeq`), never repeats the message.
    pub const fn reason(&self) -> &'static str {
        self.reason
    }

    /// Retry-After in seconds.
    pub const fn retry_after(&self) -> Option<u32> {
        self.retry_after
    }

    /// With the reason phrase of RFC 3261 §21: for a user agent that answers as configured, with 200 or 486 for example. A
    /// number that is not a status becomes 500.
    pub const fn with_status(status: u16) -> Reject {
        let reason = match status {
            100 => "Trying",
            180 => "Ringing",
            181 => "Call Is Being Forwarded",
            182 => "Queued",
            183 => "Session Progress",
            200 => "OK",
            202 => "Accepted",
            300 => "Multiple Choices",
            301 => "Moved Permanently",
            302 => "Moved Temporarily",
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            406 => "Not Acceptable",
            407 => "Proxy Authentication Required",
            408 => "Request Timeout",
            410 => "Gone",
            413 => "Request Entity Too Large",
            415 => "Unsupported Media Type",
            420 => "Bad Extension",
            421 => "Extension Required",
            423 => "Interval Too Brief",
            440 => "Max-Breadth Exceeded",
            480 => "Temporarily Unavailable",
            481 => "Call/Transaction Does Not Exist",
            482 => "Loop Detected",
            483 => "Too Many Hops",
            484 => "Address Incomplete",
            485 => "Ambiguous",
            486 => "Busy Here",
            487 => "Request Terminated",
            488 => "Not Acceptable Here",
            491 => "Request Pending",
            500 => "Server Internal Error",
            501 => "Not Implemented",
            502 => "Bad Gateway",
            503 => "Service Unavailable",
            504 => "Server Time-out",
            600 => "Busy Everywhere",
            603 => "Decline",
            604 => "Does Not Exist Anywhere",
            606 => "Not Acceptable",
            _ if status >= 100 && status < 700 => "Refused",
            _ => return Reject::of(500, "Server Internal Error"),
        };
        Reject::of(status, reason)
    }

    /// Not a refusal: the request is in progress (RFC 3261 §17.2.1). It stops the repetitions of a held INVITE.
    pub const fn trying() -> Reject {
        Reject::of(100, "Trying")
    }

    /// Not a refusal: the answer to an OPTIONS for the load manager itself, or to one that has no hops left
    /// (RFC 3261 §11, §16.3).
    pub const fn ok() -> Reject {
        Reject::of(200, "OK")
    }

    pub const fn bad_request(reason: &'static str) -> Reject {
        Reject::of(400, reason)
    }

    /// The sender is not allowed to ask for this.
    pub const fn forbidden(reason: &'static str) -> Reject {
        Reject::of(403, reason)
    }

    pub const fn not_found() -> Reject {
        Reject::of(404, "Not Found")
    }

    pub const fn timeout() -> Reject {
        Reject::of(408, "Request Timeout")
    }

    /// The Request-URI is neither `sip` nor `sips` (RFC 3261 §16.3, step 2).
    pub const fn unsupported_scheme() -> Reject {
        Reject::of(416, "Unsupported URI Scheme")
    }

    /// Proxy-Require names extensions, and a load manager supports none; [`crate::answer`] lists them in Unsupported (RFC
    /// 3261 §16.3, step 5).
    pub const fn bad_extension() -> Reject {
        Reject::of(420, "Bad Extension")
    }

    /// The connection of the telephone that a flow token names is gone (RFC 5626 §11.5).
    pub const fn flow_failed() -> Reject {
        Reject::of(430, "Flow Failed")
    }

    pub const fn no_such_transaction() -> Reject {
        Reject::of(481, "Call/Transaction Does Not Exist")
    }

    /// The INVITE was cancelled (RFC 3261 §9.2).
    pub const fn request_terminated() -> Reject {
        Reject::of(487, "Request Terminated")
    }

    /// The request came back to us unchanged (RFC 3261 §16.3, step 4).
    pub const fn loop_detected() -> Reject {
        Reject::of(482, "Loop Detected")
    }

    /// Max-Forwards is 0 (RFC 3261 §16.3, step 3).
    pub const fn too_many_hops() -> Reject {
        Reject::of(483, "Too Many Hops")
    }

    pub const fn server_error(reason: &'static str) -> Reject {
        Reject::of(500, reason)
    }

    /// No server has room (SPEC A5).
    pub const fn no_server(retry_after: u32) -> Reject {
        Reject { status: 503, reason: "No Server Available", retry_after: Some(retry_after) }
    }

    /// Every server that takes new calls has as many as it may have.
    pub const fn limits_reached(retry_after: u32) -> Reject {
        Reject { status: 503, reason: "Limits Of Servers Reached", retry_after: Some(retry_after) }
    }

    /// The version of the request is not SIP/2.0 (RFC 3261 §21.5.6).
    pub const fn version() -> Reject {
        Reject::of(505, "Version Not Supported")
    }

    pub const fn message_too_large() -> Reject {
        Reject::of(513, "Message Too Large")
    }
}
