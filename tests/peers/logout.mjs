// A person with a real browser, logged in at four applications by one login: behind a proxy, at a SAML service
// provider of another site, at a relying party that is told in a frame, and at one that is told behind the browser's
// back. One logout ends them all. Then again without JavaScript, and with a service provider that does not answer.
//
//   LOGOUT='{"gateway": …, "issuer": the upstream, "board", "guard", "wiki", "chat": addresses}' SHOTS=folder node logout.mjs
//
// Prints one JSON line with what was seen; exits with 1 where something was not as it should be.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { chromium } from 'playwright-core';

const { gateway, issuer, board, guard, wiki, chat } = JSON.parse(process.env.LOGOUT);
const shots = process.env.SHOTS;
fs.mkdirSync(shots, { recursive: true });
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'],
});
const problems = [];

async function someone(options = {}) {
  const context = await browser.newContext({ viewport: { width: 900, height: 720 }, ...options });
  const page = await context.newPage();
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
  page.on('pageerror', (error) => problems.push(String(error)));
  return page;
}

const shot = (page, name) => page.screenshot({ path: path.join(shots, `logout-${name}.png`), fullPage: true });
/** Of a page that is about to leave: playwright's own would wait until it has left. */
async function shotAtOnce(page, name) {
  const devices = await page.context().newCDPSession(page);
  const { data } = await devices.send('Page.captureScreenshot');
  await devices.detach();
  fs.writeFileSync(path.join(shots, `logout-${name}.png`), Buffer.from(data, 'base64'));
}
const json = async (page) => JSON.parse(await page.locator('body').innerText());
const words = (page) => page.locator('main').innerText();
const without = { javaScriptEnabled: false };

/** At every application; asked once who it is, and once whether the wiki may know. */
async function logIn(page, name, scripts = true) {
  await page.goto(`${board}/`);
  await page.waitForURL(`${issuer}/**`);
  await page.fill('input[name=login]', name);
  await page.fill('input[name=password]', 'any');
  await page.click('button[type=submit]');
  await page.waitForURL(`${board}/`);
  await page.goto(`${guard}/login`);
  if (!scripts) await page.click('button[type=submit]');
  await page.waitForURL(`${guard}/acs`);
  assert.equal((await json(page)).authenticated, true);
  for (const [site, asks] of [[wiki, true], [chat, false]]) {
    await page.goto(`${site}/login`);
    if (asks && page.url().startsWith(`${gateway}/oidc/consent`)) {
      assert.match(await words(page), /Continue to Wiki\?/);
      await shot(page, scripts ? `consent-${name}` : 'consent-plain');
      await page.click('button[value=yes]');
    }
    await page.waitForURL(`${site}/cb**`);
    assert.equal(typeof (await json(page)).claims.sid, 'string');
  }
}

/** Where somebody is logged in still: asked at each application, not at the gateway. */
async function where(page) {
  const { request } = page.context();
  const get = async (url) => (await request.get(url, { maxRedirects: 0 })).json();
  const found = [];
  if ((await request.get(`${board}/`, { maxRedirects: 0 })).status() === 200) found.push('board');
  if ((await get(`${guard}/me`)).name_id) found.push('guard');
  if ((await get(`${wiki}/me`)).session) found.push('wiki');
  if ((await get(`${chat}/me`)).session) found.push('chat');
  return found;
}

const everywhere = ['board', 'guard', 'wiki', 'chat'];

/** The relying party is told in the background: it may take a moment. */
async function settled(page, wanted) {
  const end = Date.now() + 10_000;
  for (;;) {
    const found = await where(page);
    if (found.join() === wanted.join() || Date.now() > end) return assert.deepEqual(found, wanted);
    await new Promise((wake) => setTimeout(wake, 200));
  }
}

/** Yes to what the upstream asks. */
async function confirm(page) {
  await page.waitForURL(`${issuer}/**`);
  await page.click('button[name=logout]');
}

// 1. One logout, with every page on its way.
const alice = await someone();
await logIn(alice, 'alice');
await settled(alice, everywhere);
await alice.route(`${wiki}/frontchannel**`, async (route) => {
  await shotAtOnce(alice, 'frames');
  await route.continue();
});
// The service provider takes its time: the page that leads to it is there meanwhile.
let taken;
alice.on('request', (request) => {
  if (request.url().startsWith(`${guard}/slo`)) taken = shotAtOnce(alice, 'telling');
});
const bob = await someone({ colorScheme: 'dark', viewport: { width: 390, height: 780 } });
await logIn(bob, 'bob');
const visited = [];
alice.on('framenavigated', (frame) => frame.parentFrame() || visited.push(frame.url()));
await alice.goto(`${board}/vestibule/logout/board`);
await confirm(alice);
await alice.waitForURL(`${gateway}/logged-out**`);
const out = await words(alice);
assert.match(out, /You are logged out/);
assert.doesNotMatch(out, /confirmed/);
await taken;
await shot(alice, 'out');
await settled(alice, []);
await settled(bob, everywhere);
// In a frame, with its cookie, and of the gateway alone.
const { told } = await (await alice.context().request.get(`${wiki}/sessions`)).json();
assert.deepEqual(told.map(({ frame, ended }) => [frame, ended]), [['iframe', true]]);
assert.ok(visited.some((url) => url.startsWith(`${gateway}/logout/round`)), visited.join(' '));
// Back leads into nothing that is over.
await alice.goto(`${board}/`);
await alice.waitForURL(`${issuer}/**`);
assert.equal(await alice.locator('input[name=password]').count(), 1, 'still logged in');

// 2. The same without JavaScript: by its links and buttons.
const carol = await someone(without);
await logIn(carol, 'carol', false);
await settled(carol, everywhere);
await carol.goto(`${board}/vestibule/logout/board`);
await carol.waitForURL(`${gateway}/logout/round`);
await shot(carol, 'frames-plain');
await carol.click('#go');
await confirm(carol);
await carol.waitForURL(`${gateway}/logged-out**`);
await settled(carol, []);

// 3. One does not answer: whoever waits goes on without it, and hears where a session may live on.
let silent;
const asked = new Promise((resolve) => (silent = resolve));
await bob.route(`${guard}/slo**`, () => silent());
await bob.goto(`${gateway}/oidc/logout?client_id=wiki`);
assert.match(await words(bob), /Wiki asks to end your session here/);
await shot(bob, 'asked-dark');
await bob.click('button[type=submit]');
await asked;
await shotAtOnce(bob, 'telling-dark');
// After ten seconds the page goes on by itself.
await confirm(bob);
await bob.waitForURL(`${gateway}/logged-out**`);
const partial = await words(bob);
assert.match(partial, /Guard/);
assert.doesNotMatch(partial, /Wiki|Chat|Board/);
await shot(bob, 'untold-dark');
await settled(bob, ['guard']);

await browser.close();
const broken = problems.filter((problem) => /Content.Security.Policy|Refused to/i.test(problem));
assert.deepEqual(broken, []);
console.log(JSON.stringify({ out, partial }));
