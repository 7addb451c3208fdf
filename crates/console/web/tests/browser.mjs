// A store filled from the sample, served, and Debian's Chromium that looks at it.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

import { capture, hostile } from "./pcap.mjs";

const web = fileURLToPath(new URL("..", import.meta.url));
const repository = join(web, "../../..");
export const binary = process.env.SIDETAP_BIN ?? join(process.env.CARGO_TARGET_DIR ?? join(repository, "target"), "debug/sidetap");
const axe = readFileSync(join(web, "node_modules/axe-core/axe.min.js"), "utf8");
const shots = process.env.SIDETAP_SHOTS;
export const password = "correct horse battery staple";

export let dir, base, token, page;
let server, browser, context;
/** What the browser wrote down, and whom it asked. */
export const said = [];
export const asked = new Set();

/** Starts the server and waits until it said where it listens and what the one-time token is. */
async function serve(store) {
  server = spawn(binary, ["serve", "--config", join(dir, "sidetap.toml"), "--store", store, "--listen", "127.0.0.1:0"], { cwd: dir, stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`serve said only: ${text}`)), 20_000);
    const hear = (chunk) => {
      text += chunk;
      const address = /console: (https?:\/\/127\.0\.0\.1:\d+)/.exec(text);
      const secret = /token[^\n]*?\b([A-Za-z0-9_-]{16,})\b/i.exec(text);
      if (address && secret) {
        clearTimeout(timer);
        base = address[1];
        token = secret[1];
        resolve();
      }
    };
    server.stdout.on("data", hear);
    server.stderr.on("data", hear);
    server.on("exit", (code) => reject(new Error(`serve ended with ${code}: ${text}`)));
  });
}

/** Fills a store with the sample, or with nothing, serves it and opens a browser. */
export async function start({ filled = true } = {}) {
  dir = mkdtempSync(join(tmpdir(), "sidetap-console-"));
  const store = join(dir, "sidetap.db");
  const attack = join(dir, "hostile.pcap");
  writeFileSync(attack, capture(filled ? hostile() : [], Date.UTC(2026, 9, 13, 9, 5) / 1000));
  for (const [name, file] of [...(filled ? [["sample", join(repository, "pcaps/sample.pcap.zst")]] : []), ["hostile", attack]]) {
    const replay = spawnSync(binary, ["replay", file, "--store", store, "--out", join(dir, name), "--hash-key", join(dir, "key")], { cwd: dir, encoding: "utf8" });
    assert.equal(replay.status, 0, replay.stderr);
  }
  writeFileSync(join(dir, "policy.yaml"), "version: 1\nextends: default\n");
  // A feed is a device that needs no other program.
  writeFileSync(join(dir, "sidetap.toml"), `[analysis]\nhash_key = "${join(dir, "key")}"\n[policy]\npath = "${join(dir, "policy.yaml")}"\n[[mitigation.feed]]\nname = "edge"\npath = "${join(dir, "feed.json")}"\nlisten = "127.0.0.1:0"\n`);
  await serve(store);
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  context = await browser.newContext({ viewport: { width: 1360, height: 860 }, colorScheme: "dark", reducedMotion: "reduce" });
  page = await context.newPage();
  page.setDefaultTimeout(30_000);
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) said.push(`${page.url()}: ${message.text()} ${message.location().url}`);
  });
  page.on("pageerror", (error) => said.push(`${page.url()}: ${error}`));
  page.on("request", (request) => asked.add(new URL(request.url()).origin));
}

/** Ends all that was started. */
export async function stop() {
  await browser?.close();
  server?.removeAllListeners("exit");
  server?.kill();
  if (dir) rmSync(dir, { recursive: true, force: true });
}

/** Waits until the page has what it asked for. */
export async function settled() {
  await page.waitForSelector("h1");
  await page.waitForFunction(() => !document.querySelector(".skeleton, [aria-busy=true]"));
}

/** Accessibility of what is shown now, and a picture of it where one is wanted. Each table can be taken away, here or where all of it is. */
export async function looks(name) {
  await settled();
  const kept = await page.locator("main table").evaluateAll((all) => all.filter((one) => !/CSV|All [\d,]+/.test(one.closest(".card")?.textContent ?? "")).map((one) => one.parentElement.getAttribute("aria-label")));
  assert.deepEqual(kept, [], `tables of ${name} that cannot be exported`);
  if (shots) {
    mkdirSync(shots, { recursive: true });
    await page.waitForTimeout(150);
    await page.screenshot({ path: join(shots, `${name}.png`) });
  }
  if (!(await page.evaluate("'axe' in window"))) await page.evaluate(axe);
  // Rows are alike: the first ones of a table speak for all.
  const found = await page.evaluate(() =>
    window.axe.run({ exclude: [["tbody tr:nth-child(n+7)"], [".reasons > li:nth-child(n+4)"]] }, { resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }),
  );
  const told = found.violations.map((one) => `${one.id}: ${one.nodes.slice(0, 2).map((node) => node.html.slice(0, 160)).join(" | ")}`);
  assert.deepEqual(told, [], `accessibility of ${name}`);
}

/** Makes the administrator, without looking at the pages that do. */
export async function enter() {
  await page.goto(base);
  const status = await page.evaluate(async (body) => (await fetch("/api/v1/setup", { method: "POST", headers: { "Content-Type": "application/json" }, body })).status, JSON.stringify({ token, name: "anna", password }));
  assert.equal(status, 201);
}

/** What a press of this button downloads. */
export async function taken(button) {
  const [download] = await Promise.all([page.waitForEvent("download"), button.click()]);
  return readFileSync(await download.path(), "utf8");
}

export async function go(path, name) {
  await page.goto(base + path);
  await looks(name);
}

/** The page's own session asks the API. */
export async function ask(path) {
  return page.evaluate(async (path) => (await fetch(`/api/v1${path}`)).json(), path);
}
