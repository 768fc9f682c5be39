// What every TypeScript client does here, whatever its generation. Each step prints one line
// `ok <name>: ...`; the first that goes wrong prints `not ok <name>: ...` and ends the client.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

/** What a client finds behind the gateway, by the name of the upstream. */
const UPSTREAMS = {
  fixture: {
    slow: { name: 'count_slowly', arguments: { steps: 4, pauseMs: 60 } },
    slowSteps: 4,
    refused: { name: 'no_such_tool', arguments: {} },
    asks: true,
  },
  everything: {
    slow: { name: 'trigger-long-running-operation', arguments: { duration: 0.4, steps: 4 } },
    slowSteps: 4,
    refused: { name: 'no-such-tool', arguments: {} },
    // A server on the first SDK says so in a result; a gateway that refuses never does.
    refusesInResult: true,
    asks: false,
  },
};

const MESSAGE = 'through the gate: Zürich ✓';

/**
 * Runs all steps.
 *
 * `client` offers connect, version, list, call(params, onprogress) and close, under these names in
 * both generations of the SDK. `modern` is whether the client has to end up in the 2026-07-28 era.
 */
export async function run(client, { modern }) {
  const upstream = UPSTREAMS[process.env.UPSTREAM ?? 'fixture'];
  const refused = process.env.REFUSED_TOOL;
  if (refused) {
    upstream.refused = { name: refused, arguments: { record: '1' } };
    upstream.refusesInResult = false;
  }

  await step('connect', async () => {
    await client.connect();
    const version = client.version();
    assert.equal(version >= '2026-07-28', modern, `negotiated ${version}`);
    return version;
  });

  await step('list', async () => {
    const names = await client.list();
    assert.ok(names.includes('echo'), `no echo in ${names}`);
    if (refused) assert.ok(!names.includes(refused), `${refused} is refused but listed`);
    return `${names.length} tools`;
  });

  await step('call', async () => {
    const result = await client.call({ name: 'echo', arguments: { message: MESSAGE } });
    assert.match(result.content[0].text, /through the gate: Zürich ✓$/);
    return JSON.stringify(result.content[0].text);
  });

  await step('progress', async () => {
    const seen = [];
    const result = await client.call(upstream.slow, report => seen.push(report.progress));
    assert.ok(!result.isError, JSON.stringify(result));
    assert.equal(seen.length, upstream.slowSteps, `saw ${seen}`);
    return seen.join(' ');
  });

  if (upstream.asks) {
    // The answer comes only after we have seen the progress, so nobody in between may buffer.
    await step('stream', async () => {
      const key = randomUUID();
      let released;
      const result = await client.call({ name: 'hold_open', arguments: { key } }, () => {
        released = client.call({ name: 'release', arguments: { key } });
      });
      await released;
      assert.equal(result.content[0].text, 'released');
      return 'progress came before its answer';
    });

    await step('input', async () => {
      const asking = modern
        ? { name: 'test_input_required_result_elicitation', arguments: {} }
        : { name: 'test_elicitation', arguments: { message: 'Who are you?' } };
      const result = await client.call(asking);
      assert.match(result.content[0].text, /canary-name/);
      return 'asked and answered';
    });

    await step('header', async () => {
      const params = { region: 'Zürich', priority: 7, urgent: false };
      const result = await client.call({ name: 'test_x_mcp_header', arguments: params });
      assert.deepEqual(JSON.parse(result.content[0].text), params);
      return 'parameters that travel as headers arrive';
    });
  }

  await step('refused', async () => {
    if (upstream.refusesInResult) {
      const result = await client.call(upstream.refused);
      assert.equal(result.isError, true, JSON.stringify(result));
      return result.content[0].text;
    }
    const error = await client.call(upstream.refused).then(
      result => assert.fail(`answered: ${JSON.stringify(result)}`),
      error => error,
    );
    assert.equal(error.code, -32602, `${error}`);
    return `${error.code} ${error.message}`;
  });

  await step('again', async () => {
    const result = await client.call({ name: 'echo', arguments: { message: 'still here' } });
    assert.match(result.content[0].text, /still here$/);
    return 'a refusal does not end the connection';
  });

  await step('close', async () => {
    await client.close();
    return 'closed';
  });
}

/** What a user would answer. */
export const answer = request => ({
  action: 'accept',
  content: Object.fromEntries(
    Object.keys(request.params.requestedSchema.properties).map(key => [key, 'canary-name']),
  ),
});

/** The address and the token, as the environment gives them. */
export function target() {
  const { URL: url, TOKEN: token } = process.env;
  assert.ok(url, 'URL is not set');
  return {
    url: new URL(url),
    requestInit: token ? { headers: { Authorization: `Bearer ${token}` } } : {},
  };
}

async function step(name, act) {
  try {
    console.log(`ok ${name}: ${await act()}`);
  } catch (error) {
    console.log(`not ok ${name}: ${error.stack ?? error}`);
    process.exit(1);
  }
}
