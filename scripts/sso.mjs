// The provider of scripts/sso.sh, and the browser that logs in by it.
import assert from "node:assert/strict";

const GROUPS = { anna: ["soc", "staff"], bert: ["staff"] };

async function provider() {
  const { default: Provider } = await import("oidc-provider");
  const http = await import("node:http");
  const server = http.createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const oidc = new Provider(issuer, {
    clients: [
      {
        client_id: "sidetap",
        client_secret: "a-secret-of-the-client-of-sidetap",
        redirect_uris: ["http://127.0.0.1:18642/api/v1/session/sso/callback"],
        response_types: ["code"],
        grant_types: ["authorization_code"],
      },
    ],
    claims: { openid: ["sub"], profile: ["preferred_username", "groups"] },
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, preferred_username: id, groups: GROUPS[id] ?? [] }) }),
    features: { devInteractions: { enabled: true } },
  });
  server.on("request", oidc.callback());
  console.log(`listening ${issuer}`);
}

/** A browser: keeps cookies by origin, goes where it is sent. */
class Browser {
  cookies = new Map();

  async ask(url, options = {}) {
    const origin = new URL(url).origin;
    const jar = this.cookies.get(origin) ?? new Map();
    this.cookies.set(origin, jar);
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
    const response = await fetch(url, { redirect: "manual", ...options, headers: { ...(cookie ? { cookie } : {}), ...options.headers } });
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      if (value === "") jar.delete(name);
      else jar.set(name, value);
    }
    return response;
  }

  /** Goes on until nobody sends it elsewhere; gives the last address and answer. */
  async go(url, options, stop = () => false) {
    let response = await this.ask(url, options);
    for (let n = 0; n < 12 && response.headers.get("location"); n += 1) {
      url = new URL(response.headers.get("location"), url).href;
      if (stop(url)) return { url, response };
      response = await this.ask(url);
    }
    return { url, response };
  }

  /** Fills in the provider's forms; gives the address of the console's callback. */
  async logIn(console_, who) {
    const callback = (url) => url.startsWith(`${console_}/api/v1/session/sso/callback`);
    let at = await this.go(`${console_}/api/v1/session/sso`, {}, callback);
    for (let n = 0; n < 4 && !callback(at.url); n += 1) {
      const page = await at.response.text();
      const action = /<form[^>]*action="([^"]+)"/.exec(page)?.[1];
      assert.ok(action, `no form at ${at.url}: ${page.slice(0, 300)}`);
      const prompt = /name="prompt" value="([^"]+)"/.exec(page)?.[1] ?? "login";
      const body = new URLSearchParams(prompt === "login" ? { prompt, login: who, password: "x" } : { prompt });
      at = await this.go(new URL(action, at.url).href, { method: "POST", body }, callback);
    }
    assert.ok(callback(at.url), at.url);
    return at.url;
  }
}

async function drive(console_, token) {
  const json = { "Content-Type": "application/json" };
  const admin = new Browser();
  assert.deepEqual(await (await admin.ask(`${console_}/api/v1/setup`)).json(), { required: true, session: false, sso: "Test" });
  const made = await admin.ask(`${console_}/api/v1/setup`, { method: "POST", headers: json, body: JSON.stringify({ token, name: "admin", password: "correct horse battery" }) });
  assert.equal(made.status, 201);
  const { csrf } = await made.json();

  const anna = new Browser();
  const back = await anna.logIn(console_, "anna");
  const thief = new Browser();
  assert.equal((await thief.ask(back)).headers.get("location"), "/?sso=refused", "another browser's log-in is refused");
  const entered = await anna.ask(back);
  assert.deepEqual([entered.status, entered.headers.get("location")], [303, "/"]);
  const me = await (await anna.ask(`${console_}/api/v1/session`)).json();
  assert.deepEqual(me.user, { name: "anna", role: "analyst" });
  assert.equal((await anna.ask(back)).headers.get("location"), "/?sso=refused", "a code is worth something once");

  const bert = new Browser();
  const refused = await bert.ask(await bert.logIn(console_, "bert"));
  assert.equal(refused.headers.get("location"), "/?sso=no-role");
  assert.equal((await bert.ask(`${console_}/api/v1/session`)).status, 401);

  const change = { method: "PATCH", headers: { ...json, "X-Sidetap-CSRF": csrf }, body: JSON.stringify({ disabled: true }) };
  assert.equal((await admin.ask(`${console_}/api/v1/users/anna`, change)).status, 204);
  assert.equal((await anna.ask(`${console_}/api/v1/session`)).status, 401, "who is disabled is out");
  const again = new Browser();
  const shut = await again.ask(await again.logIn(console_, "anna"));
  assert.equal(shut.headers.get("location"), "/?sso=refused", "and does not come in again");
  const audit = await (await admin.ask(`${console_}/api/v1/audit?action=session.sso`)).json();
  assert.equal(audit.rows[0].actor, "anna");
  console.log("log-in by a provider: anna is let in as analyst, bert and a thief are not, and anna is not once she is disabled");
}

const [what, ...rest] = process.argv.slice(2);
await (what === "provider" ? provider() : drive(...rest));
