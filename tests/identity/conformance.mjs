// Runs the conformance suite's command that is given, opens in the agent what it asks a person to open,
// and judges its results: every check has to pass.

import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { Agent } from './agent.mjs';

const suite = path.join(import.meta.dirname, 'node_modules/@modelcontextprotocol/conformance/dist/index.js');
const args = process.argv.slice(2);
const into = args[args.indexOf('--output-dir') + 1];

const child = spawn(process.execPath, [suite, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
const opened = new Set();
let said = '';
for (const stream of [child.stdout, child.stderr]) {
  stream.on('data', part => {
    process.stderr.write(part);
    said += part;
    for (const [address] of said.matchAll(/https?:\/\/\S+[?&]code_challenge=\S+(?=\s)/g)) {
      if (opened.has(address)) continue;
      opened.add(address);
      new Agent().open(address).catch(error => console.error(`the agent: ${error.message}`));
    }
  });
}
const code = await new Promise(done => child.on('close', done));

const checks = readdirSync(into, { recursive: true })
  .filter(name => name.endsWith('checks.json'))
  .flatMap(name => JSON.parse(readFileSync(path.join(into, name), 'utf8')));
const bad = checks.filter(check => !['SUCCESS', 'INFO', 'SKIPPED'].includes(check.status));
const passed = checks.filter(check => check.status === 'SUCCESS').length;
for (const check of bad) console.log(`not ok ${check.id}: ${check.status} ${check.errorMessage ?? check.description}`);
if (code !== 0 || bad.length || passed === 0) {
  console.log(`not ok: exit ${code}, ${passed} checks passed, ${bad.length} did not`);
  process.exit(1);
}
console.log(`ok ${passed} checks passed`);
process.exit(0);
