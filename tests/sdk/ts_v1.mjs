// The first generation of the TypeScript SDK (@modelcontextprotocol/sdk): what most clients in the
// field are built on. It knows sessions only, hence only the revisions up to 2025-11-25.

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';

import { answer, run, target } from './steps.mjs';

const { url, requestInit } = target();
const transport = new StreamableHTTPClientTransport(url, { requestInit });
const sdk = new Client({ name: 'proof-ts-v1', version: '0' }, { capabilities: { elicitation: {} } });
sdk.setRequestHandler(ElicitRequestSchema, async request => answer(request));

await run(
  {
    connect: () => sdk.connect(transport),
    version: () => transport.protocolVersion,
    list: async () => (await sdk.listTools()).tools.map(tool => tool.name),
    call: (params, onprogress) => sdk.callTool(params, undefined, onprogress ? { onprogress } : {}),
    close: async () => {
      await transport.terminateSession();
      await sdk.close();
    },
  },
  { modern: false },
);
