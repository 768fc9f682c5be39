// mcp-remote as desktop programs start it: a process on standard input and output with the URL as its
// argument. It signs in by itself and opens what it takes for the browser of the machine.

import assert from 'node:assert/strict';
import path from 'node:path';

import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

import { env, run } from './steps.mjs';

const remote = path.join(import.meta.dirname, 'node_modules/mcp-remote/dist/proxy.js');
const transport = new StdioClientTransport({
  command: process.execPath,
  args: [
    remote,
    env.url,
    '--debug',
    ...(env.mode === 'legacy' ? [] : ['--protocol', env.mode]),
    ...(env.document ? ['--client-metadata-url', env.document] : []),
  ],
  env: process.env,
  stderr: 'inherit',
});
const sdk = new Client({ name: 'proof-mcp-remote', version: '0' }, { versionNegotiation: { mode: env.mode } });

const call = async (name, args, onprogress) => {
  const result = await sdk.callTool({ name, arguments: args }, { timeout: 20_000, ...(onprogress ? { onprogress } : {}) });
  assert.ok(!result.isError, JSON.stringify(result));
  return result.content[0].text;
};

await run({
  async connect() {
    await sdk.connect(transport, { timeout: 30_000 });
    const version = sdk.getNegotiatedProtocolVersion();
    assert.equal(version >= '2026-07-28', env.modern, `negotiated ${version}`);
    return version;
  },
  echo: message => call('echo', { message }),
  further: async () => `answered: ${await call(env.further, { record: '1' })}`,
  hold: key => call('hold_open', { key }, () => {}),
  close: () => sdk.close(),
});
process.exit(0);
