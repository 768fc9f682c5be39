// mcp-remote as desktop programs start it: a process on standard input and output with the URL as its
// argument. It signs in by itself and opens what it takes for the browser of the machine.

import assert from 'node:assert/strict';
import path from 'node:path';

import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

import { asked, env, run, until } from './steps.mjs';

const remote = path.join(import.meta.dirname, 'node_modules/mcp-remote/dist/proxy.js');
let sdk;

/** Starts it, with further arguments and variables. */
async function start(more = [], variables = {}) {
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [
      remote,
      env.url,
      '--debug',
      ...(env.mode === 'legacy' ? [] : ['--protocol', env.mode]),
      ...(env.document ? ['--client-metadata-url', env.document] : []),
      ...more,
    ],
    env: { ...process.env, ...variables },
    stderr: 'inherit',
  });
  sdk = new Client({ name: 'proof-mcp-remote', version: '0' }, { versionNegotiation: { mode: env.mode } });
  await sdk.connect(transport, { timeout: 30_000 });
}

/**
 * It asks for the further scope, but its own callback is closed by then (0.15.1), so that nobody hears
 * the answer: its way to more is to be started with the scope (--static-oauth-client-metadata).
 */
async function further() {
  const before = asked().visits;
  const refused = call(env.further, { record: '1' }).catch(error => error);
  await until(() => asked().visits > before, 10_000, 'it did not ask for the further scope');
  const { scope } = asked();
  await sdk.close();
  await refused;
  const pinned = JSON.stringify({ scope });
  const folder = `${process.env.MCP_REMOTE_CONFIG_DIR}-further`;
  await start(['--static-oauth-client-metadata', pinned], { MCP_REMOTE_CONFIG_DIR: folder });
  return `asked for ${scope}; answered when started with it: ${await call(env.further, { record: '1' })}`;
}

const call = async (name, args, onprogress) => {
  const result = await sdk.callTool({ name, arguments: args }, { timeout: 20_000, ...(onprogress ? { onprogress } : {}) });
  assert.ok(!result.isError, JSON.stringify(result));
  return result.content[0].text;
};

await run({
  async connect() {
    await start();
    const version = sdk.getNegotiatedProtocolVersion();
    assert.equal(version >= '2026-07-28', env.modern, `negotiated ${version}`);
    return version;
  },
  echo: message => call('echo', { message }),
  further,
  hold: key => call('hold_open', { key }, () => {}),
  close: () => sdk.close(),
});
process.exit(0);
