// Preloaded into every client that runs on Node (`node --import`): writes down when answers begin and
// end on the wire, whatever the client makes of it. undici tells this to whoever listens, the one that
// is part of Node and those that packages bring along.
//
//   WITNESS   file that gets one JSON line an event: {at, id, event, method, path, status}

import { appendFileSync } from 'node:fs';
import { subscribe } from 'node:diagnostics_channel';

const file = process.env.WITNESS;
const known = new WeakMap();
let count = 0;

function write(request, event, more = {}) {
  if (!known.has(request)) known.set(request, `${process.pid}.${(count += 1)}`);
  const path = `${request.path}`.split('?')[0];
  const line = { at: Date.now(), id: known.get(request), event, method: request.method, path, ...more };
  appendFileSync(file, `${JSON.stringify(line)}\n`);
}

/** The media type, from headers as undici has them: a list of names and values. */
function typeOf(headers) {
  const at = headers.findIndex((one, index) => index % 2 === 0 && /^content-type$/i.test(`${one}`));
  return at < 0 ? undefined : `${headers[at + 1]}`;
}

if (file) {
  subscribe('undici:request:headers', ({ request, response }) =>
    write(request, 'begin', { status: response.statusCode, type: typeOf(response.headers) }),
  );
  subscribe('undici:request:trailers', ({ request }) => write(request, 'end'));
  subscribe('undici:request:error', ({ request, error }) => write(request, 'end', { error: error?.code ?? `${error}` }));
}
