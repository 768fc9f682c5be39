// The second generation of the TypeScript SDK (@modelcontextprotocol/client) with its own OAuth: it
// registers itself, or names its document; the agent is its browser.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';

import { Agent } from './agent.mjs';
import { env, run } from './steps.mjs';

const REDIRECT = 'http://127.0.0.1:49321/callback';

/** Everything that a program keeps about its sign-in, in memory. */
class Login {
  constructor() {
    this.agent = new Agent();
    this.clientMetadataUrl = env.document;
  }
  redirectUrl = REDIRECT;
  clientMetadata = {
    client_name: 'Proof of the TypeScript SDK',
    redirect_uris: [REDIRECT],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
  };
  state = () => (this.expected = randomUUID());
  clientInformation = () => this.client;
  saveClientInformation = client => void (this.client = client);
  tokens = () => this.kept;
  saveTokens = tokens => void (this.kept = tokens);
  saveCodeVerifier = verifier => void (this.verifier = verifier);
  codeVerifier = () => this.verifier;
  discoveryState = () => this.discovered;
  saveDiscoveryState = found => void (this.discovered = found);
  invalidateCredentials = what => {
    if (what === 'all' || what === 'tokens') this.kept = undefined;
    if (what === 'all' || what === 'client') this.client = undefined;
  };

  async redirectToAuthorization(url) {
    assert.equal(url.searchParams.get('resource'), env.url, 'RFC 8707: the resource is the URL');
    assert.equal(url.searchParams.get('code_challenge_method'), 'S256');
    this.agent.write('begin', url, { scope: url.searchParams.get('scope') });
    const { url: back, last } = await this.agent.open(url.href, { stopAt: REDIRECT });
    this.agent.write('end', back, { status: last?.status, title: last?.title });
    if (last) throw new Error(`not let in: ${last.status} ${last.heading}`);
    assert.equal(back.searchParams.get('state'), this.expected, 'the state is ours');
    assert.ok(back.searchParams.get('iss'), 'RFC 9207: the answer says who gives it');
    this.answer = back.searchParams;
  }
}

const login = new Login();
const negotiation = ['legacy', 'auto'].includes(env.mode) ? env.mode : { pin: env.mode };
let transport;
let sdk;

async function connect() {
  transport = new StreamableHTTPClientTransport(new URL(env.url), { authProvider: login });
  sdk = new Client({ name: 'proof-ts', version: '0' }, { versionNegotiation: { mode: negotiation } });
  await sdk.connect(transport);
}

/** Does it, and once more when the user had to be sent to the browser in between. */
async function authorized(act) {
  try {
    return await act();
  } catch (error) {
    if (!UnauthorizedError.isInstance?.(error) && !(error instanceof UnauthorizedError)) throw error;
    if (!login.answer) throw error;
    const answer = login.answer;
    login.answer = undefined;
    await transport.finishAuth(answer);
    return act();
  }
}

const call = async (name, args, onprogress) => {
  const result = await sdk.callTool({ name, arguments: args }, onprogress ? { onprogress } : {});
  assert.ok(!result.isError, JSON.stringify(result));
  return result.content[0].text;
};

await run({
  async connect() {
    await authorized(connect);
    const version = sdk.getNegotiatedProtocolVersion();
    assert.equal(version >= '2026-07-28', env.modern, `negotiated ${version}`);
    const id = login.client?.client_id;
    if (env.document) assert.equal(id, env.document);
    return `${version}, as ${env.document ? 'its document' : 'registered client'}, for ${login.kept.scope}`;
  },
  echo: message => authorized(() => call('echo', { message })),
  async further() {
    const before = login.kept.scope;
    const text = await authorized(() => call(env.further, { record: '1' }));
    assert.notEqual(login.kept.scope, before);
    return `${before} became ${login.kept.scope}: ${text}`;
  },
  hold: key => call('hold_open', { key }, () => {}),
  token: () => login.kept?.access_token,
  close: () => sdk.close(),
});
process.exit(0);
