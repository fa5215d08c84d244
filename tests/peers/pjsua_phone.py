"""A telephone of pjsip's for one call over TLS, as a process of its own: pjsua.py starts it, with its commands as JSON.

It prints a line for each final answer in the call, `UAC INVITE 200`, except the answer to its own BYE, and at the end `ended
STATUS`."""

import json
import sys
import time

import pjsua2 as pj

SECONDS = 15
# No side hangs up before the session was changed.
CHANGE_AFTER_SECONDS, TALK_SECONDS = 0.3, 1


def say(*words):
    print(*words, flush=True)


class Call(pj.Call):
    ended = confirmed_at = None

    def onCallState(self, prm):
        info = self.getInfo()
        if info.state == pj.PJSIP_INV_STATE_CONFIRMED:
            self.confirmed_at = time.monotonic()
        elif info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self.ended = info.lastStatusCode

    def onCallTsxState(self, prm):
        transaction = prm.e.body.tsxState.tsx
        if transaction.state in (pj.PJSIP_TSX_STATE_COMPLETED, pj.PJSIP_TSX_STATE_TERMINATED) and transaction.statusCode >= 200:
            say("UAC" if transaction.role == pj.PJSIP_ROLE_UAC else "UAS", transaction.method, transaction.statusCode)


class Account(pj.Account):
    call = None

    def onIncomingCall(self, prm):
        self.call = Call(self, prm.callId)
        answer = pj.CallOpParam()
        for status in (180, 200):
            answer.statusCode = status
            self.call.answer(answer)


def start(task):
    endpoint, configuration = pj.Endpoint(), pj.EpConfig()
    endpoint.libCreate()
    configuration.uaConfig.threadCnt, configuration.uaConfig.mainThreadOnly = 0, True
    configuration.logConfig.level, configuration.logConfig.consoleLevel = 5, 5
    endpoint.libInit(configuration)
    endpoint.audDevManager().setNullDev()
    transport = pj.TransportConfig()
    transport.boundAddress, transport.port = "127.0.0.1", task["port"]
    tls = transport.tlsConfig
    tls.certFile, tls.privKeyFile, tls.CaListFile, tls.verifyServer = task["certificate"], task["key"], task["authority"], True
    endpoint.transportCreate(pj.PJSIP_TRANSPORT_TLS, transport)
    endpoint.libStart()
    settings = pj.AccountConfig()
    settings.idUri = f"sips:{task['user']}@127.0.0.1:{task['port']}"
    # A server's Contact names its listener, and not the port of the connection that it opens.
    settings.natConfig.contactUseSrcPort = 0
    settings.sipConfig.proxies.append(f"<sips:{task['proxy']};lr>")
    account = Account()
    account.create(settings)
    return endpoint, account


def main():
    task = json.loads(sys.argv[1])
    endpoint, account = start(task)
    say("ready")
    changes, deadline, hung_up = list(task["changes"]), time.monotonic() + SECONDS, False
    if task["dial"]:
        account.call = Call(account)
        account.call.makeCall(task["dial"], pj.CallOpParam(True))
    while time.monotonic() < deadline and (not account.call or account.call.ended is None):
        endpoint.libHandleEvents(10)
        call = account.call
        talked = time.monotonic() - call.confirmed_at if call and call.confirmed_at else 0
        if changes and talked > CHANGE_AFTER_SECONDS:
            {"reinvite": call.reinvite, "update": call.update}[changes.pop()](pj.CallOpParam(True))
        if task["hangs_up"] and talked > TALK_SECONDS and not hung_up:
            hung_up = True
            call.hangup(pj.CallOpParam())
    # Waits until the BYE is answered.
    for _ in range(30):
        endpoint.libHandleEvents(10)
    say("ended", account.call and account.call.ended)
    account.call = None
    endpoint.libDestroy()


if __name__ == "__main__":
    main()
