// Every page of the console, found by its own links: dark and light, on a screen and on a phone, by the keyboard; what it lists as files;
// over a store with nothing in it, and where the server refuses what it is asked.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { ask, asked, base, enter, looks, page, said, settled, start, stop } from "./browser.mjs";

before(async () => {
  await start();
  await enter();
});
after(stop);

const WIDE = { width: 1360, height: 860 };
const PHONE = { width: 390, height: 800 };

/** Addresses of all pages: those of the menu, one of each kind that rows lead to, and the tabs of each. */
async function pages() {
  await page.goto(`${base}/`);
  await settled();
  const hrefs = (selector) => page.locator(selector).evaluateAll((all) => all.map((one) => one.getAttribute("href")));
  const found = await hrefs("#rail a[href]");
  const first = async (list) => (await ask(`/${list}${list.includes("?") ? "&" : "?"}limit=1`)).rows[0];
  const campaign = await first("campaigns");
  if (campaign) {
    const evidence = (await ask(`/campaigns/${campaign.id}/exchanges`)).rows[0];
    found.push(`/campaigns/${campaign.id}`, `/inventory/endpoints/${(await first("endpoints?sort=-risk")).id}`);
    found.push(`/findings/${(await first("findings")).id}`, `/actors/${(await first("verdicts?intent=malicious&sort=-score")).id}`);
    found.push(`/exchanges/${evidence.sidetap.id}`, "/search?q=basket");
  }
  for (const path of [...found]) {
    await page.goto(base + path);
    await settled();
    // Most have tabs, some of them once they know what they are about.
    await page.locator("main nav.tabs a").first().waitFor({ timeout: 2_000 }).catch(() => undefined);
    found.push(...(await hrefs("main nav.tabs a")).filter((href) => href.includes("?")));
  }
  return [...new Set(found)];
}

const named = (path) => path.slice(1).replace(/[a-z]+-[0-9a-f-]{6,}/g, "one").replace(/[^a-z]+/gi, "-") || "overview";

let all = [];

test("every page is found", async () => {
  all = await pages();
  assert.ok(all.length > 35, all.join(" "));
});

test("every page is whole and accessible, dark and light, on a screen and on a phone", async () => {
  const wrong = [];
  for (const path of all) {
    await page.goto(base + path);
    for (const [light, size, how] of [["dark", WIDE, "dark"], ["light", WIDE, "light"], ["light", PHONE, "phone"], ["dark", PHONE, "phone-dark"]]) {
      await page.emulateMedia({ colorScheme: light });
      await page.setViewportSize(size);
      // Its colours and its width were looked at by themselves.
      if (how === "phone-dark") await settled();
      else await looks(`${named(path)}.${how}`).catch((error) => wrong.push(`${path} ${how}: ${error.message}`));
      const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (over > 0) wrong.push(`${path} ${how}: ${over} pixels wider than the screen`);
      if (await page.getByRole("button", { name: "Try again" }).count()) wrong.push(`${path}: was refused something`);
    }
    if (!/ · Sidetap$/.test(await page.title())) wrong.push(`${path}: has no title of its own`);
  }
  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize(WIDE);
  assert.deepEqual(wrong, []);
});

test("every page is walked by the keyboard, and what has the focus is seen", async () => {
  const wrong = [];
  for (const path of all) {
    await page.goto(base + path);
    await settled();
    await page.evaluate("document.activeElement.blur()");
    const stops = await page.evaluate(() => {
      const able = "main a[href], main button:not([disabled]), main input:not([disabled]), main select:not([disabled]), main textarea:not([disabled]), main summary, main [tabindex='0']";
      return [...document.querySelectorAll(able)].filter((one) => one.checkVisibility({ visibilityProperty: true }) && one.tabIndex >= 0).length;
    });
    const seen = new Set();
    // The first of them speak for long lists.
    for (let n = 0; n < Math.min(stops, 25) + 40 && seen.size < Math.min(stops, 25); n += 1) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate(() => {
        const one = document.activeElement;
        if (!one || one === document.body) return null;
        const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(one);
        const box = one.getBoundingClientRect();
        // Of a date each part is marked by the browser.
        const marked = one.type === "date" || (outlineStyle !== "none" && parseFloat(outlineWidth) > 0) || boxShadow !== "none";
        window.stops ??= new Map();
        if (!window.stops.has(one)) window.stops.set(one, window.stops.size);
        return { n: window.stops.get(one), inside: one.closest("main") !== null && one.id !== "main", marked, there: box.width > 0 && box.height > 0, what: one.outerHTML.slice(0, 120) };
      });
      if (!at) continue;
      if (at.inside) seen.add(at.n);
      if (!at.marked || !at.there) wrong.push(`${path}: ${at.what} has the focus, and is ${at.there ? "not marked" : "not there"}`);
    }
    if (seen.size < Math.min(stops, 25)) wrong.push(`${path}: ${seen.size} of ${stops} places are reached`);
  }
  assert.deepEqual(wrong, []);
});

test("every list is a file of both kinds, with every row", async () => {
  const links = new Set();
  for (const path of all) {
    await page.goto(base + path);
    await settled();
    for (const href of await page.locator("a[href*='format=']").evaluateAll((found) => found.map((one) => one.getAttribute("href")))) links.add(href);
  }
  assert.ok(links.size > 40, `${links.size} files`);
  const wrong = await page.evaluate(async (links) => {
    const wrong = [];
    for (const href of links) {
      const answer = await fetch(href);
      const text = await answer.text();
      const csv = href.includes("format=csv");
      if (!answer.ok || !answer.headers.get("content-type").startsWith(csv ? "text/csv" : "application/x-ndjson") || !/attachment/.test(answer.headers.get("content-disposition") ?? "")) {
        wrong.push(`${href}: ${answer.status} ${answer.headers.get("content-type")}`);
        continue;
      }
      const json = await (await fetch(href.replace(/([?&])format=(csv|ndjson)&?/, "$1"))).json();
      const lines = text.split(/\r?\n/).filter((line) => line !== "");
      const rows = csv ? null : lines.map((line) => JSON.parse(line)).length;
      if (typeof json.total === "number" && !json.more) {
        if (rows !== null && rows !== json.total) wrong.push(`${href}: ${rows} lines of ${json.total} rows`);
        // Cells may have lines of their own.
        if (rows === null && lines.length < json.total + 1) wrong.push(`${href}: ${lines.length} lines of ${json.total} rows`);
      }
    }
    return wrong;
  }, [...links]);
  assert.deepEqual(wrong, []);
});

test("where the server refuses, every page says what is wrong and goes on when it does not", async () => {
  const wrong = [];
  const heard = said.length;
  const refuse = (route) => (/\/api\/v1\/(session|setup)$/.test(new URL(route.request().url()).pathname) ? route.continue() : route.fulfill({ status: 403, contentType: "application/problem+json", body: JSON.stringify({ type: "urn:sidetap:problem:role", title: "not with this role", detail: "it takes another one", status: 403 }) }));
  for (const path of all) {
    await page.route("**/api/v1/**", refuse);
    await page.goto(base + path);
    await settled();
    const alone = /tab=(account|edit)$|^\/search$/.test(path);
    if (!alone) await page.getByRole("alert").first().waitFor({ timeout: 5_000 }).catch(() => wrong.push(`${path}: says nothing`));
    const text = await page.locator("main").innerText();
    if (/undefined|NaN|\[object|TypeError|Something went wrong/.test(text)) wrong.push(`${path}: ${text.slice(0, 300)}`);
    if (!alone && !/not with this role/i.test(text)) wrong.push(`${path}: says not what is wrong: ${text}`);
    await looks(`${named(path)}.refused`).catch((error) => wrong.push(`${path}: ${error.message}`));
    await page.unroute("**/api/v1/**");
    for (let n = 0; n < 12 && (await page.getByRole("button", { name: "Try again" }).count()) > 0; n += 1) {
      await page.getByRole("button", { name: "Try again" }).first().click({ timeout: 5_000 }).catch(() => undefined);
      await settled();
    }
    if ((await page.getByRole("button", { name: "Try again" }).count()) > 0) wrong.push(`${path}: does not go on`);
  }
  // Chromium writes down each that was refused.
  said.splice(heard, said.length, ...said.slice(heard).filter((line) => !/status of 403/.test(line)));
  assert.deepEqual(wrong, []);
});

test("over a store with nothing in it every page says so, and what would fill it", async () => {
  await stop();
  await start({ filled: false });
  await enter();
  const wrong = [];
  const lists = all.filter((path) => !/\/(campaigns|endpoints|findings|actors|exchanges)\/.|^\/search\?/.test(path));
  for (const path of [...lists, "/campaigns/c-none", "/inventory/endpoints/e-none", "/findings/f-none", "/actors/v-none", "/exchanges/0-1", "/search?q=nothing"]) {
    await page.goto(base + path);
    await settled();
    const text = await page.locator("main").innerText();
    if (/undefined|NaN|\[object|TypeError|Something went wrong|Infinity/.test(text)) wrong.push(`${path}: ${text.slice(0, 300)}`);
    if (text.split("\n").filter((line) => line.trim() !== "").length < 3) wrong.push(`${path}: says nearly nothing: ${text}`);
    const bare = await page.locator("main .state strong").evaluateAll((found) => found.filter((one) => one.parentElement.textContent === one.textContent).map((one) => one.textContent));
    if (bare.length > 0) wrong.push(`${path}: says only: ${bare.join(", ")}`);
    await looks(`${named(path)}.empty`).catch((error) => wrong.push(`${path}: ${error.message}`));
  }
  assert.deepEqual(wrong, []);
});

test("nobody else was asked for anything, and the browser said nothing but what was not found", () => {
  for (const origin of asked) assert.match(origin, /^http:\/\/127\.0\.0\.1:\d+$/);
  const told = said.filter((line) => !/status of (404|401) \(/.test(line));
  assert.deepEqual(told, []);
});
