// The console in Debian's Chromium over a store filled from the sample: log in, find an endpoint, read a campaign, simulate and
// save a policy, act and undo. On the way: axe finds nothing, the console of the browser says nothing, nobody else is asked for anything.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { ask, asked, base, binary, dir, go, looks, page, password, said, settled, start, stop, taken, token } from "./browser.mjs";

before(start);
after(stop);

test("the first administrator is made with the token, logs out and in", async () => {
  await page.goto(base);
  await page.getByRole("heading", { name: "Create the administrator" }).waitFor();
  await looks("setup");
  await page.getByLabel("One-time token").fill(token);
  await page.getByLabel("Name").fill("anna");
  await page.getByLabel("Password").fill("short");
  await page.getByRole("button", { name: "Create administrator" }).click();
  await page.getByRole("alert").filter({ hasText: "12 characters" }).waitFor();
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Create administrator" }).click();
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  await looks("log-in");
  await page.getByLabel("Name").fill("anna");
  await page.getByLabel("Password").fill("not the password");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("alert").waitFor();
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  // The form that had the focus is gone: it is on the page, and the next key is read there.
  assert.equal(await page.evaluate("document.activeElement.id"), "main");
});

test("the overview tells of traffic, campaigns and capture", async () => {
  await page.getByRole("heading", { name: "Worst campaigns" }).waitFor();
  await looks("overview");
  // From the first packet to the last, as the report says; no time lies over what it belongs to.
  assert.match(await page.locator(".lead").innerText(), /^Captured 2026-10-13 09:00:00 – 09:11:11/);
  const over = await page.locator(".timeline > li").evaluateAll((all) => all.filter((one) => one.querySelector("time").getBoundingClientRect().right > one.children[1].getBoundingClientRect().left).length);
  assert.equal(over, 0, "times lie over their lines");
  assert.ok((await page.locator(".tile").allInnerTexts()).some((text) => /^2\d\s*campaigns/.test(text)));
  await page.getByText("As a table").click();
  assert.match(await taken(page.getByRole("button", { name: /^CSV of Requests/ })), /^time,Malicious,Suspicious,Automated,Benign\r\n2026-10-13T09:00:00\.000Z,\d/);
  assert.ok((await page.locator("details table tbody tr").count()) > 10);
  // What was looked closer at is in the address.
  const { x, y, width, height } = await page.locator(".chart .u-over").boundingBox();
  await page.mouse.move(x + width * 0.3, y + height / 2);
  await page.mouse.down();
  await page.mouse.move(x + width * 0.5, y + height / 2, { steps: 4 });
  await page.mouse.up();
  await page.waitForURL(/from=2026-10-13T09%3A0\d.*to=2026-10-13T09%3A0\d/);
  await page.reload();
  await looks("overview-zoomed");
  await page.getByText("As a table").click();
  const first = await page.locator("details table tbody tr").first().innerText();
  assert.ok(/2026-10-13 09:0[2-5]/.test(first), first);
  await page.getByRole("button", { name: "Show all" }).click();
  await page.waitForURL((url) => url.search === "");
});

test("an endpoint is found by the keyboard, and its page tells what it gives away", async () => {
  await page.keyboard.press("g");
  await page.keyboard.press("i");
  await page.getByRole("heading", { name: "Inventory" }).waitFor();
  await looks("hosts");
  await page.getByRole("link", { name: "Site map" }).click();
  await settled();
  await looks("site-map");
  const leaves = page.locator(".tree .leaf");
  const [all, word] = [await leaves.count(), /[a-z]{4,}/.exec(await leaves.last().innerText())[0]];
  await page.getByLabel("Path contains").fill(word);
  await page.waitForURL(new RegExp(`view=map.*q=${word}`));
  await page.reload();
  await settled();
  assert.equal(await page.getByLabel("Path contains").inputValue(), word);
  const some = await leaves.count();
  assert.ok(some > 0 && some < all, `${some} of ${all} have ${word}`);
  await page.getByRole("link", { name: "All endpoints" }).click();
  await page.getByLabel("Contains").fill("internal/env");
  await page.waitForURL(/q=internal/);
  await page.getByRole("link", { name: /\/internal\/env/ }).click();
  await page.getByRole("heading", { name: "Sensitive data", exact: true }).waitFor();
  assert.match(await page.locator("main").innerText(), /aws-secret-key/);
  await looks("endpoint");
});

test("a filtered list is a link, and is exported whole", async () => {
  await go("/inventory?view=table&method=POST&sort=-calls", "endpoints");
  const methods = new Set(await page.locator("tbody .method").allInnerTexts());
  assert.deepEqual([...methods], ["POST"]);
  const href = await page.getByRole("link", { name: "CSV" }).getAttribute("href");
  const { text, total } = await page.evaluate(async (href) => {
    const total = (await (await fetch(href.replace("format=csv", "limit=1"))).json()).total;
    return { text: await (await fetch(href)).text(), total };
  }, href);
  assert.equal(text.trim().split("\n").length, total + 1);
});

test("a campaign is read: story, members, fingerprints, reasons with evidence, exchanges", async () => {
  await go("/campaigns", "campaigns");
  await page.getByRole("button", { name: "Columns" }).click();
  await page.getByLabel("Recognised").check();
  await page.waitForURL(/cols=/);
  await page.reload();
  await settled();
  await page.getByRole("columnheader", { name: "Recognised" }).waitFor();
  await page.getByRole("button", { name: "Columns" }).click();
  await page.getByLabel("Recognised").uncheck();
  await page.waitForURL((url) => url.search === "");
  await page.evaluate("document.activeElement.blur()");
  await page.keyboard.press("j");
  const first = await page.evaluate("document.activeElement.closest('tr')?.rowIndex");
  await page.keyboard.press("j");
  assert.deepEqual([first, await page.evaluate("document.activeElement.closest('tr')?.rowIndex")], [1, 2], "rows by j");
  await page.locator("tbody").getByRole("link", { name: /Credential stuffing/ }).first().click();
  await page.getByRole("heading", { name: "What happened" }).waitFor();
  await looks("campaign");
  assert.match(await page.locator(".story").first().innerText(), /clients? at \d+ address/);
  await page.getByRole("button", { name: /^Evidence/ }).first().click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("heading", { name: "Request", exact: true }).waitFor();
  await looks("evidence");
  // What a reason rests on can be taken away as a file.
  const file = await page.request.get(new URL(await dialog.getByRole("link", { name: "CSV" }).getAttribute("href"), page.url()).href);
  assert.equal(file.headers()["content-type"], "text/csv; charset=utf-8");
  assert.match(await file.text(), /^@timestamp,sidetap\.id,client\.ip,http\.request\.method,.*\r\n\d{4}-/);
  // The dialog and the exchange that is open in it are in the address; keys go on though nothing in it has the focus.
  await page.waitForURL(/evidence=/);
  await page.keyboard.press("j");
  await dialog.getByText(/^2 of \d+$/).waitFor();
  await page.waitForURL(/exchange=/);
  await page.reload();
  await dialog.getByText(/^2 of \d+$/).waitFor();
  await page.keyboard.press("Escape");
  await page.waitForURL((url) => !/evidence|exchange/.test(url.search));
  await page.goBack();
  await page.goForward();
  await dialog.waitFor({ state: "hidden" });
  for (const tab of ["Members", "Fingerprints", "Exchanges"]) {
    await page.getByRole("navigation", { name: "Parts of the campaign" }).getByRole("link", { name: new RegExp(`^${tab}`) }).click();
    await settled();
    await looks(`campaign-${tab.toLowerCase()}`);
    if (tab === "Fingerprints") assert.match(await taken(page.getByRole("button", { name: "CSV of Fingerprints" })), /fingerprint.*\r\n.*s2-/);
  }
  await page.getByText("1 of").first().waitFor();
  await page.evaluate("document.activeElement.blur()");
  for (const [key, at] of [["j", 2], ["j", 3], ["k", 2]]) {
    await page.keyboard.press(key);
    await page.getByText(new RegExp(`^${at} of \\d+$`)).waitFor();
  }
  await page.reload();
  await page.getByText(/^2 of \d+$/).waitFor();
  const alone = await page.getByTitle("A page of this exchange alone").getAttribute("href");
  const campaign = page.url();
  await go(alone, "exchange");
  await page.getByRole("heading", { name: "Request", exact: true }).waitFor();
  await page.goto(campaign);
  await settled();
  // Each exchange has masked heads and bodies, and says of how many it was chosen.
  const { rows, sample } = await ask(`/campaigns/${page.url().match(/campaigns\/([^/?]+)/)[1]}/exchanges`);
  assert.ok(sample.seen >= sample.kept && sample.kept > 5, JSON.stringify(sample));
  assert.ok(rows.some((row) => row.http.request.headers.length > 2 && row.http.response.body.content));
});

test("an actor's score is explained, and asked what if", async () => {
  await go("/actors?intent=malicious&sort=-score", "actors");
  await page.locator("tbody a").first().click();
  await page.getByRole("heading", { name: "Reasons" }).waitFor();
  await page.getByRole("group", { name: "Indicators to leave out" }).getByRole("button").first().click();
  await page.locator("dt", { hasText: "Harm" }).waitFor();
  await looks("actor");
  await page.waitForURL(/without=/);
  await page.reload();
  await page.locator("dt", { hasText: "Harm" }).waitFor();
  assert.equal(await page.getByRole("group", { name: "Indicators to leave out" }).getByRole("button", { pressed: true }).count(), 1);
});

test("a finding is accepted for a time and leaves the list", async () => {
  await go("/findings", "findings");
  const { total } = await ask("/findings?limit=1");
  await page.locator("tbody a").first().click();
  await page.getByRole("heading", { name: "What it is" }).waitFor();
  await looks("finding");
  await page.getByLabel("State").selectOption("accepted");
  await page.getByLabel("Note").fill("Known, and behind the firewall");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Saved").waitFor();
  assert.equal((await ask("/findings?limit=1")).total, total - 1);
  assert.equal((await ask("/findings?limit=1&status=accepted")).total, 1);
  // Opened again, and a note to what is open already.
  const { id } = (await ask("/findings?limit=1&status=accepted")).rows[0];
  for (const note of ["Not so far behind it", "Asked again"]) {
    await go(`/findings/${id}`, `finding-open-${note.length}`);
    await page.getByLabel("State").selectOption("open");
    await page.getByLabel("Note").fill(note);
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("Saved").waitFor();
    const { work } = (await ask(`/findings?limit=100&q=`)).rows.find((row) => row.id === id);
    assert.deepEqual([work.status, work.note], ["open", note]);
  }
  // What somebody begins to say stays while somebody else says something, and tells that.
  const other = await page.context().newPage();
  await other.goto(`${base}/findings/${id}`);
  await other.getByLabel("Note").fill("Half a thought");
  await page.getByLabel("Note").fill("Somebody else's");
  await page.getByRole("button", { name: "Save" }).click();
  await other.getByText(/^anna changed it meanwhile/).waitFor();
  assert.equal(await other.getByLabel("Note").inputValue(), "Half a thought");
  await other.getByRole("button", { name: "Show theirs" }).click();
  assert.equal(await other.getByLabel("Note").inputValue(), "Somebody else's");
  await other.close();
});

test("a rule that was taught to be no finding is taken back where it was taught", async () => {
  const { total } = await ask("/findings?limit=1");
  const { id, rule } = (await ask("/findings?q=jwt-no-expiry&limit=1")).rows[0];
  const say = async (state) => {
    await go(`/findings/${id}`, `finding-${state}`);
    await page.getByLabel("State").selectOption(state);
    await page.getByLabel("How far").selectOption("rule");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("Saved").waitFor();
  };
  await say("false-positive");
  assert.ok((await ask("/findings?limit=1")).total < total - 5, rule);
  await say("open");
  assert.equal((await ask("/findings?limit=1")).total, total);
});

test("sensitive data is read by law and type", async () => {
  await go("/sensitive", "sensitive");
  await page.getByRole("link", { name: /Payment cards/ }).click();
  await page.waitForURL(/class=PCI/);
  await settled();
  assert.match(await taken(page.getByRole("button", { name: "CSV of Sensitive data by type" })), /^type,.*\r\n(.*\r\n)*credit-card/);
  assert.match(await taken(page.getByRole("button", { name: "NDJSON of Sensitive data by law" })), /"class":"PCI"/);
  assert.match(await page.getByRole("region", { name: "Places of sensitive data" }).innerText(), /Credit card/);
});

test("search finds everywhere", async () => {
  await page.keyboard.press("/");
  await page.keyboard.type("basket");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: /Found for/ }).waitFor();
  await looks("search");
  assert.ok((await page.locator("main .timeline a").count()) > 0);
  const { total } = await ask("/search?q=basket&limit=1");
  await page.getByText(new RegExp(`^\\d+ of ${total.toLocaleString("en")}`)).waitFor();
});

test("what traffic says is shown as text, and nothing in it is hidden", async () => {
  await go("/inventory?view=map&host=hostile.example", "hostile-map");
  const turned = async (where) => assert.ok(!/[\u202e\u2066\u0000]/.test(await page.evaluate("document.body.innerText + document.title")), where);
  await turned("the hosts to choose from");
  await page.goto(`${base}/search?q=abc%00%E2%80%AEdef`);
  await settled();
  await turned("what was searched for");
  await go("/inventory?view=table&q=turned", "turned-endpoint-list");
  await page.locator("tbody a").first().click();
  await page.getByRole("heading", { name: "Schema as seen" }).waitFor();
  await turned("the host above an endpoint, the type of its answer");
  assert.equal(await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"), 0, "a host of 1,000 letters is wider than the screen");
  await go("/inventory?view=table&host=hostile.example", "hostile-endpoints");
  const links = await page.locator("tbody a").evaluateAll((all) => all.map((one) => one.getAttribute("href")));
  assert.ok(links.length >= 4);
  const whole = [];
  for (const href of links) {
    await go(href, "hostile-endpoint");
    whole.push(await page.locator("main").innerText());
  }
  assert.ok(whole.some((text) => text.includes("<img src=x onerror=window.hacked=1>")), "the name of a field of a body");
  await go("/findings?q=hostile.example&status=any&sort=-count", "hostile-findings");
  await page.locator("tbody a").filter({ hasText: "script element" }).first().click();
  await page.getByRole("heading", { name: "Request", exact: true }).waitFor();
  assert.ok((await page.locator(".hidden-char").allInnerTexts()).includes("U+202E"), "an agent that turns text around");
  await looks("hostile-finding");
  await go("/search?q=hostile.example", "hostile-search");
  const clean = async () => {
    assert.equal(await page.locator("main img, main script, main b > script, main svg[onload], main a[href^='javascript:']").count(), 0, page.url());
    assert.equal(await page.evaluate("window.hacked"), undefined, page.url());
  };
  await clean();
  // What its exchanges say, page by page: heads with every name and value that was sent, and no account or password.
  const findings = (await ask("/findings?q=hostile.example&status=any&limit=100")).rows;
  const heads = [];
  for (const { id } of findings.slice(0, 12)) {
    await page.goto(`${base}/findings/${id}`);
    await settled();
    await clean();
    heads.push(await page.locator("main").innerText());
  }
  const all = heads.join("\n");
  assert.match(all, /onerror=window\.hacked=1/, "an agent, a field's value");
  assert.ok(!all.includes("Hidden-1234"), "a password");
  for (const path of ["/", "/inventory", "/actors?q=203.0.113.7", "/sensitive?q=hostile.example", "/mitigation?tab=audit", "/inventory?view=table&q=login"]) {
    await page.goto(base + path);
    await settled();
    await clean();
  }
});

test("a policy is checked while it is written, simulated and saved", async () => {
  await go("/policies", "policies");
  assert.ok((await page.locator("tbody tr").count()) > 10);
  await go("/policies?tab=edit", "policy-editor");
  const text = (response) =>
    `version: 1\nextends: default\nrules:\n  - id: slow-stuffing\n    description: Slowed, not blocked.\n    priority: 1\n    when: intent == "malicious" && class == "credential-stuffing"\n    response: ${response}\n    ttl: 15m\n`;
  await page.getByLabel("The policy as YAML").fill(text("blok"));
  await page.getByRole("button", { name: /^line 8/ }).waitFor();
  assert.ok(await page.getByRole("button", { name: "Simulate on stored traffic" }).isDisabled());
  await page.getByLabel("The policy as YAML").fill(text("rate-limit"));
  await page.getByText("valid", { exact: true }).waitFor();
  // What is not saved outlives other pages, a reload and the end of the session.
  await go("/campaigns", "campaigns-meanwhile");
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByLabel("Name").fill("anna");
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("button", { name: "Log out" }).waitFor();
  await go("/policies?tab=edit", "policy-draft");
  await page.getByText("This is what you wrote before and did not save.").waitFor();
  assert.equal(await page.getByLabel("The policy as YAML").inputValue(), text("rate-limit"));
  await page.getByText("valid", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Simulate on stored traffic" }).click();
  await page.getByRole("heading", { name: "What it would have done" }).waitFor();
  await page.getByRole("heading", { name: /\d+ verdicts change against the present policy/ }).scrollIntoViewIfNeeded();
  await looks("simulation");
  const { changed_total } = await page.evaluate(async (text) => (await fetch("/api/v1/policies/simulate", { method: "POST", headers: { "Content-Type": "application/json", "X-Sidetap-CSRF": (await (await fetch("/api/v1/session")).json()).csrf }, body: JSON.stringify({ text }) })).json(), text("rate-limit"));
  const changed = await taken(page.getByRole("button", { name: "CSV of Changed verdicts" }));
  assert.equal(changed.trim().split("\r\n").length, changed_total + 1);
  assert.match(changed, /^verdict,subject,was,would,rule\r\nv-[0-9a-f]+,[^,]+,[a-z-]+,rate-limit,slow-stuffing\r\n/);
  await page.getByRole("button", { name: "Save…" }).click();
  await page.getByLabel("Why").fill("Logins are slowed first");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByText(/Saved as version/).waitFor();
  assert.match(readFileSync(join(dir, "policy.yaml"), "utf8"), /slow-stuffing/);
  assert.equal(await page.evaluate("Object.keys(sessionStorage).filter((key) => key.startsWith('sidetap.policy')).length"), 0);
  assert.ok((await ask("/policies")).rules.some((rule) => rule.id === "slow-stuffing"));
  await go("/policies?tab=versions", "versions");
  await page.getByText("Logins are slowed first").waitFor();
});

test("what policy asks for is pushed from a campaign, seen on the device, and undone", async () => {
  await go("/campaigns?sort=-members&class=inventory-scraping", "campaigns-of-a-class");
  await page.locator("tbody a").first().click();
  await page.getByRole("button", { name: "Act now" }).waitFor();
  const campaign = page.url().match(/campaigns\/([^/?]+)/)[1];
  await page.getByRole("button", { name: "Act now" }).click();
  await page.getByLabel(/^Old verdicts too/).check();
  await page.getByRole("button", { name: "Push", exact: true }).click();
  await page.getByText(/\d+ added/).waitFor();
  await go("/mitigation?tab=entries", "entries");
  assert.ok((await ask("/mitigation/entries?limit=1")).total > 100);
  // By the same links that the lists offer.
  for (const [path, least] of [["/mitigation/entries?format=csv", 100], ["/hosts?format=ndjson", 9], ["/approvals?format=csv", 0], ["/allow?format=csv", 0], ["/policies?format=csv", 30], ["/changes?format=ndjson", 100], ["/users?format=csv", 2]]) {
    const { status, lines } = await page.evaluate(async (path) => {
      const answer = await fetch(`/api/v1${path}`);
      return { status: answer.status, lines: (await answer.text()).trim().split("\n").length };
    }, path);
    assert.equal(status, 200, path);
    assert.ok(lines >= least, path);
  }
  await go("/mitigation", "mitigation");
  await page.getByRole("button", { name: "Show the plan" }).click();
  await page.getByText(/edge: .*stay|edge: nothing to change/).waitFor();
  await looks("plan");
  assert.match(await taken(page.getByRole("button", { name: "CSV of Devices" })), /^name,.*\r\nedge,/);
  await page.getByRole("button", { name: "Undo…" }).click();
  await page.getByLabel("What", { exact: true }).selectOption("all");
  await page.getByRole("button", { name: "Show what would go" }).click();
  await page.getByRole("region", { name: "What would be removed" }).getByText("Take back").first().waitFor();
  await looks("undo-listed");
  const going = await taken(page.getByRole("button", { name: "CSV of What would be removed" }));
  assert.ok(/^device,change,/.test(going) && going.trim().split("\r\n").length > 100, going.slice(0, 300));
  await page.getByRole("button", { name: "Undo", exact: true }).click();
  await page.getByText(/^Undone/).waitFor();
  assert.equal((await ask("/mitigation/entries?limit=1")).total, 0);
  // Pushed once more it stays off, until that is let go.
  const order = (what, body) => page.evaluate(async ([what, body]) => (await fetch(`/api/v1/mitigation/${what}`, { method: "POST", headers: { "Content-Type": "application/json", "X-Sidetap-CSRF": (await (await fetch("/api/v1/session")).json()).csrf }, body })).status, [what, JSON.stringify(body)]);
  const entries = async () => (await ask("/mitigation/entries?limit=1")).total;
  assert.equal(await order("push", { force: true }), 200);
  assert.equal(await entries(), 0);
  await page.getByRole("button", { name: "Let push again…" }).click();
  await page.getByLabel("What", { exact: true }).selectOption("all");
  await looks("mitigation-redo");
  await page.getByRole("button", { name: "Let push again", exact: true }).click();
  await page.getByText("The next push may bring it back").waitFor();
  assert.equal(await order("push", { force: true }), 200);
  assert.ok((await entries()) > 100);
  // The kill switch takes it off too, at once.
  await page.getByRole("button", { name: "Kill switch" }).click();
  await page.getByRole("button", { name: "Stop all pushes" }).click();
  await page.getByText(/kill switch is on/).waitFor();
  for (let n = 0; (await entries()) > 0 && n < 50; n += 1) await page.waitForTimeout(200);
  assert.equal(await entries(), 0);
  await page.getByRole("button", { name: "Release the kill switch" }).click();
  await page.getByRole("button", { name: "Release", exact: true }).click();
  await page.getByText(/kill switch is on/).waitFor({ state: "detached" });
  assert.equal(await order("undo", { all: true }), 200);
  await go("/mitigation?tab=actions", "actions");
  // What was done about the campaign is on its page whole: what was pushed and what was undone, part by part, and as a file.
  await go(`/campaigns/${campaign}?tab=actions`, "campaign-actions");
  const total = (await ask(`/actions?campaign=${campaign}&limit=1`)).total;
  assert.ok(total > 200, `${total} actions about the campaign`);
  const foot = page.locator(".list-foot");
  assert.match(await foot.innerText(), new RegExp(`^50 of ${total}`));
  await foot.getByRole("button", { name: "Show more" }).click();
  await foot.getByText(`100 of ${total}`).waitFor();
  const csv = await (await page.request.get(base + (await page.getByRole("link", { name: "CSV" }).getAttribute("href")))).text();
  assert.equal(csv.trim().split("\r\n").length, total + 1);
  await go("/mitigation?tab=audit", "audit");
  for (const action of ["mitigation.undo-order", "mitigation.order", "policy.save", "evidence.read"]) {
    const { rows } = await ask(`/audit?action=${action}&limit=1`);
    assert.equal(rows[0]?.actor, "anna", action);
  }
});

test("a role is changed once somebody says so, and a password is set for who forgot his", async () => {
  await go("/settings?tab=users", "users");
  await page.getByLabel("Name").fill("otto");
  await page.getByLabel("First password").fill(password);
  await page.getByRole("button", { name: "Create user" }).click();
  const role = page.getByLabel("Role of otto");
  await role.waitFor();
  const roleOf = async () => (await ask("/users")).rows.find((row) => row.name === "otto").role;
  await role.press("ArrowUp");
  await page.getByRole("button", { name: "Change…" }).waitFor();
  assert.equal(await roleOf(), "analyst", "an arrow key changes nothing");
  await page.getByRole("button", { name: "Leave it" }).click();
  assert.equal(await role.inputValue(), "analyst");
  await role.selectOption("operator");
  await page.getByRole("button", { name: "Change…" }).click();
  await page.getByRole("heading", { name: "Make otto operator?" }).waitFor();
  await page.getByRole("button", { name: "Change", exact: true }).click();
  await page.getByText("Changed", { exact: true }).waitFor();
  assert.equal(await roleOf(), "operator");
  await page.getByRole("row").filter({ hasText: "otto" }).getByRole("button", { name: "Password…" }).click();
  await looks("users-password");
  await page.getByLabel("New password", { exact: true }).fill("another horse, another battery");
  await page.getByRole("button", { name: "Set password" }).click();
  await page.getByText(/^otto has the new password/).waitFor();
  const log = (with_) => page.evaluate(async (with_) => (await fetch("/api/v1/session", { method: "POST", credentials: "omit", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ name: "otto", password: with_ }) })).status, with_);
  assert.deepEqual([await log(password), await log("another horse, another battery")], [401, 200]);
  await page.getByRole("row").filter({ hasText: "otto" }).getByRole("button", { name: "Remove" }).click();
  await page.locator("dialog[open]").getByRole("button", { name: "Remove" }).click();
  await page.getByText("Removed", { exact: true }).waitFor();
});

test("a description is held against what was seen, and an endpoint is merged by hand", async () => {
  await go("/inventory?view=specs", "specs-empty");
  const [{ host, method, template }] = (await ask("/endpoints?limit=1&sort=-calls")).rows;
  await page.getByRole("button", { name: "Give a description…" }).click();
  const described = { openapi: "3.1.0", info: { title: "Shop", version: "1" }, servers: [{ url: `https://${host}` }], paths: { [template]: { [method.toLowerCase()]: { responses: { 200: { description: "ok" } } } }, "/never": { get: { responses: {} } } } };
  await page.getByLabel("Name").fill("shop");
  // What is wrong with it is said in the dialog, not behind it.
  await page.getByLabel("Text").fill("openapi: [");
  await page.getByRole("button", { name: "Keep it" }).click();
  await page.locator("dialog[open] .said .notice.bad").waitFor();
  assert.equal(await page.locator(".toasts .notice").count(), 0);
  await page.getByLabel("Text").fill(JSON.stringify(described));
  await looks("spec-form");
  await page.getByRole("button", { name: "Keep it" }).click();
  await page.getByText(/Kept with 2 operations/).waitFor();
  await page.locator("tbody").getByRole("link", { name: "shop" }).click();
  await page.getByRole("heading", { name: /^Endpoints that it does not describe/ }).waitFor();
  assert.match(await page.locator("main").innerText(), /Described, and not seen 1/);
  await looks("specs");
  const { rows } = await ask(`/endpoints?limit=1&host=${host}&sort=-risk`);
  await go(`/inventory/endpoints/${rows[0].id}`, "endpoint-to-merge");
  await page.getByRole("button", { name: "Merge or tell apart…" }).click();
  // What would be merged is listed before, of all methods and what lies below.
  const [first] = rows[0].template.split("/").filter(Boolean);
  await page.getByLabel(/^Path of/).fill("/{anything}");
  const table = page.getByRole("region", { name: "What the template does" });
  // Parameters are named as the inventory names them, which looks at the values.
  await table.getByText(new RegExp(`^${rows[0].method} /\\{[^/}]+\\}`)).first().waitFor();
  assert.match(await taken(page.getByRole("button", { name: "CSV of What the template does" })), new RegExp(`\r\n[^\r]*/${first}`));
  await looks("merge-listed");
  await page.getByLabel(/^Path of/).fill("/by-hand/{thing}");
  await page.getByText("Of the endpoints that are known it changes none").waitFor();
  await page.getByLabel("Why").fill("They are one");
  await looks("merge");
  await page.getByRole("button", { name: "Merge", exact: true }).click();
  await page.getByText(/^Merged/).waitFor();
  await go("/inventory?view=templates", "templates");
  await page.getByText("/by-hand/{thing}").waitFor();
});

test("another page hears of what people say, and a label that cannot be kept is refused with a word", async () => {
  const [{ id }] = (await ask("/endpoints?limit=1&sort=-risk")).rows;
  const other = await page.context().newPage();
  await other.goto(`${base}/inventory/endpoints/${id}`);
  await other.getByText("Nothing noted.").waitFor();
  await go(`/inventory/endpoints/${id}`, "endpoint-to-label");
  await page.getByRole("button", { name: "Edit" }).click();
  await page.getByLabel(/^Labels/).fill("a|b");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByRole("status").getByText(/no label can have/).waitFor();
  await page.getByLabel(/^Labels/).fill("crown-jewels");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await other.getByText("crown-jewels").first().waitFor();
  // Who edits is told of what others note meanwhile, and writes over nothing but what he changed.
  await other.getByRole("button", { name: "Edit" }).click();
  await other.getByLabel("Owner").fill("team-shop");
  await page.getByRole("button", { name: "Edit" }).click();
  await page.getByLabel("Note").fill("Asked the team");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await other.getByText(/^Somebody changed this meanwhile/).waitFor();
  await other.getByRole("button", { name: "Save", exact: true }).click();
  await other.getByText("Asked the team").waitFor();
  await other.getByText("team-shop").first().waitFor();
  await other.close();
});

test("how a device is told is changed, and it is asked how it is", async () => {
  await go("/mitigation", "devices");
  await page.getByLabel("Mode").selectOption("dry-run");
  await page.getByText("edge: dry-run").or(page.getByText("edge: dry run")).first().waitFor();
  assert.equal((await ask("/mitigation")).devices[0].mode, "dry-run");
  await page.getByRole("button", { name: "Test" }).click();
  await page.getByText(/^edge answers/).waitFor();
  await page.getByLabel("Mode").selectOption("enforce");
  await page.waitForFunction(async () => (await (await fetch("/api/v1/mitigation")).json()).devices[0].mode === "enforce");
});

test("what waits for approval is decided together, and nobody is asked about what was taken back", async () => {
  const waiting = async (more = "") => (await ask(`/approvals?status=pending&limit=1${more}`)).total;
  const push = async () => {
    await go("/mitigation", "devices-to-approve");
    await page.getByRole("button", { name: "Push now" }).click();
    await page.getByLabel(/^Old verdicts too/).check();
    const answer = page.waitForResponse((response) => response.url().endsWith("/mitigation/push"));
    await page.getByRole("button", { name: "Push", exact: true }).click();
    assert.equal((await answer).status(), 200);
  };
  await go("/mitigation", "devices");
  await page.getByLabel("Mode").selectOption("approve");
  await page.waitForFunction(async () => (await (await fetch("/api/v1/mitigation")).json()).devices[0].mode === "approve");
  const campaign = (await ask("/campaigns?class=inventory-scraping&sort=-members&limit=1")).rows[0].id;
  await push();
  const rest = await waiting();
  assert.equal(await waiting(`&campaign=${campaign}`), 0, "all about it was pushed and taken back before");
  const redo = spawnSync(binary, ["mitigation", "redo", "--all", "--config", join(dir, "sidetap.toml"), "--store", join(dir, "sidetap.db")], { cwd: dir, encoding: "utf8" });
  assert.equal(redo.status, 0, redo.stderr);
  await push();
  const all = await waiting();
  const some = await waiting(`&campaign=${campaign}`);
  assert.ok(some > 100 && some <= all - rest, `${some} of ${all}, ${rest} before`);
  await go(`/campaigns/${campaign}`, "campaign-that-waits");
  await page.getByRole("link", { name: `${some} wait for approval` }).click();
  await page.waitForURL(/tab=approvals.*campaign=/);
  await looks("approvals-of-a-campaign");
  await page.getByRole("button", { name: "Decide all…" }).click();
  await page.getByText(`${some} wait of campaign`).waitFor();
  await looks("approve-all");
  await page.getByRole("button", { name: `Approve all ${some}` }).click();
  await page.getByText(`${some} approved`).waitFor();
  assert.deepEqual([await waiting(), await waiting(`&campaign=${campaign}`)], [all - some, 0]);
  await go("/policies?tab=approvals&status=pending", "approvals");
  for (const at of [0, 1]) await page.getByRole("checkbox", { name: "Choose this row" }).nth(at).check();
  await page.getByRole("button", { name: "Reject them" }).click();
  await page.getByText("2 rejected").waitFor();
  assert.equal(await waiting(), all - some - 2);
  await page.locator("tbody").getByRole("button", { name: "Approve" }).first().click();
  await page.getByText(/^Approved: /).waitFor();
  assert.equal(await waiting(), all - some - 3);
  assert.ok((await ask("/audit?action=approval.&limit=1")).total >= 3);
  await push();
  assert.ok((await ask("/mitigation/entries?limit=1")).total > 100, "what was approved is pushed");
});

test("every other page is whole and accessible, in light colours and on a phone too", async () => {
  for (const [name, path] of Object.entries({
    approvals: "/policies?tab=approvals",
    "allow-list": "/policies?tab=allow",
    settings: "/settings",
    runs: "/settings?q=hostile",
    store: "/settings?tab=store",
    account: "/settings?tab=account",
    users: "/settings?tab=users",
    configuration: "/settings?tab=configuration",
    intelligence: "/settings?tab=intelligence",
    missing: "/no-such-page",
  })) {
    await go(path, name);
    assert.equal(await page.getByRole("button", { name: "Try again" }).count(), 0, `${name} was refused something`);
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 390, height: 800 });
  for (const [name, path] of Object.entries({ "overview-phone": "/", "campaigns-phone": "/campaigns", "findings-phone": "/findings" })) {
    await go(path, name);
    const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(over, 0, `${name} is wider than the screen`);
  }
  // The menu is opened, walked and closed by the keyboard.
  const inside = () => page.evaluate("document.activeElement.closest('#rail') !== null");
  await page.getByRole("button", { name: "Pages" }).press("Enter");
  await page.waitForFunction("document.activeElement.closest('#rail')");
  await page.keyboard.press("Tab");
  assert.ok(await inside());
  await page.keyboard.press("Escape");
  assert.equal(await page.getByRole("button", { name: "Pages" }).getAttribute("aria-expanded"), "false");
  assert.ok(!(await inside()));
  await page.setViewportSize({ width: 1360, height: 860 });
  await page.emulateMedia({ colorScheme: "dark" });
});

test("nobody else was asked for anything, and the browser said nothing", () => {
  assert.deepEqual([...asked], [base]);
  // But for the two log-ins and the one label that were refused, which Chromium writes down by itself.
  const told = said.map((line) => line.replace(/^http:\S+ /, "")).filter((line) => !/4\d\d \([^)]*\) \S+\/(endpoints\/|specs\/shop$)/.test(line));
  const refused = `Failed to load resource: the server responded with a status of 401 (Unauthorized) ${base}/api/v1/session`;
  assert.deepEqual(told, [refused, refused]);
});
