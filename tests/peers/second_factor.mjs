// A person with a real browser sets up the gateway's second factor: reads the picture as an
// authenticator app does (zbarimg), types what the app shows (oathtool), keeps the recovery codes.
//
//   SITE=http://vault.localhost:8080/ SHOTS=folder node second_factor.mjs
//
// With FACTOR=passkey: a passkey of the browser's virtual authenticator (CDP, WebAuthn) instead, also at
// ADMIN, where nothing less will do.
//
// Prints one JSON line with what was seen; exits with 1 where something was not as it should be.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { chromium } from 'playwright-core';

const shots = process.env.SHOTS;
fs.mkdirSync(shots, { recursive: true });
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'],
});
const problems = [];
const isPasskey = process.env.FACTOR === 'passkey';
const context = await browser.newContext({ viewport: { width: 900, height: 900 }, javaScriptEnabled: isPasskey });
const page = await context.newPage();
page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
const requests = [];
page.on('request', (request) => requests.push(request.url()));

const first = async () => {
  await context.clearCookies();
  await page.goto(process.env.SITE);
  await page.fill('input[name=login]', 'alice');
  await page.fill('input[name=password]', 'any');
  await page.click('button[type=submit]');
  await page.waitForURL('**/second-factor?**');
};
const shot = (name) => page.screenshot({ path: path.join(shots, `${name}.png`), fullPage: true });
const told = async () => {
  const { headers } = JSON.parse(await page.locator('body').innerText());
  const claims = headers['x-vestibule-assertion'][0].split('.')[1];
  return { user: headers['x-forwarded-user'][0], ...JSON.parse(Buffer.from(claims, 'base64url')) };
};
const end = async (line) => {
  await browser.close();
  const broken = problems.filter((problem) => /Content.Security.Policy|Refused to/i.test(problem));
  assert.deepEqual(broken, []);
  console.log(JSON.stringify(line));
};

const passkey = async () => {
  const devices = await context.newCDPSession(page);
  await devices.send('WebAuthn.enable');
  const { authenticatorId } = await devices.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true,
      isUserVerified: true, automaticPresenceSimulation: true,
    },
  });
  const verifies = (isUserVerified) => devices.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified });
  await first();
  await shot('passkey-set-up');
  await page.fill('input[name=name]', 'My phone');
  await page.click('text=Set up a passkey');
  await page.waitForSelector('.codes li');
  const codes = await page.locator('.codes li').allInnerTexts();
  assert.equal(codes.length, 10);
  await page.click('button[type=submit]');
  await page.waitForURL(process.env.SITE);
  assert.equal((await told()).acr, 'urn:vestibule:second-factor');
  assert.deepEqual((await told()).amr, ['pop', 'user', 'mfa']);
  const { credentials } = await devices.send('WebAuthn.getCredentials', { authenticatorId });
  assert.deepEqual(credentials.map((one) => one.rpId), [new URL(process.env.GATEWAY).hostname]);

  // Whoever is not verified is told so, and then uses it after all.
  await first();
  await shot('passkey-use');
  await verifies(false);
  await page.click('text=Use a passkey');
  await page.waitForSelector('[data-failure]:visible');
  await shot('passkey-failed');
  await verifies(true);
  await page.click('text=Use a passkey');
  await page.waitForURL(process.env.SITE);
  const { user } = await told();

  // There a passkey is wanted, and one that was asked for.
  await page.goto(process.env.ADMIN);
  await page.waitForURL('**/second-factor?**');
  await shot('passkey-wanted');
  await page.click('text=Use a passkey');
  await page.waitForURL(process.env.ADMIN);
  assert.equal((await told()).acr, 'urn:vestibule:second-factor:phishing-resistant');

  // One's own page: this device has one already.
  await page.goto(new URL(process.env.GATEWAY + '/second-factor').href);
  await page.click('text=Add a passkey');
  await page.waitForSelector('[data-failure]:visible');
  assert.match(await page.locator('[data-failure]').innerText(), /has a passkey for you already/);
  await shot('passkey-own');

  // An app beside it, for which the passkey vouches. Enter in a field changes nothing.
  await page.goto(new URL(process.env.GATEWAY + '/second-factor').href);
  await page.click('summary');
  const secret = (await page.locator('#secret').innerText()).replaceAll(' ', '');
  await shot('passkey-and-app');
  await page.fill('input[name=app-code]', execFileSync('oathtool', ['--totp', '--base32', secret], { encoding: 'utf8' }).trim());
  await page.press('input[name=app-code]', 'Enter');
  assert.match(await page.locator('main').innerText(), /Add an authenticator app/);
  await page.click('text=Add the app');
  await page.waitForSelector('text=with an authenticator app');
  assert.equal(await page.locator('details').count(), 0);
  assert.equal(await page.locator('.rows li').count(), 1);

  // It is lost: the way back.
  await devices.send('WebAuthn.removeVirtualAuthenticator', { authenticatorId });
  await first();
  await page.fill('input[name=code]', codes[0]);
  await page.click('text=Continue');
  await page.waitForURL(process.env.SITE);
  await end({ user });
};
if (isPasskey) {
  await passkey();
  process.exit(0);
}

await first();
const picture = path.join(shots, 'second-factor.png');
requests.length = 0;
await page.reload();
await page.screenshot({ path: picture, fullPage: true });
// Nothing is fetched for the picture: no other site learns of it.
assert.deepEqual(requests.map((url) => new URL(url).pathname), [new URL(page.url()).pathname]);

const read = execFileSync('zbarimg', ['--quiet', '--raw', picture], { encoding: 'utf8' }).trim();
const uri = new URL(read);
assert.equal(`${uri.protocol}//${uri.host}`, 'otpauth://totp');
assert.equal(uri.searchParams.get('issuer'), 'The Gate');
const secret = uri.searchParams.get('secret');
assert.equal((await page.locator('#secret').innerText()).replaceAll(' ', ''), secret);
assert.equal(await page.locator('#uri').getAttribute('href'), read);

const code = execFileSync('oathtool', ['--totp', '--base32', secret], { encoding: 'utf8' }).trim();
await page.fill('input[name=code]', code);
await page.locator('button[type=submit]:visible').click();
await page.waitForSelector('.codes li');
const codes = await page.locator('.codes li').allInnerTexts();
assert.equal(codes.length, 10);
await page.screenshot({ path: path.join(shots, 'recovery-codes.png'), fullPage: true });
await page.click('button[type=submit]');
await page.waitForURL(process.env.SITE);
const { user } = await told();
await page.goto(new URL(process.env.GATEWAY + '/second-factor').href);
await page.screenshot({ path: path.join(shots, 'own-second-factor.png'), fullPage: true });
assert.match(await page.locator('main').innerText(), /10 recovery codes are left/);

await end({ user });
