// Telephones in a web page: JsSIP user agents that do what the test says and tell it what happens to them.
// The test is asked for its commands at /next, and hears events, in their order, at /event.

const telephones = {};
let told = Promise.resolve();

function tell(telephone, event, more = {}) {
  const body = JSON.stringify({ telephone, event, ...more });
  told = told.then(() => fetch("/event", { method: "POST", body }));
}

const MEDIA = { mediaConstraints: { audio: true, video: false } };

function follow(name, session) {
  telephones[name].session = session;
  const on = (event, more) => session.on(event, (data) => tell(name, event, more(data)));
  on("progress", ({ response }) => ({ status: response?.status_code }));
  on("accepted", ({ response }) => ({ status: response?.status_code }));
  on("confirmed", ({ originator }) => ({ originator }));
  on("ended", ({ originator, cause }) => ({ originator, cause }));
  on("failed", ({ originator, cause, message }) => ({ originator, cause, status: message?.status_code }));
  on("peerconnection:setremotedescriptionfailed", (error) => ({ error: String(error) }));
}

const commands = {
  start({ telephone, url, user, domain, password, register }) {
    const agent = new JsSIP.UA({
      sockets: [new JsSIP.WebSocketInterface(url)],
      uri: `sip:${user}@${domain}`,
      password,
      register,
      connection_recovery_min_interval: 1,
      connection_recovery_max_interval: 1,
    });
    telephones[telephone] = { agent };
    agent.on("connected", () => tell(telephone, "connected"));
    agent.on("disconnected", ({ error }) => tell(telephone, "disconnected", { error }));
    agent.on("registered", ({ response }) => tell(telephone, "registered", { contacts: response.getHeaders("Contact") }));
    agent.on("unregistered", () => tell(telephone, "unregistered"));
    agent.on("registrationFailed", ({ cause }) => tell(telephone, "registrationFailed", { cause }));
    agent.on("newRTCSession", ({ originator, session, request }) => {
      follow(telephone, session);
      if (originator === "remote") tell(telephone, "incoming", { from: request.from.uri.user });
    });
    agent.start();
  },
  call: ({ telephone, to }) => telephones[telephone].agent.call(to, MEDIA),
  answer: ({ telephone }) => telephones[telephone].session.answer(MEDIA),
  refuse: ({ telephone, status }) => telephones[telephone].session.terminate({ status_code: status }),
  hangUp: ({ telephone }) => telephones[telephone].session.terminate(),
  // JsSIP closes its connection two seconds later: nobody waits for that, and the next telephone may bear the name by then.
  stop({ telephone }) {
    const { agent } = telephones[telephone];
    agent.removeAllListeners("disconnected");
    agent.stop();
  },
};

async function serve() {
  JsSIP.debug.enable("JsSIP:Transport JsSIP:WebSocketInterface");
  tell("page", "ready", { version: JsSIP.version });
  for (;;) {
    const orders = await (await fetch("/next")).json();
    for (const order of orders) {
      try {
        commands[order.command](order);
      } catch (error) {
        tell(order.telephone, "error", { command: order.command, error: String(error) });
      }
    }
  }
}

serve();
