// A person with a real browser, at the demo: logs in, is refused, sees the rules change
// while it runs, is asked again before an administrator's page, logs out.
//
//   DEMO='<the line that `vestibule demo --json` prints>' SHOTS=folder node browser.mjs
//
// Prints one JSON line with what was seen; exits with 1 where something was not as it
// should be.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { chromium } from 'playwright-core';

const demo = JSON.parse(process.env.DEMO);
const shots = process.env.SHOTS;
fs.mkdirSync(shots, { recursive: true });
const person = (name) => demo.people.find(({ username }) => username === name);
const settings = (policy) => demo.settings[policy];

const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
});
const seen = {};
const problems = [];

async function someone(options = {}) {
  const context = await browser.newContext({ viewport: { width: 900, height: 720 }, ...options });
  const page = await context.newPage();
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
  page.on('pageerror', (error) => problems.push(String(error)));
  return page;
}

async function shoot(page, name) {
  await page.screenshot({ path: path.join(shots, `${name}.png`), fullPage: true });
}

async function logIn(page, name, target = demo.application) {
  await page.goto(target);
  const { username, password } = person(name);
  await page.fill('input[name=username]', username);
  await page.fill('input[name=password]', password);
  await page.click('button[type=submit]');
  await page.waitForLoadState();
}

const text = (page) => page.locator('main').innerText();

// Tries until `done` says so: a new generation comes into force on its own.
async function until(what, attempt, done) {
  const end = Date.now() + 60_000;
  for (;;) {
    const found = await attempt();
    if (done(found)) return found;
    assert.ok(Date.now() < end, `never: ${what}; at last ${found}`);
    await new Promise((wake) => setTimeout(wake, 300));
  }
}

// 1. A login from the application's page to the application's page.
const alice = await someone();
await alice.goto(demo.application);
await shoot(alice, 'local-form');
await logIn(alice, 'alice');
seen.alice = await text(alice);
await shoot(alice, 'application');
assert.match(seen.alice, /Hello, Alice/);
assert.match(seen.alice, /jira-software-users/);
assert.match(seen.alice, /confluence-users/);
assert.doesNotMatch(seen.alice, /jira-administrators/);

// 2. Who gets the default group only keeps what was given by hand.
const bob = await someone();
await logIn(bob, 'bob');
seen.bob = await text(bob);
assert.match(seen.bob, /everybody/);
assert.match(seen.bob, /local-testers/);

// 3. A refused domain: a page in plain words, with the request's id.
const mallory = await someone();
await logIn(mallory, 'mallory');
seen.refused = await text(mallory);
await shoot(mallory, 'refused');
assert.doesNotMatch(seen.refused, /Hello/);
assert.match(seen.refused, /[0-9a-f]{16}/);

// 4. The rules change while the demo runs: broken settings change nothing, good ones do.
const file = settings('domain-restriction');
const before = fs.readFileSync(file, 'utf8');
fs.writeFileSync(file, 'allowed-domains = 7\nno-such-setting = true\n');
await new Promise((wake) => setTimeout(wake, 1500));
const still = await someone();
await logIn(still, 'alice');
assert.match(await text(still), /Hello, Alice/, 'broken settings changed something');
fs.writeFileSync(file, before.replace('example.test; partner.test', 'example.test; elsewhere.test'));
seen.swapped = await until(
  'mallory is let in',
  async () => {
    const again = await someone();
    await logIn(again, 'mallory');
    return text(again);
  },
  (page) => page.includes('Hello'),
);

// 5. The pages of the login itself.
fs.writeFileSync(settings('redirection-rules'), 'ask-identifier = "always"\ndefault = { to = "choose", upstreams = [] }\n');
const carol = await someone();
await until(
  'the identifier page',
  async () => {
    await carol.goto(demo.application);
    return carol.locator('input[name=identifier]').count();
  },
  (count) => count > 0,
);
await shoot(carol, 'identifier');
await carol.fill('input[name=identifier]', 'alice@example.test');
await carol.click('button[type=submit]');
await carol.waitForLoadState();
seen.chooser = await text(carol);
await shoot(carol, 'chooser');
fs.writeFileSync(settings('redirection-rules'), 'default = { to = "auto" }\ndelay-s = 2\n');
const dave = await someone();
await until(
  'the delay page',
  async () => {
    await dave.goto(demo.application);
    return dave.url().startsWith(demo.gateway) && (await dave.locator('input').count());
  },
  // On the way, and nothing to fill in.
  (inputs) => inputs === 0,
);
await shoot(dave, 'delay');
await dave.waitForURL(`${demo.identity_provider}/**`);
fs.writeFileSync(settings('redirection-rules'), 'default = { to = "auto" }\n');

// 6. Dark, and narrow.
const night = await someone({ colorScheme: 'dark', viewport: { width: 390, height: 780 } });
await night.goto(demo.application);
await shoot(night, 'local-form-dark');

// 7. An administrator's page asks for a fresh authentication once the last one is old.
const ada = await someone();
await logIn(ada, 'ada', `${demo.application}admin`);
seen.admin = await text(ada);
assert.match(seen.admin, /Administration/);
assert.match(seen.admin, /jira-administrators/);
const denied = await alice.goto(`${demo.application}admin`);
seen.adminDenied = denied.status();
assert.equal(seen.adminDenied, 403);

// 8. Out.
await alice.goto(demo.application);
await alice.getByRole('link', { name: 'Log out' }).click();
await alice.waitForLoadState();
seen.out = await text(alice);
await shoot(alice, 'logged-out');
await alice.goto(demo.application);
assert.equal(await alice.locator('input[name=password]').count(), 1, 'still logged in');

await browser.close();
// A page of our own that its own Content-Security-Policy breaks says so on the console.
const broken = problems.filter((problem) => /Content.Security.Policy|Refused to/i.test(problem));
assert.deepEqual(broken, []);
console.log(JSON.stringify(seen));
