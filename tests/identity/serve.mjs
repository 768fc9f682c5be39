// What every server of this proof does alike: http, or https with the certificate of the run; an
// address that it chooses itself; one JSON line that says where it is; and a log of what it was
// asked, without which "the client refreshed" would be a guess.
//
//   TLS_CERT, TLS_KEY   https instead of http
//   PORT                0 when unset
//   LOG                 file that gets one JSON line a request

import { appendFileSync, readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';

/** The largest body that is read. */
const LARGEST = 1 << 20;

/**
 * Listens, says where, and answers with `answer(request, response, url)`. `host` is the name in the
 * address: 127.0.0.1 and localhost are different sites for a browser. `ready` gets the origin before
 * anybody can ask anything.
 */
export async function serve(name, answer, { host = '127.0.0.1', ready } = {}) {
  const { TLS_CERT, TLS_KEY, PORT = '0', LOG } = process.env;
  const listener = async (request, response) => {
    const url = new URL(request.url, `http://${request.headers.host ?? host}`);
    if (LOG) {
      const line = { at: Date.now(), server: name, method: request.method, path: url.pathname };
      appendFileSync(LOG, `${JSON.stringify(line)}\n`);
    }
    try {
      await answer(request, response, url);
    } catch (error) {
      console.error(error);
      if (!response.headersSent) send(response, error.status ?? 500, { error: `${error.message}` });
      else response.destroy();
    }
  };
  const server = TLS_CERT
    ? https.createServer({ cert: readFileSync(TLS_CERT), key: readFileSync(TLS_KEY) }, listener)
    : http.createServer(listener);
  await new Promise(done => server.listen(Number(PORT), '127.0.0.1', done));
  const origin = `${TLS_CERT ? 'https' : 'http'}://${host}:${server.address().port}`;
  await ready?.(origin);
  console.log(JSON.stringify({ url: origin }));
  return { server, origin };
}

/** The whole body as text. */
export async function body(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > LARGEST) throw Object.assign(new Error('too large'), { status: 413 });
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

/** The parameters of a form, or of a JSON object where one is sent. */
export async function fields(request) {
  const text = await body(request);
  if (/json/.test(request.headers['content-type'] ?? '')) {
    return new URLSearchParams(Object.entries(JSON.parse(text || '{}')));
  }
  return new URLSearchParams(text);
}

export function send(response, status, value, headers = {}) {
  const text = JSON.stringify(value);
  response.writeHead(status, {
    'content-type': 'application/json',
    'cache-control': 'no-store',
    ...headers,
  });
  response.end(text);
}

/** A page that a person, a headless one included, can use. */
export function page(response, status, title, inner, headers = {}) {
  response.writeHead(status, {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    ...headers,
  });
  response.end(
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escape(title)}</title>` +
      `</head><body><main><h1>${escape(title)}</h1>${inner}</main></body></html>`,
  );
}

export function redirect(response, to, headers = {}) {
  response.writeHead(302, { location: `${to}`, 'cache-control': 'no-store', ...headers });
  response.end();
}

export const escape = text =>
  `${text}`.replace(/[&<>"']/g, one => `&#${one.charCodeAt(0)};`);

/** The form that every login provider here shows: who are you, and may they know? */
export const signInForm = (action, hidden, asks) =>
  `<form method="post" action="${escape(action)}">` +
  Object.entries(hidden)
    .map(([name, value]) => `<input type="hidden" name="${escape(name)}" value="${escape(value)}">`)
    .join('') +
  `<p><label for="user">${escape(asks)}</label> <input id="user" name="user" required></p>` +
  '<p><button name="decision" value="allow">Sign in</button> ' +
  '<button name="decision" value="deny" formnovalidate>Cancel</button></p></form>';
