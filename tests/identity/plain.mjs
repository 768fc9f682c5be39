// A client of nobody's library, for what the libraries do not do: every parameter of an authorization by
// hand, a sign-in that is given back (RFC 7009) and that nothing is left of, a code and a verifier that
// do not belong together. Prints `ok plain ...` a step, and ends with the first that goes wrong.
//
//   URL   a route of the gateway

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';

import { Agent } from './agent.mjs';

const { URL: resource } = process.env;
const REDIRECT = 'http://localhost:49323/callback';
const ask = async (address, options) => {
  const answer = await fetch(address, options);
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, body: text.startsWith('{') ? JSON.parse(text) : text };
};
const post = (address, given) => ask(address, { method: 'POST', body: new URLSearchParams(given) });
const call = token =>
  ask(resource, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...(token ? { authorization: `Bearer ${token}` } : {}),
    },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id: 1,
      method: 'initialize',
      params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'plain', version: '0' } },
    }),
  });

async function step(name, act) {
  try {
    console.log(`ok plain ${name}: ${await act()}`);
  } catch (error) {
    console.log(`not ok plain ${name}: ${error.stack}`);
    process.exit(1);
  }
}

let server;
let client_id;
const agent = new Agent();

/** Signs in; answers the parameters that came back, and the verifier. */
async function authorize(more = {}) {
  const verifier = randomBytes(32).toString('base64url');
  const state = randomBytes(16).toString('hex');
  const query = new URLSearchParams({
    response_type: 'code',
    client_id,
    redirect_uri: REDIRECT,
    scope: 'mcp:read',
    state,
    resource,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    ...more,
  });
  const { url, last } = await agent.open(`${server.authorization_endpoint}?${query}`, { stopAt: REDIRECT });
  assert.equal(last, undefined, `stayed at ${last?.status} ${last?.text?.slice(0, 200)}`);
  assert.equal(url.searchParams.get('state'), state);
  assert.equal(url.searchParams.get('iss'), server.issuer);
  return { given: url.searchParams, verifier };
}

const exchange = (given, code_verifier) =>
  post(server.token_endpoint, {
    grant_type: 'authorization_code',
    code: given.get('code'),
    redirect_uri: REDIRECT,
    client_id,
    code_verifier,
    resource,
  });
const refresh = refresh_token => post(server.token_endpoint, { grant_type: 'refresh_token', refresh_token, client_id, resource });

await step('discovery', async () => {
  const { status, headers } = await call();
  assert.equal(status, 401);
  const [, about] = /resource_metadata="([^"]+)"/.exec(headers.get('www-authenticate'));
  const { body: metadata } = await ask(about);
  assert.equal(metadata.resource, resource);
  const [issuer] = metadata.authorization_servers;
  ({ body: server } = await ask(`${issuer}/.well-known/oauth-authorization-server`));
  assert.equal(server.issuer, issuer);
  assert.deepEqual(server.code_challenge_methods_supported, ['S256']);
  return issuer;
});

await step('registration', async () => {
  const answer = await ask(server.registration_endpoint, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    // The port is not the one that will be used (RFC 8252 section 7.3).
    body: JSON.stringify({
      client_name: 'Plain',
      redirect_uris: ['http://localhost/callback'],
      token_endpoint_auth_method: 'none',
      application_type: 'native',
    }),
  });
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  ({ client_id } = answer.body);
  return 'a native client whose port is not known yet';
});

await step('verifier', async () => {
  const { given } = await authorize();
  const { status, body } = await exchange(given, randomBytes(32).toString('base64url'));
  assert.deepEqual([status, body.error], [400, 'invalid_grant']);
  return 'a code is worth nothing with the verifier of somebody else';
});

await step('denied', async () => {
  agent.decision = 'deny';
  const { given } = await authorize({ prompt: 'consent' });
  agent.decision = 'allow';
  assert.equal(given.get('error'), 'access_denied');
  assert.equal(given.get('code'), null);
  return 'who says no is heard';
});

await step('revoke', async () => {
  const { given, verifier } = await authorize();
  const { body: tokens } = await exchange(given, verifier);
  assert.equal(tokens.token_type, 'Bearer', JSON.stringify(tokens));
  assert.equal((await call(tokens.access_token)).status, 200);
  const { status } = await post(server.revocation_endpoint, {
    token: tokens.refresh_token,
    token_type_hint: 'refresh_token',
    client_id,
  });
  assert.equal(status, 200);
  const again = await refresh(tokens.refresh_token);
  assert.deepEqual([again.status, again.body.error], [400, 'invalid_grant']);
  const rest = await call(tokens.access_token);
  assert.equal(rest.status, 401, 'RFC 7009 section 2.1: the access token goes with it');
  assert.match(rest.headers.get('www-authenticate'), /error="invalid_token"/);
  return 'nothing is left of a sign-in that was given back';
});
