// How long each page takes until the first thing is painted and until its first row (or picture) is there, over a store that is served:
//   paint.mjs URL NAME PASSWORD [ROUNDS]
// Each round opens the page anew, as by a link; the browser's cache has the scripts.
import { chromium } from "playwright-core";

const [url, name, password, rounds = "9"] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
const context = await browser.newContext({ viewport: { width: 1360, height: 860 }, reducedMotion: "reduce" });
const page = await context.newPage();
page.setDefaultTimeout(60_000);
await page.goto(url);
await page.getByLabel("Name").fill(name);
await page.getByLabel("Password").fill(password);
await page.keyboard.press("Enter");
await page.getByRole("heading", { name: "Overview", exact: true }).waitFor();
const ask = (path) => page.evaluate(async (path) => (await fetch(`/api/v1${path}`)).json(), path);
const first = async (list) => (await ask(`/${list}?limit=1`)).rows[0].id;
const campaigns = (await ask("/campaigns?limit=50")).rows;
const campaign = campaigns.reduce((most, one) => (one.members > most.members ? one : most)).id;
const pages = {
  overview: "/",
  "inventory (site map)": "/inventory",
  "inventory (table)": "/inventory?view=table",
  endpoint: `/endpoints/${await first("endpoints")}`,
  campaigns: "/campaigns",
  campaign: `/campaigns/${campaign}`,
  "campaign's members": `/campaigns/${campaign}?tab=members`,
  actors: "/actors",
  "actors, filtered": "/actors?intent=malicious",
  actor: `/actors/${await first("verdicts")}`,
  sensitive: "/sensitive",
  findings: "/findings",
  finding: `/findings/${await first("findings")}`,
  policies: "/policies",
  mitigation: "/mitigation",
  search: "/search?q=checkout",
  settings: "/settings",
};
const at = (all, q) => Math.round(all.toSorted((a, b) => a - b)[Math.min(all.length - 1, Math.floor(q * all.length))]);
const [firsts, wholes] = [[], []];
console.log("| page | first paint, median | p95 | all there, median | p95 |\n|---|---|---|---|---|");
for (const [what, path] of Object.entries(pages)) {
  const [paints, ends] = [[], []];
  for (let n = 0; n <= Number(rounds); n++) {
    await page.goto(url + path, { waitUntil: "commit" });
    await page.waitForSelector("main h1");
    const end = await page.waitForFunction(() => {
      const waits = document.querySelector("main .skeleton, main [aria-busy=true]");
      const painted = performance.getEntriesByName("first-contentful-paint")[0];
      return !waits && painted ? [painted.startTime, performance.now()] : false;
    });
    const [paint, whole] = await end.jsonValue();
    if (n > 0) {
      paints.push(paint);
      ends.push(whole);
    }
  }
  firsts.push(at(paints, 0.95));
  wholes.push(at(ends, 0.95));
  console.log(`| ${what} | ${at(paints, 0.5)} ms | ${firsts.at(-1)} ms | ${at(ends, 0.5)} ms | ${wholes.at(-1)} ms |`);
}
console.log(`\nslowest page at p95: first paint ${Math.max(...firsts)} ms, all there ${Math.max(...wholes)} ms; ${rounds} rounds`);
await browser.close();
process.exit(Math.max(...firsts) < 1_000 ? 0 : 1);
