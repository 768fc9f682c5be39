// What the libraries do not do: a code and a verifier that do not belong together, a user who says no, a
// refresh token that comes twice, a sign-in that is given back (RFC 7009) and that nothing is left of.
// Prints `ok plain ...` a step, and ends with the first that goes wrong.
//
//   URL   a route of the gateway

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';

import { Agent } from './agent.mjs';
import { Client, step as told } from './by_hand.mjs';

const client = new Client(process.env.URL);
const agent = new Agent();
const step = (name, act) => told('plain', name, act);
const signIn = async () => {
  const { given, verifier } = await client.authorize(agent);
  const { body } = await client.exchange(given, verifier);
  assert.equal(body.token_type, 'Bearer', JSON.stringify(body));
  assert.equal((await client.call(body.access_token)).status, 200);
  return body;
};
const isSpent = ({ status, body }) => assert.deepEqual([status, body.error], [400, 'invalid_grant']);
/** At once where one gateway is asked; another one of the same store follows within a second. */
const isOut = async token => {
  const end = Date.now() + 1000;
  let answer;
  do answer = await client.call(token);
  while (answer.status !== 401 && Date.now() < end);
  assert.equal(answer.status, 401);
  assert.match(answer.headers['www-authenticate'], /error="invalid_token"/);
};

await step('discovery', () => client.discover());

await step('registration', async () => {
  await client.register();
  return 'a native client whose port is not known yet';
});

await step('verifier', async () => {
  const { given } = await client.authorize(agent);
  isSpent(await client.exchange(given, randomBytes(32).toString('base64url')));
  return 'a code is worth nothing with the verifier of somebody else';
});

await step('denied', async () => {
  agent.decision = 'deny';
  const { given } = await client.authorize(agent, { prompt: 'consent' });
  agent.decision = 'allow';
  assert.equal(given.get('error'), 'access_denied');
  assert.equal(given.get('code'), null);
  return 'who says no is heard';
});

await step('revoke', async () => {
  const tokens = await signIn();
  assert.equal((await client.revoke(tokens.refresh_token, 'refresh_token')).status, 200);
  isSpent(await client.refresh(tokens.refresh_token));
  // RFC 7009 section 2.1: the access token goes with it.
  await isOut(tokens.access_token);
  return 'nothing is left of a sign-in that was given back';
});

await step('code twice', async () => {
  const { given, verifier } = await client.authorize(agent);
  const { body } = await client.exchange(given, verifier);
  assert.equal((await client.call(body.access_token)).status, 200);
  isSpent(await client.exchange(given, verifier));
  // RFC 6749 section 4.1.2: what came of it goes too.
  await isOut(body.access_token);
  isSpent(await client.refresh(body.refresh_token));
  return 'a code that comes again takes with it what it gave';
});
