// The second generation of the TypeScript SDK (@modelcontextprotocol/client), which knows both
// eras. MODE is `legacy` (its default), `auto` (asks the server first), or a revision to insist on.

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

import { answer, run, target } from './steps.mjs';

const mode = process.env.MODE ?? 'legacy';
const negotiation = ['legacy', 'auto'].includes(mode) ? mode : { pin: mode };
const { url, requestInit } = target();
const transport = new StreamableHTTPClientTransport(url, { requestInit });
const sdk = new Client(
  { name: 'proof-ts-v2', version: '0' },
  { capabilities: { elicitation: {} }, versionNegotiation: { mode: negotiation } },
);
sdk.setRequestHandler('elicitation/create', async request => answer(request));

await run(
  {
    connect: () => sdk.connect(transport),
    version: () => sdk.getNegotiatedProtocolVersion(),
    list: async () => (await sdk.listTools()).tools.map(tool => tool.name),
    call: (params, onprogress) => sdk.callTool(params, onprogress ? { onprogress } : {}),
    close: async () => {
      if (transport.sessionId) await transport.terminateSession();
      await sdk.close();
    },
  },
  { modern: process.env.ERA === 'modern' },
);
