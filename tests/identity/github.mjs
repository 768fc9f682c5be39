// GitHub's OAuth with the quirks that a client has to know: errors of the token endpoint are 200 with
// an `error` inside; without `Accept: application/json` the answer is a form; the API refuses whoever
// does not say who asks (User-Agent); the e-mail of /user may be null, so that /user/emails is needed.
//
//   CLIENT_ID, CLIENT_SECRET, REDIRECT_URIS, TLS_CERT, TLS_KEY, PORT, LOG, HOST
//
// The page is /login/oauth/authorize, the token endpoint /login/oauth/access_token, the API under
// /api/v3 as GitHub Enterprise has it.

import { createHash, randomBytes } from 'node:crypto';

import { fields, page, redirect, send, serve, signInForm } from './serve.mjs';

const {
  CLIENT_ID = 'Iv1.proof',
  CLIENT_SECRET = 'canary-not-a-real-github-client-secret',
  REDIRECT_URIS = 'http://127.0.0.1:9/auth/callback',
  HOST = '127.0.0.1',
} = process.env;
const redirects = REDIRECT_URIS.split(',');
const codes = new Map();
const tokens = new Map();

const idOf = name => [...name].reduce((sum, one) => sum * 31 + one.charCodeAt(0), 7) % 1e8;

const answers = {
  '/api/v3/user': name => ({
    login: name,
    id: idOf(name),
    node_id: Buffer.from(`04:User${idOf(name)}`).toString('base64'),
    type: 'User',
    site_admin: false,
    name: `User ${name}`,
    email: null,
  }),
  '/api/v3/user/emails': name => [
    { email: `unverified-${name}@github.example`, primary: false, verified: false, visibility: null },
    { email: `${name}@github.example`, primary: true, verified: true, visibility: 'private' },
  ],
  '/api/v3/user/orgs': () => [{ login: 'acme', id: 1, description: null }],
};

async function authorize(request, response, url) {
  const given = request.method === 'POST' ? await fields(request) : url.searchParams;
  if (given.get('client_id') !== CLIENT_ID) return page(response, 404, 'Page not found', '');
  const back = new URL(given.get('redirect_uri') || redirects[0]);
  if (!redirects.includes(back.href)) {
    return page(response, 400, 'The redirect_uri is not associated with this application', '');
  }
  const state = given.get('state');
  if (given.get('decision') === 'deny') {
    back.searchParams.set('error', 'access_denied');
    back.searchParams.set('error_description', 'The user has denied your application access.');
    if (state) back.searchParams.set('state', state);
    return redirect(response, back);
  }
  const user = request.headers['x-sign-in-as'] ?? given.get('login') ?? given.get('user');
  if (!user) {
    const kept = ['client_id', 'redirect_uri', 'state', 'scope', 'code_challenge'];
    const hidden = Object.fromEntries(kept.map(key => [key, given.get(key) ?? '']));
    return page(response, 200, 'Sign in', signInForm(url.pathname, hidden, 'Login'));
  }
  const code = randomBytes(10).toString('hex');
  codes.set(code, { user, scope: given.get('scope') ?? '', challenge: given.get('code_challenge') });
  back.searchParams.set('code', code);
  if (state) back.searchParams.set('state', state);
  redirect(response, back);
}

async function token(request, response) {
  const given = await fields(request);
  const say = value => {
    if (/application\/json/.test(request.headers.accept ?? '')) return send(response, 200, value);
    response.writeHead(200, { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' });
    response.end(`${new URLSearchParams(value)}`);
  };
  const wrong = (error, error_description) =>
    say({ error, error_description, error_uri: 'https://docs.github.com/apps/troubleshooting' });
  if (given.get('client_id') !== CLIENT_ID || given.get('client_secret') !== CLIENT_SECRET) {
    return wrong('incorrect_client_credentials', 'The client_id and/or client_secret passed are incorrect.');
  }
  const spent = codes.get(given.get('code'));
  codes.delete(given.get('code'));
  const proof = createHash('sha256').update(given.get('code_verifier') ?? '').digest('base64url');
  if (!spent || (spent.challenge && spent.challenge !== proof)) {
    return wrong('bad_verification_code', 'The code passed is incorrect or expired.');
  }
  const access = `gho_canary-not-a-real-token-${randomBytes(8).toString('hex')}`;
  tokens.set(access, spent.user);
  say({ access_token: access, token_type: 'bearer', scope: spent.scope.replaceAll(' ', ',') });
}

function api(request, response, answer) {
  if (!request.headers['user-agent']) {
    return send(response, 403, { message: 'Request forbidden by administrative rules.' });
  }
  const name = tokens.get((request.headers.authorization ?? '').replace(/^(bearer|token) /i, ''));
  if (!name) return send(response, 401, { message: 'Bad credentials', status: '401' });
  send(response, 200, answer(name));
}

await serve(
  'github',
  (request, response, url) => {
    if (url.pathname === '/login/oauth/authorize') return authorize(request, response, url);
    if (url.pathname === '/login/oauth/access_token') return token(request, response);
    const answer = answers[url.pathname];
    return answer ? api(request, response, answer) : send(response, 404, { message: 'Not Found' });
  },
  { host: HOST },
);
