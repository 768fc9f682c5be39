// Clients that cannot be had here are at least spoken for: each registers what its vendor documents, and
// its user comes back to the address that it would listen at. Nobody there is asked anything; what the
// products themselves make of it is not proven by this.
//
//   URL   a route of the gateway

import assert from 'node:assert/strict';

import { Agent } from './agent.mjs';
import { Client, step } from './by_hand.mjs';

/** What each registers, and where it waits for the answer. */
const vendors = {
  Claude: {
    redirect_uris: ['https://claude.ai/api/mcp/auth_callback', 'https://claude.com/api/mcp/auth_callback'],
    token_endpoint_auth_method: 'client_secret_post',
    at: 'https://claude.ai/api/mcp/auth_callback',
  },
  'Claude Code': { redirect_uris: ['http://localhost:8080/callback'], at: 'http://localhost:8080/callback' },
  ChatGPT: {
    redirect_uris: ['https://chatgpt.com/connector/oauth/canary'],
    at: 'https://chatgpt.com/connector/oauth/canary',
  },
  'VS Code': {
    redirect_uris: [
      'https://insiders.vscode.dev/redirect',
      'https://vscode.dev/redirect',
      'http://127.0.0.1/',
      'http://127.0.0.1:33418/',
    ],
    // Another window has the usual port.
    at: 'http://127.0.0.1:59656/',
  },
};

const client = new Client(process.env.URL);
await client.discover();
for (const [name, { at, ...metadata }] of Object.entries(vendors)) {
  await step('vendor', name, async () => {
    await client.register({
      client_name: name,
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      ...metadata,
    });
    client.redirect = at;
    const { given, verifier } = await client.authorize(new Agent());
    const { body } = await client.exchange(given, verifier);
    assert.equal((await client.call(body.access_token)).status, 200, JSON.stringify(body));
    const again = await client.refresh(body.refresh_token);
    assert.equal((await client.call(again.body.access_token)).status, 200, JSON.stringify(again.body));
    return `its user is sent back to ${at}`;
  });
}
