"""SIPp scenarios, put together from steps.

A scenario is a list of steps, so that a call reads as it happens: INVITE, 180, 200, ACK, BYE. The caller's steps follow
the Record-Route set that came with the answer, as every real telephone does."""

from xml.sax.saxutils import quoteattr

SDP = """
v=0
o=- 1 1 IN IP[media_ip_type] [media_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 8
a=rtpmap:8 PCMA/8000
"""

REASONS = {100: "Trying", 180: "Ringing", 200: "OK", 302: "Moved Temporarily", 486: "Busy Here", 487: "Request Terminated", 500: "Server Internal Error", 503: "Service Unavailable"}


def write(path, name, steps):
    """Writes the scenario; `[branch-INVITE]` becomes SIPp's relative reference to the INVITE before it."""
    invite, lines = 0, []
    for index, step in enumerate(steps):
        if "\nINVITE " in step:
            invite = index
        lines.append(step.replace("[branch-INVITE]", f"[branch-{index - invite}]"))
    path.write_text(f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name={quoteattr(name)}>\n' + "\n".join(lines) + "\n</scenario>\n")
    return path


def _send(lines, body, repeated):
    media = "Content-Type: application/sdp\n" if body else ""
    attribute = ' retrans="500"' if repeated else ""
    return f"<send{attribute}><![CDATA[\n" + "\n".join(filter(None, lines)) + f"\n{media}Content-Length: [len]\n{body or chr(10)}]]></send>"


# The caller.


def invite(body=SDP, headers=""):
    """The INVITE that makes the dialog."""
    return _from_caller("INVITE", 1, "sip:service@[remote_ip]:[remote_port]", "", headers, body)


def within(method, number, body="", headers=""):
    """A later request of the caller within the dialog."""
    return _from_caller(method, number, "[next_url]", "[routes]", headers, body)


def cancel():
    return _from_caller("CANCEL", 1, "sip:service@[remote_ip]:[remote_port]", "", "", "", branch="[branch-INVITE]", to="")


def ack_failure():
    """The ACK to a final answer of 300 or more belongs to the INVITE's transaction (RFC 3261 §17.1.1.3)."""
    return _from_caller("ACK", 1, "sip:service@[remote_ip]:[remote_port]", "", "", "", branch="[branch-INVITE]")


def _from_caller(method, number, uri, routes, headers, body, branch="[branch]", to="[peer_tag_param]"):
    contact = "Contact: <sip:caller@[local_ip]:[local_port];transport=[transport]>" if method in ("INVITE", "UPDATE") else ""
    lines = [
        f"{method} {uri} SIP/2.0",
        f"Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch};rport",
        routes,
        "From: caller <sip:caller@[local_ip]:[local_port]>;tag=[pid]c[call_number]",
        f"To: service <sip:service@[remote_ip]:[remote_port]>{to}" if uri == "[next_url]" or method == "ACK" else "To: service <sip:service@[remote_ip]:[remote_port]>",
        "Call-ID: [call_id]",
        f"CSeq: {number} {method}",
        contact,
        "Max-Forwards: 70",
        headers,
    ]
    return _send(lines, body, method != "ACK")


# The server.


def respond(status, body="", headers="", to_tag=";tag=[pid]s[call_number]", repeated=False):
    """An answer to the request that came last. `to_tag` is empty within a dialog, where To has one already."""
    lines = [
        f"SIP/2.0 {status} {REASONS[status]}",
        "[last_Via:]",
        "[last_Record-Route:]" if status < 300 else "",
        "[last_From:]",
        f"[last_To:]{to_tag}",
        "[last_Call-ID:]",
        "[last_CSeq:]",
        "Contact: <sip:service@[local_ip]:[local_port];transport=[transport]>",
        headers,
    ]
    return _send(lines, body, repeated)


def agree(body=""):
    """200 to a request within a dialog."""
    return respond(200, body, to_tag="", repeated=bool(body))


def server_bye():
    """The server hangs up, along the route set of the INVITE."""
    lines = [
        "BYE [next_url] SIP/2.0",
        "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport",
        "[routes]",
        # SIPp knows the server's peer only by the connection: [remote_ip] is empty there, and a telephone cannot read such a
        # URI.
        "From: service <sip:service@[local_ip]:[local_port]>;tag=[pid]s[call_number]",
        "To: caller <sip:caller@caller.invalid>[$caller_tag]",
        "Call-ID: [call_id]",
        "CSeq: 1 BYE",
        "Max-Forwards: 70",
    ]
    return _send(lines, "", True)


# Both.


def expect(what, routes=False, optional=False, action=""):
    """Waits for a status (a number) or for a request (its method)."""
    kind = "response" if isinstance(what, int) else "request"
    flags = (' rrs="true"' if routes else "") + (' optional="true"' if optional else "")
    return f'<recv {kind}="{what}"{flags}>{action}</recv>'


REMEMBER_CALLER_TAG = '<action><ereg regexp=";tag=[^;]*" search_in="hdr" header="From:" assign_to="caller_tag"/></action>'


def pause(milliseconds=None):
    """Without a number: as long as SIPp's option -d says."""
    return "<pause/>" if milliseconds is None else f'<pause milliseconds="{milliseconds}"/>'


def linger(milliseconds):
    """Waits for repeated messages after the call is counted."""
    return f'<timewait milliseconds="{milliseconds}"/>'


# Whole calls.


def calling(*talk, headers="", body=SDP, end=None):
    """A caller whose call is answered; `talk` happens between the ACK and the end. A caller that is hung up on has no talk
    time: on a busy machine the BYE could come before its end, and SIPp would not expect it."""
    talk = talk or ([] if end else [pause()])
    ringing = [expect(100, optional=True), expect(180, optional=True)]
    end = end or [within("BYE", 9), expect(200)]
    return [invite(body, headers), *ringing, expect(200, routes=True), within("ACK", 1), *talk, *end]


def answering(*talk, ring_ms=0, linger_ms=0, end=None, crossed=False):
    """The server of such a call. `crossed`: a copy of the INVITE may come after the 200, and even after the ACK: two workers may
    have the two (RFC 6026 §7.1 has a server absorb such copies). SIPp takes it for a copy only if it has the same bytes, and our
    Via has a time in it."""
    ringing = [respond(180)] + ([pause(ring_ms)] if ring_ms else [])
    end = end or [expect("BYE"), agree()]
    begin = [expect("INVITE", routes=True, action=REMEMBER_CALLER_TAG if end != [expect("BYE"), agree()] else "")]
    copy = [expect("INVITE", optional=True)] if crossed else []
    return [*begin, *ringing, respond(200, SDP, repeated=True), *copy, expect("ACK"), *copy, *talk, *end] + ([linger(linger_ms)] if linger_ms else [])


def taking_over(stay_ms=10, **words):
    """A server that also hangs up calls that it does not know, as a server does that takes over for another. For `stay_ms`,
    repeated messages belong to the finished call and begin no new one."""
    stranger = ['<recv request="ACK" optional="true" next="stranger"/>', '<recv request="BYE" optional="true" next="hang_up"/>']
    leave = ['<nop next="end"/>', '<label id="stranger"/>', expect("BYE"), '<label id="hang_up"/>', agree(), '<label id="end"/>', linger(stay_ms)]
    return [*stranger, *answering(crossed=True, **words), *leave]
