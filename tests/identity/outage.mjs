// What is left of signing in when the Redis ends, and that all is as before when it is back: nobody is let in
// while nobody can say who was shut out, and nobody has to sign in again for it.
//
//   node outage.mjs COMMAND...   what starts the Redis
//
//   URL         a route of two gateways on that Redis
//   REDIS_PID   the Redis that runs

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';

import { Agent } from './agent.mjs';
import { Client, step as told } from './by_hand.mjs';

/** How long it may take to notice (`revocation.stale_after`, 1 s) and to recover, with a margin. */
const NOTICED_WITHIN = 15_000;
const step = (name, act) => told('outage', name, act);
const client = new Client(process.env.URL);
let tokens;
let redis;
process.on('exit', () => redis?.kill());

/** Two calls, which come to both gateways. */
const both = async () => {
  const answers = [await client.call(tokens.access_token), await client.call(tokens.access_token)];
  return answers.map(one => one.status);
};

/** Waits until both gateways answer so. */
async function until(status) {
  const end = Date.now() + NOTICED_WITHIN;
  for (;;) {
    await renewed();
    const seen = await both();
    if (seen.every(one => one === status)) return;
    assert.ok(Date.now() < end, `still ${seen}`);
    await pause(250);
  }
}

/** Access tokens are short here; a new one where one can be had. */
async function renewed() {
  const { status, body } = await client.refresh(tokens.refresh_token);
  if (status === 200) tokens = body;
  return status;
}

await step('before', async () => {
  await client.discover();
  await client.register();
  const { given, verifier } = await client.authorize(new Agent());
  ({ body: tokens } = await client.exchange(given, verifier));
  assert.deepEqual(await both(), [200, 200], JSON.stringify(tokens));
  return 'both gateways let the user in';
});

await step('away', async () => {
  await renewed();
  process.kill(Number(process.env.REDIS_PID), 'SIGKILL');
  await until(503);
  assert.equal(await renewed(), 503, 'a refresh');
  const { status } = await client.revoke(tokens.refresh_token, 'refresh_token');
  assert.equal(status, 503, 'a revocation that is not kept must not be confirmed');
  return 'both gateways refuse everything with 503, and confirm nothing';
});

await step('back', async () => {
  const [command, ...args] = process.argv.slice(2);
  redis = spawn(command, args, { stdio: 'ignore' });
  await until(200);
  return 'the same sign-in goes on at both';
});

await step('ended', async () => {
  assert.equal((await client.revoke(tokens.refresh_token, 'refresh_token')).status, 200);
  await until(401);
  assert.equal((await client.refresh(tokens.refresh_token)).status, 400);
  return 'what is given back at one gateway is over at both';
});
process.exit(0);
