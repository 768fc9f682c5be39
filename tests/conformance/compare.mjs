// Compares what the conformance suite found direct with what it found through the gateway, check
// by check, and fails on any difference and on anything that is not a pass.
//
//   node compare.mjs SET SCENARIOS DIRECT_DIR [GATEWAY_DIR]
//
// SCENARIOS is how many scenarios the set has: a suite that quietly ran fewer proves nothing.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

// A check that the suite itself cannot run yet, in both places alike.
const MAY_BE_SKIPPED = new Set(['tasks-status-notifications']);

/** scenario -> the sorted "check status" lines of one run; notes of the suite are no checks. */
function read(folder) {
  const scenarios = new Map();
  for (const entry of readdirSync(folder)) {
    const name = entry.replace(/^server-/, '').replace(/-\d{4}-\d\d-\d\dT[\d-]+Z$/, '');
    const file = join(folder, entry, 'checks.json');
    // The suite was ended in the middle of a scenario: it has a folder and no checks.
    const checks = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : [];
    scenarios.set(name, checks.filter(check => check.status !== 'INFO'));
  }
  return scenarios;
}

const line = check => `${check.id} ${check.status}`;
const lines = checks => (checks ?? []).map(line).sort();

function count(scenarios) {
  const all = [...scenarios.values()].flat();
  const of = status => all.filter(check => check.status === status).length;
  return { pass: of('SUCCESS'), fail: of('FAILURE'), warn: of('WARNING'), skip: of('SKIPPED') };
}

function row(set, where, scenarios) {
  const { pass, fail, warn, skip } = count(scenarios);
  const cells = [set, where, scenarios.size, pass, fail, warn, skip];
  const widths = [12, 9, 10, 7, 7, 9, 8];
  console.log(cells.map((cell, at) => String(cell).padEnd(widths[at])).join(' ').trimEnd());
}

function findings(where, scenarios, expected) {
  const found = [];
  if (scenarios.size !== expected) found.push(`${where}: ${scenarios.size} scenarios, not ${expected}`);
  for (const [name, checks] of scenarios) {
    if (checks.length === 0) found.push(`${where}: ${name} checked nothing`);
    for (const check of checks) {
      if (check.status === 'SUCCESS') continue;
      if (check.status === 'SKIPPED' && MAY_BE_SKIPPED.has(check.id)) continue;
      found.push(`${where}: ${name}: ${line(check)}: ${check.errorMessage ?? ''}`);
    }
  }
  return found;
}

function differences(direct, gateway) {
  const found = [];
  for (const name of new Set([...direct.keys(), ...gateway.keys()])) {
    const [a, b] = [lines(direct.get(name)), lines(gateway.get(name))];
    if (a.join('\n') === b.join('\n')) continue;
    found.push(`differs: ${name}`);
    found.push(...a.filter(one => !b.includes(one)).map(one => `  only direct:  ${one}`));
    found.push(...b.filter(one => !a.includes(one)).map(one => `  only gateway: ${one}`));
    if (a.length !== b.length) found.push(`  ${a.length} checks direct, ${b.length} through the gateway`);
  }
  return found;
}

const [set, expected, directFolder, gatewayFolder] = process.argv.slice(2);
const direct = read(directFolder);
const wrong = findings('direct', direct, Number(expected));
row(set, 'direct', direct);
if (gatewayFolder) {
  const gateway = read(gatewayFolder);
  row(set, 'gateway', gateway);
  wrong.push(...findings('gateway', gateway, Number(expected)), ...differences(direct, gateway));
}
for (const finding of wrong) console.log(`  ${finding}`);
process.exit(wrong.length === 0 ? 0 : 1);
