// Where programs keep the documents about themselves (Client ID Metadata Documents): any path that ends
// in .json is the document of one. Redirect addresses without ports, since nobody knows them before.
//
//   TLS_CERT, TLS_KEY, PORT, LOG  see serve.mjs

import { send, serve } from './serve.mjs';

const PATHS = ['/callback', '/oauth/callback'];

await serve(
  'documents',
  (request, response, url) => {
    if (!url.pathname.endsWith('.json')) return send(response, 404, { error: 'not found' });
    const hosts = ['http://127.0.0.1', 'http://localhost'];
    send(
      response,
      200,
      {
        client_id: `https://${request.headers.host}${url.pathname}`,
        client_name: `Documented ${url.pathname.slice(1, -5)}`,
        client_uri: `https://${request.headers.host}/`,
        redirect_uris: hosts.flatMap(host => PATHS.map(path => host + path)),
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
        token_endpoint_auth_method: 'none',
      },
      { 'cache-control': 'max-age=60' },
    );
  },
  { host: 'localhost' },
);
