// A client of nobody's library: every parameter of discovery, registration, authorization and exchange
// is written by hand, so that each can also be left out or be wrong.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';

import { exchange } from './agent.mjs';

/** Asks, and reads an answer in JSON as such. */
export async function ask(address, { method = 'GET', headers = {}, body = '' } = {}) {
  const length = { 'content-length': Buffer.byteLength(body) };
  const answer = await exchange(new URL(address), { method, headers: { ...headers, ...length } }, body);
  const text = answer.body;
  return { ...answer, body: text.startsWith('{') ? JSON.parse(text) : text };
}

export const post = (address, given) =>
  ask(address, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: `${new URLSearchParams(given)}`,
  });

export class Client {
  redirect = 'http://localhost:49323/callback';

  constructor(resource) {
    this.resource = resource;
  }

  /** From the refusal of a call to the authorization server. */
  async discover() {
    const { status, headers } = await this.call();
    assert.equal(status, 401);
    const [, about] = /resource_metadata="([^"]+)"/.exec(headers['www-authenticate']);
    const { body: metadata } = await ask(about);
    assert.equal(metadata.resource, this.resource);
    const [issuer] = metadata.authorization_servers;
    ({ body: this.server } = await ask(`${issuer}/.well-known/oauth-authorization-server`));
    assert.equal(this.server.issuer, issuer);
    assert.deepEqual(this.server.code_challenge_methods_supported, ['S256']);
    return issuer;
  }

  /** Registers, as a native client whose port is not known yet (RFC 8252 section 7.3) or as it is told. */
  async register(metadata = { redirect_uris: ['http://localhost/callback'], application_type: 'native' }) {
    const answer = await ask(this.server.registration_endpoint, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ client_name: 'By hand', token_endpoint_auth_method: 'none', ...metadata }),
    });
    assert.equal(answer.status, 201, JSON.stringify(answer.body));
    this.id = { client_id: answer.body.client_id };
    if (answer.body.client_secret) this.id.client_secret = answer.body.client_secret;
  }

  /** Where the user is sent, and what proves afterwards who asked. */
  begin(more = {}) {
    const verifier = randomBytes(32).toString('base64url');
    const state = randomBytes(16).toString('hex');
    const query = new URLSearchParams({
      response_type: 'code',
      client_id: this.id.client_id,
      redirect_uri: this.redirect,
      scope: 'mcp:read',
      state,
      resource: this.resource,
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
      ...more,
    });
    return { address: `${this.server.authorization_endpoint}?${query}`, verifier, state };
  }

  /** Signs a user in; answers the parameters that came back, and the verifier. */
  async authorize(agent, more) {
    const { address, verifier, state } = this.begin(more);
    const { url, last } = await agent.open(address, { stopAt: this.redirect });
    assert.equal(last, undefined, `stayed at ${last?.status} ${last?.text?.slice(0, 200)}`);
    assert.equal(url.searchParams.get('state'), state);
    assert.equal(url.searchParams.get('iss'), this.server.issuer);
    return { given: url.searchParams, verifier };
  }

  exchange(given, code_verifier) {
    return post(this.server.token_endpoint, {
      grant_type: 'authorization_code',
      code: given.get('code'),
      redirect_uri: this.redirect,
      ...this.id,
      code_verifier,
      resource: this.resource,
    });
  }

  refresh(refresh_token) {
    const { id, resource } = this;
    return post(this.server.token_endpoint, { grant_type: 'refresh_token', refresh_token, ...id, resource });
  }

  revoke(token, token_type_hint) {
    return post(this.server.revocation_endpoint, { token, token_type_hint, ...this.id });
  }

  /** The first call of MCP, with a token or without one. */
  call(token) {
    return ask(this.resource, {
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
        params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'by-hand', version: '0' } },
      }),
    });
  }
}

/** Prints how a step of `of` went; ends the process with the first that fails. */
export async function step(of, name, act) {
  try {
    console.log(`ok ${of} ${name}: ${await act()}`);
  } catch (error) {
    console.log(`not ok ${of} ${name}: ${error.stack}`);
    process.exit(1);
  }
}

/** What a token says, unproven. */
export const claims = token => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
