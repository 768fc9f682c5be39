// Stands in for the gateway where the scripts of this proof are proven, and not the gateway: the same
// addresses, a login provider behind them, pages, registration, refresh tokens that are replaced, a
// second scope for one tool, and an operator who disables users. As small as that can be, hence no
// example: it has no limits, forgets everything and refuses little.
//
//   STAND_IN_UPSTREAM    the MCP server
//   STAND_IN_PROVIDERS   JSON: [{name, label, issuer, client_id, client_secret}]
//   STAND_IN_LIFETIME    of access tokens, in seconds
//   STAND_IN_STEP_UP     the tool that needs mcp:write
//   TLS_CERT, TLS_KEY, PORT, LOG  see serve.mjs
//
// POST /stand-in/disable?user=ID is `sallygate user disable`.

import { createHash, randomBytes } from 'node:crypto';
import http from 'node:http';

import { createRemoteJWKSet, jwtVerify } from 'jose';

import { body, escape, fields, page, redirect, send, serve } from './serve.mjs';

const upstream = new URL(process.env.STAND_IN_UPSTREAM);
const providers = JSON.parse(process.env.STAND_IN_PROVIDERS);
const lifetime = Number(process.env.STAND_IN_LIFETIME ?? 5);
const stepUp = process.env.STAND_IN_STEP_UP;
const SCOPES = { 'mcp:read': 'Read what the server offers', 'mcp:write': 'Change things there' };
const PATH = '/fixture';
const STYLE = 'body{font:1rem/1.5 sans-serif;color:#111;background:#fff}a{color:#00349c}';

const clients = new Map();
const pending = new Map();
const logins = new Map();
const codes = new Map();
const spent = new Map();
const access = new Map();
const refresh = new Map();
const disabled = new Set();
const streams = new Map();
let origin;

const word = prefix => `${prefix}_${randomBytes(32).toString('base64url')}`;
const digest = text => createHash('sha256').update(text).digest('base64url');
const take = (map, key) => {
  const value = map.get(key);
  map.delete(key);
  return value;
};

function show(response, status, title, inner, targets = "'self'") {
  const hash = createHash('sha256').update(STYLE).digest('base64');
  page(response, status, title, `<style>${STYLE}</style>${inner}`, {
    'content-security-policy':
      `default-src 'none'; style-src 'sha256-${hash}'; img-src data:; base-uri 'none'; ` +
      `form-action ${targets}; frame-ancestors 'none'`,
    'x-frame-options': 'DENY',
  });
}

const metadata = () => ({
  issuer: origin,
  authorization_endpoint: `${origin}/oauth/authorize`,
  token_endpoint: `${origin}/oauth/token`,
  registration_endpoint: `${origin}/oauth/register`,
  revocation_endpoint: `${origin}/oauth/revoke`,
  response_types_supported: ['code'],
  grant_types_supported: ['authorization_code', 'refresh_token'],
  code_challenge_methods_supported: ['S256'],
  token_endpoint_auth_methods_supported: ['none'],
  authorization_response_iss_parameter_supported: true,
  client_id_metadata_document_supported: true,
  scopes_supported: Object.keys(SCOPES),
});

/** A client that registered, or one that is a document. */
async function clientOf(id) {
  if (/^https:/.test(id ?? '')) return (await fetch(id)).json();
  return clients.get(id);
}

/** RFC 8252 section 7.3: the port of a loopback address is the client's affair. */
function same(registered, given) {
  const [one, other] = [new URL(registered), new URL(given)];
  if (one.protocol === 'http:' && /^(localhost|127\.0\.0\.1)$/.test(one.hostname)) one.port = other.port;
  return one.href === other.href;
}

const doors = {
  'GET /oauth/authorize': async (request, response, url) => {
    const asked = url.searchParams;
    const client = await clientOf(asked.get('client_id'));
    const to = asked.get('redirect_uri');
    if (!client || !client.redirect_uris.some(one => same(one, to))) {
      return show(response, 400, 'This program cannot sign you in', '<p>It is not known here.</p>');
    }
    if (asked.get('code_challenge_method') !== 'S256') return back(response, { to, asked }, { error: 'invalid_request' });
    const id = word('request');
    pending.set(id, { asked, client, to });
    if (providers.length === 1) return begin(response, id, providers[0]);
    const choices = providers.map(
      one => `<li><a href="/oauth/login?request=${id}&amp;provider=${one.name}">${escape(one.label)}</a></li>`,
    );
    show(response, 200, 'Sign in', `<p>Choose how.</p><ul>${choices.join('')}</ul>`);
  },
  'GET /oauth/login': (request, response, url) => {
    const named = url.searchParams.get('provider');
    const provider = providers.find(one => one.name === named);
    return begin(response, url.searchParams.get('request'), provider);
  },
  'GET /auth/login': (request, response) => begin(response, undefined, providers[0]),
  'GET /auth/callback': async (request, response, url) => {
    const state = url.searchParams.get('state');
    const login = take(logins, state);
    if (!login || !request.headers.cookie?.includes(`__Host-sallygate-login=${state}`)) {
      return show(response, 400, 'This sign-in is over', '<p>Begin again.</p>');
    }
    if (url.searchParams.get('error')) return show(response, 400, 'You were not signed in', '<p>Begin again.</p>');
    const user = await signedIn(login, url.searchParams.get('code'));
    if (!login.id) return show(response, 200, 'You are signed in', `<p>As ${escape(user)}.</p>`);
    const waiting = pending.get(login.id);
    waiting.user = user;
    consent(response, login.id, waiting);
  },
  'POST /oauth/consent': async (request, response) => {
    const given = await fields(request);
    const waiting = take(pending, given.get('request'));
    if (request.headers.origin !== origin) return show(response, 403, 'Not from here', '');
    if (given.get('decision') !== 'allow') return back(response, waiting, { error: 'access_denied' });
    const code = word('mcp_ac');
    const scope = waiting.asked.get('scope') || 'mcp:read';
    codes.set(code, { ...waiting, scope });
    back(response, waiting, { code });
  },
  'POST /oauth/register': async (request, response) => {
    const wanted = JSON.parse(await body(request));
    const client = { ...wanted, client_id: word('mcp_client'), client_id_issued_at: Math.floor(Date.now() / 1000) };
    clients.set(client.client_id, client);
    send(response, 201, client, { 'access-control-allow-origin': '*' });
  },
  'POST /oauth/token': async (request, response) => {
    const given = await fields(request);
    if (given.get('grant_type') === 'refresh_token') {
      const grant = take(refresh, given.get('refresh_token'));
      if (!grant || disabled.has(grant.user)) return send(response, 400, { error: 'invalid_grant' });
      return issue(response, grant);
    }
    const code = take(codes, given.get('code'));
    const proven = code && digest(given.get('code_verifier') ?? '') === code.asked.get('code_challenge');
    if (spent.has(given.get('code'))) end(spent.get(given.get('code')));
    if (!proven || code.to !== given.get('redirect_uri')) return send(response, 400, { error: 'invalid_grant' });
    const grant = { user: code.user, scope: code.scope, resource: given.get('resource') };
    spent.set(given.get('code'), grant);
    issue(response, grant);
  },
  'POST /oauth/revoke': async (request, response) => {
    const grant = take(refresh, (await fields(request)).get('token'));
    end(grant);
    send(response, 200, {});
  },
  'POST /stand-in/disable': (request, response, url) => {
    const user = url.searchParams.get('user');
    disabled.add(user);
    for (const [stream, whose] of streams) if (whose === user) stream.destroy();
    send(response, 200, { disabled: user });
  },
};

async function discovered(provider) {
  provider.found ??= (await fetch(`${provider.issuer}/.well-known/openid-configuration`)).json();
  return provider.found;
}

async function begin(response, id, provider) {
  const { authorization_endpoint: to } = await discovered(provider);
  const [state, nonce, verifier] = [word('state'), word('nonce'), word('verifier')];
  logins.set(state, { id, provider, nonce, verifier });
  const at = new URL(to);
  at.search = new URLSearchParams({
    response_type: 'code',
    client_id: provider.client_id,
    redirect_uri: `${origin}/auth/callback`,
    scope: 'openid profile email',
    code_challenge: digest(verifier),
    code_challenge_method: 'S256',
    nonce,
    state,
  });
  redirect(response, at, {
    'set-cookie': `__Host-sallygate-login=${state}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=300`,
  });
}

async function signedIn({ provider, nonce, verifier }, code) {
  const found = await discovered(provider);
  const answer = await fetch(found.token_endpoint, {
    method: 'POST',
    headers: {
      authorization: `Basic ${Buffer.from(`${provider.client_id}:${provider.client_secret}`).toString('base64')}`,
    },
    body: new URLSearchParams({
      grant_type: 'authorization_code',
      code,
      redirect_uri: `${origin}/auth/callback`,
      code_verifier: verifier,
    }),
  });
  const tokens = await answer.json();
  if (!answer.ok) throw new Error(`${JSON.stringify(tokens)}`);
  const { payload } = await jwtVerify(tokens.id_token, createRemoteJWKSet(new URL(found.jwks_uri)), {
    issuer: provider.issuer,
    audience: provider.client_id,
  });
  if (payload.nonce !== nonce) throw new Error('another nonce');
  return `${provider.name}.${payload.sub}`;
}

function consent(response, id, { client, asked, to, user }) {
  const scopes = (asked.get('scope') || 'mcp:read').split(' ').map(one => `<li>${escape(one)}: ${SCOPES[one] ?? ''}</li>`);
  show(
    response,
    200,
    'Let this program in?',
    `<p>${escape(client.client_name ?? 'A program')} wants to act for ${escape(user)} and be sent to ` +
      `${escape(new URL(to).host)}.</p><ul>${scopes.join('')}</ul>` +
      '<form method="post" action="/oauth/consent">' +
      `<input type="hidden" name="request" value="${id}">` +
      '<button name="decision" value="allow">Allow</button> ' +
      '<button name="decision" value="deny">Do not allow</button></form>',
    `'self' ${new URL(to).origin}`,
  );
}

function back(response, { to, asked }, more) {
  const at = new URL(to);
  for (const [key, value] of Object.entries({ ...more, iss: origin })) at.searchParams.set(key, value);
  if (asked.get('state')) at.searchParams.set('state', asked.get('state'));
  redirect(response, at);
}

/** Ends what came of a sign-in. */
function end(grant) {
  for (const [token, one] of access) if (one.grant === grant) access.delete(token);
  for (const [token, one] of refresh) if (one === grant) refresh.delete(token);
}

function issue(response, grant) {
  const [token, next] = [word('at'), word('mcp_rt')];
  access.set(token, { ...grant, grant, until: Date.now() + lifetime * 1000 });
  refresh.set(next, grant);
  const answer = { access_token: token, token_type: 'Bearer', expires_in: lifetime, refresh_token: next, scope: grant.scope };
  send(response, 200, answer, { 'access-control-allow-origin': '*' });
}

async function relay(request, response) {
  const grant = access.get((request.headers.authorization ?? '').replace(/^Bearer /, ''));
  const about = `resource_metadata="${origin}/.well-known/oauth-protected-resource${PATH}"`;
  if (!grant || grant.until < Date.now() || disabled.has(grant.user)) {
    const why = request.headers.authorization ? 'error="invalid_token", ' : '';
    return send(response, 401, { error: 'unauthorized' }, { 'www-authenticate': `Bearer ${why}${about}, scope="mcp:read"` });
  }
  const text = await body(request);
  if (stepUp && text.includes(`"name":"${stepUp}"`) && !grant.scope.includes('mcp:write')) {
    const challenge = `Bearer error="insufficient_scope", scope="mcp:read mcp:write", ${about}`;
    return send(response, 403, { error: 'insufficient_scope' }, { 'www-authenticate': challenge });
  }
  const { authorization, host, connection, ...headers } = request.headers;
  const onward = http.request(upstream, { method: request.method, headers: { ...headers, host: upstream.host } }, answer => {
    response.writeHead(answer.statusCode, answer.headers);
    streams.set(response, grant.user);
    answer.pipe(response);
    answer.on('error', () => response.destroy());
  });
  response.on('close', () => {
    streams.delete(response);
    onward.destroy();
  });
  onward.on('error', () => response.destroy());
  onward.end(text);
}

await serve(
  'stand-in',
  (request, response, url) => {
    if (url.pathname === PATH) return relay(request, response);
    if (url.pathname.startsWith('/.well-known/oauth-protected-resource')) {
      return send(response, 200, {
        resource: `${origin}${PATH}`,
        authorization_servers: [origin],
        scopes_supported: ['mcp:read'],
        bearer_methods_supported: ['header'],
      });
    }
    if (/\.well-known\/(oauth-authorization-server|openid-configuration)/.test(url.pathname)) {
      return send(response, 200, metadata());
    }
    const door = doors[`${request.method} ${url.pathname}`];
    return door ? door(request, response, url) : send(response, 404, { error: 'not found' });
  },
  {
    host: 'localhost',
    ready: at => {
      origin = at;
    },
  },
);
