// The pages as people see them, in Chromium without a window: with scripts and without, in light and in
// dark. An authorization as a client begins it, from the choice of the provider to the client's own
// address; a sign-in without a client; an error. On every page of the gateway: no complaint of the
// browser about the content security policy, nothing loaded from elsewhere, a language, a title, one
// heading, a name for everything that can be used, text that can be read, no way into a frame of others.
//
//   ISSUER, URL   the gateway, and a route of it
//   CERTIFICATE   its certificate, which the browser is told to trust and no other
//   CHROMIUM      the browser
//   ARTIFACTS     where the pictures go

import assert from 'node:assert/strict';
import { createHash, randomBytes, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';

import { chromium } from 'playwright-core';

const { ISSUER, URL: RESOURCE, CERTIFICATE, CHROMIUM, ARTIFACTS } = process.env;

/** WCAG 2.2, 1.4.3: normal text against what is behind it. */
const CONTRAST = 4.5;

/** A page of somebody else: where clients get their answers, and where frames are tried. */
async function elsewhere() {
  let frame = 'about:blank';
  const server = http.createServer((request, response) => {
    response.writeHead(200, {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': "img-src 'none'",
    });
    response.end(
      request.url.startsWith('/frame')
        ? `<!doctype html><title>Frame</title><iframe src="${frame.replaceAll('&', '&amp;')}"></iframe>`
        : '<!doctype html><title>The client</title><h1>Back at the client</h1><img src="https://localhost:1/x">',
    );
  });
  await new Promise(done => server.listen(0, '127.0.0.1', done));
  const origin = `http://127.0.0.1:${server.address().port}`;
  return { origin, close: () => server.close(), show: address => ((frame = address), `${origin}/frame`) };
}

const client = await elsewhere();
const browser = await launch();
const failures = [];
try {
  for (const javaScriptEnabled of [true, false]) {
    for (const colorScheme of ['light', 'dark']) await look({ javaScriptEnabled, colorScheme });
  }
} finally {
  await browser.close();
  client.close();
}
for (const failure of failures) console.log(`not ok browser: ${failure}`);
if (failures.length) process.exit(1);
console.log(`ok browser: every page, with and without scripts; pictures in ${ARTIFACTS}`);

async function launch() {
  const { publicKey } = new X509Certificate(readFileSync(CERTIFICATE));
  const pin = createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('base64');
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [`--ignore-certificate-errors-spki-list=${pin}`, ...(process.getuid() === 0 ? ['--no-sandbox'] : [])],
  });
}

async function look({ javaScriptEnabled, colorScheme }) {
  const kind = `${colorScheme}${javaScriptEnabled ? '' : '-without-scripts'}`;
  const context = await browser.newContext({ javaScriptEnabled, colorScheme, viewport: { width: 900, height: 700 } });
  const page = await context.newPage();
  const heard = [];
  page.on('console', message => {
    if (/Content[- ]Security[- ]Policy/i.test(message.text())) heard.push(message.text());
  });
  page.on('pageerror', error => heard.push(`${error}`));
  // The consent page cannot be asked for once more to try it in a frame, hence also what it says itself.
  page.on('response', response => {
    if (!response.url().startsWith(ISSUER) || !response.request().isNavigationRequest()) return;
    const { 'content-type': type = '', 'content-security-policy': policy = '' } = response.headers();
    if (type.startsWith('text/html') && !/frame-ancestors 'none'/.test(policy)) heard.push('says nothing about frames');
  });
  const foreign = [];
  page.on('request', request => {
    const from = request.frame()?.url() ?? '';
    if (from.startsWith(ISSUER) && !request.isNavigationRequest()) foreign.push(request.url());
  });
  const seen = async (name, more = {}) => {
    // Taking a picture touches the page, hence afterwards.
    const wrong = [...(await faults(page, context)), ...heard.splice(0), ...foreign.splice(0).map(one => `loads ${one}`)];
    await page.screenshot({ path: path.join(ARTIFACTS, `${name}-${kind}.png`), fullPage: true });
    if (more.framed !== false && (await framed(context, page.url()))) wrong.push('can be framed');
    failures.push(...wrong.map(one => `${name} (${kind}): ${one}`));
  };

  // What is listened for can be heard: this page has everything that ours may not have.
  await page.goto(client.origin);
  assert.ok(heard.splice(0).length, 'the browser did not complain about a page with a foreign picture');
  assert.ok(await framed(context, client.origin), 'a page that allows it was not framed');
  assert.ok((await faults(page, context)).includes('no language'));

  const user = `browser-${kind}`;
  const { address, state } = await authorization();
  await page.goto(address);
  await seen('chooser');
  await page.getByRole('link', { name: 'Proof provider' }).click();
  await signIn(page, user);
  assert.ok(page.url().startsWith(ISSUER), `stranded at ${page.url()}`);
  // Asking for this address once more would be another sign-in.
  await seen('consent', { framed: false });
  const text = await page.locator('body').innerText();
  for (const word of ['Proof in a browser', '127.0.0.1', 'mcp:read']) {
    if (!text.includes(word)) failures.push(`consent (${kind}): does not say ${word}`);
  }
  await page.locator('button[name=decision][value=allow]').click();
  await page.waitForURL(`${client.origin}/callback**`);
  heard.splice(0);
  const answer = new URL(page.url()).searchParams;
  assert.equal(answer.get('state'), state);
  assert.equal(answer.get('iss'), ISSUER);
  assert.ok(answer.get('code'), `${answer}`);

  await page.goto(`${ISSUER}/auth/login?provider=proof`);
  const choice = page.getByRole('link', { name: 'Proof provider' });
  if (await choice.count()) await choice.click();
  if (!page.url().startsWith(ISSUER)) await signIn(page, user);
  await seen('signed-in', { framed: false });

  await page.goto(`${ISSUER}/oauth/authorize?client_id=nobody&redirect_uri=https://evil.example/`);
  assert.ok(page.url().startsWith(ISSUER), 'an unknown client is no reason to send anybody anywhere');
  await seen('error');
  await context.close();
}

/** Fills in the form of the login provider. */
async function signIn(page, user) {
  await page.locator('input[name=user]').fill(user);
  await page.locator('button[value=allow]').click();
  await page.waitForLoadState();
}

/** Registers a client and answers the address at which its user begins. */
async function authorization() {
  const redirect = `${client.origin}/callback`;
  const answer = await fetch(`${ISSUER}/oauth/register`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      client_name: 'Proof in a browser <b>&amp;</b>',
      redirect_uris: [redirect],
      token_endpoint_auth_method: 'none',
    }),
  });
  assert.equal(answer.status, 201, await answer.clone().text());
  const { client_id } = await answer.json();
  const state = randomBytes(16).toString('hex');
  const query = new URLSearchParams({
    response_type: 'code',
    client_id,
    redirect_uri: redirect,
    scope: 'mcp:read',
    state,
    resource: RESOURCE,
    code_challenge: createHash('sha256').update(randomBytes(32)).digest('base64url'),
    code_challenge_method: 'S256',
  });
  return { address: `${ISSUER}/oauth/authorize?${query}`, state };
}

/** Whether a page of another origin can show this one inside itself. */
async function framed(context, address) {
  const page = await context.newPage();
  try {
    await page.goto(client.show(address));
    await page.waitForLoadState('load');
    const frame = page.frames().find(one => one !== page.mainFrame());
    const text = await frame.locator('body').innerText({ timeout: 2000 }).catch(() => '');
    return frame.url().startsWith(new URL(address).origin) && text.trim() !== '';
  } finally {
    await page.close();
  }
}

/** What is wrong with the page for those who cannot see it, and for those who can. */
async function faults(page, context) {
  const found = await page.evaluate(measure, CONTRAST);
  const session = await context.newCDPSession(page);
  const { nodes } = await session.send('Accessibility.getFullAXTree');
  const usable = ['button', 'link', 'textbox', 'checkbox', 'radio', 'combobox'];
  for (const node of nodes) {
    if (node.ignored || !usable.includes(node.role?.value)) continue;
    if (!node.name?.value?.trim()) found.push(`a ${node.role.value} without a name`);
  }
  await session.detach();
  return found;
}

/** Runs in the page. */
function measure(least) {
  const wrong = [];
  if (!document.documentElement.lang) wrong.push('no language');
  if (!document.title.trim()) wrong.push('no title');
  if (document.querySelectorAll('h1').length !== 1) wrong.push(`${document.querySelectorAll('h1').length} headings h1`);
  if (!document.querySelector('main')) wrong.push('no main part');
  if (document.querySelector('script,[onclick],[onload]')) wrong.push('a script');
  if (document.querySelector('[style]')) wrong.push('a style on an element');
  const numbers = text => (text.match(/[\d.]+/g) ?? []).map(Number);
  const light = ([red, green, blue]) => {
    const [r, g, b] = [red, green, blue].map(one => {
      const part = one / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  const canvas = /dark/.test(getComputedStyle(document.documentElement).colorScheme) && dark ? [18, 18, 18] : [255, 255, 255];
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = numbers(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return canvas;
  };
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!own || ['STYLE', 'SCRIPT', 'OPTION'].includes(element.tagName)) continue;
    const [one, other] = [light(numbers(getComputedStyle(element).color)), light(behind(element))].sort((a, b) => b - a);
    const contrast = (one + 0.05) / (other + 0.05);
    if (contrast < least) wrong.push(`${contrast.toFixed(1)}:1 contrast of "${element.textContent.trim().slice(0, 40)}"`);
  }
  return wrong;
}
