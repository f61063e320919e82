// Drives the page in a headless Chromium, told by a test what is where.
//
//   node drive.mjs '{"address": "http://127.0.0.1:1", "chromium": "/usr/bin/chromium",
//                    "shots": "DIR" | null, "file": "FILE", "runs": {…}, "pages": […]}'
//
// Prints one JSON object of what it saw. A step that does not come to pass fails the process.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import puppeteer from "puppeteer-core";

const task = JSON.parse(process.argv[2]);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const saw = { faults: [], paints: {}, console: [] };
const at = (path) => task.address + path;

const browser = await puppeteer.launch({
  executablePath: task.chromium,
  headless: true,
  args: ["--no-sandbox", "--disable-dev-shm-usage", "--force-color-profile=srgb", "--hide-scrollbars"],
});

async function opened(path, { width = 1280, height = 860, dark = false } = {}) {
  const page = await browser.newPage();
  page.setDefaultTimeout(30_000);
  await page.setViewport({ width, height, deviceScaleFactor: 1 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }]);
  page.on("console", (message) => {
    // A browser says itself that an answer was no success.
    // So it does where a stream of events ends because its page is left.
    const itself = /status of 4\d\d|^\[object Event\]$/.test(message.text());
    if (message.type() === "error" && !itself) saw.console.push(`${path}: ${message.text()}`);
  });
  page.on("pageerror", (error) => saw.console.push(`${path}: ${error}`));
  await page.goto(at(path), { waitUntil: "load" });
  return page;
}

async function shot(page, name) {
  if (task.shots) await page.screenshot({ path: `${task.shots}/${name}.png` });
}

// Serious and critical faults, as axe names them. It runs beside the page, whose policy allows
// no script of others.
async function check(page, what) {
  await page.setBypassCSP(true);
  await page.reload({ waitUntil: "load" });
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  for (const fault of found.violations) {
    if (fault.impact === "serious" || fault.impact === "critical") {
      saw.faults.push(`${what}: ${fault.id} (${fault.impact}) at ${fault.nodes.slice(0, 3).map((n) => n.target.join(" ")).join(", ")}: ${fault.nodes[0].any.concat(fault.nodes[0].all).map((c) => c.message).join("; ")}`);
    }
  }
}

// What sticks out of a narrow page.
const sticksOut = (page) => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);

// A run by the form, with an upload, until its end is seen without a reload.
{
  const page = await opened("/workflows");
  await page.click(`a[href="/workflows/${task.start}/start"]`);
  await page.waitForSelector("#start");
  await page.type("input[type=text]", "hello");
  const file = await page.$("input[type=file]");
  await file.uploadFile(task.file);
  await page.waitForFunction(() => document.querySelector(".chosen li"));
  saw.chosen = await page.$eval(".chosen li", (item) => item.textContent);
  await shot(page, "start");
  await Promise.all([page.waitForNavigation(), page.click("#start button[type=submit]")]);
  saw.started = new URL(page.url()).pathname;
  await page.waitForSelector("#head .status.is-waiting");
  await page.waitForSelector("#head .asks a");
  await shot(page, "run-waiting");
  // A step, by the keyboard from the graph.
  await page.$eval("svg.dag a", (card) => card.focus());
  await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
  saw.step = await page.$eval("h1", (head) => head.textContent.trim().split(/\s+/)[0]);
  await page.goBack();
  await page.waitForSelector("#head .asks a");
  // The answer, and back to a run that goes on to its end.
  await Promise.all([page.waitForNavigation(), page.click("#head .asks a")]);
  await page.type("#comment", "seen in a browser");
  await Promise.all([page.waitForNavigation(), page.click("#answer button[value=yes]")]);
  await page.waitForSelector("#head .status.is-succeeded");
  saw.ended = new URL(page.url()).pathname;
  // Every card came to be told that it is done.
  await page.waitForFunction(() => !document.querySelector("svg.dag .card.is-waiting"));
  await page.close();
}

// The switch of colours outlives the page; the graph moves by keys.
{
  const page = await opened(saw.started);
  const colour = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await colour();
  await page.click("#theme");
  const dark = await colour();
  await page.reload();
  saw.theme = { changed: light !== dark, kept: (await colour()) === dark };
  await page.click("#theme");
  await page.focus("#canvas");
  const where = () => page.$eval("svg.dag", (svg) => svg.style.transform);
  const before = await where();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("+");
  saw.moves = before !== (await where());
  await page.keyboard.down("Shift");
  await page.keyboard.up("Shift");
  await page.goto(at("/runs"));
  await page.keyboard.press("Tab");
  saw.skip = await page.evaluate(() => document.activeElement.className);
  // What was chosen by the switch counts no more: the system's wish does.
  await page.evaluate(() => localStorage.clear());
  await page.close();
}

// Each page: in the light and in the dark, wide and narrow, and what axe finds.
for (const [name, path] of Object.entries(task.pages)) {
  for (const dark of [false, true]) {
    const page = await opened(path, { dark });
    await shot(page, dark ? `${name}-dark` : name);
    await check(page, `${name}${dark ? " in the dark" : ""}`);
    await page.close();
  }
  const page = await opened(path, { width: 360, height: 740 });
  const over = await sticksOut(page);
  if (over > 0) saw.faults.push(`${name}: ${over} px wider than 360 px`);
  await shot(page, `${name}-narrow`);
  await check(page, `${name} at 360 px`);
  await page.close();
}

// First paint, the middle of five, after one that warms up.
for (const [name, path] of Object.entries(task.paints ?? {})) {
  const times = [];
  for (let at = 0; at < 6; at += 1) {
    const page = await opened(path);
    const painted = await page.evaluate(async () => {
      const find = () => performance.getEntriesByName("first-contentful-paint")[0]?.startTime;
      while (!find()) await new Promise((done) => setTimeout(done, 10));
      return { paint: find(), answered: performance.getEntriesByType("navigation")[0].responseEnd };
    });
    if (at > 0) times.push(painted);
    await page.close();
  }
  times.sort((a, b) => a.paint - b.paint);
  saw.paints[name] = { ...times[2], slowest: times[4].paint };
}

await browser.close();
console.log(JSON.stringify(saw));
