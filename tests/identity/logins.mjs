// The login providers through the gateway: an OpenID provider, ClickUp and GitHub, each from a client's
// first call to a tool that answers; a user who says no there; and an OpenID provider that lies in its
// ID tokens, which nobody may come in with. Prints `ok login ...` a step, and ends with the first that
// goes wrong.
//
//   URL   a route of the gateway

import assert from 'node:assert/strict';

import { Agent } from './agent.mjs';
import { claims, Client, step as told } from './by_hand.mjs';

const client = new Client(process.env.URL);
const step = (name, act) => told('login', name, act);

await step('discovery', () => client.discover());
await client.register();

/** Provider, who signs in, and what the gateway calls them and their team. */
const people = [
  ['proof', 'premium-carol@team7', { sub: 'user_proof.premium-carol@team7', team_id: 'team7', tier: 'premium' }],
  ['clickup', '183', { sub: 'user_183', team_id: '9001', tier: 'free' }],
  ['github', 'octo', { sub: /^user_github\.\d+$/, team_id: 'default', tier: 'free' }],
];
for (const [provider, user, expected] of people) {
  await step(provider, async () => {
    const agent = new Agent({ user, provider, decision: 'allow' });
    const { given, verifier } = await client.authorize(agent);
    const { body } = await client.exchange(given, verifier);
    assert.ok(body.access_token, JSON.stringify(body));
    const said = claims(body.access_token);
    for (const [name, value] of Object.entries(expected)) {
      if (value instanceof RegExp) assert.match(said[name], value);
      else assert.equal(said[name], value, `${name} in ${JSON.stringify(said)}`);
    }
    assert.equal((await client.call(body.access_token)).status, 200);
    return `${user} is ${said.sub} of ${said.team_id}, ${said.tier}`;
  });
}

for (const provider of ['proof', 'clickup', 'github']) {
  await step(`${provider} denied`, async () => {
    const agent = new Agent({ user: 'nobody', provider, decision: 'deny' });
    const { given } = await client.authorize(agent);
    assert.deepEqual([given.get('error'), given.get('code')], ['access_denied', null]);
    return 'the client is told that the user said no';
  });
}

/** Opens the gateway's own login page with a provider; the page at which it ends. */
async function signIn(user) {
  const agent = new Agent({ user, provider: 'liar', decision: 'allow' });
  const { last } = await agent.open(`${client.server.issuer}/auth/login?provider=liar`);
  assert.equal(last.url.pathname, '/auth/callback', `stranded at ${last.url} ${last.text}`);
  return last;
}

await step('liar', async () => {
  const lies = ['nonce', 'issuer', 'audience', 'key', 'unsigned', 'past'];
  for (const lie of lies) assert.equal((await signIn(lie)).status, 502, `a wrong ${lie} was taken`);
  assert.equal((await signIn('honest')).status, 200, 'the same provider, when it does not lie');
  return `an ID token with a wrong ${lies.join(', ')} lets nobody in`;
});
