// A person with a real browser sets up the gateway's second factor: reads the picture as an
// authenticator app does (zbarimg), types what the app shows (oathtool), keeps the recovery codes.
//
//   SITE=http://vault.localhost:8080/ SHOTS=folder node second_factor.mjs
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
const context = await browser.newContext({ viewport: { width: 900, height: 900 }, javaScriptEnabled: false });
const page = await context.newPage();
page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
const requests = [];
page.on('request', (request) => requests.push(request.url()));

await page.goto(process.env.SITE);
await page.fill('input[name=login]', 'alice');
await page.fill('input[name=password]', 'any');
await page.click('button[type=submit]');
await page.waitForURL('**/second-factor?**');
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
await page.click('button[type=submit]');
await page.waitForSelector('.codes li');
const codes = await page.locator('.codes li').allInnerTexts();
assert.equal(codes.length, 10);
await page.screenshot({ path: path.join(shots, 'recovery-codes.png'), fullPage: true });
await page.click('button[type=submit]');
await page.waitForURL(process.env.SITE);
const told = JSON.parse(await page.locator('body').innerText());
await page.goto(new URL(process.env.GATEWAY + '/second-factor').href);
await page.screenshot({ path: path.join(shots, 'own-second-factor.png'), fullPage: true });
assert.match(await page.locator('main').innerText(), /10 recovery codes are left/);

await browser.close();
const broken = problems.filter((problem) => /Content.Security.Policy|Refused to/i.test(problem));
assert.deepEqual(broken, []);
console.log(JSON.stringify({ user: told.headers['x-forwarded-user'][0] }));
