// The MCP Inspector's command line. Every call is a process of its own, as a person types it; what it
// keeps of a sign-in is in the files between them. With MCP_AUTO_OPEN_ENABLED it opens the browser of
// the machine without a terminal to ask in, which is the only thing that is not as a person has it.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';

import { env, run } from './steps.mjs';

const launcher = path.join(
  import.meta.dirname,
  'node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js',
);

const children = new Set();

/** The server by its URL and nothing else, as everybody begins. */
const plainly = ['--server-url', env.url, '--transport', 'http'];

/** The server as an entry of a file, which can say more about it. */
function written(oauth) {
  const file = path.join(process.env.HOME, 'servers.json');
  writeFileSync(file, JSON.stringify({ mcpServers: { proof: { type: 'streamable-http', url: env.url, oauth } } }));
  return ['--config', file, '--server', 'proof'];
}

/** Runs it and reads its JSON. */
function inspect(server, ...more) {
  const args = [
    launcher,
    '--cli',
    ...server,
    '--protocol-era',
    env.mode,
    '--format',
    'json',
    ...(env.document ? ['--client-metadata-url', env.document] : []),
    ...more,
  ];
  return new Promise((done, failed) => {
    const child = spawn(process.execPath, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, MCP_AUTO_OPEN_ENABLED: 'true', MCP_INSPECTOR_SECRET_STORE: 'file' },
    });
    // It asks before it asks for more; a person says yes.
    child.stdin.end('y\n');
    let out = '';
    let said = '';
    child.stdout.on('data', part => (out += part));
    child.stderr.on('data', part => (said += part));
    child.on('error', failed);
    child.on('close', code => {
      process.stderr.write(said);
      if (code === 0) done(out);
      else failed(new Error(`exit ${code}: ${`${said}${out}`.trim().slice(-600)}`));
    });
    children.add(child);
    child.on('close', () => children.delete(child));
  });
}

/** Ends a process, and waits for its end. */
const gone = child =>
  new Promise(done => {
    child.once('close', done);
    child.kill('SIGKILL');
  });

const call = async (name, args, server = plainly) => {
  const out = await inspect(server, '--method', 'tools/call', '--tool-name', name, '--tool-args-json', JSON.stringify(args));
  const { result = JSON.parse(out) } = JSON.parse(out);
  assert.ok(!result.isError, out);
  return result.content[0].text;
};

await run({
  async connect() {
    const out = await inspect(plainly, '--method', 'tools/list');
    assert.match(out, /"echo"/);
    return `${env.mode}, listed tools`;
  },
  echo: message => call('echo', { message }),
  // It asks for more only where something is said about the sign-in (2.12.0): its document, or scopes.
  further: async () => {
    const server = env.document ? plainly : written({ scopes: 'mcp:read mcp:write' });
    return `answered: ${await call(env.further, { record: '1' }, server)}`;
  },
  hold: key => call('hold_open', { key }),
  // It waits for a new sign-in at the only port that it has for answers.
  release: () => Promise.all([...children].map(gone)),
  close: () => Promise.all([...children].map(gone)),
});
process.exit(0);
