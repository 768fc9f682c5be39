// ClickUp's OAuth, as it really is and not as one expects it: no response_type, no scope, no PKCE;
// a token endpoint that wants three parameters, in JSON or as a form; an answer with a token and
// nothing else, that never ends and cannot be refreshed; errors with an ECODE; a team that is a
// workspace; user ids that are numbers and team ids that are texts.
//
//   CLIENT_ID, CLIENT_SECRET, REDIRECT_URIS
//   TOKEN_TYPE=Bearer   the answer has a token_type (by default it has not)
//   TLS_CERT, TLS_KEY, PORT, LOG, HOST
//
// The page is at /api, the API under /api/v2. Users: numbers; what is no number has the number of its
// characters.

import { randomBytes } from 'node:crypto';

import { fields, page, redirect, send, serve, signInForm } from './serve.mjs';

const {
  CLIENT_ID = 'SALLYGATEPROOF',
  CLIENT_SECRET = 'canary-not-a-real-clickup-client-secret',
  REDIRECT_URIS = 'http://127.0.0.1:9/auth/callback',
  TOKEN_TYPE,
  HOST = '127.0.0.1',
} = process.env;
const redirects = REDIRECT_URIS.split(',');

/** Codes that were not spent, and tokens that are good, by the user's name. */
const codes = new Map();
const tokens = new Map();

const numberOf = name =>
  /^\d+$/.test(name) ? Number(name) : [...name].reduce((sum, one) => sum * 31 + one.charCodeAt(0), 7) % 1e8;

const userOf = name => ({
  id: numberOf(name),
  username: `User ${name}`,
  email: `${name}@clickup.example`,
  color: '#827718',
  profilePicture: null,
  initials: 'UP',
  week_start_day: 1,
  global_font_support: true,
  timezone: 'Europe/Zurich',
});

const teamsOf = name => [
  {
    id: '9001',
    name: 'Proof workspace',
    color: '#40BC86',
    avatar: null,
    members: [{ user: { ...userOf(name), role: 1, custom_role: null, last_active: '1790000000000' }, invited_by: null }],
  },
  { id: '9002', name: 'Second workspace', color: null, avatar: null, members: [] },
];

const refuse = (response, status, err, ECODE) => send(response, status, { err, ECODE });

async function authorize(request, response, url) {
  const given = request.method === 'POST' ? await fields(request) : url.searchParams;
  if (given.get('client_id') !== CLIENT_ID) return refuse(response, 400, 'Client not found', 'OAUTH_010');
  if (!redirects.includes(given.get('redirect_uri'))) {
    return refuse(response, 400, 'Redirect URI not registered', 'OAUTH_007');
  }
  const back = new URL(given.get('redirect_uri'));
  if (given.get('state')) back.searchParams.set('state', given.get('state'));
  const named = request.headers['x-sign-in-as'] ?? (given.get('decision') === 'allow' && given.get('user'));
  if (given.get('decision') === 'deny') {
    back.searchParams.set('error', 'access_denied');
    return redirect(response, back);
  }
  if (!named) {
    const hidden = Object.fromEntries(['client_id', 'redirect_uri', 'state'].map(key => [key, given.get(key) ?? '']));
    return page(response, 200, 'Connect a workspace', signInForm('/api', hidden, 'User number'));
  }
  const code = randomBytes(16).toString('hex').toUpperCase();
  codes.set(code, named);
  back.searchParams.set('code', code);
  redirect(response, back);
}

async function token(request, response, url) {
  if (request.method !== 'POST') return page(response, 404, 'Not found', '');
  const given = await fields(request);
  for (const [key, value] of url.searchParams) if (!given.has(key)) given.set(key, value);
  if (given.get('client_id') !== CLIENT_ID) return refuse(response, 400, 'Client not found', 'OAUTH_010');
  if (given.get('client_secret') !== CLIENT_SECRET) {
    return refuse(response, 401, 'Client secret does not match', 'OAUTH_011');
  }
  const name = codes.get(given.get('code'));
  if (!name) return refuse(response, 400, 'Code already used', 'OAUTH_014');
  codes.delete(given.get('code'));
  const access = `${numberOf(name)}_canary-not-a-real-clickup-token-${randomBytes(8).toString('hex')}`;
  tokens.set(access, name);
  send(response, 200, { access_token: access, ...(TOKEN_TYPE ? { token_type: TOKEN_TYPE } : {}) });
}

/** A call of the API: OAuth tokens come as Bearer, personal ones bare. */
function api(request, response, answer) {
  const { authorization } = request.headers;
  if (!authorization) return refuse(response, 400, 'Authorization header required', 'OAUTH_017');
  const name = tokens.get(authorization.replace(/^Bearer /, ''));
  if (!name) return refuse(response, 401, 'Token invalid', 'OAUTH_025');
  const reset = Math.floor(Date.now() / 1000) + 60;
  send(response, 200, answer(name), {
    'x-ratelimit-limit': '100',
    'x-ratelimit-remaining': '99',
    'x-ratelimit-reset': `${reset}`,
  });
}

await serve(
  'clickup',
  (request, response, url) => {
    switch (url.pathname) {
      case '/api':
        return authorize(request, response, url);
      case '/api/v2/oauth/token':
        return token(request, response, url);
      case '/api/v2/user':
        return api(request, response, name => ({ user: userOf(name) }));
      case '/api/v2/team':
        return api(request, response, name => ({ teams: teamsOf(name) }));
      default:
        return page(response, 404, 'Not found', '');
    }
  },
  { host: HOST },
);
