// The providers themselves, asked by nobody's library: what the gateway meets there has to be what it
// meets outside. CERTIFICATES is the folder with tls.pem and tls.key; both names of the loopback are in it.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import path from 'node:path';
import { after, test } from 'node:test';

import { createRemoteJWKSet, jwtVerify } from 'jose';

import { Agent, fetchSite } from './agent.mjs';
import { read } from './html.mjs';
import { Jar } from './jar.mjs';

const BACK = 'https://localhost:9/auth/callback';
const { CERTIFICATES } = process.env;
const children = [];
after(() => children.forEach(child => child.kill()));

/** Starts a server of the proof and answers its address. */
async function started(script, more = {}) {
  const tls = { TLS_CERT: `${CERTIFICATES}/tls.pem`, TLS_KEY: `${CERTIFICATES}/tls.key` };
  const child = spawn(process.execPath, [path.join(import.meta.dirname, script)], {
    env: { ...process.env, ...tls, REDIRECT_URIS: BACK, ...more },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  children.push(child);
  const [line] = await once(child.stdout, 'data');
  return JSON.parse(`${line}`.split('\n')[0]).url;
}

const agent = user => new Agent({ user, decision: 'allow' });
const form = (url, given, headers = {}) =>
  fetch(url, { method: 'POST', body: new URLSearchParams(given), headers });

/** Goes to a provider's page as somebody and comes back with the answer's parameters. */
async function answered(url, who) {
  const { url: back, last } = await who.open(url, { stopAt: BACK });
  assert.equal(last, undefined, `stayed at ${last?.status} ${last?.text}`);
  return back.searchParams;
}

const basic = (id, secret) => ({ authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` });

for (const TLS of [true, false]) {
  test(`the OpenID provider signs in over ${TLS ? 'https' : 'http'}`, async () => {
    const issuer = await started('provider.mjs', TLS ? {} : { TLS_CERT: '', TLS_KEY: '' });
    const found = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();
    assert.equal(found.issuer, issuer);
    assert.equal(found.registration_endpoint, undefined, 'a provider without registration');
    const verifier = randomBytes(32).toString('base64url');
    const asked = {
      response_type: 'code',
      client_id: 'sallygate',
      redirect_uri: BACK,
      scope: 'openid profile email',
      state: 'the-state',
      nonce: 'the-nonce',
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
    };
    const at = given => `${found.authorization_endpoint}?${new URLSearchParams(given)}`;

    const { code_challenge, ...plain } = asked;
    assert.equal((await answered(at(plain), agent('alice'))).get('error'), 'invalid_request');
    const denied = new Agent({ user: 'alice', decision: 'deny' });
    assert.equal((await answered(at(asked), denied)).get('error'), 'access_denied');

    const answer = await answered(at(asked), agent('premium-alice@team7'));
    assert.equal(answer.get('state'), 'the-state');
    assert.equal(answer.get('iss'), issuer);
    const secret = 'canary-not-a-real-oidc-client-secret';
    const exchange = { grant_type: 'authorization_code', code: answer.get('code'), redirect_uri: BACK };
    const refused = await form(found.token_endpoint, { ...exchange, code_verifier: verifier }, basic('sallygate', 'x'));
    assert.equal(refused.status, 401);
    const given = await form(found.token_endpoint, { ...exchange, code_verifier: verifier }, basic('sallygate', secret));
    const tokens = await given.json();
    const keys = createRemoteJWKSet(new URL(found.jwks_uri));
    const { payload } = await jwtVerify(tokens.id_token, keys, { issuer, audience: 'sallygate' });
    assert.equal(payload.nonce, 'the-nonce');
    assert.equal(payload.tier, undefined, 'claims are in userinfo');
    const bearer = { authorization: `Bearer ${tokens.access_token}` };
    const info = await (await fetch(found.userinfo_endpoint, { headers: bearer })).json();
    assert.equal(info.sub, payload.sub);
    assert.deepEqual([info.tier, info.team, info.email_verified], ['premium', 'team7', true]);
    const again = await form(found.token_endpoint, { ...exchange, code_verifier: verifier }, basic('sallygate', secret));
    assert.equal((await again.json()).error, 'invalid_grant');

    const hinted = { ...asked, login_hint: 'bob' };
    const { url: back, pages } = await agent('nobody').open(at(hinted), { stopAt: BACK });
    assert.ok(back.searchParams.get('code'));
    assert.equal(pages.length, 0, 'a hint needs no form');
  });
}

test('ClickUp gives a token and nothing else, once', async () => {
  const base = await started('clickup.mjs');
  const id = { client_id: 'SALLYGATEPROOF', client_secret: 'canary-not-a-real-clickup-client-secret' };
  const at = `${base}/api?${new URLSearchParams({ client_id: id.client_id, redirect_uri: BACK, state: 's' })}`;
  const answer = await answered(at, agent('183'));
  assert.deepEqual([...answer.keys()].sort(), ['code', 'state']);
  const code = answer.get('code');

  const wrong = await form(`${base}/api/v2/oauth/token`, { ...id, client_secret: 'x', code });
  assert.equal((await wrong.json()).ECODE, 'OAUTH_011');
  const given = await form(`${base}/api/v2/oauth/token`, { ...id, code });
  const tokens = await given.json();
  assert.deepEqual(Object.keys(tokens), ['access_token']);
  const again = await fetch(`${base}/api/v2/oauth/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...id, code }),
  });
  assert.deepEqual(await again.json(), { err: 'Code already used', ECODE: 'OAUTH_014' });

  const ask = (what, token) => fetch(`${base}/api/v2/${what}`, { headers: token ? { authorization: token } : {} });
  assert.equal((await (await ask('user')).json()).ECODE, 'OAUTH_017');
  assert.equal((await ask('user', 'Bearer nobody')).status, 401);
  const { user } = await (await ask('user', `Bearer ${tokens.access_token}`)).json();
  assert.strictEqual(user.id, 183);
  const { teams } = await (await ask('team', `Bearer ${tokens.access_token}`)).json();
  assert.deepEqual(teams.map(team => team.id), ['9001', '9002']);
  const foreign = await fetch(`${base}/api?client_id=${id.client_id}&redirect_uri=https://evil.example/`);
  assert.equal((await foreign.json()).ECODE, 'OAUTH_007');
});

test('GitHub says no with 200, and wants to know who asks', async () => {
  const base = await started('github.mjs');
  const id = { client_id: 'Iv1.proof', client_secret: 'canary-not-a-real-github-client-secret' };
  const at = `${base}/login/oauth/authorize?${new URLSearchParams({ client_id: id.client_id, redirect_uri: BACK, state: 's', scope: 'read:user user:email' })}`;
  const code = (await answered(at, agent('octo'))).get('code');
  const json = { accept: 'application/json' };
  const wrong = await form(`${base}/login/oauth/access_token`, { ...id, code: 'x' }, json);
  assert.equal(wrong.status, 200);
  assert.equal((await wrong.json()).error, 'bad_verification_code');
  const given = await form(`${base}/login/oauth/access_token`, { ...id, code }, json);
  const tokens = await given.json();
  assert.equal(tokens.scope, 'read:user,user:email');
  const bearer = { authorization: `Bearer ${tokens.access_token}` };
  const mails = await (await fetch(`${base}/api/v3/user/emails`, { headers: bearer })).json();
  assert.deepEqual(mails.map(mail => mail.verified), [false, true]);
  const nameless = await fetch(`${base}/api/v3/user`, { headers: { ...bearer, 'user-agent': '' } });
  assert.equal(nameless.status, 403);
});

test('the agent keeps cookies and says where it comes from as browsers do', () => {
  const here = new URL('https://localhost:1/a');
  const there = new URL('https://127.0.0.1:1/a');
  const port = new URL('https://localhost:2/a');
  assert.equal(fetchSite(undefined, [here]), 'none');
  assert.equal(fetchSite(here, [here]), 'same-origin');
  assert.equal(fetchSite(here, [port]), 'same-site');
  assert.equal(fetchSite(here, [there, here]), 'cross-site', 'the way counts, not only its end');

  const jar = new Jar();
  const refused = jar.take(here, [
    '__Host-a=1; Path=/; Secure; SameSite=Lax',
    '__Host-b=1; Path=/',
    '__Host-c=1; Path=/x; Secure',
    'strict=1; Path=/; SameSite=Strict',
    'gone=1; Path=/; Max-Age=0',
  ]);
  assert.equal(refused.length, 2);
  assert.equal(jar.header(here, { foreign: false, safe: true }), '__Host-a=1; strict=1');
  assert.equal(jar.header(here, { foreign: true, safe: true }), '__Host-a=1');
  assert.equal(jar.header(here, { foreign: true, safe: false }), '');
  assert.equal(jar.header(there, { foreign: false, safe: true }), '', 'another host');
  assert.equal(jar.header(new URL('http://localhost:1/'), { foreign: false, safe: true }), 'strict=1');
});

test('the agent reads forms as they are meant', () => {
  const { forms, links, title } = read(
    '<title>A &amp; B</title><!-- <form action="/no"></form> --><a href="/l?a=1&amp;provider=x">Go <b>on</b></a>' +
      '<form method=POST action="/yes?a=1&amp;b=2"><input type=hidden name=h value="&quot;q&quot;">' +
      '<input name="user"><input type=checkbox name=c><select name=s><option value=1>one<option value=2 selected>two</select>' +
      '<button name="decision" value=allow>Yes</button></form>',
  );
  assert.equal(title, 'A & B');
  assert.deepEqual(links, [{ href: '/l?a=1&provider=x', text: 'Go on' }]);
  assert.equal(forms.length, 1);
  const [one] = forms;
  assert.deepEqual([one.method, one.action], ['post', '/yes?a=1&b=2']);
  assert.deepEqual(one.fields.map(field => [field.name, field.value]), [['h', '"q"'], ['user', ''], ['s', '2']]);
  assert.deepEqual(one.buttons, [{ name: 'decision', value: 'allow', text: 'Yes' }]);
});
