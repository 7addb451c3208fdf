// The whole story on live traffic: a watch on the mirror of a shop behind HAProxy, honest people, and one who tries passwords. An analyst
// logs in, finds the API that nobody described, reads the campaign, takes the suggested policy, simulates, saves and approves it in the
// page; HAProxy then refuses the attacker and nobody else; undone, he is let in again. Needs root, HAProxy and python3:
// scripts/console.sh live.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const repository = fileURLToPath(new URL("../../../..", import.meta.url));
const binary = process.env.SIDETAP_BIN ?? join(process.env.CARGO_TARGET_DIR ?? join(repository, "target"), "debug/sidetap");
const shots = process.env.SIDETAP_SHOTS;
const password = "correct horse battery staple";
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

let dir, scene, server, base, token, browser, page;
const said = [];

/** What a program says until this is in it. */
function hears(child, wanted, seconds) {
  return new Promise((resolve, reject) => {
    let text = "";
    const timer = setTimeout(() => reject(new Error(`it said only: ${text}`)), seconds * 1000);
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk) => {
        text += chunk;
        const found = wanted.exec(text);
        if (found) {
          clearTimeout(timer);
          resolve(found);
        }
      });
    }
    child.on("exit", (code) => reject(new Error(`it ended with ${code}: ${text}`)));
  });
}

async function until(what, isSo, seconds = 120) {
  for (let n = 0; n < seconds * 2; n += 1) {
    const is = await isSo();
    if (is) return is;
    await pause(500);
  }
  throw new Error(`not in time: ${what}`);
}

/** Lines that a part of the scene wrote. */
function lines(name) {
  const file = join(dir, name);
  if (!existsSync(file)) return [];
  const whole = readFileSync(file, "utf8").split("\n").slice(0, -1);
  return whole.map((line) => JSON.parse(line));
}

/** What the application answered, and what something before it did, since a time in seconds. */
function since(name, at) {
  const rows = lines(name).filter((row) => row.t > at && row.status);
  return { let_in: rows.filter((row) => row.app).length, refused: rows.filter((row) => !row.app).length };
}

async function ask(path) {
  return page.evaluate(async (path) => (await fetch(`/api/v1${path}`)).json(), path);
}

async function shot(name) {
  if (!shots) return;
  mkdirSync(shots, { recursive: true });
  await page.waitForFunction(() => !document.querySelector(".skeleton, [aria-busy=true]"));
  await page.screenshot({ path: join(shots, `live-${name}.png`) });
}

before(async () => {
  dir = mkdtempSync(join(tmpdir(), "sidetap-live-"));
  scene = spawn("python3", ["-B", join(repository, "scripts/outcome/live.py"), binary, join(repository, "docs/connectors"), dir], { stdio: ["pipe", "pipe", "pipe"] });
  await hears(scene, /^ready/m, 120);
  server = spawn(binary, ["serve", "--config", join(dir, "sidetap.toml"), "--listen", "127.0.0.1:0"], { cwd: dir, stdio: ["ignore", "pipe", "pipe"] });
  const found = await hears(server, /console: (http:\/\/127\.0\.0\.1:\d+)[^]*token: ([A-Za-z0-9_-]{16,})/, 60);
  [, base, token] = found;
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  const context = await browser.newContext({ viewport: { width: 1360, height: 860 }, colorScheme: "dark", reducedMotion: "reduce" });
  page = await context.newPage();
  page.setDefaultTimeout(60_000);
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) said.push(`${page.url()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => said.push(`${page.url()}: ${error}`));
});

after(async () => {
  await browser?.close();
  server?.removeAllListeners("exit");
  server?.kill();
  scene?.removeAllListeners("exit");
  if (scene) {
    const ended = new Promise((done) => scene.on("exit", done));
    scene.stdin.end();
    await ended;
  }
  if (dir && !process.env.SIDETAP_KEEP) rmSync(dir, { recursive: true, force: true });
});

test("an analyst stops an attack on live traffic, from the page alone, and takes it back", { timeout: 1_200_000 }, async () => {
  await page.goto(base);
  await page.getByLabel("One-time token").fill(token);
  await page.getByLabel("Name").fill("anna");
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Create administrator" }).click();
  await page.getByRole("heading", { name: "Overview" }).waitFor();

  // The API that nobody described.
  await until("the watch keeps what it finds", async () => (await ask("/endpoints?standing=shadow&limit=1")).total > 0);
  await page.goto(`${base}/inventory?view=table&standing=shadow`);
  await page.locator("tbody").getByRole("link", { name: /\/list|\/product|\/api\/track|\/static/ }).first().click();
  await page.getByRole("heading", { level: 1 }).waitFor();
  await page.locator("main").getByText(/shadow/i).first().waitFor();
  await shot("shadow");

  // The attack: for a while it is let in, for no rule asks for anything.
  scene.stdin.write("attack\n");
  await until("the campaign is known", async () => (await ask("/campaigns?limit=10")).rows.some((row) => /credential|brute|password/.test(row.class)), 240);
  assert.equal(since("attack.log", 0).refused, 0, "nothing is refused before somebody says so");
  await page.goto(`${base}/campaigns`);
  await page.locator("tbody").getByRole("link", { name: /Credential|Brute|Password/i }).first().click();
  await page.getByRole("heading", { name: "What happened" }).waitFor();
  await shot("campaign");
  const campaign = page.url().match(/campaigns\/([^/?]+)/)[1];

  // Its policy: suggested, simulated, saved.
  await page.getByRole("link", { name: "Suggest a policy" }).click();
  await page.getByRole("button", { name: "Edit and simulate it" }).waitFor();
  await shot("suggestion");
  await page.getByRole("button", { name: "Edit and simulate it" }).click();
  await page.getByText("valid", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Simulate on stored traffic" }).click();
  await page.getByRole("heading", { name: "What it would have done" }).waitFor();
  await shot("simulation");
  await page.getByRole("button", { name: "Save…" }).click();
  await page.getByLabel("Why").fill("Passwords are tried");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByText(/Saved as version/).waitFor();

  // It asks before it acts.
  await until("somebody is asked", async () => (await ask("/approvals?status=pending")).total > 0, 400);
  assert.equal(since("attack.log", 0).refused, 0, "nothing is refused before somebody says so");
  await page.goto(`${base}/policies?tab=approvals`);
  await page.getByRole("button", { name: "Approve" }).first().waitFor();
  await shot("approvals");
  const approved = Date.now() / 1000;
  await page.getByRole("button", { name: "Approve" }).first().click();
  const confirm = page.getByRole("dialog").getByRole("button", { name: "Approve" });
  if (await confirm.isVisible({ timeout: 1_000 }).catch(() => false)) await confirm.click();
  await until("HAProxy refuses him", () => since("attack.log", approved).refused > 0, 60);
  const effect = lines("attack.log").find((row) => row.t > approved && row.status && !row.app).t - approved;
  console.log(`refused ${effect.toFixed(1)} s after the approval`);
  await pause(3_000);
  const later = Date.now() / 1000;
  await pause(5_000);
  assert.equal(since("attack.log", later).let_in, 0, "he is refused from then on");
  assert.equal(since("people.log", 0).refused, 0, "nobody else ever is");
  await page.goto(`${base}/mitigation?tab=entries`);
  await page.locator("tbody tr").first().waitFor();
  await shot("entries");

  // And back.
  await page.goto(`${base}/campaigns/${campaign}`);
  await page.getByRole("button", { name: "Undo on devices" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Undo" }).click();
  await page.getByText("Taken back from the devices").waitFor();
  const undone = Date.now() / 1000;
  await until("he is let in again", () => since("attack.log", undone).let_in > 0, 60);
  await pause(8_000);
  const last = Date.now() / 1000;
  await pause(4_000);
  assert.equal(since("attack.log", last).refused, 0, "an undo holds while the watch goes on");
  assert.equal((await ask("/mitigation/entries?limit=1")).total, 0);
  const { rows } = await ask("/audit?limit=100");
  for (const action of ["policy.save", "approval.approve", "mitigation.undo-order"]) {
    assert.ok(rows.some((row) => row.action === action && row.actor === "anna"), action);
  }
  assert.deepEqual(said, []);
});
