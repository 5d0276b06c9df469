// A person with a real browser at a SAML service provider of another site: logs in with and
// without JavaScript, comes back by a form, logs out.
//
//   SAML='{"provider": its address, "gateway": …, "issuer": the upstream}' node saml.mjs
//
// Prints one JSON line with what was seen; exits with 1 where something was not as it
// should be.
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

const { provider, gateway, issuer } = JSON.parse(process.env.SAML);
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
const problems = [];

async function someone(options = {}) {
  const page = await (await browser.newContext(options)).newPage();
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
  page.on('pageerror', (error) => problems.push(String(error)));
  return page;
}

async function signIn(page, name) {
  await page.waitForURL(`${issuer}/**`);
  await page.fill('input[name=login]', name);
  await page.fill('input[name=password]', 'any');
  await page.click('button[type=submit]');
}

async function told(page, path) {
  await page.waitForURL(`${provider}${path}**`);
  return JSON.parse(await page.locator('body').innerText());
}

// 1. The page that brings the response does so by itself.
const alice = await someone();
await alice.goto(`${provider}/login?relay=a%26b`);
await signIn(alice, 'alice');
const first = await told(alice, '/acs');
assert.equal(first.authenticated, true, first.error);
assert.deepEqual([first.name_id, first.relay_state], ['alice@example.test', 'a&b']);

// 2. By a form of another site: the cookies come, and nobody is asked again.
const seen = [];
alice.on('framenavigated', (frame) => seen.push(frame.url()));
await alice.goto(`${provider}/login?binding=post`);
const second = await told(alice, '/acs');
assert.equal(second.authenticated, true, second.error);
assert.equal(second.session, first.session, 'another session');
assert.ok(seen.some((url) => url.startsWith(gateway)), seen.join(' '));
assert.ok(!seen.some((url) => url.startsWith(issuer)), `asked again: ${seen.join(' ')}`);

// 3. Without JavaScript the button brings it.
const bob = await someone({ javaScriptEnabled: false });
await bob.goto(`${provider}/login`);
await signIn(bob, 'bob');
await bob.waitForURL(`${gateway}/**`);
assert.match(await bob.locator('main').innerText(), /Continue to Guard/);
await bob.click('button[type=submit]');
const third = await told(bob, '/acs');
assert.deepEqual([third.authenticated, third.name_id], [true, 'bob@example.test'], third.error);

// 4. Out, at the service provider, here and upstream.
await alice.goto(`${provider}/logout`);
// pysaml2 names no session: then the person is asked here.
if (alice.url().startsWith(gateway)) {
  assert.match(await alice.locator('main').innerText(), /Log out\?/);
  await alice.click('button[type=submit]');
}
await alice.waitForURL(`${issuer}/**`);
await alice.click('button[name=logout]');
const out = await told(alice, '/slo');
assert.equal(out.logged_out, true, out.error);
await alice.goto(`${provider}/login`);
await alice.waitForURL(`${issuer}/**`);
assert.equal(await alice.locator('input[name=password]').count(), 1, 'still logged in');

await browser.close();
const broken = problems.filter((problem) => /Content.Security.Policy|Refused to/i.test(problem));
assert.deepEqual(broken, []);
console.log(JSON.stringify({ first: first.name_id, second: second.session === first.session, third: third.name_id, out }));
