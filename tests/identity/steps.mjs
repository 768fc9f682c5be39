// What every client is put through, told apart only by how it is started: it knows the URL and nothing
// else, signs its user in, calls a tool, outlives its access token without asking the user again, gets
// a further scope when a tool needs it, and is cut off when the operator disables the user.
// Each step prints `ok <name>: ...`; the first that goes wrong prints `not ok <name>: ...` and ends it.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';

/** How fast a disabled user has to be out (issue and C39: one second), in milliseconds. */
const OUT_WITHIN = 1000;

export const env = {
  url: process.env.URL,
  /** `legacy`, `auto`, or a revision to insist on. */
  mode: process.env.MODE ?? 'legacy',
  modern: process.env.ERA === 'modern',
  /** Address of the client's document, where it is to identify itself with one. */
  document: process.env.CLIENT_DOCUMENT || undefined,
  /** Of access tokens, in milliseconds. */
  lifetime: Number(process.env.LIFETIME ?? 5) * 1000,
  /** A tool that needs a scope which nobody has at first. */
  further: process.env.STEP_UP_TOOL ?? 'danger_delete',
  /** What disables our user: a JSON array with a command and its arguments. */
  disable: JSON.parse(process.env.DISABLE ?? 'null'),
};

/** Prints how a step went; ends the process with the first that fails. */
export async function step(name, act) {
  try {
    console.log(`ok ${name}: ${await act()}`);
  } catch (error) {
    console.log(`not ok ${name}: ${error?.stack ?? error}`);
    process.exit(1);
  }
}

/** What the browser did so far: how often a client sent a user, for which scope the last time, and how often users said something. */
export function asked() {
  const events = lines(process.env.AGENT_LOG);
  return {
    visits: events.filter(one => one.event === 'begin').length,
    answers: events.filter(one => one.event === 'submit').length,
    scope: events.findLast(one => one.event === 'begin')?.scope,
  };
}

/**
 * Takes the steps. `client` offers `connect()`, `echo(text)`, `further()` (calls the tool that needs
 * more), `hold(key)` (a call that stays open, as a promise of how it ended), `close()`, and, where they
 * mean something, `token()` and `release()`, which gives up the held call.
 */
export async function run(client) {
  await step('connect', async () => {
    assert.equal(asked().answers, 0, 'somebody signed in before we came');
    const said = await client.connect();
    assert.ok(asked().answers >= 1, 'nobody was asked for anything');
    return said;
  });

  await step('call', async () => {
    assert.match(await client.echo('through the gate: Zürich ✓'), /through the gate: Zürich ✓/);
    return 'a tool answers';
  });

  await step('refresh', async () => {
    const before = { ...asked(), token: client.token?.() };
    await pause(env.lifetime + 1500);
    assert.match(await client.echo('still here'), /still here/);
    const { visits, answers } = asked();
    assert.deepEqual({ visits, answers }, { visits: before.visits, answers: before.answers }, 'signed in again');
    if (client.token) assert.notEqual(client.token(), before.token, 'the token is still the first one');
    return 'the access token ended, the user was not asked again';
  });

  await step('step-up', async () => {
    const before = asked().visits;
    const said = await client.further();
    assert.ok(asked().visits > before, 'the user was not asked for the further scope');
    assert.match(asked().scope, /mcp:read.*mcp:write|mcp:write.*mcp:read/, 'both scopes, the old and the new');
    return said;
  });

  if (env.disable) await cut(client);

  await step('close', async () => {
    await client.close?.();
    return 'closed';
  });
}

async function cut(client) {
  await step('cut', async () => {
    const key = randomUUID();
    const held = client.hold(key);
    held.catch(() => {});
    await until(() => arrived(key), 15_000, 'the held call did not arrive at the server');
    // The answer to the call, and whatever else is open by then.
    const open = await until(holding, 5000, 'the answer of the held call is not open on the wire');
    const began = Date.now();
    await promisify(execFile)(env.disable[0], env.disable.slice(1));
    const done = Date.now();
    await until(() => open.every(id => ended(id)), OUT_WITHIN + 2000, `still open: ${open}`);
    const last = Math.max(...open.map(id => ended(id).at));
    assert.ok(last - done <= OUT_WITHIN, `the stream ended ${last - done} ms after the command`);
    return `${open.length} open answers ended ${last - began} ms after the command began`;
  });

  await step('out', async () => {
    const began = Date.now();
    await client.release?.();
    const refused = client.echo('let me in').then(
      text => assert.fail(`answered: ${text}`),
      error => `${error.message}`.split('\n')[0].slice(0, 160),
    );
    // Most clients send the user to sign in again, and wait for an answer that never comes.
    const barred = until(() => turnedAway(began), 20_000, 'neither refused nor turned away').then(
      page => `the browser shows ${page.status} "${page.title}"`,
    );
    return `a disabled user gets nothing more: ${await Promise.race([refused, barred])}`;
  });
}

/** The page that the gateway turned the user away with, since then. */
const turnedAway = since =>
  lines(process.env.AGENT_LOG).find(one => one.event === 'end' && one.status === 403 && one.at >= since);

/** Whether a call with this key arrived at the server behind the gateway. */
const arrived = key => existsSync(process.env.FIXTURE_LOG) && readFileSync(process.env.FIXTURE_LOG, 'utf8').includes(key);

/** The streams of the route that began and did not end, in processes that still run, as the witness saw it. */
function streams() {
  const path = new URL(env.url).pathname;
  const all = lines(process.env.WITNESS).filter(one => one.path === path);
  const over = new Set(all.filter(one => one.event === 'end').map(one => one.id));
  return all
    .filter(one => one.event === 'begin' && one.status === 200 && /^text\/event-stream/.test(one.type ?? ''))
    .filter(one => !over.has(one.id) && runs(Number.parseInt(one.id, 10)))
    .map(one => ({ id: one.id, method: one.method }));
}

function runs(pid) {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

const ended = id => lines(process.env.WITNESS).find(one => one.id === id && one.event === 'end');

/** Ids of the open streams, as soon as one of them answers a call. */
function holding() {
  const open = streams();
  return open.some(one => one.method === 'POST') ? open.map(one => one.id) : undefined;
}

function lines(file) {
  if (!file || !existsSync(file)) return [];
  return readFileSync(file, 'utf8').split('\n').filter(Boolean).map(one => JSON.parse(one));
}

export async function until(condition, within, otherwise) {
  const end = Date.now() + within;
  for (;;) {
    const found = condition();
    if (found) return found;
    if (Date.now() > end) throw new Error(otherwise);
    await pause(20);
  }
}
